//! Peers and their sessions: datagrams in and out through the [`Session`] seam.
//!
//! Owns the peers of a shard, the receiver indices that tell their datagrams apart, and where each
//! peer is reached. Takes trains to seal and buffers of datagrams to open; both happen in place, in
//! buffers that the caller lends. Holds no application packet: a peer that cannot seal yet answers
//! [`SealError::NotReady`], and [`Event::Ready`] says when to come again. What sessions have to say by
//! themselves leaves by [`Connections::flush`], after every input. A peer is reached where it was heard of
//! last, or, if a portal introduced it, by the pair of addresses that ICE chose.

mod connections;
mod datagrams;
mod handover;
mod ice;
mod index;
mod node;
mod open;
mod opened;
mod plain;
mod session;
mod timers;
mod wireguard;

pub use ::wireguard::{Entropy, InvalidKey, Node, PresharedKey, PrivateKey, Profile, PublicKey};
pub use connections::{Connections, Counters, Event, Failure, PeerIndex, SealError};
pub use datagrams::{Arrival, Datagrams};
pub use handover::{Exported, ImportError};
pub use ice::{Credentials, IcePeer, LocalCandidates, Role};
pub use index::{IndexTable, ReceiverIndex};
pub use node::{AddError, PeerConfig};
pub use opened::{Group, Opened, PacketRange};
pub use plain::Plain;
pub use session::{Accepted, BACK, FRONT, HANDSHAKE, Handshake, NotReady, Session, SessionEvent};
