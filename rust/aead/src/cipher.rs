//! The choice of an implementation, and the two calls.

use zeroize::zeroize_stack;

use crate::backend::{Kind, Vectored};
use crate::cost::Task;
use crate::group::{self, KeyWords};
use crate::message::{Message, Misplaced, in_order};
use crate::packet::{GROUP, Packet};
use crate::single::Single;

/// At least as deep as the frames of the kernels are, with what the compiler keeps there while
/// registers are short.
const STACK: usize = 8 << 10;

/// Which implementation is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The fastest that the processor has; of that and `ring` the one that is faster for the batch.
    Auto,
    /// `ring`, always.
    #[default]
    Ring,
}

/// ChaCha20-Poly1305 without associated data over batches of messages. Has no state but the choice.
#[derive(Clone, Copy, Debug)]
pub struct Cipher {
    vectored: Option<Vectored>,
    /// Small batches too, for tests.
    always: bool,
}

impl Cipher {
    /// The cipher of `choice` on this processor.
    pub fn new(choice: Choice) -> Self {
        let kinds = [Kind::Avx512Ifma, Kind::Avx512, Kind::Avx2];
        let vectored = match choice {
            Choice::Auto => kinds.into_iter().find_map(Vectored::detect),
            Choice::Ring => None,
        };
        Self { vectored, always: false }
    }

    /// Every cipher that this processor has, each with its own code for every batch, whether that is
    /// faster or not. For tests and benchmarks.
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = [Kind::Avx512Ifma, Kind::Avx512, Kind::Avx2];
        let vectored = kinds.into_iter().filter_map(Vectored::detect).map(Some);
        vectored.chain([None]).map(|vectored| Self { vectored, always: true })
    }

    /// This cipher, with `ring` for the batches for which it is faster.
    #[must_use]
    pub fn measured(self) -> Self {
        Self { always: false, ..self }
    }

    /// `"avx512-ifma"`, `"avx512"`, `"avx2"` or `"ring"`.
    pub fn name(&self) -> &'static str {
        match self.vectored.map(Vectored::kind) {
            Some(Kind::Avx512Ifma) => "avx512-ifma",
            Some(Kind::Avx512) => "avx512",
            Some(Kind::Avx2) => "avx2",
            None => "ring",
        }
    }

    /// Seals `messages` of `buffer` in place, and writes the tag of each into its last 16 bytes.
    ///
    /// # Errors
    /// [`Misplaced`] if one is not behind the one before it, inside the buffer and of 16 bytes at
    /// least. Nothing is sealed then.
    pub fn seal_batch(
        &self,
        key: &[u8; 32],
        buffer: &mut [u8],
        messages: &[Message],
    ) -> Result<(), Misplaced> {
        if !in_order(messages, buffer.len()) {
            return Err(Misplaced);
        }
        match self.vectored_for(messages, Task::Seal) {
            Some(vectored) => {
                seal_groups(vectored, key, buffer, messages);
                zeroize_stack::<STACK>();
                Ok(())
            }
            None => seal_one_by_one(key, buffer, messages).ok_or(Misplaced),
        }
    }

    /// Opens `messages` of `buffer` in place, and says of each whether it was authentic. One that was
    /// not may be overwritten, but no part of it is a plaintext.
    ///
    /// Every tag of the batch has been compared, in constant time, before this returns; where packets
    /// are worked on together, before anything is decrypted. Messages that are not one behind the other
    /// are opened one by one; what is not inside the buffer is not authentic.
    pub fn open_batch(&self, key: &[u8; 32], buffer: &mut [u8], messages: &mut [Message]) {
        let vectored = if in_order(messages, buffer.len()) {
            self.vectored_for(messages, Task::Open)
        } else {
            None
        };
        match vectored {
            Some(vectored) => {
                check_groups(vectored, key, buffer, messages);
                decrypt_groups(vectored, key, buffer, messages);
                zeroize_stack::<STACK>();
            }
            None => open_one_by_one(key, buffer, messages),
        }
    }

    /// The vectored implementation, if it is there and is faster for `messages`, which are in order.
    fn vectored_for(&self, messages: &[Message], task: Task) -> Option<Vectored> {
        let faster = |vectored: &Vectored| self.always || vectored.is_faster_for(messages, task);
        self.vectored.filter(faster)
    }
}

impl Default for Cipher {
    fn default() -> Self {
        Self::new(Choice::default())
    }
}

/// The packets of a chunk of messages.
struct Group {
    packets: [Packet; GROUP],
    len: usize,
}

impl Group {
    fn new<'a>(messages: impl Iterator<Item = &'a Message>) -> Self {
        let mut group = Self { packets: [Packet::default(); GROUP], len: 0 };
        for (packet, message) in group.packets.iter_mut().zip(messages) {
            *packet = Packet::new(message.start, message.end, message.counter);
            group.len += 1;
        }
        group
    }

    fn packets(&self) -> &[Packet] {
        &self.packets[..self.len]
    }
}

// Not inlined, so that their frames are among those which are overwritten.

#[inline(never)]
pub(crate) fn seal_groups(with: Vectored, key: &[u8; 32], buffer: &mut [u8], messages: &[Message]) {
    let key = KeyWords::new(key);
    for chunk in messages.chunks(GROUP) {
        group::seal(with, &key, buffer, Group::new(chunk.iter()).packets());
    }
}

/// Compares the tags of all messages; decrypts none.
#[inline(never)]
pub(crate) fn check_groups(
    with: Vectored,
    key: &[u8; 32],
    buffer: &[u8],
    messages: &mut [Message],
) {
    let key = KeyWords::new(key);
    for chunk in messages.chunks_mut(GROUP) {
        let right = group::check(with, &key, buffer, Group::new(chunk.iter()).packets());
        for (message, right) in chunk.iter_mut().zip(right) {
            message.authentic = right;
        }
    }
}

/// Decrypts the messages whose tags were right.
#[inline(never)]
pub(crate) fn decrypt_groups(
    with: Vectored,
    key: &[u8; 32],
    buffer: &mut [u8],
    messages: &[Message],
) {
    let key = KeyWords::new(key);
    for chunk in messages.chunks(GROUP) {
        let authentic = chunk.iter().filter(|message| message.authentic);
        group::decrypt(with, &key, buffer, Group::new(authentic).packets());
    }
}

fn seal_one_by_one(key: &[u8; 32], buffer: &mut [u8], messages: &[Message]) -> Option<()> {
    let single = Single::new(key)?;
    messages.iter().try_for_each(|message| {
        let packet = Packet::new(message.start, message.end, message.counter);
        single.seal(buffer, &packet)
    })
}

fn open_one_by_one(key: &[u8; 32], buffer: &mut [u8], messages: &mut [Message]) {
    let single = Single::new(key);
    for message in messages {
        let fits = message.fits(buffer.len());
        let packet = fits.then(|| Packet::new(message.start, message.end, message.counter));
        let opened =
            packet.zip(single.as_ref()).and_then(|(packet, single)| single.open(buffer, &packet));
        message.authentic = opened.is_some();
    }
}
