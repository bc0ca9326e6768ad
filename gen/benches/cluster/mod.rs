//! A big cluster: two directors, real servers for direct routing and for NAT, services with fifty servers each.

use std::fmt::Write;

use fairway_gen::render::Renderer;
use fairway_gen::{Plans, Topology};

/// Real servers of each service.
const SERVERS: usize = 50;

/// A topology with that many services and hosts.
pub fn topology(services: usize, hosts: usize) -> String {
    let mut text = String::new();
    write(&mut text, services, hosts - 2).expect("writing to a String cannot fail");
    text
}

fn write(out: &mut String, services: usize, servers: usize) -> std::fmt::Result {
    out.push_str("version = 1\n[cluster]\nname = \"big\"\n");
    out.push_str("[networks.public]\nsubnets = [\"10.0.0.0/16\"]\ngateway = \"10.0.255.254\"\n");
    out.push_str("[networks.servers]\nsubnets = [\"10.1.0.0/16\"]\n");
    for n in 1..=2 {
        writeln!(out, "[hosts.lb{n}]")?;
        writeln!(out, "interfaces.eth0 = {{ network = \"public\", addresses = [\"10.0.250.{n}\"] }}")?;
        writeln!(out, "interfaces.eth1 = {{ network = \"servers\", addresses = [\"10.1.250.{n}\"] }}")?;
    }
    for n in 0..servers {
        let (network, subnet) = if n % 2 == 0 { ("public", 0) } else { ("servers", 1) };
        let address = format!("10.{subnet}.{}.{}", n / 200, n % 200 + 1);
        writeln!(out, "[hosts.web{n}]")?;
        writeln!(out, "interfaces.eth0 = {{ network = \"{network}\", addresses = [\"{address}\"] }}")?;
    }
    let vips = services.div_ceil(20);
    out.push_str("[virtual-ips]\ninside = \"10.1.251.1\"\n");
    for vip in 0..vips {
        writeln!(out, "vip{vip} = \"10.0.251.{}\"", vip + 1)?;
    }
    let names: Vec<String> = (0..vips).map(|vip| format!("\"vip{vip}\"")).collect();
    writeln!(out, "[failover.edge]\nvirtual-ips = [\"inside\", {}]", names.join(", "))?;
    out.push_str("directors = [\"lb1\", \"lb2\"]\n[checks.alive]\nhttp = { path = \"/healthz\" }\n");
    for service in 0..services {
        let kind = service % 2;
        let forward = ["direct", "nat"][kind];
        writeln!(out, "[services.s{service}]\nlisten = [\"vip{}:{}\"]", service / 20, 8000 + service % 20)?;
        writeln!(out, "scheduler = \"wlc\"\nforward = \"{forward}\"\nchecks = [\"alive\"]")?;
        for place in 0..SERVERS {
            let server = (service / 2 + place) % (servers / 2) * 2 + kind;
            writeln!(out, "real-servers.web{server} = {{ weight = {} }}", place % 5 + 1)?;
        }
    }
    Ok(())
}

/// Checks a topology and renders every host; how many bytes that makes.
pub fn generate(text: &str) -> usize {
    let (topology, _) = Topology::load("big.toml", text).expect("the topology is good");
    let plans = Plans::new(&topology);
    let renderer = Renderer::new();
    let files = plans.hosts().filter_map(|host| renderer.files(&plans.host(host)?).ok());
    files.flat_map(|files| files.into_values().map(|text| text.len())).sum()
}
