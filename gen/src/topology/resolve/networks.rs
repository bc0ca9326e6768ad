//! Networks, and finding the network of an address.

use std::net::IpAddr;
use std::ops::Range;

use fairway_config::Family;
use indexmap::IndexMap;
use ipnet::IpNet;

use super::super::{Network, raw::RawTopology};
use super::title;
use crate::report::{Problems, Rule};

/// Finds the subnet of an address; subnets do not overlap.
#[derive(Debug, Default)]
pub struct NetworkIndex {
    /// Sorted by family and first address.
    subnets: Vec<IndexedSubnet>,
    /// Every network could be read: an address outside them is outside.
    complete: bool,
}

#[derive(Debug, Clone)]
struct IndexedSubnet {
    family: Family,
    first: u128,
    last: u128,
    subnet: IpNet,
    network: String,
    span: Range<usize>,
}

impl NetworkIndex {
    /// The network and subnet an address is in.
    pub fn find(&self, address: IpAddr) -> Option<(&str, IpNet)> {
        let wanted = (Family::of(address), bits(address));
        let after = self.subnets.partition_point(|s| (s.family, s.first) <= wanted);
        let candidate = &self.subnets[after.checked_sub(1)?];
        let inside = candidate.family == wanted.0 && wanted.1 <= candidate.last;
        inside.then_some((candidate.network.as_str(), candidate.subnet))
    }

    /// Whether an address that is not found is certainly outside.
    pub fn complete(&self) -> bool {
        self.complete
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

/// IPv6 link-local unicast, which exists in every network.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}

pub fn resolve(raw: &RawTopology, problems: &mut Problems) -> (IndexMap<String, Network>, NetworkIndex) {
    let mut subnets = Vec::new();
    for (name, entry) in &raw.networks {
        for subnet in &entry.value.subnets {
            let net = *subnet.get_ref();
            subnets.push(IndexedSubnet {
                family: Family::of(net.addr()),
                first: bits(net.network()),
                last: bits(net.broadcast()),
                subnet: net,
                network: name.clone(),
                span: subnet.span(),
            });
        }
    }
    subnets.sort_by_key(|s| (s.family, s.first));
    for pair in subnets.windows(2) {
        if pair[0].family == pair[1].family && pair[1].first <= pair[0].last {
            let (early, late) = if pair[0].span.start < pair[1].span.start {
                (&pair[0], &pair[1])
            } else {
                (&pair[1], &pair[0])
            };
            problems
                .add(
                    Rule::OverlappingSubnets,
                    format!("networks.{}.subnets", late.network),
                    late.span.clone(),
                    format!("{} overlaps {}", late.subnet, early.subnet),
                    "an address can be in one network only: correct one of them",
                )
                .see(early.span.clone(), format!("{} of network \"{}\"", early.subnet, early.network));
        }
    }
    let index = NetworkIndex { subnets, complete: raw.networks.values().all(|n| n.sound) };
    let networks = raw.networks.iter().map(|(name, entry)| {
        let gateways = gateways(problems, &index, name, entry);
        let subnets = entry.value.subnets.iter().map(|s| *s.get_ref()).collect();
        let snat = entry.value.snat.as_ref().is_none_or(|s| *s.get_ref());
        let mtu = entry.value.mtu.as_ref().and_then(|m| u32::try_from(*m.get_ref()).ok());
        (name.clone(), Network { subnets, gateways, mtu, snat })
    });
    (networks.collect(), index)
}

fn gateways(
    problems: &mut Problems,
    index: &NetworkIndex,
    name: &str,
    entry: &crate::reader::Entry<super::super::raw::RawNetwork>,
) -> Vec<IpAddr> {
    let key = format!("{}.gateway", entry.key);
    let mut gateways: Vec<IpAddr> = Vec::new();
    for gateway in &entry.value.gateways {
        let address = gateway.get_ref().address;
        let inside =
            is_link_local(address) || index.find(address).is_some_and(|(network, _)| network == name);
        if !inside && entry.sound {
            problems.add(
                Rule::GatewayOutsideNetwork,
                &key,
                gateway.span(),
                format!("{address} is outside the subnets of network \"{name}\""),
                "give the router's address in this network",
            );
        } else if gateways.iter().any(|g| Family::of(*g) == Family::of(address)) {
            problems.add(
                Rule::Repeated,
                &key,
                gateway.span(),
                format!("a network has one {} gateway", title(Family::of(address))),
                "keep one; for redundant routers give their virtual address",
            );
        } else {
            gateways.push(address);
        }
    }
    gateways
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_subnet_only() {
        let subnet = |text: &str, network: &str| {
            let subnet: IpNet = text.parse().unwrap();
            IndexedSubnet {
                family: Family::of(subnet.addr()),
                first: bits(subnet.network()),
                last: bits(subnet.broadcast()),
                subnet,
                network: network.to_owned(),
                span: 0..0,
            }
        };
        let subnets = vec![
            subnet("10.0.0.0/24", "a"),
            subnet("10.0.2.0/24", "b"),
            subnet("::a00:0/120", "c"),
            subnet("fd00::/64", "d"),
        ];
        let index = NetworkIndex { subnets, complete: true };
        let find = |text: &str| index.find(text.parse().unwrap()).map(|(network, _)| network);
        for (address, network) in [
            ("10.0.0.0", Some("a")),
            ("10.0.0.255", Some("a")),
            ("10.0.1.0", None),
            ("10.0.2.7", Some("b")),
            ("9.255.255.255", None),
            ("10.0.3.0", None),
            ("::a00:5", Some("c")),
            ("fd00::1", Some("d")),
            ("fd00:0:0:1::1", None),
        ] {
            assert_eq!(find(address), network, "{address}");
        }
    }
}
