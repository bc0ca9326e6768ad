//! The weight of a server: configured, ordered, advised, growing.

use std::time::{Duration, Instant};

use fairway_config::{OnFailure, Period, StartHealth};
use fairway_health::Health;
use fairway_ipvs::{Destination, DestinationKey};

use super::{Desired, QuorumState, quorum};
use crate::services::overrides::Order;

/// A weight that grows is changed this many times, but not more often than [`SHORTEST_STEP`].
const STEPS: u32 = 20;
const SHORTEST_STEP: Duration = Duration::from_millis(500);

impl Desired {
    /// The weight a server that is up has, before it starts slowly.
    fn full_weight(&self, service: usize, server: usize) -> u32 {
        let entry = &self.services[service];
        let wanted = match self.order_about(service, server).map(|order| order.order) {
            Some(Order::Weight(weight)) => weight,
            _ => entry.planned.servers[server].1.weight,
        };
        let advice = entry.servers[server].checks.iter().filter_map(|check| self.verdicts.get(check)?.advice);
        // The kernel counts weights in signed integers.
        advice.map(|advice| advice.apply(wanted)).min().unwrap_or(wanted).min(i32::MAX as u32)
    }

    /// The weight of a server in the table before it is drained or disabled; `None` keeps it out.
    pub(super) fn weight(&self, service: usize, server: usize, now: Instant) -> Option<u32> {
        let entry = &self.services[service];
        match self.health(service, server) {
            Health::Up => Some(self.grown(service, server, now)),
            Health::Down => self.fallen(service, server),
            Health::Unknown => match (entry.servers[server].held, entry.planned.config.start) {
                (Some(weight), _) => Some(weight),
                (None, StartHealth::Optimistic) => Some(self.full_weight(service, server)),
                (None, StartHealth::Pessimistic) => None,
            },
        }
    }

    /// The place of a server that must not get new connections.
    fn fallen(&self, service: usize, server: usize) -> Option<u32> {
        let config = &self.services[service].planned.config;
        match config.on_failure_of(&config.real_servers[server]) {
            OnFailure::Remove => None,
            OnFailure::WeightZero => Some(0),
        }
    }

    /// The weight at this moment of a slow start. A share of something is never nothing.
    fn grown(&self, service: usize, server: usize, now: Instant) -> u32 {
        let full = self.full_weight(service, server);
        let entry = &self.services[service];
        match (entry.planned.config.slow_start, entry.servers[server].risen) {
            (Some(period), Some(risen)) if full > 0 => {
                let share = now.saturating_duration_since(risen).as_secs_f64() / period.get().as_secs_f64();
                ((f64::from(full) * share.min(1.0)) as u32).max(1)
            }
            _ => full,
        }
    }

    /// What the table should say about a server.
    pub(super) fn destination(&self, service: usize, server: usize, now: Instant) -> Option<Destination> {
        let entry = &self.services[service];
        let mut weight = self.weight(service, server, now)?;
        if entry.planned.sorry.is_some() && entry.tally.state() == QuorumState::Down {
            weight = self.fallen(service, server)?;
        }
        let weight = match self.order_about(service, server) {
            Some(order) if order.emptied || order.order == Order::Disable => return None,
            Some(order) if matches!(order.order, Order::Drain { .. }) => 0,
            _ => weight,
        };
        let (_, configured) = entry.planned.servers[server];
        Some(Destination { weight, ..configured })
    }

    /// What the table should say about a service's sorry server.
    pub(super) fn sorry(&self, service: usize) -> Option<(DestinationKey, Destination)> {
        let entry = &self.services[service];
        let (key, destination) = entry.planned.sorry?;
        let inhibit = entry.planned.config.sorry_server.is_some_and(|sorry| sorry.inhibit);
        match entry.tally.state() {
            QuorumState::Down => Some((key, destination)),
            _ if inhibit => Some((key, Destination { weight: 0, ..destination })),
            _ => None,
        }
    }

    /// What a server adds to its service's quorum: the weight it would have without a slow start.
    pub(super) fn share(&self, service: usize, server: usize) -> quorum::Share {
        let entry = &self.services[service];
        let out =
            self.order_about(service, server).is_some_and(|order| !matches!(order.order, Order::Weight(_)));
        let nothing = quorum::Share::default();
        if out {
            return nothing;
        }
        let full = self.full_weight(service, server);
        match self.health(service, server) {
            Health::Up => quorum::Share { up: full, ..nothing },
            Health::Down => nothing,
            Health::Unknown => match (entry.servers[server].held, entry.planned.config.start) {
                (Some(weight), _) => quorum::Share { up: weight, ..nothing },
                (None, StartHealth::Optimistic) => quorum::Share { up: full, ..nothing },
                (None, StartHealth::Pessimistic) => quorum::Share { open: full, ..nothing },
            },
        }
    }

    /// A server that comes up begins to grow, one that goes down stops.
    pub(super) fn note_rise(
        &mut self,
        service: usize,
        server: usize,
        was: Health,
        health: Health,
        now: Instant,
    ) {
        let entry = &mut self.services[service];
        if entry.planned.config.slow_start.is_none() || was == health {
            return;
        }
        let known = &mut entry.servers[server];
        // One that served before its first verdict has been warm all the time.
        known.risen = (health == Health::Up && known.held.is_none_or(|weight| weight == 0)).then_some(now);
        if known.risen.is_some() {
            self.rising.insert((service, server));
        } else {
            self.rising.remove(&(service, server));
        }
    }

    /// When the next weight has grown; `None` while none grows.
    pub fn next_step(&self, now: Instant) -> Option<Instant> {
        let step = |(service, _): &(usize, usize)| {
            let period =
                self.services[*service].planned.config.slow_start.map_or(Duration::ZERO, Period::get);
            now + (period / STEPS).max(SHORTEST_STEP)
        };
        self.rising.iter().map(step).min()
    }

    /// Lets weights grow. Returns the services concerned.
    pub fn step(&mut self, now: Instant) -> Vec<usize> {
        let rising = std::mem::take(&mut self.rising);
        let mut services = Vec::new();
        for (service, server) in rising {
            let entry = &mut self.services[service];
            let period = entry.planned.config.slow_start.map_or(Duration::ZERO, Period::get);
            let known = &mut entry.servers[server];
            if known.risen.is_some_and(|risen| now.saturating_duration_since(risen) < period) {
                self.rising.insert((service, server));
            } else {
                known.risen = None;
            }
            self.settle(service, server, now);
            if services.last() != Some(&service) {
                services.push(service);
            }
        }
        services
    }
}
