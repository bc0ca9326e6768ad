//! A file is there, is not, or holds a number.

use std::io;
use std::path::{Path, PathBuf};

use fairway_config::{Expected, TrackedFile};
use fairway_health::Outcome;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;

use super::source::Look;
use super::{Fd, register};

/// More than a number is not read.
const LIMIT: u64 = 64;

/// Watches one file by way of its directory, which may come and go as well.
pub(super) struct FileWatch {
    path: PathBuf,
    expect: Expected,
    /// The number in force.
    number: i16,
    events: Option<AsyncFd<Fd<Inotify>>>,
}

impl FileWatch {
    pub(super) fn new(file: &TrackedFile) -> Self {
        Self { path: file.path.clone(), expect: file.expect, number: 0, events: None }
    }

    pub(super) async fn look(&mut self) -> Look {
        // Before the look, so that nothing that happens after it is missed. Without the directory the next looks try
        // again.
        if self.events.is_none() {
            self.events = self.path.parent().and_then(|directory| subscribe(directory).ok());
        }
        if self.expect == Expected::Number {
            return self.read().await;
        }
        let path = self.path.display();
        Look::Seen(match (tokio::fs::metadata(&self.path).await, self.expect) {
            (Ok(_), Expected::Absent) => Outcome::Fail(format!("{path} is there").into()),
            (Ok(_), _) => Outcome::Pass(format!("{path} is there").into()),
            (Err(error), expected) if is_missing(&error) => match expected {
                Expected::Absent => Outcome::Pass(format!("there is no {path}").into()),
                _ => Outcome::Fail(format!("there is no {path}").into()),
            },
            (Err(error), _) => Outcome::Inconclusive(format!("cannot look at {path}: {error}").into()),
        })
    }

    async fn read(&mut self) -> Look {
        let path = self.path.display();
        let detail = match content(&self.path).await {
            Err(error) if is_missing(&error) => {
                self.number = 0;
                format!("there is no {path}")
            }
            Err(error) => format!("cannot read {path} ({error}); {} stays in force", self.number),
            Ok(text) if text.trim().is_empty() => {
                self.number = 0;
                format!("{path} is empty")
            }
            Ok(text) => match text.trim().parse::<i64>() {
                Ok(number) => {
                    self.number = i16::try_from(number.clamp(-254, 253)).unwrap_or_default();
                    format!("{path} says {number}")
                }
                Err(_) => format!("{path} holds no whole number; {} stays in force", self.number),
            },
        };
        Look::Number(self.number, detail)
    }

    pub(super) async fn changed(&mut self) {
        let Some(events) = &self.events else { return std::future::pending().await };
        let Ok(mut ready) = events.readable().await else { return std::future::pending().await };
        ready.clear_ready();
        drop(ready);
        // What happened does not matter; that the directory itself is gone does.
        let gone = AddWatchFlags::IN_IGNORED | AddWatchFlags::IN_MOVE_SELF;
        let mut lost = false;
        while let Ok(found) = events.get_ref().0.read_events() {
            lost |= found.iter().any(|event| event.mask.intersects(gone));
        }
        if lost {
            self.events = None;
        }
    }
}

fn subscribe(directory: &Path) -> io::Result<AsyncFd<Fd<Inotify>>> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let changes = AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_CLOSE_WRITE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR;
    inotify.add_watch(directory, changes)?;
    register(inotify)
}

async fn content(path: &Path) -> io::Result<String> {
    // A pipe nobody writes to would keep a thread waiting for ever.
    if !tokio::fs::metadata(path).await?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut text = Vec::new();
    tokio::fs::File::open(path).await?.take(LIMIT).read_to_end(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
