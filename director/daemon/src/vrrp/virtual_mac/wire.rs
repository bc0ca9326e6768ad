//! Virtual MACs in the kernel's form, and the settings that keep them apart from the interface below.

use std::fs;
use std::net::Ipv4Addr;

use fairway_config::Family;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind, InfoMacVlan,
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::super::netlink::{Requests, read::BLACKHOLE};

/// Answer ARP requests only for addresses of the interface they came in on: neither the interface below answers for a
/// virtual IP, nor the virtual MAC for an address of the host.
const ARP_IGNORE: i32 = 1;
/// Ask for neighbours with an address of the interface the question leaves from: a question from the interface below
/// that names a virtual IP would move it to the wrong MAC in the neighbour's cache.
const ARP_ANNOUNCE: i32 = 2;
/// Check that a source address has a route, not that the route leads back here: it leads through the interface below.
/// The stronger of this and `conf.all` counts, and 2 is the stronger one (`ip-sysctl`, `rp_filter`).
const LOOSE: i32 = 2;
/// The IPv4 dummy address (RFC 7600; nobody's, and never routed). An interface without any IPv4 address takes no IPv4
/// packets unless `rp_filter` is off.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

/// Makes the interface, then what only an interface that is there can be told.
pub(super) fn creation(
    name: &str,
    base: u32,
    mac: [u8; 6],
    alias: &str,
    up: bool,
) -> Vec<(bool, RouteNetlinkMessage)> {
    let mut made = LinkMessage::default();
    made.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Link(base),
        LinkAttribute::Address(mac.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Private)])),
        ]),
    ];
    let mut conf = InetDevConf::default();
    (conf.arp_ignore, conf.arp_announce, conf.rp_filter) = (ARP_IGNORE, ARP_ANNOUNCE, LOOSE);
    let mut told = by_name(name);
    told.attributes.extend([LinkAttribute::IfAlias(alias.to_owned()), inet(conf)]);
    let mut switched = by_name(name);
    set_flags(&mut switched, up);
    vec![
        (true, RouteNetlinkMessage::NewLink(made)),
        (false, RouteNetlinkMessage::SetLink(told)),
        (false, RouteNetlinkMessage::SetLink(switched)),
    ]
}

/// Brings an interface up or down.
pub(super) fn switch(index: u32, up: bool) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    set_flags(&mut message, up);
    RouteNetlinkMessage::SetLink(message)
}

/// Drops what the interface is to send, and has it take packets without a virtual IP.
pub(super) fn mute(index: u32) -> Vec<(bool, RouteNetlinkMessage)> {
    vec![
        (true, RouteNetlinkMessage::NewQueueDiscipline(root_queue(index))),
        (true, RouteNetlinkMessage::NewAddress(dummy(index))),
    ]
}

/// The opposite. Somebody else's queueing discipline stays: the kernel compares the kind.
pub(super) fn unmute(index: u32) -> Vec<(bool, RouteNetlinkMessage)> {
    vec![
        (false, RouteNetlinkMessage::DelAddress(dummy(index))),
        (false, RouteNetlinkMessage::DelQueueDiscipline(root_queue(index))),
    ]
}

fn dummy(index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = Family::Ipv4.host_prefix();
    message.header.scope = AddressScope::Host;
    message.attributes = vec![AddressAttribute::Local(DUMMY.into()), AddressAttribute::Address(DUMMY.into())];
    message
}

fn root_queue(index: u32) -> TcMessage {
    let mut message = TcMessage::default();
    message.header.index = index.cast_signed();
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![TcAttribute::Kind(BLACKHOLE.to_owned())];
    message
}

/// Keeps the kernel from giving the interface a link-local address, and with it from duplicate address detection and
/// router solicitations: it has virtual IPs and nothing else.
pub(super) fn no_own_addresses(name: &str) -> RouteNetlinkMessage {
    let mut message = by_name(name);
    let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]));
    RouteNetlinkMessage::SetLink(message)
}

pub(super) fn deletion(index: u32) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    RouteNetlinkMessage::DelLink(message)
}

/// Keeps the interface from taking addresses and routes from router advertisements. The kernel has only a file for
/// this, which the director's unit may not write to: there it is the generated sysctl file's part.
pub(super) fn deafen_to_routers(name: &str) {
    let key = |key: &str| format!("/proc/sys/net/ipv6/conf/{name}/{key}");
    let is_off = |text: std::io::Result<String>| text.map_or(true, |text| text.trim() == "0");
    // Without router advertisements there is nothing to make addresses of.
    _ = fs::write(key("autoconf"), "0");
    if let Err(error) = fs::write(key("accept_ra"), "0")
        && !is_off(fs::read_to_string(key("accept_ra")))
        && is_off(fs::read_to_string(key("forwarding")))
    {
        tracing::warn!(
            interface = name, %error,
            "{name} takes addresses from router advertisements; set net.ipv6.conf.{name}.accept_ra = 0"
        );
    }
}

/// Has the interface below answer for its own addresses only. It stays so when the director ends.
pub(super) fn keep_apart(requests: &mut Requests, name: &str, index: u32) {
    let value = |interface: &str, key: &str| -> i32 {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{interface}/{key}"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    };
    // The larger of both counts.
    let short =
        |key: &str, least: i32| if value("all", key).max(value(name, key)) < least { least } else { 0 };
    let mut conf = InetDevConf::default();
    conf.arp_ignore = short("arp_ignore", ARP_IGNORE);
    conf.arp_announce = short("arp_announce", ARP_ANNOUNCE);
    if conf.arp_ignore > 0 || conf.arp_announce > 0 {
        let mut message = LinkMessage::default();
        message.header.index = index;
        message.attributes.push(inet(conf));
        if let Some(Err(error)) =
            requests.make(vec![(false, RouteNetlinkMessage::SetLink(message))], &[]).pop()
        {
            tracing::warn!(
                interface = name, %error,
                "{name} may answer for virtual IPs; set net.ipv4.conf.{name}.arp_ignore = 1 and arp_announce = 2"
            );
        }
    }
    if value("all", "arp_filter") > 0 {
        tracing::error!(
            "virtual MACs answer no ARP requests while net.ipv4.conf.all.arp_filter is on; set it to 0"
        );
    }
}

fn by_name(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message
}

fn set_flags(message: &mut LinkMessage, up: bool) {
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    message.header.change_mask = LinkFlags::Up;
}

/// Settings of `net.ipv4.conf`; those that are 0 are left as they are.
fn inet(conf: InetDevConf) -> LinkAttribute {
    LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(conf)])])
}
