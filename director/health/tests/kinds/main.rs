//! Each kind of check against servers that answer well, and against hostile ones.

#[path = "../common/server.rs"]
mod server;

mod bfd;
mod dns;
mod grpc;
mod http2;
mod local;
mod ping;
mod smtp;
mod talk;
mod tls;
mod udp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairway_config::{Check, Period};
use fairway_health::{Launcher, Outcome, Spec, Subject, probe};

/// Of checks that are expected to run into it.
const SHORT: Duration = Duration::from_millis(400);
/// Of checks that are not, however busy the machine is.
const LONG: Duration = Duration::from_secs(15);

/// Runs one probe and insists that it ends near its timeout.
async fn run(target: SocketAddr, timeout: Duration, check: Check) -> Outcome {
    let check = Check { timeout: Period(timeout), ..check };
    let spec = Spec::new(&check, &Launcher::default()).unwrap();
    let subject = Subject::new(target, Arc::new(spec)).unwrap();
    let start = Instant::now();
    let outcome = probe(&subject).await;
    assert!(start.elapsed() < timeout + Duration::from_secs(2), "took {:?}: {outcome:?}", start.elapsed());
    outcome
}

fn pass(text: &str) -> Outcome {
    Outcome::Pass(text.to_owned().into())
}

fn fail(text: &str) -> Outcome {
    Outcome::Fail(text.to_owned().into())
}
