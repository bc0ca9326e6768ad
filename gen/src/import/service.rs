//! IPVS: virtual servers, real servers and their checks.

use std::net::IpAddr;

use super::Notes;
use super::grammar::Statement;

/// A `virtual_server`.
#[derive(Debug, Default)]
pub struct Service {
    pub address: Option<IpAddr>,
    pub port: u16,
    pub protocol: &'static str,
    pub scheduler: String,
    pub forward: &'static str,
    /// Lines `key = value` of the topology.
    pub settings: Vec<String>,
    pub servers: Vec<Server>,
    pub sorry: Option<(IpAddr, u16)>,
}

impl Service {
    /// Whether both listen on the same.
    pub fn is(&self, other: &Self) -> bool {
        (self.address, self.port, self.protocol) == (other.address, other.port, other.protocol)
    }
}

/// A `real_server`.
#[derive(Debug)]
pub struct Server {
    pub address: IpAddr,
    pub port: u16,
    /// Entries `key = value` of its table.
    pub settings: Vec<String>,
    /// Bodies of tables of checks.
    pub checks: Vec<String>,
}

/// What checks inherit: seconds between them, and the host to ask for.
struct Defaults {
    every: String,
    host: Option<String>,
}

/// None where its kind cannot be carried over.
pub fn read(statement: &Statement, notes: &mut Notes<'_>) -> Option<Service> {
    let Ok(address) = statement.word(1).parse() else {
        let kind = statement.word(1);
        let remedy = match kind {
            "group" => "write a service with all its virtual IPs under listen, and fwmark = true",
            "fwmark" => {
                "write a service with the addresses and ports that are marked under listen, and fwmark = true"
            }
            _ => "an IP address is expected",
        };
        notes.add(statement.line, format!("virtual_server {kind}: not carried over: {remedy}"));
        return None;
    };
    let mut service = Service {
        address: Some(address),
        port: statement.word(2).parse().unwrap_or(0),
        protocol: "",
        scheduler: "wlc".to_owned(),
        forward: "",
        ..Service::default()
    };
    let find = |name: &str| statement.body.iter().find(|s| s.word(0) == name).map(|s| s.word(1).to_owned());
    let defaults = Defaults {
        every: find("delay_loop").and_then(|value| period(&value)).unwrap_or_else(|| "60s".to_owned()),
        host: find("virtualhost"),
    };
    let mut optimistic = true;
    let mut inhibit = false;
    for inner in &statement.body {
        let value = inner.word(1);
        let seconds = value.parse::<u32>().ok().filter(|seconds| *seconds > 0);
        match inner.word(0) {
            "delay_loop" | "virtualhost" => {}
            "lb_algo" | "lvs_sched" => service.scheduler = value.to_owned(),
            "lb_kind" | "lvs_method" => match value {
                "NAT" => service.forward = "nat",
                "DR" => service.forward = "direct",
                "TUN" if inner.words.len() == 2 => service.forward = "tunnel",
                _ => notes.left_out(inner),
            },
            "protocol" => match value.to_ascii_uppercase().as_str() {
                "TCP" => service.protocol = "tcp",
                "UDP" => service.protocol = "udp",
                "SCTP" => service.protocol = "sctp",
                _ => notes.left_out(inner),
            },
            "persistence_timeout" => {
                let seconds = if value.is_empty() { Some(360) } else { seconds };
                service.settings.extend(seconds.map(|seconds| format!("persistence = \"{seconds}s\"")));
            }
            "alpha" => optimistic = false,
            "omega" => service.settings.push("down-on-stop = true".to_owned()),
            "ha_suspend" => service.settings.push("suspend-on-backup = true".to_owned()),
            "inhibit_on_failure" => inhibit = true,
            "ops" => service.settings.push("one-packet = true".to_owned()),
            "quorum" if seconds.is_some() => service.settings.push(format!("quorum = {value}")),
            "sorry_server" => match (value.parse(), inner.word(2).parse()) {
                (Ok(address), Ok(port)) => service.sorry = Some((address, port)),
                _ => notes.left_out(inner),
            },
            "real_server" => match value.parse() {
                Ok(address) if service.servers.iter().any(|server| server.address == address) => {
                    notes.add(inner.line, "there is a real_server of this address already: not carried over");
                }
                Ok(address) => {
                    let port = inner.word(2).parse().unwrap_or(service.port);
                    service.servers.push(server(inner, (address, port), &defaults, notes));
                }
                Err(_) => notes.left_out(inner),
            },
            _ => notes.left_out(inner),
        }
    }
    if service.protocol.is_empty() {
        service.protocol = "udp";
        notes.add(
            statement.line,
            "has no protocol, which is UDP for keepalived: write protocol = \"tcp\" if that was meant",
        );
    }
    if service.forward.is_empty() {
        service.forward = "nat";
        notes.add(statement.line, "has no lb_kind, which is NAT for keepalived");
    }
    if service.servers.is_empty() {
        notes.add(statement.line, "has no real_server: not carried over");
        return None;
    }
    if optimistic && service.servers.iter().any(|server| !server.checks.is_empty()) {
        service.settings.push("start = \"optimistic\"".to_owned());
    }
    if inhibit {
        service.settings.push("on-failure = \"weight-zero\"".to_owned());
    }
    Some(service)
}

fn server(
    statement: &Statement,
    (address, port): (IpAddr, u16),
    defaults: &Defaults,
    notes: &mut Notes<'_>,
) -> Server {
    let mut server = Server { address, port, settings: Vec::new(), checks: Vec::new() };
    for inner in &statement.body {
        let value = inner.word(1);
        match inner.word(0) {
            "weight" if value.parse::<u32>().is_ok() => {
                server.settings.extend((value != "1").then(|| format!("weight = {value}")));
            }
            "inhibit_on_failure" => server.settings.push("on-failure = \"weight-zero\"".to_owned()),
            "uthreshold" if value.parse::<u32>().is_ok() => {
                server.settings.push(format!("upper-threshold = {value}"));
            }
            "lthreshold" if value.parse::<u32>().is_ok() => {
                server.settings.push(format!("lower-threshold = {value}"));
            }
            "TCP_CHECK" | "HTTP_GET" | "SSL_GET" | "PING_CHECK" | "SMTP_CHECK" => {
                server.checks.extend(checks(inner, defaults, notes));
            }
            _ => notes.left_out(inner),
        }
    }
    server
}

/// Seconds of keepalived as the topology writes them.
fn period(seconds: &str) -> Option<String> {
    let seconds: f64 = seconds.parse().ok().filter(|seconds| (0.001..=86_400.0).contains(seconds))?;
    let milliseconds = super::cluster::milliseconds(seconds);
    Some(if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    })
}

/// One table for each thing that is asked.
fn checks(statement: &Statement, defaults: &Defaults, notes: &mut Notes<'_>) -> Vec<String> {
    let mut every = defaults.every.clone();
    let (mut timeout, mut retries, mut pause) = ("5s".to_owned(), 1u32, None);
    let mut port = None;
    let mut host = defaults.host.clone();
    let mut asked = Vec::new();
    for inner in &statement.body {
        let value = inner.word(1).to_owned();
        let period = period(&value);
        match inner.word(0) {
            "connect_timeout" if period.is_some() => timeout = period.unwrap_or_default(),
            "delay_loop" if period.is_some() => every = period.unwrap_or_default(),
            "delay_before_retry" if period.is_some() => pause = period,
            "retry" | "nb_get_retry" if value.parse::<u32>().is_ok() => {
                retries = value.parse().expect("it has just been parsed");
            }
            "connect_port" if value.parse::<u16>().is_ok() => port = Some(value),
            "virtualhost" => host = Some(value),
            "url" if matches!(statement.word(0), "HTTP_GET" | "SSL_GET") => asked.push(inner),
            _ => notes.left_out(inner),
        }
    }
    let mut end = format!(
        "every = \"{every}\"\ntimeout = \"{timeout}\"\nrise = 1\nfall = {}\n",
        retries.saturating_add(1)
    );
    let http = matches!(statement.word(0), "HTTP_GET" | "SSL_GET");
    if let Some(pause) = pause.or_else(|| (retries > 0).then(|| if http { "3s" } else { "1s" }.to_owned())) {
        end.push_str(&format!("retry-every = \"{pause}\"\n"));
    }
    end.extend(port.map(|port| format!("port = {port}\n")));
    match statement.word(0) {
        "TCP_CHECK" => vec![format!("tcp = {{}}\n{end}")],
        "PING_CHECK" => vec![format!("ping = {{}}\n{end}")],
        "SMTP_CHECK" => vec![format!("smtp = {{}}\n{end}")],
        _ => {
            let tls = statement.word(0) == "SSL_GET";
            if tls {
                notes.add(
                    statement.line,
                    "tls.verify = false is what keepalived does: take it out where certificates are good",
                );
            }
            asked
                .iter()
                .map(|url| format!("http = {{ {} }}\n{end}", url_keys(url, tls, host.as_deref(), notes)))
                .collect()
        }
    }
}

fn url_keys(url: &Statement, tls: bool, host: Option<&str>, notes: &mut Notes<'_>) -> String {
    let mut keys = Vec::new();
    let mut host = host.map(str::to_owned);
    let mut path = "/".to_owned();
    for inner in &url.body {
        let value = inner.word(1);
        match inner.word(0) {
            "path" => value.clone_into(&mut path),
            "digest" => keys.push(format!(
                "digest = {}",
                super::write::text(&format!("md5:{}", value.to_ascii_lowercase()))
            )),
            "status_code" if inner.words[1..].iter().all(|word| is_status(word)) && inner.words.len() > 1 => {
                let codes = inner.words[1..]
                    .iter()
                    .map(|word| if word.contains('-') { super::write::text(word) } else { word.clone() });
                keys.push(format!("status = [{}]", codes.collect::<Vec<_>>().join(", ")));
            }
            "virtualhost" => host = Some(value.to_owned()),
            _ => notes.left_out(inner),
        }
    }
    keys.insert(0, format!("path = {}", super::write::text(&path)));
    keys.extend(host.map(|host| format!("host = {}", super::write::text(&host))));
    if tls {
        keys.push("tls = { verify = false }".to_owned());
    }
    super::write::last_of_each(&keys).join(", ")
}

fn is_status(word: &str) -> bool {
    word.split('-').all(|part| part.parse::<u16>().is_ok_and(|code| (100..600).contains(&code)))
}
