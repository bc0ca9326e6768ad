//! Kernel settings and modules.

use std::collections::BTreeSet;

use fairway_config::Family;

use super::{Roles, Tunnels};
use crate::topology::{Host, Topology};

/// One sysctl and why it is set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The reason, as a sentence.
    pub reason: &'static str,
    /// The keys, as sysctl.d(5) writes them, and their value.
    pub values: Vec<(String, u8)>,
}

/// A setting of one interface; slashes keep the dots of VLAN interface names apart.
fn of_interface(family: &str, interface: &str, key: &str) -> String {
    if interface.contains('.') {
        format!("net/{family}/conf/{interface}/{key}")
    } else {
        format!("net.{family}.conf.{interface}.{key}")
    }
}

/// The sysctls of a host.
pub(super) fn settings(
    topology: &Topology,
    host: &Host,
    roles: &Roles<'_>,
    tunnels: &Tunnels,
) -> Vec<Setting> {
    let mut settings = Vec::new();
    let mut set = |reason, values: Vec<(String, u8)>| settings.push(Setting { reason, values });
    let key = |key: &str, value| (key.to_owned(), value);
    let serves_direct =
        roles.serves.iter().any(|(s, l, _)| s.forward.keeps_destination() && l.address.is_ipv4());
    if roles.is_director() {
        set(
            "Answer ARP only for addresses of the interface asked: a stopping director parks its VIPs on lo.",
            vec![key("net.ipv4.conf.all.arp_ignore", 1)],
        );
        let forwards = |family| roles.forwards_replies(family) || roles.routes(family);
        let (forward4, forward6) = (forwards(Family::Ipv4), forwards(Family::Ipv6));
        if forward4 || forward6 {
            let mut values = vec![key("net.ipv4.ip_forward", forward4.into())];
            if forward6 || roles.uses(Family::Ipv6) {
                values.push(key("net.ipv6.conf.all.forwarding", forward6.into()));
            }
            let routes = roles.routes(Family::Ipv4) || roles.routes(Family::Ipv6);
            let reason = if routes {
                "A router: what is for others is forwarded."
            } else {
                "NAT: the servers' replies are forwarded."
            };
            set(reason, values);
        } else {
            let mut values = vec![key("net.ipv4.ip_forward", 0)];
            if roles.uses(Family::Ipv6) {
                values.push(key("net.ipv6.conf.all.forwarding", 0));
            }
            set(
                "Neither direct routing nor tunnels need forwarding, and forwarding would hide a service that is not there.",
                values,
            );
        }
        if roles.groups.iter().any(|(_, group)| group.nonlocal_bind) {
            let families = [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")];
            let used = families.iter().filter(|(family, _)| {
                roles.groups.iter().any(|(_, group)| group.nonlocal_bind && group.has(*family))
            });
            set(
                "Programs bind to virtual IPs that are not here yet.",
                used.map(|(_, family)| (format!("net.{family}.ip_nonlocal_bind"), 1)).collect(),
            );
        }
        let mut redirects = vec![key("net.ipv4.conf.all.send_redirects", 0)];
        redirects.extend(
            host.interfaces.iter().map(|i| (of_interface("ipv4", i.name.as_str(), "send_redirects"), 0)),
        );
        set("Never tell anyone a way around the director.", redirects);
        set(
            "Connections leave a server that was taken out, and new ones may reuse a port at once.",
            vec![
                key("net.ipv4.vs.expire_nodest_conn", 1),
                key("net.ipv4.vs.expire_quiescent_template", 1),
                key("net.ipv4.vs.conn_reuse_mode", 1),
            ],
        );
        if topology.connection_sync.is_some() {
            set(
                "Connections are told to the other directors when their state changes, twice, and every ten seconds.",
                vec![key("net.ipv4.vs.sync_refresh_period", 10), key("net.ipv4.vs.sync_retries", 1)],
            );
        }
        if roles.tracks_ipvs() {
            set(
                "Netfilter tracks the connections of IPVS: full NAT and the SYN proxy work on them.",
                vec![key("net.ipv4.vs.conntrack", 1)],
            );
        } else {
            set(
                "IPVS keeps its own connections; netfilter does not track them too.",
                vec![key("net.ipv4.vs.conntrack", 0)],
            );
        }
        let macs = roles.virtual_macs(host).flat_map(|(_, name)| {
            // They come when the director makes the interface; until then there is nothing to set.
            let key = |key| (format!("-net.ipv6.conf.{name}.{key}"), 0);
            [key("accept_ra"), key("autoconf")]
        });
        let macs: Vec<_> = macs.collect();
        if !macs.is_empty() {
            set(
                "Interfaces with a virtual MAC address: no addresses or routes from router advertisements.",
                macs,
            );
        }
        let probed = probed_through(topology, host, roles);
        if !probed.is_empty() {
            let values = probed.into_iter().map(|i| (of_interface("ipv4", i, "accept_local"), 1)).collect();
            set(
                "Checks with via = \"vip\": a server answers the master's probes with the master's own VIP as sender.",
                values,
            );
        }
        if roles.directs.iter().any(|(s, _)| s.syn_proxy) {
            set(
                "SYN proxy: a packet in the middle of an unknown connection opens none.",
                vec![key("net.netfilter.nf_conntrack_tcp_loose", 0)],
            );
        }
    } else if serves_direct {
        set(
            "The VIPs are here too: leave answering ARP for them to the director.",
            vec![key("net.ipv4.conf.all.arp_ignore", 1)],
        );
    }
    if serves_direct {
        set(
            "Never name a VIP as the sender of an ARP request.",
            vec![key("net.ipv4.conf.all.arp_announce", 2)],
        );
    }
    let unwrapped: Vec<(String, u8)> = tunnels
        .devices
        .iter()
        .filter(|device| !device.vips.is_empty())
        .map(|device| (of_interface("ipv4", &device.name, "rp_filter"), 2))
        .collect();
    if !unwrapped.is_empty() {
        set(
            "Clients come out of the tunnel and are answered elsewhere: no strict check of the way back.",
            unwrapped,
        );
    }
    settings
}

/// Where answers to probes of IPv4 virtual IPs come in: from the servers' networks, or from anywhere if the host is in
/// none of them.
fn probed_through<'t>(topology: &Topology, host: &'t Host, roles: &Roles<'_>) -> BTreeSet<&'t str> {
    let mut interfaces = BTreeSet::new();
    for (service, listen, _) in roles.probes_of_vips(topology).filter(|(_, l, _)| l.address.is_ipv4()) {
        for server in service.servers.iter().filter_map(|server| server.address(Family::of(listen.address))) {
            match server.network.as_ref().and_then(|network| host.interface_in(network)) {
                Some(interface) => {
                    interfaces.insert(interface.name.as_str());
                }
                None => interfaces.extend(host.interfaces.iter().map(|interface| interface.name.as_str())),
            }
        }
    }
    interfaces
}

/// The modules of a host.
pub(super) fn modules(
    topology: &Topology,
    host: &Host,
    roles: &Roles<'_>,
    (dummy, tunnels): (bool, &Tunnels),
) -> Vec<String> {
    let mut modules = Vec::new();
    if roles.is_director() {
        modules.push("ip_vs".to_owned());
        let schedulers: BTreeSet<_> = roles.directs.iter().map(|(s, _)| s.scheduler.name()).collect();
        modules.extend(schedulers.into_iter().map(|s| format!("ip_vs_{s}")));
        if roles.virtual_macs(host).next().is_some() {
            modules.push("macvlan".to_owned());
        }
        if super::firewall::tracks_connections(topology, host, roles) {
            modules.push("nf_conntrack".to_owned());
        }
    }
    if dummy {
        modules.push("dummy".to_owned());
    }
    modules.extend(super::tunnel::modules(tunnels).into_iter().map(str::to_owned));
    modules
}
