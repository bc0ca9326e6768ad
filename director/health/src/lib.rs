//! Health checks of real servers.
//!
//! Four layers, each usable without the next:
//!
//! - `probe/`: one attempt against one address, one file per kind. Every hostile behaviour of a server ends
//!   within the check's timeout, in bounded memory, as one clear text.
//! - [`Judge`]: rise and fall, pure.
//! - [`Schedule`]: when the next probe starts, pure.
//! - [`Monitor`]: runs the checks. A check is known by what it probes, a [`Subject`]; however many services
//!   depend on it, it runs once.
//!
//! Notifications run programs ([`Program`]) and post JSON ([`Post`]) by the same means.
//!
//! What the results mean for a server's place in the IPVS table is not decided here.

mod judge;
mod monitor;
mod paths;
mod probe;
mod program;
mod schedule;
mod spec;
mod target;

pub use judge::{Health, Judge};
pub use monitor::{CheckId, Monitor, Report, Verdict};
pub use paths::Paths;
pub use probe::post::Post;
pub use probe::tls::TlsError;
pub use probe::{Advice, BODY_LIMIT, HEAD_LIMIT, Outcome, digests, probe};
pub use program::{Ended, Program};
pub use schedule::{Clock, Schedule};
pub use spec::{Error, Launcher, Spec, Subject};
pub use target::{Detour, Target};
