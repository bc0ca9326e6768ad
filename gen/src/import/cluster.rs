//! VRRP: instances, sync groups, and what is set for all.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::Notes;
use super::grammar::Statement;
use super::script::{self, Script, Tracked};
use super::service::{self, Service};

/// What one host's file says.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Milliseconds.
    pub start_delay: u32,
    pub instances: Vec<Instance>,
    /// Names of groups and of their instances.
    pub groups: Vec<(String, Vec<String>)>,
    pub scripts: Vec<Script>,
    /// Scripts that a group tracks itself.
    pub tracked: Vec<(String, Tracked)>,
    pub services: Vec<Service>,
    /// The statements that `services` were made of.
    pub written: Vec<Statement>,
}

/// A `vrrp_instance`.
#[derive(Debug, Default)]
pub struct Instance {
    pub line: usize,
    pub name: String,
    pub interface: String,
    pub vrid: u8,
    pub priority: u8,
    /// Milliseconds.
    pub advert: u32,
    pub down_timer: Option<u8>,
    /// Settings of announcements, with keys and values as the topology has them.
    pub announce: IndexMap<&'static str, String>,
    pub version: u8,
    /// "pass" or "ah".
    pub auth: Option<&'static str>,
    /// With a prefix length where one is written.
    pub addresses: Vec<String>,
    pub excluded: Vec<String>,
    pub preempt: bool,
    pub preempt_delay: Option<String>,
    pub unicast: bool,
    pub virtual_mac: bool,
    pub transmit_from_base: bool,
    pub tracked: Tracked,
    pub source: Option<IpAddr>,
}

pub fn read(statements: &[Statement], notes: &mut Notes<'_>) -> Cluster {
    let mut cluster = Cluster::default();
    let defaults = statements.iter().filter(|statement| statement.word(0) == "global_defs");
    let version = defaults.flat_map(|statement| &statement.body).find(|s| s.word(0) == "vrrp_version");
    let version = version.and_then(|statement| statement.word(1).parse().ok()).unwrap_or(2);
    for statement in statements {
        match statement.word(0) {
            "global_defs" => {
                for statement in &statement.body {
                    match (statement.word(0), statement.word(1).parse::<f64>()) {
                        ("router_id" | "lvs_id" | "vrrp_version", _) => {}
                        ("vrrp_startup_delay", Ok(seconds)) if (0.0..=1000.0).contains(&seconds) => {
                            cluster.start_delay = milliseconds(seconds);
                        }
                        _ => notes.left_out(statement),
                    }
                }
            }
            "vrrp_instance" if cluster.instances.iter().any(|i| i.name == statement.word(1)) => {
                notes.add(statement.line, "there is an instance of this name already: not carried over");
            }
            "vrrp_sync_group" if cluster.groups.iter().any(|(name, _)| name == statement.word(1)) => {
                notes.add(statement.line, "there is a group of this name already: not carried over");
            }
            "vrrp_script" => cluster.scripts.extend(Script::read(statement, notes)),
            "vrrp_instance" => cluster.instances.push(instance(statement, version, notes)),
            "vrrp_sync_group" => {
                let (mut members, mut tracked) = (Vec::new(), Vec::new());
                for inner in &statement.body {
                    match inner.word(0) {
                        "track_script" => tracked.extend(script::tracked(inner, notes)),
                        "group" if !inner.body.is_empty() => {
                            members.extend(inner.body.iter().flat_map(|s| s.words.iter().cloned()));
                        }
                        _ => notes.left_out(inner),
                    }
                }
                cluster.tracked.push((statement.word(1).to_owned(), tracked));
                cluster.groups.push((statement.word(1).to_owned(), members));
            }
            "virtual_server" => {
                let Some(service) = service::read(statement, notes) else { continue };
                if cluster.services.iter().any(|other| other.is(&service)) {
                    notes.add(statement.line, "there is a virtual_server of these already: not carried over");
                } else {
                    cluster.services.push(service);
                    cluster.written.push(statement.clone());
                }
            }
            _ => notes.left_out(statement),
        }
    }
    cluster
}

/// A setting of announcements; `None` for one that the topology does not have.
fn announcement(word: &str, value: &str) -> Option<(&'static str, String)> {
    let seconds = |key| Some((key, format!("\"{}s\"", value.parse::<u16>().ok()?)));
    let count = |key| Some((key, value.parse::<u16>().ok()?.to_string()));
    match word {
        "garp_master_delay" => seconds("delay"),
        "garp_master_refresh" => seconds("refresh"),
        "garp_lower_prio_delay" => seconds("lower-priority-delay"),
        "garp_master_repeat" => count("repeat"),
        "garp_master_refresh_repeat" => count("refresh-repeat"),
        "garp_lower_prio_repeat" => count("lower-priority-repeat"),
        _ => None,
    }
}

fn instance(statement: &Statement, version: u8, notes: &mut Notes<'_>) -> Instance {
    let mut instance = Instance {
        line: statement.line,
        name: statement.word(1).to_owned(),
        interface: "eth0".to_owned(),
        priority: 100,
        advert: 1000,
        version,
        preempt: true,
        ..Instance::default()
    };
    let mut checksum_as_v2 = false;
    for inner in &statement.body {
        let value = inner.word(1);
        let understood = match inner.word(0) {
            // Who is master follows from the priorities.
            "state" | "skip_check_adv_addr" | "accept" | "dynamic_interfaces" => true,
            "interface" if !value.is_empty() => {
                instance.interface = value.to_owned();
                true
            }
            "virtual_router_id" => number(value, &mut instance.vrid),
            "priority" => number(value, &mut instance.priority),
            "version" => number(value, &mut instance.version),
            "advert_int" => {
                match value.parse::<f64>().ok().filter(|seconds| (0.01..=255.0).contains(seconds)) {
                    Some(seconds) => {
                        instance.advert = milliseconds(seconds);
                        true
                    }
                    None => false,
                }
            }
            "down_timer_adverts" => {
                let mut adverts = 0;
                let read = number(value, &mut adverts) && (1..=100).contains(&adverts);
                instance.down_timer = read.then_some(adverts);
                read
            }
            word if word.starts_with("garp_") => {
                let setting = announcement(word, value);
                let read = setting.is_some();
                instance.announce.extend(setting);
                read
            }
            "nopreempt" => {
                instance.preempt = false;
                true
            }
            "preempt" => true,
            "preempt_delay" => {
                instance.preempt_delay =
                    value.parse::<u16>().ok().filter(|s| *s > 0).map(|s| format!("{s}s"));
                value.parse::<u16>().is_ok()
            }
            "mcast_src_ip" | "unicast_src_ip" => {
                instance.source = value.parse().ok();
                instance.source.is_some()
            }
            // The peers are the other directors.
            "unicast_peer" => {
                instance.unicast = true;
                true
            }
            "v3_checksum_as_v2" => {
                checksum_as_v2 = true;
                true
            }
            "authentication" => {
                for key in &inner.body {
                    match (key.word(0), key.word(1)) {
                        ("auth_type", "PASS" | "pass") => instance.auth = Some("pass"),
                        ("auth_type", "AH" | "ah") => instance.auth = Some("ah"),
                        ("auth_pass", _) => {}
                        _ => notes.left_out(key),
                    }
                }
                true
            }
            "virtual_ipaddress" => {
                instance.addresses = addresses(inner, &instance.interface, notes);
                true
            }
            "virtual_ipaddress_excluded" => {
                instance.excluded = addresses(inner, &instance.interface, notes);
                true
            }
            // The interface gets its name from the VRID.
            "use_vmac" if inner.words.len() <= 2 => {
                instance.virtual_mac = true;
                true
            }
            "vmac_xmit_base" => {
                instance.transmit_from_base = true;
                true
            }
            "track_script" => {
                instance.tracked = script::tracked(inner, notes);
                true
            }
            "track_interface" => {
                let own = |s: &&Statement| s.words != [instance.interface.clone()];
                inner.body.iter().filter(own).for_each(|s| {
                    notes.add(s.line, format!("track_interface {}: not carried over", s.word(0)));
                });
                true
            }
            _ => false,
        };
        if !understood {
            notes.left_out(inner);
        }
    }
    if instance.addresses.iter().any(|address| address.contains(':')) {
        instance.version = 3;
    }
    if instance.priority == 255 {
        instance.priority = 254;
        notes.add(statement.line, "priority 255 becomes 254: here no director owns the addresses");
    }
    if instance.vrid == 0 {
        notes.add(statement.line, "has no virtual_router_id: one is chosen");
    }
    if instance.version == 3 && instance.auth.take().is_some() {
        notes.add(
            statement.line,
            "authentication: keepalived 2.2 does none in version 3; the topology has auth = { hmac = .. } for it",
        );
    }
    if instance.version == 3 && !checksum_as_v2 {
        notes.add(
            statement.line,
            "checksum = \"rfc5798\" is what keepalived sends: leave it out once no keepalived is left in the group",
        );
    }
    if instance.version == 2 && !instance.advert.is_multiple_of(1000) {
        instance.advert = (instance.advert.div_ceil(1000)) * 1000;
        notes.add(statement.line, "advert_int: rounded up to whole seconds, which version 2 wants");
    }
    instance
}

pub fn milliseconds(seconds: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "callers give up to a day of seconds"
    )]
    let milliseconds = (seconds * 1000.0).round() as u32;
    milliseconds
}

fn number(text: &str, into: &mut u8) -> bool {
    let Ok(number) = text.parse() else { return false };
    *into = number;
    true
}

/// The addresses of a list, with what is said about them beside their interface.
fn addresses(statement: &Statement, interface: &str, notes: &mut Notes<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for inner in &statement.body {
        let (address, length) = inner.word(0).split_once('/').unwrap_or((inner.word(0), ""));
        if address.parse::<IpAddr>().is_err() || !length.is_empty() && length.parse::<u8>().is_err() {
            notes.add(inner.line, format!("\"{}\" is no address: not carried over", inner.word(0)));
            continue;
        }
        found.push(inner.word(0).to_owned());
        let mut words = inner.words.iter().skip(1);
        while let Some(word) = words.next() {
            let value = words.next().map_or("", String::as_str);
            if word != "dev" || value != interface {
                notes.add(inner.line, format!("{address}: {word} {value}: not carried over"));
            }
        }
    }
    found
}
