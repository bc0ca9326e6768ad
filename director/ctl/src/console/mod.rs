//! `fairwayctl console`: who this machine is and how its services are, refreshed live, for a screen without a keyboard.

mod screen;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::anyhow;
use nix::sys::socket::{SockaddrIn, SockaddrIn6};

use self::screen::{Line, Screen, Style};
use crate::client::Client;
use crate::model::Director;
use crate::provision;

/// What every terminal shows.
const SIZE: (usize, usize) = (80, 24);

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(2);

/// Where systemd-timesyncd, if it runs, says that it has set the clock. Other programs that could are not asked.
const TIMESYNC: &str = "/run/systemd/timesync";

/// A director that does not answer within this time is shown as that.
const PATIENCE: Duration = Duration::from_secs(3);

/// Shows the screen, once or until it is stopped. Whatever cannot be known is said on it.
///
/// # Errors
/// The terminal is gone.
pub async fn run(once: bool) -> anyhow::Result<()> {
    let mut bus = None;
    loop {
        let director = tokio::time::timeout(PATIENCE, ask(&mut bus)).await;
        let director = director.unwrap_or_else(|_| Err(anyhow!("no answer within {} s", PATIENCE.as_secs())));
        if director.is_err() {
            // The next look begins with a new connection.
            bus = None;
        }
        let screen = look(director);
        let lines = screen.lines(SIZE);
        let mut out = std::io::stdout().lock();
        if once {
            for line in lines {
                writeln!(out, "{}", line.text)?;
            }
            return Ok(());
        }
        out.write_all(paint(&lines).as_bytes())?;
        out.flush()?;
        drop(out);
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(bus: &mut Option<Client>) -> anyhow::Result<Director> {
    let client = match bus.take() {
        Some(client) => client,
        None => Client::connect().await?,
    };
    bus.insert(client).director().await
}

/// What the screen shows now.
fn look(director: anyhow::Result<Director>) -> Screen {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0);
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let (provision, unreadable) = match provision::read() {
        Ok(record) => (record, None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    Screen {
        now: SystemTime::now(),
        synchronized: !Path::new(TIMESYNC).exists() || Path::new(TIMESYNC).join("synchronized").exists(),
        name: name.unwrap_or_default(),
        uptime: Duration::from_secs(seconds),
        image: screen::image(&release),
        addresses: addresses(),
        provision,
        unreadable,
        director: director.map_err(|error| format!("{error:#}")),
    }
}

/// Addresses by interface, without those of the loopback and link-local ones.
fn addresses() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(address) = entry.address else { continue };
        let v4 = address.as_sockaddr_in().map(SockaddrIn::ip).filter(|ip| !ip.is_loopback());
        let v6 = address.as_sockaddr_in6().map(SockaddrIn6::ip);
        let v6 = v6.filter(|ip| !ip.is_loopback() && !ip.is_unicast_link_local());
        let text = v4.map(|ip| ip.to_string()).or_else(|| v6.map(|ip| ip.to_string()));
        found.entry(entry.interface_name).or_default().extend(text);
    }
    found.retain(|name, addresses| name != "lo" || !addresses.is_empty());
    found
}

/// The lines for a terminal: over the ones before, without a moment of darkness.
fn paint(lines: &[Line]) -> String {
    // No cursor; from the upper left corner.
    let mut text = "\x1b[?25l\x1b[H".to_owned();
    for (number, line) in lines.iter().enumerate() {
        let style = match line.style {
            Style::Plain => "",
            Style::Bold => "\x1b[1m",
            Style::Good => "\x1b[32m",
            Style::Bad => "\x1b[1;31m",
            Style::Warn => "\x1b[33m",
        };
        // A line break after the last one would scroll.
        let end = if number + 1 < lines.len() { "\r\n" } else { "" };
        // After a line that fills the screen's width the cursor is still on its last character.
        let erase = if line.text.chars().count() < SIZE.0 { "\x1b[K" } else { "" };
        text.push_str(&format!("{style}{}\x1b[0m{erase}{end}", line.text));
    }
    text + "\x1b[J"
}
