//! The rules of VRRP, as the schema of director.toml has them.

use std::ops::Range;

use fairway_config::{Config, Priority, VrrpVersion};
use serde_spanned::Spanned;

use crate::reader::Entry;
use crate::report::{Problems, Rule};
use crate::topology::raw::{RawGroup, bare_config};
use crate::topology::{Group, Host, Interface};

/// The rules of the protocol, as the schema of director.toml has them.
pub fn protocol_rules(problems: &mut Problems, (name, entry): (&str, &Entry<RawGroup>), group: &Group) {
    let raw = &entry.value;
    if let (VrrpVersion::V2, Some(checksum)) = (group.version, &raw.checksum) {
        problems.add(
            Rule::Version2Checksum,
            format!("{}.checksum", entry.key),
            checksum.span(),
            "VRRPv2 has one form of checksum",
            "remove this, or use version = 3",
        );
    }
    let version = raw.version.as_ref().map_or(entry.span.clone(), Spanned::span);
    for problem in schema_problems(name, group) {
        let place = problem.at.rsplit('.').next().unwrap_or_default();
        let at = |span: Option<Range<usize>>| span.unwrap_or_else(|| version.clone());
        let (rule, key, span) = match place {
            "advert-interval" => {
                (Rule::AdvertInterval, "advert-interval", at(raw.advert_interval.as_ref().map(Spanned::span)))
            }
            "version" => (Rule::Version2Ipv6, "version", version.clone()),
            "auth" => {
                let rule =
                    if group.version == VrrpVersion::V3 { Rule::Version3Auth } else { Rule::Version2Auth };
                (rule, "auth", at(raw.auth.as_ref().map(Spanned::span)))
            }
            "active" | "window" => (Rule::HmacSetting, "auth.hmac", at(raw.auth.as_ref().map(Spanned::span))),
            "after" => (Rule::PreemptDelay, "preempt.after", at(raw.preempt.as_ref().map(Spanned::span))),
            "start-delay" => {
                (Rule::StartDelay, "start-delay", at(raw.start_delay.as_ref().map(Spanned::span)))
            }
            "repeat" => {
                (Rule::AnnounceRepeat, "announce.repeat", at(raw.announce.as_ref().map(Spanned::span)))
            }
            // The rest follows from what resolving has checked.
            _ => continue,
        };
        let text = match (rule, &raw.advert_interval) {
            (Rule::AdvertInterval, None) => format!("the default of {}", problem.message),
            _ => problem.message,
        };
        problems.add_text(rule, format!("{}.{key}", entry.key), span, &text);
    }
}

/// What the schema says about the group, once for each rule.
fn schema_problems(name: &str, group: &Group) -> Vec<fairway_config::Problem> {
    let interface: fairway_config::IfName = "eth0".parse().expect("a proper name");
    let host = Host {
        interfaces: group
            .instances
            .iter()
            .map(|i| Interface {
                name: interface.clone(),
                network: i.network.clone(),
                addresses: Vec::new(),
                manage: true,
            })
            .collect(),
        machine_id: None,
        mac: None,
    };
    let priority = Priority::new(100).expect("100 is a priority");
    let config = Config {
        failover: vec![group.for_director(name, ("", &host), priority, |_| Vec::new())],
        ..bare_config()
    };
    let Err(fairway_config::Error::Invalid(mut found)) = config.validate() else { return Vec::new() };
    let mut seen = std::collections::HashSet::new();
    found.retain(|p| seen.insert(p.at.rsplit('.').next().unwrap_or_default().to_owned()));
    found
}
