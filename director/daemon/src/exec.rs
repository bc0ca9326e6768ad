//! What becomes of this process before it runs somebody's script: it gives up everything the director is allowed. It
//! stays beside the script, and ends with everything that has come of it, wherever in the tree of processes that is.

mod offspring;

use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, ExitCode};
use std::time::Duration;
use std::{fs, io, thread};

use anyhow::{Context as _, bail};
use caps::CapSet;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, Uid, User, setgid, setgroups, setuid};

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

/// What has been killed is gone in milliseconds, unless it hangs in the kernel; then it is left to go by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `command` without capabilities, without a way to get any, and within limits; and ends as it ends. What it
/// leaves behind is killed, and all of it as soon as nobody reads its output any more: the director has stopped waiting,
/// or is gone.
///
/// Processes that detach themselves (`setsid`, a second fork) are the script's all the same: whoever loses its parent
/// becomes a child of this process.
///
/// # Errors
/// What could not be given up, or why the program cannot be run.
pub fn run_script(command: &[String]) -> anyhow::Result<ExitCode> {
    let Some((program, arguments)) = command.split_first() else { bail!("there is no command to run") };
    give_up_rights()?;
    prctl::set_child_subreaper(true).context("cannot keep a script's processes together")?;
    thread::Builder::new().spawn(end_with_the_reader).context("cannot watch who reads")?;
    // In a group of its own: `kill 0` is an idiom of scripts.
    let child = Command::new(program)
        .args(arguments)
        .process_group(0)
        .spawn()
        .with_context(|| format!("{program} cannot be run"))?;
    let ended = wait(Pid::from_raw(i32::try_from(child.id())?));
    offspring::end(PATIENCE);
    match ended? {
        WaitStatus::Exited(_, code) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))),
        WaitStatus::Signaled(_, signal, _) => die_of(signal),
        other => bail!("{program} has ended in a way of its own: {other:?}"),
    }
}

/// A pipe reports an error as soon as its other end is closed.
fn end_with_the_reader() {
    let output = io::stdout();
    let mut watched = [PollFd::new(output.as_fd(), PollFlags::empty())];
    while !matches!(poll(&mut watched, PollTimeout::NONE), Ok(1..)) {}
    offspring::end(PATIENCE);
    process::exit(1);
}

fn give_up_rights() -> anyhow::Result<()> {
    // The director is the last that the kernel ends when memory is short, its scripts are not. It helps where it can.
    let _less_protected = fs::write("/proc/self/oom_score_adj", "500");
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
    Ok(())
}

/// How the script ended.
fn wait(script: Pid) -> anyhow::Result<WaitStatus> {
    loop {
        match waitpid(None, None) {
            Ok(ended) if ended.pid() == Some(script) => return Ok(ended),
            // An orphan that was adopted.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the script"),
        }
    }
}

/// Ends by a signal, as the script did, but without a second core file.
fn die_of(signal: Signal) -> anyhow::Result<ExitCode> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Rust's own handler of SIGSEGV and SIGBUS takes itself out first.
    raise(signal)?;
    raise(signal)?;
    // One that Rust's programs ignore: SIGPIPE.
    raise(Signal::SIGKILL)?;
    bail!("{signal} has not ended this process")
}
