//! Keys, one-time keys and key stream do not stay on the stack, as the kernel shows it.

#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "the kernel shows a process its memory as a file")]

use std::fs::{File, read_to_string};
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use aead::{Cipher, Message};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// What is looked for is kept under this, or it would be found here.
const MASK: u8 = 0xa5;
const KEY: u8 = 0x3c;

/// 16 bytes, masked.
type Piece = [u8; 16];

/// The stack below this frame, as it is now: what returned calls have left.
#[inline(never)]
fn left_behind(stack: &mut Vec<u8>) {
    let here = black_box(&stack).as_ptr_range();
    let local = 0_u8;
    let top = std::ptr::from_ref(black_box(&local)).addr();
    let maps = read_to_string("/proc/self/maps").unwrap();
    let line = maps.lines().find(|line| line.ends_with("[stack]")).unwrap();
    let bottom = usize::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
    let from = bottom.max(top.saturating_sub(64 << 10));
    stack.resize(top - from, 0);
    File::open("/proc/self/mem").unwrap().read_exact_at(stack, from as u64).unwrap();
    black_box(here);
}

fn found(stack: &[u8], piece: &Piece) -> bool {
    stack.windows(16).any(|bytes| bytes.iter().zip(piece).all(|(byte, of)| byte ^ MASK == *of))
}

fn masked(bytes: &[u8]) -> Vec<Piece> {
    let masked: Vec<u8> = bytes.iter().map(|byte| byte ^ MASK).collect();
    masked.chunks_exact(16).map(|piece| piece.try_into().unwrap()).collect()
}

/// The key, and the key stream of every message: its one-time key first.
fn secrets(messages: &[Message]) -> Vec<Piece> {
    let mut pieces = masked(&[KEY; 16]);
    for message in messages {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&message.counter.to_le_bytes());
        let mut stream = vec![0; 64 + message.end - message.start - 16];
        ChaCha20::new(&[KEY; 32].into(), &nonce.into()).apply_keystream(&mut stream);
        pieces.extend(masked(&stream));
        stream.fill(0);
    }
    pieces
}

fn main() {
    let message = |i: usize| Message {
        start: 400 * i,
        end: 400 * i + 336,
        counter: i as u64,
        authentic: false,
    };
    let mut messages: Vec<Message> = (0..20).map(message).collect();
    let len = 400 * messages.len();
    let secrets = secrets(&messages);
    let mut stack = Vec::new();
    // So that the pages are there, and nothing of what was done above is.
    zeroize::zeroize_stack::<{ 256 << 10 }>();
    for cipher in Cipher::all().filter(|cipher| cipher.name() != "ring") {
        let mut buffer = vec![1; len];
        // Made here each time, so that the only copies are those of the callee.
        let key = black_box([KEY; 32]);
        cipher.seal_batch(&key, &mut buffer, &messages).unwrap();
        left_behind(&mut stack);
        let sealing = secrets.iter().filter(|piece| found(&stack, piece)).count();
        cipher.open_batch(&key, &mut buffer, &mut messages);
        left_behind(&mut stack);
        let opening = secrets.iter().filter(|piece| found(&stack, piece)).count();
        assert!(messages.iter().all(|message| message.authentic));
        assert_eq!((sealing, opening), (0, 0), "left by {}, of {}", cipher.name(), secrets.len());
    }
    // This would not prove anything if nothing were ever found.
    leave(MASK);
    left_behind(&mut stack);
    assert!(found(&stack, &[!MASK ^ MASK; 16]), "what is left behind is seen");
}

/// Leaves something on the stack.
#[inline(never)]
fn leave(byte: u8) {
    black_box([!byte; 2048]);
}
