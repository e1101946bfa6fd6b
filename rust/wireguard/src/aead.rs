//! The seam of the data path's cipher: whole batches, in place. [`Ring`] works message by message;
//! an implementation that interleaves messages can take its place.

use std::hint::black_box;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::wire::{BACK, FRONT, KEEPALIVE, data, read_u64};

/// A data message inside a buffer, and what came of opening it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Offset behind its last byte.
    pub(crate) end: usize,
    /// The index of its session; `None` if it is no data message at all.
    pub(crate) receiver: Option<u32>,
    /// Whether the tag was right; what lies at [`Message::start`] plus [`FRONT`] is a packet then.
    pub(crate) authentic: bool,
}

/// ChaCha20-Poly1305 over data messages whose headers are complete: the counter in the header is the
/// nonce, and there is no associated data (paper §5.4.6).
pub(crate) trait Aead {
    /// Seals the messages that `bytes` consists of, all of `len` bytes but the last, which may be
    /// shorter. `false`: one was no message, and nothing may be sent.
    fn seal_batch(key: &[u8; 32], bytes: &mut [u8], len: usize) -> bool;

    /// Opens `messages`, and says of each whether it was authentic. One that was not may be
    /// overwritten, but no part of it is a plaintext.
    fn open_batch(key: &[u8; 32], buffer: &mut [u8], messages: &mut [Message]);
}

/// The implementation of `ring`.
pub(crate) struct Ring;

impl Aead for Ring {
    fn seal_batch(key: &[u8; 32], bytes: &mut [u8], len: usize) -> bool {
        let Some(cipher) = Cipher::new(key) else { return false };
        bytes.chunks_mut(len.max(1)).all(|message| cipher.seal(message).is_some())
    }

    fn open_batch(key: &[u8; 32], buffer: &mut [u8], messages: &mut [Message]) {
        let Some(cipher) = Cipher::new(key) else { return };
        for message in messages {
            let bytes = buffer.get_mut(message.start..message.end);
            message.authentic = bytes.is_some_and(|bytes| cipher.open(bytes).is_some());
        }
    }
}

/// ring's form of a key for the time of a batch. ring overwrites nothing, so this does.
struct Cipher(LessSafeKey);

impl Cipher {
    fn new(key: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    fn seal(&self, message: &mut [u8]) -> Option<()> {
        let plain = message.len().checked_sub(KEEPALIVE)?;
        let nonce = nonce(read_u64(message, data::COUNTER));
        let (packet, tag) = message[FRONT..].split_at_mut(plain);
        let sealed = self.0.seal_in_place_separate_tag(nonce, Aad::empty(), packet).ok()?;
        tag.copy_from_slice(sealed.as_ref());
        Some(())
    }

    fn open(&self, message: &mut [u8]) -> Option<()> {
        let plain = message.len().checked_sub(KEEPALIVE)?;
        let nonce = nonce(read_u64(message, data::COUNTER));
        let (packet, tag) = message[FRONT..].split_at_mut(plain);
        let tag = Tag::from(<[u8; BACK]>::try_from(&*tag).ok()?);
        self.0.open_in_place_separate_tag(nonce, Aad::empty(), tag, packet, 0..).ok()?;
        Some(())
    }
}

impl Drop for Cipher {
    fn drop(&mut self) {
        if let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &[0; 32]) {
            self.0 = LessSafeKey::new(key);
            black_box(&self.0);
        }
    }
}

/// Four zeros and the counter (paper §5.4.6).
fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}
