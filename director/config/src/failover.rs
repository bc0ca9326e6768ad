//! Failover groups: what is elected, and how VRRP says so on the wire.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::route::{VirtualRoute, VirtualRule};
use crate::shared::Shared;
use crate::track::Tracker;
use crate::types::{Family, IfName, Period, Priority, Vrid};

/// One elected unit: its instances are master or backup together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FailoverGroup {
    /// Name of the group in the topology.
    pub name: String,
    /// Whether a better director takes mastership back.
    #[serde(default)]
    pub preempt: Preempt,
    /// For how long after its start a director takes no mastership, unless it has it: until switches and services are
    /// ready for it.
    #[serde(default, skip_serializing_if = "Period::is_zero")]
    pub start_delay: Period,
    /// Routes that move with the group: its master has them.
    #[serde(default, rename = "route", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<VirtualRoute>,
    /// Routing policy rules that move with the group.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<VirtualRule>,
    /// One VRRP instance per network and address family.
    #[serde(rename = "instance")]
    pub instances: Vec<Shared<Instance>>,
    /// What else it depends on, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub track: BTreeMap<String, Tracker>,
}

/// As the standards have it (RFC 9568 section 6.1).
const fn three() -> u8 {
    3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_three(adverts: &u8) -> bool {
    *adverts == three()
}

/// When a director of higher priority replaces a working master. The same on all directors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "PreemptForm", into = "PreemptForm")]
pub enum Preempt {
    /// At once (`preempt = true`).
    #[default]
    Always,
    /// Never (`preempt = false`).
    Never,
    /// After having heard the lower master for this long (`preempt = { after = "60s" }`).
    After(Period),
}

/// How [`Preempt`] is written.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false or { after = \"60s\" }")]
enum PreemptForm {
    Flag(bool),
    Delay(PreemptDelay),
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreemptDelay {
    after: Period,
}

impl From<PreemptForm> for Preempt {
    fn from(form: PreemptForm) -> Self {
        match form {
            PreemptForm::Flag(true) => Self::Always,
            PreemptForm::Flag(false) => Self::Never,
            PreemptForm::Delay(PreemptDelay { after }) => Self::After(after),
        }
    }
}

impl From<Preempt> for PreemptForm {
    fn from(preempt: Preempt) -> Self {
        match preempt {
            Preempt::Always => Self::Flag(true),
            Preempt::Never => Self::Flag(false),
            Preempt::After(after) => Self::Delay(PreemptDelay { after }),
        }
    }
}

/// One VRRP virtual router on one interface, for one address family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Instance {
    /// Name, unique on this director.
    pub name: String,
    /// The interface adverts are sent and heard on.
    pub interface: IfName,
    /// The address family of the adverts and of the advertised addresses.
    pub family: Family,
    /// Virtual router identifier.
    pub vrid: Vrid,
    /// Protocol version.
    #[serde(default)]
    pub version: VrrpVersion,
    /// This director's priority; 255 says that the addresses are the host's own.
    pub priority: Priority,
    /// Time between adverts. v3: 10 ms to 40.95 s in steps of 10 ms; v2: whole seconds up to 255 s.
    pub advert_interval: Period,
    /// How many of the master's adverts may be missed before it counts as gone, 1 to 100. The same on all directors.
    #[serde(default = "three", skip_serializing_if = "is_three")]
    pub down_timer_adverts: u8,
    /// How the IPv4 v3 checksum is formed.
    #[serde(default, skip_serializing_if = "Checksum::is_default")]
    pub checksum: Checksum,
    /// Source address of adverts; absent means the interface's first own address (IPv6: link-local).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// The other directors' addresses: adverts go to each of them, and come from them only, instead of by
    /// multicast.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unicast_peers: Vec<IpAddr>,
    /// Authentication; which kinds there are depends on the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Neighbour announcements (gratuitous ARP, unsolicited neighbour advertisements).
    #[serde(default, skip_serializing_if = "Announce::is_default")]
    pub announce: Announce,
    /// An interface of its own with the virtual router's MAC address, for the virtual IPs; absent means that they
    /// are on `interface`, and that its MAC address answers for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_mac: Option<VirtualMac>,
    /// The addresses that follow mastership, as the adverts list them.
    pub virtual_ips: Vec<VirtualIp>,
    /// Further addresses that follow mastership and are in no advert: of the other family, or more than an advert
    /// holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_ips: Vec<VirtualIp>,
}

impl Instance {
    /// Whether this host is the owner of the virtual IPs (RFC 9568 section 1.7): they are its own addresses, and stay
    /// where they are whoever is master.
    pub const fn is_owner(&self) -> bool {
        self.priority.get() == u8::MAX
    }

    /// All addresses that follow mastership, advertised or not.
    pub fn addresses(&self) -> impl Iterator<Item = &VirtualIp> {
        self.virtual_ips.iter().chain(&self.excluded_ips)
    }

    /// The interface that the virtual IPs without one of their own are on.
    pub fn home(&self) -> &IfName {
        self.virtual_mac.as_ref().map_or(&self.interface, |mac| &mac.interface)
    }

    /// The interface that a virtual IP is on while the network sees it.
    pub fn interface_of<'a>(&'a self, vip: &'a VirtualIp) -> &'a IfName {
        vip.interface.as_ref().unwrap_or_else(|| self.home())
    }
}

/// The virtual router's own MAC address, 00-00-5e-00-01-VRID over IPv4 and 00-00-5e-00-02-VRID over IPv6 (RFC 9568
/// section 7.3), on a macvlan interface of the instance's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtualMac {
    /// The name of that interface. The director makes it, and removes it when it stops.
    pub interface: IfName,
    /// Whether adverts leave with the MAC address of the instance's own interface instead.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transmit_from_base: bool,
}

impl VirtualMac {
    /// The MAC address of virtual router `vrid`.
    pub const fn address(family: Family, vrid: Vrid) -> [u8; 6] {
        let family = match family {
            Family::Ipv4 => 1,
            Family::Ipv6 => 2,
        };
        [0, 0, 0x5e, 0, family, vrid.get()]
    }
}

/// VRRP protocol version, written as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub enum VrrpVersion {
    /// RFC 3768: IPv4, whole seconds, password.
    V2,
    /// RFC 9568: IPv4 and IPv6, centiseconds.
    #[default]
    V3,
}

impl TryFrom<i64> for VrrpVersion {
    type Error = crate::InvalidValue;

    fn try_from(value: i64) -> Result<Self, crate::InvalidValue> {
        match value {
            2 => Ok(Self::V2),
            3 => Ok(Self::V3),
            _ => Err(crate::InvalidValue(format!(
                "{value} is not a VRRP version: use 3 (RFC 9568) or 2 (RFC 3768)"
            ))),
        }
    }
}

impl From<VrrpVersion> for i64 {
    fn from(version: VrrpVersion) -> Self {
        match version {
            VrrpVersion::V2 => 2,
            VrrpVersion::V3 => 3,
        }
    }
}

/// What the IPv4 VRRPv3 checksum covers. Both forms are accepted on receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// The VRRP message alone (RFC 9568 section 5.2.8).
    #[default]
    Rfc9568,
    /// With an IPv4 pseudo-header, as RFC 5798 was read by keepalived and others.
    Rfc5798,
}

impl Checksum {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How adverts are authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Auth {
    /// v2: a password in clear text, at most 8 bytes: `auth = { pass = { key-file = "/etc/fairway/edge.key" } }`.
    /// It keeps honest mistakes apart, not attackers (RFC 3768 section 10).
    Pass(KeyFile),
    /// v2: an authentication header (RFC 4302) with HMAC-MD5-96, for keepalived's `auth_type AH`. The same kind
    /// of key.
    Ah(KeyFile),
    /// v3: an HMAC-SHA256 trailer, as keepalived 2.4.2 and later have it (`auth_hmac`).
    Hmac(HmacAuth),
}

/// Where a password or key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyFile {
    /// A file that holds it on its first line. Nobody but its owner and group may have access to it.
    pub key_file: PathBuf,
}

/// Settings of [`Auth::Hmac`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HmacAuth {
    /// The keys that adverts are checked with.
    pub keys: Vec<HmacKey>,
    /// The number of the key that adverts are made with.
    pub active: u8,
    /// How far the directors' clocks may be apart; absent means three advert intervals, but at least 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Period>,
    /// What is sent and demanded.
    #[serde(default, skip_serializing_if = "HmacMode::is_default")]
    pub mode: HmacMode,
}

impl HmacAuth {
    /// The window in force with this advert interval.
    pub fn window_for(&self, advert_interval: Period) -> Period {
        let default = Period((3 * advert_interval.get()).max(Duration::from_secs(5)));
        self.window.unwrap_or(default)
    }
}

/// A key of [`HmacAuth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HmacKey {
    /// Its number, the same on all directors.
    pub id: u8,
    /// A file that holds it on its first line: 32 to 64 bytes as they are, or `hex:` and their digits. Nobody but
    /// its owner and group may have access to it.
    pub key_file: PathBuf,
}

/// The steps in which a cluster gets trailers without losing an advert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HmacMode {
    /// Sends none, accepts adverts without one.
    ReceiveOnly,
    /// Sends them, accepts adverts without one.
    Permissive,
    /// Sends them, drops adverts without one.
    #[default]
    Enforce,
}

impl HmacMode {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Neighbour announcements after take-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Announce {
    /// How many announcements per address in one burst.
    pub repeat: u8,
    /// Time between the announcements of a burst.
    pub interval: Period,
    /// Time from take-over to the second burst; `"0s"` for none.
    pub delay: Period,
    /// Time between announcements for as long as it is master; `"0s"` for none.
    pub refresh: Period,
    /// How many announcements per address each of those times.
    #[serde(skip_serializing_if = "is_one")]
    pub refresh_repeat: u8,
    /// As `repeat`, after another router claimed to be master with a lower priority; 0 for none, absent for `repeat`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_priority_repeat: Option<u8>,
    /// As `delay`, after another router claimed to be master with a lower priority; absent for `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower_priority_delay: Option<Period>,
    /// Time between the announcements of two addresses on one interface, for switches and neighbours that take no
    /// more; `"0s"` for none. What would pile up is left out.
    #[serde(skip_serializing_if = "is_zero")]
    pub pacing: Period,
}

/// Given by reference, as serde does.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn is_one(count: &u8) -> bool {
    *count == 1
}

fn is_zero(period: &Period) -> bool {
    period.get().is_zero()
}

impl Default for Announce {
    fn default() -> Self {
        Self {
            repeat: 5,
            interval: Period::from_millis(20),
            delay: Period::from_secs(5),
            refresh: Period::from_secs(30),
            refresh_repeat: 1,
            lower_priority_repeat: None,
            lower_priority_delay: None,
            pacing: Period::from_secs(0),
        }
    }
}

impl Announce {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// An address that the master of the group holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtualIp {
    /// The address.
    pub address: IpAddr,
    /// Prefix length; absent means a host prefix (32 or 128).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// The interface that gets it; absent means the one with the instance's virtual MAC, or else the instance's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<IfName>,
}

impl VirtualIp {
    /// The prefix length, default filled in.
    pub fn prefix(&self) -> u8 {
        self.prefix.unwrap_or(Family::of(self.address).host_prefix())
    }
}
