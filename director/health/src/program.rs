//! Runs somebody's program: without the director's rights, with an end, and with nothing left behind.
//!
//! It gets a process group of its own. When the caller stops waiting, and when the program has ended and left something
//! behind, a launcher ends everything that has come of it; without one, the process group is killed, which a process that
//! detaches itself has left.

use std::convert::Infallible;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

/// The first bytes of the output that are kept; the rest is read and dropped.
const OUTPUT: usize = 512;

/// What is run.
#[derive(Debug, Default)]
pub struct Program<'a> {
    /// What runs the command with fewer rights, and its arguments; see [`Launcher`](crate::Launcher).
    pub launcher: &'a [String],
    /// The program and its arguments.
    pub command: &'a [String],
    /// Environment variables besides `PATH` and `LANG`.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub input: Vec<u8>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// By exit status or by signal.
    pub status: ExitStatus,
    /// The first line of its output, or else of its errors, for people.
    pub said: Option<String>,
}

impl Ended {
    /// Whether it ended with status 0.
    pub fn succeeded(&self) -> bool {
        self.status.success()
    }

    /// How it ended and what it said, as one line.
    pub fn words(&self) -> String {
        let said = self.said.as_ref().map_or_else(String::new, |line| format!(": {line}"));
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit status {code}{said}"),
            (None, Some(signal)) => format!("killed by signal {signal}{said}"),
            (None, None) => "ended without an exit status".to_owned(),
        }
    }
}

/// Kills a process group when it goes out of scope.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Gone already, most of the time.
        let _gone = killpg(self.0, Signal::SIGKILL);
    }
}

impl Program<'_> {
    /// Runs it to its end. It ends, too, when the future is dropped.
    ///
    /// # Errors
    /// It cannot be started or waited for.
    pub async fn run(self) -> io::Result<Ended> {
        let mut words = self.launcher.iter().chain(self.command);
        let program = words.next().ok_or_else(|| io::Error::other("there is nothing to run"))?;
        let mut child = Command::new(program)
            .args(words)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin",
            )
            .env("LANG", "C.UTF-8")
            .envs(self.environment)
            .current_dir("/")
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            // A launcher sees that nobody reads any more; killed, it could not end what it has launched.
            .kill_on_drop(self.launcher.is_empty())
            .spawn()?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let group = pid.filter(|_| self.launcher.is_empty()).map(Group);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (mut said, mut complained) = (Vec::new(), Vec::new());
        let talking = async {
            let writing = async {
                if let Some(mut stdin) = stdin {
                    // It need not read.
                    let _unread = stdin.write_all(&self.input).await;
                }
            };
            tokio::join!(writing, read(stdout, &mut said), read(stderr, &mut complained));
            // Closing its output does not end a program.
            std::future::pending::<Infallible>().await
        };
        let ended = tokio::select! {
            // First what it has said, then how it ended.
            biased;
            never = talking => match never {},
            ended = child.wait() => ended,
        };
        drop(group);
        Ok(Ended { status: ended?, said: line(&said).or_else(|| line(&complained)) })
    }
}

/// Reads to the end and keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count.min(OUTPUT - kept.len())]);
    }
}

/// The first line, for people.
fn line(output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    let line: String = text.trim().lines().next()?.chars().filter(|c| !c.is_control()).take(120).collect();
    (!line.is_empty()).then_some(line)
}
