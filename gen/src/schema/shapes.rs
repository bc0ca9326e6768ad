//! The tables of a topology file, one by one.

mod check;
mod failover;
mod notify;
mod service;

use self::check::CHECK;
use self::failover::FAILOVER;
use self::notify::NOTIFY;
use self::service::SERVICE;
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

static ALLOW: Text =
    Text { name: "port and protocol", pattern: "^\\+?[0-9]+/(tcp|udp|sctp)$", examples: &["22/tcp"] };

static FILE: Text = Text { name: "absolute path", pattern: "^/", examples: &["/etc/fairway/secrets/edge"] };

static MACHINE_ID: Text = Text {
    name: "machine ID",
    pattern: "^[0-9a-fA-F]{32}$",
    examples: &["4c5a3f0d8e7b41d2a9c6e0f1b2d3c4a5"],
};

static MAC: Text = Text {
    name: "MAC address",
    pattern: "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$",
    examples: &["52:54:00:12:34:56"],
};

static HTTP_PATH: Text = Text { name: "path", pattern: "", examples: &["/healthz"] };

static HTTP_HOST: Text = Text { name: "host name", pattern: "", examples: &["shop.example.org"] };

static REGEX: Text = Text { name: "regular expression", pattern: "", examples: &["^ok"] };

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
        optional("ipvs", Kind::Table(&IPVS), "The kernel's table of services, as a whole."),
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
        optional(
            "notify",
            Kind::Named(&NAME, 0, &Kind::Table(&NOTIFY)),
            "Who is told of what happens, by name.",
        ),
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
    doc: "Directors tell each other of their connections, by UDP and multicast and within two seconds. \
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
        optional("group", Kind::Text(&ADDRESS), "The multicast group, where it is not 224.0.0.81."),
        optional("port", Kind::Integer(1, 65535), "The UDP port, where it is not 8848."),
        optional(
            "ttl",
            Kind::Integer(1, 255),
            "How far it goes: routers between the directors, and one; 1 unless written.",
        ),
        optional(
            "max-length",
            Kind::Integer(512, 65535),
            "The largest message in bytes; what fits the network's packets unless written.",
        ),
    ],
};

static IPVS: Shape = Shape {
    name: "ipvs",
    doc: "The kernel's table of services, as a whole.",
    keys: &[
        defaulted(
            "audit-period",
            "\"1m\"",
            Kind::Text(&PERIOD),
            "The whole table is compared with what it is to be within this time, and repaired; 1s to 1day.",
        ),
        optional("timeouts", Kind::Table(&TIMEOUTS), "When idle connections are forgotten."),
        defaulted(
            "keep-on-stop",
            "false",
            Kind::Boolean,
            "The services stay in the kernel when the director stops, for a director that is master by other means.",
        ),
    ],
};

static TIMEOUTS: Shape = Shape {
    name: "timeouts",
    doc: "Idle times after which connections are forgotten, in whole seconds; the kernel's own unless written.",
    keys: &[
        optional("tcp", Kind::Text(&PERIOD), "Established TCP connections; 15m in the kernel."),
        optional("tcp-fin", Kind::Text(&PERIOD), "TCP connections after a FIN; 2m in the kernel."),
        optional("udp", Kind::Text(&PERIOD), "UDP; 5m in the kernel."),
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
    keys: &[
        required(
            "interfaces",
            Kind::Named(&INTERFACE_NAME, 0, &Kind::Table(&INTERFACE)),
            "Its network interfaces by name, one in each network.",
        ),
        optional(
            "machine-id",
            Kind::Text(&MACHINE_ID),
            "How an appliance without a host name finds out that it is this host: its /etc/machine-id.",
        ),
        optional("mac", Kind::Text(&MAC), "The same by the MAC address of one of its network interfaces."),
    ],
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
