//! What can go wrong, and what to do about it.

use std::io;

use nix::errno::Errno;

use crate::plan::Operation;

/// Talking to the kernel failed as a whole. What the table holds is unknown until the next dump.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel has no IPVS.
    #[error("the kernel has no IPVS: load the module with `modprobe ip_vs`")]
    NoIpvs,
    /// Not allowed.
    #[error("the kernel refuses access to IPVS: CAP_NET_ADMIN is needed in this network namespace")]
    NotPermitted,
    /// A netlink socket cannot be opened.
    #[error("cannot open a generic netlink socket")]
    Open(#[source] io::Error),
    /// Sending failed.
    #[error("cannot send to the kernel")]
    Send(#[source] io::Error),
    /// Receiving failed; `ENOBUFS` means answers were lost.
    #[error("cannot receive from the kernel")]
    Receive(#[source] io::Error),
    /// The kernel answered a request for data with an error.
    #[error("cannot {what}: {errno}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The kernel's error number.
        errno: Errno,
    },
    /// The kernel did not answer, which netlink does at once or never.
    #[error("the kernel gave no answer to: {0}")]
    NoAnswer(&'static str),
    /// An answer cannot be understood.
    #[error("cannot understand the kernel's answer")]
    Decode(#[from] DecodeError),
    /// A request cannot be written.
    #[error("cannot encode a request")]
    Encode(#[from] neli::err::SerError),
}

/// Received bytes that are not what the family's definition says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Bytes end early, or a length is too small or too large.
    #[error("{what} is cut short")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// An attribute every answer has is not there.
    #[error("{what} is missing")]
    Missing {
        /// The attribute.
        what: &'static str,
    },
    /// Neither IPv4 nor IPv6.
    #[error("address family {0} is unknown")]
    Family(u16),
    /// A name that is empty, too long or not text.
    #[error("the name of the {what} is malformed")]
    Name {
        /// Whose name.
        what: &'static str,
    },
}

/// An operation the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.explain())]
pub struct Failure {
    /// Its place in the list of operations.
    pub index: usize,
    /// The operation.
    pub operation: Operation,
    /// The kernel's error number.
    pub errno: Errno,
    /// The kernel's own words, if it has any.
    pub message: Option<String>,
}

impl Failure {
    /// What was refused, why, and what to do, in one line.
    fn explain(&self) -> String {
        let hint = match (self.errno, &self.operation) {
            (
                Errno::ENOENT,
                Operation::AddService { settings, .. } | Operation::SetService { settings, .. },
            ) => {
                let scheduler = settings.scheduler;
                match settings.engine {
                    Some(engine) => format!(
                        "the kernel has no scheduler {scheduler:?} or no persistence engine {engine:?}: load \
                         ip_vs_{scheduler} and ip_vs_pe_{engine}, or choose others"
                    ),
                    None => format!(
                        "the kernel has no scheduler {scheduler:?}: load ip_vs_{scheduler}, or choose another"
                    ),
                }
            }
            (Errno::ENOENT, _) => "the kernel does not have it".to_owned(),
            (Errno::ESRCH, _) => "the kernel does not have the service".to_owned(),
            (Errno::EEXIST, _) => "the kernel has it already".to_owned(),
            (Errno::EPERM, _) => "not permitted: CAP_NET_ADMIN is needed".to_owned(),
            (Errno::ERANGE, _) => {
                "the weight is above 2147483647, or the lower threshold above the upper one".to_owned()
            }
            (Errno::EAFNOSUPPORT, _) => "the kernel's IPVS does not know this address family".to_owned(),
            (Errno::EPROTONOSUPPORT, _) => "the kernel's IPVS does not know this protocol".to_owned(),
            (
                Errno::EINVAL,
                Operation::AddDestination { service, key, .. }
                | Operation::SetDestination { service, key, .. },
            ) => {
                if crate::model::Family::of(key.address) == service.family() {
                    "the kernel takes only unicast addresses (none while no interface is up), and GUE only with a \
                     port"
                        .to_owned()
                } else {
                    "a server of the other address family works only with tunnels, and not while connections \
                     are synchronised"
                        .to_owned()
                }
            }
            (errno, _) => errno.desc().to_owned(),
        };
        match &self.message {
            Some(message) => format!("cannot {}: {hint} ({message})", self.operation),
            None => format!("cannot {}: {hint}", self.operation),
        }
    }
}
