//! What can be judged without a network.

use std::net::{IpAddr, Ipv4Addr};

use fairway_config::Family;

use super::firewall::{Packet, Ruleset};
use super::frames::{Mac, answer, checksum, flags, question, reset, syn};
use super::host::Setting;
use super::*;

fn ruleset(rules: &str, policy: &str) -> Ruleset {
    let json = format!(
        r#"{{"nftables": [{{"metainfo": {{}}}}, {{"table": {{"family": "inet", "name": "filter"}}}},
        {{"chain": {{"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input",
                     "prio": 0, "policy": "{policy}"}}}},
        {{"chain": {{"family": "inet", "table": "filter", "name": "more"}}}}{rules}]}}"#
    );
    Ruleset::read(json.as_bytes()).unwrap()
}

fn rule(expressions: &str) -> String {
    format!(
        r#", {{"rule": {{"family": "inet", "table": "filter", "chain": "input", "expr": [{expressions}]}}}}"#
    )
}

const WEB: Packet<'_> = Packet {
    interface: "eth0",
    family: Family::Ipv4,
    destination: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100))),
    protocol: "tcp",
    number: 6,
    port: Some(80),
};
const VRRP: Packet<'_> = Packet { destination: None, protocol: "vrrp", number: 112, port: None, ..WEB };

fn dport(right: &str, verdict: &str) -> String {
    rule(&format!(
        r#"{{"match": {{"op": "==", "left": {{"payload": {{"protocol": "tcp", "field": "dport"}}}}, "right": {right}}}}}, {{"{verdict}": null}}"#
    ))
}

#[test]
fn what_is_certainly_dropped_is_found_and_nothing_else() {
    let input = Some("chain input of table inet filter".to_owned());
    assert_eq!(ruleset("", "accept").drops(&WEB), None);
    assert_eq!(ruleset("", "drop").drops(&WEB), input);
    assert_eq!(ruleset("", "drop").drops(&VRRP), input);
    for (right, is) in
        [("80", true), ("22", false), (r#"{"set": [22, 80]}"#, true), (r#"{"range": [1, 1024]}"#, true)]
    {
        let accepted = ruleset(&dport(right, "accept"), "drop");
        assert_eq!(accepted.drops(&WEB).is_none(), is, "{right}");
        assert_eq!(accepted.drops(&VRRP), input, "{right}");
        let dropped = ruleset(&dport(right, "drop"), "accept");
        assert_eq!(dropped.drops(&WEB).is_some(), is, "{right}");
        assert_eq!(dropped.drops(&VRRP), None, "{right}");
    }
    // A set whose elements are not looked up may have the port.
    assert_eq!(ruleset(&dport(r#""@open""#, "accept"), "drop").drops(&WEB), None);
    let from_peers = rule(
        r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "protocol"}}, "right": "vrrp"}},
           {"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": "10.0.0.12"}},
           {"accept": null}"#,
    );
    assert_eq!(ruleset(&from_peers, "drop").drops(&VRRP), None, "a peer's may be accepted");
    assert_eq!(ruleset(&from_peers, "drop").drops(&WEB), input);
    let established = rule(
        r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}},
           {"accept": null}"#,
    );
    assert_eq!(ruleset(&established, "drop").drops(&WEB), input, "a new connection is not established");
    let jump = rule(r#"{"jump": {"target": "more"}}"#)
        + r#", {"rule": {"family": "inet", "table": "filter", "chain": "more", "expr": [{"drop": null}]}}"#;
    assert_eq!(ruleset(&jump, "accept").drops(&WEB), input);
    let elsewhere = rule(
        r#"{"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "eth1"}}, {"drop": null}"#,
    );
    assert_eq!(ruleset(&elsewhere, "accept").drops(&WEB), None);
}

#[test]
fn sysctls_are_read_and_found_as_systemd_does() {
    let settings = host::settings("# a\n; b\nnet.ipv4.ip_forward = 0\n-net/ipv4/conf/eth0.1/rp_filter=2\n");
    assert_eq!(settings["net.ipv4.ip_forward"], Setting { value: "0".into(), optional: false });
    assert_eq!(settings["net/ipv4/conf/eth0.1/rp_filter"], Setting { value: "2".into(), optional: true });
    let place = |key| host::place(key).display().to_string();
    assert_eq!(place("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
    assert_eq!(place("net/ipv4/conf/eth0.1/rp_filter"), "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
    assert_eq!(place("net.ipv4.conf.eth0/1.rp_filter"), "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
}

#[test]
fn network_files_tell_name_mtu_and_addresses() {
    let link = host::link(
        "[Match]\nName=eth0\n[Link]\nMTUBytes=9000\n[Network]\n# x\nAddress=10.0.0.11/24\nAddress=fd00::1/64\n",
    );
    assert_eq!((link.name.as_str(), link.mtu), ("eth0", Some(9000)));
    assert_eq!((link.addresses.len(), link.unmanaged), (2, false));
    assert!(host::link("[Match]\nName=vrrp4-51\n[Link]\nUnmanaged=yes\n").unmanaged);
}

#[test]
fn frames_are_what_the_standards_say() {
    let words = |bytes: &[u8]| bytes.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum::<u32>();
    let pair =
        |one: &str, other: &str| -> (IpAddr, IpAddr) { (one.parse().unwrap(), other.parse().unwrap()) };
    let octets = |ip| match ip {
        IpAddr::V4(ip) => words(&ip.octets()),
        IpAddr::V6(ip) => words(&ip.octets()),
    };
    for ((own, vip), header) in [(pair("10.0.0.11", "10.0.0.100"), 20), (pair("fd00::b", "fd00::64"), 40)] {
        let packet = syn((own, 61_123), (vip, 80), u32::MAX).unwrap();
        assert_eq!(packet.len(), header + 24);
        let pseudo = octets(own) + octets(vip) + 6 + 24;
        assert_eq!(
            checksum(pseudo + words(&packet[header..])),
            [0, 0],
            "what has its checksum sums up to nothing"
        );
        let end = reset((own, 61_123), (vip, 80), u32::MAX).unwrap();
        assert_eq!(end.len(), header + 20);
        assert_eq!(end[header + 4..header + 8], [0; 4], "the number after the first");
        assert_eq!(end[header + 13], 4);
        let frame = [&[0; 14][..], &packet].concat(); // as if it acknowledged what had the number before 0
        assert_eq!(flags(&frame, (own, 61_123), (vip, 80), u32::MAX), Some(2));
        assert_eq!(flags(&frame, (own, 61_123), (vip, 80), 1), None, "it answers another question");
        assert_eq!(flags(&frame, (own, 61_123), (vip, 81), u32::MAX), None);
        assert_eq!(flags(&frame, (vip, 61_123), (own, 80), u32::MAX), None);
        assert_eq!(flags(&frame[..40], (own, 61_123), (vip, 80), u32::MAX), None);
    }
    let (own, vip) = pair("10.0.0.11", "10.0.0.100");
    assert_eq!(checksum(words(&syn((own, 1), (vip, 2), 3).unwrap()[..20])), [0, 0]);
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let (to, request) = question(mac, own, vip).unwrap();
    assert_eq!((to, request.len()), (Mac([0xff; 6]), 28));
    let mut reply = vec![0; 12];
    reply.extend([
        8, 6, 0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    assert_eq!(answer(&reply), Some((vip, mac)));
    assert_eq!(answer(&reply[..41]), None);
    assert_eq!(answer(&[&[0; 12][..], &[8, 6], &request].concat()), None, "a question is no answer");
    assert_eq!(question(mac, own, "fd00::64".parse().unwrap()), None);
}

#[test]
fn neighbours_are_solicited_as_rfc_4861_says() {
    let (own, vip): (IpAddr, IpAddr) = ("fd00::b".parse().unwrap(), "fd00::12:3456".parse().unwrap());
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let (to, packet) = question(mac, own, vip).unwrap();
    assert_eq!(to, Mac([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
    // Version 6, 32 bytes of ICMPv6, hop limit 255, to ff02::1:ff12:3456.
    assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 32, 58, 255]);
    assert_eq!(packet[24..40], [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!(packet[64..], [1, 1, 2, 0, 0, 0, 0, 1]);
    let words = |bytes: &[u8]| bytes.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(p[1])).sum::<u32>();
    assert_eq!(checksum(words(&packet[8..]) + 58 + 32), [0, 0]);
    // The answer, with the address it tells and without, when it is the sender's.
    let mut reply = [&[0; 6][..], &[2, 0, 0, 0, 0, 9, 0x86, 0xdd], &packet].concat();
    assert_eq!(answer(&reply), None, "a question is no answer");
    reply[14 + 40] = 136;
    reply[14 + 40 + 24] = 2;
    assert_eq!(answer(&reply), Some((vip, mac)));
    assert_eq!(answer(&reply[..14 + 40 + 24]), Some((vip, Mac([2, 0, 0, 0, 0, 9]))));
    assert_eq!(answer(&reply[..14 + 40 + 20]), None);
    reply[14 + 7] = 254;
    assert_eq!(answer(&reply), None, "a router has passed it on");
}

#[test]
fn findings_are_said_once_and_with_a_remedy() {
    let mut findings = Findings::default();
    assert_eq!(findings.render(), "nothing is wrong\n");
    for _ in 0..2 {
        findings.add("mtu", "eth0", "its MTU is 1400", "set it");
    }
    assert_eq!(findings.render(), "mtu: eth0\n  its MTU is 1400\n  do: set it\n");
    assert_eq!(
        serde_json::to_value(&findings).unwrap(),
        serde_json::json!({ "findings": [
            { "check": "mtu", "about": "eth0", "problem": "its MTU is 1400", "remedy": "set it" },
        ] })
    );
}
