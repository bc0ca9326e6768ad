//! Checks that are run once, because somebody asks.

use fairway_health::{Outcome, Subject};
use tokio::time::Instant;

use super::answer;
use crate::status::{Refused, Reply, Seen};

/// Runs checks once each, beside the running ones.
pub(super) async fn probe(subjects: Vec<(String, Subject)>, reply: Reply<Vec<Seen>>) {
    let mut seen = Vec::with_capacity(subjects.len());
    for (check, subject) in subjects {
        let start = Instant::now();
        let outcome = fairway_health::probe(&subject).await;
        seen.push(Seen {
            check,
            outcome: match outcome {
                Outcome::Pass(_) | Outcome::Warn(_) | Outcome::Advice(..) => "pass",
                Outcome::Fail(_) | Outcome::Refused(_) => "fail",
                Outcome::Inconclusive(_) => "inconclusive",
            },
            detail: outcome.detail().to_owned(),
            took: start.elapsed(),
        });
    }
    answer(reply, Ok(seen));
}

/// The digests of the first HTTP check.
pub(super) async fn digest(subjects: Vec<(String, Subject)>, reply: Reply<Vec<String>>) {
    let http = subjects.iter().find(|(_, subject)| subject.spec().check().http.is_some());
    let Some((_, subject)) = http.or(subjects.first()) else {
        return answer(reply, Err(Refused("there is no such check".to_owned())));
    };
    let digests = fairway_health::digests(subject).await.map_err(Refused);
    answer(reply, digests.map(|digests| digests.map(|digest| digest.to_string()).to_vec()));
}
