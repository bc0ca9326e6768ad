//! The plan carried out on a table that is as strict as the kernel.

use std::collections::BTreeSet;
use std::sync::Arc;

use nix::errno::Errno;
use proptest::prelude::*;

use super::{Operation, plan};
use crate::model::{Service, ServiceKey, Table};
use crate::testing::{owned, table};

/// What the kernel does with an operation, errors included (`ip_vs_genl_set_cmd`).
fn carry_out(table: &mut Table, operation: &Operation) -> Result<(), Errno> {
    fn of<'a>(table: &'a mut Table, key: &ServiceKey) -> Result<&'a mut Service, Errno> {
        table.get_mut(key).map(Arc::make_mut).ok_or(Errno::ESRCH)
    }
    match operation {
        Operation::AddService { service, .. } if table.contains_key(service) => return Err(Errno::EEXIST),
        Operation::AddService { service, settings } => {
            table.insert(*service, Arc::new(Service::new(*settings)));
        }
        Operation::SetService { service, settings } => of(table, service)?.settings = *settings,
        Operation::DeleteService { service } => {
            table.remove(service).ok_or(Errno::ESRCH)?;
        }
        Operation::AddDestination { service, key, destination } => {
            if of(table, service)?.destinations.insert(*key, *destination).is_some() {
                return Err(Errno::EEXIST);
            }
        }
        Operation::SetDestination { service, key, destination } => {
            *of(table, service)?.destinations.get_mut(key).ok_or(Errno::ENOENT)? = *destination;
        }
        Operation::DeleteDestination { service, key } => {
            of(table, service)?.destinations.remove(key).ok_or(Errno::ENOENT)?;
        }
    }
    Ok(())
}

/// How many things differ: what no list of operations can be shorter than.
fn differences(desired: &Table, observed: &Table, owned: &BTreeSet<ServiceKey>) -> usize {
    let deleted = observed.keys().filter(|key| owned.contains(key) && !desired.contains_key(key)).count();
    let changed = desired.iter().map(|(key, wanted)| match observed.get(key) {
        None => 1 + wanted.destinations.len(),
        Some(present) => {
            let keys: BTreeSet<_> = wanted.destinations.keys().chain(present.destinations.keys()).collect();
            let differ =
                keys.iter().filter(|key| wanted.destinations.get(key) != present.destinations.get(key));
            usize::from(wanted.settings != present.settings) + differ.count()
        }
    });
    deleted + changed.sum::<usize>()
}

proptest! {
    #[test]
    fn a_plan_leads_to_the_desired_table(desired in table(), observed in table(), owned in owned()) {
        let mut expected: Table = observed.clone();
        expected.retain(|key, _| !owned.contains(key));
        expected.extend(desired.clone());

        let mut actual = observed.clone();
        for operation in plan(&desired, &observed, &owned) {
            prop_assert_eq!(carry_out(&mut actual, &operation), Ok(()), "{}", operation);
        }
        prop_assert_eq!(&actual, &expected);
        prop_assert_eq!(plan(&desired, &actual, &owned), []);
    }

    #[test]
    fn a_plan_has_one_operation_for_each_difference(desired in table(), observed in table(), owned in owned()) {
        let operations = plan(&desired, &observed, &owned);
        prop_assert_eq!(operations.len(), differences(&desired, &observed, &owned));
    }

    #[test]
    fn no_plan_for_what_is_there_already(desired in table(), owned in owned()) {
        // A deep copy, so that equality is compared and not only pointers.
        let observed: Table = desired.iter().map(|(key, service)| (*key, Arc::new(Service::clone(service)))).collect();
        prop_assert_eq!(plan(&desired, &observed, &owned), []);
    }

    #[test]
    fn a_service_that_keeps_servers_never_runs_empty(desired in table(), observed in table(), owned in owned()) {
        let mut actual = observed.clone();
        for operation in plan(&desired, &observed, &owned) {
            let key = *operation.service();
            prop_assert_eq!(carry_out(&mut actual, &operation), Ok(()));
            let had = |table: &Table| table.get(&key).is_some_and(|service| !service.destinations.is_empty());
            if had(&desired) && had(&observed) {
                prop_assert!(had(&actual), "empty after: {}", operation);
            }
        }
    }

    #[test]
    fn removals_go_backwards(observed in table()) {
        let owned: BTreeSet<_> = observed.keys().copied().collect();
        let deleted: Vec<_> = plan(&Table::new(), &observed, &owned).iter().map(|o| *o.service()).collect();
        prop_assert!(deleted.iter().eq(owned.iter().rev()));

        let mut emptied = observed.clone();
        emptied.values_mut().for_each(|service| Arc::make_mut(service).destinations.clear());
        let removed = plan(&emptied, &observed, &owned);
        let mut places = removed.iter().map(|operation| match operation {
            Operation::DeleteDestination { service, key } => Some((*service, *key)),
            _ => None,
        });
        prop_assert!(places.clone().all(|place| place.is_some()));
        prop_assert!(places.by_ref().is_sorted_by(|one, next| one > next));
    }
}
