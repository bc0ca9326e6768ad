//! IPVS over generic netlink.
//!
//! - [`model`]: what the kernel's table holds, as values;
//! - [`plan()`]: pure: the smallest ordered list of operations from the observed to the desired table;
//! - [`Client`]: one netlink socket: dumps, single services, statistics, timeouts, and operations in batches.
//!
//! Loading is bound by the kernel: operations are encoded one after the other into one buffer, many are sent at
//! once without asking for acknowledgements, and the kernel answers only those that fail.

mod client;
mod error;
pub mod model;
mod plan;
#[cfg(test)]
mod testing;
mod wire;

pub use client::Client;
pub use error::{DecodeError, Error, Failure};
pub use model::*;
pub use nix::errno::Errno;
pub use plan::{Operation, plan};
