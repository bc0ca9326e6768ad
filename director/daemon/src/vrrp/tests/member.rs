use super::*;

fn config(instances: &[(&str, &str, u8)]) -> GroupConfig {
    let mut text = "version = 1\ncluster = \"c\"\nhost = \"h\"\n[[failover]]\nname = \"edge\"\n".to_owned();
    for (name, interface, vrid) in instances {
        text += &format!(
            "[[failover.instance]]\nname = \"{name}\"\ninterface = \"{interface}\"\nfamily = \"ipv4\"\nvrid = {vrid}\n\
             priority = 100\nadvert-interval = \"1s\"\nvirtual-ips = [{{ address = \"10.0.{vrid}.100\" }}]\n"
        );
    }
    let group = fairway_config::Config::from_toml(&text).unwrap().failover.remove(0);
    GroupConfig { group, secrets: Default::default() }
}

#[test]
fn counters_and_sources_follow_their_instances() {
    let source = |last| Some(Some(IpAddr::from([10, 0, 0, last])));
    let mut member = Member::new(config(&[("a", "eth0", 1), ("b", "eth1", 2), ("c", "eth2", 3)]));
    for instance in 0..3 {
        let place = u8::try_from(instance).unwrap();
        (member.sources[instance], member.counters[instance].send_errors) = (source(place), place.into());
    }
    let before = member.instances().to_vec();
    // c comes first now, a is new on another interface, b is gone.
    member.group = Group::new(config(&[("c", "eth2", 3), ("a", "eth9", 1), ("d", "eth1", 2)]));
    member.renumber(&before);
    assert_eq!(member.sources, [source(2), None, None]);
    let errors: Vec<u64> = member.counters.iter().map(|counters| counters.send_errors).collect();
    assert_eq!(errors, [2, 0, 0]);
}

#[test]
fn statistics_of_a_group_are_sums() {
    let mut member = Member::new(config(&[("a", "eth0", 1), ("b", "eth1", 2)]));
    (member.counters[0].send_errors, member.counters[1].send_errors) = (2, 3);
    assert_eq!(member.statistics(None).unwrap()["send_errors"], 5);
    assert_eq!(member.statistics(Some("b")).unwrap()["send_errors"], 3);
    assert_eq!(member.statistics(Some("b")).unwrap()["adverts_sent"], 0);
    assert!(member.statistics(Some("c")).is_none());
}

#[test]
fn a_change_of_the_machine_shows_in_the_status() {
    let mut member = Member::new(config(&[("a", "eth0", 1)]));
    let before = member.status();
    assert!(member.is(&before));
    let now = Instant::now();
    member.group.handle(now, fairway_vrrp::Input::Start { holding: false });
    member.group.handle(now, fairway_vrrp::Input::Link { instance: 0, source: None });
    assert_eq!(member.status().state, "fault");
    assert!(!member.is(&before));
    assert!(member.is(&member.status()));
}

#[test]
fn lateness_is_judged_by_the_master_down_interval() {
    let mut member = Member::new(config(&[("a", "eth0", 1)]));
    let now = Instant::now();
    let source = Some(IpAddr::from([10, 0, 0, 1]));
    member.group.handle(now, fairway_vrrp::Input::Link { instance: 0, source });
    member.group.handle(now, fairway_vrrp::Input::Start { holding: false });
    let due = member.group.next_deadline().unwrap();
    // 3 s and a skew of 156/256 s.
    assert_eq!(member.master_down(), Duration::from_micros(3_609_375));
    assert!(!member.is_stalled(due + member.master_down()));
    assert!(member.is_stalled(due + member.master_down() + Duration::from_millis(1)));
}
