//! Makes one check of one address, once, and prints what it saw: a check to try out before it is in a topology. What a
//! director sees with its rights and on its way is told by `fairwayctl probe`.
//!
//! ```text
//! echo 'http = { path = "/healthz", body = "ok" }' | cargo run -q -p fairway-health --example check -- 10.0.0.21:80
//! ```
//!
//! The check is written as in `director.toml`. Ends with 0 where the server is taken to be up.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use fairway_health::{Launcher, Outcome, Spec, Subject, probe};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let target =
        std::env::args().nth(1).ok_or("usage: check ADDRESS:PORT, and the check on standard input")?;
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let spec = Spec::new(&toml::from_str(&text)?, &Launcher::default())?;
    let outcome = probe(&Subject::new(target.parse()?, Arc::new(spec))?).await;
    let (word, code) = match &outcome {
        Outcome::Pass(_) => ("pass", 0),
        Outcome::Warn(_) => ("warn", 0),
        Outcome::Advice(..) => ("advice", 0),
        Outcome::Fail(_) => ("fail", 1),
        Outcome::Refused(_) => ("refused", 1),
        Outcome::Inconclusive(_) => ("inconclusive", 2),
    };
    println!("{word}: {}", outcome.detail());
    Ok(ExitCode::from(code))
}
