//! Batches sealed and opened, against `ring` and `chacha20poly1305` message by message: one line of
//! JSON each, nanoseconds per message. Nothing here passes or fails.
//!
//! `auto` is what an endpoint uses, the others are forced, which says where the border in `cost.rs`
//! belongs. With `--grid` more lengths and batches, mixed ones, and each with `ring` where that is thought
//! to be faster.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "its lines are its result")]

mod harness;

use aead::{Choice, Cipher, Message};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

use harness::{Work, compare};

const KEY: [u8; 32] = [7; 32];
const TAG: usize = 16;
/// Bytes of all batches that are worked on in turn: they stay in the second level cache, as those of
/// a tunnel do.
const WORKING_SET: usize = 128 << 10;

/// A batch in a row of buffers.
#[derive(Clone)]
struct Batch {
    messages: Vec<Message>,
    sealed: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    opens: bool,
}

impl Batch {
    /// Messages of these lengths, 16 bytes of header before each.
    fn new(lengths: &[usize], opens: bool) -> Self {
        let (mut messages, mut end) = (Vec::new(), 0);
        for (counter, len) in (5..).zip(lengths) {
            let start = end + 16;
            end = start + len + TAG;
            messages.push(Message { start, end, counter, authentic: false });
        }
        let mut sealed: Vec<u8> = (0..end).map(|i| (i * 7) as u8).collect();
        Cipher::new(Choice::Ring).seal_batch(&KEY, &mut sealed, &messages).expect("in order");
        let count = (WORKING_SET / end).max(1);
        Self { messages, buffers: vec![sealed.clone(); count], sealed, opens }
    }

    fn messages(&self) -> usize {
        self.messages.len() * self.buffers.len()
    }

    fn restore(&mut self) {
        for buffer in &mut self.buffers {
            buffer.copy_from_slice(&self.sealed);
        }
    }
}

struct Ours(Batch, Cipher);

impl Work for Ours {
    fn prepare(&mut self) {
        self.0.restore();
    }

    fn run(&mut self) {
        let Self(Batch { messages, buffers, opens, .. }, cipher) = self;
        for buffer in buffers {
            if *opens {
                cipher.open_batch(&KEY, buffer, messages);
                debug_assert!(messages.iter().all(|message| message.authentic));
            } else {
                cipher.seal_batch(&KEY, buffer, messages).expect("in order");
            }
        }
    }
}

struct RustCrypto(Batch);

impl Work for RustCrypto {
    fn prepare(&mut self) {
        self.0.restore();
    }

    fn run(&mut self) {
        let cipher = ChaCha20Poly1305::new(&KEY.into());
        for buffer in &mut self.0.buffers {
            for message in &self.0.messages {
                let (text, tag) = buffer[message.start..message.end]
                    .split_last_chunk_mut::<TAG>()
                    .expect("it has a tag");
                let mut nonce = [0; 12];
                nonce[4..].copy_from_slice(&message.counter.to_le_bytes());
                let nonce = Nonce::from(nonce);
                if self.0.opens {
                    let tag = Tag::from(*tag);
                    cipher
                        .decrypt_inout_detached(&nonce, &[], text.into(), &tag)
                        .expect("authentic");
                } else {
                    let made = cipher.encrypt_inout_detached(&nonce, &[], text.into());
                    tag.copy_from_slice(&made.expect("short enough"));
                }
            }
        }
    }
}

fn compare_all(case: &str, lengths: &[usize], grid: bool) {
    let ring = Cipher::new(Choice::Ring);
    for opens in [false, true] {
        let (batch, what) = (Batch::new(lengths, opens), if opens { "open" } else { "seal" });
        let reference = || Ours(batch.clone(), ring);
        let units = batch.messages();
        let measure = |name: &str, ours: &mut dyn Work| {
            compare(&format!("{what} {name}"), case, units, ours, &mut reference());
        };
        measure("auto", &mut Ours(batch.clone(), Cipher::new(Choice::Auto)));
        for cipher in Cipher::all().filter(|cipher| cipher.name() != "ring") {
            measure(cipher.name(), &mut Ours(batch.clone(), cipher));
            if grid {
                let name = format!("{} measured", cipher.name());
                measure(&name, &mut Ours(batch.clone(), cipher.measured()));
            }
        }
        if !grid {
            measure("chacha20poly1305", &mut RustCrypto(batch.clone()));
        }
    }
}

fn main() {
    let grid = std::env::args().any(|argument| argument == "--grid");
    let (counts, lengths): (&[usize], &[usize]) = if grid {
        (&[1, 2, 3, 4, 5, 6, 8, 12, 16, 33, 48], &[0, 64, 128, 256, 400, 576, 900, 1280, 1420])
    } else {
        (&[1, 4, 16, 48], &[128, 576, 1280, 1420])
    };
    for &count in counts {
        for &len in lengths {
            compare_all(&format!("{count} x {len}"), &vec![len; count], grid);
        }
    }
    if grid {
        for count in [2, 4, 8, 16, 48] {
            let one: Vec<usize> = (0..count).map(|i| if i == 0 { 1420 } else { 32 }).collect();
            compare_all(&format!("1 x 1420, {} x 32", count - 1), &one, grid);
            let mixed: Vec<usize> = (0..count).map(|i| i * 911 % 1421).collect();
            compare_all(&format!("{count} of mixed lengths"), &mixed, grid);
        }
    }
}
