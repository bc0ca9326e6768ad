//! Routes and rules in the kernel's form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairway_config::{Family, VirtualRoute, VirtualRule};
use rtnetlink::packet_route::route::{
    RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use socket2::SockFilter;

use super::super::links::Links;
use super::super::netlink::{Message, attributes, ip, u32_at};
use super::Item;

/// What our routes carry in `rtm_protocol` and our rules in `FRA_PROTOCOL`: the protocol number of VRRP, as our
/// addresses do. `ip route` shows it as `proto 112`. Not keepalived's 18: each must only find its own.
pub(in crate::vrrp) const TAG: u8 = 112;

/// Message types (`linux/rtnetlink.h`).
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWRULE: u16 = 32;
/// Length of `struct rtmsg` and of `struct fib_rule_hdr`, and what both have at these offsets.
const FIXED: usize = 12;
const FAMILY: usize = 0;
const DESTINATION_LENGTH: usize = 1;
const SOURCE_LENGTH: usize = 2;
const TABLE: usize = 4;
/// Of `struct rtmsg` alone.
const PROTOCOL: usize = 5;
const FLAGS: usize = 8;
/// The table is in an attribute, being larger than a byte (`RT_TABLE_COMPAT`).
const TABLE_IN_ATTRIBUTE: u8 = 252;
/// Attributes (`linux/rtnetlink.h`, `linux/fib_rules.h`).
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_METRICS: u16 = 8;
const RTAX_MTU: u16 = 2;
const RTA_TABLE: u16 = 15;
const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const FRA_PROTOCOL: u16 = 21;
const RTNH_F_ONLINK: u32 = 4;
/// Offset of the message type in `struct nlmsghdr`, and length of that.
const KIND: u32 = 4;
const HEADER: u32 = 16;

impl Item {
    /// The message that adds it, or deletes it if it is ours; `None` while an interface it names is missing.
    pub(super) fn message(&self, add: bool, links: &Links) -> Option<RouteNetlinkMessage> {
        Some(match self {
            Self::Route(route) => {
                let message = route_message(route, add, links)?;
                if add {
                    RouteNetlinkMessage::NewRoute(message)
                } else {
                    RouteNetlinkMessage::DelRoute(message)
                }
            }
            Self::Rule(rule) => {
                let message = rule_message(rule);
                if add {
                    RouteNetlinkMessage::NewRule(message)
                } else {
                    RouteNetlinkMessage::DelRule(message)
                }
            }
        })
    }
}

fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::Ipv4 => AddressFamily::Inet,
        Family::Ipv6 => AddressFamily::Inet6,
    }
}

fn in_header(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(TABLE_IN_ATTRIBUTE)
}

fn route_message(route: &VirtualRoute, add: bool, links: &Links) -> Option<RouteMessage> {
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: address_family(route.destination.family()),
        destination_prefix_length: route.destination.length(),
        table: in_header(route.table()),
        protocol: RouteProtocol::Other(TAG),
        ..RouteHeader::default()
    };
    let mut attributes = vec![
        RouteAttribute::Table(route.table()),
        RouteAttribute::Destination(route.destination.address().into()),
        RouteAttribute::Priority(route.metric()),
    ];
    if add {
        message.header.kind = RouteType::Unicast;
        message.header.scope = match (route.destination.family(), route.via) {
            (Family::Ipv4, None) => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        if route.onlink {
            message.header.flags = RouteFlags::Onlink;
        }
        attributes.extend(route.via.map(|via| RouteAttribute::Gateway(via.into())));
        if let Some(interface) = &route.interface {
            attributes.push(RouteAttribute::Oif(links.by_name(interface.as_str())?.index));
        }
        attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
        attributes.extend(route.mtu.map(|mtu| RouteAttribute::Metrics(vec![RouteMetric::Mtu(mtu)])));
    } else {
        // Of any kind and scope: destination, table, metric and our tag tell it from all others.
        message.header.scope = RouteScope::NoWhere;
    }
    message.attributes = attributes;
    Some(message)
}

fn rule_message(rule: &VirtualRule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = address_family(rule.family);
    message.header.table = in_header(rule.table);
    message.header.action = RuleAction::ToTable;
    message.header.src_len = rule.from.map_or(0, fairway_config::Prefix::length);
    message.header.dst_len = rule.to.map_or(0, fairway_config::Prefix::length);
    let ranged = |prefix: &fairway_config::Prefix| prefix.length() > 0;
    message.attributes = vec![RuleAttribute::Table(rule.table), RuleAttribute::Priority(rule.priority)];
    let attributes = &mut message.attributes;
    attributes.extend(rule.from.filter(ranged).map(|from| RuleAttribute::Source(from.address())));
    attributes.extend(rule.to.filter(ranged).map(|to| RuleAttribute::Destination(to.address())));
    attributes.extend(rule.fwmark.map(RuleAttribute::FwMark));
    let interface = rule.incoming_interface.as_ref();
    attributes.extend(interface.map(|interface| RuleAttribute::Iifname(interface.to_string())));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::Other(TAG)));
    message
}

/// A route or rule with our tag, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    rule: bool,
    family: u8,
    destination: (IpAddr, u8),
    source: (IpAddr, u8),
    table: u32,
    /// A route's metric, a rule's priority.
    priority: u32,
    via: Option<IpAddr>,
    interface: Option<u32>,
    preferred: Option<IpAddr>,
    mtu: Option<u32>,
    onlink: bool,
    mark: Option<u32>,
    incoming: Option<String>,
}

/// Reads a route or rule with our tag; `None` for any other.
pub(super) fn read(message: &Message<'_>) -> Option<Found> {
    let bytes = message.payload;
    let rule = match message.kind {
        RTM_NEWROUTE => false,
        RTM_NEWRULE => true,
        _ => return None,
    };
    let family = *bytes.get(FAMILY)?;
    let any = match i32::from(family) {
        nix::libc::AF_INET => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        nix::libc::AF_INET6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    let mut found = Found {
        rule,
        family,
        destination: (any, *bytes.get(DESTINATION_LENGTH)?),
        source: (any, *bytes.get(SOURCE_LENGTH)?),
        table: u32::from(*bytes.get(TABLE)?),
        priority: 0,
        via: None,
        interface: None,
        preferred: None,
        mtu: None,
        onlink: false,
        mark: None,
        incoming: None,
    };
    let mut tag = if rule { 0 } else { *bytes.get(PROTOCOL)? };
    if !rule {
        found.onlink = u32_at(bytes, FLAGS)? & RTNH_F_ONLINK != 0;
    }
    for (kind, value) in attributes(bytes.get(FIXED..)?) {
        match (rule, kind) {
            (false, RTA_DST) | (true, FRA_DST) => found.destination.0 = ip(value)?,
            (true, FRA_SRC) => found.source.0 = ip(value)?,
            (false, RTA_TABLE) | (true, FRA_TABLE) => found.table = u32_at(value, 0)?,
            (false, RTA_PRIORITY) | (true, FRA_PRIORITY) => found.priority = u32_at(value, 0)?,
            (false, RTA_OIF) => found.interface = u32_at(value, 0),
            (false, RTA_GATEWAY) => found.via = ip(value),
            (false, RTA_PREFSRC) => found.preferred = ip(value),
            (false, RTA_METRICS) => {
                let mtu = attributes(value).find(|(kind, _)| *kind == RTAX_MTU);
                found.mtu = mtu.and_then(|(_, value)| u32_at(value, 0));
            }
            (true, FRA_IIFNAME) => {
                let text = value.split(|byte| *byte == 0).next().unwrap_or_default();
                found.incoming = Some(String::from_utf8_lossy(text).into_owned());
            }
            (true, FRA_FWMARK) => found.mark = u32_at(value, 0).filter(|mark| *mark != 0),
            (true, FRA_PROTOCOL) => tag = *value.first()?,
            _ => {}
        }
    }
    (tag == TAG).then_some(found)
}

impl Found {
    /// Whether it is this item, as configured.
    pub(super) fn is(&self, item: &Item, links: &Links) -> bool {
        let range = |prefix: Option<fairway_config::Prefix>| match prefix {
            Some(prefix) => (prefix.address(), prefix.length()),
            None if i32::from(self.family) == nix::libc::AF_INET => (Ipv4Addr::UNSPECIFIED.into(), 0),
            None => (Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        match item {
            Item::Route(route) => {
                let index =
                    |name: &fairway_config::IfName| links.by_name(name.as_str()).map(|link| link.index);
                !self.rule
                    && self.destination == range(Some(route.destination))
                    && (self.table, self.priority) == (route.table(), route.metric())
                    && (self.via, self.preferred, self.mtu) == (route.via, route.source, route.mtu)
                    && self.onlink == route.onlink
                    && route.interface.as_ref().is_none_or(|name| index(name) == self.interface)
            }
            Item::Rule(rule) => {
                let family = match rule.family {
                    Family::Ipv4 => nix::libc::AF_INET,
                    Family::Ipv6 => nix::libc::AF_INET6,
                };
                self.rule
                    && i32::from(self.family) == family
                    && (self.table, self.priority) == (rule.table, rule.priority)
                    && (self.source, self.destination) == (range(rule.from), range(rule.to))
                    && self.mark == rule.fwmark
                    && self.incoming.as_deref()
                        == rule.incoming_interface.as_ref().map(fairway_config::IfName::as_str)
            }
        }
    }

    /// The message that deletes it.
    pub(super) fn removal(&self) -> Option<RouteNetlinkMessage> {
        let range = |(address, length)| fairway_config::Prefix::new(address, length).ok();
        if !self.rule {
            let route = VirtualRoute {
                destination: range(self.destination)?,
                via: None,
                interface: None,
                source: None,
                metric: Some(self.priority),
                table: Some(self.table),
                onlink: false,
                mtu: None,
            };
            return route_message(&route, false, &Links::default()).map(RouteNetlinkMessage::DelRoute);
        }
        Some(RouteNetlinkMessage::DelRule(rule_message(&VirtualRule {
            family: Family::of(self.destination.0),
            priority: self.priority,
            table: self.table,
            from: range(self.source),
            to: range(self.destination),
            fwmark: self.mark,
            incoming_interface: self.incoming.as_ref().and_then(|name| name.parse().ok()),
        })))
    }
}

/// The requests whose answers have every route and rule with our tag. A kernel that knows strict checking sends our
/// routes only.
pub(super) fn requests() -> impl Iterator<Item = RouteNetlinkMessage> {
    [AddressFamily::Inet, AddressFamily::Inet6].into_iter().flat_map(|family| {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        route.header.protocol = RouteProtocol::Other(TAG);
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        [RouteNetlinkMessage::GetRoute(route), RouteNetlinkMessage::GetRule(rule)]
    })
}

/// A filter for the socket that is told of changes: of news about routes it lets pass what is about ours.
pub(in crate::vrrp) fn own_routes_only() -> [SockFilter; 7] {
    use nix::libc::{BPF_ABS, BPF_B, BPF_H, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET};
    let code = |code: u32| u16::try_from(code).unwrap_or(u16::MAX);
    let load = |size: u32, at: u32| SockFilter::new(code(BPF_LD | size | BPF_ABS), 0, 0, at);
    let equals = |value: u32, then, otherwise| {
        SockFilter::new(code(BPF_JMP | BPF_JEQ | BPF_K), then, otherwise, value)
    };
    let result = |length: u32| SockFilter::new(code(BPF_RET | BPF_K), 0, 0, length);
    // The kernel loads halfwords in network byte order, and netlink has them in the host's.
    let kind = |kind: u16| u32::from(kind.to_be());
    [
        load(BPF_H, KIND),
        equals(kind(RTM_NEWROUTE), 1, 0),
        equals(kind(RTM_DELROUTE), 0, 2),
        load(BPF_B, HEADER + u32::try_from(PROTOCOL).unwrap_or(u32::MAX)),
        equals(u32::from(TAG), 0, 1),
        result(u32::MAX),
        result(0),
    ]
}

#[cfg(test)]
#[path = "../tests/route_wire.rs"]
mod tests;
