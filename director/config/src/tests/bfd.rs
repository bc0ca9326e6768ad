//! One refusal per rule of BFD sessions.

use super::*;

fn tracked(config: &mut Config) -> &mut TrackedBfd {
    config.failover[0].track.get_mut("router").unwrap().bfd.as_mut().unwrap()
}

fn check(config: &mut Config) -> &mut Check {
    config.checks.get_mut("path-up").unwrap()
}

rule!(a_neighbour_is_one_host, "failover.edge.track.router.bfd.neighbour", |c| {
    tracked(c).neighbour = "ff02::1".parse().unwrap();
});
rule!(the_local_address_is_another_one, "failover.edge.track.router.bfd.local", |c| {
    tracked(c).local = Some("fe80::1".parse().unwrap());
});
rule!(the_local_address_is_of_the_same_family, "failover.edge.track.router.bfd.local", |c| {
    tracked(c).local = Some("192.0.2.1".parse().unwrap());
});
rule!(link_local_needs_a_link, "failover.edge.track.router.bfd.interface", |c| tracked(c).interface = None);
rule!(intervals_are_no_busy_loop, "failover.edge.track.router.bfd.min-tx", |c| {
    tracked(c).min_tx = Period::from_millis(9);
});
rule!(intervals_are_no_pause, "failover.edge.track.router.bfd.min-rx", |c| {
    tracked(c).min_rx = Period::from_secs(61);
});
rule!(a_multiplier_is_positive, "failover.edge.track.router.bfd.multiplier", |c| tracked(c).multiplier = 0);
rule!(a_neighbour_is_a_hop_away, "failover.edge.track.router.bfd.hops", |c| tracked(c).hops = 0);
rule!(a_check_has_intervals_too, "checks.path-up.bfd.min-rx", |c| {
    check(c).bfd.as_mut().unwrap().min_rx = Period::from_millis(1);
});
rule!(a_session_counts_for_itself, "checks.path-up.fall", |c| check(c).fall = 3);
rule!(a_session_has_no_port, "checks.path-up.port", |c| check(c).port = Some(3784));
rule!(a_session_does_not_go_via_the_vip, "checks.path-up.via", |c| {
    check(c).via = Via::Vip;
    web(c).real_servers[1].checks = None;
});
rule!(one_session_is_described_once, "checks.path-up.bfd, for server web2 of web", |c| {
    let tracked = tracked(c);
    (tracked.neighbour, tracked.local) = ("192.168.1.72".parse().unwrap(), None);
});

#[test]
fn trackers_and_checks_share_a_session() {
    let mut config = Config::from_toml(FULL).unwrap();
    let web2 = "192.168.1.72".parse().unwrap();
    let bfd = tracked(&mut config);
    *bfd = TrackedBfd {
        neighbour: web2,
        local: Some("192.168.1.10".parse().unwrap()),
        min_tx: Period::from_millis(100),
        min_rx: Period::from_millis(50),
        passive: false,
        ..bfd.clone()
    };
    config.validate().unwrap();
    let sessions = config.bfd_sessions();
    let key = BfdKey { neighbour: web2, interface: None };
    assert_eq!(sessions.keys().collect::<Vec<_>>(), [&key]);
    // What the check leaves open the tracker says.
    assert_eq!(sessions[&key].interface, Some("enp0s9".parse().unwrap()));
}

#[test]
fn only_link_local_neighbours_are_told_apart_by_interface() {
    let mut config = Config::from_toml(FULL).unwrap();
    let bfd = tracked(&mut config);
    assert_eq!(bfd.key().interface, bfd.interface);
    bfd.neighbour = "2001:db8::1".parse().unwrap();
    assert_eq!(bfd.key().interface, None);
}

#[test]
fn what_is_usual_for_a_session_is_not_repeated() {
    let bfd: TrackedBfd = toml::from_str("neighbour = \"192.0.2.1\"").unwrap();
    assert_eq!(
        (bfd.min_tx, bfd.min_rx, bfd.multiplier),
        (Period::from_millis(300), Period::from_millis(300), 3)
    );
    assert_eq!(toml::to_string(&bfd).unwrap(), "neighbour = \"192.0.2.1\"\n");
    let check: BfdCheck = toml::from_str("").unwrap();
    assert_eq!(toml::to_string(&check).unwrap(), "");
}
