//! A director that runs out of descriptors. In a test binary of its own: the limit is the whole process's.

use std::sync::Arc;

use fairway_config::{Check, Period, TcpCheck};
use fairway_health::{Launcher, Outcome, Spec, Subject, probe};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};

#[tokio::test]
async fn lack_of_descriptors_is_not_held_against_the_server() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let check = Check {
        every: Period::from_secs(1),
        timeout: Period::from_secs(1),
        rise: 1,
        fall: 1,
        tcp: Some(TcpCheck::default()),
        ..Check::default()
    };
    let spec = Arc::new(Spec::new(&check, &Launcher::default()).unwrap());
    let subject = Subject::new(listener.local_addr().unwrap(), spec).unwrap();
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 64.min(most), most).unwrap();
    let held: Vec<_> = std::iter::from_fn(|| TcpSocket::new_v4().ok()).take(1000).collect();
    assert!(held.len() < 1000);
    let text = "cannot probe: too many open files on this director";
    assert_eq!(probe(&subject).await, Outcome::Inconclusive(text.into()));
    drop(held);
    assert_eq!(probe(&subject).await, Outcome::Pass("connected".into()));
}
