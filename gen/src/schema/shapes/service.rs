//! The tables of virtual services.

use fairway_config::Scheduler;

use super::check::CHECK;
use super::{ADDRESS_OR_LIST, NAME, NAMES, PERIOD, defaulted, optional, required};
use crate::schema::{Kind, Shape, Text};

static LISTEN: Text = Text {
    name: "virtual IP and port",
    pattern: "^([^:\\[\\]]+|\\[[0-9A-Fa-f:.]+\\]):\\+?[0-9]+([,-]\\+?[0-9]+)*$",
    examples: &["shop:80", "192.168.1.1:80,443", "[fd00::1]:8000-8099", "shop:0"],
};

const SCHEDULERS: [&str; Scheduler::ALL.len()] = {
    let mut names = [""; Scheduler::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Scheduler::ALL[at].name();
        at += 1;
    }
    names
};

pub static SERVICE: Shape = Shape {
    name: "service",
    doc: "A virtual service.",
    keys: &[
        required(
            "listen",
            Kind::Any(&[Kind::Text(&LISTEN), Kind::List(&Kind::Text(&LISTEN))]),
            "Virtual IPs, by name or address, and ports: one, several (80,443), a range (8000-8099), or 0 for every port. \
             Each port is an IPVS service of its own, unless fwmark makes one of them all.",
        ),
        required(
            "forward",
            Kind::Word(&["direct", "nat", "full-nat", "tunnel"]),
            "How packets reach the real servers: \"direct\" (same network; replies go straight to the client), \
             \"nat\" (the director is the servers' router, and replies come back through it), \"full-nat\" \
             (servers see the director's address, not the client's, and answer to it) or \"tunnel\" (servers \
             anywhere; replies go straight to the client).",
        ),
        optional(
            "tunnel",
            Kind::Any(&[Kind::Word(&["ipip", "gre", "gue"]), Kind::Table(&TUNNEL)]),
            "With forward = \"tunnel\": how packets are wrapped, \"ipip\" unless written. \"gue\" is in UDP, which is spread over a network's \
             paths and a server's processors.",
        ),
        optional(
            "source-addresses",
            NAMES,
            "Full NAT: virtual IPs of the same failover group, in the servers' network, that requests to the servers \
             come from. Without it, those of the group that no service listens on; if there are none, the director's \
             own address. Each carries 64,000 connections to a server's port.",
        ),
        defaulted(
            "syn-proxy",
            "false",
            Kind::Boolean,
            "TCP with \"nat\" or \"full-nat\": the director answers a client's SYN itself, and the server hears of \
             the connection once the client has proved its address. Connections do not survive a change of directors.",
        ),
        defaulted("protocol", "\"tcp\"", Kind::Word(&["tcp", "udp", "sctp"]), "The transport."),
        defaulted(
            "scheduler",
            "\"wlc\"",
            Kind::Word(&SCHEDULERS),
            "The kernel's name of how connections are spread.",
        ),
        optional(
            "scheduler-flags",
            Kind::List(&Kind::Word(&["sh-fallback", "sh-port", "mh-fallback", "mh-port"])),
            "Flags of the schedulers sh and mh.",
        ),
        optional(
            "persistence",
            Kind::Any(&[Kind::Text(&PERIOD), Kind::Table(&PERSISTENCE)]),
            "How long a client stays with its server after its last connection, in whole seconds.",
        ),
        defaulted("one-packet", "false", Kind::Boolean, "UDP: every datagram is scheduled on its own."),
        optional(
            "checks",
            Kind::List(&Kind::Any(&[Kind::Text(&NAME), Kind::Table(&CHECK)])),
            "Checks that must all pass, by name or written in place. Without any, servers are always up.",
        ),
        defaulted(
            "checks-required",
            "\"all\"",
            Kind::Word(&["all", "any"]),
            "\"any\": one check that passes is enough.",
        ),
        defaulted(
            "start",
            "\"pessimistic\"",
            Kind::Word(&["pessimistic", "optimistic"]),
            "What a server new to the table is until its first check: down or up.",
        ),
        defaulted(
            "on-failure",
            "\"remove\"",
            Kind::Word(&["remove", "weight-zero"]),
            "What happens to a server that is down: it leaves the table, or it stays for the connections it has.",
        ),
        optional(
            "slow-start",
            Kind::Text(&PERIOD),
            "The weight of a server that comes back grows over this time, 1s to 1h.",
        ),
        defaulted(
            "suspend-on-backup",
            "false",
            Kind::Boolean,
            "The servers are checked only by the director that has the virtual IP.",
        ),
        defaulted(
            "down-on-stop",
            "false",
            Kind::Boolean,
            "When a director stops, those who are told of servers and quorums are told that they are down.",
        ),
        defaulted(
            "quorum",
            "1",
            Kind::Any(&[Kind::Integer(1, u32::MAX as i64), Kind::Table(&QUORUM)]),
            "The service is up while the weights of its servers that are up add up to this.",
        ),
        optional(
            "sorry-server",
            Kind::Named(&NAME, 0, &Kind::Table(&SORRY_SERVER)),
            "Who answers while the quorum is lost: one server, named like the others, { sorry1 = {} }.",
        ),
        defaulted(
            "fwmark",
            "false",
            Kind::Any(&[Kind::Boolean, Kind::Integer(1, u32::MAX as i64)]),
            "All virtual IPs and ports are one service for the scheduler and for persistence, such as http and https: \
             nftables marks the packets. true chooses the mark; a number is the mark.",
        ),
        required(
            "real-servers",
            Kind::Named(&NAME, 1, &Kind::Table(&REAL_SERVER)),
            "The machines behind it: { web1 = {}, web2 = { weight = 2 } }.",
        ),
        optional("directors", NAMES, "Who serves it, for a virtual IP that is in no failover group."),
    ],
};

static TUNNEL: Shape = Shape {
    name: "tunnel",
    doc: "How packets are wrapped on their way to the real servers.",
    keys: &[
        required("type", Kind::Word(&["ipip", "gre", "gue"]), "IP in IP, GRE or Generic UDP Encapsulation."),
        optional("port", Kind::Integer(1, 65535), "The UDP port of \"gue\", 6080 unless written."),
        defaulted(
            "checksum",
            "\"none\"",
            Kind::Word(&["none", "full", "remote"]),
            "Checksum of the outer packet of \"gue\"; \"remote\" is computed from the inner one, and lets network \
             cards help.",
        ),
    ],
};

static QUORUM: Shape = Shape {
    name: "quorum",
    doc: "A quorum that is reached at more than it is lost at, so that the service does not flap.",
    keys: &[
        required("up", Kind::Integer(1, u32::MAX as i64), "It is reached when the weights add up to this."),
        required("down", Kind::Integer(1, u32::MAX as i64), "It is lost when they add up to less than this."),
    ],
};

static SORRY_SERVER: Shape = Shape {
    name: "sorry-server",
    doc: "A server that answers in place of all others: a host of the topology, or one with an address of its own.",
    keys: &[
        optional("port", Kind::Integer(1, 65535), "Its port, with NAT; the service's unless written."),
        optional(
            "address",
            ADDRESS_OR_LIST,
            "Where it is reached; the host's address in the network that fits unless written.",
        ),
        defaulted(
            "managed",
            "true",
            Kind::Boolean,
            "false: it is not a host of this file and gets no files.",
        ),
        defaulted(
            "inhibit",
            "false",
            Kind::Boolean,
            "Stay in the table with weight 0 while not needed, for the connections it has.",
        ),
    ],
};

static PERSISTENCE: Shape = Shape {
    name: "persistence",
    doc: "Clients that stay with their server, several as one.",
    keys: &[
        required("timeout", Kind::Text(&PERIOD), "How long after the last connection, in whole seconds."),
        optional("prefix", Kind::Integer(1, 32), "IPv4 clients with this many bits in common count as one."),
        optional("prefix6", Kind::Integer(1, 128), "The same for IPv6."),
        optional(
            "engine",
            Kind::Word(&["sip"]),
            "\"sip\": a call stays with its server, by its Call-ID; UDP only.",
        ),
    ],
};

static REAL_SERVER: Shape = Shape {
    name: "real-server",
    doc: "A machine behind a service: a host of the topology, or one with an address of its own.",
    keys: &[
        defaulted(
            "weight",
            "1",
            Kind::Integer(0, i32::MAX as i64),
            "Share of connections; 0 takes no new ones.",
        ),
        optional("port", Kind::Integer(1, 65535), "Its port, with NAT; the service's unless written."),
        optional(
            "address",
            ADDRESS_OR_LIST,
            "Where it is reached, one for each family at most; the host's address in the network that fits unless \
             written.",
        ),
        defaulted(
            "managed",
            "true",
            Kind::Boolean,
            "false: it is not a host of this file and gets no files.",
        ),
        defaulted(
            "upper-threshold",
            "0",
            Kind::Integer(0, u32::MAX as i64),
            "No new connections above this many; 0 is no limit.",
        ),
        defaulted(
            "lower-threshold",
            "0",
            Kind::Integer(0, u32::MAX as i64),
            "New connections again below this many; 0 is three quarters of the upper one.",
        ),
        optional(
            "checks",
            Kind::List(&Kind::Any(&[Kind::Text(&NAME), Kind::Table(&CHECK)])),
            "Its checks instead of the service's.",
        ),
        optional(
            "on-failure",
            Kind::Word(&["remove", "weight-zero"]),
            "What happens when it is down, where that differs from the service's.",
        ),
    ],
};
