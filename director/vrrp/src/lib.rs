//! VRRP (RFC 9568, RFC 3768) as a pure state machine: no sockets, no clock.
//!
//! The unit is a [`Group`]: instances that are master together or not at all; a lone instance is a group of one.
//! What happened goes in with the time it happened, what is to be done comes out, in order. The caller (the
//! driver) owns sockets, interfaces and the clock.
//!
//! # States
//!
//! ```text
//!                    Start, links up                     no master heard by any instance
//!        +--------+ ----------------> +--------+ for its master-down interval  +--------+
//!        |  init  |                   | backup | ----------------------------> | master |
//!        +--------+ <---------------- +--------+ <---------------------------- +--------+
//!          ^   |           Stop        |     ^     a better master heard, or     |    |
//!          |   | Start, a link down    |     |     handed over to a successor    |    |
//!          |   v                       |     |                                   |    |
//!          | +-------+   a link down   |     |                                   |    |
//!          | | fault | <---------------+     |               a link down         |    |
//!          | |       | --- all links up -----+                                   |    |
//!          | |       | <---------------------------------------------------------+    |
//!          | +-------+                                                                |
//!          +--------------------------------------------------------------------------+
//!                            Stop, when a successor is heard or does not come
//! ```
//!
//! RFC 9568 calls the master "Active Router". Two things are not states, because VIPs stay where they are:
//!
//! - *Listening*: after [`Input::Start`] with `holding` (state `init`) and after [`Input::Stalled`] as master
//!   (state `master`) others may have taken over. The group keeps its VIPs, sends nothing for one interval, and
//!   goes on as master unless another one speaks up.
//! - *Handing over*: after [`Input::Stop`], [`Input::Failover`] or an order to be backup, the master (state
//!   `master`) sends priority 0, again each interval, and serves until a successor's advert is heard. Then its
//!   VIPs are parked on `lo` for a second ([`Place::Lo`]) before they go ([`Place::Nowhere`]).
//!
//! # Calling order
//!
//! 1. [`Group::new`].
//! 2. [`Input::Link`] for each instance as soon as its interface is looked up, before or after the next step; and
//!    whenever it changes.
//! 3. [`Input::Start`] once sockets are open. Nothing is decided before every link is known.
//!    [`Input::Clock`] before that, and whenever the clock was set, if an instance's adverts carry trailers.
//! 4. [`Input::Packet`] for each packet, handed to the instance with its [`vrid_of`]; packets of an identifier that
//!    no instance has may go to any instance of the interface, which counts and reports them.
//!    [`Input::Timer`] when [`Group::next_deadline`] has come. It may change with every input.
//! 5. After a delay above the master-down interval: the queued packets, then [`Input::Stalled`], then the rest.
//! 6. [`Input::Track`] for each result of a tracker, whenever it comes. Until the first one the tracker counts as
//!    failing, unless VIPs are held or the configuration says otherwise.
//! 7. [`Input::Reconfigure`] renumbers the instances as in the new configuration; follow it with
//!    [`Input::Link`] for each of them (a repeated one is harmless). VIPs of instances that are gone are the
//!    driver's to remove: it knows the lists.
//! 8. [`Input::Stop`], then timers and packets until [`Output::Stopped`].
//!
//! To have another process go on instead: [`Input::Bridge`] twice, a moment apart, then [`Group::save`], and nothing
//! more. There, [`Group::adopt`] takes the place of [`Input::Start`]; then every link, the packets that have queued up
//! meanwhile, and timers.
//!
//! Carry out the outputs of one call in order before the next call.
//!
//! # Where this goes beyond the RFC
//!
//! - A lower-ranked master is answered with an advert at once and with announcements, and a master that yields
//!   sends one last advert, so the winner of a healed split always announces itself again.
//! - Priority 0 from a router that is not the master is not taken for the master's.
//! - Differing address lists are reported, and never make two masters.
//! - All instances of a group are elected with the lowest priority among them, and a tie is decided on the first
//!   instance that hears the other router, so that networks cannot contradict each other.

mod auth;
mod counters;
mod group;
mod output;
mod packet;
mod saved;
mod timing;

pub use auth::{Carrier, PASSWORD, Secret};
pub use counters::Counters;
pub use group::{Group, GroupConfig, OtherRouter, VirtualRouter};
pub use output::{Cause, Event, Force, Input, LinkProblem, Output, Place, Received, State, Verdict};
pub use packet::{Advert, Authentication, Decoded, PacketError, group_address, vrid_of};
pub use saved::Saved;
