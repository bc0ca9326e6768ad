//! The rules of virtual services.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::{Found, whole_seconds};
use crate::{
    Check, Config, Family, Forward, Listen, OnFailure, PROBE_MARK, PROBE_MARK_MASK, Probe, ProbeTransport,
    Protocol, Quorum, RealServer, Scheduler, SchedulerFlag, Service, Tunnel, TunnelChecksum, TunnelKind, Via,
};

/// The largest weight the kernel takes: it counts in a signed 32-bit number.
const MAX_WEIGHT: u64 = i32::MAX as u64;

/// A place in a service. It is put into words only where something is wrong: most of a large file is right.
#[derive(Clone, Copy)]
struct At<'a> {
    service: &'a str,
    part: Part<'a>,
    key: &'static str,
}

#[derive(Clone, Copy)]
enum Part<'a> {
    Service,
    Server(&'a str),
    SorryServer,
}

impl<'a> At<'a> {
    const fn service(name: &'a str) -> Self {
        Self { service: name, part: Part::Service, key: "" }
    }

    const fn part(self, part: Part<'a>) -> Self {
        Self { part, ..self }
    }

    const fn key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }
}

impl From<At<'_>> for String {
    fn from(at: At<'_>) -> Self {
        let part = match at.part {
            Part::Service => String::new(),
            Part::Server(name) => format!(".real-servers.{name}"),
            Part::SorryServer => ".sorry-server".to_owned(),
        };
        let dot = if at.key.is_empty() { "" } else { "." };
        format!("service.{}{part}{dot}{}", at.service, at.key)
    }
}

pub(super) fn problems(found: &mut Found, config: &Config) {
    let mut names = HashSet::new();
    let mut listens: HashMap<_, &str> = HashMap::new();
    let (mut servers, mut endpoints) = (HashSet::new(), HashMap::new());
    for service in &config.services {
        let at = At::service(&service.name);
        if service.name.is_empty() {
            found.add(at, "a service needs a name");
        }
        if !names.insert(&service.name) {
            found.add(at, "this service is given twice; give each its own name");
        }
        if let Some(other) = listens.insert(service.listen, &service.name) {
            found.add(at.key("listen"), format!("{} is already served by {other}", service.listen));
        }
        if let Listen::Fwmark { mark, .. } = service.listen
            && mark.get() & PROBE_MARK_MASK == PROBE_MARK.get()
        {
            let message =
                format!("{mark:#x} is kept for the director's probes; use a mark below {PROBE_MARK:#x}");
            found.add(at.key("listen.fwmark"), message);
        }
        let ports = service.real_servers.iter().filter(|s| s.checks.is_none()).map(|s| s.port);
        let port = ports.min().unwrap_or(service.listen.port());
        checks_problems(found, at.key("checks"), config, service, (port, &service.checks));
        scheduling_problems(found, at, service);
        availability_problems(found, at, service);
        servers.clear();
        endpoints.clear();
        for server in &service.real_servers {
            let at = at.part(Part::Server(&server.name));
            if !servers.insert(&server.name) {
                found.add(at, "this server is given twice; give each its own name");
            }
            if let Some(other) = endpoints.insert((server.address, server.port), &server.name) {
                found.add(at, format!("has the address and port of {other}"));
            }
            server_problems(found, at, service, server);
            if let Some(checks) = &server.checks {
                checks_problems(found, at.key("checks"), config, service, (server.port, checks));
            }
        }
        if let Some(sorry) = &service.sorry_server {
            let at = at.part(Part::SorryServer);
            if let Some(other) = endpoints.get(&(sorry.address, sorry.port)) {
                found.add(at, format!("has the address and port of real server {other}"));
            }
            endpoint_problems(found, at, service, (sorry.address, sorry.port, sorry.forward));
        }
    }
}

/// The checks that a service, or one of its servers with this port, names.
fn checks_problems(found: &mut Found, at: At<'_>, config: &Config, service: &Service, own: (u16, &[String])) {
    let (port, names) = own;
    for name in names {
        let Some(check) = config.checks.get(name) else {
            found.add(at, format!("there is no check \"{name}\"; define it under [checks.{name}]"));
            continue;
        };
        let Some(probe) = check.probe() else { continue };
        if let Some(mismatch) = mismatch(service, port, check, probe) {
            found.add(at, format!("check \"{name}\" {mismatch}"));
        }
    }
}

/// Why a check cannot say anything about a service.
fn mismatch(service: &Service, port: u16, check: &Check, probe: Probe<'_>) -> Option<String> {
    if check.via == Via::Vip {
        if service.listen.address().is_none() {
            return Some(
                "goes by way of the VIP, and a fwmark service has none; use via = \"server\"".into(),
            );
        }
        let families = service.real_servers.iter().map(|server| Family::of(server.address));
        if families.into_iter().any(|family| family != service.listen.family()) {
            return Some(
                "goes by way of the VIP, and a server's address is of the other family; use via = \"server\""
                    .into(),
            );
        }
        if service.real_servers.iter().any(|server| server.forward == Forward::Nat) {
            return Some(
                "goes by way of the VIP, which nothing answers behind NAT; use via = \"server\", NAT's own way"
                    .into(),
            );
        }
    }
    if check.port.is_some() || probe.transport() == ProbeTransport::None {
        return None;
    }
    if port == 0 {
        return Some(
            "has no port to probe on a service of every port (0); add port = .. to the check".into(),
        );
    }
    let blind = matches!(
        (service.listen.protocol(), probe.transport()),
        (Some(Protocol::Tcp), ProbeTransport::Udp)
            | (Some(Protocol::Udp), ProbeTransport::Tcp)
            | (Some(Protocol::Sctp), _)
    );
    blind.then(|| {
        let (kind, protocol) = (probe.name(), service.listen.protocol().map_or("", Protocol::name));
        format!(
            "({kind}) cannot see whether a {protocol} service answers; use another kind, or say port = {port} if \
             the server answers {kind} there too"
        )
    })
}

fn scheduling_problems(found: &mut Found, at: At<'_>, service: &Service) {
    if let Some(persistence) = &service.persistence {
        if !whole_seconds(persistence.timeout)
            || persistence.timeout.get() > Duration::from_secs(31 * 24 * 3600)
        {
            found.add(
                at.key("persistence.timeout"),
                format!("{} must be whole seconds, from 1s to 31days", persistence.timeout),
            );
        }
        if persistence.prefix.is_some_and(|p| p == 0 || p > service.listen.family().host_prefix()) {
            found.add(at.key("persistence.prefix"), "is no prefix length of the service's family");
        }
        if persistence.engine.is_some() && !matches!(service.listen.protocol(), Some(Protocol::Udp) | None) {
            found.add(at.key("persistence.engine"), "reads SIP over UDP only; use protocol = \"udp\"");
        }
    }
    let every_port = matches!(service.listen, Listen::Address { port: 0, .. });
    if every_port && service.persistence.is_none() {
        found.add(at.key("listen.port"), "0 (every port) needs persistence; give a port or add persistence");
    }
    if service.one_packet && !matches!(service.listen.protocol(), Some(Protocol::Udp) | None) {
        found.add(at.key("one-packet"), "works for udp only");
    }
    for flag in &service.scheduler_flags {
        let wants = match flag {
            SchedulerFlag::ShFallback | SchedulerFlag::ShPort => Scheduler::Sh,
            SchedulerFlag::MhFallback | SchedulerFlag::MhPort => Scheduler::Mh,
        };
        if service.scheduler != wants {
            found.add(at.key("scheduler-flags"), format!("{flag:?} belongs to scheduler = \"{wants}\""));
        }
    }
}

/// Quorum, and what happens to servers that come and go.
fn availability_problems(found: &mut Found, at: At<'_>, service: &Service) {
    let Quorum { up, down } = service.quorum;
    if up == 0 || down == 0 {
        found.add(at.key("quorum"), "0 is always reached; use at least 1");
    } else if down > up {
        found.add(
            at.key("quorum"),
            format!("is lost below {down} and reached at {up}; down must not exceed up"),
        );
    }
    let total: u64 = service.real_servers.iter().map(|server| u64::from(server.weight)).sum();
    if service.quorum != Quorum::default() && u64::from(up) > total {
        found.add(
            at.key("quorum"),
            format!("{up} can never be reached: the weights of all real servers add up to {total}; lower it, or raise weights"),
        );
    }
    if let Some(ramp) = service.slow_start
        && !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&ramp.get())
    {
        found.add(at.key("slow-start"), format!("{ramp} does not fit; use 1s to 1h"));
    }
}

fn server_problems(found: &mut Found, at: At<'_>, service: &Service, server: &RealServer) {
    endpoint_problems(found, at, service, (server.address, server.port, server.forward));
    if u64::from(server.weight) > MAX_WEIGHT {
        found.add(at.key("weight"), format!("{} is too large; use at most {MAX_WEIGHT}", server.weight));
    }
    if server.upper_threshold != 0 && server.lower_threshold > server.upper_threshold {
        found.add(at.key("lower-threshold"), "must not exceed upper-threshold");
    }
    if server.upper_threshold == 0 && server.lower_threshold != 0 {
        found.add(at.key("lower-threshold"), "does nothing without upper-threshold; add that");
    }
    if server.on_failure == Some(OnFailure::WeightZero)
        && server.checks.as_ref().unwrap_or(&service.checks).is_empty()
    {
        found.add(at.key("on-failure"), "does nothing without checks; add some");
    }
}

/// What holds for real servers and sorry servers alike.
fn endpoint_problems(found: &mut Found, at: At<'_>, service: &Service, end: (IpAddr, u16, Forward)) {
    let (address, port, forward) = end;
    let (family, wanted) = (service.listen.family(), service.listen.port());
    if Family::of(address) != family && !matches!(forward, Forward::Tunnel(_)) {
        found.add(
            at.key("address"),
            format!("{address} is not {family}; direct and nat need the service's family, a tunnel does not"),
        );
    }
    if !forward.maps_ports() && port != wanted {
        found.add(
            at.key("port"),
            match service.listen {
                Listen::Address { .. } => format!(
                    "{port} differs from the service's {wanted}; {} cannot change ports, use forward = \"nat\"",
                    if forward == Forward::Direct { "direct routing" } else { "a tunnel" },
                ),
                Listen::Fwmark { .. } => format!(
                    "{port} cannot be reached: {forward} keeps the port the client asked for; take it out, or use \
                     forward = \"nat\""
                ),
            },
        );
    } else if port == 0 && wanted != 0 {
        found.add(at.key("port"), "0 is no port");
    }
    if let Forward::Tunnel(tunnel) = forward {
        tunnel_problems(found, at, tunnel);
    }
}

fn tunnel_problems(found: &mut Found, at: At<'_>, tunnel: Tunnel) {
    match (tunnel.kind, tunnel.port) {
        (TunnelKind::Gue, None | Some(0)) => {
            found.add(
                at.key("tunnel"),
                "gue needs the port that the server decapsulates, such as port = 6080",
            );
        }
        (TunnelKind::Ipip | TunnelKind::Gre, Some(_)) => {
            found.add(at.key("tunnel.port"), "belongs to type = \"gue\"; take it out");
        }
        _ => {}
    }
    let fits = match tunnel.kind {
        TunnelKind::Ipip => tunnel.checksum == TunnelChecksum::None,
        TunnelKind::Gre => tunnel.checksum != TunnelChecksum::Remote,
        TunnelKind::Gue => true,
    };
    if !fits {
        found.add(
            at.key("tunnel.checksum"),
            "ipip has none, gre \"none\" or \"full\", gue \"none\", \"full\" or \"remote\"",
        );
    }
}
