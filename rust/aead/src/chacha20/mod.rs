//! The key stream of many packets at once: a lane is one block of one packet (RFC 8439 §2.3), and
//! which packet it belongs to is the lane's own affair. So a pass has no lane without work but at the
//! end of a group, whatever the lengths of the packets are.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;

use crate::packet::{GROUP, Packet};
use crate::secret::Secret;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;
/// "expand 32-byte k".
pub(crate) const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// The first half of block 0 of every packet of a group: r and s of Poly1305 (RFC 8439 §2.6).
pub(crate) type OneTimeKeys = Secret<[u8; 32], GROUP>;

/// What a block of key stream is for.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The one-time key of the packet with this place in its group.
    Key(usize),
    /// `len` bytes of the buffer, 64 of them but at the end of a packet.
    Data { at: usize, len: usize },
}

/// What the lanes of a pass are. All of it is public.
pub(crate) struct Lanes<const N: usize> {
    pub(crate) counter: [u32; N],
    pub(crate) nonce: [[u32; N]; 3],
    pub(crate) target: [Target; N],
}

impl<const N: usize> Lanes<N> {
    pub(crate) fn new() -> Self {
        Self { counter: [0; N], nonce: [[0; N]; 3], target: [Target::Key(0); N] }
    }
}

/// Deals the blocks of a group to lanes: block 0 of every packet first, if those are asked for, then
/// the blocks of its data.
pub(crate) struct Blocks<'a> {
    packets: &'a [Packet],
    /// The next packet whose block 0 is due, and how many are.
    key: usize,
    keys: usize,
    /// The packet whose data is at hand, of how many, and how much of it is done.
    packet: usize,
    data: usize,
    done: usize,
}

impl<'a> Blocks<'a> {
    /// Block 0 of each, and nothing else.
    pub(crate) fn keys(packets: &'a [Packet]) -> Self {
        Self { packets, key: 0, keys: packets.len(), packet: 0, data: 0, done: 0 }
    }

    /// The blocks of the data alone.
    pub(crate) fn data(packets: &'a [Packet]) -> Self {
        Self { packets, key: 0, keys: 0, packet: 0, data: packets.len(), done: 0 }
    }

    /// All blocks.
    pub(crate) fn all(packets: &'a [Packet]) -> Self {
        Self { packets, key: 0, keys: packets.len(), packet: 0, data: packets.len(), done: 0 }
    }

    /// Sets up the lanes of the next pass; returns how many are in use.
    #[inline(always)]
    pub(crate) fn fill<const N: usize>(&mut self, lanes: &mut Lanes<N>) -> usize {
        for lane in 0..N {
            let Some((packet, counter, target)) = self.next() else { return lane };
            lanes.counter[lane] = counter;
            lanes.nonce[0][lane] = packet.nonce[0];
            lanes.nonce[1][lane] = packet.nonce[1];
            lanes.nonce[2][lane] = packet.nonce[2];
            lanes.target[lane] = target;
        }
        N
    }

    #[inline(always)]
    fn next(&mut self) -> Option<(&'a Packet, u32, Target)> {
        if self.key < self.keys {
            let key = self.key;
            self.key += 1;
            return Some((&self.packets[key], 0, Target::Key(key)));
        }
        while self.packet < self.data {
            let packet = &self.packets[self.packet];
            let left = packet.len - self.done;
            if left > 0 {
                let counter = (self.done / BLOCK) as u32 + 1;
                let target = Target::Data { at: packet.start + self.done, len: left.min(BLOCK) };
                self.done += left.min(BLOCK);
                return Some((packet, counter, target));
            }
            (self.packet, self.done) = (self.packet + 1, 0);
        }
        None
    }
}
