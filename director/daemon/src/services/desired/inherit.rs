//! What one process knows of servers, for the next one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fairway_health::{CheckId, Verdict};

use super::Desired;
use crate::services::passing::{Quorum, Saved, SavedVerdict};

impl Desired {
    /// What is known; `fingerprint` names what a check probes.
    pub fn save(&self, fingerprint: impl Fn(CheckId) -> Option<String>, now: Instant) -> Saved {
        let verdict =
            |(check, verdict): (&CheckId, _)| Some((fingerprint(*check)?, SavedVerdict::of(verdict)?));
        let mut saved =
            Saved { checks: self.verdicts.iter().filter_map(verdict).collect(), ..Saved::default() };
        for entry in &self.services {
            let name = &entry.planned.config.name;
            saved.quorums.extend(Quorum::of(entry.tally.state()).map(|quorum| (name.clone(), quorum)));
        }
        for &(service, server) in &self.rising {
            let entry = &self.services[service];
            let Some(risen) = entry.servers[server].risen else { continue };
            let since = now.saturating_duration_since(risen).as_millis();
            let config = &entry.planned.config;
            let servers = saved.rising.entry(config.name.clone()).or_default();
            let name = config.real_servers[server].name.clone();
            servers.insert(name, u64::try_from(since).unwrap_or(u64::MAX));
        }
        saved
    }

    /// Goes on from what the process before knew; `verdicts` are those of running checks.
    pub fn inherit(&mut self, saved: &Saved, verdicts: HashMap<CheckId, Verdict>, now: Instant) {
        self.verdicts.extend(verdicts);
        for entry in &mut self.services {
            if let Some(quorum) = saved.quorums.get(&entry.planned.config.name) {
                entry.tally.resume(quorum.state());
            }
        }
        for (service, servers) in &saved.rising {
            for (server, since) in servers {
                let Ok((index, position)) = self.find(service, server) else { continue };
                let slow = self.services[index].planned.config.slow_start.is_some();
                let risen = now.checked_sub(Duration::from_millis(*since)).filter(|_| slow);
                self.services[index].servers[position].risen = risen;
            }
        }
        // What a start without all that would have had to say of quorums is no news.
        self.quorum_changes.clear();
        self.settle_all(now);
    }
}

#[cfg(test)]
mod tests {
    use fairway_health::{Advice, Health};

    use super::*;
    use crate::services::desired::QuorumState;
    use crate::services::desired::tests::Bench;

    const TEXT: &str = r#"
version = 1
cluster = "shop"
host = "lb1"

[checks.alive]
tcp = {}

[[service]]
name = "web"
checks = ["alive"]
start = "optimistic"
slow-start = "10s"
quorum = { up = 400, down = 300 }
listen = { address = "192.0.2.1", port = 80, protocol = "tcp" }
sorry-server = { address = "10.0.0.99", forward = "nat" }
real-servers = [
    { name = "web1", address = "10.0.0.71", forward = "nat", weight = 200 },
    { name = "web2", address = "10.0.0.72", forward = "nat", weight = 200 },
    { name = "web3", address = "10.0.0.73", forward = "nat", weight = 200 },
]
"#;

    #[test]
    fn the_next_process_goes_on_where_this_one_was() {
        let mut before = Bench::of(TEXT);
        let ids = before.ids.clone();
        let second = Duration::from_secs(1);
        let fingerprint = |check: CheckId| Some(check.0.to_string());
        let after = |before: &Bench| {
            let saved = before.desired.save(fingerprint, before.now);
            let verdicts = saved.verdicts();
            let mut next = Bench::of(TEXT);
            next.now = before.now;
            let known = ids.iter().filter_map(|id| Some((*id, verdicts.get(&id.0.to_string())?.clone())));
            next.desired.inherit(&saved, known.collect(), next.now);
            next
        };
        // Nothing is known of the third yet: it is optimistic again. The second is down, and stays out.
        before.report(ids[0], Health::Up);
        before.report(ids[1], Health::Down);
        before.now += second * 5;
        before.desired.step(before.now);
        assert_eq!(before.weights("web"), [Some(100), None]);
        let mut next = after(&before);
        assert_eq!(next.desired.table(), before.desired.table());
        assert_eq!(next.desired.next_step(next.now), before.desired.next_step(before.now), "it grows on");
        assert!(next.desired.take_quorum_changes().is_empty());
        assert!(next.report(ids[1], Health::Down).is_empty(), "that is no news");
        next.desired.step(next.now + second * 5);
        assert_eq!(next.weight("web", "web1"), Some(200));

        // Between the two bounds of a quorum it depends on what was before.
        before.report(ids[2], Health::Down);
        before.advise(ids[2], Health::Up, Some(Advice::Percent(75)));
        assert_eq!(before.desired.quorum(0), QuorumState::Down, "350 is less than 400");
        let mut next = after(&before);
        assert_eq!(next.desired.table(), before.desired.table());
        assert_eq!(next.desired.quorum(0), QuorumState::Down);
        assert!(next.desired.take_quorum_changes().is_empty());
        next.report(ids[1], Health::Up);
        assert_eq!(next.desired.quorum(0), QuorumState::Up);
    }

    #[test]
    fn what_is_configured_no_more_is_no_matter() {
        let mut before = Bench::of(TEXT);
        let id = before.ids[0];
        before.report(id, Health::Up);
        let saved = before.desired.save(|check| Some(check.0.to_string()), before.now);
        let text = TEXT.replace("\"web\"", "\"shop\"").replace("slow-start = \"10s\"\n", "");
        let mut next = Bench::of(&text);
        let table = next.desired.table().clone();
        next.desired.inherit(&saved, HashMap::new(), next.now);
        assert_eq!(*next.desired.table(), table);
        assert_eq!(next.desired.next_step(next.now), None);
    }
}
