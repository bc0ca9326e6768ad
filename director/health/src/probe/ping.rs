//! ICMP echo is answered (RFC 792, RFC 4443 section 4).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::{Outcome, Stage, cannot_probe, failed};

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;

/// Tells our probes apart; on a ping socket the kernel puts its own identifier instead.
static SEQUENCE: AtomicU16 = AtomicU16::new(1);

pub(super) async fn probe(target: IpAddr, stage: &mut Stage) -> Outcome {
    match talk(target, stage).await {
        Ok(outcome) | Err(outcome) => outcome,
    }
}

async fn talk(target: IpAddr, stage: &mut Stage) -> Result<Outcome, Outcome> {
    let (socket, raw) = open(target).map_err(|error| cannot_probe(&error))?;
    // A connected socket hears from this server alone, refusals by ICMP included.
    socket.connect(&SocketAddr::new(target, 0).into()).map_err(|error| failed(&error, Stage::CONNECTING))?;
    // To the runtime it is a socket for datagrams like any other.
    let socket = UdpSocket::from_std(socket.into()).map_err(|error| cannot_probe(&error))?;
    let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
    let request = echo_request(target, sequence);
    *stage = Stage("waiting for the echo");
    socket.send(&request).await.map_err(|error| failed(&error, *stage))?;
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(|error| failed(&error, *stage))?;
        if is_reply(&buffer[..length], target, raw, &request) {
            return Ok(Outcome::Pass("answers".into()));
        }
    }
}

/// A ping socket where the kernel lets this group have one (`net.ipv4.ping_group_range`), else a raw one, which
/// takes CAP_NET_RAW. Also says whether it is raw.
fn open(target: IpAddr) -> io::Result<(Socket, bool)> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let (socket, raw) = match Socket::new(domain, Type::DGRAM, Some(protocol)) {
        Ok(socket) => (socket, false),
        Err(_) => (Socket::new(domain, Type::RAW, Some(protocol))?, true),
    };
    socket.set_nonblocking(true)?;
    Ok((socket, raw))
}

/// With a payload that says who asks. The kernel fills in the identifier of ping sockets, and the checksum of
/// everything but raw IPv4.
fn echo_request(target: IpAddr, sequence: u16) -> Vec<u8> {
    let kind = if target.is_ipv4() { 8 } else { 128 };
    let mut packet = vec![kind, 0, 0, 0];
    packet.extend_from_slice(&(std::process::id() as u16).to_be_bytes());
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(b"fairway-health");
    if target.is_ipv4() {
        let checksum = checksum(&packet);
        packet[2..4].copy_from_slice(&checksum.to_be_bytes());
    }
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(packet: &[u8]) -> u16 {
    let words = packet.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum: u32 = words.map(u32::from).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Whether `packet` is the echo of `request`. Raw IPv4 sockets get the IP header too.
fn is_reply(packet: &[u8], target: IpAddr, raw: bool, request: &[u8]) -> bool {
    let skip = match packet.first() {
        Some(first) if raw && target.is_ipv4() => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    let Some(packet) = packet.get(skip..).filter(|packet| packet.len() >= HEADER) else { return false };
    let kind = if target.is_ipv4() { 0 } else { 129 };
    // The identifier of a ping socket is the kernel's, which has looked at it already.
    let ours = !raw || packet[4..6] == request[4..6];
    packet[0] == kind && packet[1] == 0 && ours && packet[6..] == request[6..]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 1071 section 3.
    #[test]
    fn the_checksum_is_the_internets() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
        let request = echo_request(IpAddr::from([127, 0, 0, 1]), 7);
        assert_eq!(checksum(&request), 0, "a packet with its checksum sums up to nothing");
    }

    #[test]
    fn only_the_echo_of_the_request_is_a_reply() {
        let target = IpAddr::from([192, 0, 2, 1]);
        let request = echo_request(target, 7);
        let mut reply = vec![0x46; 24];
        reply.extend_from_slice(&request);
        reply[24] = 0;
        assert!(is_reply(&reply, target, true, &request));
        assert!(!is_reply(&reply, target, true, &echo_request(target, 8)));
        reply[24] = 3;
        assert!(!is_reply(&reply, target, true, &request), "unreachable is no echo");
        assert!(!is_reply(&reply[..27], target, true, &request));
        assert!(!is_reply(&[], target, true, &request));
    }
}
