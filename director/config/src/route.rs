//! Routes and rules that the master of a group has.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::InvalidValue;
use crate::types::{Family, IfName};

/// A range of addresses, such as `10.0.0.0/8`; an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The first address of the range.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many leading bits addresses of the range share.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Its address family.
    pub fn family(self) -> Family {
        Family::of(self.address)
    }

    /// The range of the addresses that share the first `length` bits with `address`.
    ///
    /// # Errors
    /// The length is longer than the address, or the address is not the first of the range.
    pub fn new(address: IpAddr, length: u8) -> Result<Self, InvalidValue> {
        let longest = Family::of(address).host_prefix();
        if length > longest {
            return Err(InvalidValue(format!(
                "{address}/{length} is no range; use a length up to {longest}"
            )));
        }
        let rest = u32::from(longest - length);
        let first = match address {
            IpAddr::V4(v4) => IpAddr::V4((u32::MAX.checked_shl(rest).unwrap_or(0) & u32::from(v4)).into()),
            IpAddr::V6(v6) => IpAddr::V6((u128::MAX.checked_shl(rest).unwrap_or(0) & u128::from(v6)).into()),
        };
        if first != address {
            return Err(InvalidValue(format!(
                "{address}/{length} begins in the middle of a range; write {first}/{length}"
            )));
        }
        Ok(Self { address, length })
    }
}

impl FromStr for Prefix {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = || {
            InvalidValue(format!("\"{text}\" is no range of addresses; write \"10.0.0.0/8\" or \"fd00::/8\""))
        };
        match text.split_once('/') {
            Some((address, length)) => {
                Self::new(address.parse().map_err(|_| bad())?, length.parse().map_err(|_| bad())?)
            }
            None => {
                let address = text.parse().map_err(|_| bad())?;
                Self::new(address, Family::of(address).host_prefix())
            }
        }
    }
}

impl TryFrom<String> for Prefix {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// A route that moves with mastership.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtualRoute {
    /// Where it leads to; `0.0.0.0/0` and `::/0` are the default routes.
    pub destination: Prefix,
    /// The next router; absent: the destination is on the interface's link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// The interface it leads through; absent: the one `via` is reached by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
    /// The address that the host's own packets have on this route: usually a virtual IP of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Of several routes to one destination in one table, the one with the lowest metric is taken. Absent: the
    /// kernel's, 0 for IPv4 and 1024 for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<u32>,
    /// The table; absent: the main one, 254.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Take `via` for reachable on the interface even if no address of it says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
    /// The largest packet on this route, in bytes; absent: the interface's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
}

impl VirtualRoute {
    /// The main table's number (`RT_TABLE_MAIN`).
    pub const MAIN: u32 = 254;

    /// The table, default filled in.
    pub fn table(&self) -> u32 {
        self.table.unwrap_or(Self::MAIN)
    }

    /// The metric, the kernel's default filled in.
    pub fn metric(&self) -> u32 {
        match (self.metric, self.destination.family()) {
            (None | Some(0), Family::Ipv6) => 1024,
            (metric, _) => metric.unwrap_or(0),
        }
    }
}

impl fmt::Display for VirtualRoute {
    /// As `ip route` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(interface) = &self.interface {
            write!(f, " dev {interface}")?;
        }
        if let Some(table) = self.table {
            write!(f, " table {table}")?;
        }
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if let Some(metric) = self.metric {
            write!(f, " metric {metric}")?;
        }
        Ok(())
    }
}

/// A routing policy rule that moves with mastership: which packets look into which table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtualRule {
    /// The family of the packets.
    pub family: Family,
    /// Rules are asked in the order of their priorities, the lowest first; the main table's is 32766.
    pub priority: u32,
    /// The table.
    pub table: u32,
    /// The packets' source; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Prefix>,
    /// The packets' destination; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Prefix>,
    /// The mark they have; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fwmark: Option<u32>,
    /// The interface they came in by; absent: any, and the host's own packets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incoming_interface: Option<IfName>,
}

impl fmt::Display for VirtualRule {
    /// As `ip rule` writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: from ", self.priority)?;
        match self.from {
            Some(from) => write!(f, "{from}")?,
            None => write!(f, "all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        if let Some(mark) = self.fwmark {
            write!(f, " fwmark {mark:#x}")?;
        }
        if let Some(interface) = &self.incoming_interface {
            write!(f, " iif {interface}")?;
        }
        write!(f, " lookup {} ({})", self.table, self.family)
    }
}
