//! Networks, hosts and virtual IPs as written.

use std::ops::Range;

use fairway_config::IfName;
use ipnet::IpNet;
use serde_spanned::Spanned;

use super::{AddressText, Mac, MachineId};
use crate::reader::{Entry, Value};
use crate::report::{Problems, Rule};

/// `[networks.X]`.
#[derive(Debug, Default)]
pub struct RawNetwork {
    /// `subnets`.
    pub subnets: Vec<Spanned<IpNet>>,
    /// `gateway`, one for each family at most.
    pub gateways: Vec<Spanned<AddressText>>,
    /// `mtu`.
    pub mtu: Option<Spanned<i64>>,
    /// `snat`.
    pub snat: Option<Spanned<bool>>,
}

/// `[hosts.X]`.
#[derive(Debug, Default)]
pub struct RawHost {
    /// `interfaces.X`, in the order of the file.
    pub interfaces: Vec<(IfName, Entry<RawInterface>)>,
    /// `machine-id`.
    pub machine_id: Option<Spanned<MachineId>>,
    /// `mac`.
    pub mac: Option<Spanned<Mac>>,
}

/// `[hosts.X] interfaces.Y`.
#[derive(Debug, Default)]
pub struct RawInterface {
    /// `network`.
    pub network: Option<Spanned<String>>,
    /// `addresses`.
    pub addresses: Vec<Spanned<AddressText>>,
    /// `manage`.
    pub manage: Option<Spanned<bool>>,
}

/// One entry of `[virtual-ips]`.
#[derive(Debug, Default)]
pub struct RawVirtualIp {
    /// The address.
    pub address: Option<Spanned<AddressText>>,
    /// `network`, for addresses that do not tell it.
    pub network: Option<Spanned<String>>,
}

const SUBNETS: &str = "a list of subnets such as [\"192.168.1.0/24\"]";
const ADDRESS: &str = "an address such as \"192.168.1.1\"";
const ADDRESSES: &str = "a list of addresses such as [\"192.168.1.10\"]";

pub(super) fn read_network(
    problems: &mut Problems,
    value: Value<'_>,
    name: Range<usize>,
) -> Option<RawNetwork> {
    let mut table = value.table(problems, "a table such as { subnets = [\"192.168.1.0/24\"] }")?.at(name);
    let subnets = table.required(problems, "subnets", "subnets = [\"192.168.1.0/24\"]");
    let subnets = subnets.and_then(|v| v.list(problems, SUBNETS)).unwrap_or_default();
    let gateways =
        table.optional("gateway").and_then(|v| v.one_or_list(problems, ADDRESS)).unwrap_or_default();
    let mtu = table.optional("mtu").and_then(|v| v.integer(problems, 576..=65535));
    let snat = table.optional("snat").and_then(|v| v.boolean(problems));
    table.finish(problems);
    Some(RawNetwork {
        subnets: subnets.iter().filter_map(|v| read_subnet(problems, v)).collect(),
        gateways: gateways.iter().filter_map(|v| read_address(problems, v)).collect(),
        mtu,
        snat,
    })
}

fn read_subnet(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<IpNet>> {
    let text = value.string(problems, "a subnet such as \"192.168.1.0/24\"")?;
    let subnet: Option<IpNet> = text.get_ref().parse().ok();
    let (message, remedy) = match subnet {
        Some(subnet) if subnet == subnet.trunc() && subnet.prefix_len() > 0 => {
            return Some(Spanned::new(text.span(), subnet));
        }
        Some(subnet) if subnet.prefix_len() > 0 => (
            format!("\"{}\" names a host, not a subnet", text.get_ref()),
            format!("write \"{}\"", subnet.trunc()),
        ),
        _ => {
            (format!("\"{}\" is not a subnet", text.get_ref()), "write one such as \"192.168.1.0/24\"".into())
        }
    };
    problems.add(Rule::BadValue, &value.key, value.span.clone(), message, remedy);
    None
}

/// An address without a prefix length.
pub(super) fn read_address(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<AddressText>> {
    let address: Spanned<AddressText> = value.parsed(problems, ADDRESS)?;
    if address.get_ref().prefix.is_some() {
        problems.add(
            Rule::BadValue,
            &value.key,
            value.span.clone(),
            "a prefix length has no place here",
            format!("write \"{}\"", address.get_ref().address),
        );
        return None;
    }
    Some(address)
}

pub(super) fn read_host(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawHost> {
    let mut table = value.table(problems, "a table with interfaces")?.at(name);
    let want = "interfaces.eth0 = { network = \"...\", addresses = [\"...\"] }";
    let interfaces = table.required(problems, "interfaces", want);
    let machine_id = table.optional("machine-id").and_then(|v| v.parsed(problems, "a machine ID"));
    let mac = table.optional("mac").and_then(|v| v.parsed(problems, "a MAC address"));
    table.finish(problems);
    let named = interfaces?.table(problems, "a table of interfaces")?.named(problems, read_interface);
    let mut interfaces = Vec::with_capacity(named.len());
    for (name, entry) in named {
        match name.parse::<IfName>() {
            // "*" and the like are legal for the kernel, but patterns for networkd and nftables.
            Ok(_) if !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@+".contains(c)) => {
                problems.add(
                    Rule::BadName,
                    &entry.key,
                    entry.span.clone(),
                    format!("\"{name}\" cannot be written in every file that names the interface"),
                    "rename it to letters, digits, \"-\", \"_\", \".\", \"@\" and \"+\"",
                );
            }
            Ok(name) => interfaces.push((name, entry)),
            Err(error) => {
                problems.add(
                    Rule::BadValue,
                    &entry.key,
                    entry.span.clone(),
                    error.to_string(),
                    "write the name that \"ip link\" shows",
                );
            }
        }
    }
    Some(RawHost { interfaces, machine_id, mac })
}

fn read_interface(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawInterface> {
    let mut table =
        value.table(problems, "a table such as { network = \"lan\", addresses = [\"...\"] }")?.at(name);
    let network = table
        .required(problems, "network", "network = \"...\"")
        .and_then(|v| v.string(problems, "the name of a network"));
    let manage = table.optional("manage").and_then(|v| v.boolean(problems));
    let addresses = table.optional("addresses").and_then(|v| v.list(problems, ADDRESSES)).unwrap_or_default();
    table.finish(problems);
    let addresses = addresses.iter().filter_map(|v| v.parsed(problems, ADDRESS)).collect();
    Some(RawInterface { network, addresses, manage })
}

pub(super) fn read_virtual_ip(
    problems: &mut Problems,
    value: Value<'_>,
    name: Range<usize>,
) -> Option<RawVirtualIp> {
    if !value.is_table() {
        return Some(RawVirtualIp { address: value.parsed(problems, ADDRESS), network: None });
    }
    let mut table = value.table(problems, ADDRESS)?.at(name);
    let address =
        table.required(problems, "address", "address = \"...\"").and_then(|v| v.parsed(problems, ADDRESS));
    let network = table.optional("network").and_then(|v| v.string(problems, "the name of a network"));
    table.finish(problems);
    Some(RawVirtualIp { address, network })
}
