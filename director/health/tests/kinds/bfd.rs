//! A check by BFD follows what sessions tell, without waiting for its pace.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fairway_config::{BfdCheck, Check, Period};
use fairway_health::{Health, Launcher, Monitor, Outcome, Paths, Spec, Subject};

#[tokio::test]
async fn a_session_is_followed_at_once_and_by_one_word() {
    let server: IpAddr = [192, 0, 2, 71].into();
    let (words, paths) = Paths::new();
    let say = |outcome| words.send_replace(BTreeMap::from([(server, outcome)]));
    // Longer than the test: what is seen is seen because it was told.
    let check = Check { bfd: Some(BfdCheck::default()), every: Period::from_secs(3600), ..Check::default() };
    let spec = Spec::new(&check, &Launcher::default()).unwrap().with_paths(&paths);
    let subject = Subject::new(SocketAddr::new(server, 80), Arc::new(spec)).unwrap();
    let (mut monitor, mut reports) = Monitor::new(tokio::runtime::Handle::current());
    monitor.watch(&[subject]);
    for (outcome, health) in [
        (Outcome::Pass("it is up".into()), Health::Up),
        (Outcome::Fail("it is down".into()), Health::Down),
        (Outcome::Pass("it is up".into()), Health::Up),
    ] {
        say(outcome.clone());
        let seen = async {
            loop {
                let verdict = reports.recv().await.expect("the monitor lives").verdict;
                if verdict.detail == outcome.detail() {
                    return verdict;
                }
            }
        };
        let verdict = tokio::time::timeout(Duration::from_secs(20), seen).await.expect("it is told");
        assert_eq!(verdict.health, health);
    }
}
