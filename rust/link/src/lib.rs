//! A seeded sans-I/O link: one direction of a network path with latency, jitter, loss, duplication,
//! reordering and bandwidth. Simulation, demo and scripting API use the same one.
//!
//! Datagrams go in by [`Link::send`] and come out by [`Link::receive`] at instants that are a function
//! of seed and input alone. Control and data share nothing but the link's name: each class has its own
//! line, its own queue and its own random streams, one per kind of decision, so that not one control
//! datagram more or less moves data by a nanosecond (rules of the promise, §6).

mod config;
mod flight;
mod line;
mod link;
mod random;

pub use config::{Impairment, LinkConfig};
pub use link::{Counters, Link};
