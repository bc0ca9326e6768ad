//! The rules of virtual services.

use super::*;

rule!(two_services_cannot_share_a_port, "service.web2.listen", |c| {
    let mut twin = web(c).clone();
    twin.name = "web2".into();
    c.services.push(Arc::new(twin))
});
rule!(direct_routing_keeps_the_port, "service.web.real-servers.web1.port", |c| {
    web(c).real_servers[0].port = 8080
});
rule!(families_match, "service.web.real-servers.web1.address", |c| {
    web(c).real_servers[0].address = "2001:db8::7".parse().unwrap()
});
rule!(flags_belong_to_their_scheduler, "service.web.scheduler-flags", |c| {
    web(c).scheduler_flags = vec![SchedulerFlag::MhPort]
});
rule!(one_packet_is_for_udp, "service.web.one-packet", |c| web(c).one_packet = true);
rule!(weights_fit_the_kernel, "service.web.real-servers.web1.weight", |c| {
    web(c).real_servers[0].weight = u32::MAX
});
text_rule!(
    every_port_needs_persistence,
    "service.sip.listen.port",
    "port = 5060, protocol = \"udp\" }\npersistence = { timeout = \"1m\", engine = \"sip\" }",
    "port = 0, protocol = \"udp\" }"
);
text_rule!(
    every_port_needs_a_port_to_probe,
    "service.sip.checks",
    "port = 5060, protocol = \"udp\" }",
    "port = 0, protocol = \"udp\" }\nchecks = [\"datagram\"]"
);
text_rule!(
    a_tunnel_keeps_the_port,
    "service.through.real-servers.mx1.port",
    "\"192.168.1.81\"",
    "\"192.168.1.81\", port = 2525"
);
text_rule!(
    a_mark_keeps_the_port,
    "service.shop.real-servers.web3.port",
    "\"192.168.1.73\"",
    "\"192.168.1.73\", port = 2525"
);
text_rule!(
    gue_needs_a_port,
    "service.shop.real-servers.web1.tunnel",
    "type = \"gue\", port = 6080, checksum = \"remote\" }\nsorry-server = { address = \"2001:db8::99\" }",
    "type = \"gue\" }"
);
text_rule!(
    gre_has_no_port,
    "service.shop.real-servers.web2.tunnel.port",
    "type = \"gre\"",
    "type = \"gre\", port = 1"
);
text_rule!(
    gre_has_no_remote_checksum,
    "service.shop.real-servers.web2.tunnel.checksum",
    "\"full\"",
    "\"remote\""
);
text_rule!(a_quorum_is_within_reach, "service.shop.quorum", "quorum = 2", "quorum = 5");
text_rule!(a_quorum_is_not_nothing, "service.shop.quorum", "quorum = 2", "quorum = 0");
text_rule!(
    a_quorum_is_lost_below_where_it_is_reached,
    "service.web.quorum",
    "{ up = 3, down = 2 }",
    "{ up = 3, down = 4 }"
);
text_rule!(a_ramp_ends, "service.web.slow-start", "slow-start = \"30s\"", "slow-start = \"2h\"");
text_rule!(
    a_sorry_server_is_another_one,
    "service.web.sorry-server",
    "{ address = \"192.168.1.99\", port = 8099, forward",
    "{ address = \"192.168.1.72\", port = 80, forward"
);
text_rule!(
    a_sorry_server_has_a_family,
    "service.web.sorry-server.address",
    "\"192.168.1.99\"",
    "\"2001:db8::99\""
);
text_rule!(
    thresholds_are_in_order,
    "service.web.real-servers.web2.lower-threshold",
    "lower-threshold = 50",
    "lower-threshold = 500"
);
text_rule!(
    a_lower_threshold_needs_an_upper_one,
    "service.web.real-servers.web2.lower-threshold",
    "upper-threshold = 100, ",
    ""
);
text_rule!(
    a_failure_needs_a_check,
    "service.shop.real-servers.web3.on-failure",
    "\"192.168.1.73\"",
    "\"192.168.1.73\", on-failure = \"weight-zero\""
);
text_rule!(
    an_engine_reads_udp,
    "service.sip.persistence.engine",
    "port = 5060, protocol = \"udp\"",
    "port = 5060, protocol = \"tcp\""
);
text_rule!(
    a_persistence_prefix_fits,
    "service.web.persistence.prefix",
    "\"2h\", prefix = 24",
    "\"2h\", prefix = 33"
);
text_rule!(
    own_checks_exist,
    "service.web.real-servers.web2.checks",
    "[\"reachable\", \"own\", ",
    "[\"absent\", "
);
text_rule!(a_check_sees_the_transport, "service.dns.checks", "[\"names\", \"datagram\"]", "[\"open\"]");
text_rule!(the_vip_is_not_behind_nat, "service.dns.checks", "[\"names\", \"datagram\"]", "[\"path\"]");
text_rule!(a_mark_has_no_vip_to_probe, "service.shop.checks", "quorum = 2", "checks = [\"path\"]");

#[test]
fn forwarding_and_tunnel_are_read_together() {
    let config = Config::from_toml(FULL).unwrap();
    let gue = Tunnel { kind: TunnelKind::Gue, port: Some(6080), checksum: TunnelChecksum::Remote };
    let gre = Tunnel { kind: TunnelKind::Gre, port: None, checksum: TunnelChecksum::Full };
    let forwards: Vec<_> = config.services[1].real_servers.iter().map(|server| server.forward).collect();
    assert_eq!(forwards, [Forward::Tunnel(gue), Forward::Tunnel(gre), Forward::Direct, Forward::Nat]);
    assert_eq!(config.services[1].sorry_server.unwrap().forward, Forward::Tunnel(gue), "the service's own");
    let ports: Vec<_> = config.services[1].real_servers.iter().map(|server| server.port).collect();
    assert_eq!(ports, [0, 0, 0, 8080], "a mark leaves the port as it is");
}

#[test]
fn a_tunnel_does_not_go_with_other_forwarding() {
    for (what, instead) in [
        ("forward = \"direct\" }", "forward = \"direct\", tunnel = {} }"),
        ("forward = \"tunnel\"\ntunnel", "forward = \"nat\"\ntunnel"),
    ] {
        let error = Config::from_toml(&FULL.replacen(what, instead, 1)).unwrap_err().to_string();
        assert!(error.contains("tunnel belongs to forward = \"tunnel\""), "{error}");
    }
}

#[test]
fn a_service_listens_on_an_address_or_a_mark() {
    for listen in
        ["{ fwmark = 1 }", "{ address = \"192.0.2.1\", fwmark = 1 }", "{ fwmark = 0, family = \"ipv4\" }"]
    {
        let text = FULL.replace("{ fwmark = 1, family = \"ipv4\" }", listen);
        assert!(matches!(Config::from_toml(&text), Err(Error::Parse(_))), "{listen}");
    }
}
