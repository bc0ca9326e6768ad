//! `init`: a topology to start from.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use super::Error;

/// How packets reach the real servers of the starter.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    /// Direct routing: directors and servers share a network.
    Direct,
    /// NAT: the servers are in a network behind the directors.
    Nat,
    /// Tunnels: the servers are behind a router.
    Tunnel,
}

/// Writes the starter, unless there is a file already.
pub fn run(kind: Kind, path: &Path) -> Result<(), Error> {
    let text = match kind {
        Kind::Direct => include_str!("../../templates/init/direct.toml"),
        Kind::Nat => include_str!("../../templates/init/nat.toml"),
        Kind::Tunnel => include_str!("../../templates/init/tunnel.toml"),
    };
    let made = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    made.map_err(|source| Error::Create { path: path.to_owned(), source })?;
    let path = path.display();
    writeln!(std::io::stdout(), "wrote {path}; change it, then run: fairway-gen check {path}")?;
    Ok(())
}
