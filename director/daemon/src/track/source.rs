//! What a tracker watches, of any kind.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fairway_config::{Check, PingCheck, ScriptCheck, Tracked, TrackedBfd, Tracker};
use fairway_health::{Outcome, Spec, Subject};
use tokio::sync::watch;

use super::file::FileWatch;
use super::interface::InterfaceWatch;
use super::process::ProcessWatch;
use super::unit::UnitWatch;
use crate::bfd::{self, BfdStatus};
use crate::services;
use crate::status::ServicesStatus;

/// What one look saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// Well or not, or nothing that could be judged.
    Seen(Outcome),
    /// A number to be added to the priority, and what to say about it.
    Number(i16, String),
}

/// What trackers see through.
#[derive(Debug, Clone)]
pub struct Eyes {
    /// The services of this director.
    pub services: watch::Receiver<ServicesStatus>,
    /// The BFD sessions.
    pub bfd: watch::Receiver<BfdStatus>,
}

/// Something to look at.
pub(super) enum Source {
    Interface(InterfaceWatch),
    Unit(Box<UnitWatch>),
    Probe(Subject),
    Bfd(Box<TrackedBfd>, watch::Receiver<BfdStatus>),
    Services(Vec<String>, watch::Receiver<ServicesStatus>),
    File(FileWatch),
    Process(ProcessWatch),
    /// It cannot be looked at; the text says why.
    Nothing(String),
}

impl Source {
    pub(super) fn new(tracker: &Tracker, eyes: &Eyes) -> Self {
        match tracker.kind() {
            Some(Tracked::Interface(name)) => Self::Interface(InterfaceWatch::new(name)),
            Some(Tracked::Unit(name)) => Self::Unit(Box::new(UnitWatch::new(name))),
            Some(Tracked::Ping(address)) => {
                let check = Check { ping: Some(PingCheck {}), ..Check::default() };
                probe(tracker, check, address)
            }
            Some(Tracked::Bfd(bfd)) => Self::Bfd(Box::new(bfd.clone()), eyes.bfd.clone()),
            Some(Tracked::Script(script)) => {
                let script = ScriptCheck { command: script.command.clone(), weight: false };
                let check = Check { script: Some(script), ..Check::default() };
                probe(tracker, check, Ipv4Addr::UNSPECIFIED.into())
            }
            Some(Tracked::Services(names)) => Self::Services(names.to_vec(), eyes.services.clone()),
            Some(Tracked::File(file)) => Self::File(FileWatch::new(file)),
            Some(Tracked::Process(process)) => Self::Process(ProcessWatch::new(process)),
            None => Self::Nothing("there is nothing to watch".to_owned()),
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Look {
        match self {
            Self::Interface(watch) => Look::Seen(watch.look()),
            Self::Unit(watch) => Look::Seen(watch.look().await),
            Self::Probe(subject) => Look::Seen(fairway_health::probe(subject).await),
            Self::Bfd(bfd, status) => {
                Look::Seen(bfd::outcome(&bfd.key(), &status.borrow_and_update(), bfd.admin_down))
            }
            Self::Services(names, status) => Look::Seen(quorum(names, &status.borrow_and_update())),
            Self::File(watch) => watch.look().await,
            Self::Process(watch) => Look::Seen(watch.look().await),
            Self::Nothing(why) => Look::Seen(Outcome::Inconclusive(why.clone().into())),
        }
    }

    /// Returns when another look is worth it; never, if nobody tells.
    pub(super) async fn changed(&mut self) {
        match self {
            Self::Interface(watch) => watch.changed().await,
            Self::Unit(watch) => watch.changed().await,
            Self::Services(_, status) => changed(status).await,
            Self::Bfd(_, status) => changed(status).await,
            Self::File(watch) => watch.changed().await,
            Self::Process(watch) => watch.changed().await,
            Self::Probe(_) | Self::Nothing(_) => std::future::pending().await,
        }
    }
}

fn probe(tracker: &Tracker, check: Check, address: IpAddr) -> Source {
    let check = Check { timeout: tracker.timeout(), ..check };
    let spec = Spec::new(&check, &services::launcher());
    let subject = spec.and_then(|spec| Subject::new(SocketAddr::new(address, 0), Arc::new(spec)));
    subject.map_or_else(|error| Source::Nothing(error.to_string()), Source::Probe)
}

/// Returns when there is another status; never, if nobody is left to tell.
async fn changed<T>(status: &mut watch::Receiver<T>) {
    if status.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Whether all of these services have their quorum.
fn quorum(names: &[String], status: &ServicesStatus) -> Outcome {
    let mut unknown = None;
    for name in names {
        match status.get(name).map(|service| service.quorum) {
            Some("up") => {}
            Some("down") => return Outcome::Fail(format!("service {name} has lost its quorum").into()),
            _ => unknown = Some(name),
        }
    }
    match unknown {
        Some(name) => Outcome::Inconclusive(format!("the servers of {name} have no verdict yet").into()),
        None if names.len() == 1 => Outcome::Pass("the service has its quorum".into()),
        None => Outcome::Pass("all services have their quorum".into()),
    }
}
