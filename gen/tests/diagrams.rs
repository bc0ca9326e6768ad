//! The pictures of the how-to guides are what `fairway-gen diagram` makes of the examples. `FAIRWAY_BLESS=1 cargo test`
//! rewrites them.

mod common;

use std::fs;

use common::{bless, directory};
use fairway_gen::{Topology, diagram};

#[test]
fn pictures_of_the_guides_are_current() {
    for (guide, example) in [
        ("direct-routing", "direct"),
        ("nat", "nat"),
        ("full-nat", "full-nat"),
        ("tunnel", "tunnel"),
        ("syn-proxy", "syn-proxy"),
    ] {
        let text = fs::read_to_string(directory("../examples").join(format!("{example}.toml"))).unwrap();
        let (topology, _) = Topology::load("topology.toml", &text).unwrap();
        let path = directory("../../docs/how-to").join(format!("{guide}.svg"));
        let current = diagram::svg(&topology);
        if bless() {
            fs::write(&path, &current).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(committed == current, "{} is not current: run with FAIRWAY_BLESS=1", path.display());
        let page = fs::read_to_string(path.with_extension("md")).unwrap();
        assert!(page.contains(&format!("]({guide}.svg)")), "{guide}.md does not show its picture");
    }
}
