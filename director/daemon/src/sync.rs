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
            Step::Start(SyncDaemon { role, interface, id }) => {
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
        let want =
            want.map(|want| SyncDaemon { role, interface: want.interface.to_string(), id: want.id.into() });
        let found = observed.iter().find(|daemon| daemon.role == role);
        if found == want.as_ref() {
            continue;
        }
        steps.extend(found.map(|_| Step::Stop(role)));
        steps.extend(want.map(Step::Start));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(role: SyncRole, interface: &str, id: u32) -> SyncDaemon {
        SyncDaemon { role, interface: interface.to_owned(), id }
    }

    #[test]
    fn only_what_differs_is_changed() {
        use SyncRole::{Backup, Master};
        let want = ConnectionSync { interface: "eth1".parse().unwrap(), id: 5 };
        let both = [daemon(Master, "eth1", 5), daemon(Backup, "eth1", 5)];
        let start = both.clone().map(Step::Start);
        assert_eq!(plan(Some(&want), &[]), start);
        assert_eq!(plan(Some(&want), &both), []);
        assert_eq!(plan(Some(&want), &both[..1]), start[1..]);
        for other in [daemon(Backup, "eth0", 5), daemon(Backup, "eth1", 6)] {
            let steps = plan(Some(&want), &[both[0].clone(), other]);
            assert_eq!(steps, [Step::Stop(Backup), start[1].clone()]);
        }
        assert_eq!(plan(None, &both), [Step::Stop(Master), Step::Stop(Backup)]);
        assert_eq!(plan(None, &[]), []);
    }
}
