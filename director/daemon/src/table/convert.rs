//! From the words of `director.toml` to the kernel's.

use std::num::NonZeroU32;

use fairway_config as config;
use fairway_ipvs::{
    BadName, Destination, DestinationKey, Family, Flags, Forward, Name, Netmask, Persistence, Protocol,
    ServiceKey, Settings, Timeouts,
};

/// What the kernel tells a configured service by.
pub(crate) fn service_key(listen: &config::Listen) -> ServiceKey {
    ServiceKey::Address {
        address: listen.address,
        port: listen.port,
        protocol: match listen.protocol {
            config::Protocol::Tcp => Protocol::TCP,
            config::Protocol::Udp => Protocol::UDP,
            config::Protocol::Sctp => Protocol::SCTP,
        },
    }
}

/// The settings of a configured service.
///
/// # Errors
/// [`BadName`] if the scheduler's name is none the kernel could hold.
pub(crate) fn settings(service: &config::Service) -> Result<Settings, BadName> {
    let family = Family::of(service.listen.address);
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
    Ok(settings)
}

/// A configured real server with the weight it is to have now.
pub(crate) fn destination(server: &config::RealServer, weight: u32) -> (DestinationKey, Destination) {
    let key = DestinationKey { address: server.address, port: server.port };
    let forward = match server.forward {
        config::Forward::Direct => Forward::Direct,
        config::Forward::Nat => Forward::Nat,
    };
    let destination = Destination {
        forward,
        weight,
        upper_threshold: server.upper_threshold,
        lower_threshold: server.lower_threshold,
    };
    (key, destination)
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
