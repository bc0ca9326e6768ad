//! A server with a script, for the probes to meet. (No tests of its own.)

#![allow(dead_code, reason = "each test binary uses its part")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// What the server does with its one connection after it has read the request.
pub enum Act {
    /// Not even that: accept, and never say a word.
    Stall,
    /// Say this; then close, or go silent.
    Say { bytes: Vec<u8>, stall: bool },
    /// Say this, and reset the connection.
    Reset(String),
    /// Say this, and then that for ever.
    Repeat { first: String, then: String, pause: Option<Duration> },
}

impl Act {
    pub fn say(text: impl Into<String>) -> Self {
        Self::Say { bytes: text.into().into_bytes(), stall: false }
    }

    pub fn say_bytes(bytes: &[u8]) -> Self {
        Self::Say { bytes: bytes.to_vec(), stall: false }
    }

    pub fn say_then_stall(text: &str) -> Self {
        Self::Say { bytes: text.as_bytes().to_vec(), stall: true }
    }
}

/// Starts a server for one connection. Its task ends with the request, or with the error it met.
pub async fn serve(act: Act) -> (SocketAddr, JoinHandle<io::Result<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        perform(stream, act).await
    });
    (address, task)
}

async fn perform(mut stream: TcpStream, act: Act) -> io::Result<String> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !matches!(act, Act::Stall) && !request.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut buffer).await? {
            0 => break,
            n => request.extend_from_slice(&buffer[..n]),
        }
    }
    match act {
        Act::Stall => drain(&mut stream).await?,
        Act::Say { bytes, stall } => {
            stream.write_all(&bytes).await?;
            if stall {
                drain(&mut stream).await?;
            }
        }
        Act::Reset(text) => {
            stream.write_all(text.as_bytes()).await?;
            // Time for the words to be read: a reset discards what is still under way.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger()?;
        }
        Act::Repeat { first, then, pause } => {
            stream.write_all(first.as_bytes()).await?;
            loop {
                stream.write_all(then.as_bytes()).await?;
                if let Some(pause) = pause {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

/// Waits for the other side to go away.
async fn drain(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// An address where nothing listens, until `listen` is called on the socket that reserves it.
pub fn closed_port() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (socket.local_addr().unwrap(), socket)
}

/// A listener whose backlog is full, so that further SYNs go unanswered; keep what is returned alive.
pub async fn full_backlog() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => return (address, (listener, held)),
        }
        assert!(held.len() < 16, "the backlog does not fill up");
    }
}
