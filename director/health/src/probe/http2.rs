//! One request over HTTP/2 and its answer, for HTTP and gRPC checks.

use std::pin::pin;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::Builder;
use hyper::Request;
use hyper::header::HeaderMap;
use hyper::http::response::Parts;

use super::http::{BODY_LIMIT, HEAD_LIMIT};
use super::stream::Stream;
use super::{Outcome, Stage, failed};

/// An answer whose body is still to be read.
pub(super) struct Exchange {
    pub(super) head: Parts,
    body: RecvStream,
}

impl Exchange {
    /// The next piece of the body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let Some(data) = self.body.data().await.transpose()? else { return Ok(None) };
        self.body.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }

    /// The trailers, after the body.
    pub(super) async fn trailers(&mut self) -> Result<Option<HeaderMap>, h2::Error> {
        self.body.trailers().await
    }
}

/// Sends `request` (with `body`, if there is one) and lets `look` make an outcome of the answer.
pub(super) async fn exchange(
    stream: Stream,
    request: Request<()>,
    body: Option<Bytes>,
    stage: &mut Stage,
    look: impl AsyncFnOnce(Exchange, &mut Stage) -> Result<Outcome, h2::Error>,
) -> Outcome {
    let handshake = Builder::new()
        .enable_push(false)
        .max_header_list_size(HEAD_LIMIT as u32)
        .initial_window_size(BODY_LIMIT as u32)
        .handshake(stream)
        .await;
    let (sender, connection) = match handshake {
        Ok(parts) => parts,
        Err(error) => return explain(&error, *stage),
    };
    let outcome = {
        let talk = async {
            let mut sender = sender.ready().await?;
            let (answer, mut upload) = sender.send_request(request, body.is_none())?;
            if let Some(body) = body {
                upload.send_data(body, true)?;
            }
            let (head, body) = answer.await?.into_parts();
            look(Exchange { head, body }, stage).await
        };
        let mut talk = pin!(talk);
        let mut connection = pin!(connection);
        // The connection moves the frames. When it ends first, the exchange finds what came before, or the reason.
        tokio::select! {
            biased;
            outcome = &mut talk => outcome,
            _ = &mut connection => talk.await,
        }
    };
    outcome.unwrap_or_else(|error| explain(&error, *stage))
}

fn explain(error: &h2::Error, stage: Stage) -> Outcome {
    match error.get_io() {
        Some(cause) if cause.raw_os_error().is_some() => failed(cause, stage),
        Some(_) => Outcome::Fail(format!("connection closed while {stage}").into()),
        None => Outcome::Fail(format!("unusable HTTP/2 response: {error}").into()),
    }
}
