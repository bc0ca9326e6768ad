//! The thread against a fake kernel.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use fairway_ipvs::{
    Destination, DestinationKey, Errno, Forward, Name, Operation, Protocol, Service, ServiceKey, Settings,
    Table, Timeouts,
};

use super::fake::FakeKernel;
use super::{Desired, KernelStatus, TableHandle, TableStatus};

const NEVER: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(10);

fn key(last: u8) -> ServiceKey {
    ServiceKey::Address { address: [10, 0, 0, last].into(), port: 80, protocol: Protocol::TCP }
}

fn server(last: u8) -> DestinationKey {
    DestinationKey { address: [10, 1, 0, last].into(), port: 80 }
}

fn service(scheduler: &str, servers: &[(u8, u32)]) -> Arc<Service> {
    let mut service = Service::new(Settings::new(Name::new(scheduler).expect("a short name")));
    for &(last, weight) in servers {
        service.destinations.insert(server(last), Destination::new(Forward::Direct, weight));
    }
    Arc::new(service)
}

fn desired(services: &[(ServiceKey, Arc<Service>)]) -> Desired {
    Desired {
        services: services.iter().cloned().collect(),
        timeouts: Timeouts::default(),
        audit_period: NEVER,
    }
}

/// Waits until the thread has published a status `wanted` holds for.
async fn until(table: &TableHandle, wanted: impl FnMut(&TableStatus) -> bool) -> TableStatus {
    let mut status = table.status();
    let found = tokio::time::timeout(PATIENCE, status.wait_for(wanted)).await;
    found.expect("the thread publishes in time").expect("the thread lives").clone()
}

async fn set(table: &TableHandle, desired: Desired) -> TableStatus {
    let generation = table.set(desired);
    until(table, |status| status.generation >= generation).await
}

#[tokio::test]
async fn a_desired_table_is_loaded_and_a_stop_deletes_it() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let wanted = desired(&[(key(1), service("rr", &[(1, 1), (2, 0)])), (key(2), service("wlc", &[(1, 5)]))]);
    let status = set(&table, wanted.clone()).await;
    assert_eq!(kernel.state().table, wanted.services);
    assert_eq!(*status.installed, wanted.services);
    assert!(matches!(status.kernel, KernelStatus::Ready(_)));

    table.stop(false).await.expect("the fake refuses nothing");
    assert_eq!(kernel.state().table, Table::new());
    assert!(table.stop(false).await.is_err(), "a thread that has ended says so");
}

#[tokio::test]
async fn a_stop_that_keeps_leaves_the_table() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let wanted = desired(&[(key(1), service("rr", &[(1, 1)]))]);
    set(&table, wanted.clone()).await;
    table.stop(true).await.expect("nothing to refuse");
    assert_eq!(kernel.state().table, wanted.services);
}

#[tokio::test]
async fn a_service_in_the_kernel_is_adopted_and_foreign_ones_are_left_alone() {
    let kernel = FakeKernel::default();
    let found: Table =
        [(key(1), service("rr", &[(1, 7), (2, 1)])), (key(9), service("rr", &[(9, 9)]))].into();
    kernel.state().table = found.clone();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let status = until(&table, |status| status.initial.is_some()).await;
    assert_eq!(status.initial.as_deref(), Some(&found));

    let status = set(&table, desired(&[(key(1), service("wrr", &[(1, 7), (3, 1)]))])).await;
    assert_eq!(
        kernel.state().log,
        [
            Operation::SetService { service: key(1), settings: service("wrr", &[]).settings },
            Operation::AddDestination {
                service: key(1),
                key: server(3),
                destination: Destination::new(Forward::Direct, 1)
            },
            Operation::DeleteDestination { service: key(1), key: server(2) },
        ]
    );
    assert_eq!(*status.foreign, BTreeSet::from([key(9)]));

    table.stop(false).await.expect("nothing to refuse");
    assert_eq!(kernel.state().table, [(key(9), service("rr", &[(9, 9)]))].into());
}

#[tokio::test]
async fn a_service_no_longer_wanted_is_deleted_and_then_not_ours_any_more() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    set(&table, desired(&[(key(1), service("rr", &[])), (key(2), service("rr", &[]))])).await;
    set(&table, desired(&[(key(1), service("rr", &[]))])).await;
    assert_eq!(kernel.state().table, [(key(1), service("rr", &[]))].into());

    kernel.state().table.insert(key(2), service("lc", &[(5, 5)]));
    set(&table, desired(&[(key(1), service("lc", &[]))])).await;
    table.stop(false).await.expect("nothing to refuse");
    assert_eq!(kernel.state().table, [(key(2), service("lc", &[(5, 5)]))].into());
}

#[tokio::test]
async fn the_audit_restores_what_others_change() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let mut wanted =
        desired(&[(key(1), service("rr", &[(1, 1), (2, 1)])), (key(2), service("rr", &[(1, 1)]))]);
    wanted.audit_period = Duration::from_millis(200);
    wanted.timeouts.udp = NonZeroU32::new(7);
    set(&table, wanted.clone()).await;
    assert_eq!(kernel.state().timeouts, wanted.timeouts);

    {
        let mut state = kernel.state();
        state.log.clear();
        state.table.insert(key(1), service("rr", &[(2, 1)]));
        state.table.remove(&key(2));
        state.table.insert(key(9), service("sh", &[(9, 9)]));
        state.timeouts.udp = NonZeroU32::new(300);
    }
    let mut expected = wanted.services.clone();
    expected.insert(key(9), service("sh", &[(9, 9)]));
    tokio::time::timeout(PATIENCE, async {
        while kernel.state().timeouts != wanted.timeouts || kernel.state().table != expected {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the audit restores table and timeouts");
    let status = until(&table, |status| status.foreign.contains(&key(9))).await;
    assert_eq!(*status.installed, wanted.services);
    let state = kernel.state();
    let destination = Destination::new(Forward::Direct, 1);
    let restored = Operation::AddDestination { service: key(1), key: server(1), destination };
    assert_eq!(
        state.log.iter().filter(|operation| operation.service() == &key(1)).collect::<Vec<_>>(),
        [&restored]
    );
}

#[tokio::test]
async fn a_refused_service_is_reported_and_does_not_disturb_the_others() {
    let kernel = FakeKernel::default();
    kernel.state().unknown_schedulers.insert("mh".to_owned());
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let bad = service("mh", &[(1, 1)]);
    let mut wanted = desired(&[(key(1), Arc::clone(&bad)), (key(2), service("rr", &[(1, 1)]))]);
    wanted.timeouts.udp = NonZeroU32::new(7);
    let status = set(&table, wanted.clone()).await;
    assert_eq!(kernel.state().timeouts, wanted.timeouts);
    let error = status.errors.get(&key(1)).expect("an error");
    assert!(error.contains("ip_vs_mh") && error.contains("10.0.0.1:80/tcp"), "{error}");
    assert_eq!(kernel.state().table, [(key(2), service("rr", &[(1, 1)]))].into());

    // Another change goes through at once, without another try at the refused one.
    kernel.state().log.clear();
    let wanted = desired(&[(key(1), bad), (key(2), service("rr", &[(1, 2)]))]);
    let status = set(&table, wanted.clone()).await;
    assert!(status.errors.contains_key(&key(1)));
    assert_eq!(kernel.state().log.len(), 1, "{:?}", kernel.state().log);

    // The scheduler turns up: a later try succeeds on its own.
    kernel.state().unknown_schedulers.clear();
    until(&table, |status| status.errors.is_empty()).await;
    assert_eq!(kernel.state().table, wanted.services);
}

#[tokio::test]
async fn what_the_kernel_refuses_for_now_is_tried_again() {
    for (errno, words) in [
        (Errno::EBUSY, "busy"),
        (Errno::EPERM, "CAP_NET_ADMIN"),
        (Errno::ENOMEM, "memory"),
        (Errno::ENOBUFS, "buffer"),
    ] {
        // Once: the second try, after a look at the whole table, goes through, and nobody needs to know.
        let kernel = FakeKernel::default();
        kernel.state().refuse.insert(key(1), (errno, 1));
        let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
        let wanted = desired(&[(key(1), service("rr", &[(1, 1)])), (key(2), service("rr", &[(1, 1)]))]);
        let status = set(&table, wanted.clone()).await;
        assert_eq!((status.errors.len(), &kernel.state().table), (0, &wanted.services), "{errno}");

        // For longer: it is told of that service, the other goes on, and it is tried again after a pause.
        let kernel = FakeKernel::default();
        kernel.state().refuse.insert(key(1), (errno, usize::MAX));
        let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
        let status = set(&table, wanted.clone()).await;
        let error = status.errors.get(&key(1)).expect("an error").to_lowercase();
        assert!(error.contains(&words.to_lowercase()) && error.contains("10.0.0.1:80/tcp"), "{error}");
        assert_eq!(kernel.state().table.keys().collect::<Vec<_>>(), [&key(2)]);
        let tries = kernel.state().applied;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(kernel.state().applied <= tries + 8, "not at once, and not for ever");
        kernel.state().refuse.clear();
        until(&table, |status| status.errors.is_empty()).await;
        assert_eq!(kernel.state().table, wanted.services);
    }
}

#[tokio::test]
async fn a_kernel_that_lets_nobody_in_is_told_of_and_asked_again() {
    let kernel = FakeKernel::default();
    kernel.state().not_permitted = true;
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let wanted = desired(&[(key(1), service("rr", &[(1, 1)]))]);
    let generation = table.set(wanted.clone());
    let status = until(&table, |status| matches!(status.kernel, KernelStatus::Unavailable(_))).await;
    assert!(format!("{:?}", status.kernel).contains("CAP_NET_ADMIN"), "{:?}", status.kernel);
    kernel.state().not_permitted = false;
    until(&table, |status| status.generation == generation).await;
    assert_eq!(kernel.state().table, wanted.services);
}

#[tokio::test]
async fn a_wrong_image_is_replaced_by_a_dump() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    set(&table, desired(&[(key(1), service("rr", &[(1, 1)]))])).await;
    kernel.state().table.clear();
    let wanted = desired(&[(key(1), service("rr", &[(1, 2)]))]);
    let status = set(&table, wanted.clone()).await;
    assert_eq!(kernel.state().table, wanted.services);
    assert!(status.errors.is_empty(), "{:?}", status.errors);
}

#[tokio::test]
async fn lost_answers_lead_to_a_new_connection_and_a_dump() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    until(&table, |status| status.initial.is_some()).await;
    kernel.state().lose_answers = true;
    let wanted = desired(&[(key(1), service("rr", &[(1, 1), (2, 1), (3, 1)]))]);
    set(&table, wanted.clone()).await;
    assert_eq!(kernel.state().table, wanted.services);
    assert_eq!(kernel.state().dumps, 2);
}

#[tokio::test]
async fn without_ipvs_the_reason_is_told_and_the_table_is_loaded_when_it_turns_up() {
    let kernel = FakeKernel::default();
    kernel.state().missing = true;
    let table = TableHandle::spawn_on(kernel.clone()).expect("a thread");
    let wanted = desired(&[(key(1), service("rr", &[(1, 1)]))]);
    let generation = table.set(wanted.clone());
    let status = until(&table, |status| matches!(status.kernel, KernelStatus::Unavailable(_))).await;
    assert!(format!("{:?}", status.kernel).contains("modprobe ip_vs"), "{:?}", status.kernel);
    assert_eq!((status.generation, status.initial), (0, None));
    let refused = table.statistics(key(1)).await.expect_err("no kernel, no counters");
    assert!(refused.0.contains("modprobe ip_vs"), "{refused}");

    kernel.state().missing = false;
    until(&table, |status| status.generation == generation).await;
    assert_eq!(kernel.state().table, wanted.services);
}

#[tokio::test]
async fn statistics_are_of_one_service() {
    let kernel = FakeKernel::default();
    let table = TableHandle::spawn_on(kernel).expect("a thread");
    set(&table, desired(&[(key(1), service("rr", &[(1, 1)]))])).await;
    let statistics = table.statistics(key(1)).await.expect("the service is there");
    assert!(statistics.destinations.contains_key(&server(1)));
    let refused = table.statistics(key(2)).await.expect_err("the service is not there");
    assert!(refused.0.contains("10.0.0.2:80/tcp"), "{refused}");
}
