//! The connection a probe talks over: TCP, or TLS over it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use super::tls::{Notice, Tls};
use super::{Outcome, Stage, cannot_probe, failed};
use crate::target::Target;

/// A connection that is ready for the protocol above it.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects, and negotiates TLS where that is asked for. The notice is about the server's certificate.
    pub(super) async fn open(
        target: Target,
        tls: Option<&Tls>,
        stage: &mut Stage,
    ) -> Result<(Self, Notice), Outcome> {
        let plain = connect(target).await?;
        match tls {
            None => Ok((Self::Plain(plain), Notice::default())),
            Some(tls) => tls.negotiate(plain, target, stage).await,
        }
    }
}

/// Opens a TCP connection that will be closed by a reset: a director that probes a thousand times a second
/// must not collect a minute's worth of TIME_WAIT.
pub(super) async fn connect(target: Target) -> Result<TcpStream, Outcome> {
    let open = || {
        let socket = if target.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_zero_linger()?;
        if let Some(source) = target.prepare(SockRef::from(&socket))? {
            socket.bind(source)?;
        }
        Ok(socket)
    };
    let socket = open().map_err(|error| cannot_probe(&error))?;
    socket.connect(target.address).await.map_err(|error| failed(&error, Stage::CONNECTING))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
