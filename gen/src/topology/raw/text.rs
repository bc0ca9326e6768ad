//! Values with a form of their own inside a string.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use fairway_config::{Family, InvalidValue, Protocol};

/// An address, with a prefix length where one is written: `192.168.1.1` or `192.168.1.1/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressText {
    /// The address.
    pub address: IpAddr,
    /// The prefix length.
    pub prefix: Option<u8>,
}

impl FromStr for AddressText {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| {
            InvalidValue(format!("\"{text}\" is not an IP address; write one such as 192.168.1.1 or fd00::1"))
        })?;
        if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
            return Err(InvalidValue(format!(
                "{address} cannot be the address of a host; write a unicast address"
            )));
        }
        let longest = Family::of(address).host_prefix();
        let prefix = match prefix.map(str::parse::<u8>) {
            None => None,
            Some(Ok(prefix)) if (1..=longest).contains(&prefix) => Some(prefix),
            Some(_) => {
                return Err(InvalidValue(format!(
                    "\"{text}\" has no proper prefix length; use a number from 1 to {longest} after the \"/\""
                )));
            }
        };
        Ok(Self { address, prefix })
    }
}

/// The ID of an installed system, as /etc/machine-id has it: 32 hexadecimal digits, in lower case here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MachineId(String);

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MachineId {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(InvalidValue(format!("\"{text}\" is no machine ID; write the 32 digits of /etc/machine-id")))
    }
}

/// The MAC address of a network interface, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mac(String);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Mac {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let octets: Vec<&str> = text.split(':').collect();
        let is_octet = |octet: &&str| octet.len() == 2 && octet.bytes().all(|b| b.is_ascii_hexdigit());
        if octets.len() == 6 && octets.iter().all(is_octet) {
            return Ok(Self(text.to_ascii_lowercase()));
        }
        Err(InvalidValue(format!(
            "\"{text}\" is no MAC address; write one as \"ip link\" shows it, such as 52:54:00:12:34:56"
        )))
    }
}

/// Ports that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// The first one; 0 for every port.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl Ports {
    /// One port, or with 0 every port.
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }

    /// Whether these are all ports there are.
    pub const fn is_every(self) -> bool {
        self.first == 0
    }

    /// How many there are.
    pub const fn count(self) -> usize {
        (self.last - self.first) as usize + 1
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { self.first.fmt(f) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

/// What a service listens on: `shop:80`, `192.168.1.1:80,443`, `[fd00::1]:8000-8099`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenText {
    /// The virtual IP.
    pub target: ListenTarget,
    /// The ports.
    pub ports: Vec<Ports>,
}

/// The virtual IP of a [`ListenText`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenTarget {
    /// By its name under `[virtual-ips]`.
    Name(String),
    /// By its address.
    Address(IpAddr),
}

impl FromStr for ListenText {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = || {
            InvalidValue(format!(
                "\"{text}\" is not a virtual IP and ports; write \"NAME:80\", \"192.168.1.1:80,443\" or \"[fd00::1]:8000-8099\""
            ))
        };
        let (target, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bracketed = target.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        let target = match bracketed {
            Some(inside) => ListenTarget::Address(IpAddr::V6(inside.parse().map_err(|_| bad())?)),
            None if target.is_empty() || target.contains([':', '[', ']']) => return Err(bad()),
            None => match target.parse() {
                Ok(address) => ListenTarget::Address(address),
                Err(_) => ListenTarget::Name(target.to_owned()),
            },
        };
        let ports =
            port.split(',').map(|ports| read_ports(ports).ok_or_else(bad)).collect::<Result<Vec<_>, _>>()?;
        if ports.len() > 1 && ports.iter().any(|ports| ports.is_every()) {
            return Err(InvalidValue(format!(
                "\"{text}\" has every port (0) and others besides; write one or the other"
            )));
        }
        Ok(Self { target, ports })
    }
}

/// `80` or `8000-8099`.
fn read_ports(text: &str) -> Option<Ports> {
    let Some((first, last)) = text.split_once('-') else { return Some(Ports::one(text.parse().ok()?)) };
    let ports = Ports { first: first.parse().ok()?, last: last.parse().ok()? };
    (ports.first != 0 && ports.first <= ports.last).then_some(ports)
}

/// A port the firewall lets in: `22/tcp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowText {
    /// The port.
    pub port: u16,
    /// The transport.
    pub protocol: Protocol,
}

impl FromStr for AllowText {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parts = text.split_once('/').and_then(|(port, protocol)| {
            let protocol = match protocol {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                "sctp" => Protocol::Sctp,
                _ => return None,
            };
            Some(Self { port: port.parse().ok().filter(|p| *p != 0)?, protocol })
        });
        parts.ok_or_else(|| InvalidValue(format!("\"{text}\" is not a port and protocol; write \"22/tcp\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_are_names_addresses_or_bracketed_addresses() {
        let name = |n: &str| ListenTarget::Name(n.to_owned());
        let address = |a: &str| ListenTarget::Address(a.parse().unwrap());
        for (text, target, ports) in [
            ("shop:80", name("shop"), vec![Ports::one(80)]),
            ("192.168.1.1:443", address("192.168.1.1"), vec![Ports::one(443)]),
            ("[fd00::1]:53,853", address("fd00::1"), vec![Ports::one(53), Ports::one(853)]),
            ("shop:0", name("shop"), vec![Ports::one(0)]),
            ("shop:21,8000-8099", name("shop"), vec![Ports::one(21), Ports { first: 8000, last: 8099 }]),
        ] {
            assert_eq!(text.parse(), Ok(ListenText { target, ports }), "{text}");
        }
        for text in [
            "shop",
            "shop:",
            ":80",
            "shop:65536",
            "fd00::1:80",
            "[fd00::1]",
            "[10.0.0.1]:80",
            "shop:-1",
            "shop:0,80",
            "shop:9-8",
            "shop:0-9",
            "shop:80,",
        ] {
            assert!(text.parse::<ListenText>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_are_unicast_with_a_sane_prefix() {
        let good: AddressText = "10.0.0.1/24".parse().unwrap();
        assert_eq!((good.address.to_string().as_str(), good.prefix), ("10.0.0.1", Some(24)));
        for text in [
            "10.0.0.1/33",
            "10.0.0.1/0",
            "fd00::1/129",
            "10.0.0",
            "0.0.0.0",
            "224.0.0.18",
            "::1",
            "10.0.0.1/",
        ] {
            assert!(text.parse::<AddressText>().is_err(), "{text}");
        }
    }
}
