//! Which host of a topology this machine is.

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;

use fairway_gen::Topology;
use fairway_gen::topology::Host;

use crate::lease;
use crate::places::Places;

/// What this machine can be known by.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Host names: of the credential `system.hostname`, then the kernel's, then those that DHCP servers gave.
    pub names: Vec<String>,
    /// From /etc/machine-id.
    pub machine_id: Option<String>,
    /// Of its network interfaces, in lower case.
    pub macs: Vec<String>,
    /// Addresses that it has already.
    pub addresses: Vec<IpAddr>,
}

impl Machine {
    /// This machine. Below another root only what is in files there is looked at.
    pub fn look(places: &Places) -> Self {
        let mut machine = Self::default();
        if let Some(directory) = &places.credentials
            && let Ok(name) = fs::read_to_string(directory.join("system.hostname"))
        {
            machine.names.push(name.trim().to_owned());
        }
        let id = fs::read_to_string(places.root.join("etc/machine-id")).unwrap_or_default();
        machine.machine_id = Some(id.trim().to_owned()).filter(|id| id.len() == 32);
        if places.is_machine() {
            machine.names.extend(nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()));
            machine.addresses = addresses();
        } else if let Ok(name) = fs::read_to_string(places.root.join("etc/hostname")) {
            machine.names.push(name.trim().to_owned());
        }
        let links = fs::read_dir(places.root.join("sys/class/net")).into_iter().flatten().flatten();
        let macs = links.filter_map(|link| fs::read_to_string(link.path().join("address")).ok());
        machine.macs = macs
            .map(|mac| mac.trim().to_ascii_lowercase())
            .filter(|mac| !mac.is_empty() && mac.bytes().any(|b| !b":0".contains(&b)))
            .collect();
        machine.macs.sort();
        machine.names.extend(lease::names(places));
        machine.names.retain(|name| !name.is_empty());
        machine
    }

    /// The host of the topology that this machine is. `told`: what somebody said that it is.
    ///
    /// # Errors
    /// No host, or several; with those that there are and what this machine is called.
    pub fn identify(&self, topology: &Topology, told: Option<&str>) -> Result<String, String> {
        let hosts = &topology.hosts;
        if let Some(told) = told {
            if hosts.contains_key(told) {
                return Ok(told.to_owned());
            }
            return Err(format!(
                "this machine is said to be \"{told}\" (fairway.host), and the topology has no such host, only {}; \
                 correct one of the two",
                listed(hosts.keys().map(String::as_str))
            ));
        }
        for name in &self.names {
            let short = name.split('.').next().unwrap_or(name);
            if let Some(name) = [name.as_str(), short].into_iter().find(|name| hosts.contains_key(*name)) {
                return Ok(name.to_owned());
            }
        }
        let by_id = |host: &Host| {
            host.machine_id.as_ref().is_some_and(|id| self.machine_id.as_deref() == Some(&id.to_string()))
        };
        let by_mac = |host: &Host| host.mac.as_ref().is_some_and(|mac| self.macs.contains(&mac.to_string()));
        let by_address = |host: &Host| {
            let mut own = host.interfaces.iter().flat_map(|interface| &interface.addresses);
            own.any(|address| self.addresses.contains(&address.addr()))
        };
        let all = |is: &dyn Fn(&Host) -> bool| -> Vec<&str> {
            hosts.iter().filter(|(_, host)| is(host)).map(|(name, _)| name.as_str()).collect()
        };
        let ways =
            [("machine ID", all(&by_id)), ("MAC addresses", all(&by_mac)), ("addresses", all(&by_address))];
        for (what, found) in ways {
            match found[..] {
                [] => {}
                [one] => return Ok(one.to_owned()),
                _ => {
                    return Err(format!(
                        "by its {what} this machine is {} at once; give it a host name (credential fairway.host or \
                         system.hostname)",
                        found.join(" and ")
                    ));
                }
            }
        }
        Err(format!(
            "no host of the topology is this machine: there are {}, and {}; give it one of these names (credential \
             fairway.host or system.hostname), or write machine-id or mac at its host",
            listed(hosts.keys().map(String::as_str)),
            self.describe()
        ))
    }

    fn describe(&self) -> String {
        let mut names: Vec<_> = self.names.iter().map(|name| format!("\"{name}\"")).collect();
        names.dedup();
        let called = match &names[..] {
            [] => "it has no host name".to_owned(),
            names => format!("it is called {}", names.join(" and ")),
        };
        let id = self.machine_id.as_ref().map_or(String::new(), |id| format!(", machine ID {id}"));
        let macs = match self.macs.len() {
            0 => String::new(),
            1 => format!(", MAC address {}", self.macs[0]),
            _ => format!(", MAC addresses {}", self.macs.join(", ")),
        };
        format!("{called}{id}{macs}")
    }
}

/// Gives this machine the name that its host has in the topology, for the journal, prompts and whoever asks it, unless it
/// has it already, be it with a domain. Nothing for a machine that is no host of one.
///
/// # Errors
/// Why the kernel does not take it, for a human being.
pub fn call(host: &str) -> Result<(), String> {
    let current = nix::unistd::gethostname().unwrap_or_default();
    if host.is_empty() || is_called(&current.to_string_lossy(), host) {
        return Ok(());
    }
    nix::unistd::sethostname(host).map_err(|error| {
        format!("the host name stays \"{}\", and is not \"{host}\": {error}", current.to_string_lossy())
    })
}

fn is_called(name: &str, host: &str) -> bool {
    name == host || name.strip_prefix(host).is_some_and(|rest| rest.starts_with('.'))
}

/// The names, or as many as fit a message.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.collect();
    match names.len() {
        0 => "none".to_owned(),
        1..=SHOWN => names.join(", "),
        more => format!("{} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

fn addresses() -> Vec<IpAddr> {
    let all = nix::ifaddrs::getifaddrs().into_iter().flatten().filter_map(|entry| entry.address);
    let own: BTreeSet<IpAddr> = all
        .filter_map(|address| {
            let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
        })
        .filter(|address| !address.is_loopback())
        .collect();
    own.into_iter().collect()
}
