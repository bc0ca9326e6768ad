//! The tables of health checks, which are those of director.toml.

use super::{FILE, HTTP_HOST, HTTP_PATH, PERIOD, REGEX, defaulted, optional, required};
use crate::schema::{Kind, Shape, Text};

static PAYLOAD: Text = Text { name: "text to send", pattern: "", examples: &["PING\\r\\n", "hex:00ff"] };

static STATUS: Text =
    Text { name: "range of status codes", pattern: "^ *[0-9]+ *(- *[0-9]+ *)?$", examples: &["200-299"] };

static DIGEST: Text = Text {
    name: "digest",
    pattern: "^(sha256:[0-9A-Fa-f]{64}|md5:[0-9A-Fa-f]{32})$",
    examples: &["md5:d41d8cd98f00b204e9800998ecf8427e"],
};

pub static HEADER: Text =
    Text { name: "header name", pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", examples: &["X-Probe"] };

pub static HEADER_VALUE: Text = Text { name: "header value", pattern: "", examples: &["fairway"] };

static DOMAIN: Text = Text { name: "domain name", pattern: "", examples: &["example.org"] };

static ANSWER: Text = Text { name: "record's value", pattern: "", examples: &["192.0.2.1"] };

pub static ARGUMENT: Text =
    Text { name: "program or argument", pattern: "", examples: &["/usr/lib/shop/check", "-v"] };

static RPC: Text = Text { name: "gRPC service", pattern: "", examples: &["shop.Cart"] };

const STATUS_CODE: Kind = Kind::Integer(100, 599);

pub static CHECK: Shape = Shape {
    name: "check",
    doc: "A health check: exactly one kind of probe.",
    keys: &[
        optional("tcp", Kind::Table(&TCP), "A connection opens, and what is said on it is as expected: {}."),
        optional("http", Kind::Table(&HTTP), "An HTTP request is answered as expected; https with tls = {}."),
        optional("grpc", Kind::Table(&GRPC), "The gRPC health service says SERVING."),
        optional("smtp", Kind::Table(&SMTP), "A mail server greets and answers EHLO."),
        optional("dns", Kind::Table(&DNS), "A DNS server answers without an error."),
        optional("udp", Kind::Table(&UDP), "A datagram is not refused, or is answered as expected."),
        optional("ping", Kind::Table(&PING), "ICMP echo is answered: {}."),
        optional("bfd", Kind::Table(&BFD), "A BFD session with the server is up: {}."),
        optional("script", Kind::Table(&SCRIPT), "A program on the director exits with status 0."),
        optional("file", Kind::Table(&FILE_CHECK), "A file on the director says up, or a weight."),
        optional(
            "agent",
            Kind::Table(&AGENT),
            "The server says on a TCP connection to port how much it can take: up, down, drain, 75%.",
        ),
        defaulted(
            "every",
            "\"2s\"",
            Kind::Text(&PERIOD),
            "From the start of one probe to the start of the next, 10ms at least.",
        ),
        defaulted(
            "jitter",
            "\"0s\"",
            Kind::Text(&PERIOD),
            "Up to this much, at random, is added to each of those times.",
        ),
        optional(
            "retry-every",
            Kind::Text(&PERIOD),
            "The same, while the last result and the verdict differ.",
        ),
        defaulted("timeout", "\"1s\"", Kind::Text(&PERIOD), "A probe that takes longer has failed."),
        defaulted("rise", "2", Kind::Integer(1, 1000), "Passes in a row that bring a server back."),
        defaulted("fall", "2", Kind::Integer(1, 1000), "Failures in a row that take a server out."),
        defaulted(
            "fast-fail",
            "false",
            Kind::Boolean,
            "A refused connection or an ICMP error counts as all those failures at once.",
        ),
        optional("port", Kind::Integer(1, 65535), "Port to probe instead of the real server's."),
        defaulted(
            "via",
            "\"server\"",
            Kind::Word(&["server", "vip"]),
            "\"vip\": the probe goes to the virtual IP on this server, as clients do; with direct routing and tunnels.",
        ),
    ],
};

static TCP: Shape = Shape {
    name: "tcp",
    doc: "A TCP connection opens.",
    keys: &[
        optional(
            "send",
            Kind::Text(&PAYLOAD),
            "What to send once it is open: text, or bytes as \"hex:00ff\".",
        ),
        optional("expect", Kind::Text(&REGEX), "Must match in the first 64 KiB received."),
        optional("tls", Kind::Table(&TLS), "Speak TLS."),
    ],
};

static HTTP: Shape = Shape {
    name: "http",
    doc: "What is asked for and expected. Redirects are not followed.",
    keys: &[
        defaulted(
            "method",
            "\"GET\"",
            Kind::Word(&["GET", "HEAD", "OPTIONS", "POST"]),
            "The request's method.",
        ),
        defaulted("path", "\"/\"", Kind::Text(&HTTP_PATH), "Path and query."),
        defaulted(
            "status",
            "[200]",
            Kind::Any(&[STATUS_CODE, Kind::List(&Kind::Any(&[STATUS_CODE, Kind::Text(&STATUS)]))]),
            "Status codes that pass: numbers, and ranges such as \"200-299\".",
        ),
        optional(
            "host",
            Kind::Text(&HTTP_HOST),
            "The Host header; the server's address and port unless written.",
        ),
        optional(
            "headers",
            Kind::Named(&HEADER, 0, &Kind::Text(&HEADER_VALUE)),
            "Further headers: { X-Probe = \"fairway\" }.",
        ),
        optional(
            "body",
            Kind::Text(&REGEX),
            "Must match somewhere in the first 64 KiB of the answer's body.",
        ),
        optional("digest", Kind::Text(&DIGEST), "Digest of the whole body, which is at most 64 KiB."),
        defaulted("http2", "false", Kind::Boolean, "Speak HTTP/2 and nothing else."),
        optional("tls", Kind::Table(&TLS), "Speak TLS: https."),
    ],
};

pub static TLS: Shape = Shape {
    name: "tls",
    doc: "TLS on a probe's connection.",
    keys: &[
        optional("sni", Kind::Text(&HTTP_HOST), "The server's name, sent and looked for in its certificate."),
        defaulted("verify", "true", Kind::Boolean, "Whether the server's certificate must be valid."),
        optional(
            "ca-file",
            Kind::Text(&FILE),
            "Certificates of the authorities to trust, on the directors; the system's unless written.",
        ),
        optional("certificate-file", Kind::Text(&FILE), "A certificate to show to the server."),
        optional("key-file", Kind::Text(&FILE), "The key of that certificate."),
        defaulted(
            "expiry-warning",
            "\"14days\"",
            Kind::Text(&PERIOD),
            "A certificate that ends within this time passes, with a warning.",
        ),
    ],
};

static GRPC: Shape = Shape {
    name: "grpc",
    doc: "The gRPC health checking protocol.",
    keys: &[
        defaulted(
            "service",
            "\"\"",
            Kind::Text(&RPC),
            "The service asked about; empty: the server as a whole.",
        ),
        optional(
            "host",
            Kind::Text(&HTTP_HOST),
            "The authority; the server's address and port unless written.",
        ),
        optional("tls", Kind::Table(&TLS), "Speak TLS."),
    ],
};

static SMTP: Shape = Shape {
    name: "smtp",
    doc: "A mail server.",
    keys: &[
        optional("helo", Kind::Text(&HTTP_HOST), "The name to say; the director's unless written."),
        defaulted("starttls", "false", Kind::Boolean, "Ask for TLS once greeted."),
        optional("tls", Kind::Table(&TLS), "Speak TLS; from the start unless starttls = true."),
    ],
};

static DNS: Shape = Shape {
    name: "dns",
    doc: "A query to a DNS server.",
    keys: &[
        required("name", Kind::Text(&DOMAIN), "The name asked for."),
        defaulted(
            "type",
            "\"A\"",
            Kind::Word(&["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"]),
            "The type of record asked for.",
        ),
        defaulted("transport", "\"udp\"", Kind::Word(&["udp", "tcp"]), "How the query travels."),
        optional(
            "answer",
            Kind::List(&Kind::Text(&ANSWER)),
            "Each must be among the answers; any answer passes unless written.",
        ),
    ],
};

static UDP: Shape = Shape {
    name: "udp",
    doc: "A UDP datagram.",
    keys: &[
        optional("send", Kind::Text(&PAYLOAD), "What to send: text, or bytes as \"hex:00ff\"."),
        optional("expect", Kind::Text(&REGEX), "An answer must match; silence passes unless written."),
    ],
};

static PING: Shape = Shape { name: "ping", doc: "A check without settings: ICMP echo.", keys: &[] };

static BFD: Shape = Shape {
    name: "bfd",
    doc: "A BFD session (RFC 5880) with each server, which needs a BFD daemon there. It does the counting: rise, fall and \
          timeout have no use with it.",
    keys: &[
        defaulted(
            "min-tx",
            "\"300ms\"",
            Kind::Text(&PERIOD),
            "The shortest interval at which the director would like to send, 10ms to 1m.",
        ),
        defaulted(
            "min-rx",
            "\"300ms\"",
            Kind::Text(&PERIOD),
            "The shortest interval between the server's packets that the director can bear, 10ms to 1m.",
        ),
        defaulted(
            "multiplier",
            "3",
            Kind::Integer(1, 255),
            "After how many of the director's intervals without a packet the server takes it for gone.",
        ),
        defaulted("hops", "1", Kind::Integer(1, 255), "How many hops away the server may be."),
    ],
};

static SCRIPT: Shape = Shape {
    name: "script",
    doc: "A program that runs on the director, unprivileged.",
    keys: &[
        required(
            "command",
            Kind::List(&Kind::Text(&ARGUMENT)),
            "The program, by absolute path, and its arguments.",
        ),
        defaulted(
            "weight",
            "false",
            Kind::Boolean,
            "Exit status 2 to 255 passes too, and sets the weight to the status less 2.",
        ),
    ],
};

static FILE_CHECK: Shape = Shape {
    name: "file",
    doc: "A file on the director.",
    keys: &[required("path", Kind::Text(&FILE), "The file: up, down, drain, a percentage or a weight.")],
};

static AGENT: Shape = Shape {
    name: "agent",
    doc: "The server's own word, as HAProxy's agent-check reads it.",
    keys: &[optional("send", Kind::Text(&PAYLOAD), "What to send first.")],
};
