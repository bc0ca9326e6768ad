//! Calls to the director, with errors that say what to do.

use std::time::Duration;

use anyhow::{anyhow, bail};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use zbus::wire::DynamicType;
use zbus::{Connection, Message, fdo};

use crate::model::{self, Director, Seen};
use crate::statistics::{Counters, Statistics};

/// The director's bus name.
const NAME: &str = "org.fairway.Director1";

/// Its root object.
const ROOT: &str = "/org/fairway/Director1";

/// A reload waits for both parts of the director, which have 20 s each and as much again to go back.
const PATIENCE: Duration = Duration::from_secs(90);

/// A bus that does not greet within this time never will: its own policy keeps its answer back, say.
const GREETING: Duration = Duration::from_secs(10);

/// `GetStatistics` calls under way at once.
const AT_ONCE: usize = 64;

/// A connection to the bus the director is on.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    /// Connects to the system bus.
    ///
    /// # Errors
    /// No bus, or one that does not answer; the text names the address.
    pub async fn connect() -> anyhow::Result<Self> {
        let bus = zbus::connection::Builder::system().method_timeout(PATIENCE);
        let greeted = tokio::time::timeout(GREETING, bus.build())
            .await
            .map_err(|_| anyhow!("no greeting within {} s", GREETING.as_secs()))
            .and_then(|connected| Ok(connected?));
        match greeted {
            Ok(connection) => Ok(Self { connection }),
            Err(error) => match std::env::var("DBUS_SYSTEM_BUS_ADDRESS") {
                Ok(address) => bail!("cannot reach the bus at {address} (DBUS_SYSTEM_BUS_ADDRESS): {error}"),
                Err(_) => bail!("cannot reach the system bus, is dbus running? {error}"),
            },
        }
    }

    /// Everything the director shows.
    ///
    /// # Errors
    /// No director, or one of another version.
    pub async fn director(&self) -> anyhow::Result<Director> {
        let (properties, manager) = ("org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager");
        let root = self.ask(ROOT, properties, "GetAll", &model::MANAGER).await?;
        let objects = self.ask(ROOT, manager, "GetManagedObjects", &()).await?;
        Director::new(root.body().deserialize()?, objects.body().deserialize()?)
    }

    /// Forces a group.
    ///
    /// # Errors
    /// No such group, or the director refuses.
    pub async fn force(&self, group: &str, state: &str) -> anyhow::Result<()> {
        let path = self.group(group).await?;
        self.ask(&path, model::GROUP, "ForceState", &state).await?;
        Ok(())
    }

    /// Hands over mastership of a group.
    ///
    /// # Errors
    /// No such group, or the director refuses.
    pub async fn failover(&self, group: &str) -> anyhow::Result<()> {
        let path = self.group(group).await?;
        self.ask(&path, model::GROUP, "Failover", &()).await?;
        Ok(())
    }

    /// Gives an order about a server, in place of an earlier one.
    ///
    /// # Errors
    /// No such service or server, or the director refuses.
    pub async fn order(&self, service: &str, server: &str, order: Order) -> anyhow::Result<()> {
        let path = self.server(service, server).await?;
        let microseconds = |time: Option<Duration>| {
            time.map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1))
        };
        let Order { word, weight, deadline, duration } = order;
        let body = (word, weight, microseconds(deadline), microseconds(duration));
        self.ask(&path, model::SERVER, "SetOrder", &body).await?;
        Ok(())
    }

    /// Runs one check of a server, or (without a name) all of them.
    ///
    /// # Errors
    /// No such service, server or check, or the director refuses.
    pub async fn probe(&self, service: &str, server: &str, check: &str) -> anyhow::Result<Vec<Seen>> {
        let path = self.server(service, server).await?;
        let reply = self.ask(&path, model::SERVER, "Probe", &(check,)).await?;
        let seen: Vec<(String, String, String, u64)> = reply.body().deserialize()?;
        Ok(seen.into_iter().map(Seen::from).collect())
    }

    /// The digests of what an HTTP check gets, one a line.
    ///
    /// # Errors
    /// No such service, server or HTTP check, or it gets nothing.
    pub async fn digests(&self, service: &str, server: &str, check: &str) -> anyhow::Result<String> {
        let path = self.server(service, server).await?;
        let reply = self.ask(&path, model::SERVER, "Digest", &(check,)).await?;
        let digests: Vec<String> = reply.body().deserialize()?;
        Ok(digests.into_iter().map(|digest| digest + "\n").collect())
    }

    /// Sets the kernel's counters of a service, or (without a name) of all, to zero.
    ///
    /// # Errors
    /// No such service, or the director refuses.
    pub async fn zero(&self, service: &str) -> anyhow::Result<()> {
        if service.is_empty() {
            self.ask(ROOT, model::MANAGER, "ZeroStatistics", &()).await?;
            return Ok(());
        }
        let director = self.director().await?;
        let Some(found) = director.services.iter().find(|s| s.name == service) else {
            bail!("there is no service \"{service}\"; {}", known(director.services.iter().map(|s| &s.name)));
        };
        self.ask(&found.path, model::SERVICE, "ZeroStatistics", &()).await?;
        Ok(())
    }

    /// Takes back an order about a server.
    ///
    /// # Errors
    /// No such service or server, or the director refuses.
    pub async fn enable(&self, service: &str, server: &str) -> anyhow::Result<()> {
        let path = self.server(service, server).await?;
        self.ask(&path, model::SERVER, "Resume", &()).await?;
        Ok(())
    }

    /// Reads the configuration again; returns when it is in force.
    ///
    /// # Errors
    /// The reason why the last good configuration stays.
    pub async fn reload(&self) -> anyhow::Result<()> {
        self.ask(ROOT, model::MANAGER, "Reload", &()).await?;
        Ok(())
    }

    /// The counters of everything, and why some are missing. Objects that a reload removes meanwhile are left out.
    ///
    /// # Errors
    /// No director.
    pub async fn statistics(&self) -> anyhow::Result<(Statistics, Vec<String>)> {
        let director = self.director().await?;
        let answers: Vec<_> = stream::iter(model::countable(&director))
            .map(|(key, interface, path)| async move { (key, self.counters(&path, interface).await) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let (mut counted, mut missing) = (Vec::new(), Vec::new());
        for (key, answer) in answers {
            match answer {
                Ok(counters) => counted.extend(counters.map(|counters| (key, counters))),
                Err(error) => missing.push(format!("no counters of {key}: {error:#}")),
            }
        }
        missing.sort();
        Ok((Statistics::new(counted.into_iter()), missing))
    }

    async fn counters(&self, path: &str, interface: &str) -> anyhow::Result<Option<Counters>> {
        let gone = |error: &zbus::Error| match error {
            zbus::Error::MethodError(name, ..) => name.ends_with(".NotFound"),
            zbus::Error::FDO(standard) => matches!(**standard, fdo::Error::UnknownObject(_)),
            _ => false,
        };
        match self.connection.call_method(Some(NAME), path, Some(interface), "GetStatistics", &()).await {
            Ok(reply) => Ok(Some(reply.body().deserialize()?)),
            Err(error) if gone(&error) => Ok(None),
            Err(error) => Err(explain(error)),
        }
    }

    async fn ask<B>(&self, path: &str, interface: &str, method: &str, body: &B) -> anyhow::Result<Message>
    where
        B: Serialize + DynamicType,
    {
        self.connection.call_method(Some(NAME), path, Some(interface), method, body).await.map_err(explain)
    }

    async fn group(&self, name: &str) -> anyhow::Result<String> {
        let director = self.director().await?;
        match director.groups.iter().find(|g| g.name == name) {
            Some(group) => Ok(group.path.clone()),
            None => bail!("there is no group \"{name}\"; {}", known(director.groups.iter().map(|g| &g.name))),
        }
    }

    async fn server(&self, service: &str, server: &str) -> anyhow::Result<String> {
        let director = self.director().await?;
        let Some(found) = director.services.iter().find(|s| s.name == service) else {
            bail!("there is no service \"{service}\"; {}", known(director.services.iter().map(|s| &s.name)));
        };
        match found.servers.iter().find(|s| s.name == server) {
            Some(server) => Ok(server.path.clone()),
            None => bail!(
                "service \"{service}\" has no server \"{server}\"; {}",
                known(found.servers.iter().map(|s| &s.name))
            ),
        }
    }
}

/// An order about a server.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// `drain`, `disable` or `weight`.
    pub word: &'static str,
    /// For `weight`.
    pub weight: u32,
    /// When a drain takes the server out.
    pub deadline: Option<Duration>,
    /// How long the order holds.
    pub duration: Option<Duration>,
}

/// The names there are, for someone who has mistyped one.
fn known<'a>(names: impl Iterator<Item = &'a String>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<_> = names.map(String::as_str).collect();
    match names.len() {
        0 => "none is configured".to_owned(),
        1..=SHOWN => format!("known: {}", names.join(", ")),
        more => format!("known: {} and {} more", names[..SHOWN].join(", "), more - SHOWN),
    }
}

/// A D-Bus error in an operator's words.
fn explain(error: zbus::Error) -> anyhow::Error {
    match error {
        zbus::Error::MethodError(name, None, _) => anyhow!("the director answers {name}"),
        zbus::Error::MethodError(_, Some(text), _) => anyhow!(text),
        zbus::Error::FDO(standard) => match *standard {
            fdo::Error::ServiceUnknown(_) | fdo::Error::NameHasNoOwner(_) => no_director(),
            fdo::Error::AccessDenied(_) => no_permission(),
            fdo::Error::NoReply(_) => anyhow!("the director went away before it answered; see its log"),
            other => other.into(),
        },
        other => other.into(),
    }
}

fn no_director() -> anyhow::Error {
    anyhow!(
        "no director is on this bus: start it with `systemctl start fairway-director`, \
         and see `journalctl -u fairway-director` if it runs but does not show up"
    )
}

fn no_permission() -> anyhow::Error {
    anyhow!("permission denied: be root or a member of the group fairway")
}
