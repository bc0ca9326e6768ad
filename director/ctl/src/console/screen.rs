//! The screen as lines, from what is known.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use fairway_config::provision::{Provision, State};

use crate::model::Director;
use crate::provision::{is_no_director, roles, short, trouble};
use crate::render::{Table, age, endpoint};

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As text does.
    Plain,
    /// A heading.
    Bold,
    /// As it should be.
    Good,
    /// Something is wrong.
    Bad,
    /// Something should be looked at.
    Warn,
}

/// One line of the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How it looks.
    pub style: Style,
    /// At most as long as the screen is wide.
    pub text: String,
}

/// What the screen shows.
#[derive(Debug)]
pub struct Screen {
    /// By this machine's clock.
    pub now: SystemTime,
    /// Whether somebody has compared the clock with others since the machine started.
    pub synchronized: bool,
    /// Host name.
    pub name: String,
    /// Since the machine started.
    pub uptime: Duration,
    /// The image and its version, as far as that is known.
    pub image: String,
    /// By interface.
    pub addresses: BTreeMap<String, Vec<String>>,
    /// On appliances.
    pub provision: Option<Provision>,
    /// Why the record of the provisioning cannot be read.
    pub unreadable: Option<String>,
    /// What the director shows, or why it does not.
    pub director: Result<Director, String>,
}

/// The image by what it calls itself in os-release.
pub fn image(release: &str) -> String {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    match (value("IMAGE_VERSION"), value("PRETTY_NAME")) {
        (Some(version), _) => format!("Fairway {version}"),
        (None, Some(system)) => format!("Fairway on {system}"),
        (None, None) => "Fairway".to_owned(),
    }
}

/// Lines that belong together, and how many there must be room for.
#[derive(Default)]
struct Section(Vec<Line>);

impl Section {
    fn add(&mut self, style: Style, text: impl Into<String>) {
        self.0.push(Line { style, text: text.into() });
    }

    /// A table with a bold head; `styles` are those of its rows.
    fn table(&mut self, table: &Table, styles: &[Style]) {
        for (number, line) in table.render().lines().enumerate() {
            let style = if number == 0 { Style::Bold } else { styles[number - 1] };
            self.add(style, line);
        }
    }

    /// Leaves out what does not fit and says how much that is.
    fn cut(&mut self, room: usize) {
        let more = self.0.len().saturating_sub(room);
        if more > 0 && room > 0 {
            self.0.truncate(room - 1);
            self.add(Style::Plain, format!("... and {} more", more + 1));
        }
    }
}

impl Screen {
    /// The lines, as many as there are at most, all within the width. What is wrong comes before what is well.
    pub fn lines(&self, (width, height): (usize, usize)) -> Vec<Line> {
        let mut sections = vec![self.head(width)];
        let mut left = height - sections[0].0.len();
        // The most that each may take, and what the later ones need at least.
        for (mut section, most, later) in [
            (self.trouble(width), 8, 10),
            (self.addresses(), 5, 7),
            (self.groups(), 7, 4),
            (self.services(), usize::MAX, 0),
        ] {
            if section.0.is_empty() || left <= 1 {
                continue;
            }
            let room = most.min((left - 1).saturating_sub(later).max(2.min(left - 1)));
            section.cut(room);
            left -= section.0.len() + 1;
            sections.push(section);
        }
        let mut lines = Vec::new();
        for section in sections {
            if !lines.is_empty() {
                lines.push(Line { style: Style::Plain, text: String::new() });
            }
            lines.extend(section.0);
        }
        for line in &mut lines {
            line.text = fit(&line.text, width);
        }
        lines
    }

    fn head(&self, width: usize) -> Section {
        let mut head = Section::default();
        let mut time =
            humantime::format_rfc3339_seconds(self.now).to_string().replace('T', " ").replace('Z', " UTC");
        if !self.synchronized {
            time.push_str(", not synchronized");
        }
        let title = &self.image;
        let gap = width.saturating_sub(title.chars().count() + time.len()).max(2);
        head.add(Style::Bold, format!("{title}{:gap$}{time}", ""));
        let up = format!("up {}", age(self.uptime));
        match &self.provision {
            Some(record) if record.source.is_some() => {
                let who = format!("{}, {} of cluster {}", record.host, roles(record), record.cluster);
                let gap = width.saturating_sub(who.chars().count() + up.len()).max(2);
                head.add(Style::Bold, format!("{who}{:gap$}{up}", ""));
                if let Some(source) = record.source {
                    head.add(Style::Plain, format!("topology {} of {source}", short(&record.sha256)));
                }
            }
            _ => {
                let cluster = self
                    .director
                    .as_ref()
                    .map_or(String::new(), |found| format!(" of cluster {}", found.cluster));
                let name = if self.name.is_empty() { "a machine without a name" } else { &self.name };
                let who = format!("{name}{cluster}");
                let gap = width.saturating_sub(who.chars().count() + up.len()).max(2);
                head.add(Style::Bold, format!("{who}{:gap$}{up}", ""));
            }
        }
        head
    }

    fn trouble(&self, width: usize) -> Section {
        let mut section = Section::default();
        let mut wrap = |style, text: &str| {
            for line in wrapped(text, width) {
                section.add(style, line);
            }
        };
        if let Some(error) = &self.unreadable {
            wrap(Style::Bad, error);
        }
        let quiet = self.provision.as_ref().is_some_and(is_no_director);
        match &self.director {
            Ok(director) if !director.last_reload_error.is_empty() => {
                wrap(Style::Bad, &format!("the last reload failed: {}", director.last_reload_error));
            }
            Err(error) if !quiet => wrap(Style::Bad, &format!("director: {error}")),
            _ => {}
        }
        if let Some(record) = &self.provision {
            let bad = record.state != State::Ok;
            for line in trouble(record).lines() {
                wrap(if bad && !line.starts_with("warning") { Style::Bad } else { Style::Warn }, line);
            }
        }
        section
    }

    fn addresses(&self) -> Section {
        let mut section = Section::default();
        if self.addresses.is_empty() {
            section.add(Style::Bad, "no network interface");
            return section;
        }
        let mut table = Table::new(&["INTERFACE", "ADDRESSES"]);
        let mut styles = Vec::new();
        for (name, addresses) in &self.addresses {
            table.row(vec![
                name.clone(),
                if addresses.is_empty() { "none".to_owned() } else { addresses.join(", ") },
            ]);
            styles.push(if addresses.is_empty() { Style::Warn } else { Style::Plain });
        }
        section.table(&table, &styles);
        section
    }

    fn groups(&self) -> Section {
        let mut section = Section::default();
        let Ok(director) = &self.director else { return section };
        if director.groups.is_empty() {
            return section;
        }
        let mut table = Table::new(&["GROUP", "STATE", "FOR", "MASTER", "CAUSE"]);
        let mut styles = Vec::new();
        for group in &director.groups {
            table.row(vec![
                group.name.clone(),
                group.state.clone(),
                age(group.age(self.now)),
                group.masters(),
                group.cause.clone(),
            ]);
            styles.push(match group.state.as_str() {
                "master" | "backup" => Style::Good,
                "fault" => Style::Bad,
                _ => Style::Warn,
            });
        }
        section.table(&table, &styles);
        section
    }

    fn services(&self) -> Section {
        let mut section = Section::default();
        let Ok(director) = &self.director else { return section };
        if director.services.is_empty() {
            return section;
        }
        let mut table = Table::new(&["SERVICE", "ADDRESS", "SERVERS UP", "QUORUM", "NOTE"]);
        let mut rows = Vec::new();
        for service in &director.services {
            let up = service.servers.iter().filter(|server| server.health == "up").count();
            let note = match (service.kernel_error.as_str(), service.sorry) {
                ("", true) => "sorry server".to_owned(),
                ("", false) => {
                    let down = service.servers.iter().filter(|server| server.health == "down");
                    let down: Vec<_> = down.map(|server| server.name.as_str()).collect();
                    if down.is_empty() { String::new() } else { format!("down: {}", down.join(", ")) }
                }
                (error, _) => error.to_owned(),
            };
            let style = if service.quorum == "down" || !service.kernel_error.is_empty() {
                Style::Bad
            } else if up < service.servers.len() {
                Style::Warn
            } else {
                Style::Good
            };
            let cells = vec![
                service.name.clone(),
                format!("{} {}", service.protocol, endpoint(&service.address, service.port)),
                format!("{up} of {}", service.servers.len()),
                service.quorum.clone(),
                note,
            ];
            rows.push((style, cells));
        }
        // What is wrong is seen on a small screen too.
        rows.sort_by_key(|(style, _)| match style {
            Style::Bad => 0,
            Style::Warn => 1,
            _ => 2,
        });
        let styles: Vec<_> = rows.iter().map(|(style, _)| *style).collect();
        for (_, cells) in rows {
            table.row(cells);
        }
        section.table(&table, &styles);
        section
    }
}

/// Printable, and no longer than the screen is wide.
fn fit(text: &str, width: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if text.chars().count() <= width {
        return clean.collect();
    }
    let kept: String = clean.take(width.saturating_sub(3)).collect();
    kept + "..."
}

/// Lines that are no longer than the screen is wide, broken between words.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        for word in line.split_whitespace() {
            if !current.is_empty() && current.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut current));
                current.push_str("  ");
            } else if !current.is_empty() {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines
}
