//! The authentication header of VRRPv2 (RFC 2338 section 5.3.6.3, RFC 4302): HMAC-MD5-96 over the IP header and
//! what follows it.
//!
//! ```text
//! | next header 112 | length 4 | 0 |   security parameters index: the source address
//! | sequence number | integrity check value: 12 bytes |   VRRP message
//! ```
//!
//! All routers share one counter, as in keepalived: a number is taken that is above the sender's last one and not
//! below the highest one known, and who becomes master goes on from there. So a router that starts from zero, as
//! keepalived does, is heard as soon as it has heard the master. Ours follow the clock besides, so that a master
//! that comes back from a crash, without having heard anybody, is not behind itself.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::Sha256;

use super::{PASSWORD, Senders};
use crate::packet::PacketError;
use crate::saved::SavedSeal;

/// IP protocol number of the authentication header.
const PROTOCOL: u8 = 51;
const VRRP: u8 = 112;
/// Of the header, in bytes.
pub(crate) const LENGTH: usize = 24;
/// In 32-bit words, less two (RFC 4302 section 2.2).
const LENGTH_FIELD: u8 = 4;
const VALUE: usize = 12;
const IP_HEADER: usize = 20;
const TTL: u8 = 255;

/// From when on numbers follow the clock: 2026-01-01, in seconds of Unix time.
const SINCE: u64 = 1_767_225_600;
/// Numbers a second. Version 2 sends once a second, and a few adverts more at a hand-over.
const A_SECOND: u64 = 4;

/// The number of a moment; 0 with a clock that is far off, so that it does not use all the numbers up.
fn by_the_clock(clock: Duration) -> u32 {
    let number = clock.as_secs().saturating_sub(SINCE).saturating_mul(A_SECOND);
    u32::try_from(number).ok().filter(|number| *number <= u32::MAX / 2).unwrap_or_default()
}

#[derive(Debug, Clone)]
pub(crate) struct HeaderSeal {
    key: [u8; PASSWORD],
    /// The highest number sent or heard.
    number: u32,
    senders: Senders<u32>,
}

impl HeaderSeal {
    pub(super) fn new(key: [u8; PASSWORD]) -> Self {
        Self { key, number: 0, senders: Senders::default() }
    }

    pub(super) fn follow(&mut self, before: &Self) {
        if self.key == before.key {
            (self.number, self.senders) = (before.number, before.senders.clone());
        }
    }

    /// As it is passed on to the next process.
    pub(super) fn save(&self) -> SavedSeal {
        let heard = self.senders.0.iter().map(|(sender, number)| (*sender, u64::from(*number)));
        SavedSeal { key: self.mark(), number: self.number.into(), heard: heard.collect() }
    }

    /// Goes on from what another process with the same key knew.
    pub(super) fn adopt(&mut self, saved: &SavedSeal) {
        if saved.key == self.mark() {
            let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
            self.number = number(saved.number);
            saved.heard.iter().for_each(|(sender, last)| self.senders.heard(*sender, number(*last)));
        }
    }

    /// Tells keys apart without telling them.
    fn mark(&self) -> u64 {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("any length is a key");
        mac.update(b"fairway: the key of a hand-over");
        let mark = mac.finalize().into_bytes();
        mark[..8].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The number of the next advert, for all the peers it goes to: above the last one, and not behind the clock, so
    /// that a process after a crash, which knows no number, is heard at once.
    pub(crate) fn next(&mut self, clock: Duration) -> u32 {
        self.number = self.number.saturating_add(1).max(by_the_clock(clock));
        self.number
    }

    /// The identification of the IP packet with this number: never zero, which the kernel would replace.
    pub(crate) fn identification(number: u32) -> u16 {
        u16::try_from(number % 0xffff).unwrap_or_default() + 1
    }

    /// Puts the header before a message.
    pub(crate) fn seal(&self, number: u32, source: Ipv4Addr, to: Ipv4Addr, message: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(LENGTH + message.len());
        payload.extend([VRRP, LENGTH_FIELD, 0, 0]);
        payload.extend(source.octets());
        payload.extend(number.to_be_bytes());
        payload.extend([0; VALUE]);
        payload.extend(message);
        let value = self.mac(Self::identification(number), source, to, &payload).finalize().into_bytes();
        payload[LENGTH - VALUE..LENGTH].copy_from_slice(&value[..VALUE]);
        payload
    }

    /// The message behind the header, if the header proves it. It is not yet counted as heard.
    pub(crate) fn open<'a>(
        &self,
        identification: u16,
        (source, to): (IpAddr, IpAddr),
        payload: &'a [u8],
    ) -> Result<(u32, &'a [u8]), PacketError> {
        let (IpAddr::V4(source), IpAddr::V4(to)) = (source, to) else {
            return Err(PacketError::Unsealed);
        };
        let short = PacketError::Length { expected: LENGTH, found: payload.len() };
        let (header, message) = payload.split_first_chunk::<LENGTH>().ok_or(short)?;
        let (fixed, value) = header.split_at(LENGTH - VALUE);
        if fixed[..2] != [VRRP, LENGTH_FIELD] || fixed[4..8] != source.octets() {
            return Err(PacketError::MalformedSeal);
        }
        let mut covered = payload.to_vec();
        covered[LENGTH - VALUE..LENGTH].fill(0);
        let mac = self.mac(identification, source, to, &covered);
        mac.verify_truncated_left(value).map_err(|_| PacketError::BadSeal)?;
        let number = fixed[8..12].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        if number < self.number || self.senders.last(source.into()).is_some_and(|last| number <= last) {
            return Err(PacketError::Replayed);
        }
        Ok((number, message))
    }

    /// Counts a number as used by its sender.
    pub(crate) fn heard(&mut self, source: IpAddr, number: u32) {
        self.number = self.number.max(number);
        self.senders.heard(source, number);
    }

    /// Over the IP header, with what changes on the way as zero, and `payload`. Only the TTL is not zero: it is 255
    /// in every packet that is taken, and keepalived covers it.
    fn mac(&self, identification: u16, source: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Hmac<Md5> {
        let mut mac = Hmac::<Md5>::new_from_slice(&self.key).expect("any length is a key");
        let length = u16::try_from(IP_HEADER + payload.len()).unwrap_or(u16::MAX);
        mac.update(&[0x45, 0]);
        mac.update(&length.to_be_bytes());
        mac.update(&identification.to_be_bytes());
        mac.update(&[0, 0, TTL, PROTOCOL, 0, 0]);
        mac.update(&source.octets());
        mac.update(&to.octets());
        mac.update(payload);
        mac
    }
}

/// The virtual router identifier behind an authentication header.
pub(crate) fn message(payload: &[u8]) -> Option<&[u8]> {
    payload.get(LENGTH..)
}
