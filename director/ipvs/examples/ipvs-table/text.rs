//! The form `ipvsadm -Sn` prints and `ipvsadm -R` reads, with thresholds.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use fairway_ipvs::{
    Destination, DestinationKey, Encapsulation, Family, Flags, Forward, Name, Netmask, Persistence, Protocol,
    Service, ServiceKey, Settings, Table, Tunnel, TunnelFlags,
};

/// `ipvsadm -p` without a number.
const DEFAULT_PERSISTENCE: u32 = 360;

/// The table, one line a service and a server.
pub fn print(table: &Table) -> String {
    let mut out = String::new();
    for (key, service) in table {
        let name = service_name(key);
        let _ = write!(out, "-A {name} -s {}", service.settings.scheduler);
        if let Some(persistence) = &service.settings.persistence {
            let _ = write!(out, " -p {}", persistence.timeout);
            if persistence.netmask != Netmask::host(key.family()) {
                let _ = match persistence.netmask {
                    Netmask::V4(mask) => write!(out, " -M {mask}"),
                    Netmask::V6(length) => write!(out, " -M {length}"),
                };
            }
        }
        if let Some(engine) = &service.settings.engine {
            let _ = write!(out, " --pe {engine}");
        }
        if service.settings.flags.contains(Flags::ONE_PACKET) {
            out.push_str(" -o");
        }
        let flags = flag_names(service.settings.scheduler.as_str(), service.settings.flags);
        if !flags.is_empty() {
            let _ = write!(out, " -b {}", flags.join(","));
        }
        out.push('\n');
        for (server, destination) in &service.destinations {
            let _ = write!(out, "-a {name} -r {server} {}", forward(destination));
            if destination.upper_threshold != 0 || destination.lower_threshold != 0 {
                let _ = write!(out, " -x {} -y {}", destination.upper_threshold, destination.lower_threshold);
            }
            out.push('\n');
        }
    }
    out
}

fn service_name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Address { address, port, protocol } => {
            let option = match *protocol {
                Protocol::TCP => "-t",
                Protocol::UDP => "-u",
                Protocol::SCTP => "--sctp-service",
                Protocol(_) => "--other-service",
            };
            format!("{option} {}", SocketAddr::new(*address, *port))
        }
        ServiceKey::Mark { mark, family: Family::V4 } => format!("-f {mark}"),
        ServiceKey::Mark { mark, family: Family::V6 } => format!("-f {mark} -6"),
    }
}

fn forward(destination: &Destination) -> String {
    let weight = destination.weight;
    match destination.forward {
        Forward::Nat => format!("-m -w {weight}"),
        Forward::Direct => format!("-g -w {weight}"),
        Forward::Other(method) => format!("--method {method} -w {weight}"),
        Forward::Tunnel(tunnel) => {
            let mut text = format!("-i -w {weight} --tun-type {}", tunnel.encapsulation);
            if tunnel.encapsulation == Encapsulation::GUE {
                let _ = write!(text, " --tun-port {}", tunnel.port);
            }
            if tunnel.encapsulation != Encapsulation::IPIP {
                text.push_str(match tunnel.flags {
                    TunnelFlags::CHECKSUM => " --tun-csum",
                    TunnelFlags::REMOTE_CHECKSUM => " --tun-remcsum",
                    _ => " --tun-nocsum",
                });
            }
            text
        }
    }
}

const FLAGS: [(Flags, &str, &str); 3] = [
    (Flags::SCHEDULER_1, "flag-1", "fallback"),
    (Flags::SCHEDULER_2, "flag-2", "port"),
    (Flags::SCHEDULER_3, "flag-3", ""),
];

fn flag_names(scheduler: &str, flags: Flags) -> Vec<String> {
    let named = FLAGS.iter().filter(|(flag, _, _)| flags.contains(*flag));
    let names = named.map(|(_, plain, hashing)| match scheduler {
        "sh" | "mh" if !hashing.is_empty() => format!("{scheduler}-{hashing}"),
        _ => (*plain).to_owned(),
    });
    names.collect()
}

/// Reads what [`print`] writes.
pub fn parse(input: &str) -> Result<Table, String> {
    let mut table = Table::new();
    for (index, line) in input.lines().enumerate() {
        if !line.trim().is_empty() {
            parse_line(&mut table, line).map_err(|error| format!("line {}: {error}: {line}", index + 1))?;
        }
    }
    Ok(table)
}

fn parse_line(table: &mut Table, line: &str) -> Result<(), String> {
    let mut words = line.split_whitespace().peekable();
    let verb = words.next().unwrap_or_default();
    let kind = words.next().ok_or("no service")?;
    let which = words.next().ok_or("no service")?;
    let key = if kind == "-f" {
        let six = words.next_if_eq(&"-6").is_some();
        let family = if six { Family::V6 } else { Family::V4 };
        ServiceKey::Mark { mark: which.parse::<NonZeroU32>().map_err(text)?, family }
    } else {
        let protocol = match kind {
            "-t" => Protocol::TCP,
            "-u" => Protocol::UDP,
            "--sctp-service" => Protocol::SCTP,
            _ => return Err(format!("unknown service {kind}")),
        };
        let address: SocketAddr = which.parse().map_err(text)?;
        ServiceKey::Address { address: address.ip(), port: address.port(), protocol }
    };
    match verb {
        "-A" => {
            table.insert(key, Arc::new(Service::new(parse_settings(key.family(), words)?)));
        }
        "-a" => {
            let (server, destination) = parse_destination(words)?;
            let service = table.get_mut(&key).ok_or("a server before its service")?;
            Arc::make_mut(service).destinations.insert(server, destination);
        }
        _ => return Err(format!("unknown verb {verb}")),
    }
    Ok(())
}

fn parse_settings<'a>(
    family: Family,
    words: std::iter::Peekable<impl Iterator<Item = &'a str>>,
) -> Result<Settings, String> {
    let mut words = words;
    let mut settings = Settings::new(Name::new("wlc").map_err(text)?);
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option {
            "-s" => settings.scheduler = Name::new(value()?).map_err(text)?,
            "--pe" => settings.engine = Some(Name::new(value()?).map_err(text)?),
            "-o" => settings.flags |= Flags::ONE_PACKET,
            "-b" => {
                for word in value()?.split(',') {
                    let (_, tail) = word.split_once('-').unwrap_or_default();
                    let known = FLAGS.iter().find(|(_, plain, hashing)| word == *plain || tail == *hashing);
                    settings.flags |= known.ok_or_else(|| format!("unknown flag {word}"))?.0;
                }
            }
            "-p" => {
                let timeout = match words.next_if(|word| !word.starts_with('-')) {
                    Some(number) => number.parse().map_err(text)?,
                    None => DEFAULT_PERSISTENCE,
                };
                settings.persistence = Some(Persistence { timeout, netmask: Netmask::host(family) });
            }
            "-M" => {
                let mask = value()?;
                let netmask = match family {
                    Family::V4 => Netmask::V4(mask.parse::<Ipv4Addr>().map_err(text)?),
                    Family::V6 => Netmask::V6(mask.parse().map_err(text)?),
                };
                settings.persistence.as_mut().ok_or("-M before -p")?.netmask = netmask;
            }
            _ => return Err(format!("unknown option {option}")),
        }
    }
    Ok(settings)
}

fn parse_destination<'a>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<(DestinationKey, Destination), String> {
    let mut server: Option<SocketAddr> = None;
    let mut destination = Destination::new(Forward::Direct, 1);
    let mut tunnel = Tunnel::default();
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option {
            "-r" => server = Some(value()?.parse().map_err(text)?),
            "-g" => destination.forward = Forward::Direct,
            "-m" => destination.forward = Forward::Nat,
            "-i" => destination.forward = Forward::Tunnel(tunnel),
            "-w" => destination.weight = value()?.parse().map_err(text)?,
            "-x" => destination.upper_threshold = value()?.parse().map_err(text)?,
            "-y" => destination.lower_threshold = value()?.parse().map_err(text)?,
            "--tun-type" => {
                tunnel.encapsulation = match value()? {
                    "ipip" => Encapsulation::IPIP,
                    "gue" => Encapsulation::GUE,
                    "gre" => Encapsulation::GRE,
                    other => return Err(format!("unknown tunnel {other}")),
                }
            }
            "--tun-port" => tunnel.port = value()?.parse().map_err(text)?,
            "--tun-nocsum" => tunnel.flags = TunnelFlags::NO_CHECKSUM,
            "--tun-csum" => tunnel.flags = TunnelFlags::CHECKSUM,
            "--tun-remcsum" => tunnel.flags = TunnelFlags::REMOTE_CHECKSUM,
            _ => return Err(format!("unknown option {option}")),
        }
    }
    if let Forward::Tunnel(_) = destination.forward {
        destination.forward = Forward::Tunnel(tunnel);
    }
    let server = server.ok_or("-r is missing")?;
    let address: IpAddr = server.ip();
    Ok((DestinationKey { address, port: server.port() }, destination))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
