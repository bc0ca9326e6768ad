//! A restart without failover where no service manager keeps descriptors: a director that starts with `--take-over`
//! asks the one that runs, over the socket that is its lock, and gets its VRRP sockets and state.
//!
//! Each descriptor travels with one byte, which stands for its name. The end of the stream is the end of the list.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use nix::unistd::Uid;
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream as Asking};
use tokio::sync::{Semaphore, mpsc};

use crate::descriptors::{self, Named};
use crate::lock::{self, Lock};
use crate::vrrp::NAMES;

/// What is asked.
const QUESTION: &[u8] = b"take over\n";
/// The running director tells the backups to wait before it answers.
const ANSWER: Duration = Duration::from_secs(3);
/// Who connects asks at once.
const PATIENCE: Duration = Duration::from_secs(1);
/// Anybody may connect; more than this at a time have to wait.
const AT_A_TIME: usize = 8;

/// Asks the director that runs in this network namespace to end, and returns what it leaves: nothing, if there is
/// none.
///
/// # Errors
/// When it does not answer.
pub fn ask() -> io::Result<Vec<Named>> {
    let Some(mut stream) = lock::connect()? else { return Ok(Vec::new()) };
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(QUESTION)?;
    receive(&stream)
}

fn receive(stream: &UnixStream) -> io::Result<Vec<Named>> {
    let mut received = Vec::new();
    loop {
        let (mut kind, mut control) = ([0], cmsg_space!(RawFd));
        let mut data = [IoSliceMut::new(&mut kind)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut data, Some(&mut control), flags)?;
        let mut descriptors = Vec::new();
        for item in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(numbers) = item {
                descriptors.extend(descriptors::received(numbers));
            }
        }
        if message.bytes == 0 {
            return Ok(received);
        }
        let name = NAMES.get(usize::from(kind[0])).copied().unwrap_or("of another release");
        received.extend(descriptors.into_iter().map(|descriptor| (name.to_owned(), descriptor)));
    }
}

/// Sends what the one who asked needs.
///
/// # Errors
/// When it has gone.
pub fn answer(stream: &UnixStream, descriptors: &[Named]) -> io::Result<()> {
    for (name, descriptor) in descriptors {
        let Some(kind) = NAMES.iter().position(|known| known == name) else { continue };
        let kind = [u8::try_from(kind).map_err(io::Error::other)?];
        let numbers = [descriptor.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&numbers)];
        sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&kind)], &rights, MsgFlags::MSG_NOSIGNAL, None)?;
    }
    Ok(())
}

/// Passes on who asks, until the process ends.
pub async fn serve(lock: Arc<Lock>, questions: mpsc::Sender<UnixStream>) {
    let Some(listener) = lock.listener() else { return };
    let listener = listener.try_clone().and_then(|listener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    });
    let listener = match listener {
        Ok(listener) => listener,
        Err(error) => return tracing::warn!(%error, "another director cannot take over by --take-over"),
    };
    let places = Arc::new(Semaphore::new(AT_A_TIME));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let questions = questions.clone();
                tokio::spawn(async move {
                    if let Some(stream) = question(stream).await {
                        let _ = questions.send(stream).await; // fails only while the process ends
                    }
                    drop(place);
                });
            }
            // No descriptors, say.
            Err(_) => tokio::time::sleep(PATIENCE).await,
        }
    }
}

/// The connection, if somebody who may asks the question.
async fn question(mut stream: Asking) -> Option<UnixStream> {
    let user = Uid::from_raw(stream.peer_cred().ok()?.uid());
    if !lock::runs_directors(user) {
        return None;
    }
    let mut text = [0; QUESTION.len()];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut text)).await.ok()?.ok()?;
    if text != QUESTION {
        return None;
    }
    let stream = stream.into_std().ok()?;
    stream.set_nonblocking(false).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read as _, Seek as _};

    use super::*;

    #[test]
    fn descriptors_arrive_with_their_names() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let file = |text: &str| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.rewind().unwrap();
            file.into()
        };
        let sent = [
            (NAMES[1].to_owned(), file("a socket")),
            ("what no release has".to_owned(), file("nothing")),
            (NAMES[0].to_owned(), file("the state")),
        ];
        answer(&ours, &sent).unwrap();
        drop(ours);
        let received = receive(&theirs).unwrap();
        let read = |(name, descriptor): Named| {
            let mut text = String::new();
            File::from(descriptor).read_to_string(&mut text).unwrap();
            (name, text)
        };
        let received: Vec<_> = received.into_iter().map(read).collect();
        let expected = [(NAMES[1], "a socket"), (NAMES[0], "the state")];
        assert_eq!(received, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[tokio::test]
    async fn only_the_question_is_answered() {
        for (text, answered) in [(QUESTION, true), (b"take ovens\n", false), (b"", false)] {
            let (mut asking, asked) = UnixStream::pair().unwrap();
            asking.write_all(text).unwrap();
            asked.set_nonblocking(true).unwrap();
            asking.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(question(Asking::from_std(asked).unwrap()).await.is_some(), answered);
        }
    }
}
