//! Any bytes on the wire, and any order of operations: what the fuzz targets run for hours, and a test for a moment.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use fairway_config::{Config, FailoverGroup, Family};
use fairway_vrrp::{
    Advert, Carrier, Force, Group, GroupConfig, Input, LinkProblem, Output, Place, Received, Secret, State,
    Verdict, group_address, vrid_of,
};

const SOURCES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2))];

/// Two networks; `%` stands for the version, interval and authentication.
const GROUP: &str = r#"
version = 1
cluster = "c"
host = "h"
[[failover]]
name = "edge"
preempt = { after = "300ms" }
[failover.track]
proxy = { unit = "proxy.service" }
[[failover.instance]]
name = "one"
interface = "eth0"
family = "ipv4"
vrid = 51
priority = 100
virtual-ips = [{ address = "10.0.0.100" }]
%
[[failover.instance]]
name = "two"
interface = "eth1"
family = "ipv4"
vrid = 51
priority = 100
virtual-ips = [{ address = "10.1.0.100" }]
%
"#;

const KINDS: [&str; 4] = [
    "version = 3\nadvert-interval = \"100ms\"",
    "version = 2\nadvert-interval = \"1s\"\nauth = { pass = { key-file = \"/k\" } }",
    "version = 2\nadvert-interval = \"1s\"\nauth = { ah = { key-file = \"/k\" } }",
    "version = 3\nadvert-interval = \"100ms\"\nauth = { hmac = { keys = [{ id = 1, key-file = \"/k\" }], active = 1 } }",
];

/// Takes from the front of what chooses.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// What is read as an advert is written as one that reads the same.
pub fn packet(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Some(kind) = choices.byte() else { return };
    let family = if kind & 1 == 0 { Family::Ipv4 } else { Family::Ipv6 };
    let (source, destination) = (SOURCES[usize::from(kind & 1)], group_address(family));
    let payload = choices.0;
    let _ = vrid_of(Carrier::Vrrp, payload);
    let _ = vrid_of(Carrier::Header { identification: 1 }, payload);
    let Ok(decoded) = Advert::decode(payload, source, destination) else { return };
    assert_eq!(vrid_of(Carrier::Vrrp, payload), Some(decoded.advert.vrid));
    let written = decoded.advert.encode(source, destination, decoded.checksum);
    let again = Advert::decode(&written, source, destination).expect("what we write we read");
    assert_eq!(again.advert, decoded.advert);
}

fn group(kind: usize) -> GroupConfig {
    let text = GROUP.replace('%', KINDS[kind]);
    let group: FailoverGroup = Config::from_toml(&text).expect("it is valid").failover.remove(0);
    let key = || match kind {
        0 => None,
        3 => Some(Secret::Keys(vec![(1, vec![7; 32])])),
        _ => Some(Secret::Password(*b"fairway!")),
    };
    let secrets: BTreeMap<_, _> =
        group.instances.iter().filter_map(|i| Some((i.name.clone(), key()?))).collect();
    GroupConfig { group, secrets }
}

/// A group stands any sequence of packets, orders and waits: it never panics, its timers come to rest, and who is
/// backup has no virtual IP on an interface.
pub fn operations(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let Some(kind) = choices.byte() else { return };
    let kind = usize::from(kind) % KINDS.len();
    let mut config = group(kind);
    let mut group = Group::new(config.clone());
    #[expect(clippy::disallowed_methods, reason = "an origin, never compared with the real clock")]
    let mut now = Instant::now();
    let mut places = [Place::Nowhere; 2];
    while let Some(choice) = choices.byte() {
        let (what, more) = (choice % 16, choice / 16);
        let instance = usize::from(more & 1);
        let input = match what {
            0 => Input::Start { holding: more & 2 != 0 },
            1 => {
                let source = IpAddr::V4(Ipv4Addr::new(10, u8::from(instance == 1), 0, 1));
                Input::Link {
                    instance,
                    source: if more & 2 != 0 { Ok(source) } else { Err(LinkProblem::NoCarrier) },
                }
            }
            2 => Input::Force([Force::Auto, Force::Master, Force::Backup][usize::from(more) % 3]),
            3 => Input::Failover,
            4 => Input::Bridge(Duration::from_millis(u64::from(more) * 100)),
            5 => Input::Stop,
            6 => Input::Stalled,
            7 => {
                let verdict = if more & 1 == 0 { Verdict::Passing } else { Verdict::Failing };
                Input::Track { tracker: "proxy", verdict, detail: String::new() }
            }
            8 => Input::Clock(Duration::from_secs(u64::from(more) * 100)),
            9 => {
                let interval = fairway_config::Period::from_secs(1 + u64::from(more));
                config.group.instances.iter_mut().for_each(|one| one.advert_interval = interval);
                Input::Reconfigure(config.clone())
            }
            10 | 11 => {
                now += Duration::from_millis(u64::from(more) * 20);
                Input::Timer
            }
            _ => {
                let length = usize::from(choices.byte().unwrap_or(0)) % 64;
                let payload = choices.bytes(length);
                let packet = Received {
                    source: IpAddr::V4(Ipv4Addr::new(10, u8::from(instance == 1), 0, 2 + (more >> 2))),
                    destination: group_address(Family::Ipv4),
                    ttl: 255,
                    carrier: if kind == 2 { Carrier::Header { identification: 1 } } else { Carrier::Vrrp },
                    payload,
                };
                Input::Packet { instance, packet }
            }
        };
        let mut did = group.handle(now, input);
        let mut turns = 0;
        while group.next_deadline().is_some_and(|at| at <= now) {
            did.append(&mut group.handle(now, Input::Timer));
            turns += 1;
            assert!(turns < 16, "due again at once, forever");
        }
        for output in did {
            if let Output::Vips { instance, place } = output {
                places[instance] = place;
            }
        }
        if matches!(group.state(), State::Backup | State::Fault) {
            assert!(!places.contains(&Place::Interface), "{} with virtual IPs: {places:?}", group.state());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that follow from a seed (xorshift).
    fn bytes(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| next()).collect()
    }

    /// Good adverts with a few bytes changed, for chance alone finds none.
    #[test]
    fn any_bytes_are_a_packet_or_none() {
        for seed in 0..20_000 {
            let noise = bytes(seed, 48);
            packet(&noise);
            let family = usize::from(noise[0] & 1);
            let config = group(0).group.instances.remove(0);
            let advert = Advert {
                version: config.version,
                vrid: noise[1].max(1),
                priority: noise[2],
                interval: Duration::from_millis(10 * (1 + u64::from(noise[3]))),
                addresses: vec![SOURCES[family]; 1 + usize::from(noise[4] % 5)],
                authentication: fairway_vrrp::Authentication::None,
            };
            let to = group_address([Family::Ipv4, Family::Ipv6][family]);
            let mut text = vec![noise[0]];
            text.extend(advert.encode(SOURCES[family], to, config.checksum));
            packet(&text);
            let place = 1 + usize::from(noise[5]) % (text.len() - 1);
            text[place] ^= noise[6];
            packet(&text);
            packet(&text[..place]);
        }
    }

    #[test]
    fn any_operations_are_stood() {
        for seed in 0..3_000 {
            operations(&bytes(seed, 400));
        }
    }
}
