//! Tags of many packets at once: a lane is a packet, with an r of its own. What is hashed is RFC 8439
//! §2.8: associated data and ciphertext, each with zeros up to a whole block, and a block with the two
//! lengths.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod ifma;

use crate::packet::{GROUP, Packet, TAG};
use crate::secret::Secret;

/// The tags of a group.
pub(crate) type Tags = Secret<[u8; TAG], GROUP>;

/// RFC 8439 §2.5: bits of r that are always zero, in its two words.
const CLAMP: [i64; 2] = [0x0fff_fffc_0fff_ffff, 0x0fff_fffc_0fff_fffc];

/// Where the data of a lane is.
#[derive(Clone, Copy, Default)]
struct Span {
    start: usize,
    len: usize,
}

impl Span {
    fn data(packet: &Packet) -> Self {
        Self { start: packet.start, len: packet.len }
    }

    fn associated(packet: &Packet) -> Self {
        Self { start: packet.start - packet.associated, len: packet.associated }
    }

    /// As many of `most` bytes from the `at`th on as there are.
    #[inline(always)]
    fn part<'a>(&self, buffer: &'a [u8], at: usize, most: usize) -> &'a [u8] {
        let from = at.min(self.len);
        let to = self.len.min(from + most);
        &buffer[self.start + from..self.start + to]
    }
}

/// The length of the shortest of `spans`, and of the longest.
#[inline(always)]
fn extremes(spans: &[Span]) -> (usize, usize) {
    let lengths = spans.iter().map(|span| span.len);
    lengths.fold((usize::MAX, 0), |(least, most), len| (least.min(len), most.max(len)))
}
