//! Frames on the wire: who has an address, and TCP segments that go to one certain server whatever the routes say.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use fairway_config::Family;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::sys::socket::{LinkAddr, MsgFlags, SockaddrStorage, bind, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use super::frames::{self, ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Mac, RST};

/// Above it are the ports that the kernel gives to nobody who does not ask for them (`net.ipv4.ip_local_port_range`).
const PORTS: u16 = 61_000;

/// All addresses of this host, with their interfaces.
pub(super) fn addresses() -> Vec<(String, IpAddr)> {
    let found = getifaddrs().into_iter().flatten();
    found.filter_map(|entry| Some((entry.interface_name, ip(entry.address?)?))).collect()
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::from(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::from(a.ip())))
}

/// An Ethernet interface with addresses of its own.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) name: String,
    link: LinkAddr,
    pub(super) mac: Mac,
    networks: Vec<Network>,
}

/// An address and what is reached from it.
#[derive(Debug, Clone, Copy)]
struct Network {
    own: IpAddr,
    mask: IpAddr,
}

impl Network {
    fn reaches(&self, address: IpAddr) -> bool {
        match (self.own, self.mask, address) {
            (IpAddr::V4(own), IpAddr::V4(mask), IpAddr::V4(address)) => own & mask == address & mask,
            (IpAddr::V6(own), IpAddr::V6(mask), IpAddr::V6(address)) => own & mask == address & mask,
            _ => false,
        }
    }
}

impl Port {
    /// All of them. Addresses among `not` are not the host's own.
    pub(super) fn all(not: &BTreeSet<IpAddr>) -> Vec<Self> {
        let entries: Vec<_> = getifaddrs().into_iter().flatten().collect();
        let network = |entry: &InterfaceAddress| {
            let (own, mask) = (ip(entry.address?)?, ip(entry.netmask?)?);
            let alone = match mask {
                IpAddr::V4(mask) => mask.to_bits() == u32::MAX,
                IpAddr::V6(mask) => mask.to_bits() == u128::MAX,
            };
            (!alone && !not.contains(&own)).then_some(Network { own, mask })
        };
        let port = |entry: &InterfaceAddress| {
            let link = *entry.address.as_ref()?.as_link_addr()?;
            let (name, mac) = (entry.interface_name.clone(), Mac(link.addr()?));
            let networks: Vec<_> =
                entries.iter().filter(|other| other.interface_name == name).filter_map(network).collect();
            (mac.0 != [0; 6] && !networks.is_empty()).then_some(Self { name, link, mac, networks })
        };
        entries.iter().filter_map(port).collect()
    }

    /// Whether an address is in one of its networks.
    pub(super) fn reaches(&self, address: IpAddr) -> bool {
        self.source(address).is_some()
    }

    /// The own address from which another is reached.
    fn source(&self, address: IpAddr) -> Option<IpAddr> {
        self.networks.iter().find(|network| network.reaches(address)).map(|network| network.own)
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
        frame.resize(frame.len().max(60), 0); // the shortest there is
        sendto(socket.as_raw_fd(), &frame, &self.link, MsgFlags::empty())?;
        Ok(())
    }

    /// Asks who has these addresses, by ARP and by neighbour solicitation, twice; returns everybody who says so until
    /// `wait` is over.
    pub(super) fn who_has(
        &self,
        wanted: &BTreeSet<IpAddr>,
        wait: Duration,
    ) -> io::Result<BTreeMap<IpAddr, BTreeSet<Mac>>> {
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (family, ethertype) in [(Family::Ipv4, ETHERTYPE_ARP), (Family::Ipv6, ETHERTYPE_IPV6)] {
            let wanted: Vec<_> = wanted.iter().copied().filter(|ip| Family::of(*ip) == family).collect();
            if wanted.is_empty() {
                continue;
            }
            let socket = self.open(ethertype)?;
            for _ in 0..2 {
                for (own, address) in wanted.iter().filter_map(|ip| Some((self.source(*ip)?, *ip))) {
                    let Some((to, payload)) = frames::question(self.mac, own, address) else { continue };
                    self.send(&socket, to, ethertype, &payload)?;
                }
                listen(&socket, wait / 2, |frame| {
                    if let Some((address, mac)) = frames::answer(frame)
                        && wanted.contains(&address)
                        && mac != self.mac
                    {
                        found.entry(address).or_default().insert(mac);
                    }
                    false
                })?;
            }
        }
        Ok(found)
    }

    /// Begins a TCP connection to an address and port with the machine that has this MAC address. `near` is an
    /// address of that machine in a network of this interface.
    pub(super) fn knock(
        &self,
        (to, near): (Mac, IpAddr),
        (address, port): (IpAddr, u16),
        wait: Duration,
    ) -> io::Result<Knock> {
        let Some(own) = self.source(near) else { return Ok(Knock::Silence) };
        let ethertype = if own.is_ipv4() { ETHERTYPE_IPV4 } else { ETHERTYPE_IPV6 };
        let socket = self.open(ethertype)?;
        for _ in 0..3 {
            // Another port and number each time: servers repeat their answers for a minute, and what they say to one
            // question, or to one who asked before, must not be taken for somebody else's answer to the next.
            let random = RandomState::new().build_hasher().finish();
            let [high, low, number @ .., _, _] = random.to_be_bytes();
            let source = PORTS + u16::from_be_bytes([high, low]) % (u16::MAX - PORTS);
            let (from, number) = ((own, source), u32::from_be_bytes(number));
            let Some(packet) = frames::syn(from, (address, port), number) else { return Ok(Knock::Silence) };
            self.send(&socket, to, ethertype, &packet)?;
            let mut answer = None;
            listen(&socket, wait / 3, |frame| {
                answer = frames::flags(frame, (address, port), from, number);
                answer.is_some()
            })?;
            match answer {
                Some(flags) if flags & RST != 0 => return Ok(Knock::Refused),
                Some(_) => {
                    // The kernel, which knows of none of it, does not reset what comes from a director's virtual IP.
                    if let Some(packet) = frames::reset(from, (address, port), number) {
                        self.send(&socket, to, ethertype, &packet)?;
                    }
                    return Ok(Knock::Open);
                }
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
