//! Failover groups as written.

use std::ops::Range;
use std::path::PathBuf;

use fairway_config::{
    Announce, Auth, Checksum, HmacAuth, HmacKey, HmacMode, KeyFile, Period, Preempt, VrrpVersion,
};
use serde_spanned::Spanned;

use super::route::{RawRoute, RawRule, read_routes, read_rules};
use super::track::{RawTracker, read_tracker};
use crate::reader::{Named, Value};
use crate::report::{Problems, Rule};
use crate::topology::Transport;

/// `[failover.X]`.
#[derive(Debug, Default)]
pub struct RawGroup {
    /// `virtual-ips`.
    pub virtual_ips: Vec<Spanned<String>>,
    /// `excluded`.
    pub excluded: Vec<Spanned<String>>,
    /// `directors`.
    pub directors: RawDirectors,
    /// `owner`.
    pub owner: Option<Spanned<String>>,
    /// `accept-mode`.
    pub accept_mode: Option<Spanned<bool>>,
    /// `advert-interval`.
    pub advert_interval: Option<Spanned<Period>>,
    /// `down-timer-adverts`.
    pub down_timer_adverts: Option<Spanned<u8>>,
    /// `start-delay`.
    pub start_delay: Option<Spanned<Period>>,
    /// `version`.
    pub version: Option<Spanned<VrrpVersion>>,
    /// `checksum`.
    pub checksum: Option<Spanned<Checksum>>,
    /// `preempt`.
    pub preempt: Option<Spanned<Preempt>>,
    /// `auth`.
    pub auth: Option<Spanned<Auth>>,
    /// `vrid`.
    pub vrid: Option<RawVrid>,
    /// `transport`.
    pub transport: Option<Spanned<Transport>>,
    /// `virtual-mac`.
    pub virtual_mac: Option<Spanned<bool>>,
    /// `transmit-from-base`.
    pub transmit_from_base: Option<Spanned<bool>>,
    /// `announce`.
    pub announce: Option<Spanned<Announce>>,
    /// `router`.
    pub router: Option<Spanned<bool>>,
    /// `nonlocal-bind`.
    pub nonlocal_bind: Option<Spanned<bool>>,
    /// `routes`.
    pub routes: Vec<RawRoute>,
    /// `rules`.
    pub rules: Vec<RawRule>,
    /// `track`.
    pub track: Named<RawTracker>,
}

/// `directors`: in order of preference, or with priorities.
#[derive(Debug)]
pub enum RawDirectors {
    /// `["lb1", "lb2"]`.
    Preference(Vec<Spanned<String>>),
    /// `{ lb1 = 200, lb2 = 100 }`.
    Priorities(Named<Option<Spanned<i64>>>),
}

impl Default for RawDirectors {
    fn default() -> Self {
        Self::Preference(Vec::new())
    }
}

/// `vrid`: one number, or one for each network.
#[derive(Debug)]
pub enum RawVrid {
    /// `51`.
    One(Spanned<i64>),
    /// `{ public = 51, servers = 52 }`.
    PerNetwork(Named<Option<Spanned<i64>>>),
}

const PERIOD: &str = "a length of time such as \"250ms\"";
const DIRECTORS: &str =
    "hosts in order of preference, [\"lb1\", \"lb2\"], or with priorities, { lb1 = 200, lb2 = 100 }";

pub(super) fn read_group(problems: &mut Problems, value: Value<'_>, name: Range<usize>) -> Option<RawGroup> {
    let mut table = value.table(problems, "a table with virtual-ips and directors")?.at(name);
    let virtual_ips = table.required(problems, "virtual-ips", "virtual-ips = [\"...\"]");
    let virtual_ips = virtual_ips.map(|v| read_names(problems, &v, "a list of names from [virtual-ips]"));
    let excluded = table.optional("excluded");
    let excluded = excluded.map(|v| read_names(problems, &v, "a list of names from [virtual-ips]"));
    let directors = table.required(problems, "directors", "directors = [\"...\", \"...\"]");
    let group = RawGroup {
        virtual_ips: virtual_ips.unwrap_or_default(),
        excluded: excluded.unwrap_or_default(),
        directors: directors.and_then(|v| read_directors(problems, &v)).unwrap_or_default(),
        owner: table.optional("owner").and_then(|v| v.string(problems, "the name of one of its directors")),
        accept_mode: table.optional("accept-mode").and_then(|v| v.boolean(problems)),
        advert_interval: table.optional("advert-interval").and_then(|v| v.parsed(problems, PERIOD)),
        down_timer_adverts: table.optional("down-timer-adverts").and_then(|v| read_adverts(problems, &v)),
        start_delay: table.optional("start-delay").and_then(|v| v.parsed(problems, PERIOD)),
        version: table.optional("version").and_then(|v| read_version(problems, &v)),
        checksum: table.optional("checksum").and_then(|v| {
            let words = [("rfc9568", Checksum::Rfc9568), ("rfc5798", Checksum::Rfc5798)];
            v.choice(problems, Rule::BadValue, &words)
        }),
        preempt: table.optional("preempt").and_then(|v| read_preempt(problems, &v)),
        auth: table.optional("auth").and_then(|v| read_auth(problems, &v)),
        vrid: table.optional("vrid").and_then(|v| read_vrid(problems, &v)),
        transport: table.optional("transport").and_then(|v| {
            let words = [("multicast", Transport::Multicast), ("unicast", Transport::Unicast)];
            v.choice(problems, Rule::BadValue, &words)
        }),
        virtual_mac: table.optional("virtual-mac").and_then(|v| v.boolean(problems)),
        transmit_from_base: table.optional("transmit-from-base").and_then(|v| v.boolean(problems)),
        announce: table.optional("announce").and_then(|v| read_announce(problems, &v)),
        router: table.optional("router").and_then(|v| v.boolean(problems)),
        nonlocal_bind: table.optional("nonlocal-bind").and_then(|v| v.boolean(problems)),
        routes: table.optional("routes").map(|v| read_routes(problems, &v)).unwrap_or_default(),
        rules: table.optional("rules").map(|v| read_rules(problems, &v)).unwrap_or_default(),
        track: table.optional("track").and_then(|v| read_trackers(problems, &v)).unwrap_or_default(),
    };
    table.finish(problems);
    Some(group)
}

fn read_trackers(problems: &mut Problems, value: &Value<'_>) -> Option<Named<RawTracker>> {
    let table = value.table(problems, "a table of trackers, each with a name of its own")?;
    Some(table.named(problems, |problems, value, name| read_tracker(problems, &value, name)))
}

/// A list of names, none of them twice.
pub(super) fn read_names(problems: &mut Problems, value: &Value<'_>, want: &str) -> Vec<Spanned<String>> {
    let elements = value.list(problems, want).unwrap_or_default();
    let mut names: Vec<Spanned<String>> = elements.iter().filter_map(|v| v.string(problems, want)).collect();
    let mut seen = std::collections::HashMap::new();
    names.retain(|name| match seen.insert(name.get_ref().clone(), name.span()) {
        None => true,
        Some(first) => {
            problems
                .add(
                    Rule::Repeated,
                    &value.key,
                    name.span(),
                    format!("\"{}\" is listed twice", name.get_ref()),
                    "list it once",
                )
                .see(first, "here already");
            false
        }
    });
    names
}

fn read_directors(problems: &mut Problems, value: &Value<'_>) -> Option<RawDirectors> {
    if value.is_list() {
        return Some(RawDirectors::Preference(read_names(problems, value, DIRECTORS)));
    }
    let table = value.table(problems, DIRECTORS)?;
    let named = table.named(problems, |problems, v, _| Some(v.integer(problems, i64::MIN..=i64::MAX)));
    if named.is_empty() {
        problems.add(
            Rule::EmptyList,
            &value.key,
            value.span.clone(),
            "the table is empty",
            format!("write {DIRECTORS}"),
        );
    }
    Some(RawDirectors::Priorities(named))
}

/// The range that keepalived has.
fn read_adverts(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<u8>> {
    let number = value.integer(problems, 1..=100)?;
    Some(Spanned::new(number.span(), u8::try_from(*number.get_ref()).ok()?))
}

fn read_version(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<VrrpVersion>> {
    let number = value.integer(problems, 0..=i64::MAX)?;
    match VrrpVersion::try_from(*number.get_ref()) {
        Ok(version) => Some(Spanned::new(number.span(), version)),
        Err(error) => {
            let text = error.to_string().replacen(": ", "; ", 1);
            problems.add_text(Rule::BadValue, &value.key, value.span.clone(), &text);
            None
        }
    }
}

fn read_preempt(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<Preempt>> {
    if value.is_boolean() {
        let preempt = if value.boolean(problems)?.into_inner() { Preempt::Always } else { Preempt::Never };
        return Some(Spanned::new(value.span.clone(), preempt));
    }
    let mut table = value.table(problems, "true, false or { after = \"60s\" }")?;
    let after = table
        .required(problems, "after", "after = \"60s\"")
        .and_then(|v| v.parsed(problems, "a length of time such as \"60s\""));
    table.finish(problems);
    after.map(|after| Spanned::new(after.span(), Preempt::After(after.into_inner())))
}

fn read_auth(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<Auth>> {
    let mut table =
        value.table(problems, "a table such as { pass = { key-file = \"/etc/fairway/edge.key\" } }")?;
    let given: Vec<_> = ["pass", "ah", "hmac"].into_iter().map(|kind| table.optional(kind)).collect();
    table.finish(problems);
    let mut given = given.into_iter().zip(["pass", "ah", "hmac"]).filter_map(|(v, kind)| Some((v?, kind)));
    let (Some((first, kind)), None) = (given.next(), given.next()) else {
        problems.add(
            Rule::AuthKind,
            &value.key,
            value.span.clone(),
            "exactly one kind of authentication is wanted",
            "write one of pass, ah and hmac",
        );
        return None;
    };
    let auth = match kind {
        "pass" => Auth::Pass(read_key_file(problems, &first)?),
        "ah" => Auth::Ah(read_key_file(problems, &first)?),
        _ => Auth::Hmac(read_hmac(problems, &first)?),
    };
    Some(Spanned::new(first.span, auth))
}

fn read_key_file(problems: &mut Problems, value: &Value<'_>) -> Option<KeyFile> {
    let mut table = value.table(problems, "a table such as { key-file = \"/etc/fairway/edge.key\" }")?;
    let file = table.required(problems, "key-file", "key-file = \"/etc/fairway/edge.key\"");
    table.finish(problems);
    read_path(problems, &file?).map(|key_file| KeyFile { key_file })
}

fn read_hmac(problems: &mut Problems, value: &Value<'_>) -> Option<HmacAuth> {
    let mut table = value.table(problems, "a table such as { keys = { 1 = \"/etc/fairway/edge.key\" } }")?;
    let keys = table.required(problems, "keys", "keys = { 1 = \"/etc/fairway/edge.key\" }");
    let active = table.optional("active").and_then(|v| v.integer(problems, 0..=255));
    let window = table.optional("window").and_then(|v| v.parsed(problems, PERIOD)).map(Spanned::into_inner);
    let mode = table.optional("mode").and_then(|v| {
        let words = [
            ("receive-only", HmacMode::ReceiveOnly),
            ("permissive", HmacMode::Permissive),
            ("enforce", HmacMode::Enforce),
        ];
        v.choice(problems, Rule::BadValue, &words)
    });
    table.finish(problems);
    let files = keys?
        .table(problems, "files by the numbers of their keys")?
        .named(problems, |problems, v, _| Some(read_path(problems, &v)));
    let (mut keys, written) = (Vec::with_capacity(files.len()), files.len());
    for (name, file) in files {
        // The schema leaves digits only.
        match (name.parse::<u8>(), file.value) {
            (Ok(id), Some(key_file)) => keys.push(HmacKey { id, key_file }),
            (Err(_), _) => {
                problems.add(
                    Rule::BadValue,
                    &file.key,
                    file.span,
                    format!("{name} is not the number of a key"),
                    "number the keys from 0 to 255",
                );
            }
            (Ok(_), None) => {}
        }
    }
    // What depends on a key that cannot be read would only be a second report of it.
    if keys.len() < written {
        return None;
    }
    let active = active.map(|n| u8::try_from(n.into_inner()).expect("the reader allows 0 to 255"));
    Some(HmacAuth {
        active: active.or(keys.first().map(|key| key.id)).unwrap_or_default(),
        keys,
        window,
        mode: mode.map(Spanned::into_inner).unwrap_or_default(),
    })
}

/// Where a secret is on the directors.
fn read_path(problems: &mut Problems, value: &Value<'_>) -> Option<PathBuf> {
    let file = value.string(problems, "the path of a file")?;
    if file.get_ref().starts_with("/nix/store/") {
        problems.add(
            Rule::SecretInStore,
            &value.key,
            file.span(),
            format!("\"{}\" is in the Nix store, where everybody can read it", file.get_ref()),
            "put it somewhere else, such as \"/etc/fairway/secrets/edge\" by services.fairway.secrets",
        );
        return None;
    }
    if file.get_ref().starts_with('/') {
        return Some(PathBuf::from(file.into_inner()));
    }
    problems.add(
        Rule::KeyFile,
        &value.key,
        file.span(),
        format!("\"{}\" is not an absolute path", file.get_ref()),
        "write where the file is on the directors, such as \"/etc/fairway/edge.key\"",
    );
    None
}

fn read_vrid(problems: &mut Problems, value: &Value<'_>) -> Option<RawVrid> {
    if value.is_integer() {
        return value.integer(problems, 1..=255).map(RawVrid::One);
    }
    let table = value.table(problems, "a number such as 51, or one for each network, { public = 51 }")?;
    Some(RawVrid::PerNetwork(table.named(problems, |problems, v, _| Some(v.integer(problems, 1..=255)))))
}

fn read_announce(problems: &mut Problems, value: &Value<'_>) -> Option<Spanned<Announce>> {
    let mut table = value.table(problems, "a table such as { repeat = 5, refresh = \"30s\" }")?;
    let mut announce = Announce::default();
    if let Some(repeat) = table.optional("repeat").and_then(|v| v.integer(problems, 0..=255)) {
        announce.repeat = u8::try_from(repeat.into_inner()).unwrap_or(u8::MAX);
    }
    if let Some(repeat) = table.optional("refresh-repeat").and_then(|v| v.integer(problems, 1..=255)) {
        announce.refresh_repeat = u8::try_from(repeat.into_inner()).unwrap_or(u8::MAX);
    }
    let lower = table.optional("lower-priority-repeat").and_then(|v| v.integer(problems, 0..=255));
    announce.lower_priority_repeat = lower.map(|repeat| u8::try_from(repeat.into_inner()).unwrap_or(u8::MAX));
    let mut period =
        |name| table.optional(name).and_then(|v| v.parsed(problems, PERIOD)).map(Spanned::into_inner);
    announce.interval = period("interval").unwrap_or(announce.interval);
    announce.delay = period("delay").unwrap_or(announce.delay);
    announce.refresh = period("refresh").unwrap_or(announce.refresh);
    announce.lower_priority_delay = period("lower-priority-delay");
    announce.pacing = period("pacing").unwrap_or(announce.pacing);
    table.finish(problems);
    Some(Spanned::new(value.span.clone(), announce))
}
