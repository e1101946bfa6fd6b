//! One message after the other, by `ring`.

use std::hint::black_box;

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, Tag, UnboundKey};

use crate::packet::{Packet, TAG};

/// ring's form of a key for the time of a batch. ring overwrites nothing, so this does.
pub(crate) struct Single(LessSafeKey);

impl Single {
    pub(crate) fn new(key: &[u8; 32]) -> Option<Self> {
        UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    pub(crate) fn seal(&self, buffer: &mut [u8], packet: &Packet) -> Option<()> {
        let (associated, text, tag) = parts(buffer, packet)?;
        let associated = Aad::from(associated);
        let sealed = self.0.seal_in_place_separate_tag(nonce(packet), associated, text).ok()?;
        tag.copy_from_slice(sealed.as_ref());
        Some(())
    }

    pub(crate) fn open(&self, buffer: &mut [u8], packet: &Packet) -> Option<()> {
        let (associated, text, tag) = parts(buffer, packet)?;
        let (associated, tag) = (Aad::from(associated), Tag::from(*tag));
        self.0.open_in_place_separate_tag(nonce(packet), associated, tag, text, 0..).ok()?;
        Some(())
    }
}

impl Drop for Single {
    fn drop(&mut self) {
        if let Ok(key) = UnboundKey::new(&CHACHA20_POLY1305, &[0; 32]) {
            self.0 = LessSafeKey::new(key);
            black_box(&self.0);
        }
    }
}

type Parts<'a> = (&'a [u8], &'a mut [u8], &'a mut [u8; TAG]);

fn parts<'a>(buffer: &'a mut [u8], packet: &Packet) -> Option<Parts<'a>> {
    let from = packet.start.checked_sub(packet.associated)?;
    let whole = buffer.get_mut(from..packet.start + packet.len + TAG)?;
    let (associated, sealed) = whole.split_at_mut(packet.associated);
    let (text, tag) = sealed.split_last_chunk_mut()?;
    Some((associated, text, tag))
}

fn nonce(packet: &Packet) -> Nonce {
    let mut bytes = [0; 12];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(packet.nonce) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    Nonce::assume_unique_for_key(bytes)
}
