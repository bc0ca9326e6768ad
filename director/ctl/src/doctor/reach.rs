//! Who answers ARP, or neighbour solicitations, for virtual IPs, and whether servers take packets that are for them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use fairway_config::{Config, Family, Forward, Instance, Listen, Protocol};

use super::frames::Mac;
use super::wire::{Knock, Port};
use super::{Findings, holder};
use crate::model::Director;

/// Answers take microseconds; a busy machine's take longer.
const WAIT: Duration = Duration::from_secs(1);

/// A server that gets packets for a virtual IP by its MAC address.
struct Direct<'c> {
    service: &'c str,
    server: &'c str,
    address: IpAddr,
    vip: IpAddr,
    port: u16,
    protocol: Protocol,
}

/// What a finding is called, and says, in each family.
struct Words {
    protocol: &'static str,
    silence: &'static str,
    responder: &'static str,
    remedy: &'static str,
}

impl Words {
    fn of(address: IpAddr) -> Self {
        match Family::of(address) {
            Family::Ipv4 => Self {
                protocol: "ARP",
                silence: "arp-silence",
                responder: "arp-responder",
                remedy: "have the virtual IP on a dummy interface only, and set net.ipv4.conf.all.arp_ignore=1 and \
                         arp_announce=2",
            },
            Family::Ipv6 => Self {
                protocol: "neighbour solicitations",
                silence: "nd-silence",
                responder: "nd-responder",
                remedy: "have the virtual IP on a dummy interface only",
            },
        }
    }
}

pub(super) fn examine(findings: &mut Findings, config: &Config, director: Option<&Director>) {
    let instances: Vec<_> = config.failover.iter().flat_map(|group| &group.instances).collect();
    let vips = instances.iter().flat_map(|instance| instance.addresses()).map(|vip| vip.address);
    let all: BTreeSet<IpAddr> =
        vips.chain(config.services.iter().filter_map(|service| service.listen.address())).collect();
    let ports = Port::all(&all);
    let own: BTreeSet<IpAddr> = super::wire::addresses().into_iter().map(|(_, address)| address).collect();
    let directs: Vec<_> = directs(config).filter(|direct| !own.contains(&direct.address)).collect();
    for port in &ports {
        let moving: BTreeSet<IpAddr> = instances
            .iter()
            .flat_map(|instance| instance.addresses().map(|vip| (*instance, vip.address)))
            .filter(|(instance, vip)| port.reaches(*vip) && is_there(instance, *vip, port))
            .map(|(_, vip)| vip)
            .collect();
        let near: Vec<_> = directs.iter().filter(|direct| port.reaches(direct.address)).collect();
        let masters = moving.iter().filter_map(|vip| master(director, *vip)).filter(|m| port.reaches(*m));
        let wanted: BTreeSet<IpAddr> =
            moving.iter().copied().chain(near.iter().map(|direct| direct.address)).chain(masters).collect();
        if wanted.is_empty() {
            continue;
        }
        let found = match port.who_has(&wanted, WAIT) {
            Ok(found) => found,
            Err(error) => {
                let remedy = "run the doctor as root, and see that the interface is up";
                findings.add("arp", &port.name, format!("neighbours cannot be asked: {error}"), remedy);
                continue;
            }
        };
        for vip in &moving {
            responders(findings, director, (port, *vip), &near, &found);
        }
        servers(findings, port, &near, &found);
    }
}

/// Every interface reaches link-local addresses; they mean something on one of them only.
fn is_there(instance: &Instance, vip: IpAddr, port: &Port) -> bool {
    let local = matches!(vip, IpAddr::V6(vip) if vip.is_unicast_link_local());
    !local || port.name == instance.interface.as_str()
}

fn directs(config: &Config) -> impl Iterator<Item = Direct<'_>> {
    config.services.iter().flat_map(|service| {
        let listen = match service.listen {
            Listen::Address { address, port, protocol } => Some((address, port, protocol)),
            Listen::Fwmark { .. } => None,
        };
        let servers = service.real_servers.iter().filter(|server| server.forward == Forward::Direct);
        servers.filter_map(move |server| {
            let (vip, port, protocol) = listen?;
            let (service, name, address) = (&service.name, &server.name, server.address);
            Some(Direct { service, server: name, address, vip, port, protocol })
        })
    })
}

/// The master of a virtual IP that is not this director.
fn master(director: Option<&Director>, vip: IpAddr) -> Option<IpAddr> {
    let instance = holder(director, &vip.to_string())?;
    if instance.state == "master" { None } else { instance.master_address.parse().ok() }
}

/// Nobody but the master may answer for a virtual IP.
fn responders(
    findings: &mut Findings,
    director: Option<&Director>,
    (port, vip): (&Port, IpAddr),
    near: &[&Direct<'_>],
    found: &BTreeMap<IpAddr, BTreeSet<Mac>>,
) {
    let Some(instance) = holder(director, &vip.to_string()) else { return };
    let words = Words::of(vip);
    let answered = found.get(&vip).cloned().unwrap_or_default();
    let mut expected = BTreeSet::new();
    if instance.state != "master" {
        expected.insert(Mac::virtual_router(Family::of(vip), instance.vrid));
        expected.extend(master(director, vip).and_then(|master| found.get(&master)).into_iter().flatten());
        if answered.is_empty() {
            findings.add(
                words.silence,
                format!("{vip} on {}", port.name),
                format!("nobody answers {} for it: clients cannot reach it", words.protocol),
                "see `fairwayctl status` on the other directors: who is master, and does it have the address?",
            );
        }
    }
    for mac in answered.difference(&expected) {
        let name =
            near.iter().find(|direct| found.get(&direct.address).is_some_and(|macs| macs.contains(mac)));
        let (who, remedy) = match name {
            Some(direct) => (
                format!("{mac}, which is the real server {}", direct.server),
                format!("on {}: {}, as fairway-gen writes it", direct.server, words.remedy),
            ),
            None => (
                mac.to_string(),
                "find the machine with this address: it has the virtual IP and should not".to_owned(),
            ),
        };
        let problem =
            format!("it is answered for by {who}, and not only by the master: it takes clients away");
        findings.add(words.responder, format!("{vip} on {}", port.name), problem, remedy);
    }
}

/// Servers of direct routing take what is sent to the virtual IP.
fn servers(
    findings: &mut Findings,
    port: &Port,
    near: &[&Direct<'_>],
    found: &BTreeMap<IpAddr, BTreeSet<Mac>>,
) {
    for direct in near {
        let about = format!("{} of {}", direct.server, direct.service);
        let macs = found.get(&direct.address).cloned().unwrap_or_default();
        let Some(mac) = macs.first() else {
            let protocol = Words::of(direct.address).protocol;
            let problem = format!("nobody answers {protocol} for {} on {}", direct.address, port.name);
            findings.add("server-absent", about, problem, "start the machine; look at its cable and address");
            continue;
        };
        if macs.len() > 1 {
            let list: Vec<_> = macs.iter().map(ToString::to_string).collect();
            let problem =
                format!("{} is the address of several machines: {}", direct.address, list.join(", "));
            findings.add("duplicate-address", about, problem, "give each machine an address of its own");
            continue;
        }
        // Only TCP answers by itself.
        if direct.protocol != Protocol::Tcp || direct.port == 0 {
            continue;
        }
        match port.knock((*mac, direct.address), (direct.vip, direct.port), WAIT) {
            Ok(Knock::Open) => {}
            Ok(Knock::Refused) => findings.add(
                "server-refuses",
                about,
                format!("it has the virtual IP, and refuses connections to {}:{}", direct.vip, direct.port),
                "start the service there; it has to listen on the virtual IP, or on all addresses",
            ),
            Ok(Knock::Silence) => findings.add(
                "server-without-vip",
                about,
                format!("it does not answer packets to {}:{}", direct.vip, direct.port),
                format!(
                    "put {}/{} on a dummy interface there, as fairway-gen writes it; look at its packet filter",
                    direct.vip,
                    Family::of(direct.vip).host_prefix()
                ),
            ),
            Err(error) => {
                findings.add("arp", &port.name, format!("cannot send: {error}"), "see that the interface is up");
            }
        }
    }
}
