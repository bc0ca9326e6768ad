//! How packets reach the real servers of a service.

use std::fmt;

/// How packets reach the real servers of a service, and how replies get back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Forward {
    /// The frame goes to the server's MAC address; the server answers as the virtual IP.
    Direct,
    /// The destination becomes the server; its replies come back through the director, its router.
    Nat,
    /// The destination becomes the server and the source the director, to which replies therefore go.
    FullNat,
}

impl Forward {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Nat, Self::FullNat];

    /// The word in the topology.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nat => "nat",
            Self::FullNat => "full-nat",
        }
    }

    /// What it means for packets, as a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Direct => {
                "direct: the director passes packets on unchanged; replies go from the server to the client"
            }
            Self::Nat => {
                "nat: the director changes the destination to the server's; replies come back through it"
            }
            Self::FullNat => {
                "full-nat: the director changes destination and source; servers see the director's address, not \
                 the client's"
            }
        }
    }

    /// Whether requests arrive at the server with the virtual IP as their destination.
    pub const fn keeps_destination(self) -> bool {
        matches!(self, Self::Direct)
    }

    /// Whether replies pass the director.
    pub const fn replies_pass_director(self) -> bool {
        !self.keeps_destination()
    }

    /// What the kernel's IPVS is told. It does not know the source address's part of full NAT, which is netfilter's.
    pub const fn for_director(self) -> fairway_config::Forward {
        match self {
            Self::Direct => fairway_config::Forward::Direct,
            Self::Nat | Self::FullNat => fairway_config::Forward::Nat,
        }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
