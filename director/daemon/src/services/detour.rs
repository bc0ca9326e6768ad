//! The way of probes to a virtual IP (`via = "vip"`): one IPVS service of marked packets for each server.
//!
//! A probe's packets carry the mark, so that the kernel delivers them to that server as it would a client's,
//! wherever the virtual IP is at the moment.

use std::sync::Arc;

use fairway_config::RealServer;
use fairway_health::Detour;
use fairway_ipvs::{Destination, DestinationKey, Family, Name, Service, ServiceKey, Settings, Table};

use crate::table;

/// The services that probes need, by mark.
#[derive(Debug, Default)]
pub(super) struct Detours {
    pub(super) table: Table,
}

impl Detours {
    /// The detour to a server of virtual IPs of this family. The same way has the same mark, in every configuration.
    pub(super) fn to(&mut self, family: Family, server: &RealServer) -> Detour {
        // Without a port: whatever port a check asks at, the server is asked at it.
        let key = DestinationKey { address: server.address, port: 0 };
        let destination = Destination::new(table::forward(server.forward), 1);
        let mut service = Service::new(Settings::new(Name::RR));
        service.destinations.insert(key, destination);
        let mut mark = table::probe_mark(hash(&format!("{} {:?}", server.address, destination.forward)));
        // Two ways with one hash: the later one takes the next mark that is free.
        while self.table.get(&ServiceKey::Mark { mark, family }).is_some_and(|taken| **taken != service) {
            mark = table::probe_mark(mark.get().wrapping_add(1));
        }
        self.table.insert(ServiceKey::Mark { mark, family }, Arc::new(service));
        Detour { mark: mark.get(), server: server.address }
    }
}

/// FNV-1a, 32 bits: the same in every version, so that a restart finds the services of its predecessor.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use fairway_config::Config;

    use super::*;

    fn server(address: &str, forward: &str) -> RealServer {
        let text = format!(
            "version = 1\ncluster = \"c\"\nhost = \"h\"\n[[service]]\nname = \"web\"\nscheduler = \"rr\"\n\
             listen = {{ address = \"10.0.0.100\", port = 80, protocol = \"tcp\" }}\n\
             real-servers = [{{ name = \"a\", address = \"{address}\", forward = {forward} }}]\n"
        );
        Config::from_toml(&text).unwrap().services[0].real_servers[0].clone()
    }

    #[test]
    fn each_way_has_a_mark_of_its_own_and_keeps_it() {
        let mut detours = Detours::default();
        let first = detours.to(Family::V4, &server("10.0.0.21", "\"direct\""));
        assert_eq!(detours.to(Family::V4, &server("10.0.0.21", "\"direct\"")), first);
        let wrapped = detours.to(Family::V4, &server("10.0.0.21", "\"tunnel\""));
        assert_ne!(wrapped.mark, first.mark);
        for n in 1..=200 {
            detours.to(Family::V4, &server(&format!("10.0.1.{n}"), "\"direct\""));
        }
        assert_eq!(detours.table.len(), 202);
        assert!(detours.table.keys().all(table::is_probe));
        // Whatever else is configured.
        assert_eq!(Detours::default().to(Family::V4, &server("10.0.0.21", "\"direct\"")), first);
    }

    #[test]
    fn ways_with_one_hash_are_told_apart() {
        let mut detours = Detours::default();
        let (one, other) = (server("10.0.0.21", "\"direct\""), server("10.0.0.22", "\"direct\""));
        let mark = table::probe_mark(Detours::default().to(Family::V4, &one).mark);
        // As if the other one had come first, with this mark.
        let mut first = Detours::default();
        first.to(Family::V4, &other);
        let service = first.table.into_values().next().unwrap();
        detours.table.insert(ServiceKey::Mark { mark, family: Family::V4 }, service);
        assert_eq!(detours.to(Family::V4, &one).mark, table::probe_mark(mark.get() + 1).get());
    }
}
