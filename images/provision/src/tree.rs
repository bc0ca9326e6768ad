//! What is in force, under /run: a directory for each topology, and one symbolic link that says which of them it is.
//!
//! ```text
//! /run/fairway/trees/3/{files/etc/...,topology.toml,secrets/...}
//! /run/fairway/current -> trees/3
//! /run/fairway/files -> current/files, and the same for topology.toml and secrets
//! /run/systemd/network/10-fairway-eth0.network -> /run/fairway/files/etc/systemd/network/...
//! ```

use std::fs::{self, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, Uid, User, chown, geteuid};

use crate::places::Places;
use crate::prepared::Prepared;

/// What systemd reads from below /run as it does from below /etc.
const LINKED: [&str; 4] = ["modules-load.d", "sysctl.d", "systemd/network", "systemd/networkd.conf.d"];

/// What the links beside `current` are called.
const PARTS: [&str; 3] = ["files", "topology.toml", "secrets"];

/// Whose the secrets are.
const OWNER: &str = "fairway";

/// The trees of a machine.
#[derive(Debug)]
pub struct Trees {
    fairway: PathBuf,
    run: PathBuf,
}

/// A failure, with the path it is about.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

impl Trees {
    /// Those of a machine.
    pub fn new(places: &Places) -> Self {
        Self { fairway: places.fairway(), run: places.run() }
    }

    /// The directory in force.
    pub fn current(&self) -> Option<PathBuf> {
        let target = fs::read_link(self.fairway.join("current")).ok()?;
        let tree = self.fairway.join(target);
        tree.is_dir().then_some(tree)
    }

    /// Writes the tree of a topology beside the one in force. Files that do not change stay the same inode, so that
    /// networkd sees which did.
    ///
    /// # Errors
    /// The first path that cannot be written; nothing is left of the tree then.
    pub fn write(&self, prepared: &Prepared) -> io::Result<PathBuf> {
        let trees = self.fairway.join("trees");
        fs::create_dir_all(&trees).map_err(at(&trees))?;
        let numbers = fs::read_dir(&trees).map_err(at(&trees))?.flatten();
        let last = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max();
        let tree = trees.join((last.unwrap_or(0) + 1).to_string());
        self.fill(&tree, prepared).inspect_err(|_| drop(fs::remove_dir_all(&tree)))?;
        Ok(tree)
    }

    fn fill(&self, tree: &Path, prepared: &Prepared) -> io::Result<()> {
        let old = self.current();
        for (path, text) in &prepared.files {
            let target = tree.join("files").join(path);
            let directory = target.parent().expect("files are below a directory");
            fs::create_dir_all(directory).map_err(at(directory))?;
            let before = old.as_ref().map(|old| old.join("files").join(path));
            let same = before.filter(|before| fs::read(before).is_ok_and(|old| old == text.as_bytes()));
            if same.is_none_or(|before| fs::hard_link(before, &target).is_err()) {
                write_file(&target, text.as_bytes(), 0o644)?;
            }
        }
        write_file(&tree.join("topology.toml"), prepared.text.as_bytes(), 0o644)?;
        let secrets = tree.join("secrets");
        fs::create_dir(&secrets).map_err(at(&secrets))?;
        let owner = owner();
        own(&secrets, (Some(Uid::from_raw(0)), owner.1), 0o750)?;
        for (name, secret) in &prepared.secrets {
            let path = secrets.join(name);
            write_file(&path, secret, 0o400)?;
            own(&path, owner, 0o400)?;
        }
        Ok(())
    }

    /// Puts a tree in force, in one step, and links its files to where systemd reads them.
    ///
    /// # Errors
    /// The first path that cannot be written.
    pub fn switch(&self, tree: &Path) -> io::Result<()> {
        let name = tree.file_name().expect("a tree has a number");
        point(&self.fairway.join("current"), &Path::new("trees").join(name))?;
        for part in PARTS {
            point(&self.fairway.join(part), &Path::new("current").join(part))?;
        }
        LINKED.iter().try_for_each(|place| self.link(place))
    }

    fn link(&self, place: &str) -> io::Result<()> {
        let ours = self.fairway.join("files/etc").join(place);
        let there = self.run.join(place);
        let entries = |directory: &Path| fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries(&ours) {
            fs::create_dir_all(&there).map_err(at(&there))?;
            point(&there.join(entry.file_name()), &ours.join(entry.file_name()))?;
        }
        for path in entries(&there).map(|entry| entry.path()) {
            let stale =
                fs::read_link(&path).is_ok_and(|target| target.starts_with(&ours) && !target.exists());
            if stale {
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Removes every tree but those.
    pub fn tidy(&self, but: &[&Path]) {
        let entries = fs::read_dir(self.fairway.join("trees")).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()).filter(|path| !but.contains(&path.as_path())) {
            // One that stays is in nobody's way.
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// A symbolic link, replaced in one step where it leads elsewhere.
pub(crate) fn point(link: &Path, target: &Path) -> io::Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let mut name = link.file_name().expect("links have names").to_owned();
    name.push(".new");
    let beside = link.with_file_name(name);
    let _ = fs::remove_file(&beside);
    symlink(target, &beside).map_err(at(&beside))?;
    fs::rename(&beside, link).map_err(at(link))
}

/// A new file, with its mode from the start.
pub(crate) fn write_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let mut file = file.map_err(at(path))?;
    file.write_all(bytes).map_err(at(path))?;
    // Whatever the mask.
    file.set_permissions(Permissions::from_mode(mode)).map_err(at(path))
}

/// The director's user and group, if this process may give files away and they are there.
fn owner() -> (Option<Uid>, Option<Gid>) {
    if !geteuid().is_root() {
        return (None, None);
    }
    let user = User::from_name(OWNER).ok().flatten().map(|user| user.uid);
    let group = Group::from_name(OWNER).ok().flatten().map(|group| group.gid);
    (user, group)
}

fn own(path: &Path, (user, group): (Option<Uid>, Option<Gid>), mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))?;
    if geteuid().is_root() {
        chown(path, user, group).map_err(|errno| at(path)(errno.into()))?;
    }
    Ok(())
}
