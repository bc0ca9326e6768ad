//! Newtypes that refuse a bad value while it is being parsed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A value outside what its type allows. The text says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidValue(pub String);

/// A length of time, written as a string: `"250ms"`, `"15s"`, `"1m 30s"`, `"2h"`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(pub Duration);

impl Period {
    /// A period of whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// A period of milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// Whether it is no time at all.
    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_zero()
    }

    /// The standard library's form.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Period {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        humantime::parse_duration(text).map(Self).map_err(|error| {
            InvalidValue(format!(
                "\"{text}\" is not a length of time ({error}); write \"250ms\", \"15s\" or \"2h\""
            ))
        })
    }
}

impl TryFrom<String> for Period {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A network interface name as the kernel accepts it (`dev_valid_name`, at most 15 bytes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IfName(String);

impl IfName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let bad = |why: &str| Err(InvalidValue(format!("\"{text}\" is not an interface name: {why}")));
        match text {
            "" => bad("it is empty"),
            "." | ".." | "all" | "default" => bad("the kernel reserves it"),
            _ if text.len() > 15 => bad("it is longer than 15 bytes"),
            _ if text
                .chars()
                .any(|c| c.is_whitespace() || c.is_control() || c == '/' || c == ':' || c == '"') =>
            {
                bad("spaces, quotes, \"/\" and \":\" are not allowed")
            }
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for IfName {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<IfName> for String {
    fn from(name: IfName) -> Self {
        name.0
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Defines a `u8` newtype with a lower bound of 1.
macro_rules! nonzero_byte {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(u8);

        impl $name {
            /// Checks the range.
            ///
            /// # Errors
            /// Zero is refused.
            pub fn new(value: u8) -> Result<Self, InvalidValue> {
                Self::try_from(i64::from(value))
            }

            /// The number itself.
            pub const fn get(self) -> u8 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidValue;

            fn try_from(value: i64) -> Result<Self, InvalidValue> {
                match u8::try_from(value) {
                    Ok(byte) if byte > 0 => Ok(Self(byte)),
                    _ => Err(InvalidValue(format!("{value} is not a {}: use a number from 1 to 255", $what))),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

nonzero_byte! {
    /// A virtual router identifier (RFC 9568 section 5.2.3): 1 to 255.
    Vrid, "virtual router identifier"
}

nonzero_byte! {
    /// A VRRP priority (RFC 9568 section 5.2.4): 1 to 254, 255 for the owner of the addresses.
    Priority, "VRRP priority"
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// Length in bits of a host prefix: 32 or 128.
    pub const fn host_prefix(self) -> u8 {
        match self {
            Self::Ipv4 => 32,
            Self::Ipv6 => 128,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        })
    }
}
