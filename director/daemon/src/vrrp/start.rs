//! The thread's first turn: what a process before has left.

use std::time::{Duration, Instant};

use fairway_vrrp::{Input, Place};

use super::addresses;
use super::kernel::Kernel;
use super::passing::Document;
use super::thread::{Thread, utc};

impl Thread {
    /// Goes on where a process before left off, and removes what it left that is not configured.
    pub(super) fn start(&mut self, buffer: &mut [u8]) {
        let configured: Vec<_> =
            self.roll.all().iter().map(|member| member.group.config().group.clone()).collect();
        let leftovers = addresses::leftovers(&self.kernel.links, &configured, false);
        if !leftovers.is_empty() {
            tracing::info!(
                count = leftovers.len(),
                "removing addresses a predecessor left that are not configured"
            );
            let failures = addresses::apply(&mut self.kernel.requests, leftovers, &self.kernel.links);
            self.kernel.complain_of(&failures);
        }
        let Kernel { routes, requests, links, .. } = &mut self.kernel;
        match routes.adopt(requests, links, configured.iter()) {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!(count, "removed routes and rules a predecessor left that are not configured")
            }
            Err(error) => {
                tracing::error!(%error, "cannot read routes and rules; leftovers of a predecessor may stay")
            }
        }
        let names: Vec<String> =
            self.roll.configured().iter().map(|member| member.name().to_owned()).collect();
        self.update_sockets();
        let Kernel { virtual_macs, requests, links, .. } = &mut self.kernel;
        match virtual_macs.remove_leftovers(requests, links) {
            0 => {}
            count => tracing::info!(count, "removed interfaces of virtual MACs that are not configured"),
        }
        self.kernel.inherited.clear(); // what no instance needs
        let inherited = self.inherited.take();
        for name in names {
            if !inherited.as_ref().is_some_and(|(document, age)| self.adopt_member(&name, document, *age)) {
                self.start_member(&name);
            }
        }
        self.tell_sources();
        // What came since the process before read last: it may be that another router is master.
        for key in self.kernel.sockets.keys().cloned().collect::<Vec<_>>() {
            self.take_in_packets(&key, buffer);
        }
        self.take_in_commands();
        self.publish();
    }

    /// Has a machine go on where the process before left off; false if that says nothing about it.
    fn adopt_member(&mut self, name: &str, document: &Document, age: Duration) -> bool {
        let (Some(member), Some(saved)) = (self.roll.get_mut(name), document.groups.get(name)) else {
            return false;
        };
        let _ = member.group.handle(Instant::now(), Input::Clock(utc())); // nothing follows from it
        let Some(outputs) = member.adopt(Instant::now(), saved, age) else { return false };
        tracing::info!(
            group = name, state = %member.group.state(), gap_ms = age.as_millis(),
            "going on as {} where the process before left off", member.group.state()
        );
        self.kernel.carry_out(member, outputs);
        true
    }

    /// Starts a machine, adopting VIPs that are still in place.
    pub(super) fn start_member(&mut self, name: &str) {
        let Some(member) = self.roll.get_mut(name) else { return };
        let mut holding = false;
        for (place, instance) in member.instances().iter().enumerate() {
            holding |= self.kernel.vips.adopt(&self.kernel.links, &member.owner(place), instance);
        }
        if holding {
            tracing::info!(group = name, "still holding VIPs");
        } else {
            // A predecessor that was killed while it stopped may have left some parked.
            for instance in 0..member.instances().len() {
                self.kernel.place(member, instance, Place::Nowhere);
            }
        }
        let clock = Input::Clock(utc());
        let _ = member.group.handle(Instant::now(), clock); // nothing follows from it
        let outputs = member.group.handle(Instant::now(), Input::Start { holding });
        self.kernel.carry_out(member, outputs);
    }
}
