//! The topology's text.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;

use indexmap::IndexMap;
use ipnet::IpNet;

use super::Notes;
use super::cluster::{Cluster, Instance};
use super::service::Service;

/// A string of TOML.
pub fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A name that the topology takes, made of one that it may not take.
fn name(from: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let fitting: String = from.chars().map(|c| if fits(c) { c } else { '-' }).take(60).collect();
    if fitting.starts_with(|c: char| c.is_ascii_alphanumeric()) { fitting } else { format!("n{fitting}") }
}

/// A key of TOML: a name, in quotes where it needs them.
fn key(from: &str) -> String {
    let name = name(from);
    if name.contains('.') { text(&name) } else { name }
}

/// Everything, from `version` on. The first cluster is that of the first host; the others' directors are added to it.
pub fn topology(clusters: &[(&str, Cluster)], notes: &mut [Notes<'_>]) -> String {
    let mut out = String::from("version = 1\n\n[cluster]\nname = \"imported\"\n");
    let first = &clusters[0].1;
    compare(clusters, notes);
    let networks = networks(first, &mut notes[0]);
    for (network, subnets) in &networks {
        let subnets: Vec<String> = subnets.iter().map(|subnet| text(&subnet.to_string())).collect();
        _ = write!(out, "\n[networks.{}]\nsubnets = [{}]\n", key(network), subnets.join(", "));
    }
    for (host, cluster) in clusters {
        _ = writeln!(out, "\n[hosts.{}]", key(host));
        let mut there = BTreeSet::new();
        for network in networks.keys() {
            let of = |instance: &&Instance| instance.interface == *network;
            let names: BTreeSet<&str> = first.instances.iter().filter(of).map(|i| i.name.as_str()).collect();
            let own: Vec<&Instance> =
                cluster.instances.iter().filter(|i| names.contains(i.name.as_str())).collect();
            let interface = own.first().map_or(network.as_str(), |instance| instance.interface.as_str());
            if !there.insert(interface.to_owned()) {
                continue;
            }
            let sources: BTreeSet<String> =
                own.iter().filter_map(|i| i.source).map(|a| text(&a.to_string())).collect();
            let mut keys = vec![format!("network = {}", text(&name(network)))];
            if !sources.is_empty() {
                keys.push(format!("addresses = [{}]", sources.into_iter().collect::<Vec<_>>().join(", ")));
            }
            _ = writeln!(out, "interfaces.{} = {{ {}, manage = false }}", quoted(interface), keys.join(", "));
        }
    }
    let mut vips: IndexMap<IpAddr, String> = IndexMap::new();
    let advertised = first.instances.iter().flat_map(|i| i.addresses.iter().chain(&i.excluded));
    let listened = first.services.iter().filter_map(|s| s.address).map(|a| a.to_string());
    for written in advertised.cloned().chain(listened) {
        let address: IpAddr =
            written.split('/').next().and_then(|a| a.parse().ok()).expect("it was parsed before");
        vips.entry(address).or_insert(written);
    }
    out.push_str("\n[virtual-ips]\n");
    for (address, written) in &vips {
        _ = writeln!(out, "{} = {}", key(&vip_name(*address)), text(written));
    }
    groups(&mut out, clusters, notes);
    services(&mut out, clusters);
    out
}

fn quoted(interface: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !interface.is_empty() && interface.chars().all(bare) { interface.to_owned() } else { text(interface) }
}

/// Lines `key = value`, of each key the last, as keepalived takes it.
pub fn last_of_each(lines: &[String]) -> Vec<&str> {
    let mut found: IndexMap<&str, &str> = IndexMap::new();
    for line in lines {
        found.insert(line.split(' ').next().unwrap_or_default(), line);
    }
    found.into_values().collect()
}

fn vip_name(address: IpAddr) -> String {
    format!("vip-{address}")
}

fn listed<'a>(addresses: impl Iterator<Item = &'a String>) -> String {
    let names =
        addresses.filter_map(|a| a.split('/').next()?.parse().ok()).map(|a| text(&name(&vip_name(a))));
    names.collect::<Vec<_>>().join(", ")
}

/// What the other hosts' files say differently, where they should not.
fn compare(clusters: &[(&str, Cluster)], notes: &mut [Notes<'_>]) {
    let (first_host, first) = &clusters[0];
    for ((_, cluster), notes) in clusters.iter().zip(notes).skip(1) {
        let same = first.written.len() == cluster.written.len()
            && first.written.iter().zip(&cluster.written).all(|(one, two)| one.same(two));
        if !same {
            notes.add(
                1,
                format!("its virtual servers are not those of {first_host}, which are the ones carried over"),
            );
        }
        for instance in &cluster.instances {
            let Some(other) = first.instances.iter().find(|other| other.name == instance.name) else {
                notes.add(
                    instance.line,
                    format!(
                        "vrrp_instance {}: not carried over: {first_host} has none of this name",
                        instance.name
                    ),
                );
                continue;
            };
            let differs = [
                ("virtual_router_id, which two masters come of", instance.vrid != other.vrid),
                ("advert_int", instance.advert != other.advert),
                ("down_timer_adverts", instance.down_timer != other.down_timer),
                ("version", instance.version != other.version),
                ("authentication", instance.auth != other.auth),
                ("virtual_ipaddress", instance.addresses != other.addresses),
                ("virtual_ipaddress_excluded", instance.excluded != other.excluded),
            ];
            for (what, _) in differs.iter().filter(|(_, differs)| *differs) {
                notes.add(
                    instance.line,
                    format!("differs from {first_host} in {what}: that of {first_host} is taken"),
                );
            }
        }
    }
}

/// Networks by the first host's interfaces, with the subnets of their addresses.
fn networks(cluster: &Cluster, notes: &mut Notes<'_>) -> IndexMap<String, Vec<IpNet>> {
    let mut networks: IndexMap<String, Vec<IpNet>> = IndexMap::new();
    for instance in &cluster.instances {
        let subnets = networks.entry(instance.interface.clone()).or_default();
        // Those with a prefix length first: they tell the subnet of the others.
        let mut addresses: Vec<&String> = instance.addresses.iter().chain(&instance.excluded).collect();
        addresses.sort_by_key(|address| !address.contains('/'));
        for written in addresses {
            let address: IpAddr =
                written.split('/').next().and_then(|a| a.parse().ok()).expect("it was parsed before");
            if subnets.iter().any(|subnet| subnet.contains(&address)) {
                continue;
            }
            let (host, usual) = if address.is_ipv4() { (32, 24) } else { (128, 64) };
            let length =
                written.split('/').nth(1).and_then(|length| length.parse().ok()).filter(|l| *l < host);
            if length.is_none() {
                notes.add(
                    instance.line,
                    format!(
                        "the subnet of {address} is not in the file: /{usual} is assumed in [networks.{}]",
                        name(&instance.interface)
                    ),
                );
            }
            subnets.extend(IpNet::new(address, length.unwrap_or(usual)).map(|net| net.trunc()));
        }
    }
    // Nobody says where the virtual IPs are.
    for (service, written) in
        cluster.services.iter().zip(&cluster.written).filter(|_| cluster.instances.is_empty())
    {
        let Some(address) = service.address else { continue };
        let subnets = networks.entry("eth0".to_owned()).or_default();
        if !subnets.iter().any(|subnet| subnet.contains(&address)) {
            let usual = if address.is_ipv4() { 24 } else { 64 };
            notes.add(
                written.line,
                format!(
                    "the interface and subnet of {address} are not in the file: eth0 and /{usual} are assumed"
                ),
            );
            subnets.extend(IpNet::new(address, usual).map(|net| net.trunc()));
        }
    }
    networks.retain(|_, subnets| !subnets.is_empty());
    networks
}

fn groups(out: &mut String, clusters: &[(&str, Cluster)], notes: &mut [Notes<'_>]) {
    let first = &clusters[0].1;
    let mut groups: Vec<(&str, Vec<&Instance>)> = Vec::new();
    for (group, members) in &first.groups {
        let members = first.instances.iter().filter(|i| members.contains(&i.name)).collect();
        groups.push((group, members));
    }
    let grouped: BTreeSet<&str> =
        first.groups.iter().flat_map(|(_, members)| members.iter().map(String::as_str)).collect();
    let alone = first.instances.iter().filter(|i| !grouped.contains(i.name.as_str()));
    groups.extend(alone.map(|instance| (instance.name.as_str(), vec![instance])));
    let mut taken = BTreeSet::new();
    for (group, members) in groups {
        let numbered = format!("{group}-instance");
        let group = if taken.insert(name(group)) { group } else { numbered.as_str() };
        let members: Vec<&Instance> = members.into_iter().filter(|i| !i.addresses.is_empty()).collect();
        let Some(head) = members.first() else { continue };
        for other in &members[1..] {
            let differs = [
                ("advert_int", other.advert != head.advert),
                ("version", other.version != head.version),
                ("authentication", other.auth != head.auth),
                ("priority", other.priority != head.priority),
                ("nopreempt", other.preempt != head.preempt),
            ];
            for (what, _) in differs.iter().filter(|(_, differs)| *differs) {
                notes[0].add(
                    other.line,
                    format!("{what} differs from {}: a group has one, that of {0}", head.name),
                );
            }
        }
        _ = writeln!(out, "\n[failover.{}]", key(group));
        let vips = listed(members.iter().flat_map(|i| &i.addresses));
        _ = writeln!(out, "virtual-ips = [{vips}]");
        let excluded = listed(members.iter().flat_map(|i| &i.excluded));
        if !excluded.is_empty() {
            _ = writeln!(out, "excluded = [{excluded}]");
        }
        let priorities = clusters.iter().filter_map(|(host, cluster)| {
            let own = cluster.instances.iter().find(|instance| instance.name == head.name)?;
            Some(format!("{} = {}", key(host), own.priority))
        });
        _ = writeln!(out, "directors = {{ {} }}", priorities.collect::<Vec<_>>().join(", "));
        _ = writeln!(out, "version = {}\nadvert-interval = \"{}ms\"", head.version, head.advert);
        if let Some(adverts) = head.down_timer {
            _ = writeln!(out, "down-timer-adverts = {adverts}");
        }
        if first.start_delay > 0 {
            _ = writeln!(out, "start-delay = \"{}ms\"", first.start_delay);
        }
        if !head.announce.is_empty() {
            let settings: Vec<_> =
                head.announce.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            _ = writeln!(out, "announce = {{ {} }}", settings.join(", "));
        }
        if head.version == 3 && head.addresses.iter().any(|address| !address.contains(':')) {
            out.push_str("checksum = \"rfc5798\"\n");
        }
        let vrids: IndexMap<&str, u8> =
            members.iter().filter(|i| i.vrid > 0).map(|i| (i.interface.as_str(), i.vrid)).collect();
        if !vrids.is_empty() {
            let vrids: Vec<String> =
                vrids.iter().map(|(network, vrid)| format!("{} = {vrid}", key(network))).collect();
            _ = writeln!(out, "vrid = {{ {} }}", vrids.join(", "));
        }
        if !head.preempt {
            out.push_str("preempt = false\n");
        } else if let Some(delay) = &head.preempt_delay {
            _ = writeln!(out, "preempt = {{ after = \"{delay}\" }}");
        }
        if head.unicast {
            out.push_str("transport = \"unicast\"\n");
        }
        if members.iter().any(|i| i.virtual_mac) {
            out.push_str("virtual-mac = true\n");
            if head.transmit_from_base {
                out.push_str("transmit-from-base = true\n");
            }
        }
        if let Some(kind) = head.auth {
            let file = format!("/etc/fairway/secrets/{}", name(group));
            _ = writeln!(out, "auth.{kind}.key-file = {}", text(&file));
            notes[0].add(
                head.line,
                format!("auth_pass goes into the file {file} on each director, mode 0640, group fairway"),
            );
        }
        let own = first.tracked.iter().filter(|(name, _)| name == group).flat_map(|(_, tracked)| tracked);
        let mut known = BTreeSet::new();
        for (script, weight) in
            own.chain(members.iter().flat_map(|i| &i.tracked)).filter(|(s, _)| known.insert(name(s)))
        {
            match first.scripts.iter().find(|known| known.name == *script) {
                Some(found) => {
                    _ = writeln!(out, "\n[failover.{}.track.{}]", key(group), key(script));
                    out.push_str(&found.tracker(*weight, &mut notes[0]));
                }
                None => {
                    notes[0].add(head.line, format!("track_script {script}: there is no such vrrp_script"))
                }
            }
        }
    }
}

fn services(out: &mut String, clusters: &[(&str, Cluster)]) {
    let first = &clusters[0].1;
    let mut checks: IndexMap<&String, String> = IndexMap::new();
    for check in first.services.iter().flat_map(|s| &s.servers).flat_map(|server| &server.checks) {
        let kind = check.split(' ').next().unwrap_or_default();
        let number = checks.len() + 1;
        checks.entry(check).or_insert_with(|| format!("{kind}-{number}"));
    }
    for (check, name) in &checks {
        _ = write!(out, "\n[checks.{name}]\n{check}");
    }
    let used =
        |bodies: &Vec<String>| bodies.iter().map(|body| text(&checks[body])).collect::<Vec<_>>().join(", ");
    let grouped: BTreeSet<IpAddr> = first
        .instances
        .iter()
        .flat_map(|i| i.addresses.iter().chain(&i.excluded))
        .filter_map(|a| a.split('/').next()?.parse().ok())
        .collect();
    for service in &first.services {
        let Service { address: Some(address), port, .. } = service else { continue };
        _ = writeln!(out, "\n[services.{}]", key(&format!("{}-{address}-{port}", service.protocol)));
        _ = writeln!(out, "listen = [{}]", text(&format!("{}:{port}", name(&vip_name(*address)))));
        _ = writeln!(out, "protocol = \"{}\"\nscheduler = {}", service.protocol, text(&service.scheduler));
        _ = writeln!(out, "forward = \"{}\"", service.forward);
        if !grouped.contains(address) {
            let hosts: Vec<String> = clusters.iter().map(|(host, _)| text(&name(host))).collect();
            _ = writeln!(out, "directors = [{}]", hosts.join(", "));
        }
        last_of_each(&service.settings).iter().for_each(|line| _ = writeln!(out, "{line}"));
        let shared = service.servers.first().map(|server| &server.checks).filter(|checks| !checks.is_empty());
        if let Some(shared) = shared {
            _ = writeln!(out, "checks = [{}]", used(shared));
        }
        if let Some((address, own)) = service.sorry {
            let port = if own == *port { String::new() } else { format!(", port = {own}") };
            let server = key(&format!("server-{address}"));
            _ = writeln!(
                out,
                "sorry-server = {{ {server} = {{ address = \"{address}\", managed = false{port} }} }}"
            );
        }
        _ = writeln!(
            out,
            "\n[services.{}.real-servers]",
            key(&format!("{}-{address}-{port}", service.protocol))
        );
        for server in &service.servers {
            let mut keys = vec![format!("address = \"{}\"", server.address), "managed = false".to_owned()];
            if server.port != *port {
                keys.push(format!("port = {}", server.port));
            }
            keys.extend(last_of_each(&server.settings).into_iter().map(str::to_owned));
            if Some(&server.checks) != shared && !server.checks.is_empty() {
                keys.push(format!("checks = [{}]", used(&server.checks)));
            }
            _ = writeln!(out, "{} = {{ {} }}", key(&format!("server-{}", server.address)), keys.join(", "));
        }
    }
}
