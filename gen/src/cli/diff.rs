//! `diff`: what would change on a host.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fairway_gen::Plans;
use fairway_gen::output::{Difference, differences};
use fairway_gen::render::Renderer;
use similar::TextDiff;

use super::{Error, files, load};

/// Long enough for files of any sensible size; after it the diff is still right, only not the shortest.
const LONGEST: Duration = Duration::from_secs(5);

/// Prints what would change; whether anything would.
pub fn run(topology: &Path, host: &str, root: &Path) -> Result<bool, Error> {
    let topology = load(topology)?;
    let files = files(&Plans::new(&topology), &Renderer::new(), host)?;
    let found = differences(root, &files)?;
    let mut stdout = std::io::stdout().lock();
    for difference in &found {
        print(&mut stdout, difference)?;
    }
    Ok(!found.is_empty())
}

/// One file as `patch -p1` reads it.
fn print(out: &mut impl Write, difference: &Difference) -> std::io::Result<()> {
    let Difference { path, old, new } = difference;
    let old_text: Cow<'_, str> = old.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let name = |side, there| if there { format!("{side}/{path}") } else { "/dev/null".to_owned() };
    let diff = TextDiff::configure()
        .timeout(LONGEST)
        .diff_lines(old_text.as_ref(), new.as_deref().unwrap_or_default());
    diff.unified_diff().header(&name("a", old.is_some()), &name("b", new.is_some())).to_writer(out)
}
