//! Commands for a thread that waits in poll(2) for other things as well.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::mpsc;

/// A channel whose other end wakes the thread out of its wait.
#[derive(Debug)]
pub struct Inbox<T> {
    commands: mpsc::UnboundedReceiver<T>,
    bell: Arc<Bell>,
    abandoned: bool,
}

#[derive(Debug)]
struct Bell(EventFd);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // It can only fail when the counter is full, and then the thread is being woken already.
        let _ = self.0.write(1);
    }
}

impl<T> Inbox<T> {
    /// It wakes nobody before [`Inbox::take`] was called once.
    ///
    /// # Errors
    /// When the kernel gives no eventfd.
    pub fn new(commands: mpsc::UnboundedReceiver<T>) -> io::Result<Self> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        Ok(Self { commands, bell: Arc::new(Bell(bell)), abandoned: false })
    }

    /// The commands that have come.
    pub fn take(&mut self) -> Vec<T> {
        let _ = self.bell.0.read(); // empty unless it was a command that woke the thread
        let waker = Waker::from(Arc::clone(&self.bell));
        let mut context = Context::from_waker(&waker);
        let mut taken = Vec::new();
        while !self.abandoned {
            match self.commands.poll_recv(&mut context) {
                Poll::Ready(Some(command)) => taken.push(command),
                Poll::Ready(None) => self.abandoned = true,
                Poll::Pending => break,
            }
        }
        taken
    }

    /// Whether nobody can send commands any more.
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }
}

impl<T> AsFd for Inbox<T> {
    /// Readable when a command has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;

    #[test]
    fn a_command_wakes_the_thread_and_the_last_sender_s_end_does_too() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut inbox = Inbox::new(receiver).unwrap();
        let rings = |inbox: &Inbox<u8>| {
            poll(&mut [PollFd::new(inbox.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
        };
        assert!(inbox.take().is_empty());
        assert!(!rings(&inbox));
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert!(rings(&inbox));
        assert_eq!((inbox.take(), inbox.is_abandoned()), (vec![1, 2], false));
        assert!(!rings(&inbox));
        drop(sender);
        assert!(rings(&inbox));
        assert_eq!((inbox.take(), inbox.is_abandoned()), (vec![], true));
    }
}
