//! The picture as SVG. Networks are bars across it; below each are the hosts of which it is the first network,
//! in columns, with a line from every interface to its network; the services follow as cards.

mod cards;

use std::collections::{BTreeMap, HashMap};

use fairway_config::Family;

use super::canvas::{CHIP, Canvas, LINE, Rect, chip_width, fit, width};
use super::{Roles, roles};
use crate::topology::{Forward, Host, Topology};

/// Space around the picture.
const MARGIN: usize = 24;
/// Space between the edge of a box and its text.
const PAD: usize = 10;
/// Space between boxes.
const GAP: usize = 16;
/// Distance of parallel lines.
const LANE: usize = 10;
/// A picture is about this wide at most, unless there are very many hosts or services.
const WIDTH: usize = 1100;
/// And this wide at least.
const NARROW: usize = 720;
/// Widths of host boxes.
const HOST: std::ops::RangeInclusive<usize> = 170..=300;
/// Width of a service's card.
const CARD: usize = 370;
/// A box lists this many things of a kind and says how many more there are.
const LISTED: usize = 8;

/// Line and fill of networks.
const NETWORKS: [(&str, &str); 6] = [
    ("#2f6fab", "#e8f1fa"),
    ("#3f8f4f", "#e9f6ec"),
    ("#b3541e", "#fbeee6"),
    ("#7b4fa3", "#f3ecf9"),
    ("#0f7f86", "#e5f6f7"),
    ("#a33b5a", "#fae9ef"),
];
const GROUPS: [&str; 4] = ["#243b53", "#7c2d12", "#4c1d95", "#14532d"];
const SERVICES: [&str; 8] =
    ["#0b69a3", "#9b2c6f", "#2f7d32", "#b44d12", "#5e35b1", "#00767a", "#8d5b00", "#ab2f3a"];
const QUIET: &str = "#9aa5b1";

fn cycle<T: Copy>(palette: &[T], number: usize) -> T {
    palette[number % palette.len()]
}

/// The picture of a topology as an SVG document.
pub fn svg(topology: &Topology) -> String {
    draw(topology).finish(&format!("Cluster {}", topology.cluster))
}

/// The host boxes below one network.
#[derive(Default)]
struct Band {
    panels: Vec<Panel>,
    /// Networks other than the one above, from which lines come to this band.
    others: Vec<usize>,
}

/// What a host box holds.
struct Panel {
    name: String,
    tag: &'static str,
    /// Lines of text, with how far they are set in.
    rows: Vec<(usize, String)>,
    chips: Vec<(String, &'static str)>,
    /// Row of each interface and the number of its network.
    stubs: Vec<(usize, usize)>,
}

impl Panel {
    fn width(&self) -> usize {
        let head = width(&self.name) + LINE + width(self.tag);
        let rows = self.rows.iter().map(|(indent, row)| indent + width(row)).max().unwrap_or_default();
        (head.max(rows) + 2 * PAD).clamp(*HOST.start(), *HOST.end())
    }

    fn height(&self, panel_width: usize) -> usize {
        let chips = chip_rows(self.chips.iter().map(|(text, _)| text.as_str()), panel_width - 2 * PAD);
        2 * PAD + LINE * (1 + self.rows.len()) + chips.len() * (CHIP + 4) - 2
    }
}

/// Chips in rows of a width: how many are in each.
fn chip_rows<'a>(chips: impl Iterator<Item = &'a str>, room: usize) -> Vec<usize> {
    let mut rows: Vec<(usize, usize)> = Vec::new();
    for chip in chips {
        let chip = chip_width(chip).min(room) + 6;
        match rows.last_mut() {
            Some((count, used)) if *used + chip <= room + 6 => {
                *count += 1;
                *used += chip;
            }
            _ => rows.push((1, chip)),
        }
    }
    rows.into_iter().map(|(count, _)| count).collect()
}

/// Draws chips in rows; returns the y coordinate below them.
fn draw_chips(
    canvas: &mut Canvas,
    (x, mut y): (usize, usize),
    room: usize,
    chips: &[(String, &'static str)],
) -> usize {
    let mut left = chips;
    for count in chip_rows(chips.iter().map(|(text, _)| text.as_str()), room) {
        let (row, rest) = left.split_at(count);
        let mut at = x;
        for (text, color) in row {
            at += canvas.chip((at, y), color, &fit(text, room - 16)) + 6;
        }
        y += CHIP + 4;
        left = rest;
    }
    y
}

/// Where the columns of a band are.
struct Columns {
    count: usize,
    rows: usize,
    gutter: usize,
    panel: usize,
}

impl Columns {
    fn new(band: &Band) -> Self {
        let panel = band.panels.iter().map(Panel::width).max().unwrap_or(*HOST.start());
        let gutter = LANE * (band.others.len() + 1) + 12;
        let n = band.panels.len().max(1);
        let wide = (WIDTH / (panel + gutter)).max((n * 3 / 5).isqrt()).clamp(1, n);
        let rows = n.div_ceil(wide);
        Self { count: n.div_ceil(rows), rows, gutter, panel }
    }

    fn width(&self) -> usize {
        self.count * (self.panel + self.gutter)
    }
}

fn draw(topology: &Topology) -> Canvas {
    let networks = ordered_networks(topology);
    let number: HashMap<&str, usize> = networks.iter().enumerate().map(|(n, name)| (*name, n)).collect();
    let bands = bands(topology, &number);
    let columns: Vec<Columns> = bands.iter().map(Columns::new).collect();
    // A network that lines reach from further up has a lane along the left edge.
    let far: Vec<usize> = (0..networks.len())
        .filter(|n| bands.iter().enumerate().any(|(band, b)| *n > band + 1 && b.others.contains(n)))
        .collect();
    let left = MARGIN + far.len() * LANE;
    let count = topology.services.len();
    let cards = count.min((count / 2).isqrt().max(3)) * (CARD + GAP);
    let inner = columns.iter().map(Columns::width).max().unwrap_or(0).max(cards).max(NARROW);

    let mut canvas = Canvas::default();
    canvas.text((left, MARGIN - 8), "title", &format!("cluster {}", topology.cluster));
    let mut y = routed(&mut canvas, topology, Rect { x: left, y: MARGIN + 28, w: inner, h: 0 });
    y = clients(&mut canvas, (left + inner / 2, y), !networks.is_empty());
    let mut coming: BTreeMap<usize, usize> = BTreeMap::new();
    for (band, (panels, columns)) in bands.iter().zip(&columns).enumerate() {
        if let Some(name) = networks.get(band) {
            let bar = bar(&mut canvas, topology, name, band, Rect { x: left, y, w: inner, h: 0 });
            if let Some(from) = coming.remove(&band) {
                let x = MARGIN + far.iter().position(|n| *n == band).unwrap_or_default() * LANE;
                let (color, _) = cycle(&NETWORKS, band);
                canvas.line((x, from), (x, bar.y + PAD), color);
                canvas.line((x, bar.y + PAD), (bar.x, bar.y + PAD), color);
                canvas.dot((bar.x, bar.y + PAD), color);
            }
            y = bar.bottom();
        }
        y = draw_band(
            &mut canvas,
            (left + (inner - columns.width()) / 2, y),
            (band, panels, columns),
            &far,
            &mut coming,
        );
    }
    y = cards::draw(&mut canvas, topology, Rect { x: left, y: y + 8, w: inner, h: 0 });
    for forward in Forward::KINDS {
        if topology.services.values().any(|s| s.forward.name() == forward.name()) {
            canvas.text((left, y), "quiet", forward.meaning());
            y += LINE;
        }
    }
    // The last lines are part of the picture's size too.
    canvas.plain(Rect { x: left, y, w: inner, h: 1 }, 0, "none", "none");
    canvas
}

/// Networks from the clients' side inwards: those with virtual IPs of services first.
fn ordered_networks(topology: &Topology) -> Vec<&str> {
    let roles = roles(topology);
    let listens = || topology.services.values().flat_map(|s| &s.listens);
    let mut networks: Vec<&str> = topology.networks.keys().map(String::as_str).collect();
    networks.sort_by_cached_key(|name| {
        let vips = topology.virtual_ips.values().filter(|v| v.network.as_deref() == Some(*name));
        let public = vips.into_iter().any(|v| listens().any(|l| l.address == v.address));
        let hosts = topology.hosts.iter().filter(|(_, h)| h.interface_in(name).is_some());
        let directors = hosts.into_iter().any(|(h, _)| roles.get(h.as_str()).is_some_and(|r| r.director));
        (!public, !directors)
    });
    networks
}

fn bands(topology: &Topology, number: &HashMap<&str, usize>) -> Vec<Band> {
    let roles = roles(topology);
    let services: Vec<&str> = topology.services.keys().map(String::as_str).collect();
    let groups: HashMap<&str, usize> =
        topology.groups.keys().enumerate().map(|(n, name)| (name.as_str(), n)).collect();
    let none = Roles::default();
    let mut bands: Vec<Band> = (0..number.len().max(1)).map(|_| Band::default()).collect();
    let mut hosts: Vec<(&String, &Host, &Roles<'_>)> = topology
        .hosts
        .iter()
        .map(|(name, host)| (name, host, roles.get(name.as_str()).unwrap_or(&none)))
        .collect();
    // Directors first, then servers by what they serve.
    hosts.sort_by_key(|(_, _, r)| (!r.director, r.serves.is_empty(), r.serves.clone()));
    for (name, host, role) in hosts {
        let in_networks = host.interfaces.iter().map(|i| number[i.network.as_str()]);
        let band = &mut bands[in_networks.clone().min().unwrap_or_default()];
        band.panels.push(panel(topology, (name, host, role), (number, &services, &groups)));
    }
    for (at, band) in bands.iter_mut().enumerate() {
        let mut others: Vec<usize> =
            band.panels.iter().flat_map(|p| p.stubs.iter().map(|(_, n)| *n)).filter(|n| *n != at).collect();
        others.sort_unstable();
        others.dedup();
        band.others = others;
    }
    bands
}

type Numbers<'a> = (&'a HashMap<&'a str, usize>, &'a [&'a str], &'a HashMap<&'a str, usize>);

fn panel(
    topology: &Topology,
    (name, host, role): (&str, &Host, &Roles<'_>),
    (networks, services, groups): Numbers<'_>,
) -> Panel {
    let mut rows = Vec::new();
    let mut stubs = Vec::new();
    for interface in &host.interfaces {
        stubs.push((rows.len(), networks[interface.network.as_str()]));
        let mut addresses = interface.addresses.iter().map(|a| a.addr().to_string());
        let first = addresses.next().unwrap_or_else(|| "set elsewhere".to_owned());
        rows.push((0, format!("{} {first}", interface.name)));
        rows.extend(addresses.map(|a| (width(interface.name.as_str()) + 7, a)));
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        if let Some(route) = topology.nat_routes.get(&(name.to_owned(), family)) {
            rows.push((0, format!("route {}", route.gateway)));
        }
    }
    let listed = role.accepts.iter().take(LISTED);
    rows.extend(listed.map(|vip| (0, format!("fairway0 {vip}"))));
    rows.extend(more(role.accepts.len()).map(|text| (0, text)));
    let mut chips: Vec<(String, &str)> = role
        .groups
        .iter()
        .map(|(group, place)| (format!("{group} {}", ordinal(*place)), cycle(&GROUPS, groups[group])))
        .collect();
    let serves = role.serves.iter().take(LISTED);
    chips.extend(serves.map(|n| (services[*n].to_owned(), cycle(&SERVICES, *n))));
    chips.extend(more(role.serves.len()).map(|text| (text, QUIET)));
    let tag = match (role.director, role.serves.is_empty()) {
        (true, true) => "director",
        (false, false) => "server",
        (true, false) => "director, server",
        (false, true) => "",
    };
    Panel { name: name.to_owned(), tag, rows, chips, stubs }
}

/// "and 3 more", if there are more than are listed.
fn more(count: usize) -> Option<String> {
    (count > LISTED).then(|| format!("and {} more", count - LISTED))
}

fn ordinal(place: usize) -> String {
    let ending = match (place % 10, place % 100) {
        (1, n) if n != 11 => "st",
        (2, n) if n != 12 => "nd",
        (3, n) if n != 13 => "rd",
        _ => "th",
    };
    format!("{place}{ending}")
}

/// A network's bar with its virtual IPs; `at` has its place and width.
fn bar(canvas: &mut Canvas, topology: &Topology, name: &str, number: usize, at: Rect) -> Rect {
    let network = &topology.networks[name];
    let chips: Vec<(String, &str)> = topology
        .virtual_ips
        .iter()
        .filter(|(_, vip)| vip.network.as_deref() == Some(name))
        .map(|(vip_name, vip)| {
            let group =
                topology.groups.iter().enumerate().find(|(_, (_, g))| g.virtual_ips.contains(vip_name));
            match group {
                Some((n, (group, _))) => (format!("{vip_name} {} · {group}", vip.address), cycle(&GROUPS, n)),
                None => (format!("{vip_name} {}", vip.address), QUIET),
            }
        })
        .collect();
    let room = at.w - 2 * PAD;
    let rows = chip_rows(chips.iter().map(|(text, _)| text.as_str()), room).len();
    let bar = Rect { h: PAD + LINE + rows * (CHIP + 4) + PAD - 3, ..at };
    let (line, fill) = cycle(&NETWORKS, number);
    canvas.place(bar, fill, line);
    canvas.text((bar.x + PAD, bar.y + 7), "name", &fit(name, room));
    let mut about: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
    about.extend(network.gateways.iter().map(|g| format!("router {g}")));
    let after = width(&fit(name, room)) + 2 * LINE;
    if after + LINE < room {
        canvas.text((bar.x + PAD + after, bar.y + 7), "quiet", &fit(&about.join(" \u{a0} "), room - after));
    }
    draw_chips(canvas, (bar.x + PAD, bar.y + PAD + LINE), room, &chips);
    bar
}

/// Virtual IPs that are in no network; returns the y coordinate below them.
fn routed(canvas: &mut Canvas, topology: &Topology, at: Rect) -> usize {
    let vips = topology.virtual_ips.iter().filter(|(_, vip)| vip.network.is_none());
    let chips: Vec<(String, &str)> =
        vips.map(|(name, vip)| (format!("{name} {}", vip.address), QUIET)).collect();
    if chips.is_empty() {
        return at.y;
    }
    canvas.text((at.x, at.y), "quiet", "routed to the directors from elsewhere");
    draw_chips(canvas, (at.x, at.y + LINE + 4), at.w, &chips) + 8
}

fn clients(canvas: &mut Canvas, (middle, y): (usize, usize), connected: bool) -> usize {
    let rect = Rect { x: middle - 50, y, w: 100, h: 30 };
    canvas.place(rect, "#f5f7fa", "#52606d");
    canvas.text((middle - width("clients") / 2, y + 7), "name", "clients");
    if connected {
        canvas.line((middle, rect.bottom()), (middle, rect.bottom() + 22), "#52606d");
    }
    rect.bottom() + 22
}

/// The hosts below a bar; returns the y coordinate below them.
fn draw_band(
    canvas: &mut Canvas,
    (left, top): (usize, usize),
    (band, panels, columns): (usize, &Band, &Columns),
    far: &[usize],
    coming: &mut BTreeMap<usize, usize>,
) -> usize {
    let heights: Vec<usize> = panels.panels.iter().map(|p| p.height(columns.panel)).collect();
    let tallest = heights.chunks(columns.rows).map(|c| c.iter().sum::<usize>() + GAP * c.len()).max();
    let below = top + GAP + tallest.unwrap_or_default();
    let transits: Vec<usize> = panels.others.iter().copied().filter(|n| *n > band + 1).collect();
    let bottom = below + transits.len() * LANE + GAP;
    for (column, (stack, heights)) in
        panels.panels.chunks(columns.rows).zip(heights.chunks(columns.rows)).enumerate()
    {
        let x = left + column * (columns.panel + columns.gutter);
        // The first and the last line that each network has in this column.
        let mut ends: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
        let mut y = top + GAP;
        for (panel, height) in stack.iter().zip(heights) {
            let rect = Rect { x: x + columns.gutter, y, w: columns.panel, h: *height };
            draw_panel(canvas, rect, panel);
            for (row, network) in &panel.stubs {
                let at = y + PAD + LINE * (row + 1) + LINE / 2;
                let lane = x + lane(band, panels, *network);
                let (color, _) = cycle(&NETWORKS, *network);
                canvas.line((lane, at), (rect.x, at), color);
                let (_, last) = ends.entry(*network).or_insert((at, at));
                *last = at;
            }
            y += height + GAP;
        }
        for (network, (first, last)) in ends {
            let lane = x + lane(band, panels, network);
            let (color, _) = cycle(&NETWORKS, network);
            if network == band {
                canvas.line((lane, top), (lane, last), color);
                canvas.dot((lane, top), color);
            } else if let Some(transit) = transits.iter().position(|n| *n == network) {
                let y = below + transit * LANE;
                let edge = MARGIN + far.iter().position(|n| *n == network).unwrap_or_default() * LANE;
                canvas.line((lane, first), (lane, y), color);
                canvas.line((lane, y), (edge, y), color);
                let from = coming.entry(network).or_insert(y);
                *from = y.min(*from);
            } else {
                canvas.line((lane, first), (lane, bottom), color);
                canvas.dot((lane, bottom), color);
            }
        }
    }
    if panels.panels.is_empty() { top + GAP } else { bottom }
}

/// Where the line of a network is in the space left of a column.
fn lane(band: usize, panels: &Band, network: usize) -> usize {
    let number = if network == band {
        0
    } else {
        panels.others.iter().position(|n| *n == network).map_or(0, |n| n + 1)
    };
    6 + number * LANE
}

fn draw_panel(canvas: &mut Canvas, rect: Rect, panel: &Panel) {
    let director = panel.tag.starts_with("director");
    let (fill, stroke) = match panel.tag {
        "" => ("#f5f7fa", QUIET),
        _ if director => ("#fffaf0", "#243b53"),
        _ => ("#ffffff", "#52606d"),
    };
    canvas.place(rect, fill, stroke);
    let room = rect.w - 2 * PAD;
    let (x, mut y) = (rect.x + PAD, rect.y + PAD - 2);
    canvas.text((x, y), "name", &fit(&panel.name, room - width(panel.tag) - LINE));
    if !panel.tag.is_empty() {
        canvas.text((rect.right() - PAD - width(panel.tag), y), "quiet", panel.tag);
    }
    for (indent, row) in &panel.rows {
        y += LINE;
        canvas.text((x + indent, y), "", &fit(row, room - indent));
    }
    draw_chips(canvas, (x, y + LINE + 3), room, &panel.chips);
}

#[cfg(test)]
mod tests;
