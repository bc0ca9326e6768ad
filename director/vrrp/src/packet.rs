//! The wire format: VRRPv2 (RFC 3768 section 5) and VRRPv3 (RFC 9568 section 5).
//!
//! ```text
//!  v3                                      v2
//!  |vers=3|type=1| vrid |priority| count|  |vers=2|type=1| vrid |priority| count|
//!  | 0 |  interval (cs)  |   checksum   |  | auth | interval(s) |   checksum    |
//!  | addresses: count * (4 or 16) bytes |  | addresses: count * 4 bytes         |
//!                                          | password: 8 bytes                  |
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use fairway_config::{Checksum, Family, VrrpVersion};

use crate::auth::{self, Carrier, PASSWORD};

/// IP protocol number of VRRP.
const PROTOCOL: u8 = 112;
const ADVERTISEMENT: u8 = 1;
const HEADER: usize = 8;
const NO_AUTH: u8 = 0;
const SIMPLE_PASSWORD: u8 = 1;
const AUTHENTICATION_HEADER: u8 = 2;
const MAX_CENTISECONDS: u16 = 0xfff;
/// What a v3 advert can promise at most.
pub(crate) const LONGEST_INTERVAL: Duration = Duration::from_millis(MAX_CENTISECONDS as u64 * 10);
/// Where the checksum is.
pub(crate) const CHECKSUM: usize = 6;

/// The group that adverts of a family are sent to: 224.0.0.18 or ff02::12 (RFC 9568 sections 5.1.1.2, 5.1.2.2).
pub const fn group_address(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
    }
}

/// The virtual router identifier of a packet, for handing it to the right instance; `None` if it is too short.
pub fn vrid_of(carrier: Carrier, payload: &[u8]) -> Option<u8> {
    let message = match carrier {
        Carrier::Vrrp => payload,
        Carrier::Header { .. } => auth::message(payload)?,
    };
    message.get(1).copied()
}

/// Length of a message of this version with `count` addresses of the family of `source`.
pub(crate) fn message_length(version: u8, count: usize, source: IpAddr) -> Option<usize> {
    let list = count * if source.is_ipv4() { 4 } else { 16 };
    match version {
        2 => Some(HEADER + list + PASSWORD),
        3 => Some(HEADER + list),
        _ => None,
    }
}

/// What authenticates an advert in the message itself. VRRPv3 has nothing there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// VRRPv3, or VRRPv2 type 0.
    None,
    /// VRRPv2 type 1: a password, padded with zeros (RFC 2338 section 5.3.6).
    Password([u8; PASSWORD]),
    /// VRRPv2 type 2: the header before the message does (RFC 2338 section 5.3.6).
    Header,
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(..)",
            Self::Header => "Header",
        })
    }
}

/// An advertisement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advert {
    /// Protocol version.
    pub version: VrrpVersion,
    /// Virtual router identifier.
    pub vrid: u8,
    /// Priority; 0 means that the master stops.
    pub priority: u8,
    /// Advert interval of the sender: v3 10 ms to 40.95 s in steps of 10 ms, v2 whole seconds from 1 s to 255 s.
    pub interval: Duration,
    /// The advertised addresses, at most 255.
    pub addresses: Vec<IpAddr>,
    /// Password, v2 only.
    pub authentication: Authentication,
}

/// An advert from the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// What it says.
    pub advert: Advert,
    /// How its checksum was formed. Only IPv4 v3 knows two forms; all else is `Rfc9568`.
    pub checksum: Checksum,
}

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// TTL or hop limit is not 255: it crossed a router (RFC 9568 section 7.1).
    #[error("TTL is {0}, not 255: it was sent from beyond the local network")]
    Ttl(u8),
    /// It was not sent where adverts for this instance go: the VRRP multicast group, or with unicast its source.
    #[error(
        "sent to {0}, where no adverts for this instance go; is one side unicast and the other multicast?"
    )]
    Destination(IpAddr),
    /// It does not come from a unicast peer.
    #[error("does not come from one of the unicast peers")]
    Source,
    /// Shorter or longer than its header says.
    #[error("is {found} bytes long, not {expected}")]
    Length {
        /// What its header asks for.
        expected: usize,
        /// What came.
        found: usize,
    },
    /// Neither version 2 nor 3, or not the version configured.
    #[error("has VRRP version {0}, which is not the configured one")]
    Version(u8),
    /// Not an advertisement.
    #[error("has type {0}, not 1 (advertisement)")]
    Type(u8),
    /// Wrong checksum.
    #[error("has a wrong checksum")]
    Checksum,
    /// An advert interval of zero.
    #[error("has an advert interval of zero")]
    Interval,
    /// Another authentication type than configured (v2).
    #[error("has authentication type {0}, which is not the configured one")]
    AuthenticationType(u8),
    /// Wrong password (v2).
    #[error("has a wrong password")]
    Password,
    /// Without the authentication header or trailer that is configured.
    #[error("has no authentication header or trailer, which is configured here")]
    Unsealed,
    /// With an authentication header, which is not configured.
    #[error("has an authentication header, which is not configured here")]
    UnexpectedHeader,
    /// An authentication header or trailer that makes no sense.
    #[error("has a malformed authentication header or trailer")]
    MalformedSeal,
    /// Authenticated with a key that is not configured.
    #[error("is authenticated with key {0}, which is not configured here")]
    UnknownKey(u8),
    /// The authentication header or trailer was made with another key, or for another packet.
    #[error("has an authentication header or trailer that does not fit: another key, or a forged packet")]
    BadSeal,
    /// Its clock is this many seconds ahead of ours, more than the window.
    #[error("is {0} s ahead of this router's clock, outside the window: set both clocks")]
    Stale(i32),
    /// Heard before.
    #[error("was heard before: somebody repeats old packets")]
    Replayed,
}

impl Advert {
    /// The VRRP message for this advert, ready to follow an IP header with these addresses.
    ///
    /// `checksum` matters for IPv4 v3 only. Addresses of the other family than `source` are left out, and so is
    /// what exceeds 255 addresses; a validated configuration has neither.
    pub fn encode(&self, source: IpAddr, destination: IpAddr, checksum: Checksum) -> Vec<u8> {
        let addresses: Vec<_> = self
            .addresses
            .iter()
            .filter(|address| address.is_ipv4() == source.is_ipv4())
            .take(usize::from(u8::MAX))
            .collect();
        let mut bytes = Vec::with_capacity(HEADER + 16 * addresses.len() + PASSWORD);
        bytes.push((version_number(self.version) << 4) | ADVERTISEMENT);
        bytes.push(self.vrid);
        bytes.push(self.priority);
        bytes.push(u8::try_from(addresses.len()).unwrap_or(u8::MAX));
        match self.version {
            VrrpVersion::V2 => {
                bytes.push(match self.authentication {
                    Authentication::None => NO_AUTH,
                    Authentication::Password(_) => SIMPLE_PASSWORD,
                    Authentication::Header => AUTHENTICATION_HEADER,
                });
                bytes.push(u8::try_from(self.interval.as_secs()).unwrap_or(u8::MAX));
            }
            VrrpVersion::V3 => {
                let centiseconds = (self.interval.as_millis() / 10).min(MAX_CENTISECONDS.into());
                bytes.extend(u16::try_from(centiseconds).unwrap_or(MAX_CENTISECONDS).to_be_bytes());
            }
        }
        bytes.extend([0; 2]);
        for address in addresses {
            match address {
                IpAddr::V4(address) => bytes.extend(address.octets()),
                IpAddr::V6(address) => bytes.extend(address.octets()),
            }
        }
        if self.version == VrrpVersion::V2 {
            match self.authentication {
                Authentication::None | Authentication::Header => bytes.extend([0; PASSWORD]),
                Authentication::Password(password) => bytes.extend(password),
            }
        }
        let with_pseudo_header =
            self.version == VrrpVersion::V3 && (source.is_ipv6() || checksum == Checksum::Rfc5798);
        let mut sum = sum_of(&bytes);
        if with_pseudo_header {
            sum += pseudo_header(source, destination, bytes.len());
        }
        bytes[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!fold(sum)).to_be_bytes());
        bytes
    }

    /// Puts `trailer` behind a message. Over IPv6 the checksum covers it, as keepalived leaves it to the kernel.
    pub(crate) fn append(message: &mut Vec<u8>, trailer: &[u8], source: IpAddr, destination: IpAddr) {
        message.extend(trailer);
        if source.is_ipv6() {
            message[CHECKSUM..CHECKSUM + 2].fill(0);
            let sum = sum_of(message) + pseudo_header(source, destination, message.len());
            message[CHECKSUM..CHECKSUM + 2].copy_from_slice(&(!fold(sum)).to_be_bytes());
        }
    }

    /// Reads a VRRP message that followed an IP header with these addresses.
    ///
    /// Version, type, length, checksum and interval are verified here (RFC 9568 section 7.1); what depends on
    /// the configuration is not.
    ///
    /// # Errors
    /// What is wrong with the message, the first fault found.
    pub fn decode(payload: &[u8], source: IpAddr, destination: IpAddr) -> Result<Decoded, PacketError> {
        Self::decode_before(payload, &[], source, destination)
    }

    /// The same for a message with this trailer behind it.
    pub(crate) fn decode_before(
        payload: &[u8],
        behind: &[u8],
        source: IpAddr,
        destination: IpAddr,
    ) -> Result<Decoded, PacketError> {
        let short = PacketError::Length { expected: HEADER, found: payload.len() };
        let Some((&[kind, vrid, priority, count, fifth, sixth, ..], rest)) =
            payload.split_first_chunk::<HEADER>()
        else {
            return Err(short);
        };
        let version = match (kind >> 4, source) {
            (2, IpAddr::V4(_)) => VrrpVersion::V2,
            (3, _) => VrrpVersion::V3,
            (other, _) => return Err(PacketError::Version(other)),
        };
        if kind & 0xf != ADVERTISEMENT {
            return Err(PacketError::Type(kind & 0xf));
        }
        let size = if source.is_ipv4() { 4 } else { 16 };
        let list = usize::from(count) * size;
        let trailer = if version == VrrpVersion::V2 { PASSWORD } else { 0 };
        if rest.len() != list + trailer {
            return Err(PacketError::Length { expected: HEADER + list + trailer, found: payload.len() });
        }
        let checksum = if source.is_ipv6() && !behind.is_empty() {
            checksum_form(version, &[payload, behind].concat(), source, destination)?
        } else {
            checksum_form(version, payload, source, destination)?
        };
        let (list, trailer) = rest.split_at(list);
        let (interval, authentication) = match version {
            VrrpVersion::V3 => {
                let centiseconds = u16::from_be_bytes([fifth, sixth]) & MAX_CENTISECONDS;
                (Duration::from_millis(u64::from(centiseconds) * 10), Authentication::None)
            }
            VrrpVersion::V2 => {
                let authentication = match (fifth, <[u8; PASSWORD]>::try_from(trailer)) {
                    (NO_AUTH, _) => Authentication::None,
                    (SIMPLE_PASSWORD, Ok(password)) => Authentication::Password(password),
                    (AUTHENTICATION_HEADER, _) => Authentication::Header,
                    (other, _) => return Err(PacketError::AuthenticationType(other)),
                };
                (Duration::from_secs(sixth.into()), authentication)
            }
        };
        if interval.is_zero() {
            return Err(PacketError::Interval);
        }
        let addresses = list
            .chunks_exact(size)
            .filter_map(|bytes| match <[u8; 4]>::try_from(bytes) {
                Ok(octets) => Some(IpAddr::from(octets)),
                Err(_) => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
            })
            .collect();
        let advert = Advert { version, vrid, priority, interval, addresses, authentication };
        Ok(Decoded { advert, checksum })
    }
}

/// Whether two adverts carry the same proof; the time taken does not tell where passwords differ.
pub(crate) fn authenticate(ours: Authentication, theirs: Authentication) -> Result<(), PacketError> {
    match (ours, theirs) {
        (Authentication::None, Authentication::None) | (Authentication::Header, Authentication::Header) => {
            Ok(())
        }
        (Authentication::Password(ours), Authentication::Password(theirs)) => {
            let difference = ours.iter().zip(theirs).fold(0, |difference, (a, b)| difference | (a ^ b));
            if difference == 0 { Ok(()) } else { Err(PacketError::Password) }
        }
        (_, Authentication::None) => Err(PacketError::AuthenticationType(NO_AUTH)),
        (_, Authentication::Password(_)) => Err(PacketError::AuthenticationType(SIMPLE_PASSWORD)),
        (_, Authentication::Header) => Err(PacketError::AuthenticationType(AUTHENTICATION_HEADER)),
    }
}

pub(crate) const fn version_number(version: VrrpVersion) -> u8 {
    match version {
        VrrpVersion::V2 => 2,
        VrrpVersion::V3 => 3,
    }
}

/// Verifies the checksum, in either form where there are two.
fn checksum_form(
    version: VrrpVersion,
    payload: &[u8],
    source: IpAddr,
    destination: IpAddr,
) -> Result<Checksum, PacketError> {
    const VALID: u16 = 0xffff;
    let plain = sum_of(payload);
    let covered = plain + pseudo_header(source, destination, payload.len());
    match (version, source) {
        (VrrpVersion::V3, IpAddr::V6(_)) if fold(covered) == VALID => Ok(Checksum::Rfc9568),
        (VrrpVersion::V3, IpAddr::V6(_)) => Err(PacketError::Checksum),
        _ if fold(plain) == VALID => Ok(Checksum::Rfc9568),
        (VrrpVersion::V3, _) if fold(covered) == VALID => Ok(Checksum::Rfc5798),
        _ => Err(PacketError::Checksum),
    }
}

/// The sum over the pseudo-header (RFC 8200 section 8.1; IPv4 as in RFC 768).
fn pseudo_header(source: IpAddr, destination: IpAddr, length: usize) -> u64 {
    let address = |address| match address {
        IpAddr::V4(address) => sum_of(&Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => sum_of(&Ipv6Addr::octets(&address)),
    };
    address(source) + address(destination) + u64::from(PROTOCOL) + length as u64
}

/// Sum of big-endian 16-bit words, an odd last byte padded with zero (RFC 1071).
fn sum_of(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|word| u64::from(word[0]) << 8 | u64::from(word.get(1).copied().unwrap_or_default()))
        .sum()
}

/// Folds the carries into 16 bits.
fn fold(mut sum: u64) -> u16 {
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + carry;
    }
    sum as u16
}
