//! Frames on the wire: ARP requests, and TCP segments that go to one certain server whatever the routes say.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, bind, sendto};
use socket2::{Domain, Protocol, Socket, Type};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl Mac {
    const BROADCAST: Self = Self([0xff; 6]);

    /// Of a virtual router over IPv4 (RFC 9568 section 7.3).
    pub(super) fn virtual_router(vrid: u8) -> Self {
        Self([0, 0, 0x5e, 0, 1, vrid])
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// All addresses of this host, with their interfaces.
pub(super) fn addresses() -> Vec<(String, IpAddr)> {
    let found = getifaddrs().into_iter().flatten();
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
    };
    found.filter_map(|entry| Some((entry.interface_name, ip(entry.address?)?))).collect()
}

/// An Ethernet interface with an IPv4 address of its own.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) name: String,
    link: LinkAddr,
    pub(super) mac: Mac,
    pub(super) address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Port {
    /// All of them. Addresses among `not` are not the host's own.
    pub(super) fn all(not: &BTreeSet<IpAddr>) -> Vec<Self> {
        let entries: Vec<_> = getifaddrs().into_iter().flatten().collect();
        let links: BTreeMap<&str, LinkAddr> = entries
            .iter()
            .filter_map(|entry| {
                Some((entry.interface_name.as_str(), *entry.address.as_ref()?.as_link_addr()?))
            })
            .collect();
        let port = |entry: &nix::ifaddrs::InterfaceAddress| {
            let address = entry.address?.as_sockaddr_in()?.ip();
            let mask = entry.netmask?.as_sockaddr_in()?.ip();
            let link = *links.get(entry.interface_name.as_str())?;
            let mac = Mac(link.addr()?);
            let own = !not.contains(&address.into()) && mac.0 != [0; 6] && mask != Ipv4Addr::BROADCAST;
            own.then(|| Self { name: entry.interface_name.clone(), link, mac, address, mask })
        };
        entries.iter().filter_map(port).collect()
    }

    /// Whether an address is in its network.
    pub(super) fn reaches(&self, address: Ipv4Addr) -> bool {
        let network = |a: Ipv4Addr| u32::from(a) & u32::from(self.mask);
        network(address) == network(self.address)
    }

    fn open(&self, ethertype: u16) -> io::Result<Socket> {
        // A packet socket's protocol is in network order; of one kind only what comes in is seen.
        let protocol = Protocol::from(i32::from(ethertype.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol))?;
        bind(socket.as_raw_fd(), &self.link)?;
        Ok(socket)
    }

    fn send(&self, socket: &Socket, to: Mac, ethertype: u16, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(64);
        frame.extend_from_slice(&to.0);
        frame.extend_from_slice(&self.mac.0);
        frame.extend_from_slice(&ethertype.to_be_bytes());
        frame.extend_from_slice(payload);
        frame.resize(frame.len().max(60), 0);
        sendto(socket.as_raw_fd(), &frame, &self.link, MsgFlags::empty())?;
        Ok(())
    }

    /// Asks who has these addresses, twice; returns everybody who says so until `wait` is over.
    pub(super) fn who_has(
        &self,
        wanted: &BTreeSet<Ipv4Addr>,
        wait: Duration,
    ) -> io::Result<BTreeMap<Ipv4Addr, BTreeSet<Mac>>> {
        let socket = self.open(ETHERTYPE_ARP)?;
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for _ in 0..2 {
            for address in wanted {
                self.send(&socket, Mac::BROADCAST, ETHERTYPE_ARP, &request(self, *address))?;
            }
            listen(&socket, wait / 2, |frame| {
                if let Some((address, mac)) = reply(frame)
                    && wanted.contains(&address)
                    && mac != self.mac
                {
                    found.entry(address).or_default().insert(mac);
                }
                false
            })?;
        }
        Ok(found)
    }

    /// Begins a TCP connection to an address and port with the machine that has this MAC address.
    pub(super) fn knock(&self, to: Mac, address: Ipv4Addr, port: u16, wait: Duration) -> io::Result<Knock> {
        let socket = self.open(ETHERTYPE_IPV4)?;
        // Each try from another port: the kernel, which knows of none of it, resets what is answered.
        for source in [61_123_u16, 61_124, 61_125] {
            let packet = syn((self.address, source), (address, port));
            self.send(&socket, to, ETHERTYPE_IPV4, &packet)?;
            let mut answer = None;
            listen(&socket, wait / 3, |frame| {
                answer = flags(frame, (address, port), (self.address, source));
                answer.is_some()
            })?;
            match answer {
                Some(flags) if flags & RST != 0 => return Ok(Knock::Refused),
                Some(_) => return Ok(Knock::Open),
                None => {}
            }
        }
        Ok(Knock::Silence)
    }
}

/// What became of a [`Port::knock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Knock {
    Open,
    Refused,
    Silence,
}

/// Gives frames to `take` until it has enough or the time is over.
fn listen(mut socket: &Socket, wait: Duration, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let end = Instant::now() + wait;
    let mut frame = [0; 2048];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        socket.set_read_timeout(Some(left))?;
        match socket.read(&mut frame) {
            Ok(length) => {
                if take(&frame[..length]) {
                    return Ok(());
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error),
        }
    }
}

/// RFC 826.
fn request(port: &Port, wanted: Ipv4Addr) -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
    payload.extend_from_slice(&port.mac.0);
    payload.extend_from_slice(&port.address.octets());
    payload.extend_from_slice(&[0; 6]);
    payload.extend_from_slice(&wanted.octets());
    payload
}

/// Who has what, if the frame says so.
pub(super) fn reply(frame: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let arp = frame.get(14..42)?;
    if arp[..8] != [0, 1, 8, 0, 6, 4, 0, 2] {
        return None;
    }
    let address: [u8; 4] = arp[14..18].try_into().ok()?;
    Some((address.into(), Mac(arp[8..14].try_into().ok()?)))
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

/// An IPv4 packet with a SYN.
pub(super) fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(24);
    tcp.extend_from_slice(&from.1.to_be_bytes());
    tcp.extend_from_slice(&to.1.to_be_bytes());
    tcp.extend_from_slice(&[0xfa, 0x12, 0x3a, 0x77, 0, 0, 0, 0, 6 << 4, SYN, 0x20, 0, 0, 0, 0, 0]);
    tcp.extend_from_slice(&[2, 4, 5, 0xb4]); // the usual segment size
    let pseudo = sum(&from.0.octets()) + sum(&to.0.octets()) + u32::from(TCP) + 24;
    let check = checksum(pseudo + sum(&tcp));
    tcp[16..18].copy_from_slice(&check);
    let mut ip = vec![0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, TCP, 0, 0];
    ip.extend_from_slice(&from.0.octets());
    ip.extend_from_slice(&to.0.octets());
    let check = checksum(sum(&ip));
    ip[10..12].copy_from_slice(&check);
    ip.extend_from_slice(&tcp);
    ip
}

/// The TCP flags of a frame between these ends.
pub(super) fn flags(frame: &[u8], from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Option<u8> {
    let ip = frame.get(14..)?;
    let length = usize::from(ip.first()? & 0x0f) * 4;
    let tcp = ip.get(length..)?;
    let here = *ip.get(9)? == TCP
        && ip.get(12..16)? == from.0.octets()
        && ip.get(16..20)? == to.0.octets()
        && tcp.get(..2)? == from.1.to_be_bytes()
        && tcp.get(2..4)? == to.1.to_be_bytes();
    here.then(|| tcp.get(13).copied())?
}
