//! Peers and their sessions: datagrams in and out through the [`Session`] seam.
//!
//! Owns the peers of a shard, the receiver indices that tell their datagrams apart, and where each
//! peer is reached. Takes trains to seal and buffers of datagrams to open; both happen in place, in
//! buffers that the caller lends. Holds no application packet: a peer that cannot seal yet answers
//! [`SealError::NotReady`], and [`Event::Ready`] says when to come again.

mod connections;
mod index;
mod opened;
mod plain;
mod session;

pub use connections::{Connections, Counters, Event, PeerIndex, SealError};
pub use index::{IndexTable, ReceiverIndex};
pub use opened::{Group, Opened, PacketRange};
pub use plain::Plain;
pub use session::{BACK, FRONT, NotReady, OpenError, Session};
