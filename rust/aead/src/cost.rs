//! Whether a batch is worth the lanes. Estimates, from measurements (`benches/batches`); what they say
//! depends on lengths alone, which are public.

use crate::backend::{Kind, Vectored};
use crate::chacha20::BLOCK;
use crate::message::Message;
use crate::packet::{GROUP, TAG};

/// What is done with a batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Seal,
    /// The one-time keys have passes of their own: nothing is decrypted before tags are compared.
    Open,
}

/// What parts of a batch cost, in tenths of a nanosecond on the machine of docs/results/aead.md. Their
/// ratios count, and those are much the same elsewhere.
struct Cost {
    /// Blocks in a pass of the key stream, and what a pass costs.
    blocks: usize,
    pass: usize,
    /// Packets that are hashed together: their keys, their lengths, their tags.
    packets: usize,
    hash: usize,
    /// 64 bytes of each of these, and 64 bytes where some of them have ended.
    step: usize,
    ragged: usize,
}

const AVX512_IFMA: Cost =
    Cost { blocks: 16, pass: 2500, packets: 8, hash: 1200, step: 350, ragged: 700 };
const AVX512: Cost = Cost { blocks: 16, pass: 2500, packets: 4, hash: 800, step: 500, ragged: 800 };
const AVX2: Cost = Cost { blocks: 8, pass: 2450, packets: 4, hash: 800, step: 500, ragged: 800 };

/// A call, the stack overwritten; a group.
const CALL: usize = 1000;
const OF_GROUP: usize = 1300;

/// ring's, for a call, for a message, and for 64 bytes of it.
const RING: (usize, usize, usize) = (300, 1650, 310);

impl Vectored {
    /// Whether `messages` cost less this way than by `ring`, by 5 % at least.
    pub(crate) fn is_faster_for(self, messages: &[Message], task: Task) -> bool {
        let count = messages.len();
        if count < 2 {
            return false;
        }
        let cost = match self.kind() {
            Kind::Avx512Ifma => &AVX512_IFMA,
            Kind::Avx512 => &AVX512,
            Kind::Avx2 => &AVX2,
        };
        let (mut total, mut longest, mut shortest) = (0, 0, usize::MAX);
        for message in messages {
            let len = message.end.saturating_sub(message.start).saturating_sub(TAG);
            let blocks = len.div_ceil(BLOCK);
            (total, longest) = (total + blocks, longest.max(blocks));
            shortest = shortest.min(len / BLOCK);
        }
        let groups = count.div_ceil(GROUP);
        let hashed = count.div_ceil(cost.packets);
        // The packets of a group are hashed in the order of their lengths: the longest of some is no
        // longer than any of those before.
        let steps = (hashed * longest).min(longest * groups + total / cost.packets);
        let even = (hashed * shortest).min(steps);
        let passes = match task {
            Task::Seal => (total + count).div_ceil(cost.blocks),
            Task::Open => total.div_ceil(cost.blocks) + count.div_ceil(cost.blocks),
        };
        let vectored = CALL
            + OF_GROUP * groups
            + cost.pass * passes
            + cost.hash * hashed
            + cost.step * even
            + cost.ragged * (steps - even);
        let (call, message, block) = RING;
        vectored + vectored / 20 < call + message * count + block * total
    }
}
