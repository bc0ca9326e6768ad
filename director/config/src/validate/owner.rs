//! What is wrong with a group whose virtual IPs are the host's own addresses.

use crate::{FailoverGroup, Preempt};

use super::Found;

/// What the owner of addresses cannot do: they stay with it.
pub(super) fn problems(found: &mut Found, at: &str, group: &FailoverGroup) {
    let owners = group.instances.iter().filter(|instance| instance.is_owner()).count();
    if owners == 0 {
        return;
    }
    if owners < group.instances.len() {
        let message = "an owner (255) has the addresses of all instances; give all of them 255, or none";
        found.add(format!("{at}.priority"), message);
    }
    if group.preempt != Preempt::Always {
        found.add(
            format!("{at}.preempt"),
            "the owner of the addresses is master whenever it runs (RFC 9568 section 6.1); use preempt = true",
        );
    }
    if !group.start_delay.get().is_zero() {
        found.add(
            format!("{at}.start-delay"),
            "the owner of the addresses is master as soon as it runs: nobody else is to have them then; remove this",
        );
    }
    if !group.track.is_empty() {
        found.add(
            format!("{at}.track"),
            "the owner keeps its addresses whatever is tracked; remove the trackers, or use a priority below 255",
        );
    }
    for instance in &group.instances {
        let at = |key: &str| format!("{at}.instance.{}.{key}", instance.name);
        if instance.source.is_some_and(|source| instance.addresses().any(|vip| vip.address == source)) {
            found.add(
                at("source"),
                "a host that stands in for the owner takes no adverts from an address that it has; give another one",
            );
        }
        if instance.virtual_mac.is_some() {
            found.add(at("virtual-mac"), "the owner's addresses are on its own interface; remove this");
        }
        if !instance.unicast_peers.is_empty() {
            found.add(
                at("unicast-peers"),
                "the backups could not tell the owner's address from their own while they have it; use multicast",
            );
        }
        if !instance.excluded_ips.is_empty() {
            found.add(
                at("excluded-ips"),
                "the owner advertises all of its addresses; move them to virtual-ips",
            );
        }
    }
}
