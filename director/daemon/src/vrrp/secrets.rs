//! Passwords and keys, read from their files when a configuration is taken in, before anything is changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fairway_config::{Auth, FailoverGroup, Instance};
use fairway_vrrp::{GroupConfig, PASSWORD, Secret};

use super::Error;

/// Lengths of the keys of trailers (as keepalived has them).
const KEY: std::ops::RangeInclusive<usize> = 32..=64;
/// Enough to tell a secret from something else.
const READ_AT_MOST: u64 = 4096;
/// Permission bits of those who are neither owner nor in the group.
const OTHERS: u32 = 0o007;

/// Adds the secrets to each group's configuration.
///
/// # Errors
/// [`Error::Secret`] for the first file that cannot be used.
pub(super) fn load(groups: Vec<FailoverGroup>) -> Result<Vec<GroupConfig>, Error> {
    groups.into_iter().map(load_group).collect()
}

fn load_group(group: FailoverGroup) -> Result<GroupConfig, Error> {
    let mut secrets = BTreeMap::new();
    for instance in &group.instances {
        if let Some(secret) = secret(instance)? {
            secrets.insert(instance.name.clone(), secret);
        }
    }
    Ok(GroupConfig { group, secrets })
}

fn secret(instance: &Instance) -> Result<Option<Secret>, Error> {
    Ok(Some(match &instance.auth {
        None => return Ok(None),
        Some(Auth::Pass(auth) | Auth::Ah(auth)) => {
            Secret::Password(read(instance, &auth.key_file, password)?)
        }
        Some(Auth::Hmac(auth)) => {
            let keys = auth.keys.iter().map(|k| Ok((k.id, read(instance, &k.key_file, key)?)));
            Secret::Keys(keys.collect::<Result<_, Error>>()?)
        }
    }))
}

fn read<T>(
    instance: &Instance,
    path: &Path,
    parse: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Result<T, Error> {
    first_line(path).and_then(|line| parse(&line)).map_err(|problem| Error::Secret {
        instance: instance.name.clone(),
        file: path.to_owned(),
        problem,
    })
}

fn first_line(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = read_secret(path)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec())
}

/// What is in a file that nobody but the director should read.
///
/// # Errors
/// What is wrong with the file, and what to do.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| format!("{error}; write it, readable by the director");
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & OTHERS != 0 {
        return Err(format!(
            "everybody has access to it (mode {:04o}); chmod 0640, with the director's group",
            mode & 0o7777
        ));
    }
    let mut bytes = Vec::new();
    file.take(READ_AT_MOST).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn password(line: &[u8]) -> Result<[u8; PASSWORD], String> {
    let wanted = format!("write a password of 1 to {PASSWORD} bytes there");
    match line.len() {
        0 => Err(format!("its first line is empty; {wanted}")),
        length @ 1..=PASSWORD => {
            let mut password = [0; PASSWORD];
            password[..length].copy_from_slice(line);
            Ok(password)
        }
        length => Err(format!("its first line has {length} bytes; {wanted}")),
    }
}

fn key(line: &[u8]) -> Result<Vec<u8>, String> {
    let key = match line.strip_prefix(b"hex:") {
        Some(digits) => {
            unhex(digits).ok_or("what follows hex: on its first line is not pairs of hex digits")?
        }
        None => line.to_vec(),
    };
    if KEY.contains(&key.len()) {
        return Ok(key);
    }
    Err(format!(
        "its first line holds a key of {} bytes, not of {} to {}; write `hex:` and what `openssl rand -hex 32` gives",
        key.len(),
        KEY.start(),
        KEY.end()
    ))
}

fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    digits.chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
#[path = "tests/secrets.rs"]
mod tests;
