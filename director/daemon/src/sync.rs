//! Connection synchronisation: keeps the kernel's two daemons running.
//!
//! Both run on every director all the time, whatever its role: only the one that has the traffic has anything to
//! tell, and nothing has to happen in the moment of a take-over.

use std::time::Duration;

use fairway_config::ConnectionSync;
use fairway_ipvs::{Client, Error, SyncDaemon, SyncRole};
use tokio::sync::watch;

/// How often it is made sure that they run.
const PERIOD: Duration = Duration::from_secs(5);

/// A step towards what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Stop(SyncRole),
    Start(SyncDaemon),
}

/// Keeps the daemons as wanted until nobody can want anything any more. Daemons that are not ours to run, because
/// nothing is configured, are left alone.
pub async fn run(mut wanted: watch::Receiver<Option<ConnectionSync>>) {
    let mut ours = false;
    let mut told = String::new();
    loop {
        let want = wanted.borrow_and_update().clone();
        if ours || want.is_some() {
            ours = want.is_some();
            let outcome = tokio::task::spawn_blocking(move || reconcile(want.as_ref())).await;
            let text = match outcome {
                Ok(Ok(())) => String::new(),
                Ok(Err(error)) => error.to_string(),
                Err(error) => error.to_string(),
            };
            if text != told && !text.is_empty() {
                tracing::error!(
                    error = text,
                    "connections are not shared with the other directors; trying again"
                );
            }
            told = text;
        }
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Stops both daemons for good.
pub async fn stop() {
    if tokio::task::spawn_blocking(release).await.is_err() {
        tracing::error!("cannot stop the connection synchronisation");
    }
}

/// Stops both daemons, those of a dead director too.
pub fn release() {
    if let Err(error) = reconcile(None) {
        tracing::warn!(%error, "cannot stop the connection synchronisation");
    }
}

fn reconcile(want: Option<&ConnectionSync>) -> Result<(), Error> {
    let mut client = Client::connect()?;
    for step in plan(want, &client.sync_daemons()?) {
        match &step {
            Step::Stop(role) => client.stop_sync(*role)?,
            Step::Start(daemon) => client.start_sync(daemon)?,
        }
        match step {
            Step::Stop(role) => tracing::info!(%role, "connection synchronisation stopped"),
            Step::Start(SyncDaemon { role, interface, id, .. }) => {
                tracing::info!(%role, interface, id, "connection synchronisation started");
            }
        }
    }
    Ok(())
}

/// What leads from the daemons that run to those that are wanted.
fn plan(want: Option<&ConnectionSync>, observed: &[SyncDaemon]) -> Vec<Step> {
    let mut steps = Vec::new();
    for role in [SyncRole::Master, SyncRole::Backup] {
        let want = want.map(|want| SyncDaemon {
            role,
            interface: want.interface.to_string(),
            id: want.id.into(),
            group: want.group,
            port: want.port,
            ttl: want.ttl,
            max_length: want.max_length,
        });
        let found = observed.iter().find(|daemon| daemon.role == role);
        match (&want, found) {
            (None, None) => continue,
            (Some(want), Some(found)) if fits(want, found) => continue,
            _ => {}
        }
        steps.extend(found.map(|_| Step::Stop(role)));
        steps.extend(want.map(Step::Start));
    }
    steps
}

/// Whether a daemon that runs is the one that is wanted. What is not wanted otherwise is the kernel's choice; kernels
/// that do not say what that was have no other.
fn fits(want: &SyncDaemon, found: &SyncDaemon) -> bool {
    let group = want.group.unwrap_or(ConnectionSync::GROUP) == found.group.unwrap_or(ConnectionSync::GROUP);
    let port = want.port.unwrap_or(ConnectionSync::PORT) == found.port.unwrap_or(ConnectionSync::PORT);
    let ttl = want.ttl.unwrap_or(1) == found.ttl.unwrap_or(1);
    // The kernel chooses one that fits the interface.
    let length = want.max_length.is_none() || want.max_length == found.max_length;
    want.interface == found.interface && want.id == found.id && group && port && ttl && length
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(role: SyncRole, interface: &str, id: u32) -> SyncDaemon {
        // As the kernel tells it.
        let (group, port, ttl) = (Some(ConnectionSync::GROUP), Some(ConnectionSync::PORT), Some(1));
        SyncDaemon { group, port, ttl, max_length: Some(1438), ..SyncDaemon::new(role, interface, id) }
    }

    #[test]
    fn only_what_differs_is_changed() {
        use SyncRole::{Backup, Master};
        let interface = "eth1".parse().unwrap();
        let want = ConnectionSync { interface, id: 5, group: None, port: None, ttl: None, max_length: None };
        let both = [daemon(Master, "eth1", 5), daemon(Backup, "eth1", 5)];
        let start = [Master, Backup].map(|role| Step::Start(SyncDaemon::new(role, "eth1", 5)));
        assert_eq!(plan(Some(&want), &[]), start);
        assert_eq!(plan(Some(&want), &both), []);
        assert_eq!(plan(Some(&want), &both[..1]), start[1..]);
        for other in [daemon(Backup, "eth0", 5), daemon(Backup, "eth1", 6)] {
            let steps = plan(Some(&want), &[both[0].clone(), other]);
            assert_eq!(steps, [Step::Stop(Backup), start[1].clone()]);
        }
        let others = [
            ConnectionSync { group: Some("239.0.0.1".parse().unwrap()), ..want.clone() },
            ConnectionSync { port: Some(9000), ..want.clone() },
            ConnectionSync { ttl: Some(4), ..want.clone() },
            ConnectionSync { max_length: Some(1000), ..want.clone() },
        ];
        for other in &others {
            assert_eq!(plan(Some(other), &both).len(), 4, "both start anew for {other:?}");
        }
        // A kernel that says nothing of all that.
        assert_eq!(plan(Some(&want), &[Master, Backup].map(|role| SyncDaemon::new(role, "eth1", 5))), []);
        assert_eq!(plan(None, &both), [Step::Stop(Master), Step::Stop(Backup)]);
        assert_eq!(plan(None, &[]), []);
    }
}
