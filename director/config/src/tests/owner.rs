use super::*;

#[test]
fn nothing_takes_the_addresses_from_their_owner() {
    let found = broken(|c| {
        let group = &mut c.failover[0];
        group.instances[0].priority = Priority::new(255).unwrap();
        group.start_delay = Period::from_secs(60);
    });
    let at = [
        "priority",
        "preempt",
        "start-delay",
        "track",
        "instance.edge-public.virtual-mac",
        "instance.edge-public.unicast-peers",
        "instance.edge-public.excluded-ips",
    ];
    assert_eq!(found, at.map(|place| format!("failover.edge.{place}")));
}

#[test]
fn an_owner_sends_from_another_address() {
    let found = broken(|c| {
        let group = &mut c.failover[0];
        (group.preempt, group.track) = (Preempt::Always, BTreeMap::default());
        group.start_delay = Period::from_secs(0);
        for instance in &mut group.instances {
            instance.priority = Priority::new(255).unwrap();
            (instance.virtual_mac, instance.unicast_peers, instance.excluded_ips) =
                (None, Vec::new(), Vec::new());
        }
        let instance = &mut group.instances[0];
        instance.source = Some(instance.virtual_ips[0].address);
    });
    assert_eq!(found, ["failover.edge.instance.edge-public.source"]);
}
