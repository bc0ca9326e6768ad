//! One HTTP `POST`, with the connection and the TLS of the probes.

use std::pin::pin;

use bytes::Bytes;
use fairway_config::Tls;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1::Builder;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper_util::rt::TokioIo;

use super::http::{AGENT, HEAD_LIMIT};
use super::stream::Stream;
use super::{Stage, tls};
use crate::spec::{Error, tls_of};
use crate::target::Target;

/// Where something is posted, ready to use.
#[derive(Debug)]
pub struct Post {
    uri: hyper::Uri,
    host: String,
    port: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    tls: Option<tls::Tls>,
}

impl Post {
    /// To `url`, with these headers. `tls` is how it is spoken with `https://`. Reads the certificate files it names.
    ///
    /// # Errors
    /// The URL, a header or TLS cannot be used; see [`Error`].
    pub fn new<'a>(
        url: &str,
        headers: impl Iterator<Item = (&'a str, &'a str)>,
        tls: Option<&Tls>,
    ) -> Result<Self, Error> {
        let bad = |why: String| Error::Url { url: url.to_owned(), why };
        let uri: hyper::Uri = url.parse().map_err(|error| bad(format!("{error}")))?;
        let authority = uri.authority().ok_or_else(|| bad("it names no host".to_owned()))?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let named = |(name, value): (&str, &str)| {
            let refused = |why: String| Error::Header { key: "webhook.headers", value: name.to_owned(), why };
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| refused(error.to_string()))?;
            let value = HeaderValue::from_str(value).map_err(|error| refused(error.to_string()))?;
            Ok((name, value))
        };
        let usual = Tls::default();
        let wanted = secure.then(|| tls.unwrap_or(&usual));
        Ok(Self {
            headers: headers.map(named).collect::<Result<_, _>>()?,
            tls: tls_of("webhook.tls", wanted, Some(&host), &[b"http/1.1"])?,
            uri,
            host,
            port,
        })
    }

    /// Posts JSON and returns the status of the answer.
    ///
    /// # Errors
    /// In words for people.
    pub async fn json(&self, body: Vec<u8>) -> Result<u16, String> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let addresses: Vec<_> = found.map_err(|error| format!("{}: {error}", self.host))?.collect();
        let mut stage = Stage::CONNECTING;
        let mut last = format!("{} has no address", self.host);
        for address in addresses {
            match Stream::open(Target { address, detour: None }, self.tls.as_ref(), &mut stage).await {
                Ok((stream, _)) => return self.exchange(stream, body).await,
                Err(outcome) => last = format!("{address}: {}", outcome.detail()),
            }
        }
        Err(last)
    }

    async fn exchange(&self, stream: Stream, body: Vec<u8>) -> Result<u16, String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let mut request = Request::post(path)
            .header(HOST, authority)
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let (mut sender, connection) = Builder::new()
            .max_buf_size(HEAD_LIMIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let mut exchange = pin!(sender.send_request(request));
        // When the connection ends first, the exchange has what was read before, or the reason.
        let answer = tokio::select! {
            biased;
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        };
        // The status is all that counts.
        answer.map(|answer| answer.status().as_u16()).map_err(|error| error.to_string())
    }
}
