//! The seam: what a tunnel needs of whatever protects its packets.
//!
//! A sealed datagram is [`FRONT`] bytes of header, the packet, [`BACK`] bytes of tag: the layout of a
//! WireGuard transport message. Implementations seal and open in place, so that the bytes are written
//! where they leave from and read where they arrived.

use std::time::Duration;

use packet::{Instant, OpenRun};

use crate::PacketRange;

/// Bytes in front of a packet inside a sealed datagram.
pub const FRONT: usize = 16;
/// Bytes behind a packet inside a sealed datagram.
pub const BACK: usize = 16;
/// Bytes of the longest message of a handshake.
pub const HANDSHAKE: usize = wireguard::INITIATION;

/// The session cannot seal yet; the caller keeps the packet and waits for [`crate::Event::Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no session with this peer is established yet")]
pub struct NotReady;

/// What became of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// It can seal, from now on or again.
    Established,
    /// The peer did not answer; nothing more is tried until a packet waits.
    Failed,
}

/// A message of a handshake that passed the checks of the node.
#[derive(Debug)]
pub enum Handshake<'a> {
    /// The peer begins one.
    Initiation(wireguard::Initiation),
    /// The peer answers ours.
    Response(&'a [u8]),
    /// The peer is under load and wants a proof of our address.
    CookieReply(&'a [u8]),
}

/// What came of opening a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Authentic and new.
    pub accepted: u32,
    /// Not authentic, or of no session that is open.
    pub refused: u32,
    /// Authentic, but seen before or too old to tell.
    pub replayed: u32,
}

/// One peer's cryptographic state. Everything it knows of time is `now`.
pub trait Session: Send {
    /// Seals every slot of `run` in place: each holds [`FRONT`] free bytes, a packet of
    /// [`Session::padded_len`] bytes, and [`BACK`] free bytes.
    ///
    /// # Errors
    /// [`NotReady`] while there is no session; nothing was written that matters then.
    fn seal_batch(&mut self, run: &mut OpenRun<'_>, now: Instant) -> Result<(), NotReady>;

    /// Opens `datagrams` (ranges into `buffer`) in place and appends the range of each packet whose
    /// tag is right to `packets`, in order, padding included.
    ///
    /// All tags of the batch are checked before this returns, so nothing unauthenticated leaves.
    fn open_batch(
        &mut self,
        buffer: &mut [u8],
        datagrams: &[PacketRange],
        packets: &mut Vec<PacketRange>,
        now: Instant,
    ) -> Accepted;

    /// Whether [`Session::seal_batch`] would succeed at `now`.
    fn is_ready(&self, now: Instant) -> bool;

    /// Lets due timers act.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Session::handle_timeout`] is wanted next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// What happened since the last call.
    fn poll_event(&mut self) -> Option<SessionEvent>;

    /// Length of a packet of `len` bytes with what is added behind it before it is sealed.
    fn padded_len(&self, len: usize) -> usize {
        len
    }

    /// A packet waits: a handshake is begun if there is no session to seal it with.
    fn want(&mut self, _now: Instant) {}

    /// Begins a handshake whether there is a session or not.
    fn initiate(&mut self, _now: Instant) {}

    /// Begins a handshake because another path leads to the peer: one that is under way by the former
    /// path may be lost there.
    fn initiate_on_new_path(&mut self, now: Instant) {
        self.initiate(now);
    }

    /// Begins a handshake, unless one was begun not long ago.
    fn initiate_if_stale(&mut self, now: Instant) {
        self.initiate(now);
    }

    /// Takes a message of a handshake; whether it was accepted, and so came from the peer.
    fn handle_handshake(&mut self, _message: Handshake<'_>, _now: Instant) -> bool {
        false
    }

    /// Whether [`Session::poll_transmit`] has something to write.
    fn has_transmit(&self) -> bool {
        false
    }

    /// Writes the next message that has to be sent and returns its length.
    fn poll_transmit(&mut self, _out: &mut [u8; HANDSHAKE], _now: Instant) -> Option<usize> {
        None
    }

    /// Sends empty messages at this interval from now on.
    fn set_persistent_keepalive(&mut self, _interval: Option<Duration>, _now: Instant) {}

    /// Follows a step of the wall clock forward (paper §5.1).
    fn adjust_wall(&mut self, _wall: Duration, _now: Instant) {}

    /// Counts so far, if the session keeps any.
    fn statistics(&self, _now: Instant) -> Option<wireguard::Statistics> {
        None
    }

    /// Gives everything that a successor needs, and stops for good; `None` of one that has nothing to
    /// hand over.
    fn export_and_stop(&mut self, _now: Instant) -> Option<wireguard::Exported> {
        None
    }
}
