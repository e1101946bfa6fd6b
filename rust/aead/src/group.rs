//! A group of packets through the kernels.

use subtle::ConstantTimeEq;

use crate::backend::Vectored;
use crate::chacha20::{Blocks, OneTimeKeys};
use crate::packet::{GROUP, Packet, TAG};
use crate::poly1305::Tags;
use crate::secret::Secret;

/// A key in words, for the time of a batch.
pub(crate) struct KeyWords(Secret<u32, 8>);

impl KeyWords {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let mut words = Secret::new();
        for (word, bytes) in words.iter_mut().zip(key.chunks_exact(4)) {
            // A chunk has four bytes.
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Self(words)
    }
}

/// Packets in the order of their lengths, the longest first, so that those which are hashed together
/// end together.
struct Order([u8; GROUP]);

impl Order {
    fn new(packets: &[Packet]) -> Self {
        let mut order = [0; GROUP];
        for (i, place) in order.iter_mut().enumerate() {
            *place = i as u8;
        }
        if packets.windows(2).any(|pair| pair[0].len < pair[1].len) {
            let length = |i: &u8| usize::MAX - packets[usize::from(*i)].len;
            order[..packets.len()].sort_unstable_by_key(length);
        }
        Self(order)
    }
}

/// Seals at most [`GROUP`] packets of `buffer`, and writes the tag of each behind it.
pub(crate) fn seal(with: Vectored, key: &KeyWords, buffer: &mut [u8], packets: &[Packet]) {
    let mut keys = OneTimeKeys::new();
    with.stream(&key.0, Blocks::all(packets), buffer, &mut keys);
    let (mut tags, order) = (Tags::new(), Order::new(packets));
    with.tags(buffer, packets, &order.0[..packets.len()], &keys, &mut tags);
    for (packet, tag) in packets.iter().zip(tags.iter()) {
        let end = packet.start + packet.len;
        buffer[end..end + TAG].copy_from_slice(tag);
    }
}

/// Says of at most [`GROUP`] packets whether their tags are right. Nothing is decrypted.
pub(crate) fn check(
    with: Vectored,
    key: &KeyWords,
    buffer: &[u8],
    packets: &[Packet],
) -> [bool; GROUP] {
    let mut keys = OneTimeKeys::new();
    with.stream(&key.0, Blocks::keys(packets), &mut [], &mut keys);
    let (mut tags, order) = (Tags::new(), Order::new(packets));
    with.tags(buffer, packets, &order.0[..packets.len()], &keys, &mut tags);
    let mut right = [false; GROUP];
    for ((right, packet), tag) in right.iter_mut().zip(packets).zip(tags.iter()) {
        let mut sent = [0; TAG];
        sent.copy_from_slice(&buffer[packet.start + packet.len..][..TAG]);
        let differ = u128::from_le_bytes(*tag) ^ u128::from_le_bytes(sent);
        let differ = differ as u64 | (differ >> 64) as u64;
        *right = differ.ct_eq(&0).unwrap_u8() == 1;
    }
    right
}

/// Decrypts at most [`GROUP`] packets, whose tags were right.
pub(crate) fn decrypt(with: Vectored, key: &KeyWords, buffer: &mut [u8], packets: &[Packet]) {
    // No block of a one-time key is among these.
    with.stream(&key.0, Blocks::data(packets), buffer, &mut OneTimeKeys::new());
}
