//! Which lines of which files are there because of one service or virtual IP.
//!
//! The files are rendered three times: as they are, for a topology with nothing but the subject, and for one with
//! nothing at all. What the second has and the third has not is there for the subject; the first says where.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::plan::{HostPlan, Plans};
use crate::render::{Error, Renderer};
use crate::topology::{FirewallPolicy, Forward, Topology};
use crate::words::{listen_text, vip_names};

/// What is explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'t> {
    /// A service, by its name.
    Service(&'t str),
    /// A virtual IP, by its name.
    VirtualIp(&'t str),
}

/// Everything about a subject.
#[derive(Debug)]
pub struct Explanation {
    /// What it is, as lines.
    pub summary: Vec<String>,
    /// The hosts that have to do with it, in the order of the topology.
    pub hosts: Vec<HostPart>,
}

/// What a host has because of the subject.
#[derive(Debug)]
pub struct HostPart {
    /// The host.
    pub host: String,
    /// What it is to the subject, such as `director`.
    pub role: &'static str,
    /// Its files that have such lines.
    pub files: Vec<FilePart>,
}

/// Lines of one file.
#[derive(Debug)]
pub struct FilePart {
    /// The path below the host's root.
    pub path: String,
    /// The lines, in order.
    pub lines: Vec<Line>,
}

/// One line, or the first of several that belong together.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, counted from 1.
    pub first: usize,
    /// The number of the last line.
    pub last: usize,
    /// What it says.
    pub text: String,
    /// Why it is there.
    pub why: String,
}

/// Everything of a name, or of an address of a virtual IP: it may be both a service and a virtual IP.
pub fn subjects<'t>(topology: &'t Topology, name: &str) -> Vec<Subject<'t>> {
    let service = topology.services.get_key_value(name).map(|(name, _)| Subject::Service(name));
    let address: Option<IpAddr> = name.parse().ok();
    let vip = topology.virtual_ips.iter().find(|(n, vip)| *n == name || Some(vip.address) == address);
    service.into_iter().chain(vip.map(|(name, _)| Subject::VirtualIp(name))).collect()
}

/// Explains a subject.
///
/// # Errors
/// Only on a defect of the generator.
pub fn explain(topology: &Topology, subject: Subject<'_>) -> Result<Explanation, Error> {
    let narrow = narrowed(topology, subject);
    let bare = Topology {
        groups: Default::default(),
        services: Default::default(),
        nat_routes: Default::default(),
        ..narrow.clone()
    };
    let (plans, narrow_plans, bare_plans) = (Plans::new(topology), Plans::new(&narrow), Plans::new(&bare));
    let renderer = Renderer::new();
    let mut hosts = Vec::new();
    for host in narrow_plans.hosts() {
        let role = match (narrow_plans.is_director(host), narrow_plans.is_real_server(host)) {
            (true, false) => "director",
            (false, true) => "real server",
            (true, true) => "director and real server",
            (false, false) if narrow.nat_routes.keys().any(|(h, _)| h == host) => "routed through it",
            (false, false) => continue,
        };
        let all = [&plans, &narrow_plans, &bare_plans].map(|plans| plans.host(host));
        let [Some(plan), Some(narrow), Some(bare)] = all else { continue };
        hosts.push(HostPart { host: host.to_owned(), role, files: files(&renderer, &plan, &narrow, &bare)? });
    }
    Ok(Explanation { summary: summary(topology, subject), hosts })
}

/// The topology with nothing but the subject.
fn narrowed(topology: &Topology, subject: Subject<'_>) -> Topology {
    let mut narrow = topology.clone();
    narrow.firewall = FirewallPolicy::Accept;
    narrow.allow.clear();
    match subject {
        Subject::Service(name) => {
            let service = &topology.services[name];
            let servers: HashSet<&str> =
                service.servers.iter().filter(|s| s.managed).map(|s| s.name.as_str()).collect();
            let nat = service.forward == Forward::Nat;
            narrow.services.retain(|n, _| n == name);
            narrow.groups.retain(|n, _| service.listens.iter().any(|l| l.group.as_ref() == Some(n)));
            narrow.nat_routes.retain(|(host, _), _| nat && servers.contains(host.as_str()));
        }
        Subject::VirtualIp(name) => {
            let address = topology.virtual_ips[name].address;
            for service in narrow.services.values_mut() {
                service.listens.retain(|l| l.address == address);
            }
            narrow.services.retain(|_, service| !service.listens.is_empty());
            narrow.groups.retain(|_, group| group.virtual_ips.iter().any(|v| v == name));
            narrow.nat_routes.retain(|_, route| route.gateway == address);
        }
    }
    narrow
}

fn summary(topology: &Topology, subject: Subject<'_>) -> Vec<String> {
    let names = vip_names(topology);
    match subject {
        Subject::Service(name) => {
            let service = &topology.services[name];
            let mut lines = vec![format!("service {name}")];
            for listen in &service.listens {
                let directors = listen.directors.join(", ");
                let group =
                    listen.group.as_ref().map(|g| format!(", failover group {g}")).unwrap_or_default();
                let text = listen_text(&names, service, listen);
                lines.push(format!("  listens on {text}: directors {directors}{group}"));
            }
            lines.push(format!("  {}", service.forward.meaning()));
            for server in &service.servers {
                let addresses: Vec<String> = server.addresses.iter().map(|a| a.address.to_string()).collect();
                let port = server.port.map(|p| format!(" port {p}")).unwrap_or_default();
                lines.push(format!("  real server {} at {}{port}", server.name, addresses.join(", ")));
            }
            lines
        }
        Subject::VirtualIp(name) => {
            let vip = &topology.virtual_ips[name];
            let mut lines = vec![format!("virtual IP {name} {}", vip.address)];
            lines.push(match &vip.network {
                Some(network) => format!("  in network {network}"),
                None => "  in no network: its packets are routed here by something else".to_owned(),
            });
            for (group, g) in topology.groups.iter().filter(|(_, g)| g.virtual_ips.iter().any(|v| v == name))
            {
                let directors: Vec<&str> = g.directors.iter().map(|(d, _)| d.as_str()).collect();
                lines
                    .push(format!("  moves with failover group {group}: directors {}", directors.join(", ")));
            }
            for (service, s) in &topology.services {
                for listen in s.listens.iter().filter(|l| l.address == vip.address) {
                    lines.push(format!("  service {service} listens on {}", listen_text(&names, s, listen)));
                }
            }
            if topology.nat_routes.values().any(|r| r.gateway == vip.address) {
                lines.push("  is the default route of NAT real servers".to_owned());
            }
            lines
        }
    }
}

/// The lines of one host's files.
fn files(
    renderer: &Renderer,
    plan: &HostPlan,
    narrow: &HostPlan,
    bare: &HostPlan,
) -> Result<Vec<FilePart>, Error> {
    let (full, mut only, none) = (renderer.files(plan)?, renderer.files(narrow)?, renderer.files(bare)?);
    let mut found = Vec::new();
    for (path, text) in &full {
        let Some(only) = only.remove(path) else { continue };
        let lines = if path.ends_with("director.toml") {
            blocks(text, narrow)
        } else {
            let without: HashSet<_> = none
                .get(path)
                .map(|text| statements(text))
                .unwrap_or_default()
                .into_iter()
                .map(|s| s.key())
                .collect();
            let mut with: HashMap<_, _> =
                statements(&only).into_iter().map(|s| (s.key(), s.comment.clone())).collect();
            with.retain(|key, _| !without.contains(key));
            let wanted = statements(text).into_iter().filter_map(|s| {
                // The comment may be about other services too; the narrow one is about this.
                let comment = with.get(&s.key())?.clone();
                Some(Statement { comment, ..s }.line(path))
            });
            wanted.collect()
        };
        if !lines.is_empty() {
            found.push(FilePart { path: path.clone(), lines });
        }
    }
    Ok(found)
}

/// A line that sets something, where it is and what is said about it.
struct Statement<'t> {
    number: usize,
    text: &'t str,
    /// The line that opens the block or section it is in.
    block: &'t str,
    /// The comment above it.
    comment: String,
}

/// The statements of a file, whatever its format: all have `#` comments, and sections or blocks in braces.
fn statements(text: &str) -> Vec<Statement<'_>> {
    let mut found = Vec::new();
    let (mut block, mut comment, mut goes_on) = ("", String::new(), false);
    // The first line tells where the file is from.
    for (number, line) in text.lines().enumerate().skip(1) {
        let line = line.trim();
        if let Some(words) = line.strip_prefix("# ") {
            if !goes_on {
                comment.clear();
            }
            comment.push_str(if comment.is_empty() { "" } else { " " });
            comment.push_str(words);
            goes_on = true;
            continue;
        }
        goes_on = false;
        match line {
            "" => comment.clear(),
            "}" | "elements = {" => {}
            _ if line.starts_with('[') || line.starts_with("set ") || line.starts_with("chain ") => {
                block = line
            }
            _ if line.starts_with("type ") => {}
            _ => found.push(Statement { number: number + 1, text: line, block, comment: comment.clone() }),
        }
    }
    found
}

impl<'t> Statement<'t> {
    /// What makes it the same statement in another rendering: sets in a rule may have more elements there.
    fn key(&self) -> (&'t str, &'t str) {
        (self.block, self.text.split(" { ").next().unwrap_or(self.text))
    }

    fn line(self, path: &str) -> Line {
        let why = self.why(path);
        Line { first: self.number, last: self.number, text: self.text.trim_end_matches(',').to_owned(), why }
    }

    fn why(&self, path: &str) -> String {
        let fixed = if path.starts_with("etc/modules-load.d/") {
            match self.text {
                "ip_vs" => "The kernel's load balancer.",
                "nf_conntrack" => "Connections are tracked for address translation or the SYN proxy.",
                "dummy" => "The VIPs are on an interface of this kind.",
                "ipip" | "sit" | "ip_gre" | "ip6_gre" | "ip6_tunnel" | "fou" => {
                    "Unwraps what comes through the tunnel."
                }
                _ => "The scheduler.",
            }
        } else if path.starts_with("etc/systemd/network/10-fairway0.") {
            "The VIP is here too, so that this host accepts the packets a director passes on."
        } else if path.starts_with("etc/fairway/gue-") {
            "The tunnel's UDP port."
        } else if path.starts_with("etc/systemd/network/10-fairway0-") {
            "What a director wraps for this host is unwrapped here."
        } else if self.block.starts_with("set tunnel") {
            "Its clients are told a segment size that fits the tunnel."
        } else if self.block.starts_with("set services") {
            "Clients are let in."
        } else if self.block.starts_with("set handed") {
            "What another director hands to this host is answered here."
        } else if self.block.starts_with("set served") {
            "The host answers as a real server."
        } else if self.block.starts_with("set replies") {
            "The server's replies are let through."
        } else if self.text.starts_with("Gateway=") {
            "Replies go back through the director that has the VIP."
        } else if self.block.starts_with("set mark") {
            "Its packets are marked: the mark is the service."
        } else if self.block.starts_with("set syn_proxy") {
            "Its clients must prove their address first."
        } else if self.block.starts_with("set full_nat") {
            "Its servers see another source address."
        } else if self.block.starts_with("chain postrouting") && self.comment.is_empty() {
            "What the servers send out on their own gets the director's address."
        } else {
            &self.comment
        };
        fixed.to_owned()
    }
}

/// The blocks of director.toml for what the narrowed plan has.
fn blocks(text: &str, narrow: &HostPlan) -> Vec<Line> {
    let Some(director) = &narrow.director else { return Vec::new() };
    let top = |line: &str| {
        line == "[[failover]]"
            || line == "[[service]]"
            || line.starts_with("[notify.")
            || line.strip_prefix("[checks.").is_some_and(|rest| !rest.trim_end_matches(']').contains('.'))
    };
    let lines: Vec<&str> = text.lines().collect();
    let starts: Vec<usize> = (0..lines.len()).filter(|n| top(lines[*n])).collect();
    let mut found = Vec::new();
    for (place, start) in starts.iter().enumerate() {
        let end = starts.get(place + 1).copied().unwrap_or(lines.len());
        let last = (*start..end).rev().find(|n| !lines[*n].is_empty()).unwrap_or(*start);
        let name = lines[start + 1].strip_prefix("name = ").unwrap_or_default().trim_matches('"');
        let check = lines[*start].trim_start_matches("[checks.").trim_end_matches(']').trim_matches('"');
        let why = match lines[*start] {
            "[[failover]]" if director.failover.iter().any(|g| g.name == name) => {
                "One director at a time has the VIPs of the group."
            }
            "[[service]]" if director.services.iter().any(|s| s.name == name) => {
                "Connections are spread over the real servers."
            }
            "[[failover]]" | "[[service]]" => continue,
            notify if notify.starts_with("[notify.") => continue,
            _ if director.checks.contains_key(check) => "Real servers that fail it get no new connections.",
            _ => continue,
        };
        let text = format!("{} {name}", lines[*start]).trim_end().to_owned();
        found.push(Line { first: start + 1, last: last + 1, text, why: why.to_owned() });
    }
    found
}
