//! One director for each network namespace: virtual IPs and the IPVS table belong to the namespace, and two
//! directors, or a `release` beside a running one, would fight over them.
//!
//! The lock is a listening socket with an abstract name: such names belong to the network namespace too, need no
//! directory, and are free as soon as the process is gone, however it ended. Any user may take an abstract name,
//! so a holder counts only if it is a user that directors run as.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Uid, User};
use socket2::{Domain, SockAddr, Socket, Type};

/// The abstract name.
const NAME: &str = "org.fairway.Director1";

/// The user that the units give the director.
const USER: &str = "fairway";

/// Why there must be no director in this network namespace now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("a director is running in this network namespace (process {0}); stop it first")]
    Held(i32),
    /// The socket cannot be used.
    #[error("cannot make sure that no other director runs in this network namespace: {0}")]
    Io(#[from] io::Error),
}

/// Held for as long as it exists; `None` inside means that a stranger has the name.
#[derive(Debug)]
pub struct Lock {
    socket: Option<UnixListener>,
}

impl Lock {
    /// Takes the lock of this network namespace.
    ///
    /// # Errors
    /// [`Error::Held`] when another director has it.
    pub fn take() -> Result<Self, Error> {
        Self::take_name(NAME, runs_directors)
    }

    /// Takes the lock from a director that is about to end.
    ///
    /// # Errors
    /// As [`Lock::take`], when it still has it after `limit`.
    pub fn take_within(limit: Duration) -> Result<Self, Error> {
        let end = Instant::now() + limit;
        loop {
            match Self::take() {
                Err(Error::Held(_)) if Instant::now() < end => std::thread::sleep(Duration::from_millis(5)),
                taken => return taken,
            }
        }
    }

    /// Where others can ask the holder to let them take over.
    pub fn listener(&self) -> Option<&UnixListener> {
        self.socket.as_ref()
    }

    fn take_name(name: &str, runs_directors: impl Fn(Uid) -> bool) -> Result<Self, Error> {
        match UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?) {
            Ok(socket) => Ok(Self { socket: Some(socket) }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder(name)? {
                Some((user, process)) if runs_directors(user) => Err(Error::Held(process)),
                holder => {
                    let user = holder.map(|(user, _)| user.as_raw());
                    tracing::warn!(
                        user,
                        name,
                        "no director, but somebody holds the name of its lock: going on without"
                    );
                    Ok(Self { socket: None })
                }
            },
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether directors run as this user.
pub fn runs_directors(user: Uid) -> bool {
    let fairway = || User::from_name(USER).ok().flatten().is_some_and(|fairway| fairway.uid == user);
    user.is_root() || user == Uid::effective() || fairway()
}

/// A connection to the director that has the lock of this network namespace; `None` if there is none.
///
/// # Errors
/// When the socket cannot be used.
pub fn connect() -> io::Result<Option<UnixStream>> {
    match UnixStream::connect_addr(&SocketAddr::from_abstract_name(NAME)?) {
        // Who called listen(2).
        Ok(stream) => {
            let user = Uid::from_raw(getsockopt(&stream, PeerCredentials)?.uid());
            Ok(runs_directors(user).then_some(stream))
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

/// User and process that listen there; `None` when they do not answer at once.
fn holder(name: &str) -> io::Result<Option<(Uid, i32)>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(format!("\0{name}"))?) {
        Ok(()) => {
            // Who called listen(2).
            let peer = getsockopt(&socket, PeerCredentials)?;
            Ok(Some((Uid::from_raw(peer.uid()), peer.pid())))
        }
        Err(error)
            if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(test: &str) -> String {
        format!("fairway-test-{}-{test}", std::process::id())
    }

    #[test]
    fn the_second_is_told_who_is_first() {
        let name = name("second");
        let first = Lock::take_name(&name, runs_directors).unwrap();
        match Lock::take_name(&name, runs_directors) {
            Err(Error::Held(process)) => assert_eq!(process, nix::unistd::getpid().as_raw()),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(Lock::take_name(&name, runs_directors).unwrap().socket.is_some(), "free again");
    }

    #[test]
    fn a_stranger_cannot_keep_a_director_from_running() {
        let name = name("stranger");
        let _first = Lock::take_name(&name, runs_directors).unwrap();
        assert!(Lock::take_name(&name, |_| false).unwrap().socket.is_none());

        // Nor one that never listens.
        let name = self::name("deaf");
        let deaf = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        deaf.bind(&SockAddr::unix(format!("\0{name}")).unwrap()).unwrap();
        assert!(Lock::take_name(&name, runs_directors).unwrap().socket.is_none());
    }
}
