//! What is said about it: the record for `fairwayctl`, the journal, the console.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::SystemTime;

use fairway_config::provision::{Provision, RECORD, State};
use nix::fcntl::OFlag;

use crate::places::Places;
use crate::tree::at;

/// What `journalctl MESSAGE_ID=` finds refused topologies by.
pub const REFUSED_ID: &str = "3f1c0e4be5d94f0d8d1f4f63c2b7a9d8";

/// The journal's socket for records with fields.
const JOURNAL: &str = "run/systemd/journal/socket";

/// The time as the record has it.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

/// Writes the record in place of the one before.
///
/// # Errors
/// What could not be written.
pub fn write_record(places: &Places, record: &Provision) -> io::Result<()> {
    let path = places.root.join(RECORD.trim_start_matches('/'));
    let directory = path.parent().expect("the record is below a directory");
    fs::create_dir_all(directory).map_err(at(directory))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(at(&path))?;
    serde_json::to_writer_pretty(&mut file, record)?;
    file.write_all(b"\n")?;
    file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(&path).map_err(|error| at(&path)(error.error))?;
    Ok(())
}

/// The record; nothing if nothing was provisioned since the machine started.
pub fn read_record(places: &Places) -> Option<Provision> {
    let text = fs::read(places.root.join(RECORD.trim_start_matches('/'))).ok()?;
    serde_json::from_slice(&text).ok()
}

/// One line of what this machine is now.
pub fn summary(record: &Provision) -> String {
    let Some(source) = record.source else {
        return match record.state {
            State::None => "there is no topology: this machine serves nothing. Give the credential fairway.topology, or a \
                            file system labelled FAIRWAY with topology.toml, or `fairwayctl apply`"
                .to_owned(),
            _ => "the topology is refused, and there is no older one: this machine serves nothing".to_owned(),
        };
    };
    let Provision { host, cluster, roles, sha256, .. } = record;
    let roles = if roles.is_empty() { "without a role".to_owned() } else { roles.join(" and ") };
    let short = &sha256[..sha256.len().min(12)];
    let what = format!("this is {host} of cluster {cluster}, {roles}: topology {short} of {source}");
    match record.state {
        State::Refused => format!("the newest topology is refused, an older one stays in force: {what}"),
        _ => what,
    }
}

/// Tells the journal, and the console of what is wrong.
pub fn tell(places: &Places, record: &Provision) {
    let bad = record.state != State::Ok;
    for error in &record.errors {
        log(places, 3, record, error);
    }
    for warning in &record.warnings {
        log(places, 4, record, warning);
    }
    log(places, if bad { 3 } else { 6 }, record, &summary(record));
    if bad && places.is_machine() {
        let mut text = String::new();
        for line in record.errors.iter().chain(&record.warnings).chain([&summary(record)]) {
            text += &format!("fairway-provision: {line}\r\n");
        }
        // A console that takes nothing must not hold up the boot; there may be none.
        let flags = (OFlag::O_NOCTTY | OFlag::O_NONBLOCK).bits();
        let console = fs::OpenOptions::new().write(true).custom_flags(flags).open("/dev/console");
        let _ = console.and_then(|mut console| console.write_all(text.as_bytes()));
    }
}

/// One record in the journal's native protocol; to standard error where there is no journal.
fn log(places: &Places, priority: u8, about: &Provision, message: &str) {
    let mut record = Vec::new();
    let id = if priority == 3 { REFUSED_ID } else { "" };
    let source = about.source.map_or(String::new(), |source| source.to_string());
    let fields = [
        ("MESSAGE", message),
        ("PRIORITY", &priority.to_string()),
        ("SYSLOG_IDENTIFIER", "fairway-provision"),
        ("MESSAGE_ID", id),
        ("FAIRWAY_HOST", &about.host),
        ("FAIRWAY_SOURCE", &source),
        ("FAIRWAY_SHA256", &about.sha256),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        record.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            // The binary form: the length first, little-endian.
            record.push(b'\n');
            record.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            record.push(b'=');
        }
        record.extend_from_slice(value.as_bytes());
        record.push(b'\n');
    }
    let socket = places.root.join(JOURNAL);
    let sent = UnixDatagram::unbound().and_then(|from| from.send_to(&record, socket));
    if sent.is_err() {
        eprintln!("fairway-provision: {message}");
    }
}
