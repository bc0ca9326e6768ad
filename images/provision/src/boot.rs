//! What happens at boot: the newest topology that is good comes into force.

use std::fs;

use fairway_config::provision::{Provision, Source, State};
use fairway_gen::render::Files;

use crate::keep::{self, Kept};
use crate::machine::Machine;
use crate::places::Places;
use crate::prepared::Prepared;
use crate::source::{self, Broken, Given};
use crate::sysctls;
use crate::tell;
use crate::tree::Trees;

/// Puts the newest good topology in force and says what came of it. Nothing that is wrong ends it early.
pub fn boot(places: &Places) -> Provision {
    let sources = source::find(places);
    let mut record = Provision { time: tell::now(), warnings: sources.warnings, ..Provision::default() };
    // Whoever mounted it has said what is wrong with it.
    let var = fs::read_to_string(places.fairway().join("var")).unwrap_or_default();
    record.warnings.extend(var.lines().map(str::to_owned));
    let given = sources.topologies;
    if let [Ok(first), Ok(second)] = &given[..]
        && first.sha256() != second.sha256()
    {
        record.warnings.push(format!(
            "two topologies disagree: {} (SHA-256 {}) counts, {} (SHA-256 {}) does not; make them the same, or take one \
             away",
            first.source,
            first.sha256(),
            second.source,
            second.sha256()
        ));
    }
    record.given = given.first().map(hash).unwrap_or_default();
    let kept = keep::read(places);
    let machine = Machine::look(places);
    let candidates = order(given, kept);
    if candidates.is_empty() {
        record.state = State::None;
    }
    for (number, candidate) in candidates.into_iter().enumerate() {
        let in_force = candidate
            .and_then(|given| Prepared::new(given, &machine))
            .and_then(|prepared| install(places, prepared));
        match in_force {
            Ok(prepared) => {
                if matches!(prepared.source, Source::Credential | Source::Disk)
                    && let Err(error) = keep::write(places, &prepared, None)
                {
                    record.warnings.push(format!(
                        "the last good copy could not be kept: {error}; make room there and let it be written to, or the \
                         next boot has nothing to fall back on"
                    ));
                }
                // Nothing of it has been set yet.
                if let Err(error) = sysctls::remember(places, &Files::new(), &prepared.files) {
                    record.warnings.push(format!(
                        "the sysctls' values from before could not be remembered: {error}; those that a later topology \
                         drops stay until the reboot"
                    ));
                }
                record.state = if number == 0 { State::Ok } else { State::Refused };
                describe(&mut record, &prepared);
                break;
            }
            Err(broken) => {
                record.state = State::Refused;
                record.errors.extend(broken.errors);
                record.refused.push(broken.refused);
            }
        }
    }
    record
}

/// What is in force now.
pub fn describe(record: &mut Provision, prepared: &Prepared) {
    record.host.clone_from(&prepared.host);
    record.cluster.clone_from(&prepared.cluster);
    record.roles.clone_from(&prepared.roles);
    record.source = Some(prepared.source);
    record.sha256.clone_from(&prepared.sha256);
    record.warnings.extend(prepared.warnings.iter().cloned());
}

/// What is tried, in this order: what was given first, the last good copy, what was given besides. Before all, what an
/// operator applied in place of what is still given.
fn order(
    given: Vec<Result<Given, Broken>>,
    kept: Option<Result<Kept, Broken>>,
) -> Vec<Result<Given, Broken>> {
    let mut all = given.into_iter();
    let first = all.next();
    let refused = first.as_ref().map(hash);
    let applied = match &kept {
        Some(Ok(kept)) => refused.is_some() && kept.instead_of == refused,
        _ => false,
    };
    let kept = kept.map(|kept| kept.map(|kept| kept.given));
    let (before, after) = if applied { (kept, None) } else { (None, kept) };
    // The copy of what was just refused says nothing new.
    let after = after.filter(|kept| kept.is_err() || Some(hash(kept)) != refused);
    before.into_iter().chain(first).chain(after).chain(all).collect()
}

fn hash(candidate: &Result<Given, Broken>) -> String {
    match candidate {
        Ok(given) => given.sha256(),
        Err(broken) => broken.refused.sha256.clone(),
    }
}

fn install(places: &Places, prepared: Prepared) -> Result<Prepared, Broken> {
    let trees = Trees::new(places);
    let installed = trees.write(&prepared).and_then(|tree| trees.switch(&tree).map(|()| tree));
    match installed {
        Ok(tree) => {
            trees.tidy(&[&tree]);
            Ok(prepared)
        }
        Err(error) => Err(Broken {
            refused: fairway_config::provision::Refused { source: prepared.source, sha256: prepared.sha256 },
            errors: vec![format!(
                "the files of {} cannot be written: {error}; make room in /run",
                prepared.host
            )],
        }),
    }
}
