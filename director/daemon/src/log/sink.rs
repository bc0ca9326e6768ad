//! Log records leave through a thread of their own: a terminal, pipe or journal that blocks must not hold
//! up the VRRP loop. A full queue loses records and says how many.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Records that may wait. At debug level a busy director writes about a hundred a second.
const DEPTH: usize = 1024;

/// Where journald takes records in its native protocol.
const JOURNAL: &str = "/run/systemd/journal/socket";

/// Where records end up.
#[derive(Debug)]
pub enum Output {
    /// Text lines.
    Stderr,
    /// Records of the journal's native protocol.
    Journal(UnixDatagram),
}

impl Output {
    /// The journal.
    ///
    /// # Errors
    /// No socket to be had.
    pub fn journal() -> io::Result<Self> {
        UnixDatagram::unbound().map(Self::Journal)
    }

    fn write(&self, record: &[u8]) {
        // There is nowhere left to report that logging fails.
        let _ = match self {
            Self::Stderr => io::stderr().write_all(record),
            Self::Journal(socket) => socket.send_to(record, JOURNAL).map(|_| ()),
        };
    }

    /// What the log says of itself.
    fn write_note(&self, text: &str) {
        match self {
            Self::Stderr => self.write(format!("{text}\n").as_bytes()),
            Self::Journal(_) => self.write(
                format!("PRIORITY=4\nSYSLOG_IDENTIFIER=fairway-director\nMESSAGE={text}\n").as_bytes(),
            ),
        }
    }
}

enum Entry {
    Record(Vec<u8>),
    Note(String),
    Flush(SyncSender<()>),
}

/// The near end of the queue.
#[derive(Debug, Clone)]
pub struct Sink {
    queue: SyncSender<Entry>,
    lost: Arc<AtomicU64>,
}

impl Sink {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn start(output: Output) -> io::Result<Self> {
        let (queue, entries) = sync_channel(DEPTH);
        let lost = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&lost);
        thread::Builder::new().name("log".to_owned()).spawn(move || drain(&entries, &output, &counter))?;
        Ok(Self { queue, lost })
    }

    /// Queues one record. Never blocks.
    pub fn send(&self, record: Vec<u8>) {
        if self.queue.try_send(Entry::Record(record)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Queues a line about the log itself. Never blocks.
    pub fn note(&self, text: String) {
        if self.queue.try_send(Entry::Note(text)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until everything queued so far is written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let (done, written) = sync_channel(1);
        let mut entry = Entry::Flush(done);
        while let Err(TrySendError::Full(back)) = self.queue.try_send(entry) {
            if Instant::now() >= deadline {
                return;
            }
            entry = back;
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn drain(entries: &Receiver<Entry>, output: &Output, lost: &AtomicU64) {
    while let Ok(entry) = entries.recv() {
        match entry {
            Entry::Record(record) => output.write(&record),
            Entry::Note(text) => output.write_note(&text),
            Entry::Flush(done) => {
                let _ = done.try_send(());
            }
        }
        match lost.swap(0, Ordering::Relaxed) {
            0 => {}
            lost => output.write_note(&format!("{lost} log records lost: the log is not read fast enough")),
        }
    }
}

/// `tracing-subscriber` writes each event in one piece.
impl Write for Sink {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.send(record.to_vec());
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_reader_never_blocks_the_writer_and_losses_are_counted() {
        let (queue, entries) = sync_channel(2);
        let sink = Sink { queue, lost: Arc::default() };
        for _ in 0..5 {
            sink.send(b"MESSAGE=x\n".to_vec());
        }
        assert_eq!(sink.lost.load(Ordering::Relaxed), 3);
        // Nobody drains: a flush gives up at its limit.
        let start = Instant::now();
        sink.flush(Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
        let lost = Arc::clone(&sink.lost);
        drop(sink);
        drain(&entries, &Output::Stderr, &lost);
        assert_eq!(lost.load(Ordering::Relaxed), 0, "the loss has been reported");
    }
}
