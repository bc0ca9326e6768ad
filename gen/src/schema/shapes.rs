//! The tables of a topology file, one by one.

mod check;

use fairway_config::Scheduler;

use self::check::CHECK;
use super::{Key, Kind, Shape, Text};

const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, required: true, default: None, kind, doc }
}

const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, required: false, default: None, kind, doc }
}

const fn defaulted(name: &'static str, default: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, required: false, default: Some(default), kind, doc }
}

static NAME: Text = Text { name: "name", pattern: "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$", examples: &["shop"] };

static INTERFACE_NAME: Text =
    Text { name: "interface name", pattern: "^[A-Za-z0-9_.@+-]{1,15}$", examples: &["eth0"] };

static ADDRESS: Text =
    Text { name: "address", pattern: "^[0-9A-Fa-f.:]+$", examples: &["192.168.1.1", "fd00::1"] };

static ADDRESS_PREFIX: Text = Text {
    name: "address, with a prefix length if need be",
    pattern: "^[0-9A-Fa-f.:]+(/[0-9]+)?$",
    examples: &["192.168.1.1", "192.168.1.1/24", "fd00::1"],
};

static SUBNET: Text =
    Text { name: "subnet", pattern: "^[0-9A-Fa-f.:]+/[0-9]+$", examples: &["192.168.1.0/24", "fd00::/64"] };

static PERIOD: Text = Text {
    name: "length of time",
    pattern: "^ *([0-9]+ *[A-Za-zµ]+ *)+$|^0$",
    examples: &["250ms", "15s", "2h"],
};

static LISTEN: Text = Text {
    name: "virtual IP and port",
    pattern: "^([^:\\[\\]]+|\\[[0-9A-Fa-f:.]+\\]):\\+?[0-9]+([,-]\\+?[0-9]+)*$",
    examples: &["shop:80", "192.168.1.1:80,443", "[fd00::1]:8000-8099", "shop:0"],
};

static ALLOW: Text =
    Text { name: "port and protocol", pattern: "^\\+?[0-9]+/(tcp|udp|sctp)$", examples: &["22/tcp"] };

static FILE: Text = Text { name: "absolute path", pattern: "^/", examples: &["/etc/fairway/secrets/edge"] };

static KEY_NUMBER: Text = Text { name: "number of a key", pattern: "^[0-9]{1,3}$", examples: &["1"] };

static HTTP_PATH: Text = Text { name: "path", pattern: "", examples: &["/healthz"] };

static HTTP_HOST: Text = Text { name: "host name", pattern: "", examples: &["shop.example.org"] };

static REGEX: Text = Text { name: "regular expression", pattern: "", examples: &["^ok"] };

const SCHEDULERS: [&str; Scheduler::ALL.len()] = {
    let mut names = [""; Scheduler::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Scheduler::ALL[at].name();
        at += 1;
    }
    names
};

const NAMES: Kind = Kind::List(&Kind::Text(&NAME));
const ADDRESS_OR_LIST: Kind = Kind::Any(&[Kind::Text(&ADDRESS), Kind::List(&Kind::Text(&ADDRESS))]);

/// The whole file.
pub static TOPOLOGY: Shape = Shape {
    name: "topology",
    doc: "A load-balanced cluster: its networks, hosts, virtual IPs and services.",
    keys: &[
        required("version", Kind::Integer(1, 1), "Version of this format."),
        required("cluster", Kind::Table(&CLUSTER), "The cluster as a whole."),
        optional(
            "connection-sync",
            Kind::Table(&CONNECTION_SYNC),
            "Directors tell each other of their connections, so that those go on after a take-over.",
        ),
        optional("networks", Kind::Named(&NAME, 0, &Kind::Table(&NETWORK)), "Networks by name."),
        optional("hosts", Kind::Named(&NAME, 0, &Kind::Table(&HOST)), "Hosts by name."),
        optional(
            "virtual-ips",
            Kind::Named(&NAME, 0, &Kind::Any(&[Kind::Text(&ADDRESS_PREFIX), Kind::Table(&VIRTUAL_IP)])),
            "Virtual IPs by name. The network follows from the address; a host address (/32, /128) unless a \
             prefix length is written.",
        ),
        optional("failover", Kind::Named(&NAME, 0, &Kind::Table(&FAILOVER)), "Failover groups by name."),
        optional("checks", Kind::Named(&NAME, 0, &Kind::Table(&CHECK)), "Health checks by name."),
        optional("services", Kind::Named(&NAME, 0, &Kind::Table(&SERVICE)), "Virtual services by name."),
        optional("firewall", Kind::Table(&FIREWALL), "The directors' packet filter."),
    ],
};

static CLUSTER: Shape = Shape {
    name: "cluster",
    doc: "The cluster as a whole.",
    keys: &[required("name", Kind::Text(&NAME), "Its name, shown in every generated file.")],
};

static CONNECTION_SYNC: Shape = Shape {
    name: "connection-sync",
    doc: "Directors tell each other of their connections, by UDP to port 8848 of 224.0.0.81 and within two seconds. \
          An empty table is enough.",
    keys: &[
        optional(
            "network",
            Kind::Text(&NAME),
            "Where: every director needs an IPv4 address there. The first network in which all have one unless \
             written. Anybody in it can read and forge what is told, so best one between the directors only.",
        ),
        optional(
            "id",
            Kind::Integer(0, 255),
            "Keeps clusters in one network apart. Follows from the cluster's name unless written.",
        ),
    ],
};

static FIREWALL: Shape = Shape {
    name: "firewall",
    doc: "The directors' packet filter.",
    keys: &[
        defaulted(
            "policy",
            "\"accept\"",
            Kind::Word(&["accept", "drop"]),
            "What happens to packets that no rule of the generated table accepts.",
        ),
        optional(
            "allow",
            Kind::List(&Kind::Text(&ALLOW)),
            "With policy \"drop\": ports of the directors themselves that stay open.",
        ),
    ],
};

static NETWORK: Shape = Shape {
    name: "network",
    doc: "A network: one layer-2 domain.",
    keys: &[
        required(
            "subnets",
            Kind::List(&Kind::Text(&SUBNET)),
            "Its subnets, IPv4 and IPv6. Networks do not overlap.",
        ),
        optional(
            "gateway",
            ADDRESS_OR_LIST,
            "Default router of managed hosts; one for each family as a list.",
        ),
        optional(
            "mtu",
            Kind::Integer(576, 65535),
            "The largest packet in bytes, where it is not 1500: 9000 with jumbo frames. Managed interfaces are set \
             to it.",
        ),
        defaulted(
            "snat",
            "true",
            Kind::Boolean,
            "For the network of NAT real servers: what they send out on their own leaves the director with the \
             director's address.",
        ),
    ],
};

static HOST: Shape = Shape {
    name: "host",
    doc: "A machine. What it does follows from the failover groups and services that name it.",
    keys: &[required(
        "interfaces",
        Kind::Named(&INTERFACE_NAME, 0, &Kind::Table(&INTERFACE)),
        "Its network interfaces by name, one in each network.",
    )],
};

static INTERFACE: Shape = Shape {
    name: "interface",
    doc: "A network interface of a host.",
    keys: &[
        required("network", Kind::Text(&NAME), "The network it is in."),
        optional(
            "addresses",
            Kind::List(&Kind::Text(&ADDRESS_PREFIX)),
            "The host's own addresses; the prefix length is that of the subnet. Required unless manage = false.",
        ),
        defaulted(
            "manage",
            "true",
            Kind::Boolean,
            "false: its addresses and routes are someone else's (netplan, DHCP), and no file is written for it.",
        ),
    ],
};

static VIRTUAL_IP: Shape = Shape {
    name: "virtual-ip",
    doc: "A virtual IP whose address does not tell its network, such as an IPv6 link-local one.",
    keys: &[
        required("address", Kind::Text(&ADDRESS_PREFIX), "The address."),
        optional("network", Kind::Text(&NAME), "The network it is in."),
    ],
};

static FAILOVER: Shape = Shape {
    name: "failover",
    doc: "One elected unit: its virtual IPs are always on the same director. It becomes one VRRP instance for each \
          network and address family.",
    keys: &[
        required("virtual-ips", NAMES, "Virtual IPs that move together."),
        required(
            "directors",
            Kind::Any(&[NAMES, Kind::Named(&NAME, 1, &Kind::Integer(1, 254))]),
            "Hosts in order of preference, or with priorities: { lb1 = 200, lb2 = 100 }.",
        ),
        defaulted(
            "advert-interval",
            "\"250ms\"",
            Kind::Text(&PERIOD),
            "Time between adverts. Version 2 wants whole seconds.",
        ),
        defaulted("version", "3", Kind::Integer(2, 3), "VRRP version; 2 is IPv4 only."),
        defaulted(
            "checksum",
            "\"rfc9568\"",
            Kind::Word(&["rfc9568", "rfc5798"]),
            "Form of the checksum of IPv4 adverts of version 3: \"rfc5798\" beside keepalived.",
        ),
        defaulted(
            "preempt",
            "true",
            Kind::Any(&[Kind::Boolean, Kind::Table(&PREEMPT)]),
            "Whether a better director takes over from a working one, at once or after a while.",
        ),
        optional("auth", Kind::Table(&AUTH), "How adverts are authenticated."),
        optional(
            "vrid",
            Kind::Any(&[Kind::Integer(1, 255), Kind::Named(&NAME, 0, &Kind::Integer(1, 255))]),
            "Virtual router identifier: chosen unless written; one number, or one for each network.",
        ),
        defaulted(
            "transport",
            "\"multicast\"",
            Kind::Word(&["multicast", "unicast"]),
            "How adverts reach the other directors: by multicast, or where a network does not carry it, to each \
             director's own address, and from these only.",
        ),
        optional("announce", Kind::Table(&ANNOUNCE), "How a take-over is announced to neighbours."),
    ],
};

static PREEMPT: Shape = Shape {
    name: "preempt",
    doc: "A take-over that waits.",
    keys: &[required(
        "after",
        Kind::Text(&PERIOD),
        "How long a better director waits until it takes over, at most 1000s.",
    )],
};

static AUTH: Shape = Shape {
    name: "auth",
    doc: "How adverts are authenticated: exactly one of these.",
    keys: &[
        optional("pass", Kind::Table(&KEY), "Version 2: a password in clear text."),
        optional(
            "ah",
            Kind::Table(&KEY),
            "Version 2: an authentication header with HMAC-MD5, as keepalived's auth_type AH.",
        ),
        optional(
            "hmac",
            Kind::Table(&HMAC),
            "Version 3: an HMAC-SHA256 trailer, as the auth_hmac of keepalived 2.4.2 and later.",
        ),
    ],
};

static KEY: Shape = Shape {
    name: "key",
    doc: "Where a password is.",
    keys: &[required(
        "key-file",
        Kind::Text(&FILE),
        "The file on the directors whose first line is the password, 8 bytes at most. Others than its owner and \
         group must not have access to it.",
    )],
};

static HMAC: Shape = Shape {
    name: "hmac",
    doc: "HMAC-SHA256 trailers. The directors' clocks have to agree.",
    keys: &[
        required(
            "keys",
            Kind::Named(&KEY_NUMBER, 1, &Kind::Text(&FILE)),
            "Files on the directors by the numbers of their keys. The first line is the key: 32 to 64 bytes, or \
             hex: and their digits, such as `openssl rand -hex 32` gives.",
        ),
        optional(
            "active",
            Kind::Integer(0, 255),
            "The key adverts are made with; the first one unless written. The others are accepted, so keys are \
             changed without losing an advert.",
        ),
        optional(
            "window",
            Kind::Text(&PERIOD),
            "How far the clocks may be apart, 1s to 5m; three advert intervals but at least 5s unless written.",
        ),
        defaulted(
            "mode",
            "\"enforce\"",
            Kind::Word(&["receive-only", "permissive", "enforce"]),
            "Steps to introduce trailers: \"receive-only\" sends none and \"permissive\" sends them, and both accept \
             adverts without one.",
        ),
    ],
};

static ANNOUNCE: Shape = Shape {
    name: "announce",
    doc: "How a take-over is announced to neighbours.",
    keys: &[
        defaulted(
            "repeat",
            "5",
            Kind::Integer(0, 255),
            "Announcements of each address in a burst, 1 at least.",
        ),
        defaulted("interval", "\"20ms\"", Kind::Text(&PERIOD), "Time between two of them."),
        defaulted("delay", "\"5s\"", Kind::Text(&PERIOD), "Time until a second burst."),
        defaulted("refresh", "\"30s\"", Kind::Text(&PERIOD), "Time between announcements from then on."),
    ],
};

static SERVICE: Shape = Shape {
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
