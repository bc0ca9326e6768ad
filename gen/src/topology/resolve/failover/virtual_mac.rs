//! Interfaces with virtual MAC addresses.

use std::collections::HashMap;

use fairway_config::{Family, VirtualMac, Vrid};
use indexmap::IndexMap;

use crate::report::{Problems, Rule};
use crate::topology::raw::RawTopology;
use crate::topology::{Group, Transport};

/// Names the interfaces, when all VRIDs are known.
pub fn resolve(problems: &mut Problems, raw: &RawTopology, groups: &mut IndexMap<String, Group>) {
    let mut named: HashMap<(Family, Vrid), u32> = HashMap::new();
    for (name, group) in groups {
        let entry = &raw.failover[name];
        let unicast = group.transport == Transport::Unicast;
        let key = format!("{}.transmit-from-base", entry.key);
        match &entry.value.transmit_from_base {
            Some(written) if group.transmit_from_base && !group.virtual_mac => _ = problems.add(
                Rule::VirtualMac,
                key,
                written.span(),
                "the group has no virtual MAC address",
                "remove this line, or add virtual-mac = true",
            ),
            Some(written) if unicast && !group.transmit_from_base => _ = problems.add(
                Rule::VirtualMac,
                key,
                written.span(),
                "unicast adverts leave with the host's own MAC address: a backup that sent from the virtual one would draw \
                 the master's traffic to it",
                "remove this line",
            ),
            _ => {}
        }
        if !group.virtual_mac {
            continue;
        }
        for instance in &mut group.instances {
            let digit = match instance.family {
                Family::Ipv4 => 4,
                Family::Ipv6 => 6,
            };
            // One VRID may be used in several networks, and a director be in all of them.
            let times = named.entry((instance.family, instance.vrid)).or_default();
            *times += 1;
            let vrid = instance.vrid;
            let interface = match *times {
                1 => format!("vrrp{digit}-{vrid}"),
                again => format!("vrrp{digit}-{vrid}-{again}"),
            };
            instance.virtual_mac = Some(VirtualMac {
                interface: interface
                    .parse()
                    .expect("at most 15 bytes: there are fewer than 1,000 networks with one VRID"),
                transmit_from_base: group.transmit_from_base || unicast,
            });
        }
    }
}
