//! The generic netlink family `IPVS` on the wire (`linux/ip_vs.h`).

pub(crate) mod constants;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod read;

#[cfg(test)]
mod tests;
