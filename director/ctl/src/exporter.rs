//! One HTTP request for the metrics, on a socket that systemd has accepted (`Accept=yes`).
//!
//! A process for each scrape: nothing runs in between, and what a stranger can reach has no rights at all.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use crate::client::Client;
use crate::metrics;

/// A client that has not asked within this time never will.
const QUESTION: Duration = Duration::from_secs(10);
/// Everything: a director with many services needs a second or two to count.
const LIMIT: Duration = Duration::from_secs(60);

/// Answers what comes in on standard input, once.
///
/// # Errors
/// Standard input is no socket, or the client goes away.
pub async fn answer() -> anyhow::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)
        .context("standard input is no socket: start fairway-metrics.socket, which passes one")?;
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(QUESTION)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service_fn(respond));
    tokio::time::timeout(LIMIT, connection).await.context("the client does not take the answer")??;
    Ok(())
}

async fn respond(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let response = Response::builder();
    if request.uri().path() != "/metrics" {
        let text = "the metrics are at /metrics\n";
        return response.status(StatusCode::NOT_FOUND).body(Full::from(text));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return response
            .status(StatusCode::METHOD_NOT_ALLOWED)
            .header(ALLOW, "GET, HEAD")
            .body(Full::default());
    }
    match scrape().await {
        Ok(text) => response.header(CONTENT_TYPE, metrics::MEDIA_TYPE).body(Full::from(text)),
        Err(error) => {
            let text = format!("{error:#}\n");
            response.status(StatusCode::INTERNAL_SERVER_ERROR).body(Full::from(text))
        }
    }
}

/// A director that does not answer is a finding too, not a failure to scrape.
async fn scrape() -> anyhow::Result<String> {
    let asked = async {
        let client = Client::connect().await?;
        let (counters, _) = client.statistics().await?;
        anyhow::Ok((client.director().await?, counters))
    };
    match asked.await {
        Ok((director, counters)) => Ok(metrics::render(Some((&director, &counters)))?),
        Err(error) => {
            eprintln!("fairwayctl: {error:#}");
            Ok(metrics::render(None)?)
        }
    }
}
