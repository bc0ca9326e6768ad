//! The rules of health checks.

use super::*;

rule!(a_check_has_one_probe, "checks.alive", |c| c.checks.get_mut("alive").unwrap().tcp =
    Some(TcpCheck::default()));
rule!(a_check_needs_a_timeout, "checks.alive.timeout", |c| {
    c.checks.get_mut("alive").unwrap().timeout = Period::from_secs(0)
});
rule!(a_check_has_a_pace, "checks.open.every", |c| {
    c.checks.get_mut("open").unwrap().every = Period::from_millis(1)
});
rule!(rise_is_positive, "checks.alive.rise", |c| c.checks.get_mut("alive").unwrap().rise = 0);
rule!(fall_is_positive, "checks.alive.fall", |c| c.checks.get_mut("alive").unwrap().fall = 0);
rule!(paths_are_absolute, "checks.alive.http.path", |c| {
    c.checks.get_mut("alive").unwrap().http.as_mut().unwrap().path = "x".into()
});
rule!(status_codes_exist, "checks.alive.http.status", |c| {
    c.checks.get_mut("alive").unwrap().http.as_mut().unwrap().status = vec![StatusRange::one(7)]
});
text_rule!(retries_have_a_pace, "checks.alive.retry-every", "retry-every = \"1s\"", "retry-every = \"1ms\"");
text_rule!(jitter_is_within_the_pace, "checks.alive.jitter", "jitter = \"500ms\"", "jitter = \"5s\"");
text_rule!(status_ranges_have_a_direction, "checks.alive.http.status", "\"300-302\"", "\"302-300\"");
rule!(head_has_no_body, "checks.alive.http.body", |c| {
    let http = c.checks.get_mut("alive").unwrap().http.as_mut().unwrap();
    (http.method, http.digest) = (HttpMethod::Head, None)
});
text_rule!(headers_have_names, "checks.alive.http.headers", "X-Probe", "\"X Probe\"");
text_rule!(the_host_is_not_a_header, "checks.alive.http.headers", "X-Probe", "Host");
text_rule!(
    certificates_are_not_half_verified,
    "checks.alive.http.tls.ca-file",
    "tls = { sni",
    "tls = { verify = false, sni"
);
text_rule!(a_certificate_needs_its_key, "checks.alive.http.tls", "key-file = \"/etc/ssl/probe.key\", ", "");
text_rule!(ca_files_are_absolute, "checks.alive.http.tls.ca-file", "\"/etc/ssl/shop.pem\"", "\"shop.pem\"");
text_rule!(
    server_names_have_no_spaces,
    "checks.alive.http.tls.sni",
    "sni = \"shop.example\"",
    "sni = \"a shop\""
);
text_rule!(grpc_services_have_no_spaces, "checks.rpc.grpc.service", "\"shop.Cart\"", "\"a cart\"");
text_rule!(
    grpc_hosts_have_no_spaces,
    "checks.rpc.grpc.host",
    "host = \"shop.example\", tls = {} }",
    "host = \"\" }"
);
text_rule!(helo_is_a_name, "checks.mail.smtp.helo", "\"lb1.shop.example\"", "\"lb1 here\"");
text_rule!(dns_asks_for_a_name, "checks.names.dns.name", "name = \"shop.example\"", "name = \"\"");
text_rule!(scripts_are_absolute, "checks.own.script.command", "\"/usr/lib/shop/check\"", "\"check\"");
text_rule!(scripts_are_named, "checks.own.script.command", "[\"/usr/lib/shop/check\", \"-v\"]", "[]");
text_rule!(files_are_absolute, "checks.switch.file.path", "\"/run/shop/web2\"", "\"web2\"");
text_rule!(agents_have_a_port, "checks.load.agent", "port = 8081\n", "");
text_rule!(ping_has_no_port, "checks.reachable.port", "ping = {}", "port = 7\nping = {}");
rule!(scripts_do_not_go_via_the_vip, "checks.own.via", |c| {
    c.checks.get_mut("own").unwrap().via = Via::Vip;
    web(c).real_servers[1].checks = None
});

#[test]
fn values_survive_a_round_trip() {
    for text in ["PING\r\n", "hex:00ff", "", "hex:6865783a"] {
        assert_eq!(text.parse::<Payload>().unwrap().to_string(), text);
    }
    assert_eq!("hex:6869".parse::<Payload>().unwrap().as_bytes(), b"hi");
    let sha = format!("sha256:{}", "ab".repeat(32));
    assert_eq!(sha.parse::<Digest>().unwrap().to_string(), sha);
    assert_eq!("200 - 299".parse::<StatusRange>().unwrap().to_string(), "200-299");
}

#[test]
fn values_that_are_none_say_what_to_write() {
    for (what, instead, says) in [
        ("\"hex:00ff\"", "\"hex:0\"", "two hexadecimal digits"),
        ("\"hex:00ff\"", "\"hex:é\"", "two hexadecimal digits"),
        ("\"md5:d41d8cd98f00b204e9800998ecf8427e\"", "\"md5:d41d\"", "sha256:"),
        ("\"300-302\"", "\"3xx\"", "200-299"),
        ("\"300-302\"", "true", "200-299"),
        ("\"AAAA\"", "\"ANY\"", "unknown variant"),
    ] {
        let error = Config::from_toml(&FULL.replacen(what, instead, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{instead}: {error}");
    }
}

#[test]
fn what_is_probed_is_known_by_name_and_transport() {
    let config = Config::from_toml(FULL).unwrap();
    let kinds: Vec<_> = config.checks.values().map(|check| check.probe().unwrap().name()).collect();
    for kind in Check::KINDS {
        assert!(kinds.contains(&kind), "{kind} is not in the full example");
    }
    assert_eq!(config.checks["names"].probe().unwrap().transport(), ProbeTransport::Udp);
    assert_eq!(config.checks["own"].probe().unwrap().transport(), ProbeTransport::None);
}
