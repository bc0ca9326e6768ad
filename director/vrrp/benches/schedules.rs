//! A million simulated schedules of trouble, each the same at every run:
//!
//! ```sh
//! cargo bench -p fairway-vrrp --bench schedules                     # seeds 0 to 999,999
//! cargo bench -p fairway-vrrp --bench schedules -- --from 1000000 --count 5000000
//! cargo bench -p fairway-vrrp --bench schedules -- --seed 42        # one that failed, alone
//! ```
#![allow(dead_code, unused_imports, reason = "shares its parts with the tests")]

#[path = "../tests/suite/rig.rs"]
mod rig;
#[path = "../tests/suite/simulation/mod.rs"]
mod simulation;

use std::time::Instant;

/// Schedules between two lines of progress.
const STEP: u64 = 50_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        let value = arguments.get(place + 1).and_then(|value| value.parse::<u64>().ok());
        Some(value.unwrap_or_else(|| panic!("{name} needs a number")))
    };
    if let Some(seed) = number("--seed") {
        simulation::chaos::run(seed);
        println!("schedule {seed} holds");
        return;
    }
    let (from, count) = (number("--from").unwrap_or(0), number("--count").unwrap_or(1_000_000));
    #[expect(clippy::disallowed_methods, reason = "how long it takes, for people")]
    let began = Instant::now();
    let mut done = 0;
    while done < count {
        let step = STEP.min(count - done);
        simulation::chaos::run_all(from + done..from + done + step);
        done += step;
        println!("{done} of {count} schedules hold, {:.0} s", began.elapsed().as_secs_f64());
    }
}
