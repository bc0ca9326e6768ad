//! The tests of the state machine and of the wire format. One binary, so that it links once.

mod adopt;
mod announcements;
mod election;
mod groups;
mod handover;
mod hostile;
mod intake;
mod links;
mod matrix;
mod operations;
mod packets;
mod reconfigure;
mod rig;
mod seals;
mod simulation;
mod stall;
mod tracking;
