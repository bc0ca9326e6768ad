//! The rules for routes and rules that move with a group.

use std::collections::HashMap;
use std::net::IpAddr;

use super::Found;
use crate::{FailoverGroup, Family, VirtualRoute, VirtualRule};

/// The kernel's own table for the host's addresses (`RT_TABLE_LOCAL`).
const LOCAL: u32 = 255;

pub(super) fn problems(found: &mut Found, groups: &[FailoverGroup]) {
    let mut routes = HashMap::new();
    let mut rules = HashMap::new();
    for group in groups {
        for route in &group.routes {
            let at = format!("failover.{}.route.{}", group.name, route.destination);
            route_problems(found, &at, route);
            if let Some(other) =
                routes.insert((route.destination, route.table(), route.metric()), &group.name)
            {
                found.add(
                    format!("{at}.metric"),
                    format!(
                        "group {other} has a route to {} with metric {} in table {} already; give each its own \
                         metric or table",
                        route.destination,
                        route.metric(),
                        route.table()
                    ),
                );
            }
        }
        for rule in &group.rules {
            let at = format!("failover.{}.rule.{}", group.name, rule.priority);
            rule_problems(found, &at, rule);
            if let Some(other) = rules.insert(rule, &group.name) {
                found.add(&at, format!("group {other} has the same rule; remove one of them"));
            }
        }
    }
}

fn route_problems(found: &mut Found, at: &str, route: &VirtualRoute) {
    let family = route.destination.family();
    let other = |address: &IpAddr| Family::of(*address) != family;
    if route.via.as_ref().is_some_and(other) {
        found.add(format!("{at}.via"), format!("must be an {family} address like the destination"));
    }
    if route.source.as_ref().is_some_and(other) {
        found.add(format!("{at}.source"), format!("must be an {family} address like the destination"));
    }
    if route.via.is_none() && route.interface.is_none() {
        found.add(at, "leads nowhere; give via, interface, or both");
    }
    if route.onlink && (route.via.is_none() || route.interface.is_none()) {
        found.add(format!("{at}.onlink"), "says where via is; give both via and interface");
    }
    if route.table.is_some_and(|table| table == 0 || table == LOCAL) {
        found.add(format!("{at}.table"), "is the kernel's own; use another, 254 is the main one");
    }
    let least = match family {
        Family::Ipv4 => 68,
        Family::Ipv6 => 1280,
    };
    if route.mtu.is_some_and(|mtu| !(least..=65535).contains(&mtu)) {
        found.add(format!("{at}.mtu"), format!("is no {family} packet's length; use {least} to 65535"));
    }
}

fn rule_problems(found: &mut Found, at: &str, rule: &VirtualRule) {
    for (key, prefix) in [("from", rule.from), ("to", rule.to)] {
        if prefix.is_some_and(|prefix| prefix.family() != rule.family) {
            found.add(format!("{at}.{key}"), format!("must be {} like the rule", rule.family));
        }
    }
    if rule.table == 0 {
        found.add(format!("{at}.table"), "0 is no table; 254 is the main one");
    }
    if rule.priority == 0 {
        found.add(format!("{at}.priority"), "0 is the kernel's rule for the host's addresses; use 1 or more");
    }
    if rule.fwmark == Some(0) {
        found.add(format!("{at}.fwmark"), "0 is what packets without a mark have; use 1 or more");
    }
}
