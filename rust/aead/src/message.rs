//! Messages of a batch.

use thiserror::Error;

use crate::packet::TAG;

/// A sealed or still to be sealed message inside a buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Offset of its first byte.
    pub start: usize,
    /// Offset behind the last of the 16 bytes of its tag.
    pub end: usize,
    /// What makes its nonce: four zeros and this, little-endian (WireGuard, §5.4.6). Never the same
    /// twice under one key.
    pub counter: u64,
    /// Whether its tag was right, which [`Cipher::open_batch`](crate::Cipher::open_batch) says.
    pub authentic: bool,
}

impl Message {
    /// Whether it has room for a tag, lies inside a buffer of `len` bytes, and does not use up the
    /// block counter (RFC 8439 §2.8).
    pub(crate) fn fits(&self, len: usize) -> bool {
        let own = self.end.saturating_sub(self.start);
        own >= TAG && self.end <= len && own < u32::MAX as usize
    }
}

/// Whether all of `messages` fit a buffer of `len` bytes, each behind the one before.
pub(crate) fn in_order(messages: &[Message], len: usize) -> bool {
    let mut free = 0;
    messages.iter().all(|message| {
        let fits = message.start >= free && message.fits(len);
        free = message.end;
        fits
    })
}

/// A message has no room for its tag, lies outside of the buffer, or begins before the end of the one
/// before. It is the caller's fault; nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("messages must lie in the buffer one behind the other, each with 16 bytes for its tag")]
pub struct Misplaced;
