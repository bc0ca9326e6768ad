//! What becomes of this process before it runs somebody's script: it gives up everything the director is allowed.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, bail};
use caps::CapSet;
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Uid, User, setgid, setgroups, setuid};

/// Who runs scripts where the director is root, which its units avoid.
const NOBODY: &str = "nobody";

/// Limits of a script: seconds of processor time, files it may have open, bytes of a file it writes, processes of
/// its user.
const LIMITS: [(Resource, u64); 4] = [
    (Resource::RLIMIT_CPU, 60),
    (Resource::RLIMIT_NOFILE, 1024),
    (Resource::RLIMIT_FSIZE, 16 << 20),
    (Resource::RLIMIT_NPROC, 1024),
];

/// Becomes `command`, without capabilities, without a way to get any, and within limits. Returns only if that
/// cannot be done.
///
/// # Errors
/// What could not be given up, or why the program cannot be run.
pub fn become_script(command: &[String]) -> anyhow::Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("there is no command to run") };
    prctl::set_no_new_privs().context("cannot give up new privileges")?;
    for (resource, most) in LIMITS {
        // What is limited more than that already stays so.
        let (_, hard) = getrlimit(resource)?;
        let most = most.min(hard);
        setrlimit(resource, most, most).with_context(|| format!("cannot limit {resource:?}"))?;
    }
    if Uid::effective().is_root() {
        let nobody = User::from_name(NOBODY)?.with_context(|| format!("there is no user {NOBODY}"))?;
        // The bounding set can be given up only while there are capabilities.
        caps::clear(None, CapSet::Bounding).context("cannot give up the bounding set")?;
        setgroups(&[]).context("cannot give up groups")?;
        setgid(nobody.gid).context("cannot change the group")?;
        setuid(nobody.uid).context("cannot change the user")?;
    }
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).with_context(|| format!("cannot give up {set:?} capabilities"))?;
    }
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("{program} cannot be run"))
}
