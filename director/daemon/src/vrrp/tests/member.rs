use std::collections::BTreeSet;

use tracing_subscriber::layer::SubscriberExt as _;

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
    let source = |last| Some(Ok(IpAddr::from([10, 0, 0, last])));
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
fn an_owner_does_not_let_its_addresses_go() {
    let mut config = config(&[("a", "eth0", 1)]);
    assert!(Member::new(config.clone()).can_let_go().is_ok());
    config.group.instances[0].priority = fairway_config::Priority::new(255).unwrap();
    let refused = Member::new(config).can_let_go().unwrap_err().to_string();
    assert!(refused.contains("owner of the addresses of group edge"), "{refused}");
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
    member.group.handle(now, Input::Start { holding: false });
    member.group.handle(now, Input::Link { instance: 0, source: Err(LinkProblem::NoCarrier) });
    assert_eq!((member.status().state, &*member.status().cause), ("fault", "eth0 has no carrier"));
    assert!(!member.is(&before));
    assert!(member.is(&member.status()));
}

#[test]
fn lateness_is_judged_by_the_master_down_interval() {
    let mut member = Member::new(config(&[("a", "eth0", 1)]));
    let now = Instant::now();
    let source = Ok(IpAddr::from([10, 0, 0, 1]));
    member.group.handle(now, Input::Link { instance: 0, source });
    member.group.handle(now, Input::Start { holding: false });
    let due = member.group.next_deadline().unwrap();
    // 3 s and a skew of 156/256 s.
    assert_eq!(member.master_down(), Duration::from_micros(3_609_375));
    assert!(!member.is_stalled(due + member.master_down()));
    assert!(member.is_stalled(due + member.master_down() + Duration::from_millis(1)));
}

#[test]
fn a_goodbye_leaves_from_the_address_that_is_gone() {
    let mut member = Member::new(config(&[("a", "eth0", 1)]));
    let now = Instant::now();
    let own = IpAddr::from([10, 0, 0, 1]);
    member.tell_source(now, 0, Ok(own), |_, _| ());
    member.group.handle(now, Input::Start { holding: false });
    member.group.handle(now + Duration::from_secs(10), Input::Timer);
    let mut sent = None;
    let gone = LinkProblem::NoSource(own);
    member.tell_source(now + Duration::from_secs(11), 0, Err(gone), |member, outputs| {
        let goodbye =
            outputs.iter().any(|output| matches!(output, Output::Send { payload, .. } if payload[2] == 0));
        sent = Some((goodbye, member.source(0)));
    });
    assert_eq!(sent, Some((true, Some(own))));
    assert_eq!(member.source(0), None);
    assert_eq!(member.status().cause, "eth0 does not have the configured source 10.0.0.1");
    // Another reason is told, the same one is not.
    let told = |member: &mut Member, source| {
        let mut told = false;
        member.tell_source(now + Duration::from_secs(12), 0, source, |_, _| told = true);
        told
    };
    assert!(!told(&mut member, Err(gone)));
    assert!(told(&mut member, Err(LinkProblem::Down)));
    assert_eq!(member.status().cause, "eth0 is down");
}

#[test]
fn a_master_that_asserts_itself_is_an_event_with_its_group_instance_and_rival() {
    let (tap, mut events) = crate::notifications::Events::tap();
    let member = Member::new(config(&[("a", "eth0", 1), ("b", "eth1", 2)]));
    let source = IpAddr::from([10, 0, 2, 9]);
    let told = [
        Event::LowerMaster { instance: 1, source, priority: 90 },
        Event::NoSuccessor(Duration::from_secs(1)),
    ];
    tracing::subscriber::with_default(tracing_subscriber::registry().with(tap), || {
        told.iter().for_each(|event| member.report(event));
    });
    let event = events.try_next().unwrap();
    assert_eq!(event.kind, fairway_config::EventKind::VrrpWarning);
    assert!(event.message.contains("10.0.2.9 with priority 90 is master too"), "{}", event.message);
    let fields: Vec<_> = event.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(fields, [("group", "edge"), ("instance", "b"), ("source", "10.0.2.9")]);
    assert_eq!(events.try_next().unwrap().fields, [("group", "edge".to_owned())]);
}

#[test]
fn the_next_process_goes_on_counting() {
    let mut member = Member::new(config(&[("a", "eth0", 1)]));
    let now = Instant::now();
    member.group.handle(now, Input::Link { instance: 0, source: Ok(IpAddr::from([10, 0, 0, 1])) });
    member.group.handle(now, Input::Start { holding: false });
    (member.counters[0].stalls, member.shared.routes_restored) = (2, 3);
    let saved = member.save(now).unwrap();
    let mut next = Member::new(config(&[("a", "eth0", 1)]));
    assert!(next.adopt(now, &saved, Duration::ZERO).is_some());
    assert_eq!((next.counters[0].stalls, next.shared.routes_restored), (2, 3));
    // A release that did not pass them on.
    let mut text = serde_json::to_value(&saved).unwrap();
    assert!(text.as_object_mut().unwrap().remove("shared").is_some());
    let saved: SavedMember = serde_json::from_value(text).unwrap();
    let mut next = Member::new(config(&[("a", "eth0", 1)]));
    assert!(next.adopt(now, &saved, Duration::ZERO).is_some());
    assert_eq!(next.shared.routes_restored, 0);
}

#[test]
fn every_counter_is_documented() {
    let named: BTreeSet<String> =
        Member::new(config(&[("a", "eth0", 1)])).statistics(None).unwrap().into_keys().collect();
    assert_eq!(named, crate::status::documented("VRRP"), "docs/reference/counters.md");
}
