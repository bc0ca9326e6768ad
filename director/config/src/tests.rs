//! One accepted file that uses every key, and one refusal per rule.

use super::*;

const FULL: &str = include_str!("../tests/full.toml");

/// The first service of the full example.
fn web(config: &mut Config) -> &mut Service {
    Arc::make_mut(&mut config.services[0])
}

fn broken(edit: impl FnOnce(&mut Config)) -> Vec<String> {
    let mut config = Config::from_toml(FULL).expect("the full example is valid");
    edit(&mut config);
    match config.validate() {
        Err(Error::Invalid(problems)) => problems.into_iter().map(|p| p.at).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn the_full_example_survives_a_round_trip() {
    let config = Config::from_toml(FULL).unwrap();
    let text = config.to_toml().unwrap();
    assert_eq!(Config::from_toml(&text).unwrap(), config, "{text}");
}

#[test]
fn what_is_usual_for_a_server_is_not_repeated() {
    let mut config = Config::from_toml(FULL).unwrap();
    let server = &mut web(&mut config).real_servers[0];
    (server.weight, server.port, server.forward) = (1, 80, Forward::Direct);
    let text = config.to_toml().unwrap();
    assert!(text.contains(r#"forward = "direct""#), "{text}");
    let start = text.find(r#"name = "web1""#).unwrap();
    let server = &text[start..start + text[start..].find("web2").unwrap()];
    assert!(["port", "forward", "weight"].iter().all(|key| !server.contains(key)), "{server}");
}

#[test]
fn forwarding_must_be_said_somewhere() {
    let error = Config::from_toml(&FULL.replace(r#"forward = "direct", "#, "")).unwrap_err().to_string();
    assert!(error.contains("real server web1 of service web") && error.contains("line"), "{error}");
}

#[test]
fn unknown_keys_are_errors_with_their_place() {
    let error = Config::from_toml("version = 1\ncluster = \"a\"\nhost = \"b\"\ncolour = 1\n")
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 4") && error.contains("colour"), "{error}");
}

#[test]
fn all_problems_are_reported_together() {
    let found = broken(|c| {
        c.version = 9;
        web(c).checks.push("absent".into());
        c.failover[0].instances[0].virtual_ips.clear();
    });
    assert_eq!(found, ["version", "failover.edge.instance.edge-public.virtual-ips", "service.web.checks"]);
}

fn hmac(config: &mut Config) -> &mut HmacAuth {
    match &mut config.failover[0].instances[0].auth {
        Some(Auth::Hmac(hmac)) => hmac,
        other => panic!("expected hmac, got {other:?}"),
    }
}

/// `rule!(name, place, edit)`: after the edit, exactly this place is reported.
macro_rules! rule {
    ($name:ident, $at:literal, |$c:ident| $edit:expr) => {
        #[test]
        fn $name() {
            assert_eq!(
                broken(|$c| {
                    $edit;
                }),
                [$at]
            );
        }
    };
}

rule!(audit_period_has_a_floor, "ipvs.audit-period", |c| c.ipvs.audit_period = Period::from_millis(1));
rule!(audit_period_has_a_ceiling, "ipvs.audit-period", |c| c.ipvs.audit_period = Period::from_secs(u64::MAX));
rule!(timeouts_are_whole_seconds, "ipvs.timeouts.tcp-fin", |c| {
    let tcp_fin = Some(Period::from_millis(1500));
    c.ipvs.timeouts = Some(Timeouts { tcp: None, tcp_fin, udp: Some(Period::from_secs(1)) })
});
rule!(timeouts_fit_the_kernel, "ipvs.timeouts.udp", |c| {
    let udp = Some(Period::from_secs(25 * 24 * 3600));
    c.ipvs.timeouts = Some(Timeouts { tcp: None, tcp_fin: None, udp })
});
rule!(v3_intervals_are_centiseconds, "failover.edge.instance.edge-public.advert-interval", |c| {
    c.failover[0].instances[0].advert_interval = Period::from_millis(15)
});
rule!(v2_intervals_are_seconds, "failover.edge.instance.edge-inside.advert-interval", |c| {
    c.failover[0].instances[1].advert_interval = Period::from_millis(1500)
});
rule!(v3_has_no_password, "failover.edge.instance.edge-public.auth", |c| {
    c.failover[0].instances[0].auth = c.failover[0].instances[1].auth.clone()
});
rule!(v3_has_no_authentication_header, "failover.edge.instance.edge-public.auth", |c| {
    let Some(Auth::Pass(key)) = c.failover[0].instances[1].auth.clone() else { panic!("a password") };
    c.failover[0].instances[0].auth = Some(Auth::Ah(key))
});
rule!(v2_has_no_trailer, "failover.edge.instance.edge-inside.auth", |c| {
    c.failover[0].instances[1].auth = c.failover[0].instances[0].auth.clone()
});
rule!(the_active_key_is_there, "failover.edge.instance.edge-public.auth.hmac.active", |c| hmac(c).active = 3);
rule!(keys_have_numbers_of_their_own, "failover.edge.instance.edge-public.auth.hmac.keys", |c| {
    hmac(c).keys[0].id = 2
});
rule!(the_window_is_bounded, "failover.edge.instance.edge-public.auth.hmac.window", |c| {
    hmac(c).window = Some(Period::from_secs(301))
});
rule!(the_window_is_in_seconds, "failover.edge.instance.edge-public.auth.hmac.window", |c| {
    hmac(c).window = Some(Period::from_millis(1500))
});
rule!(vrids_are_unique_on_a_link, "failover.edge.instance.edge-inside.vrid", |c| {
    c.failover[0].instances[1].interface = c.failover[0].instances[0].interface.clone();
    c.failover[0].instances[1].vrid = c.failover[0].instances[0].vrid
});
rule!(a_vip_has_one_holder, "failover.edge.instance.edge-inside.virtual-ips", |c| {
    let vip = c.failover[0].instances[0].virtual_ips[0].clone();
    c.failover[0].instances[1].virtual_ips.push(vip)
});
rule!(vips_match_the_family, "failover.edge.instance.edge-public.virtual-ips", |c| {
    c.failover[0].instances[0].virtual_ips[0].address = "2001:db8::1".parse().unwrap();
    c.failover[0].instances[0].virtual_ips[0].prefix = None
});
rule!(an_excluded_address_is_held_once, "failover.edge.instance.edge-public.excluded-ips", |c| {
    let vip = c.failover[0].instances[0].virtual_ips[0].clone();
    c.failover[0].instances[0].excluded_ips.push(vip)
});
rule!(excluded_addresses_have_a_prefix, "failover.edge.instance.edge-public.excluded-ips", |c| {
    c.failover[0].instances[0].excluded_ips[0].prefix = Some(129)
});
rule!(an_advert_has_an_address, "failover.edge.instance.edge-public.virtual-ips", |c| {
    c.failover[0].instances[0].virtual_ips.clear()
});
rule!(a_route_leads_somewhere, "failover.edge.route.0.0.0.0/0", |c| {
    let route = &mut c.failover[0].routes[0];
    (route.via, route.interface, route.onlink) = (None, None, false)
});
rule!(a_router_has_the_familys_address, "failover.edge.route.0.0.0.0/0.via", |c| {
    c.failover[0].routes[0].via = Some("fd00::1".parse().unwrap())
});
rule!(a_source_has_the_familys_address, "failover.edge.route.0.0.0.0/0.source", |c| {
    c.failover[0].routes[0].source = Some("fd00::1".parse().unwrap())
});
rule!(onlink_says_where, "failover.edge.route.0.0.0.0/0.onlink", |c| c.failover[0].routes[0].interface =
    None);
rule!(the_local_table_is_the_kernels, "failover.edge.route.0.0.0.0/0.table", |c| {
    c.failover[0].routes[0].table = Some(255)
});
rule!(the_shortest_packet_has_68_bytes, "failover.edge.route.0.0.0.0/0.mtu", |c| {
    c.failover[0].routes[0].mtu = Some(67)
});
rule!(a_route_is_there_once, "failover.edge.route.0.0.0.0/0.metric", |c| {
    let other = VirtualRoute { via: None, onlink: false, ..c.failover[0].routes[0].clone() };
    c.failover[0].routes.push(other)
});
rule!(a_rule_is_there_once, "failover.edge.rule.1000", |c| {
    let rule = c.failover[0].rules[0].clone();
    c.failover[0].rules.push(rule)
});
rule!(a_rules_ranges_match_its_family, "failover.edge.rule.1000.to", |c| {
    c.failover[0].rules[0].to = Some("fd00::/8".parse().unwrap())
});
rule!(a_rule_has_a_priority, "failover.edge.rule.0.priority", |c| c.failover[0].rules[0].priority = 0);
rule!(a_rule_has_a_table, "failover.edge.rule.1000.table", |c| c.failover[0].rules[0].table = 0);
rule!(no_mark_is_no_selection, "failover.edge.rule.1000.fwmark", |c| c.failover[0].rules[0].fwmark = Some(0));

#[test]
fn ranges_begin_at_their_first_address() {
    for (text, says) in [
        ("10.0.0.1/8", Err("write 10.0.0.0/8")),
        ("fd00::1/0", Err("write ::/0")),
        ("10.0.0.0/33", Err("up to 32")),
        ("soon", Err("10.0.0.0/8")),
        ("0.0.0.0/0", Ok("0.0.0.0/0")),
        ("fd00::1", Ok("fd00::1/128")),
    ] {
        match (text.parse::<Prefix>(), says) {
            (Ok(prefix), Ok(says)) => assert_eq!(prefix.to_string(), says),
            (Err(error), Err(says)) => assert!(error.to_string().contains(says), "{text}: {error}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }
}

rule!(unicast_peers_match_the_family, "failover.edge.instance.edge-public.unicast-peers", |c| {
    c.failover[0].instances[0].unicast_peers.push("fe80::1".parse().unwrap())
});
rule!(nobody_is_his_own_peer, "failover.edge.instance.edge-public.unicast-peers", |c| {
    c.failover[0].instances[0].unicast_peers.push("192.168.1.10".parse().unwrap())
});
rule!(a_peer_is_listed_once, "failover.edge.instance.edge-public.unicast-peers", |c| {
    c.failover[0].instances[0].unicast_peers.push("192.168.1.11".parse().unwrap())
});
rule!(a_peer_is_one_host, "failover.edge.instance.edge-public.unicast-peers", |c| {
    c.failover[0].instances[0].unicast_peers.push("224.0.0.18".parse().unwrap())
});
rule!(unicast_over_ipv6_names_its_source, "failover.edge.instance.edge-public.source", |c| {
    let instance = &mut c.failover[0].instances[0];
    instance.family = Family::Ipv6;
    instance.source = None;
    instance.auth = None;
    instance.unicast_peers = vec!["fe80::1".parse().unwrap()];
    instance.virtual_ips[0].address = "fd00::1".parse().unwrap();
    instance.virtual_ips[0].prefix = Some(64)
});
rule!(a_virtual_mac_has_its_own_interface, "failover.edge.instance.edge-inside.virtual-mac.interface", |c| {
    c.failover[0].instances[1].virtual_mac = c.failover[0].instances[0].virtual_mac.clone()
});
rule!(a_virtual_mac_is_not_on_the_base, "failover.edge.instance.edge-public.virtual-mac.interface", |c| {
    virtual_mac(c).interface = "enp0s9".parse().unwrap()
});
rule!(a_virtual_mac_is_not_on_lo, "failover.edge.instance.edge-public.virtual-mac.interface", |c| {
    virtual_mac(c).interface = "lo".parse().unwrap()
});
rule!(
    unicast_adverts_leave_from_the_base,
    "failover.edge.instance.edge-public.virtual-mac.transmit-from-base",
    |c| virtual_mac(c).transmit_from_base = false
);

fn virtual_mac(config: &mut Config) -> &mut VirtualMac {
    config.failover[0].instances[0].virtual_mac.as_mut().expect("it has one")
}

#[test]
fn virtual_macs_are_those_of_the_standard() {
    let vrid = Vrid::new(51).unwrap();
    assert_eq!(VirtualMac::address(Family::Ipv4, vrid), [0, 0, 0x5e, 0, 1, 51]);
    assert_eq!(VirtualMac::address(Family::Ipv6, vrid), [0, 0, 0x5e, 0, 2, 51]);
}

#[test]
fn virtual_ips_are_at_the_virtual_mac_unless_said_otherwise() {
    let config = Config::from_toml(FULL).unwrap();
    let [public, inside] = &config.failover[0].instances[..] else { panic!("two instances") };
    let of = |instance: &Instance| instance.interface_of(&instance.virtual_ips[0]).to_string();
    assert_eq!((of(public), of(inside)), ("vrrp4-51".to_owned(), "enp0s9".to_owned()));
}

rule!(announcements_are_sent, "failover.edge.instance.edge-public.announce.repeat", |c| {
    c.failover[0].instances[0].announce.repeat = 0
});
rule!(refreshing_announces, "failover.edge.instance.edge-public.announce.refresh-repeat", |c| {
    c.failover[0].instances[0].announce.refresh_repeat = 0
});
/// `text_rule!(name, place, what, instead)`: with other text in the full example, exactly this place is reported.
macro_rules! text_rule {
    ($name:ident, $at:literal, $what:literal, $instead:literal) => {
        #[test]
        fn $name() {
            assert!(FULL.contains($what), "{}", $what);
            match Config::from_toml(&FULL.replacen($what, $instead, 1)) {
                Err(Error::Invalid(problems)) => {
                    assert_eq!(problems.iter().map(|p| p.at.as_str()).collect::<Vec<_>>(), [$at]);
                }
                other => panic!("expected a problem at {}, got {other:?}", $at),
            }
        }
    };
}

mod bfd;
mod checks;
mod notify;
mod owner;
mod services;
mod track;

#[test]
fn values_out_of_range_are_refused_while_parsing() {
    for (bad, says) in [
        ("vrid = 0", "1 to 255"),
        ("priority = 300", "1 to 255"),
        ("interface = \"a name\"", "not an interface name"),
        ("advert-interval = \"soon\"", "250ms"),
        ("version = 4", "RFC 9568"),
    ] {
        let key = bad.split(' ').next().unwrap();
        let start = FULL.find("[[failover.instance]]").unwrap();
        let (head, body) = FULL.split_at(start);
        let line = body.lines().find(|l| l.starts_with(&format!("{key} ="))).unwrap();
        let error =
            Config::from_toml(&format!("{head}{}", body.replacen(line, bad, 1))).unwrap_err().to_string();
        assert!(error.contains(says), "{bad}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn periods_survive_a_round_trip(millis in 0u64..10_000_000_000) {
        let period = Period::from_millis(millis);
        proptest::prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
    }

    #[test]
    fn hostile_text_never_panics(text in "[\\x00-\\x7f]{0,200}") {
        let _ = Config::from_toml(&text);
    }
}
