//! WireGuard without I/O, clock or randomness of its own: datagrams, instants and entropy come in,
//! datagrams and deadlines come out.
//!
//! [`Node`] is what a process has once: its key and its protection against floods. [`Tunnel`] is one
//! peer. A datagram that arrives goes this way:
//!
//! 1. [`classify`]: what is it, and for which receiver index; [`Node::check`]: does it deserve
//!    work, or a cookie.
//! 2. An initiation: [`Node::read_initiation`] says whose it is, [`Tunnel::handle_initiation`] of
//!    that peer accepts it. Everything else belongs to the tunnel whose `connection` the upper 24
//!    bits of the index are: [`Tunnel::handle_response`], [`Tunnel::handle_cookie_reply`],
//!    [`Tunnel::open_batch`].
//!    Where these succeed (or count something as accepted) the peer itself has spoken, and only then
//!    may its address be taken over; a cookie reply proves nothing of the kind.
//! 3. [`Tunnel::poll_event`] and [`Tunnel::poll_transmit`] until nothing is left.
//!
//! Sources: "WireGuard: Next Generation Kernel Network Tunnel" (the paper; sections are cited as §)
//! and, for the values of [`Profile::FIREZONE_ICE`] and [`Profile::FIREZONE_ICELESS`], dataplane 5.7.
//! Where this differs from the paper: up to 8 sessions are open at once; the session in use ends for
//! sending at an age of its own; a response to the initiation before the last is understood too; of
//! two handshakes that crossed both ends use the same one; the attempt to reach a peer ends after
//! `rekey_attempt_time` whether packets wait or not, and a packet that still waits begins another.
//!
//! Primitives are those of `x25519-dalek`, `blake2`, `hmac`, `ring`, `chacha20` and
//! `chacha20poly1305`, for packets those of `aead`, which a [`Node`] is told to use; none is written
//! here. Comparisons of secrets are constant in time, and keys
//! are overwritten when they are no longer needed.

mod cookie;
mod entropy;
mod error;
mod gate;
mod handshake;
mod kdf;
mod key;
mod node;
mod profile;
mod session;
mod sessions;
mod tai64n;
mod timers;
mod tunnel;
mod window;
mod wire;

pub use entropy::Entropy;
pub use error::{HandshakeError, ImportError, NotReady, Refused, TunnelError};
pub use gate::{Checked, Counters, DropReason};
pub use handshake::Initiation;
pub use key::{InvalidKey, PresharedKey, PrivateKey, PublicKey};
pub use node::Node;
pub use profile::Profile;
pub use timers::Reason;
pub use tunnel::{Event, Exported, Opened, Statistics, Tunnel};
pub use wire::{BACK, COOKIE_REPLY, FRONT, INITIATION, KEEPALIVE, Kind, RESPONSE, classify};
