//! Sysctls, interfaces and modules against the generated files.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairway_config::{Config, Family, Forward};

use super::Findings;

const SYSCTLS: &str = "etc/sysctl.d/60-fairway.conf";
const NETWORKS: &str = "etc/systemd/network";
const MODULES: &str = "etc/modules-load.d/fairway.conf";
/// Where an appliance has what was generated for it; its `/etc` is of the image.
const APPLIANCE: &str = "/run/fairway/files";
/// Where a network says nothing else.
const ETHERNET_MTU: u32 = 1500;

pub(super) fn examine(findings: &mut Findings, config: &Config, topology: Option<&Path>) {
    let root = root();
    let file = root.join(SYSCTLS);
    match fs::read_to_string(&file) {
        Ok(text) => sysctls(findings, &settings(&text), &file.display().to_string()),
        // Written by hand: what cannot be done without.
        Err(_) => sysctls(findings, &needed(config), "what the services need"),
    }
    interfaces(findings, &root);
    modules(findings, &root);
    if let Some(topology) = topology {
        drift(findings, config, topology, &root);
    }
}

/// Below which the generated files are.
pub(super) fn root() -> PathBuf {
    let appliance = Path::new(APPLIANCE);
    if appliance.is_dir() { appliance.to_owned() } else { PathBuf::from("/") }
}

/// What a setting is to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) value: String,
    /// Whether there may be nothing to set: what it is about comes and goes.
    pub(super) optional: bool,
}

/// `key = value` lines of sysctl.d(5); those that begin with "-" may fail.
pub(super) fn settings(text: &str) -> BTreeMap<String, Setting> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let setting = |(key, value): (&str, &str)| {
        let name = key.trim().trim_start_matches('-').to_owned();
        (name, Setting { value: value.trim().to_owned(), optional: key.starts_with('-') })
    };
    pairs.map(setting).collect()
}

/// Where the kernel shows a key: the first separator says which of the two, dot or slash, parts the names.
pub(super) fn place(key: &str) -> PathBuf {
    let dots = key.find(['.', '/']).is_none_or(|at| key[at..].starts_with('.'));
    let swap = |c: char| match c {
        '.' if dots => '/',
        '/' if dots => '.',
        other => other,
    };
    Path::new("/proc/sys").join(key.chars().map(swap).collect::<String>())
}

fn needed(config: &Config) -> BTreeMap<String, Setting> {
    let servers = || config.services.iter().flat_map(|s| s.real_servers.iter().map(move |r| (s, r)));
    let translated = |family: Family| {
        servers().any(|(service, server)| {
            matches!(server.forward, Forward::Nat) && service.listen.family() == family
        })
    };
    let keys = [(Family::Ipv4, "net.ipv4.ip_forward"), (Family::Ipv6, "net.ipv6.conf.all.forwarding")];
    let wanted = keys.into_iter().filter(|(family, _)| translated(*family));
    wanted.map(|(_, key)| (key.to_owned(), Setting { value: "1".to_owned(), optional: false })).collect()
}

fn sysctls(findings: &mut Findings, wanted: &BTreeMap<String, Setting>, source: &str) {
    for (key, Setting { value, optional }) in wanted {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match fs::read_to_string(place(key)) {
            Ok(found) if words(&found) == words(value) => {}
            Ok(found) => findings.add(
                "sysctl",
                key,
                format!("it is {}, and {source} wants {value}", found.trim()),
                format!("`sysctl -w {key}={value}`; look in /etc/sysctl.d for who sets it otherwise"),
            ),
            Err(_) if *optional => {}
            Err(error) => findings.add(
                "sysctl",
                key,
                format!("it cannot be read: {error}"),
                "load the module or make the interface that it belongs to, then run `sysctl --system`",
            ),
        }
    }
}

/// What a networkd file says of an interface.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) mtu: Option<u32>,
    pub(super) addresses: Vec<IpAddr>,
    /// Somebody else makes it, and has it up when it is needed: the director, interfaces with virtual MAC addresses.
    pub(super) unmanaged: bool,
}

pub(super) fn link(text: &str) -> Link {
    let (mut link, mut section) = (Link::default(), "");
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if let Some((key, value)) = line.split_once('=') {
            match (section, key) {
                ("[Match]", "Name") => value.clone_into(&mut link.name),
                ("[Link]", "Unmanaged") => link.unmanaged = value == "yes",
                ("[Link]", "MTUBytes") => link.mtu = value.parse().ok(),
                ("[Network]" | "[Address]", "Address") => {
                    let address = value.split('/').next().unwrap_or_default();
                    link.addresses.extend(address.parse::<IpAddr>());
                }
                _ => {}
            }
        }
    }
    link
}

fn interfaces(findings: &mut Findings, root: &Path) {
    let Ok(entries) = fs::read_dir(root.join(NETWORKS)) else { return };
    let ours = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("-fairway") && name.ends_with(".network")
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).collect();
    files.sort();
    let present: Vec<(String, IpAddr)> = super::wire::addresses();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let link = link(&text);
        if link.unmanaged {
            continue;
        }
        let shown = file.display();
        let below = Path::new("/sys/class/net").join(&link.name);
        if !below.exists() {
            let remedy = "plug it in, or name the interface that is there in the topology";
            findings.add(
                "interface",
                &link.name,
                format!("it is not there, and {shown} is about it"),
                remedy,
            );
            continue;
        }
        let read = |name: &str| fs::read_to_string(below.join(name)).map(|text| text.trim().to_owned());
        if read("operstate").is_ok_and(|state| state == "down" || state == "lowerlayerdown") {
            let remedy = format!("`ip link set {} up`; look at cable and switch", link.name);
            findings.add("interface", &link.name, "it is down", remedy);
        }
        // Ethernet: other kinds have MTUs of their own.
        let usual = read("type").is_ok_and(|kind| kind == "1").then_some(ETHERNET_MTU);
        let usual = usual.filter(|_| !link.addresses.is_empty() && below.join("carrier").exists());
        let mtu = read("mtu").ok().and_then(|mtu| mtu.parse::<u32>().ok());
        if let (Some(wanted), Some(mtu)) = (link.mtu.or(usual), mtu)
            && wanted != mtu
        {
            findings.add(
                "mtu",
                &link.name,
                format!("its MTU is {mtu}, and its network's is {wanted}: large packets get lost"),
                format!(
                    "`ip link set {} mtu {wanted}`, or write mtu = {mtu} into the network's table",
                    link.name
                ),
            );
        }
        for address in link.addresses {
            if !present.iter().any(|(interface, other)| *interface == link.name && *other == address) {
                findings.add(
                    "address",
                    format!("{address} on {}", link.name),
                    format!("it is not there, and {shown} has it"),
                    "`networkctl reload && networkctl reconfigure` puts it back; find out who removed it",
                );
            }
        }
    }
}

fn modules(findings: &mut Findings, root: &Path) {
    let file = root.join(MODULES);
    let Ok(text) = fs::read_to_string(&file) else { return };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let builtin = fs::read_to_string(format!("/lib/modules/{}/modules.builtin", release.trim()));
    let builtin = builtin.unwrap_or_default();
    for name in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        let name = name.replace('-', "_");
        let is_built_in = builtin.lines().any(|path| {
            Path::new(path).file_stem().is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == name)
        });
        if !is_built_in && !Path::new("/sys/module").join(&name).exists() {
            let problem = format!("the module is not loaded, and {} names it", file.display());
            findings.add("module", &name, problem, format!("`modprobe {name}`"));
        }
    }
}

fn drift(findings: &mut Findings, config: &Config, topology: &Path, root: &Path) {
    let told = Command::new("fairway-gen")
        .arg("diff")
        .arg(topology)
        .args(["--host", &config.host, "--root"])
        .arg(root)
        .output();
    let about = topology.display().to_string();
    let remedy = if root == Path::new("/") {
        "`fairway-gen host ... --out /` writes them; then reload"
    } else {
        "`fairwayctl apply` puts the topology in force"
    };
    match told {
        Ok(told) if told.status.success() => {}
        Ok(told) if told.status.code() == Some(1) => {
            let text = String::from_utf8_lossy(&told.stdout);
            let files: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("+++ ")).collect();
            let problem = format!("files on this host differ from what it makes: {}", files.join(", "));
            findings.add("drift", about, problem, remedy);
        }
        Ok(told) => {
            let text = String::from_utf8_lossy(&told.stderr);
            findings.add("drift", about, text.trim(), "correct the topology");
        }
        Err(error) => {
            findings.add("drift", about, format!("fairway-gen: {error}"), "install fairway-gen here")
        }
    }
}
