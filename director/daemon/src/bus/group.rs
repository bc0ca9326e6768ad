//! `/org/fairway/Director1/group/<group>`: what is elected.

use std::time::UNIX_EPOCH;

use zbus::{ObjectPath, Variant, interface};

use super::core::Core;
use super::error::{Error, Result};
use super::level::{Properties, Published, Shared, paths};
use super::path;
use crate::status::{Force, GroupStatus, Statistics, TrackerStatus, VrrpCommand};

/// A failover group.
#[derive(Debug)]
pub struct Group {
    name: String,
    state: Shared<GroupStatus>,
    core: Core,
}

impl Group {
    /// The group's name for a request, unless a reload has just removed it.
    fn present(&self) -> Result<String> {
        if self.core.vrrp_status.borrow().contains_key(&self.name) {
            return Ok(self.name.clone());
        }
        Err(Error::NotFound(format!("the group \"{}\" is no longer configured", self.name)))
    }
}

#[interface(name = "org.fairway.Director1.Group", introspection_docs = false)]
impl Group {
    #[zbus(property(emits_changed_signal = "const"))]
    fn name(&self) -> &str {
        &self.name
    }

    #[zbus(property)]
    fn state(&self) -> &'static str {
        self.state.get(|s| s.state)
    }

    #[zbus(property)]
    fn cause(&self) -> String {
        self.state.get(|s| s.cause.clone())
    }

    /// Microseconds since the epoch (`CLOCK_REALTIME`).
    #[zbus(property)]
    fn since(&self) -> u64 {
        self.state.get(microseconds)
    }

    #[zbus(property)]
    fn forced(&self) -> &'static str {
        self.state.get(|s| s.forced)
    }

    #[zbus(property)]
    fn instances(&self) -> Vec<ObjectPath<'static>> {
        self.state.get(|s| instances(&self.name, s))
    }

    /// Name, kind, state, weight, what was seen.
    #[zbus(property)]
    fn trackers(&self) -> Vec<Tracker> {
        self.state.get(trackers)
    }

    #[zbus(property)]
    fn routes(&self) -> Vec<String> {
        self.state.get(|s| s.routes.clone())
    }

    #[zbus(property)]
    fn missing_routes(&self) -> Vec<String> {
        self.state.get(|s| s.missing_routes.clone())
    }

    async fn force_state(&self, state: &str) -> Result<()> {
        let force = match state {
            "auto" => Force::Auto,
            "master" => Force::Master,
            "backup" => Force::Backup,
            other => {
                return Err(Error::InvalidArgument(format!(
                    "\"{other}\" is no state to force; use master, backup or auto"
                )));
            }
        };
        let group = self.present()?;
        Ok(self.core.vrrp.ask(|reply| VrrpCommand::Force { group, force, reply }).await?)
    }

    async fn failover(&self) -> Result<()> {
        let group = self.present()?;
        Ok(self.core.vrrp.ask(|reply| VrrpCommand::Failover { group, reply }).await?)
    }

    async fn get_statistics(&self) -> Result<Statistics> {
        let group = self.present()?;
        Ok(self.core.vrrp.ask(|reply| VrrpCommand::Statistics { group, instance: None, reply }).await?)
    }
}

fn microseconds(status: &GroupStatus) -> u64 {
    let since = status.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// Name, kind, state, weight, what was seen.
type Tracker = (String, String, String, i32, String);

fn trackers(status: &GroupStatus) -> Vec<Tracker> {
    let tracker = |(name, tracker): (&String, &TrackerStatus)| {
        let TrackerStatus { kind, state, weight, detail } = tracker;
        (name.clone(), (*kind).to_owned(), (*state).to_owned(), (*weight).into(), detail.clone())
    };
    status.trackers.iter().map(tracker).collect()
}

fn instances(group: &str, status: &GroupStatus) -> Vec<ObjectPath<'static>> {
    paths(status.instances.iter().map(|instance| path::instance(group, &instance.name)))
}

impl Published for GroupStatus {
    type Object = Group;
    type Key = String;

    fn path(key: &String) -> String {
        path::group(key)
    }

    fn object(key: &String, state: Shared<Self>, core: &Core) -> Group {
        Group { name: key.clone(), state, core: core.clone() }
    }

    fn properties(&self, key: &String) -> Properties {
        vec![
            ("State", Variant::from(self.state)),
            ("Cause", Variant::from(self.cause.clone())),
            ("Since", Variant::from(microseconds(self))),
            ("Forced", Variant::from(self.forced)),
            ("Instances", Variant::from(instances(key, self))),
            ("Trackers", Variant::from(trackers(self))),
            ("Routes", Variant::from(self.routes.clone())),
            ("MissingRoutes", Variant::from(self.missing_routes.clone())),
        ]
    }
}
