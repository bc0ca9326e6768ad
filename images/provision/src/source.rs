//! Where topologies come from: the credential `fairway.topology`, `topology.toml` on a file system labelled FAIRWAY.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairway_config::provision::{Refused, Source};
use sha2::{Digest as _, Sha256};

use crate::places::Places;

/// Secrets by name, as the topology names them below `/etc/fairway/secrets/`.
pub type Secrets = BTreeMap<String, Vec<u8>>;

/// The label of the file system.
const LABEL: &str = "FAIRWAY";

/// Where topologies say that secrets are.
const SECRETS: &str = "/etc/fairway/secrets/";

/// How the name of a credential with a secret begins.
const SECRET: &str = "fairway.secret.";

/// A larger file is no topology: a thousand hosts need less than one MiB.
const LARGEST: u64 = 16 << 20;

/// A topology as it was given.
#[derive(Debug, Clone)]
pub struct Given {
    /// Where it came from.
    pub source: Source,
    /// How messages name the file.
    pub name: String,
    /// The text.
    pub text: String,
    /// What goes with it.
    pub secrets: Secrets,
    /// The host that it was said to be for.
    pub host: Option<String>,
}

impl Given {
    /// SHA-256 of the text.
    pub fn sha256(&self) -> String {
        sha256(self.text.as_bytes())
    }
}

/// A topology that cannot be used.
#[derive(Debug, Clone)]
pub struct Broken {
    /// What it is.
    pub refused: Refused,
    /// Why: file, line, key and remedy.
    pub errors: Vec<String>,
}

/// SHA-256 in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Everything that was given, in the order in which it counts.
#[derive(Debug, Default)]
pub struct Sources {
    /// Topologies.
    pub topologies: Vec<Result<Given, Broken>>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// Looks at credentials, then at the labelled file system.
pub fn find(places: &Places) -> Sources {
    let mut found = Sources::default();
    let credentials = places.credentials.as_deref().map(Credentials);
    let given = credentials.as_ref().and_then(Credentials::topology);
    // Seconds; it ends as soon as udev has dealt with all devices. Who has everything is not to wait for what a slow
    // machine, or none, has besides.
    let secrets = credentials.as_ref().is_some_and(|c| !c.secrets(&mut Vec::new()).is_empty());
    let patience = match &given {
        Some(Ok(topology)) if secrets || !topology.text.contains(SECRETS) => 5,
        Some(_) => 30,
        None => 90,
    };
    let mut unreadable = None;
    let mounted = match &places.medium {
        Some(directory) => Some(Medium { directory: directory.clone(), mounted: false }),
        None if places.is_machine() => mount(patience).unwrap_or_else(|error| {
            unreadable = Some(Err(Broken {
                refused: Refused { source: Source::Disk, sha256: String::new() },
                errors: vec![error],
            }));
            None
        }),
        None => None,
    };
    let mut secrets = Secrets::new();
    let mut host = None;
    if let Some(medium) = &mounted {
        secrets = medium.secrets(&mut found.warnings);
        host = medium.read("host").ok().map(|name| String::from_utf8_lossy(&name).trim().to_owned());
    }
    if let Some(credentials) = &credentials {
        secrets.extend(credentials.secrets(&mut found.warnings));
        host = credentials.text("fairway.host").or(host);
    }
    let medium = mounted.as_ref().and_then(Medium::topology).or(unreadable);
    for given in [given, medium].into_iter().flatten() {
        found.topologies.push(given.map(|given| Given {
            secrets: secrets.clone(),
            host: host.clone().filter(|name| !name.is_empty()),
            ..given
        }));
    }
    found
}

/// Reads a topology, and compares it with what it is said to be.
fn read(
    source: Source,
    name: &str,
    bytes: io::Result<Vec<u8>>,
    hash: (&str, Option<String>),
    length: (&str, Option<String>),
) -> Result<Given, Broken> {
    let broken =
        |sha256: String, error: String| Broken { refused: Refused { source, sha256 }, errors: vec![error] };
    let bytes = bytes
        .map_err(|error| broken(String::new(), format!("{name}: cannot be read: {error}; give it again")))?;
    let found = sha256(&bytes);
    let arrived = format!("{name}: {} bytes with SHA-256 {found} arrived", bytes.len());
    let remedy =
        "it was cut off or changed on its way: SMBIOS passes a few KiB only, fw_cfg and a disk any length";
    if let (which, Some(wanted)) = length
        && wanted.trim().parse() != Ok(bytes.len())
    {
        return Err(broken(found, format!("{arrived}, and {which} says {} bytes; {remedy}", wanted.trim())));
    }
    // As sha256sum prints it: the name of a file may follow.
    if let (which, Some(wanted)) = hash {
        let wanted = wanted.split_whitespace().next().unwrap_or_default();
        if !wanted.eq_ignore_ascii_case(&found) {
            return Err(broken(found, format!("{arrived}, and {which} says {wanted}; {remedy}")));
        }
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.trim().is_empty() => {
            Err(broken(found, format!("{name}: it is empty; give the whole topology")))
        }
        Ok(text) => Ok(Given { source, name: name.to_owned(), text, secrets: Secrets::new(), host: None }),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..at].iter().filter(|b| **b == b'\n').count() + 1;
            Err(broken(found, format!("{name}:{line}: byte {at} is not UTF-8; give the topology as text")))
        }
    }
}

/// A file of a sensible size.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let about = fs::metadata(path)?;
    if !about.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    if about.len() > LARGEST {
        return Err(io::Error::other(format!("it has {} bytes, more than {LARGEST}", about.len())));
    }
    fs::read(path)
}

/// All files of a directory whose names begin with `start`, by the rest of the name.
fn secrets_in(directory: &Path, start: &str, warnings: &mut Vec<String>) -> Secrets {
    let mut secrets = Secrets::new();
    let Ok(entries) = fs::read_dir(directory) else { return secrets };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(start));
        let Some(name) = name.filter(|name| !name.is_empty() && !name.starts_with('.')) else { continue };
        match read_file(&path) {
            Ok(secret) => drop(secrets.insert(name.to_owned(), secret)),
            Err(error) => warnings.push(format!("secret {}: cannot be read: {error}", path.display())),
        }
    }
    secrets
}

struct Credentials<'p>(&'p Path);

impl Credentials<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let bytes = read_file(&self.0.join(name)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    fn topology(&self) -> Option<Result<Given, Broken>> {
        let name = "fairway.topology";
        let bytes = match read_file(&self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            bytes => bytes,
        };
        let of = |suffix: &'static str| (suffix, self.text(suffix));
        Some(read(
            Source::Credential,
            name,
            bytes,
            of("fairway.topology.sha256"),
            of("fairway.topology.length"),
        ))
    }

    fn secrets(&self, warnings: &mut Vec<String>) -> Secrets {
        secrets_in(self.0, SECRET, warnings)
    }
}

/// The labelled file system. Dropping it unmounts it.
struct Medium {
    directory: PathBuf,
    mounted: bool,
}

impl Medium {
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_file(&self.directory.join(name))
    }

    fn topology(&self) -> Option<Result<Given, Broken>> {
        let bytes = match self.read("topology.toml") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            bytes => bytes,
        };
        let hash =
            self.read("topology.toml.sha256").ok().map(|text| String::from_utf8_lossy(&text).into_owned());
        let name = format!("{LABEL}/topology.toml");
        Some(read(Source::Disk, &name, bytes, ("topology.toml.sha256", hash), ("", None)))
    }

    fn secrets(&self, warnings: &mut Vec<String>) -> Secrets {
        secrets_in(&self.directory.join("secrets"), "", warnings)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if self.mounted {
            // What stays mounted read-only, in the namespace of a service that ends, hurts nobody.
            let _ = Command::new("umount").arg(&self.directory).status();
            let _ = fs::remove_dir(&self.directory);
        }
    }
}

/// The device with the labelled file system, as the disks themselves say: udev's links come seconds later on a slow
/// machine.
fn labelled() -> Option<PathBuf> {
    let token = format!("LABEL={LABEL}");
    let found = Command::new("blkid")
        .args(["--cache-file", "/dev/null", "--output", "device", "--match-token", &token])
        .output()
        .ok()?;
    String::from_utf8_lossy(&found.stdout).lines().next().map(PathBuf::from)
}

/// Waits for the labelled file system and mounts it; nothing if there is none.
fn mount(patience: u32) -> Result<Option<Medium>, String> {
    let device = labelled().or_else(|| {
        let until = format!("--exit-if-exists=/dev/disk/by-label/{LABEL}");
        // On a disk whose driver udev has yet to load. Running out of time means that there is none, as is seen next.
        let _ =
            Command::new("udevadm").arg("settle").arg(format!("--timeout={patience}")).arg(until).status();
        labelled()
    });
    let Some(device) = device else { return Ok(None) };
    let failed = |why: String| format!("the file system labelled {LABEL} cannot be mounted: {why}");
    let directory = PathBuf::from("/run/fairway/medium");
    fs::create_dir_all(&directory).map_err(|error| failed(error.to_string()))?;
    let done = Command::new("mount")
        .args(["-o", "ro,nosuid,nodev,noexec"])
        .args([&device, &directory])
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let remedy = "write it anew, and look at the kernel's messages";
        return Err(failed(format!("{}; {remedy}", said.lines().next().unwrap_or_default().trim())));
    }
    Ok(Some(Medium { directory, mounted: true }))
}
