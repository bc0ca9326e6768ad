//! Notifications: who is told of what happens, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::Tls;
use crate::types::Period;

/// Somebody or something that is told of events. Exactly one way is given.
// Tables come last: TOML wants them there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Notify {
    /// Which events; empty: all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventKind>,
    /// From the first event of a message to the message, so that what happens at once is told at once. Absent means
    /// 5s for mail, 1s for a webhook, and no time for a hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collect: Option<Period>,
    /// The least time between two messages; what happens meanwhile is in the next one. Absent means 1m for mail, 1s for
    /// a webhook, and no time for a hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Period>,
    /// A delivery that takes longer has failed; a hook is killed with all it has started. Absent means 10s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often a message is tried, at growing intervals, before it is given up. Absent means 8 for mail and webhook.
    /// A hook is run once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// `hook = {..}`: a program is run for each event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hook: Option<Hook>,
    /// `mail = {..}`: mail is sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<Mail>,
    /// `webhook = {..}`: JSON is posted to a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
}

/// A program. It runs without any right of the director's, one at a time, in the order of the events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Hook {
    /// The program, by absolute path, and its arguments. Nothing is expanded.
    pub command: Vec<String>,
}

/// Mail, by SMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Mail {
    /// Host name or address of the mail server.
    #[serde(default = "localhost", skip_serializing_if = "is_localhost")]
    pub server: String,
    /// Its port; absent: 25, 587 with a user, 465 with `security = "tls"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The sender's address.
    pub from: String,
    /// The receivers' addresses.
    pub to: Vec<String>,
    /// How the connection is secured.
    #[serde(default, skip_serializing_if = "Security::is_default")]
    pub security: Security,
    /// Certificates (PEM) of the authorities to trust; absent: the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The name to say in `EHLO`; absent means the director's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// The user to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file with the user's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

/// How a connection to a mail server is secured. Certificates are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// It is not.
    #[default]
    None,
    /// With `STARTTLS`, or no mail is sent.
    Starttls,
    /// With TLS from the start.
    Tls,
}

impl Security {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An HTTP `POST` of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Webhook {
    /// Where to: `http://` or `https://`.
    pub url: String,
    /// A file with one header in each line, `Authorization: Bearer ...`, which nobody else should read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_file: Option<PathBuf>,
    /// Further headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How TLS is spoken with `https://`, where it is not the usual way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn is_localhost(name: &str) -> bool {
    name == "localhost"
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A failover group has become master.
    GroupMaster,
    /// A failover group has become backup.
    GroupBackup,
    /// A failover group is in fault.
    GroupFault,
    /// Something about another VRRP router: one that is not configured, adverts that are refused or do not agree, a
    /// second master.
    VrrpWarning,
    /// A virtual IP, route or rule that something else removed was put back, or one that something else added was
    /// removed.
    AddressRestored,
    /// A tracker passes again.
    TrackerPassing,
    /// A tracker fails.
    TrackerFailing,
    /// A service has its quorum again.
    QuorumReached,
    /// A service has lost its quorum.
    QuorumLost,
    /// A real server is up.
    ServerUp,
    /// A real server is down.
    ServerDown,
    /// An operator has given an order about a server or a group, or has taken it back; or it has ended.
    Order,
    /// The IPVS table was repaired, or cannot be written.
    Ipvs,
    /// The configuration was reloaded.
    Reloaded,
    /// A reload was refused.
    ReloadFailed,
    /// The director has started.
    Started,
    /// The director is stopping.
    Stopping,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::GroupMaster,
        Self::GroupBackup,
        Self::GroupFault,
        Self::VrrpWarning,
        Self::AddressRestored,
        Self::TrackerPassing,
        Self::TrackerFailing,
        Self::QuorumReached,
        Self::QuorumLost,
        Self::ServerUp,
        Self::ServerDown,
        Self::Order,
        Self::Ipvs,
        Self::Reloaded,
        Self::ReloadFailed,
        Self::Started,
        Self::Stopping,
    ];

    /// The name, as it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GroupMaster => "group-master",
            Self::GroupBackup => "group-backup",
            Self::GroupFault => "group-fault",
            Self::VrrpWarning => "vrrp-warning",
            Self::AddressRestored => "address-restored",
            Self::TrackerPassing => "tracker-passing",
            Self::TrackerFailing => "tracker-failing",
            Self::QuorumReached => "quorum-reached",
            Self::QuorumLost => "quorum-lost",
            Self::ServerUp => "server-up",
            Self::ServerDown => "server-down",
            Self::Order => "order",
            Self::Ipvs => "ipvs",
            Self::Reloaded => "reloaded",
            Self::ReloadFailed => "reload-failed",
            Self::Started => "started",
            Self::Stopping => "stopping",
        }
    }

    /// The event of a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The way of a [`Notify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// A program.
    Hook(&'a Hook),
    /// Mail.
    Mail(&'a Mail),
    /// An HTTP request.
    Webhook(&'a Webhook),
}

impl Way<'_> {
    /// The name of the way, which is its key.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hook(_) => "hook",
            Self::Mail(_) => "mail",
            Self::Webhook(_) => "webhook",
        }
    }
}

impl Notify {
    /// The keys of all ways.
    pub const WAYS: [&'static str; 3] = ["hook", "mail", "webhook"];

    /// Every way that is given.
    pub fn ways(&self) -> impl Iterator<Item = Way<'_>> {
        [
            self.hook.as_ref().map(Way::Hook),
            self.mail.as_ref().map(Way::Mail),
            self.webhook.as_ref().map(Way::Webhook),
        ]
        .into_iter()
        .flatten()
    }

    /// The way, if exactly one is given.
    pub fn way(&self) -> Option<Way<'_>> {
        let mut ways = self.ways();
        let way = ways.next()?;
        ways.next().is_none().then_some(way)
    }

    /// Whether it is told of events of a kind.
    pub fn wants(&self, kind: EventKind) -> bool {
        self.events.is_empty() || self.events.contains(&kind)
    }

    /// From the first event of a message to the message.
    pub fn collect(&self) -> Period {
        self.collect.unwrap_or(Period::from_secs(match self.way() {
            Some(Way::Mail(_)) => 5,
            Some(Way::Webhook(_)) => 1,
            Some(Way::Hook(_)) | None => 0,
        }))
    }

    /// The least time between two messages.
    pub fn pause(&self) -> Period {
        self.pause.unwrap_or(Period::from_secs(match self.way() {
            Some(Way::Mail(_)) => 60,
            Some(Way::Webhook(_)) => 1,
            Some(Way::Hook(_)) | None => 0,
        }))
    }

    /// How long a delivery may take.
    pub fn timeout(&self) -> Period {
        self.timeout.unwrap_or(Period::from_secs(10))
    }

    /// How often a message is tried.
    pub fn attempts(&self) -> u32 {
        self.attempts.unwrap_or(if self.hook.is_some() { 1 } else { 8 })
    }
}
