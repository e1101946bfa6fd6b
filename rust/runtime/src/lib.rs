//! The only owner of file descriptors, threads and the clock.
//!
//! [`EventLoop`] drives endpoints by the contract of the `tunnel` crate, on one data-plane thread;
//! [`Tun`] is their way to the host, [`wake`] the way to and from an asyncio loop. Python events and
//! commands pass through bounded queues; this crate never takes the interpreter lock.
// The bans of clippy.toml hold below this crate; this one exists to do what they forbid.
#![allow(clippy::disallowed_methods)]

mod clock;
mod dns;
mod event_loop;
mod handle;
mod hosts;
mod inheritance;
mod links;
mod namespace;
mod offloads;
mod outbound;
mod path;
mod queue;
mod random;
mod room;
mod scheduling;
mod tap;
mod tun;
mod udp;
pub mod wake;
mod wire;

pub use clock::{now, wall};
pub use event_loop::{EventLoop, Station};
pub use handle::{
    CommandRefused, Handle, LoopCounters, LoopEvent, Remains, State, StationCounters,
};
pub use hosts::Host;
pub use inheritance::{fill, spill};
pub use links::Links;
pub use offloads::Offloads;
pub use path::{Path, PathCounters, PathEnd};
pub use random::random;
pub use scheduling::Scheduling;
pub use tap::{Tap, TapError, Tapped};
pub use tun::{Tun, TunCounters, TunError};
pub use udp::{UdpConfig, UdpCounters, UdpError, UdpSockets};
pub use wire::Wire;
