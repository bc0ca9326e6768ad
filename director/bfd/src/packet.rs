//! The control packet (RFC 5880 section 4.1), and which ones are to be discarded (6.8.6).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes of a packet without an authentication section.
pub const LENGTH: usize = 24;
/// Bytes of the shortest packet with one.
const AUTHENTICATED_LENGTH: usize = 26;

const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// The state of a session, as packets carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Taken down by order.
    AdminDown,
    /// The neighbour is not heard, or says that it does not hear us.
    Down,
    /// The neighbour is heard.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::AdminDown => 0,
            Self::Down => 1,
            Self::Init => 2,
            Self::Up => 3,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "admin-down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why the session was last taken down (RFC 5880 section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// It was not.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the detection time.
    pub const EXPIRED: Self = Self(1);
    /// The neighbour said that the session is down.
    pub const NEIGHBOUR_DOWN: Self = Self(3);
    /// By order.
    pub const ADMINISTRATIVE: Self = Self(7);

    /// The words of the RFC for it.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "no diagnostic",
            1 => "control detection time expired",
            2 => "echo function failed",
            3 => "neighbour signalled session down",
            4 => "forwarding plane reset",
            5 => "path down",
            6 => "concatenated path down",
            7 => "administratively down",
            8 => "reverse concatenated path down",
            _ => "reserved",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A control packet. It has version 1 and no authentication section.
// The flags are those of the wire.
#[expect(clippy::struct_excessive_bools, reason = "the flags are those of the wire")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session was last taken down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender wants an answer with `is_final` set.
    pub poll: bool,
    /// Answers a packet with `poll` set.
    pub is_final: bool,
    /// The sender's BFD goes on when its control plane fails.
    pub control_plane_independent: bool,
    /// The sender is in demand mode: it wants no periodic packets.
    pub demand: bool,
    /// How many of its intervals may be missed. Not 0.
    pub multiplier: u8,
    /// The sender's name for the session. Not 0.
    pub my_discriminator: u32,
    /// The receiver's name for it; 0 if the sender does not know it.
    pub your_discriminator: u32,
    /// The shortest interval at which the sender would like to send.
    pub desired_min_tx: Duration,
    /// The shortest interval between packets that the sender can bear; 0: it wants none.
    pub required_min_rx: Duration,
    /// The same for echo packets; 0: it takes none.
    pub required_min_echo_rx: Duration,
}

/// Why bytes are no packet that may be used (RFC 5880 section 6.8.6, in its order).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PacketError {
    /// Too short to hold a packet.
    #[error("{0} bytes are too short for a packet")]
    Truncated(usize),
    /// Another version of the protocol.
    #[error("version {0} instead of {VERSION}")]
    Version(u8),
    /// The length field is too small.
    #[error("a length field of {0} is too small")]
    Length(u8),
    /// The length field is larger than what came.
    #[error("a length field of {length} in {bytes} bytes")]
    Overlong {
        /// What the field says.
        length: u8,
        /// What came.
        bytes: usize,
    },
    /// The multiplier is 0.
    #[error("a detection multiplier of 0")]
    Multiplier,
    /// The multipoint bit is set.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// The sender does not name its session.
    #[error("my discriminator is 0")]
    MyDiscriminator,
    /// The receiver's session is not named, in a state where the sender has to know it.
    #[error("your discriminator is 0 in state {0}")]
    YourDiscriminator(State),
    /// There is an authentication section, and authentication is not in use.
    #[error("it is authenticated, which is not in use here")]
    Authenticated,
}

impl PacketError {
    /// A name for counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated(_) | Self::Length(_) | Self::Overlong { .. } => "bad-length",
            Self::Version(_) => "bad-version",
            Self::Multiplier => "bad-multiplier",
            Self::Multipoint => "multipoint",
            Self::MyDiscriminator | Self::YourDiscriminator(_) => "bad-discriminator",
            Self::Authenticated => "unexpected-authentication",
        }
    }
}

fn word(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn interval(bytes: &[u8; LENGTH], at: usize) -> Duration {
    Duration::from_micros(word(bytes, at).into())
}

/// An interval in microseconds, as far as the field reaches (71 minutes).
fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

impl Packet {
    /// Reads the payload of a datagram. What follows the packet is no part of it.
    ///
    /// # Errors
    /// The first rule of RFC 5880 section 6.8.6 that it breaks, as far as they do not depend on a session.
    pub fn decode(payload: &[u8]) -> Result<Self, PacketError> {
        let bytes: &[u8; LENGTH] = payload.first_chunk().ok_or(PacketError::Truncated(payload.len()))?;
        let (version, flags, length) = (bytes[0] >> 5, bytes[1], bytes[3]);
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let authenticated = flags & AUTHENTICATION != 0;
        if usize::from(length) < if authenticated { AUTHENTICATED_LENGTH } else { LENGTH } {
            return Err(PacketError::Length(length));
        }
        if usize::from(length) > payload.len() {
            return Err(PacketError::Overlong { length, bytes: payload.len() });
        }
        if bytes[2] == 0 {
            return Err(PacketError::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(PacketError::Multipoint);
        }
        let packet = Self {
            diagnostic: Diagnostic(bytes[0] & 0x1f),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier: bytes[2],
            my_discriminator: word(bytes, 4),
            your_discriminator: word(bytes, 8),
            desired_min_tx: interval(bytes, 12),
            required_min_rx: interval(bytes, 16),
            required_min_echo_rx: interval(bytes, 20),
        };
        if packet.my_discriminator == 0 {
            return Err(PacketError::MyDiscriminator);
        }
        if packet.your_discriminator == 0 && matches!(packet.state, State::Init | State::Up) {
            return Err(PacketError::YourDiscriminator(packet.state));
        }
        if authenticated {
            return Err(PacketError::Authenticated);
        }
        Ok(packet)
    }

    /// The payload of a datagram.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 5 | self.diagnostic.0 & 0x1f;
        bytes[1] = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        bytes[2] = self.multiplier;
        bytes[3] = LENGTH as u8;
        bytes[4..8].copy_from_slice(&self.my_discriminator.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.your_discriminator.to_be_bytes());
        bytes[12..16].copy_from_slice(&micros(self.desired_min_tx).to_be_bytes());
        bytes[16..20].copy_from_slice(&micros(self.required_min_rx).to_be_bytes());
        bytes[20..24].copy_from_slice(&micros(self.required_min_echo_rx).to_be_bytes());
        bytes
    }
}

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// Over no more hops than allowed.
    Near,
    /// Over more: from outside, or forged.
    Far,
}

/// Judges a packet by its TTL or hop limit. Senders start at 255 (RFC 5881 section 5, RFC 5883 section 6), so that
/// nobody farther away than `hops` can send what passes for a packet from nearby. A direct neighbour is 1 hop away.
pub const fn arrival(ttl: u8, hops: u8) -> Arrival {
    let farthest = if hops == 0 { 1 } else { hops };
    if 255 - ttl < farthest { Arrival::Near } else { Arrival::Far }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
pub(crate) mod tests;
