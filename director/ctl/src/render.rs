//! `fairwayctl status` for people.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::{BfdSession, Director, Group, Instance, Notification, Seen, Server, Service};

/// The whole status; `now` dates the transitions.
pub fn status(director: &Director, now: SystemTime) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} in cluster {}: fairway-director {}, generation {} of {}",
        director.host, director.cluster, director.version, director.generation, director.config_file
    );
    if !director.last_reload_error.is_empty() {
        let _ = writeln!(out, "the last reload failed, generation {} stays in force:", director.generation);
        for line in director.last_reload_error.lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    if !director.groups.is_empty() {
        out.push('\n');
        out.push_str(&groups(&director.groups, now));
        out.push('\n');
        out.push_str(&instances(&director.groups));
        if director.groups.iter().flat_map(|group| &group.instances).any(|i| !i.other_routers.is_empty()) {
            out.push('\n');
            out.push_str(&other_routers(&director.groups, now));
        }
        if director.groups.iter().any(|group| !group.trackers.is_empty()) {
            out.push('\n');
            out.push_str(&trackers(&director.groups));
        }
    }
    if director.groups.iter().any(|group| !group.routes.is_empty()) {
        out.push('\n');
        out.push_str(&routes(&director.groups));
    }
    if !director.bfd.is_empty() {
        out.push('\n');
        out.push_str(&bfd(&director.bfd));
    }
    if !director.services.is_empty() {
        out.push('\n');
        out.push_str(&services(&director.services));
        out.push('\n');
        out.push_str(&servers(&director.services, now));
    }
    if !director.notifications.is_empty() {
        out.push('\n');
        out.push_str(&notifications(&director.notifications, now));
    }
    out
}

fn groups(groups: &[Group], now: SystemTime) -> String {
    let mut table = Table::new(&["GROUP", "STATE", "SINCE", "FORCED", "MASTER", "CAUSE"]);
    for group in groups {
        table.row(vec![
            group.name.clone(),
            group.state.clone(),
            age(group.age(now)),
            if group.forced == "auto" { String::new() } else { group.forced.clone() },
            group.masters(),
            group.cause.clone(),
        ]);
    }
    table.render()
}

fn instances(groups: &[Group]) -> String {
    let mut table = Table::new(&[
        "GROUP",
        "INSTANCE",
        "STATE",
        "INTERFACE",
        "VRRP",
        "VRID",
        "PRIORITY",
        "INTERVAL",
        "ADDRESSES",
    ]);
    for group in groups {
        for instance in &group.instances {
            table.row(vec![
                group.name.clone(),
                instance.name.clone(),
                instance.state.clone(),
                on_interface(instance),
                format!("v{} {}", instance.version, instance.family),
                instance.vrid.to_string(),
                priority(instance),
                interval(instance.advert_interval_usec),
                [&instance.virtual_addresses[..], &instance.excluded_addresses[..]].concat().join(", "),
            ]);
        }
    }
    table.render()
}

/// The priority in force, and after it the configured one where trackers or an order made another of it.
fn priority(instance: &Instance) -> String {
    match (instance.priority, instance.base_priority) {
        (now, base) if now == base => now.to_string(),
        (now, base) => format!("{now} of {base}"),
    }
}

/// As ip(8) writes an interface and the one below it.
fn on_interface(instance: &Instance) -> String {
    match instance.virtual_mac_interface.as_str() {
        "" => instance.interface.clone(),
        upper => format!("{upper}@{}", instance.interface),
    }
}

/// What is wrong with other routers of the network.
fn other_routers(groups: &[Group], now: SystemTime) -> String {
    let mut table = Table::new(&["INSTANCE", "OTHER ROUTER", "SEEN", "LAST", "WHAT"]);
    for instance in groups.iter().flat_map(|group| &group.instances) {
        for other in &instance.other_routers {
            table.row(vec![
                instance.name.clone(),
                other.source.clone(),
                other.count.to_string(),
                format!("{} ago", age(other.age(now))),
                other.what.clone(),
            ]);
        }
    }
    table.render()
}

fn trackers(groups: &[Group]) -> String {
    let mut table = Table::new(&["GROUP", "TRACKER", "KIND", "STATE", "WEIGHT", "DETAIL"]);
    for group in groups {
        for tracker in &group.trackers {
            table.row(vec![
                group.name.clone(),
                tracker.name.clone(),
                tracker.kind.clone(),
                tracker.state.clone(),
                match (tracker.kind.as_str(), tracker.weight) {
                    ("number", weight) => format!("{weight:+} now"),
                    (_, 0) => "fault".to_owned(),
                    (_, weight) => format!("{weight:+}"),
                },
                tracker.detail.clone(),
            ]);
        }
    }
    table.render()
}

fn routes(groups: &[Group]) -> String {
    let mut table = Table::new(&["GROUP", "ROUTE OR RULE", "IN KERNEL"]);
    for group in groups {
        let held = group.instances.iter().all(|instance| instance.state == "master");
        for route in &group.routes {
            let state = match (held, group.missing_routes.contains(route)) {
                (_, true) => "missing",
                (true, false) => "yes",
                (false, false) => "no",
            };
            table.row(vec![group.name.clone(), route.clone(), state.to_owned()]);
        }
    }
    table.render()
}

fn bfd(sessions: &[BfdSession]) -> String {
    let mut table =
        Table::new(&["BFD SESSION", "STATE", "NEIGHBOUR'S", "INTERVAL", "DETECTION", "DIAGNOSTIC"]);
    for session in sessions {
        table.row(vec![
            session.name.clone(),
            session.state.clone(),
            session.remote_state.clone(),
            interval(session.transmit_interval_usec),
            interval(session.detection_time_usec),
            if session.state == "up" { String::new() } else { session.diagnostic.clone() },
        ]);
    }
    table.render()
}

fn services(services: &[Service]) -> String {
    let mut table = Table::new(&["SERVICE", "ADDRESS", "SCHEDULER", "SERVERS UP", "QUORUM", "KERNEL"]);
    for service in services {
        let up = service.servers.iter().filter(|s| s.health == "up").count();
        let kernel = &service.kernel_error;
        table.row(vec![
            service.name.clone(),
            format!("{} {}", service.protocol, endpoint(&service.address, service.port)),
            service.scheduler.clone(),
            format!("{up} of {}", service.servers.len()),
            if service.sorry { format!("{}, sorry server", service.quorum) } else { service.quorum.clone() },
            if kernel.is_empty() { "programmed".to_owned() } else { format!("error: {kernel}") },
        ]);
    }
    table.render()
}

fn servers(services: &[Service], now: SystemTime) -> String {
    let mut table =
        Table::new(&["SERVICE", "SERVER", "ADDRESS", "FORWARD", "WEIGHT", "IN TABLE", "HEALTH", "DETAIL"]);
    for service in services {
        for server in &service.servers {
            table.row(vec![
                service.name.clone(),
                server.name.clone(),
                endpoint(&server.address, server.port),
                server.forward.clone(),
                server.weight.to_string(),
                in_table(server, now),
                server.health.clone(),
                server.detail.clone(),
            ]);
        }
    }
    table.render()
}

fn notifications(notifications: &[Notification], now: SystemTime) -> String {
    let head = ["NOTIFY", "WAY", "DELIVERED", "LAST", "WAITING", "FAILED", "DROPPED", "ERROR"];
    let mut table = Table::new(&head);
    for told in notifications {
        let last = UNIX_EPOCH + Duration::from_micros(told.last_usec);
        let ago = format!("{} ago", age(now.duration_since(last).unwrap_or_default()));
        table.row(vec![
            told.name.clone(),
            told.way.clone(),
            told.delivered.to_string(),
            if told.last_usec == 0 { "never".to_owned() } else { ago },
            told.waiting.to_string(),
            told.failed.to_string(),
            told.dropped.to_string(),
            told.error.clone(),
        ]);
    }
    table.render()
}

/// The weight in the kernel, and who made it differ from the configured one.
fn in_table(server: &Server, now: SystemTime) -> String {
    let mut text = server.effective_weight.map_or_else(|| "no".to_owned(), |weight| weight.to_string());
    if server.order.is_empty() {
        return text;
    }
    let _ = write!(text, " ({}", server.order);
    let left = |usec: u64| {
        let at = UNIX_EPOCH + Duration::from_micros(usec);
        (usec > 0).then(|| age(at.duration_since(now).unwrap_or_default()))
    };
    if let Some(left) = left(server.drain_deadline_usec).filter(|_| server.order == "drain") {
        let _ = write!(text, ", out in {left}");
    }
    if let Some(left) = left(server.order_until_usec) {
        let _ = write!(text, ", for {left}");
    }
    text.push(')');
    text
}

/// `fairwayctl probe` for people.
pub fn probes(seen: &[Seen]) -> String {
    let mut table = Table::new(&["CHECK", "RESULT", "TIME", "DETAIL"]);
    for probe in seen {
        table.row(vec![
            probe.check.clone(),
            probe.outcome.clone(),
            format!("{}.{:03} ms", probe.took_usec / 1000, probe.took_usec % 1000),
            probe.detail.clone(),
        ]);
    }
    table.render()
}

/// An address and port.
pub fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn interval(microseconds: u64) -> String {
    match microseconds {
        0 => String::new(),
        whole if whole % 1_000_000 == 0 => format!("{}s", whole / 1_000_000),
        part => format!("{}ms", part / 1000),
    }
}

/// The two largest units of a length of time.
pub fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(length, _)| seconds >= *length).unwrap_or(units.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in &units[first..units.len().min(first + 2)] {
        parts.push(format!("{}{unit}", rest / length));
        rest %= length;
    }
    parts.join(" ")
}

/// Left-aligned columns, two spaces apart.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with its head.
    pub fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row. An empty cell shows as `-`, and a cell keeps to one line.
    pub fn row(&mut self, cells: Vec<String>) {
        let clean = |cell: String| match cell.split_whitespace().collect::<Vec<_>>().join(" ") {
            cell if cell.is_empty() => "-".to_owned(),
            cell => cell,
        };
        self.rows.push(cells.into_iter().map(clean).collect());
    }

    /// The text; lines have no blanks at their ends.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:width$}  ");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}
