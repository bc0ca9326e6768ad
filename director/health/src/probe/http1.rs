//! HTTP/1.1, as much of it as a check needs: one request without a body, one response, and the connection is left.
//!
//! A general client keeps buffers of 16 KiB for each exchange, whatever is in them; a director has thousands of exchanges
//! that wait for an answer of a few hundred bytes. httparse reads what has to be parsed, the framing of bodies
//! (RFC 9112 section 6) is here.

use std::io;

use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::http::HEAD_LIMIT;
use super::stream::Stream;

/// Room for a usual head and a short body.
const USUAL: usize = 1024;
/// The most that is read in one go.
const MOST: usize = 16 * 1024;
/// Headers of a response.
const HEADERS: usize = 100;
/// A line that says how long a chunk is.
const CHUNK_LINE: usize = 4096;

/// Why there is no response, or not all of it.
#[derive(Debug)]
pub(super) enum Broken {
    Io(io::Error),
    /// The server has closed the connection too early.
    Closed,
    /// What it says is no HTTP.
    Unusable(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        // Over TLS: without a farewell.
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Closed } else { Self::Io(error) }
    }
}

impl From<httparse::Error> for Broken {
    fn from(error: httparse::Error) -> Self {
        Self::Unusable(error.to_string())
    }
}

/// The bytes of a request.
pub(super) fn request<'a>(
    method: &Method,
    path: &str,
    headers: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    for (name, value) in headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// After so many bytes.
    Length(u64),
    /// After the last chunk.
    Chunked,
    /// Where the server closes.
    Close,
}

/// A response that is being read.
#[derive(Debug)]
pub(super) struct Response {
    stream: Stream,
    /// What has been read and not been used yet.
    buffer: Vec<u8>,
    framing: Framing,
    pub(super) status: u16,
}

impl Response {
    /// Sends the request and reads the head of the final response.
    pub(super) async fn to(mut stream: Stream, request: &[u8], head: bool) -> Result<Self, Broken> {
        let sent = async {
            stream.write_all(request).await?;
            stream.flush().await
        };
        let sent = sent.await;
        let mut response =
            Self { stream, buffer: Vec::with_capacity(USUAL), framing: Framing::Close, status: 0 };
        // A server may answer and close before it has read everything.
        match response.read_head(head).await {
            Err(Broken::Closed) if let Err(error) = sent => Err(Broken::Io(error)),
            Err(broken) => Err(broken),
            Ok(()) => Ok(response),
        }
    }

    async fn read_head(&mut self, head: bool) -> Result<(), Broken> {
        let mut parsed = 0;
        loop {
            // A server that drips makes no work with each byte, but is found out early if it speaks something else.
            if parsed < 64 || self.buffer[parsed..].contains(&b'\n') {
                parsed = self.buffer.len();
                while let Some(used) = self.parse_head(head)? {
                    self.buffer.drain(..used);
                    if self.status >= 200 || self.status == 101 {
                        return Ok(());
                    }
                    parsed = self.buffer.len();
                }
            }
            if self.buffer.len() >= HEAD_LIMIT {
                return Err(Broken::Unusable("status line and headers are too long".to_owned()));
            }
            if self.fill().await? == 0 {
                return Err(Broken::Closed);
            }
        }
    }

    /// Reads a head at the beginning of the buffer; says how long it is, once it is there as a whole.
    fn parse_head(&mut self, head: bool) -> Result<Option<usize>, Broken> {
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(used) = response.parse(&self.buffer)? else { return Ok(None) };
        let status = response.code.unwrap_or_default();
        self.framing = if head || status < 200 || status == 204 || status == 304 {
            Framing::Length(0)
        } else {
            framing(response.headers)?
        };
        self.status = status;
        Ok(Some(used))
    }

    /// Hands the body to `take` as it comes, until that has enough.
    pub(super) async fn body(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        match self.framing {
            Framing::Length(length) => self.counted(length, &mut take).await.map(drop),
            Framing::Chunked => self.chunks(&mut take).await,
            Framing::Close => loop {
                if !self.buffer.is_empty() {
                    let more = take(&self.buffer);
                    self.buffer.clear();
                    if !more {
                        return Ok(());
                    }
                }
                if self.fill().await? == 0 {
                    return Ok(());
                }
            },
        }
    }

    /// Hands over so many bytes; says whether more are wanted.
    async fn counted(&mut self, mut left: u64, take: &mut impl FnMut(&[u8]) -> bool) -> Result<bool, Broken> {
        while left > 0 {
            if self.buffer.is_empty() && self.fill().await? == 0 {
                return Err(Broken::Closed);
            }
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let more = take(&self.buffer[..here]);
            self.buffer.drain(..here);
            left -= here as u64;
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn chunks(&mut self, take: &mut impl FnMut(&[u8]) -> bool) -> Result<(), Broken> {
        loop {
            let unusable = |_| Broken::Unusable("a chunk's size is no number".to_owned());
            match httparse::parse_chunk_size(&self.buffer).map_err(unusable)? {
                httparse::Status::Complete((used, 0)) => {
                    self.buffer.drain(..used);
                    return self.trailers().await;
                }
                httparse::Status::Complete((used, size)) => {
                    self.buffer.drain(..used);
                    if !self.counted(size, take).await? {
                        return Ok(());
                    }
                    while self.buffer.len() < 2 {
                        self.more(2).await?;
                    }
                    if !self.buffer.starts_with(b"\r\n") {
                        return Err(Broken::Unusable("a chunk is longer than it says".to_owned()));
                    }
                    self.buffer.drain(..2);
                }
                httparse::Status::Partial => self.more(CHUNK_LINE).await?,
            }
        }
    }

    /// Reads what follows the last chunk, up to an empty line.
    async fn trailers(&mut self) -> Result<(), Broken> {
        let mut read = 0;
        loop {
            match self.buffer.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let empty = matches!(&self.buffer[..end], b"" | b"\r");
                    self.buffer.drain(..=end);
                    read += end;
                    if empty {
                        return Ok(());
                    }
                }
                None => self.more(HEAD_LIMIT).await?,
            }
            if read > HEAD_LIMIT {
                return Err(Broken::Unusable("its trailers are too long".to_owned()));
            }
        }
    }

    /// Reads more, unless `limit` bytes are there already.
    async fn more(&mut self, limit: usize) -> Result<(), Broken> {
        if self.buffer.len() >= limit {
            return Err(Broken::Unusable("a line of its body is too long".to_owned()));
        }
        if self.fill().await? == 0 { Err(Broken::Closed) } else { Ok(()) }
    }

    /// Reads what there is, into as much room as the last reads have shown to be of use.
    async fn fill(&mut self) -> Result<usize, Broken> {
        let capacity = self.buffer.capacity();
        if self.buffer.len() == capacity {
            self.buffer.reserve_exact(capacity.clamp(USUAL, MOST));
        }
        Ok(self.stream.read_buf(&mut self.buffer).await?)
    }
}

/// RFC 9112 section 6.3.
fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Broken> {
    let of = |name: &'static str| headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    if let Some(last) = of("transfer-encoding").next_back() {
        let last = last.value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
        let chunked = last.trim_ascii().eq_ignore_ascii_case(b"chunked");
        return Ok(if chunked { Framing::Chunked } else { Framing::Close });
    }
    let mut length = None;
    for header in of("content-length") {
        // A list of equal numbers is one number.
        for text in header.value.split(|byte| *byte == b',') {
            let text = str::from_utf8(text.trim_ascii()).unwrap_or_default();
            let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>());
            match number {
                Some(Ok(number)) if length.is_none_or(|length| length == number) => length = Some(number),
                _ => return Err(Broken::Unusable("its Content-Length is no number".to_owned())),
            }
        }
    }
    Ok(length.map_or(Framing::Close, Framing::Length))
}
