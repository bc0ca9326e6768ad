//! One topology file into every host's configuration.
//!
//! Four stages, each a type of its own: the TOML tree with places (`reader`, which reads what the
//! [`schema`] declares), the file as written ([`topology::raw`]), the checked [`Topology`], and one [`plan::HostPlan`] for each host, from which
//! [`render`] makes the files.

pub mod diagram;
pub mod explain;
pub mod import;
pub mod output;
pub mod plan;
mod reader;
pub mod render;
pub mod report;
pub mod schema;
pub mod topology;
mod words;

pub use plan::Plans;
pub use report::{Problem, Report, Rule};
pub use topology::Topology;
