//! Enough processes of a name run.
//!
//! `/proc` is read each time; a pidfd of each process that was found tells at once when it ends. The kernel's process
//! connector would tell of new ones, too, but only in the initial network namespace, with more rights than the
//! director has there, and of every process of the host.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::path::Path;

use fairway_config::TrackedProcess;
use fairway_health::Outcome;
use futures_util::future::select_all;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::unix::AsyncFd;

use super::{Fd, register};

/// The kernel keeps this much of a program's name (`TASK_COMM_LEN` in `linux/sched.h`, without the end).
const COMM: usize = 15;
/// The end of more processes than these is seen by the next look.
const FOLLOWED: usize = 64;

/// Watches the processes of one name.
pub(super) struct ProcessWatch {
    name: String,
    quorum: u32,
    ends: Vec<AsyncFd<Fd<OwnedFd>>>,
}

impl ProcessWatch {
    pub(super) fn new(process: &TrackedProcess) -> Self {
        Self { name: process.name.clone(), quorum: process.quorum, ends: Vec::new() }
    }

    pub(super) async fn look(&mut self) -> Outcome {
        let name = self.name.clone();
        let found = tokio::task::spawn_blocking(move || find(Path::new("/proc"), &name)).await;
        let pids = match found {
            Ok(Ok(pids)) => pids,
            Ok(Err(why)) => return Outcome::Inconclusive(why.into()),
            Err(error) => return Outcome::Inconclusive(error.to_string().into()),
        };
        let follow = |pid: &i32| {
            let fd = pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::NONBLOCK).ok()?;
            register(fd).ok()
        };
        self.ends = pids.iter().take(FOLLOWED).filter_map(follow).collect();
        // One that ended in the meantime has no pidfd, and the next look sees it.
        let (name, wanted) = (&self.name, self.quorum);
        if u32::try_from(pids.len()).unwrap_or(u32::MAX) >= wanted {
            Outcome::Pass(format!("{name} runs").into())
        } else if pids.is_empty() {
            Outcome::Fail(format!("no {name} runs").into())
        } else {
            Outcome::Fail(format!("{} of {wanted} {name} run", pids.len()).into())
        }
    }

    pub(super) async fn changed(&mut self) {
        if self.ends.is_empty() {
            return std::future::pending().await;
        }
        let ends = self.ends.iter().map(|end| Box::pin(end.readable()));
        let _ended = select_all(ends).await;
    }
}

/// The processes of a name that run: not those that have ended and wait for their parent.
fn find(proc: &Path, name: &str) -> Result<Vec<i32>, String> {
    // The first process always exists, so who cannot see it does not see those of other users.
    if !proc.join("1/stat").exists() {
        return Err(
            "the processes of other users cannot be seen; give the director a /proc without hidepid \
                    (ProtectProc=default in its unit)"
                .to_owned(),
        );
    }
    let entries = std::fs::read_dir(proc).map_err(|error| format!("cannot read /proc: {error}"))?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter(|pid| runs(&proc.join(pid.to_string()), name)).collect())
}

fn runs(process: &Path, name: &str) -> bool {
    // It may end while it is looked at.
    let Ok(stat) = std::fs::read(process.join("stat")) else { return false };
    let Some((comm, state)) = comm_and_state(&stat) else { return false };
    if matches!(state, b'Z' | b'X') || comm != &name.as_bytes()[..name.len().min(COMM)] {
        return false;
    }
    name.len() <= COMM || {
        let command = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let program = command.split(|byte| *byte == 0).next().unwrap_or_default();
        let program = String::from_utf8_lossy(program);
        Path::new(program.as_ref()).file_name() == Some(OsStr::new(name))
    }
}

/// From `/proc/PID/stat` (proc(5)): `1234 (name) S ...`, where the name may hold anything.
fn comm_and_state(stat: &[u8]) -> Option<(&[u8], u8)> {
    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    Some((stat.get(open + 1..close)?, *stat.get(close + 2)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(comm_and_state(b"7 (a) S 1 2"), Some((&b"a"[..], b'S')));
        assert_eq!(comm_and_state(b"7 (a) (b)) Z 1"), Some((&b"a) (b)"[..], b'Z')));
        for odd in [&b""[..], b"7 a S", b"7 (a)", b")("] {
            assert_eq!(comm_and_state(odd), None);
        }
    }

    fn process(proc: &Path, pid: u32, stat: &str, cmdline: &str) {
        let directory = proc.join(pid.to_string());
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("stat"), stat).unwrap();
        std::fs::write(directory.join("cmdline"), cmdline).unwrap();
    }

    #[test]
    fn processes_are_found_by_name_and_the_dead_do_not_count() {
        let proc = tempfile::TempDir::new().unwrap();
        let hidden = find(proc.path(), "haproxy").unwrap_err();
        assert!(hidden.contains("hidepid"), "{hidden}");
        process(proc.path(), 1, "1 (systemd) S 0", "/sbin/init\0");
        process(proc.path(), 20, "20 (haproxy) S 1", "/usr/sbin/haproxy\0-Ws\0");
        process(proc.path(), 21, "21 (haproxy) Z 1", "");
        process(proc.path(), 30, "30 (a-program-with-) R 1", "/opt/a-program-with-a-long-name\0");
        process(proc.path(), 31, "31 (a-program-with-) R 1", "/opt/a-program-with-another-name\0");
        std::fs::create_dir(proc.path().join("self")).unwrap();
        assert_eq!(find(proc.path(), "haproxy"), Ok(vec![20]));
        assert_eq!(find(proc.path(), "a-program-with-a-long-name"), Ok(vec![30]));
        assert_eq!(find(proc.path(), "nginx"), Ok(vec![]));
    }
}
