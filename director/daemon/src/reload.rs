//! Putting a new configuration in force: completely, or not at all.

use std::sync::Arc;
use std::time::Duration;

use fairway_config::Config;

use crate::status::{Handle, Refused, ServicesCommand, VrrpCommand};

/// A part that has not answered within this time is taken for stuck.
const PATIENCE: Duration = Duration::from_secs(20);

/// Gives `new` to both parts. Services come first: a new VIP must not answer before there is something behind
/// it. If one part refuses, the other gets `old` back.
///
/// # Errors
/// [`Refused`] with the reason; `old` is in force then.
pub async fn apply(
    vrrp: &Handle<VrrpCommand>,
    services: &Handle<ServicesCommand>,
    old: &Arc<Config>,
    new: &Arc<Config>,
) -> Result<(), Refused> {
    if let Err(refused) = reconfigure_services(services, new).await {
        roll_back("services", reconfigure_services(services, old).await);
        return Err(refused);
    }
    if let Err(refused) = reconfigure_vrrp(vrrp, new).await {
        roll_back("VRRP", reconfigure_vrrp(vrrp, old).await);
        roll_back("services", reconfigure_services(services, old).await);
        return Err(refused);
    }
    Ok(())
}

fn roll_back(part: &'static str, result: Result<(), Refused>) {
    if let Err(error) = result {
        tracing::error!(part, %error, "cannot go back to the last good configuration; restart the director");
    }
}

async fn reconfigure_vrrp(vrrp: &Handle<VrrpCommand>, config: &Config) -> Result<(), Refused> {
    let groups = config.failover.clone();
    patiently("VRRP", vrrp.ask(|reply| VrrpCommand::Reconfigure { groups, reply })).await
}

async fn reconfigure_services(
    services: &Handle<ServicesCommand>,
    config: &Arc<Config>,
) -> Result<(), Refused> {
    let config = Arc::clone(config);
    patiently("services", services.ask(|reply| ServicesCommand::Reconfigure { config, reply })).await
}

async fn patiently(part: &str, answer: impl Future<Output = Result<(), Refused>>) -> Result<(), Refused> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => Err(Refused(format!(
            "the {part} part has not answered within {} s; look at the log and try again",
            PATIENCE.as_secs()
        ))),
    }
}

#[cfg(test)]
mod tests;
