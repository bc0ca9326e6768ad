//! Problems found in a topology: each names its rule, the key, the place in the file and the remedy.

use std::fmt;
use std::ops::Range;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};

/// Defines [`Rule`]: one line per rule, with its name in reports and what it demands.
macro_rules! rules {
    ($($variant:ident $name:literal $demand:literal)*) => {
        /// A rule a topology can break. Its name is shown with each problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $demand] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of the reference.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name shown in reports: lower-case words joined by hyphens.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the rule demands, as one sentence.
            pub const fn demand(self) -> &'static str {
                match self { $(Self::$variant => $demand,)* }
            }
        }
    };
}

rules! {
    Syntax "toml-syntax" "The file is TOML."
    UnknownKey "unknown-key" "Only known keys are used."
    MissingKey "missing-key" "Required keys are there."
    WrongType "wrong-type" "Values have the type the key wants."
    BadValue "bad-value" "Addresses, prefixes, lengths of time and numbers are well formed and in range."
    EmptyList "empty-list" "Lists that must name something are not empty."
    BadName "bad-name" "Names consist of letters, digits, \"-\", \"_\" and \".\"."
    UnsupportedVersion "unsupported-version" "The topology's version is one this release reads."
    Repeated "repeated" "A list names each thing once."
    UnknownNetwork "unknown-network" "Networks that are referred to are defined."
    UnknownHost "unknown-host" "Hosts that are referred to are defined."
    UnknownVirtualIp "unknown-virtual-ip" "Virtual IPs that are referred to are defined."
    UnknownCheck "unknown-check" "Checks that are referred to are defined."
    UnknownService "unknown-service" "Services that are referred to are defined."
    UnknownScheduler "unknown-scheduler" "The scheduler is one the kernel has."
    OverlappingSubnets "overlapping-subnets" "An address belongs to one network, so subnets do not overlap."
    GatewayOutsideNetwork "gateway-outside-network" "A gateway is inside a subnet of its network, or IPv6 link-local."
    ReservedInterface "reserved-interface" "fairway0, fairway-*, vrrp4-* and vrrp6-* are interfaces that Fairway makes."
    OneInterfacePerNetwork "one-interface-per-network" "A host has one interface in a network."
    MissingAddresses "missing-addresses" "A managed interface has addresses."
    AddressOutsideNetwork "address-outside-network" "An interface's addresses are inside its network."
    PrefixLength "prefix-length" "A prefix length is the subnet's own, or the host prefix for virtual IPs."
    DuplicateAddress "duplicate-address" "No two hosts have the same address."
    DuplicateMachine "duplicate-machine" "No two hosts have the same machine ID or MAC address."
    DuplicateVirtualIp "duplicate-virtual-ip" "A virtual IP is defined once."
    VirtualIpIsHostAddress "virtual-ip-is-host-address" "A virtual IP is not the address of a host."
    VirtualIpOutsideNetworks "virtual-ip-outside-networks" "A virtual IP of a failover group is inside a network."
    VirtualIpInTwoGroups "virtual-ip-in-two-groups" "A virtual IP belongs to one failover group."
    MissingInterface "missing-interface" "A director has an interface in each network of its group."
    PriorityRange "priority-range" "Priorities are from 1 to 254."
    PriorityTie "priority-tie" "No two directors of a group have the same priority."
    TooManyDirectors "too-many-directors" "A list of directors has at most 20 entries."
    AdvertInterval "advert-interval" "The advert interval fits the protocol version."
    Version2Ipv6 "version-2-ipv6" "VRRPv2 is IPv4 only."
    Version2Checksum "version-2-checksum" "The checksum form is a choice of VRRPv3 only."
    Version3Auth "version-3-auth" "VRRPv3 has no password and no authentication header."
    Version2Auth "version-2-auth" "VRRPv2 has no HMAC trailer."
    AuthKind "auth-kind" "A group has one kind of authentication."
    HmacSetting "hmac-setting" "The active key is one of the keys, and the window is 1s to 5m."
    PreemptDelay "preempt-delay" "Preemption is delayed by at most 1000s."
    StartDelay "start-delay" "A director that has started waits for at most 1000s."
    AnnounceRepeat "announce-repeat" "A take-over is announced at least once."
    KeyFile "key-file" "A key file is an absolute path."
    SecretInStore "secret-in-store" "A key file is not in the Nix store, which everybody can read."
    UnicastSource "unicast-source" "With unicast adverts each director has an address in each network and family of its group."
    Owner "owner" "The owner of a group's virtual IPs has them, and nothing takes them from it."
    AcceptMode "accept-mode" "Nobody listens at virtual IPs for which no packets are accepted."
    VirtualMac "virtual-mac" "A virtual MAC address is sent from, or not, as the transport allows."
    UnicastPeers "unicast-peers" "Unicast adverts have somebody to go to."
    VridClash "vrid-clash" "Groups that share a network have different VRIDs there."
    VridPlace "vrid-place" "A VRID is given for a network the group is in."
    VridOverflow "vrid-overflow" "At most 255 groups share a network."
    TooManyVirtualIps "too-many-virtual-ips" "The virtual IPs of a group in a network fit one advert."
    ExcludedAlone "excluded-alone" "An excluded address is in a network where its group advertises another."
    VirtualRoute "virtual-route" "A virtual route leads somewhere, from an address of its group, and no other is in its place."
    VirtualRule "virtual-rule" "A virtual rule is about addresses of one family, and there is one like it."
    TrackSetting "track-setting" "A tracker watches one thing, and its settings make sense together."
    TrackedService "tracked-service" "A tracked service is one of every director of the group."
    BfdSession "bfd-session" "Trackers and checks describe a neighbour's BFD session alike."
    InstanceNameClash "instance-name-clash" "Group and network names give each instance its own name."
    PortClash "port-clash" "An address, port and protocol belongs to one service."
    NoDirectors "no-directors" "A service's virtual IP is in a failover group, or the service names its directors."
    DirectorsTwice "directors-twice" "Directors come from the failover group or from the service, not both."
    ForeignServer "foreign-server" "A real server is a host of the topology, or has managed = false and an address."
    ServerAddress "server-address" "A real server is reached at an address it has."
    MixedFamilies "mixed-families" "A real server has an address of the family its service listens on."
    DirectPort "direct-port" "Direct routing keeps the port."
    DirectSubnet "direct-subnet" "Direct routing needs a network the directors and the real server share."
    AmbiguousPort "ambiguous-port" "A server port is given only where a service listens on one port."
    TunnelPort "tunnel-port" "A tunnel keeps the port."
    TunnelSetting "tunnel-setting" "A tunnel's settings make sense together."
    TunnelFamily "tunnel-family" "The server's end of a GUE tunnel has an IPv4 address."
    TunnelMtu "tunnel-mtu" "A tunnel leaves room for the smallest packets that networks must take."
    ServerRoute "server-route" "Directors and real servers of different networks have routers."
    SourceAddresses "source-addresses" "Full NAT's source addresses are known, and move with the service's virtual IP."
    FullNatOnePacket "full-nat-one-packet" "Full NAT forwards flows, not single datagrams."
    SynProxy "syn-proxy" "A SYN proxy is in front of TCP services whose replies pass the director."
    FwmarkClash "fwmark-clash" "Each service has a mark of its own."
    FwmarkService "fwmark-service" "A mark makes one service of virtual IPs that move together."
    PortRange "port-range" "A wide range of ports is a service with a mark."
    DirectorIsServer "director-is-server" "A director is a real server of its own service only where requests cannot go round."
    NatGateway "nat-gateway" "NAT needs a servers-side virtual IP in the group of the service."
    NatTwoGateways "nat-two-gateways" "A NAT real server has one default route."
    DirectAndNat "direct-and-nat" "A host is a real server for direct routing or for NAT, not both."
    CheckSetting "check-setting" "A health check's settings make sense together."
    ServiceSetting "service-setting" "A service's settings make sense together."
    NotifySetting "notify-setting" "A notification has one way, and its settings make sense together."
    IpvsSetting "ipvs-setting" "Settings of the kernel's table are within its bounds."
    ConnectionSync "connection-sync" "Directors share connections in a network where each of them has an IPv4 address."
    SyncAndFamilies "sync-and-families" "Directors that share connections have no tunnels to servers of another address family."
    FirewallAllow "firewall-allow" "Allowed ports are listed only where the policy is drop."
    SyncAndSynProxy "sync-and-syn-proxy" "(warning) Connections are shared of services that go on after a take-over."
    SingleDirector "single-director" "(warning) A failover group has two directors or more."
    UnusedVirtualIp "unused-virtual-ip" "(warning) A virtual IP is used by a group or a service."
    UnmanagedGateway "unmanaged-gateway" "(warning) The default route of an unmanaged NAT real server is set elsewhere."
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One broken rule at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule.
    pub rule: Rule,
    /// The key, as a dotted path.
    pub key: String,
    /// Where in the file, in bytes.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
    /// Other places that have to do with it, with a word on each.
    pub related: Vec<(Range<usize>, String)>,
    /// A warning does not stop the generator.
    pub warning: bool,
}

impl Problem {
    /// Adds another place that has to do with the problem.
    pub fn see(&mut self, span: Range<usize>, what: impl Into<String>) -> &mut Self {
        self.related.push((span, what.into()));
        self
    }
}

/// Collects problems, so that all are reported together.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Records an error.
    pub fn add(
        &mut self,
        rule: Rule,
        key: impl Into<String>,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> &mut Problem {
        self.0.push(Problem {
            rule,
            key: key.into(),
            span,
            message: message.into(),
            remedy: remedy.into(),
            related: Vec::new(),
            warning: false,
        });
        self.0.last_mut().expect("one was just pushed")
    }

    /// Records an error whose text has the remedy after the first "; ", or says only what is wanted, as
    /// `fairway-config` writes them.
    pub fn add_text(
        &mut self,
        rule: Rule,
        key: impl Into<String>,
        span: Range<usize>,
        text: &str,
    ) -> &mut Problem {
        let (message, remedy) = text.split_once("; ").unwrap_or(("this does not fit", text));
        self.add(rule, key, span, message, remedy)
    }

    /// Records a warning.
    pub fn warn(
        &mut self,
        rule: Rule,
        key: impl Into<String>,
        span: Range<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(rule, key, span, message, remedy).warning = true;
    }

    /// How many were recorded, warnings included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any error (not counting warnings) was recorded.
    pub fn any_error(&self) -> bool {
        self.0.iter().any(|p| !p.warning)
    }

    /// Drops problems that overlap one of these places: they follow from what is wrong there.
    pub fn forget_inside(&mut self, places: &[Range<usize>]) {
        self.0.retain(|p| !places.iter().any(|r| p.span.start < r.end && r.start < p.span.end));
    }

    /// Drops all problems of one rule.
    pub fn forget(&mut self, rule: Rule) {
        self.0.retain(|p| p.rule != rule);
    }

    /// The problems in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|p| (p.span.start, p.span.end));
        self.0
    }

    /// Where each problem is.
    pub fn places(&self) -> Vec<Range<usize>> {
        self.0.iter().map(|problem| problem.span.clone()).collect()
    }

    /// Takes all of another collection's problems.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// Everything found in one file: what is refused, or what is only warned about.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Report {
    /// The file's name as the user wrote it, and its text.
    text: NamedSource<String>,
    /// In the order of the file.
    pub problems: Vec<Problem>,
}

impl Report {
    /// A report about one file.
    pub fn new(name: &str, text: &str, problems: Problems) -> Self {
        Self { text: NamedSource::new(name, text.to_owned()), problems: problems.into_sorted() }
    }

    /// Errors, not counting warnings.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| !p.warning).count()
    }

    /// One line: how many errors and warnings.
    pub fn summary(&self) -> String {
        let count = |n: usize, what: &str| match n {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{n} {what}s")),
        };
        let errors = self.errors();
        let parts: Vec<_> = [count(errors, "error"), count(self.problems.len() - errors, "warning")]
            .into_iter()
            .flatten()
            .collect();
        format!("{}: {}", self.text.name(), parts.join(", "))
    }

    /// Each problem in one line: file, line, key, what is wrong, what to do, rule.
    pub fn lines(&self) -> Vec<String> {
        let line = |problem: &Problem| {
            let Problem { rule, key, message, remedy, .. } = problem;
            let at = Located { problem, source: &self.text }.line(problem.span.start);
            let key = if key.is_empty() { String::new() } else { format!(" {key}:") };
            let remedy = if remedy.is_empty() { String::new() } else { format!("; {remedy}") };
            format!("{}:{at}:{key} {message}{remedy} ({rule})", self.text.name())
        };
        self.problems.iter().map(line).collect()
    }

    /// The whole report as text: each problem with its snippet, then the summary. Empty without problems.
    pub fn render(&self, theme: miette::GraphicalTheme, width: usize) -> String {
        let handler = miette::GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
        let mut text = String::new();
        for problem in &self.problems {
            let diagnostic = Located { problem, source: &self.text };
            handler.render_report(&mut text, &diagnostic).expect("writing to a String cannot fail");
            text.push('\n');
        }
        if !self.problems.is_empty() {
            text.push_str(&self.summary());
            text.push('\n');
        }
        text
    }
}

/// miette shows all lines between two labels; places further apart than this are named by their line.
const NEAR_LINES: usize = 12;

/// A problem together with the text it is in, for miette.
#[derive(Debug)]
struct Located<'a> {
    problem: &'a Problem,
    source: &'a NamedSource<String>,
}

impl Located<'_> {
    /// The line of a byte of the text, counted from 1.
    fn line(&self, at: usize) -> usize {
        let text = self.source.inner().as_bytes();
        text[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Whether another place is so near that one snippet can show both.
    fn is_near(&self, place: &Range<usize>) -> bool {
        self.line(place.start).abs_diff(self.line(self.problem.span.start)) <= NEAR_LINES
    }
}

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)?;
        for (span, what) in self.problem.related.iter().filter(|(span, _)| !self.is_near(span)) {
            write!(f, " ({what}: line {})", self.line(span.start))?;
        }
        Ok(())
    }
}

impl std::error::Error for Located<'_> {}

impl Diagnostic for Located<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let key = &self.problem.key;
        let rule = self.problem.rule;
        Some(Box::new(if key.is_empty() { rule.to_string() } else { format!("{key} ({rule})") }))
    }

    fn severity(&self) -> Option<Severity> {
        Some(if self.problem.warning { Severity::Warning } else { Severity::Error })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let remedy = &self.problem.remedy;
        if remedy.is_empty() { None } else { Some(Box::new(remedy)) }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let main = LabeledSpan::new_primary_with_span(None, self.problem.span.clone());
        let related = self
            .problem
            .related
            .iter()
            .filter(|(span, _)| self.is_near(span))
            .map(|(span, what)| LabeledSpan::new_with_span(Some(what.clone()), span.clone()));
        Some(Box::new(std::iter::once(main).chain(related)))
    }
}
