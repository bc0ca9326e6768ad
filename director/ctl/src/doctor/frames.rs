//! Packets as the doctor sends and reads them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairway_config::Family;

pub(super) const ETHERTYPE_IPV4: u16 = 0x0800;
pub(super) const ETHERTYPE_ARP: u16 = 0x0806;
pub(super) const ETHERTYPE_IPV6: u16 = 0x86dd;

/// A TCP connection refused.
pub(super) const RST: u8 = 0x04;
const SYN: u8 = 0x02;

const TCP: u8 = 6;
const ICMPV6: u8 = 58;

// RFC 4861 sections 4.3, 4.4 and 4.6.1.
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE_ADDRESS: u8 = 1;
const OPTION_TARGET_ADDRESS: u8 = 2;

/// Where the payload of an Ethernet frame begins, and that of a packet in one without options or extensions.
const IN_FRAME: usize = 14;
const IPV6_HEADER: usize = 40;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl Mac {
    const BROADCAST: Self = Self([0xff; 6]);

    /// Of a virtual router (RFC 9568 section 7.3).
    pub(super) fn virtual_router(family: Family, vrid: u8) -> Self {
        let family = match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        Self([0, 0, 0x5e, 0, family, vrid])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Who has an address: whom to ask, and what to send. `None` for ends of different families.
pub(super) fn question(mac: Mac, own: IpAddr, wanted: IpAddr) -> Option<(Mac, Vec<u8>)> {
    match (own, wanted) {
        (IpAddr::V4(own), IpAddr::V4(wanted)) => Some((Mac::BROADCAST, arp_request(mac, own, wanted))),
        (IpAddr::V6(own), IpAddr::V6(wanted)) => Some(solicitation(mac, own, wanted)),
        _ => None,
    }
}

/// RFC 826.
fn arp_request(mac: Mac, own: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
    payload.extend_from_slice(&mac.0);
    payload.extend_from_slice(&own.octets());
    payload.extend_from_slice(&[0; 6]);
    payload.extend_from_slice(&wanted.octets());
    payload
}

/// RFC 4861 section 4.3, to the group of the nodes whose addresses end like this one.
fn solicitation(mac: Mac, own: Ipv6Addr, wanted: Ipv6Addr) -> (Mac, Vec<u8>) {
    let [.., a, b, c] = wanted.octets();
    let [high, low] = [0xff00 | u16::from(a), u16::from_be_bytes([b, c])];
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low);
    let mut message = vec![NEIGHBOUR_SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&wanted.octets());
    message.extend_from_slice(&[OPTION_SOURCE_ADDRESS, 1]); // its length in units of 8 bytes
    message.extend_from_slice(&mac.0);
    let check = checksum(pseudo_header(own.into(), group.into(), ICMPV6, message.len()) + sum(&message));
    message[2..4].copy_from_slice(&check);
    // Hop limit 255 tells that it comes from this link.
    (
        Mac([0x33, 0x33, 0xff, a, b, c]),
        [ipv6_header(own, group, ICMPV6, 255, message.len()), message].concat(),
    )
}

/// Who has what, if the frame says so.
pub(super) fn answer(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    match u16::from_be_bytes(frame.get(12..14)?.try_into().ok()?) {
        ETHERTYPE_ARP => {
            let arp = frame.get(IN_FRAME..IN_FRAME + 28)?;
            if arp[..8] != [0, 1, 8, 0, 6, 4, 0, 2] {
                return None;
            }
            let address: [u8; 4] = arp[14..18].try_into().ok()?;
            Some((address.into(), Mac(arp[8..14].try_into().ok()?)))
        }
        ETHERTYPE_IPV6 => {
            let packet = frame.get(IN_FRAME..)?;
            let message = packet.get(IPV6_HEADER..)?;
            if packet[6] != ICMPV6 || packet[7] != 255 || *message.first()? != NEIGHBOUR_ADVERTISEMENT {
                return None;
            }
            let address: [u8; 16] = message.get(8..24)?.try_into().ok()?;
            let mac = match message.get(24..32) {
                Some([OPTION_TARGET_ADDRESS, 1, mac @ ..]) => mac,
                _ => frame.get(6..12)?, // the sender's
            };
            Some((address.into(), Mac(mac.try_into().ok()?)))
        }
        _ => None,
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

/// RFC 1071.
pub(super) fn checksum(sum: u32) -> [u8; 2] {
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    (!u16::try_from(folded & 0xffff).unwrap_or_default()).to_be_bytes()
}

/// What a checksum covers beside the message (RFC 9293 section 3.1, RFC 8200 section 8.1).
fn pseudo_header(from: IpAddr, to: IpAddr, protocol: u8, length: usize) -> u32 {
    let address = |address| match address {
        IpAddr::V4(address) => sum(&Ipv4Addr::octets(&address)),
        IpAddr::V6(address) => sum(&Ipv6Addr::octets(&address)),
    };
    address(from) + address(to) + u32::from(protocol) + u32::try_from(length).unwrap_or_default()
}

fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(20 + length).unwrap_or_default().to_be_bytes();
    let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    let check = checksum(sum(&header));
    header[10..12].copy_from_slice(&check);
    header
}

fn ipv6_header(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, hops: u8, length: usize) -> Vec<u8> {
    let length = u16::try_from(length).unwrap_or_default().to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, length[0], length[1], protocol, hops];
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    header
}

/// A packet that begins a TCP connection with this sequence number. `None` for ends of different families.
pub(super) fn syn(from: (IpAddr, u16), to: (IpAddr, u16), sequence: u32) -> Option<Vec<u8>> {
    // A segment size that fits every link of IPv6.
    segment(from, to, sequence, SYN, &[2, 4, 4, 0xc4])
}

/// A packet that ends it.
pub(super) fn reset(from: (IpAddr, u16), to: (IpAddr, u16), sequence: u32) -> Option<Vec<u8>> {
    segment(from, to, sequence.wrapping_add(1), RST, &[])
}

fn segment(
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    sequence: u32,
    flags: u8,
    options: &[u8],
) -> Option<Vec<u8>> {
    let mut tcp = Vec::with_capacity(24);
    tcp.extend_from_slice(&from.1.to_be_bytes());
    tcp.extend_from_slice(&to.1.to_be_bytes());
    tcp.extend_from_slice(&sequence.to_be_bytes());
    let words = u8::try_from(5 + options.len() / 4).ok()?;
    tcp.extend_from_slice(&[0, 0, 0, 0, words << 4, flags, 0x20, 0, 0, 0, 0, 0]);
    tcp.extend_from_slice(options);
    let check = checksum(pseudo_header(from.0, to.0, TCP, tcp.len()) + sum(&tcp));
    tcp[16..18].copy_from_slice(&check);
    let header = match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4_header(from, to, TCP, tcp.len()),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipv6_header(from, to, TCP, 64, tcp.len()),
        _ => return None,
    };
    Some([header, tcp].concat())
}

/// The TCP flags of a frame between these ends that answers the [`syn`] with this sequence number, and no older one.
pub(super) fn flags(frame: &[u8], from: (IpAddr, u16), to: (IpAddr, u16), sequence: u32) -> Option<u8> {
    let packet = frame.get(IN_FRAME..)?;
    let (ends, tcp) = match (from.0, to.0) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = usize::from(packet.first()? & 0x0f) * 4;
            let ends = *packet.get(9)? == TCP && packet.get(12..20)? == [from.octets(), to.octets()].concat();
            (ends, packet.get(length..)?)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ends = *packet.get(6)? == TCP && packet.get(8..40)? == [from.octets(), to.octets()].concat();
            (ends, packet.get(IPV6_HEADER..)?)
        }
        _ => return None,
    };
    let here = ends && tcp.get(..2)? == from.1.to_be_bytes() && tcp.get(2..4)? == to.1.to_be_bytes();
    let answers = tcp.get(8..12)? == sequence.wrapping_add(1).to_be_bytes();
    (here && answers).then(|| tcp.get(13).copied())?
}
