//! Bidirectional Forwarding Detection (RFC 5880) as a pure state machine: no sockets, no clock.
//!
//! A [`Session`] watches the path to one neighbour. What happened goes in with the time it happened, what is to be
//! sent and told comes out, in order. The caller (the driver) owns the sockets, the clock, and the choice of
//! discriminators.
//!
//! # States
//!
//! ```text
//!                             +--+
//!                             |  | init hears nothing, or down from the neighbour
//!                             |  V
//!                     down  +------+  init
//!              +------------|      |------------+
//!              |            | down |            |
//!              |  +-------->|      |<--------+  |
//!              |  |         +------+         |  |
//!              |  | nothing heard    nothing |  |
//!              |  | for the      heard, or   |  |
//!              V  | detection time     down  |  V
//!            +------+                      +------+
//!       +----|      |                      |      |----+
//!  down |    | init |--------------------->|  up  |    | init, up
//!       +--->|      |      init, up        |      |<---+
//!            +------+                      +------+
//! ```
//!
//! The labels are the states that packets from the neighbour carry (RFC 5880 section 6.2). A fourth state,
//! `admin-down`, is entered and left by order alone: it tells the neighbour that the end is planned.
//!
//! # Calling order
//!
//! 1. [`Session::new`], with a discriminator that no other session of the system has, or [`Session::adopt`].
//! 2. For each packet: [`Packet::decode`], [`arrival`] (how far it may have come), then [`Input::Packet`] for the
//!    session whose discriminator [`Packet::your_discriminator`] is; if that is 0, for the session with the neighbour
//!    it came from.
//! 3. [`Input::Timer`] when [`Session::next_deadline`] has come. It may change with every input. After a delay of the
//!    driver's own, the packets that have queued up go in first.
//! 4. [`Input::Disable`] before the end; once [`Session::is_end_known`] nobody takes it for a failure.
//!
//! To have another process go on: [`Input::Bridge`], and once [`Output::Bridged`] has come [`Session::save`].
//!
//! # What is left out
//!
//! The echo function (section 6.4) and demand mode of our own (6.6) are optional and not used; a neighbour that uses
//! demand mode is obeyed. Authentication (6.7) is not in use: packets that carry it are discarded, as section 6.8.6
//! demands.

mod packet;
mod session;

pub use packet::{Arrival, Diagnostic, LENGTH, Packet, PacketError, State, arrival};
pub use session::{Config, Counters, Input, Output, Remote, SLOW, Saved, Session};
