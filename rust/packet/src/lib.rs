//! Bytes of packets: checked views, trains, rewriting with incremental checksums, ICMP errors.
//!
//! Bytes come in as slices that the caller owns; what goes out is written into slices that the
//! caller lends. Nothing here allocates per packet, and nothing panics on bytes, whatever they are:
//! a defect is a [`Malformed`].
//!
//! Reading order: [`parse()`] validates one packet and sums it up; [`Train`] is what travels;
//! [`Rewrite`] translates it; [`SendBuffer`] and [`TrainSink`] are its two ways out; [`icmp`] answers
//! for what cannot pass; [`build`] makes packets from nothing.

pub mod build;
mod checksum;
mod error;
pub mod icmp;
mod network;
mod parse;
mod rewrite;
mod send_buffer;
mod sink;
mod time;
mod train;
mod transport;
mod wire;

pub use checksum::verify;
pub use error::Malformed;
pub use parse::{MAX_PACKET, Summary, parse};
pub use rewrite::Rewrite;
pub use send_buffer::{Class, MAX_RUN_BYTES, MAX_RUN_SLOTS, OpenRun, Route, Run, SendBuffer};
pub use sink::TrainSink;
pub use time::Instant;
pub use train::{Checksum, MAX_RUN_PACKETS, Train};
pub use transport::{Protocol, TcpFlags, Transport};
