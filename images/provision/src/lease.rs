//! A name that a DHCP server gives: it comes with the network, and so after the boot.

use std::fs;

use fairway_config::provision::Provision;
use fairway_gen::render::Files;

use crate::apply::{files_of, lock};
use crate::boot::boot;
use crate::places::Places;
use crate::steps::{Run, Steps};
use crate::tell;
use crate::tree::Trees;

/// Names that DHCP servers have given, as systemd-networkd keeps them with its leases.
pub fn names(places: &Places) -> Vec<String> {
    let leases = fs::read_dir(places.run().join("systemd/netif/leases")).into_iter().flatten().flatten();
    let mut names: Vec<String> = leases
        .filter_map(|lease| fs::read_to_string(lease.path()).ok())
        .filter_map(|text| text.lines().find_map(|line| line.strip_prefix("HOSTNAME=")).map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Where nothing is in force, tries once more what the machine was given, and starts what the boot would have started.
/// `None` if there is nothing new to tell.
pub fn provision(places: &Places, run: &mut Run<'_>) -> Option<Provision> {
    if names(places).is_empty() {
        return None;
    }
    // Else somebody is applying one, and needs no name.
    let _lock = lock(places).ok()?;
    let trees = Trees::new(places);
    if trees.current().is_some() {
        return None;
    }
    let before = tell::read_record(places).unwrap_or_default();
    let mut record = boot(places);
    let Some(tree) = trees.current() else {
        // With every lease that is renewed it would be told again.
        return (record.errors != before.errors).then_some(record);
    };
    let done = files_of(&tree.join("files")).map_err(|error| format!("{error:#}")).and_then(|files| {
        Steps::new(&Files::new(), &files, false).after.iter().try_for_each(|step| step.run(run))
    });
    if let Err(error) = done {
        record.warnings.push(format!("{error}; a restart of the machine may do it"));
    }
    Some(record)
}
