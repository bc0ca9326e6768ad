//! Which addresses adverts list.

use fairway_config::{Auth, Family, VrrpVersion};
use indexmap::IndexMap;
use serde_spanned::Spanned;

use super::super::super::hosts::ETHERNET_MTU;
use super::super::super::raw::RawGroup;
use super::super::super::{Group, GroupInstance, Network, VirtualIp};
use super::title;
use crate::reader::Entry;
use crate::report::{Problems, Rule};

/// The count field of an advert is one byte (RFC 9568 section 5.2.5).
const MOST_ADDRESSES: usize = 255;

/// The addresses of an instance fit one packet of its network.
pub fn adverts_fit(
    problems: &mut Problems,
    entry: &Entry<RawGroup>,
    group: &Group,
    networks: &IndexMap<String, Network>,
) {
    for instance in &group.instances {
        let mtu = networks.get(&instance.network).map_or(ETHERNET_MTU, Network::largest_packet);
        let fit = addresses_that_fit(group, instance.family, mtu);
        let (count, family) = (instance.addresses.len(), title(instance.family));
        if count > fit {
            problems.add(
                Rule::TooManyVirtualIps,
                format!("{}.virtual-ips", entry.key),
                entry.span.clone(),
                format!(
                    "{count} {family} addresses in network \"{}\" do not fit one advert, which holds {fit} in a \
                     packet of {mtu} bytes",
                    instance.network
                ),
                format!(
                    "leave at most {fit} of them in virtual-ips and list the others as excluded = [\"...\"]: they \
                     move with the group and are in no advert"
                ),
            );
        }
    }
}

/// How many addresses fit an advert in a packet of `mtu` bytes: IP header, 8 bytes of VRRP, addresses (RFC 9568 section
/// 5.1), and what authentication adds: 8 bytes of data and perhaps a header of 24 (v2), or a trailer of 28 (v3).
fn addresses_that_fit(group: &Group, family: Family, mtu: u32) -> usize {
    let (header, address) = match family {
        Family::Ipv4 => (20, 4),
        Family::Ipv6 => (40, 16),
    };
    let authentication = match (&group.auth, group.version) {
        (Some(Auth::Ah(_)), _) => 8 + 24,
        (_, VrrpVersion::V2) => 8,
        (Some(Auth::Hmac(_)), VrrpVersion::V3) => 28,
        (_, VrrpVersion::V3) => 0,
    };
    let room = mtu.saturating_sub(header + 8 + authentication) / address;
    usize::try_from(room).unwrap_or(usize::MAX).min(MOST_ADDRESSES)
}

/// Gives each excluded address to an instance of its network: one of its own family if there is one.
pub fn exclude(
    problems: &mut Problems,
    entry: &Entry<RawGroup>,
    group: &mut Group,
    (excluded, virtual_ips): (&[String], &IndexMap<String, VirtualIp>),
) {
    for name in excluded {
        let VirtualIp { address, prefix, network } = &virtual_ips[name];
        let Some(network) = network else { continue };
        let here = |family: Option<Family>| {
            let family = move |of: Family| family.is_none_or(|family| family == of);
            move |instance: &GroupInstance| instance.network == *network && family(instance.family)
        };
        let own = group.instances.iter().position(here(Some(Family::of(*address))));
        if let Some(at) = own.or_else(|| group.instances.iter().position(here(None))) {
            group.instances[at].excluded.push((*address, *prefix));
        } else if entry.sound {
            let written = entry.value.excluded.iter().find(|written| written.get_ref() == name);
            problems.add(
                Rule::ExcludedAlone,
                format!("{}.excluded", entry.key),
                written.map_or(entry.span.clone(), Spanned::span),
                format!("the group advertises no virtual IP in network \"{network}\", where \"{name}\" is"),
                "move it to virtual-ips, so that the directors notice when that network fails",
            );
        }
    }
}
