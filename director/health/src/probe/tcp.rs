//! A TCP connection opens.

use std::net::SocketAddr;

use super::{Outcome, connect};

/// Connects, and resets the connection at once.
pub(super) async fn probe(target: SocketAddr) -> Outcome {
    match connect(target).await {
        Ok(_) => Outcome::Pass("connected".into()),
        Err(outcome) => outcome,
    }
}
