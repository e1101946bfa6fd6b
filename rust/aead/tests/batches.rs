//! Batches: what every cipher of this processor makes of them is what `ring` makes of them.

#![allow(clippy::unwrap_used)]

use aead::{Choice, Cipher, Message, Misplaced};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const TAG: usize = 16;
const LONGEST: u32 = 1500;
const MOST: u32 = 70;

/// A batch of random messages in random bytes, and the same bytes as `ring` seals them.
struct Batch {
    key: [u8; 32],
    messages: Vec<Message>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    ((u64::from(random.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// Few messages more often than many; of one length, of one but the last, or of any; anywhere.
fn layout(random: &mut ChaCha8Rng) -> Vec<Message> {
    let most = [4, 16, 16, MOST][below(random, 4) as usize];
    let count = 1 + below(random, most);
    let (kind, train) = (below(random, 3), below(random, LONGEST + 1));
    let mut end = 0;
    let message = |i| {
        let len = match kind {
            0 => train,
            1 if i + 1 < count => train,
            _ => below(random, LONGEST + 1),
        };
        let start = end + below(random, 40) as usize;
        end = start + len as usize + TAG;
        Message { start, end, counter: random.next_u64(), authentic: false }
    };
    (0..count).map(message).collect()
}

impl Batch {
    fn new(random: &mut ChaCha8Rng) -> Self {
        let messages = layout(random);
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        let mut plain = vec![0; messages.last().unwrap().end + below(random, 20) as usize];
        random.fill_bytes(&mut plain);
        let mut sealed = plain.clone();
        let ring = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &key).unwrap());
        for message in &messages {
            let (text, tag) =
                sealed[message.start..message.end].split_last_chunk_mut::<TAG>().unwrap();
            let made = ring.seal_in_place_separate_tag(nonce(message), Aad::empty(), text);
            tag.copy_from_slice(made.unwrap().as_ref());
        }
        Self { key, messages, plain, sealed }
    }

    fn text(&self, message: &Message) -> std::ops::Range<usize> {
        message.start..message.end - TAG
    }

    /// Whether `buffer` is what opening made of `received`: what is `right` a plaintext, what is not
    /// as it came or overwritten, everything else as it was.
    fn is_opened(&self, received: &[u8], right: &[bool], mut buffer: Vec<u8>) -> bool {
        let mut opened = received.to_vec();
        for (message, right) in self.messages.iter().zip(right) {
            let text = self.text(message);
            if *right {
                opened[text.clone()].copy_from_slice(&self.plain[text]);
            } else if buffer[text.clone()].iter().all(|byte| *byte == 0) {
                buffer[text.clone()].copy_from_slice(&received[text]);
            }
        }
        buffer == opened
    }
}

fn nonce(message: &Message) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&message.counter.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Seals, opens, and opens again after some were changed on the way.
fn check(cipher: &Cipher, batch: &Batch, random: &mut ChaCha8Rng) {
    let mut buffer = batch.plain.clone();
    cipher.seal_batch(&batch.key, &mut buffer, &batch.messages).unwrap();
    assert!(buffer == batch.sealed, "{}, {:?}", cipher.name(), batch.messages);

    let (mut messages, mut right) = (batch.messages.clone(), vec![true; batch.messages.len()]);
    if random.next_u32() & 1 == 0 {
        for (message, right) in messages.iter_mut().zip(&mut right) {
            *right = below(random, 4) != 0;
            match below(random, 3) {
                _ if *right => {}
                0 => message.counter ^= 1 << below(random, 64),
                1 => buffer[message.end - TAG + below(random, 16) as usize] ^= bit(random),
                _ => {
                    let at = below(random, (message.end - message.start) as u32);
                    buffer[message.start + at as usize] ^= bit(random);
                }
            }
        }
    }
    let received = buffer.clone();
    cipher.open_batch(&batch.key, &mut buffer, &mut messages);
    let said: Vec<bool> = messages.iter().map(|message| message.authentic).collect();
    assert_eq!(said, right, "{}, {:?}", cipher.name(), batch.messages);
    let opened = batch.is_opened(&received, &right, buffer);
    assert!(opened, "{}, {:?}", cipher.name(), batch.messages);
}

fn bit(random: &mut ChaCha8Rng) -> u8 {
    1 << below(random, 8)
}

fn batches(count: u64, seed: u64) -> u64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut messages = 0;
    for _ in 0..count {
        let batch = Batch::new(&mut random);
        messages += batch.messages.len() as u64;
        for cipher in Cipher::all() {
            check(&cipher, &batch, &mut random);
        }
        check(&Cipher::new(Choice::Auto), &batch, &mut random);
    }
    messages
}

#[test]
fn every_cipher_agrees_with_ring() {
    batches(1500, 1);
}

/// `make aead-differential`: as many as the environment says.
#[test]
#[ignore = "takes an hour"]
fn every_cipher_agrees_with_ring_for_long() {
    let number = |name: &str, default| {
        std::env::var(name).map_or(default, |value| value.parse().expect("a number"))
    };
    let (count, seed) = (number("AEAD_BATCHES", 10_000_000), number("AEAD_SEED", 2));
    let messages = batches(count, seed);
    let names: Vec<_> = Cipher::all().map(|cipher| cipher.name()).collect();
    println!("{count} batches, {messages} messages, seed {seed}: {}", names.join(", "));
}

fn three() -> (Vec<u8>, [Message; 3]) {
    let message =
        |i: usize| Message { start: 40 * i, end: 40 * i + 32, counter: 9, authentic: true };
    ((0..120).collect(), [message(0), message(1), message(2)])
}

#[test]
fn what_is_misplaced_is_not_sealed() {
    let (plain, good) = three();
    let places: [(usize, usize); 7] = [
        (40, 55),
        (40, 39),
        (31, 60),
        (90, 121),
        (usize::MAX, 3),
        (usize::MAX - 3, usize::MAX),
        (40, usize::MAX),
    ];
    for cipher in Cipher::all().flat_map(|cipher| [cipher, cipher.measured()]) {
        for (start, end) in places {
            let mut messages = good;
            (messages[1].start, messages[1].end) = (start, end);
            let mut buffer = plain.clone();
            assert_eq!(cipher.seal_batch(&[1; 32], &mut buffer, &messages), Err(Misplaced));
            assert_eq!(buffer, plain);
            cipher.open_batch(&[1; 32], &mut buffer, &mut messages);
            assert!(messages.iter().all(|message| !message.authentic));
        }
    }
}

#[test]
fn order_does_not_matter_to_what_is_opened() {
    let (plain, messages) = three();
    for cipher in Cipher::all() {
        let mut buffer = plain.clone();
        cipher.seal_batch(&[1; 32], &mut buffer, &messages).unwrap();
        let [a, b, c] = messages;
        let mut turned = [c, a, b];
        cipher.open_batch(&[1; 32], &mut buffer, &mut turned);
        assert!(turned.iter().all(|message| message.authentic));
        for message in messages {
            assert_eq!(buffer[message.start..message.end - TAG], plain[message.start..][..16]);
        }
    }
}

/// Sealed once, a place cannot be opened twice: the second message does not find its ciphertext.
#[test]
fn of_messages_in_one_place_the_first_is_opened() {
    let (plain, messages) = three();
    for cipher in Cipher::all() {
        let mut buffer = plain.clone();
        cipher.seal_batch(&[1; 32], &mut buffer, &messages).unwrap();
        let mut twice = [messages[0], messages[0]];
        cipher.open_batch(&[1; 32], &mut buffer, &mut twice);
        assert_eq!(twice.map(|message| message.authentic), [true, false]);
    }
}

#[test]
fn nothing_is_a_batch_too() {
    for cipher in Cipher::all() {
        assert_eq!(cipher.seal_batch(&[1; 32], &mut [], &[]), Ok(()));
        cipher.open_batch(&[1; 32], &mut [], &mut []);
    }
}

#[test]
fn the_setting_decides() {
    assert_eq!(Cipher::new(Choice::Ring).name(), "ring");
    let fastest = Cipher::all().next().map(|cipher| cipher.name());
    assert_eq!(Some(Cipher::new(Choice::Auto).name()), fastest);
    assert_eq!(Cipher::all().last().map(|cipher| cipher.name()), Some("ring"));
}
