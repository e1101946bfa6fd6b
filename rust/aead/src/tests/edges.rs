//! Tags where carries and the last reduction have something to do, against arithmetic bit by bit.

use super::{Numbers, vectored};
use crate::chacha20::OneTimeKeys;
use crate::packet::{GROUP, Packet};
use crate::poly1305::Tags;

/// A number of up to 192 bits: the upper 64, the lower 128.
type Wide = (u64, u128);

const PRIME: Wide = (3, u128::MAX - 4);

fn plus((a, b): Wide, (c, d): Wide) -> Wide {
    let (low, carry) = b.overflowing_add(d);
    (a + c + u64::from(carry), low)
}

fn reduced(mut x: Wide) -> Wide {
    while x >= PRIME {
        let (low, borrow) = x.1.overflowing_sub(PRIME.1);
        x = (x.0 - PRIME.0 - u64::from(borrow), low);
    }
    x
}

/// RFC 8439 §2.5.1 as it is written, multiplication by doubling and adding.
fn tag(key: &[u8; 32], text: &[u8]) -> [u8; 16] {
    let number = |bytes: &[u8]| u128::from_le_bytes(bytes.try_into().unwrap());
    let r = number(&key[..16]) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
    let mut h = (0, 0);
    let lengths = u128::from(text.len() as u64) << 64;
    let padded = text.chunks(16).map(|chunk| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        u128::from_le_bytes(block)
    });
    for block in padded.chain([lengths]) {
        let factor = reduced(plus(h, (1, block)));
        h = (0, 0);
        for bit in (0..128).rev() {
            h = reduced(plus(h, h));
            if r >> bit & 1 == 1 {
                h = reduced(plus(h, factor));
            }
        }
    }
    h.1.wrapping_add(number(&key[16..])).to_le_bytes()
}

/// Texts of one length under keys of their own, hashed together by every implementation.
fn check(texts: &[Vec<u8>], keys: &[[u8; 32]]) {
    assert!(texts.len() == keys.len() && texts.len() <= GROUP);
    let mut buffer = Vec::new();
    let mut packets = Vec::new();
    let mut one_time = OneTimeKeys::new();
    for (i, (text, key)) in texts.iter().zip(keys).enumerate() {
        packets.push(Packet { start: buffer.len(), len: text.len(), associated: 0, nonce: [0; 3] });
        buffer.extend_from_slice(text);
        one_time[i] = *key;
    }
    let order: Vec<u8> = (0..packets.len() as u8).collect();
    for with in vectored() {
        let mut tags = Tags::new();
        with.tags(&buffer, &packets, &order, &one_time, &mut tags);
        for (i, (text, key)) in texts.iter().zip(keys).enumerate() {
            assert_eq!(tags[i], tag(key, text), "{with:?}, {key:02x?}, {text:02x?}");
        }
    }
}

fn key(r: u128, s: u128) -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(&r.to_le_bytes());
    key[16..].copy_from_slice(&s.to_le_bytes());
    key
}

#[test]
fn limbs_that_are_full_carry() {
    let r = [u128::MAX, 0, 1, 2, 5, 0x0fff_fffc << 96, u128::MAX << 64, u64::MAX.into()];
    for len in [0, 1, 15, 16, 17, 31, 32, 48, 63, 64, 65, 80, 127, 128, 129, 256, 1024] {
        for byte in [0, 1, 0x80, 0xff] {
            let texts = vec![vec![byte; len]; r.len()];
            check(&texts, &r.map(|r| key(r, u128::MAX)));
            check(&texts, &r.map(|r| key(r, 0)));
        }
    }
}

/// With r = 1, h is the sum of the blocks: so it can be put right before the prime, on it, behind it,
/// and to 2^130.
#[test]
fn the_last_reduction_is_made_when_it_is_due() {
    let mut reached = 0;
    for blocks in [2_u64, 3, 4, 5, 8, 9, 13] {
        for distance in -8..=8 {
            // Blocks, the one with the lengths too, have bit 128 set.
            let fixed = plus((blocks + 1, 0), (0, u128::from(16 * blocks) << 64));
            let mut goal = PRIME;
            while goal < plus(fixed, (0, 16)) {
                goal = plus(goal, PRIME);
            }
            let goal = if distance < 0 {
                let (low, borrow) = goal.1.overflowing_sub(-distance as u128);
                (goal.0 - u64::from(borrow), low)
            } else {
                plus(goal, (0, distance as u128))
            };
            let (low, borrow) = goal.1.overflowing_sub(fixed.1);
            let mut missing = (goal.0 - fixed.0 - u64::from(borrow), low);
            let mut text = Vec::new();
            for _ in 0..blocks {
                let part = if missing.0 > 0 { u128::MAX } else { missing.1 };
                let (low, borrow) = missing.1.overflowing_sub(part);
                missing = (missing.0 - u64::from(borrow), low);
                text.extend_from_slice(&part.to_le_bytes());
            }
            if missing == (0, 0) {
                check(&vec![text; 8], &[key(1, 0), key(1, u128::MAX), key(1, 7)].repeat(3)[..8]);
                reached += 1;
            }
        }
    }
    assert!(reached > 80, "{reached}");
}

#[test]
fn random_keys_and_lengths_beside_each_other() {
    let mut numbers = Numbers(3);
    for _ in 0..200 {
        let count = 1 + numbers.below(GROUP as u64) as usize;
        let texts: Vec<Vec<u8>> = (0..count)
            .map(|_| (0..numbers.below(300)).map(|_| numbers.next() as u8).collect())
            .collect();
        let keys: Vec<[u8; 32]> =
            (0..count).map(|_| std::array::from_fn(|_| numbers.next() as u8)).collect();
        check(&texts, &keys);
    }
}
