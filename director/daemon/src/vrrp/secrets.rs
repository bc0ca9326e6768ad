//! VRRPv2 passwords, read from their files when a configuration is taken in, before anything is changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use fairway_config::{Auth, FailoverGroup};
use fairway_vrrp::GroupConfig;

use super::Error;

/// Length of the authentication data (RFC 2338 section 5.3.10).
const PASSWORD: usize = 8;
/// Enough to tell a password file from something else.
const READ_AT_MOST: u64 = 4096;

/// Adds the passwords to each group's configuration.
///
/// # Errors
/// [`Error::Password`] for the first file that cannot be used.
pub(super) fn load(groups: Vec<FailoverGroup>) -> Result<Vec<GroupConfig>, Error> {
    groups.into_iter().map(load_group).collect()
}

fn load_group(group: FailoverGroup) -> Result<GroupConfig, Error> {
    let mut passwords = BTreeMap::new();
    for instance in &group.instances {
        if let Some(Auth::Pass(auth)) = &instance.auth {
            let password = read(&auth.key_file).map_err(|problem| Error::Password {
                instance: instance.name.clone(),
                file: auth.key_file.clone(),
                problem,
            })?;
            passwords.insert(instance.name.clone(), password);
        }
    }
    Ok(GroupConfig { group, passwords })
}

fn read(path: &Path) -> Result<[u8; PASSWORD], String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(READ_AT_MOST).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    first_line(&bytes)
}

fn first_line(bytes: &[u8]) -> Result<[u8; PASSWORD], String> {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.len() {
        0 => Err("its first line is empty".to_owned()),
        length @ 1..=PASSWORD => {
            let mut password = [0; PASSWORD];
            password[..length].copy_from_slice(line);
            Ok(password)
        }
        length => Err(format!("its first line has {length} bytes, VRRPv2 passwords have at most {PASSWORD}")),
    }
}

#[cfg(test)]
#[path = "tests/secrets.rs"]
mod tests;
