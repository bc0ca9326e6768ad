//! `explain`: what is there because of a service or virtual IP.

use std::io::Write;
use std::path::Path;

use fairway_gen::explain::{Explanation, Line, explain, subjects};

use super::{Error, load};

/// Prints everything that has the name.
pub fn run(path: &Path, name: &str) -> Result<(), Error> {
    let topology = load(path)?;
    let subjects = subjects(&topology, name);
    if subjects.is_empty() {
        let names = |names: Vec<&str>| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(Error::Name(format!(
            "there is no service and no virtual IP \"{name}\" in the topology; the services are {}; the virtual \
             IPs are {}",
            names(topology.services.keys().map(String::as_str).collect()),
            names(topology.virtual_ips.keys().map(String::as_str).collect()),
        )));
    }
    let mut stdout = std::io::stdout().lock();
    for (number, subject) in subjects.into_iter().enumerate() {
        if number > 0 {
            writeln!(stdout)?;
        }
        print(&mut stdout, &explain(&topology, subject)?)?;
    }
    Ok(())
}

fn print(out: &mut impl Write, explanation: &Explanation) -> std::io::Result<()> {
    for line in &explanation.summary {
        writeln!(out, "{line}")?;
    }
    for host in &explanation.hosts {
        writeln!(out, "\n{}: {}", host.host, host.role)?;
        for file in &host.files {
            writeln!(out, "  {}", file.path)?;
            let mut said = "";
            for Line { first, last, text, why } in &file.lines {
                if why != said {
                    writeln!(out, "    # {why}")?;
                    said = why;
                }
                if first == last {
                    writeln!(out, "    {first}: {text}")?;
                } else {
                    writeln!(out, "    {first}-{last}: {text}")?;
                }
            }
        }
    }
    Ok(())
}
