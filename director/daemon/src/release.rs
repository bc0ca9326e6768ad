//! `fairway-director release`: removes what a dead director left in the kernel.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::lock::Lock;
use crate::{config, table, vrrp};

/// Removes virtual routes and rules (told by their tag), virtual IPs (told by their tag, or by the configuration),
/// interfaces with virtual MACs (told by their alias) and the configured services. Does all it can, also with a
/// configuration that cannot be used: then it goes by the tags alone, which services do not have.
///
/// # Errors
/// A director is running, or what could not be removed.
pub fn release(path: &Path) -> anyhow::Result<()> {
    let _lock = Lock::take()?;
    let (config, unusable) = match config::load(path, None) {
        Ok(document) => (Some(Arc::clone(document.config())), None),
        Err(error) => (None, Some(error)),
    };
    let groups = config.as_ref().map(|c| c.failover.as_slice()).unwrap_or_default();
    let routes = vrrp::release_routes();
    if let Ok(count) = &routes {
        tracing::info!(count, "virtual routes and rules removed");
    }
    let addresses = vrrp::release(groups).context("virtual IPs are left");
    if let Ok(count) = &addresses {
        tracing::info!(count, "virtual IPs removed");
    }
    let virtual_macs = vrrp::release_virtual_macs();
    if let Ok(count) = &virtual_macs {
        tracing::info!(count, "interfaces with virtual MACs removed");
    }
    let services = config.as_ref().map(|c| c.services.as_slice()).unwrap_or_default();
    let keys: BTreeSet<_> = services.iter().map(|s| table::service_key(&s.listen)).collect();
    let deleted = table::release(&keys).context("services are left in the IPVS table");
    if let Ok((count, _)) = &deleted {
        tracing::info!(count, "services removed");
    }
    if config.as_ref().is_some_and(|config| config.connection_sync.is_some()) {
        crate::sync::release();
    }
    routes?;
    addresses?;
    virtual_macs?;
    let (_, failures) = deleted?;
    if let Some(first) = failures.first() {
        bail!("{} services are left in the IPVS table: {first}", failures.len());
    }
    match unusable {
        Some(error) => {
            let left = "services are left in the IPVS table, if there are any (`ipvsadm -C` removes all)";
            Err(anyhow::Error::from(error).context(left))
        }
        None => Ok(()),
    }
}
