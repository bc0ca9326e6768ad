//! The tables of failover groups.

use super::{ADDRESS, FILE, NAME, NAMES, PERIOD, defaulted, optional, required};
use crate::schema::{Kind, Shape, Text};

static DESTINATION: Text = Text {
    name: "range of addresses",
    pattern: "^default$|^[0-9A-Fa-f.:]+(/[0-9]+)?$",
    examples: &["default", "10.9.0.0/16", "fd09::/16"],
};

static RANGE: Text = Text {
    name: "range of addresses or virtual IP",
    pattern: "^[A-Za-z0-9:][A-Za-z0-9_.:-]*(/[0-9]+)?$",
    examples: &["shop", "10.9.0.0/16"],
};

static NAME_OR_ADDRESS: Text = Text {
    name: "virtual IP",
    pattern: "^[A-Za-z0-9:][A-Za-z0-9_.:-]*$",
    examples: &["shop", "192.168.1.1"],
};

static KEY_NUMBER: Text = Text { name: "number of a key", pattern: "^[0-9]{1,3}$", examples: &["1"] };

pub static FAILOVER: Shape = Shape {
    name: "failover",
    doc: "One elected unit: its virtual IPs are always on the same director. It becomes one VRRP instance for each \
          network and address family.",
    keys: &[
        required("virtual-ips", NAMES, "Virtual IPs that move together."),
        optional(
            "excluded",
            NAMES,
            "Further virtual IPs that move with them and are in no advert (keepalived: virtual_ipaddress_excluded): \
             more than an advert holds, or addresses of the other family without an election of their own. Each in a \
             network where the group has one in virtual-ips.",
        ),
        required(
            "directors",
            Kind::Any(&[NAMES, Kind::Named(&NAME, 1, &Kind::Integer(1, 254))]),
            "Hosts in order of preference, or with priorities: { lb1 = 200, lb2 = 100 }.",
        ),
        optional(
            "owner",
            Kind::Text(&NAME),
            "The director whose own addresses the virtual IPs are (priority 255, RFC 9568 section 1.7): it is master \
             whenever it runs, and the others stand in for it.",
        ),
        defaulted(
            "accept-mode",
            "true",
            Kind::Boolean,
            "Whether a master that is not the owner accepts packets for the virtual IPs (RFC 9568 section 6.1). With \
             false, its firewall drops them, but for neighbour discovery: for routers without services.",
        ),
        defaulted(
            "advert-interval",
            "\"250ms\"",
            Kind::Text(&PERIOD),
            "Time between adverts. Version 2 wants whole seconds.",
        ),
        defaulted(
            "down-timer-adverts",
            "3",
            Kind::Integer(1, 100),
            "How many adverts in a row may be missed before the master counts as gone; 3 is the standard.",
        ),
        defaulted(
            "start-delay",
            "\"0s\"",
            Kind::Text(&PERIOD),
            "For how long after its start a director takes no mastership (keepalived: vrrp_startup_delay), at most \
             1000s: where switch ports forward late, or other services are not ready. One that follows a running \
             director, or finds its own virtual IPs, does not wait.",
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
        defaulted(
            "virtual-mac",
            "false",
            Kind::Boolean,
            "The virtual IPs have the virtual router's own MAC address, 00:00:5e:00:01:VRID (IPv6: 02), which moves with \
             them: neighbours need not learn another one. On an interface that the director makes (macvlan).",
        ),
        defaulted(
            "transmit-from-base",
            "false",
            Kind::Boolean,
            "With virtual-mac: adverts leave with the host's own MAC address. Always so with transport = \"unicast\".",
        ),
        optional("announce", Kind::Table(&ANNOUNCE), "How a take-over is announced to neighbours."),
        defaulted(
            "router",
            "false",
            Kind::Boolean,
            "Hosts use the virtual IPs as their router: the directors forward packets that are for others.",
        ),
        defaulted(
            "nonlocal-bind",
            "false",
            Kind::Boolean,
            "Programs on the directors, such as HAProxy, may bind to the virtual IPs before they are there.",
        ),
        optional(
            "routes",
            Kind::List(&Kind::Table(&ROUTE)),
            "Routes that the master has, and nobody else: added after its virtual IPs, deleted before them.",
        ),
        optional(
            "rules",
            Kind::List(&Kind::Table(&RULE)),
            "Routing policy rules that the master has, and nobody else: which packets look into which table.",
        ),
        optional(
            "track",
            Kind::Named(&NAME, 0, &Kind::Table(&TRACK)),
            "What the group depends on besides its own interfaces, by names of your choice.",
        ),
    ],
};

static UNIT: Text =
    Text { name: "name of a unit", pattern: "^[A-Za-z0-9:_.\\\\@-]+$", examples: &["haproxy.service"] };

static PROGRAM: Text = Text { name: "name of a program", pattern: "^[^/]+$", examples: &["haproxy"] };

static WORD: Text = Text { name: "word", pattern: "", examples: &["/usr/local/bin/is-well"] };

static TRACK: Shape = Shape {
    name: "track",
    doc: "Something that is watched, exactly one of network, unit, ping, bfd, services, script, file and process. While \
          it fails, weight is added to each director's priority; without a weight the group is in fault there.",
    keys: &[
        optional(
            "network",
            Kind::Text(&NAME),
            "The director's interface in this network is up and has carrier.",
        ),
        optional("unit", Kind::Text(&UNIT), "systemd has the unit active."),
        optional("ping", Kind::Text(&ADDRESS), "The address answers ICMP echo."),
        optional("bfd", Kind::Table(&TRACKED_BFD), "A BFD session with a neighbour is up."),
        optional("services", NAMES, "These services have their quorum on the director."),
        optional("script", Kind::Table(&TRACKED_SCRIPT), "A program exits with status 0."),
        optional("file", Kind::Table(&TRACKED_FILE), "A file is there, or is not, or holds a number."),
        optional("process", Kind::Table(&TRACKED_PROCESS), "Enough processes of a name run."),
        optional(
            "weight",
            Kind::Integer(-253, 253),
            "Added to the priority while it fails; the result stays within 1 to 254. More than the distance to the next \
             director makes that one the better.",
        ),
        defaulted(
            "initial",
            "\"wait\"",
            Kind::Word(&["wait", "pass"]),
            "What it counts as until its first result: as failing, or as passing.",
        ),
        defaulted("every", "\"1s\"", Kind::Text(&PERIOD), "Time between two looks."),
        optional(
            "timeout",
            Kind::Text(&PERIOD),
            "A script or ping that takes longer has failed; 1s unless written.",
        ),
        defaulted("rise", "1", Kind::Integer(1, 1000), "Passes in a row that end a failure."),
        defaulted("fall", "1", Kind::Integer(1, 1000), "Failures in a row that count."),
    ],
};

static TRACKED_BFD: Shape = Shape {
    name: "tracked-bfd",
    doc: "A neighbour, such as a router, with which each director has a BFD session (RFC 5880).",
    keys: &[
        required("neighbour", Kind::Text(&ADDRESS), "Its address."),
        optional(
            "network",
            Kind::Text(&NAME),
            "The network it is in; needed for link-local addresses, which say nothing of it.",
        ),
        defaulted(
            "hops",
            "1",
            Kind::Integer(1, 255),
            "How many hops away it may be: 1 is a direct neighbour (UDP port 3784), more is multihop (4784).",
        ),
        defaulted(
            "min-tx",
            "\"300ms\"",
            Kind::Text(&PERIOD),
            "The shortest interval at which a director would like to send, 10ms to 1m.",
        ),
        defaulted(
            "min-rx",
            "\"300ms\"",
            Kind::Text(&PERIOD),
            "The shortest interval between its packets that a director can bear, 10ms to 1m.",
        ),
        defaulted(
            "multiplier",
            "3",
            Kind::Integer(1, 255),
            "After how many of the director's intervals without a packet the neighbour takes it for gone.",
        ),
        defaulted("passive", "false", Kind::Boolean, "Send nothing before the neighbour has."),
        defaulted(
            "admin-down",
            "\"hold\"",
            Kind::Word(&["hold", "fail"]),
            "What it means that the neighbour's BFD is switched off: what was known before still counts (RFC 5882), or \
             a failure.",
        ),
    ],
};

static TRACKED_SCRIPT: Shape = Shape {
    name: "tracked-script",
    doc: "A program on the director, without any right of the director's.",
    keys: &[required(
        "command",
        Kind::List(&Kind::Text(&WORD)),
        "The program, by absolute path, and its arguments. Nothing is expanded.",
    )],
};

static TRACKED_FILE: Shape = Shape {
    name: "tracked-file",
    doc: "A file on the director.",
    keys: &[
        required("path", Kind::Text(&FILE), "The file, by absolute path."),
        defaulted(
            "expect",
            "\"present\"",
            Kind::Word(&["present", "absent", "number"]),
            "To be there, not to be there, or to hold a number that is added to the priority.",
        ),
    ],
};

static TRACKED_PROCESS: Shape = Shape {
    name: "tracked-process",
    doc: "Processes of a name on the director.",
    keys: &[
        required("name", Kind::Text(&PROGRAM), "The name of the program, without its directory."),
        defaulted("quorum", "1", Kind::Integer(1, 100_000), "How many have to run."),
    ],
};

static ROUTE: Shape = Shape {
    name: "route",
    doc: "A route that moves with mastership. One that is there already and is not Fairway's stays as it is.",
    keys: &[
        required(
            "destination",
            Kind::Text(&DESTINATION),
            "Where it leads to: a range of addresses, or \"default\", which is of the family of via.",
        ),
        optional(
            "via",
            Kind::Text(&ADDRESS),
            "The next router. Without it, the destination is in the network itself.",
        ),
        optional("network", Kind::Text(&NAME), "The network it leads through; that of via unless written."),
        optional(
            "source",
            Kind::Text(&NAME_OR_ADDRESS),
            "The virtual IP of the group that the director's own packets come from on this route.",
        ),
        optional(
            "metric",
            Kind::Integer(0, u32::MAX as i64),
            "The route with the lowest is taken. Unless written the kernel's: 0 for IPv4, 1024 for IPv6.",
        ),
        defaulted(
            "table",
            "254",
            Kind::Integer(1, u32::MAX as i64),
            "The routing table; 254 is the main one.",
        ),
        defaulted(
            "onlink",
            "false",
            Kind::Boolean,
            "via answers in the network though no subnet of it has its address.",
        ),
        optional("mtu", Kind::Integer(68, 65535), "The largest packet on this route, in bytes."),
    ],
};

static RULE: Shape = Shape {
    name: "rule",
    doc: "A routing policy rule that moves with mastership. Without from and to it is about both families of the group.",
    keys: &[
        optional(
            "from",
            Kind::Text(&RANGE),
            "Source of the packets: a range of addresses, or a virtual IP of the group.",
        ),
        optional("to", Kind::Text(&RANGE), "Their destination, in the same way."),
        optional("fwmark", Kind::Integer(1, u32::MAX as i64), "The mark they have."),
        optional("network", Kind::Text(&NAME), "The network they come in from."),
        required("table", Kind::Integer(1, u32::MAX as i64), "The routing table they look into."),
        required(
            "priority",
            Kind::Integer(1, u32::MAX as i64),
            "Rules are asked from the lowest up; the main table's is 32766.",
        ),
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
        defaulted(
            "refresh-repeat",
            "1",
            Kind::Integer(1, 255),
            "Announcements of each address at each of those times.",
        ),
        optional(
            "lower-priority-repeat",
            Kind::Integer(0, 255),
            "As `repeat`, after another router claimed to be master with a lower priority; 0 for none.",
        ),
        optional(
            "lower-priority-delay",
            Kind::Text(&PERIOD),
            "As `delay`, after another router claimed to be master with a lower priority.",
        ),
        defaulted(
            "pacing",
            "\"0s\"",
            Kind::Text(&PERIOD),
            "Time between the announcements of two addresses on one interface. What would pile up is left out.",
        ),
    ],
};
