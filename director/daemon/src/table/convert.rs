//! From the words of `director.toml` to the kernel's.

use std::num::NonZeroU32;

use fairway_config as config;
use fairway_ipvs::{
    BadName, Destination, DestinationKey, Encapsulation, Family, Flags, Forward, Name, Netmask, Persistence,
    Protocol, ServiceKey, Settings, Timeouts, Tunnel, TunnelFlags,
};

/// What the kernel tells a configured service by.
pub(crate) fn service_key(listen: &config::Listen) -> ServiceKey {
    match *listen {
        config::Listen::Address { address, port, protocol } => {
            let protocol = match protocol {
                config::Protocol::Tcp => Protocol::TCP,
                config::Protocol::Udp => Protocol::UDP,
                config::Protocol::Sctp => Protocol::SCTP,
            };
            ServiceKey::Address { address, port, protocol }
        }
        config::Listen::Fwmark { mark, family } => ServiceKey::Mark { mark, family: to_kernel(family) },
    }
}

fn to_kernel(family: config::Family) -> Family {
    match family {
        config::Family::Ipv4 => Family::V4,
        config::Family::Ipv6 => Family::V6,
    }
}

/// The settings of a configured service.
///
/// # Errors
/// [`BadName`] if the scheduler's name is none the kernel could hold.
pub(crate) fn settings(service: &config::Service) -> Result<Settings, BadName> {
    let family = to_kernel(service.listen.family());
    let mut settings = Settings::new(Name::new(service.scheduler.name())?);
    for flag in &service.scheduler_flags {
        settings.flags |= match flag {
            config::SchedulerFlag::ShFallback | config::SchedulerFlag::MhFallback => Flags::SCHEDULER_1,
            config::SchedulerFlag::ShPort | config::SchedulerFlag::MhPort => Flags::SCHEDULER_2,
        };
    }
    if service.one_packet {
        settings.flags |= Flags::ONE_PACKET;
    }
    settings.persistence = service.persistence.map(|persistence| Persistence {
        timeout: seconds(persistence.timeout),
        netmask: match persistence.prefix {
            Some(length) => Netmask::prefix(family, length),
            None => Netmask::host(family),
        },
    });
    let engine = service.persistence.and_then(|persistence| persistence.engine);
    settings.engine = engine.map(|engine| Name::new(engine.name())).transpose()?;
    Ok(settings)
}

/// A configured real server with the weight it is to have now.
pub(crate) fn destination(server: &config::RealServer, weight: u32) -> (DestinationKey, Destination) {
    let key = DestinationKey { address: server.address, port: server.port };
    let destination = Destination {
        forward: forward(server.forward),
        weight,
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
    };
    (key, destination)
}

/// A configured sorry server while it serves.
pub(crate) fn sorry_destination(server: &config::SorryServer) -> (DestinationKey, Destination) {
    let key = DestinationKey { address: server.address, port: server.port };
    (key, Destination::new(forward(server.forward), 1))
}

/// How packets get to a real server.
pub(crate) fn forward(forward: config::Forward) -> Forward {
    match forward {
        config::Forward::Direct => Forward::Direct,
        config::Forward::Nat => Forward::Nat,
        config::Forward::Tunnel(tunnel) => Forward::Tunnel(encapsulation(tunnel)),
    }
}

fn encapsulation(tunnel: config::Tunnel) -> Tunnel {
    Tunnel {
        encapsulation: match tunnel.kind {
            config::TunnelKind::Ipip => Encapsulation::IPIP,
            config::TunnelKind::Gre => Encapsulation::GRE,
            config::TunnelKind::Gue => Encapsulation::GUE,
        },
        port: tunnel.port.unwrap_or(0),
        flags: match tunnel.checksum {
            config::TunnelChecksum::None => TunnelFlags::NO_CHECKSUM,
            config::TunnelChecksum::Full => TunnelFlags::CHECKSUM,
            config::TunnelChecksum::Remote => TunnelFlags::REMOTE_CHECKSUM,
        },
    }
}

/// A mark for probes of virtual IPs. These are ours alone: no configured service has one.
pub(crate) fn probe_mark(number: u32) -> NonZeroU32 {
    config::PROBE_MARK | (number & !config::PROBE_MARK_MASK)
}

/// Whether a service leads probes to their server.
pub(crate) fn is_probe(key: &ServiceKey) -> bool {
    matches!(key, ServiceKey::Mark { mark, .. } if mark.get() & config::PROBE_MARK_MASK == config::PROBE_MARK.get())
}

/// The configured connection timeouts.
pub(crate) fn timeouts(timeouts: Option<&config::Timeouts>) -> Timeouts {
    let Some(timeouts) = timeouts else { return Timeouts::default() };
    let whole = |period: Option<config::Period>| period.and_then(|period| NonZeroU32::new(seconds(period)));
    Timeouts { tcp: whole(timeouts.tcp), tcp_fin: whole(timeouts.tcp_fin), udp: whole(timeouts.udp) }
}

/// The kernel counts whole seconds; validation has seen to it that nothing is lost.
fn seconds(period: config::Period) -> u32 {
    u32::try_from(period.get().as_secs()).unwrap_or(u32::MAX)
}
