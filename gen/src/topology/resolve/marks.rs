//! Marks of services that have several virtual IPs or ports in common, and who has which port.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::Range;

use fairway_config::Protocol;

use super::super::raw::{RawFwmark, RawTopology};
use super::super::{Forward, Ports, Service};
use crate::report::{Problems, Rule};

/// Marks that the generator chooses start here; smaller ones are left to the administrator's own rules.
const FIRST: u32 = 1001;

/// The mark of each service that has one: as written, or the next free one in the order of the file, which is the
/// same on every host.
pub(super) fn allocate<'a>(problems: &mut Problems, raw: &'a RawTopology) -> HashMap<&'a str, NonZeroU32> {
    let mut marks: HashMap<&str, NonZeroU32> = HashMap::new();
    let mut taken: BTreeMap<u32, (&str, Range<usize>)> = BTreeMap::new();
    for (name, entry) in &raw.services {
        let Some(written) = &entry.value.fwmark else { continue };
        let RawFwmark::Mark(mark) = *written.get_ref() else { continue };
        if let Some((other, span)) = taken.insert(mark.get(), (name, written.span())) {
            problems
                .add(
                    Rule::FwmarkClash,
                    format!("{}.fwmark", entry.key),
                    written.span(),
                    format!("{mark} is the mark of \"{other}\""),
                    "give each service its own, or write fwmark = true",
                )
                .see(span, "here already");
        }
        marks.insert(name, mark);
    }
    let mut free = (FIRST..).filter(|mark| !taken.contains_key(mark)).filter_map(NonZeroU32::new);
    for (name, entry) in &raw.services {
        let wanted = entry.value.fwmark.as_ref().is_some_and(|f| *f.get_ref() == RawFwmark::Flag(true));
        if wanted && let Some(mark) = free.next() {
            marks.insert(name, mark);
        }
    }
    marks
}

/// The rules of a service with a mark.
pub(super) fn rules(problems: &mut Problems, (key, span): (&str, Range<usize>), service: &Service) {
    if service.fwmark.is_none() {
        return;
    }
    let mut refuse = |message: &str, remedy: &str| {
        problems.add(Rule::FwmarkService, format!("{key}.fwmark"), span.clone(), message, remedy);
    };
    if service.forward == Forward::FullNat || service.syn_proxy {
        refuse(
            "full NAT and the SYN proxy know a service by its virtual IP and port, not by a mark",
            "use forward = \"nat\" or \"direct\" without syn-proxy, or leave fwmark out",
        );
    }
    let mut groups = service.listens.iter().map(|listen| (&listen.group, &listen.directors));
    if let Some(first) = groups.next()
        && groups.any(|other| other != first)
    {
        refuse(
            "its virtual IPs can be on different directors, and a client would not stay with its server",
            "put the virtual IPs into one failover group",
        );
    }
}

/// Ports that services have, by address and transport.
#[derive(Default)]
pub(super) struct Taken<'a>(HashMap<(IpAddr, Protocol), BTreeMap<u16, Holder<'a>>>);

type Holder<'a> = (Ports, &'a str, Range<usize>);

impl<'a> Taken<'a> {
    /// Takes ports, unless somebody has one of them.
    ///
    /// # Errors
    /// Who has it, and where that is written.
    pub fn take(
        &mut self,
        (address, protocol): (IpAddr, Protocol),
        ports: Ports,
        (name, span): (&'a str, Range<usize>),
    ) -> Result<(), (&'a str, Range<usize>)> {
        let held = self.0.entry((address, protocol)).or_default();
        match held.range(..=ports.last).next_back() {
            Some((_, (other, name, span))) if other.last >= ports.first => Err((*name, span.clone())),
            _ => {
                held.insert(ports.first, (ports, name, span));
                Ok(())
            }
        }
    }
}
