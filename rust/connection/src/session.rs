//! The seam: what a tunnel needs of whatever protects its packets.
//!
//! A sealed datagram is [`FRONT`] bytes of header, the packet, [`BACK`] bytes of tag: the layout of a
//! WireGuard transport message without padding. Implementations seal and open in place, so that the
//! bytes are written where they leave from and read where they arrived.

use packet::{Instant, OpenRun};

use crate::PacketRange;

/// Bytes in front of a packet inside a sealed datagram.
pub const FRONT: usize = 16;
/// Bytes behind a packet inside a sealed datagram.
pub const BACK: usize = 16;

/// The session cannot seal yet; the caller keeps the packet and waits for [`crate::Event::Ready`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no session with this peer is established yet")]
pub struct NotReady;

/// Why a datagram was not opened; each is counted, none is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Shorter than header and tag, or of an unknown type.
    #[error("not a datagram of this protocol")]
    Malformed,
    /// No peer owns the receiver index.
    #[error("unknown receiver index")]
    UnknownIndex,
    /// The tag does not fit.
    #[error("authentication failed")]
    Unauthentic,
}

/// One peer's cryptographic state. Everything it knows of time is `now`.
pub trait Session: Send {
    /// Seals every slot of `run` in place: each holds [`FRONT`] free bytes, a packet, and [`BACK`]
    /// free bytes.
    ///
    /// # Errors
    /// [`NotReady`] while there is no session; nothing was written that matters then.
    fn seal_batch(&mut self, run: &mut OpenRun<'_>, now: Instant) -> Result<(), NotReady>;

    /// Opens `datagrams` (ranges into `buffer`) in place and appends the range of each packet whose
    /// tag is right to `packets`, in order. Returns how many were refused.
    ///
    /// All tags of the batch are checked before this returns, so nothing unauthenticated leaves.
    fn open_batch(
        &mut self,
        buffer: &mut [u8],
        datagrams: &[PacketRange],
        packets: &mut Vec<PacketRange>,
        now: Instant,
    ) -> u32;

    /// Whether [`Session::seal_batch`] would succeed at `now`.
    fn is_ready(&self, now: Instant) -> bool;

    /// Lets due timers act. Returns whether the session became ready by it.
    fn handle_timeout(&mut self, now: Instant) -> bool;

    /// When [`Session::handle_timeout`] is wanted next.
    fn poll_timeout(&self) -> Option<Instant>;
}
