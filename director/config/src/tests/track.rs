//! One refusal per rule of trackers.

use super::*;

fn tracker<'c>(config: &'c mut Config, name: &str) -> &'c mut Tracker {
    config.failover[0].track.get_mut(name).unwrap()
}

rule!(a_tracker_watches_one_thing, "failover.edge.track.proxy", |c| {
    tracker(c, "proxy").ping = Some("192.0.2.1".parse().unwrap());
});
rule!(a_tracker_watches_something, "failover.edge.track.proxy", |c| tracker(c, "proxy").unit = None);
rule!(a_weight_changes_something, "failover.edge.track.uplink.weight", |c| tracker(c, "uplink").weight =
    Some(0));
rule!(a_weight_fits_priorities, "failover.edge.track.uplink.weight", |c| tracker(c, "uplink").weight =
    Some(-254));
rule!(a_number_is_the_weight, "failover.edge.track.load.file", |c| tracker(c, "load").weight = Some(-1));
rule!(a_unit_has_a_suffix, "failover.edge.track.proxy.unit", |c| tracker(c, "proxy").unit =
    Some("haproxy".into()));
rule!(a_ping_goes_to_one_host, "failover.edge.track.gateway.ping", |c| {
    tracker(c, "gateway").ping = Some("224.0.0.1".parse().unwrap());
});
rule!(a_tracked_service_is_this_directors, "failover.edge.track.balanced.services", |c| {
    tracker(c, "balanced").services.push("absent".into());
});
rule!(a_tracked_script_is_named_by_its_path, "failover.edge.track.own.script.command", |c| {
    tracker(c, "own").script.as_mut().unwrap().command[0] = "ready".into();
});
rule!(a_tracked_file_is_named_by_its_path, "failover.edge.track.maintenance.file.path", |c| {
    tracker(c, "maintenance").file.as_mut().unwrap().path = "maintenance".into();
});
rule!(a_program_is_named_without_directory, "failover.edge.track.workers.process.name", |c| {
    tracker(c, "workers").process.as_mut().unwrap().name = "/usr/sbin/haproxy".into();
});
rule!(one_process_at_least, "failover.edge.track.workers.process.quorum", |c| {
    tracker(c, "workers").process.as_mut().unwrap().quorum = 0;
});
rule!(looks_are_not_a_busy_loop, "failover.edge.track.uplink.every", |c| {
    tracker(c, "uplink").every = Period::from_millis(9);
});
rule!(only_scripts_and_pings_take_time, "failover.edge.track.uplink.timeout", |c| {
    tracker(c, "uplink").timeout = Some(Period::from_secs(1));
});
rule!(a_script_needs_time, "failover.edge.track.own.timeout", |c| {
    tracker(c, "own").timeout = Some(Period::from_secs(0));
});
rule!(a_rise_is_a_pass_at_least, "failover.edge.track.gateway.rise", |c| tracker(c, "gateway").rise = 0);
rule!(a_fall_is_a_failure_at_least, "failover.edge.track.gateway.fall", |c| tracker(c, "gateway").fall = 0);

#[test]
fn what_is_usual_for_a_tracker_is_not_repeated() {
    let text = Config::from_toml(FULL).unwrap().to_toml().unwrap();
    let start = text.find("[failover.track.proxy]").unwrap();
    let proxy = text[start..].split("\n\n").next().unwrap();
    assert_eq!(proxy, "[failover.track.proxy]\nunit = \"haproxy.service\"");
}
