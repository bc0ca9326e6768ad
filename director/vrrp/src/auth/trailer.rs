//! The HMAC-SHA256 trailer (draft-cassen-vrrp-auth-hmac, as keepalived 2.4.2 and later have it):
//!
//! ```text
//! | 1 | key | 0 |  seconds: 4  | 1/65536 s: 2 | counter: 2 |  tag: 16 bytes
//! ```
//!
//! The tag is the first half of the HMAC over family, version, virtual router and source address, the message with
//! its checksum as zero, and the trailer with its tag as zero. Seconds are UTC; the three fields are one 64-bit
//! sequence that only grows, compared as serial numbers (RFC 1982).

use std::net::IpAddr;
use std::time::Duration;

use fairway_config::HmacMode;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Context, Senders};
use crate::packet::{CHECKSUM, PacketError, version_number};
use crate::saved::SavedSeal;

/// Of the trailer, in bytes.
pub(crate) const LENGTH: usize = 28;
const TAG: usize = 16;
const FIXED: usize = LENGTH - TAG;
const SHA256: u8 = 1;

#[derive(Debug, Clone)]
pub(crate) struct TrailerSeal {
    keys: Keys,
    active: u8,
    mode: HmacMode,
    window: Duration,
    /// The last sequence sent.
    sent: u64,
    senders: Senders<u64>,
}

#[derive(Clone, PartialEq, Eq)]
struct Keys(Vec<(u8, Vec<u8>)>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl TrailerSeal {
    pub(super) fn new(keys: Vec<(u8, Vec<u8>)>, active: u8, mode: HmacMode, window: Duration) -> Self {
        Self { keys: Keys(keys), active, mode, window, sent: 0, senders: Senders::default() }
    }

    /// Sequences do not depend on the keys, so they go on when those change.
    pub(super) fn follow(&mut self, before: &Self) {
        (self.sent, self.senders) = (before.sent, before.senders.clone());
    }

    /// As it is passed on to the next process: sequences do not depend on the keys.
    pub(super) fn save(&self) -> SavedSeal {
        SavedSeal { key: 0, number: self.sent, heard: self.senders.0.clone() }
    }

    /// Goes on from what another process knew.
    pub(super) fn adopt(&mut self, saved: &SavedSeal) {
        self.sent = saved.number;
        saved.heard.iter().for_each(|(sender, last)| self.senders.heard(*sender, *last));
    }

    pub(crate) fn mode(&self) -> HmacMode {
        self.mode
    }

    /// The sequence of the next advert: the clock's, or above the last one while the clock stands or goes back
    /// a little. After a step back that leaves the last one outside the window, nobody took it anyway.
    pub(crate) fn next(&mut self, clock: Duration) -> u64 {
        let now = sequence(clock);
        let ahead = is_after(self.sent, now) && !self.is_fresh(self.sent, clock);
        self.sent = if is_after(now, self.sent) || ahead { now } else { self.sent.wrapping_add(1) };
        self.sent
    }

    /// The trailer for a message.
    pub(crate) fn seal(&self, sequence: u64, context: &Context, message: &[u8]) -> [u8; LENGTH] {
        let mut trailer = [0; LENGTH];
        trailer[..2].copy_from_slice(&[SHA256, self.active]);
        trailer[4..FIXED].copy_from_slice(&sequence.to_be_bytes());
        let tag = self.mac(self.active, context, message, &trailer).finalize().into_bytes();
        trailer[FIXED..].copy_from_slice(&tag[..TAG]);
        trailer
    }

    /// Whether the trailer proves the message; its sequence, which is not yet counted as heard.
    pub(crate) fn open(
        &self,
        context: &Context,
        message: &[u8],
        trailer: &[u8; LENGTH],
    ) -> Result<u64, PacketError> {
        let [kind, id, rest @ ..] = trailer;
        if *kind != SHA256 || rest[..2] != [0, 0] {
            return Err(PacketError::MalformedSeal);
        }
        if !self.keys.0.iter().any(|(known, _)| known == id) {
            return Err(PacketError::UnknownKey(*id));
        }
        let mac = self.mac(*id, context, message, trailer);
        mac.verify_truncated_left(&trailer[FIXED..]).map_err(|_| PacketError::BadSeal)?;
        let sequence = trailer[4..FIXED].iter().fold(0, |sequence, byte| sequence << 8 | u64::from(*byte));
        if !self.is_fresh(sequence, context.clock) {
            return Err(PacketError::Stale(seconds_between(sequence, context.clock)));
        }
        // A mark outside the window was left by a clock that has been set since.
        let last = self.senders.last(context.source).filter(|last| self.is_fresh(*last, context.clock));
        if last.is_some_and(|last| !is_after(sequence, last)) {
            return Err(PacketError::Replayed);
        }
        Ok(sequence)
    }

    /// Counts a sequence as used by its sender.
    pub(crate) fn heard(&mut self, source: IpAddr, sequence: u64) {
        self.senders.heard(source, sequence);
    }

    fn is_fresh(&self, sequence: u64, clock: Duration) -> bool {
        u64::from(seconds_between(sequence, clock).unsigned_abs()) <= self.window.as_secs()
    }

    /// An unknown key counts as empty; [`TrailerSeal::open`] refuses those before.
    fn mac(&self, id: u8, context: &Context, message: &[u8], trailer: &[u8; LENGTH]) -> Hmac<Sha256> {
        let key = self.keys.0.iter().find(|(known, _)| *known == id).map_or(&[][..], |(_, key)| key);
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
        let mut address = [0; 16];
        let family = match context.source {
            IpAddr::V4(source) => {
                address[..4].copy_from_slice(&source.octets());
                4
            }
            IpAddr::V6(source) => {
                address = source.octets();
                6
            }
        };
        mac.update(&[family, version_number(context.version), context.vrid, 0]);
        mac.update(&address);
        let (before, after) = message.split_at(CHECKSUM.min(message.len()));
        mac.update(before);
        mac.update(&[0; 2]);
        mac.update(after.get(2..).unwrap_or_default());
        mac.update(&trailer[..FIXED]);
        mac.update(&[0; TAG]);
        mac
    }
}

/// The sequence of a moment.
fn sequence(clock: Duration) -> u64 {
    let fraction = (u64::from(clock.subsec_nanos()) << 16) / 1_000_000_000;
    (clock.as_secs() & 0xffff_ffff) << 32 | fraction << 16
}

/// Serial number arithmetic (RFC 1982).
fn is_after(a: u64, b: u64) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// How far a sequence is ahead of the clock.
fn seconds_between(sequence: u64, clock: Duration) -> i32 {
    let theirs = u32::try_from(sequence >> 32).unwrap_or_default();
    theirs.wrapping_sub(clock.as_secs() as u32).cast_signed()
}
