//! What the kernels know of a message.

/// Packets that are worked on together: their states and what they are worked with lie in the first
/// level cache at a usual size.
pub(crate) const GROUP: usize = 32;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

/// A message in a buffer: `len` bytes from `start`, and the tag behind them. Everything in it is
/// public.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Packet {
    pub(crate) start: usize,
    /// Without the tag.
    pub(crate) len: usize,
    /// Bytes of associated data, which lie in front of `start`. WireGuard has none.
    pub(crate) associated: usize,
    /// RFC 8439 §2.3: the three words behind the block counter.
    pub(crate) nonce: [u32; 3],
}

impl Packet {
    /// The nonce of WireGuard: four zeros and the counter (paper §5.4.6).
    pub(crate) fn new(start: usize, end: usize, counter: u64) -> Self {
        let nonce = [0, counter as u32, (counter >> 32) as u32];
        Self { start, len: end - start - TAG, associated: 0, nonce }
    }
}
