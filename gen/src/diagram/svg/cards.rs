//! The services as cards.

use std::collections::HashMap;
use std::net::IpAddr;

use super::{CARD, GAP, LISTED, PAD, SERVICES, cycle, more};
use crate::diagram::canvas::{Canvas, LINE, Rect, chip_width, fit};
use crate::topology::{Forward, Service, Topology};
use crate::words::{self, listen_text, vip_names};

fn forward_color(forward: Forward) -> &'static str {
    match forward {
        Forward::Direct => "#1b7f5c",
        Forward::Nat => "#a8530a",
        Forward::FullNat => "#8a2f6b",
        Forward::Tunnel(_) => "#3b4cc0",
    }
}

/// Cards of the services; returns the y coordinate below them.
pub fn draw(canvas: &mut Canvas, topology: &Topology, at: Rect) -> usize {
    let names = vip_names(topology);
    let cards: Vec<(&String, &Service, Vec<String>)> =
        topology.services.iter().map(|(name, service)| (name, service, card(&names, service))).collect();
    let mut y = at.y;
    let across = ((at.w + GAP) / (CARD + GAP)).min(cards.len().max(1));
    let left = at.x + (at.w + GAP - across * (CARD + GAP)) / 2;
    for (row, line) in cards.chunks(across).enumerate() {
        let tallest = line.iter().map(|(_, _, rows)| rows.len()).max().unwrap_or_default();
        for (column, (name, service, rows)) in line.iter().enumerate() {
            let number = row * across + column;
            let rect =
                Rect { x: left + column * (CARD + GAP), y, w: CARD, h: 2 * PAD + LINE * (tallest + 1) + 4 };
            let color = cycle(&SERVICES, number);
            canvas.place(rect, "#ffffff", color);
            canvas.plain(Rect { w: 6, ..rect }, 3, color, "none");
            let word = &words::forward(service.forward);
            let badge = chip_width(word);
            let room = CARD - 2 * PAD - 6;
            let x = rect.x + PAD + 6;
            canvas.text((x, y + PAD - 2), "name", &fit(name, room - badge - LINE));
            canvas.chip((rect.right() - PAD - badge, y + PAD - 4), forward_color(service.forward), word);
            for (n, text) in rows.iter().enumerate() {
                canvas.text((x, y + PAD + 4 + LINE * (n + 1)), "", &fit(text, room));
            }
        }
        y += 2 * PAD + LINE * (tallest + 1) + 4 + GAP;
    }
    y
}

/// What a service's card says.
fn card(names: &HashMap<IpAddr, &str>, service: &Service) -> Vec<String> {
    let mut rows: Vec<String> =
        service.listens.iter().take(LISTED).map(|l| listen_text(names, service, l)).collect();
    rows.extend(more(service.listens.len()));
    let mut spread = format!("scheduler {}", service.scheduler.name());
    if let Some(persistence) = service.persistence {
        spread.push_str(&format!(", clients stay {persistence}"));
    }
    if service.one_packet {
        spread.push_str(", packet by packet");
    }
    rows.push(spread);
    rows.push(match service.checks.as_slice() {
        [] => "no check: servers are always up".to_owned(),
        checks => format!("checked by {}", checks.join(", ")),
    });
    rows.extend(service.servers.iter().take(LISTED).map(|server| {
        let addresses: Vec<String> = server.addresses.iter().map(|a| a.address.to_string()).collect();
        let port = server.port.map(|p| format!(" port {p}")).unwrap_or_default();
        let managed = if server.managed { "" } else { " (elsewhere)" };
        let weight = if server.weight == 1 { String::new() } else { format!(", weight {}", server.weight) };
        format!("→ {}{managed} {}{port}{weight}", server.name, addresses.join(" "))
    }));
    rows.extend(more(service.servers.len()));
    rows
}
