//! The picture as Mermaid text, for pages that draw it themselves.

use std::fmt::Write;

use crate::topology::Topology;
use crate::words::{self, listen_text, vip_names};

/// The way of a request, from the clients to the servers, as a Mermaid flow chart.
pub fn mermaid(topology: &Topology) -> String {
    let mut text = String::from("flowchart LR\n  clients((clients))\n");
    write_chart(&mut text, topology).expect("writing to a String cannot fail");
    text
}

fn write_chart(out: &mut String, topology: &Topology) -> std::fmt::Result {
    let names = vip_names(topology);
    for (number, (name, group)) in topology.groups.iter().enumerate() {
        writeln!(out, "  subgraph group{number}[\"failover {name}\"]")?;
        for (place, (director, priority)) in group.directors.iter().enumerate() {
            writeln!(out, "    group{number}director{place}[\"{director}<br>priority {priority}\"]")?;
        }
        writeln!(out, "  end")?;
    }
    for (number, (name, vip)) in topology.virtual_ips.iter().enumerate() {
        let place = vip.network.as_deref().map_or("routed".to_owned(), |network| format!("in {network}"));
        writeln!(out, "  vip{number}([\"{name}<br>{}<br>{place}\"])", vip.address)?;
        if topology.services.values().any(|s| s.listens.iter().any(|l| l.address == vip.address)) {
            writeln!(out, "  clients --> vip{number}")?;
        }
        for (group, _) in topology.groups.values().enumerate().filter(|(_, g)| g.virtual_ips.contains(name)) {
            writeln!(out, "  vip{number} -.- group{group}")?;
        }
    }
    for (number, (name, service)) in topology.services.iter().enumerate() {
        let listens: Vec<String> = service.listens.iter().map(|l| listen_text(&names, service, l)).collect();
        let scheduler = service.scheduler.name();
        writeln!(out, "  service{number}{{{{\"{name}<br>{}<br>{scheduler}\"}}}}", listens.join("<br>"))?;
        for (vip, (_, address)) in topology.virtual_ips.iter().enumerate() {
            if service.listens.iter().any(|l| l.address == address.address) {
                writeln!(out, "  vip{vip} --> service{number}")?;
            }
        }
        for listen in service.listens.iter().filter(|l| !names.contains_key(&l.address)) {
            writeln!(out, "  clients -- {} --> service{number}", quoted(&listen.address.to_string()))?;
        }
        for (place, server) in service.servers.iter().enumerate() {
            let id = match topology.hosts.get_index_of(&server.name) {
                Some(host) if server.managed => format!("host{host}[\"{}\"]", server.name),
                _ => format!("server{number}x{place}[\"{} (elsewhere)\"]", server.name),
            };
            let weight = server.weight;
            let forward = words::forward(service.forward);
            writeln!(
                out,
                "  service{number} -- {} --> {id}",
                quoted(&format!("{forward}, weight {weight}"))
            )?;
        }
    }
    Ok(())
}

/// Text in an edge.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
