//! The state of the director in one line, and whether it is ready.

use std::fmt::Write as _;
use std::sync::Arc;

use fairway_config::Config;

use crate::status::{ServicesStatus, VrrpStatus};
use crate::table::{KernelStatus, TableStatus};

/// Ready means: every group takes part in its election (or knows why it cannot), and the kernel's table has been
/// written once or is known not to be there.
pub fn is_ready(config: &Config, vrrp: &VrrpStatus, table: &TableStatus) -> bool {
    let elected = |name| vrrp.get(name).is_some_and(|group| group.state != "init");
    config.failover.iter().all(|group| elected(&group.name)) && attempted(table)
}

fn attempted(table: &TableStatus) -> bool {
    table.generation > 0 || matches!(table.kernel, KernelStatus::Unavailable(_))
}

/// For `systemctl status`: `edge master; 2 services, 4/4 servers up`.
pub fn summary(
    vrrp: &VrrpStatus,
    services: &ServicesStatus,
    kernel: &KernelStatus,
    reload_failed: bool,
) -> String {
    let mut parts = Vec::new();
    if !vrrp.is_empty() {
        let group = |(name, group): (&String, &Arc<crate::status::GroupStatus>)| {
            let forced = if group.forced == "auto" { "" } else { " (forced)" };
            format!("{name} {}{forced}", group.state)
        };
        parts.push(vrrp.iter().map(group).collect::<Vec<_>>().join(", "));
    }
    if !services.is_empty() {
        let servers: Vec<_> = services.values().flat_map(|s| s.real_servers.values()).collect();
        let up = servers.iter().filter(|server| server.health == "up").count();
        let drained = servers.iter().filter(|server| server.drained()).count();
        let plural = if services.len() == 1 { "" } else { "s" };
        let mut text = format!("{} service{plural}, {up}/{} servers up", services.len(), servers.len());
        if drained > 0 {
            let _ = write!(text, ", {drained} drained");
        }
        parts.push(text);
    }
    let errors = services.values().filter(|service| service.kernel_error.is_some()).count();
    match kernel {
        KernelStatus::Unavailable(reason) if !services.is_empty() => parts.push(format!("no IPVS: {reason}")),
        _ if errors > 0 => parts.push(format!("{errors} not programmed")),
        _ => {}
    }
    if reload_failed {
        parts.push("the last reload failed".to_owned());
    }
    if parts.is_empty() { "nothing configured".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests;
