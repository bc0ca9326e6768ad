//! Makes an appliance the host of its topology that it is: at boot, and when somebody applies another topology.
//!
//! | file | what |
//! |---|---|
//! | `source` | where topologies come from: credentials, a labelled file system |
//! | `machine` | which host of a topology this machine is |
//! | `prepared` | a topology that can be put in force, or what is wrong with it |
//! | `tree` | the files of this host under /run, swapped as a whole |
//! | `keep` | the copy of the last good topology |
//! | `tell` | the record for `fairwayctl`, the journal, the console |
//! | `boot` | what happens at boot |
//! | `apply` | what happens when an operator applies a topology |
//! | `plan` | what a topology changes, on all hosts |
//! | `steps` | what is done with changed files, in order |
//! | `sysctls` | what kernel parameters get back that a topology no longer sets |

pub mod apply;
pub mod boot;
pub mod keep;
pub mod lease;
pub mod machine;
pub mod places;
pub mod plan;
pub mod prepared;
pub mod source;
pub mod steps;
pub mod sysctls;
pub mod tell;
pub mod tree;

#[cfg(test)]
mod tests;
