//! R37: a batch is sealed and opened without an allocation.

#![allow(clippy::unwrap_used)]

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;

use aead::{Choice, Cipher, Message};

use counting::allocations;

#[test]
fn r37_nothing_is_allocated_for_a_batch() {
    let mut messages = Vec::new();
    for (i, len) in [1280, 1280, 0, 20, 1000, 1420].repeat(12).into_iter().enumerate() {
        let start = 1500 * i;
        let end = start + len + 16;
        messages.push(Message { start, end, counter: i as u64, authentic: false });
    }
    let mut buffer = vec![7; 1500 * messages.len()];
    for cipher in Cipher::all().chain([Cipher::new(Choice::Auto)]) {
        for count in [1, 7, 33, messages.len()] {
            let some = &mut messages[..count];
            let made = allocations(|| {
                cipher.seal_batch(&[1; 32], &mut buffer, some).unwrap();
                cipher.open_batch(&[1; 32], &mut buffer, some);
            });
            assert!(some.iter().all(|message| message.authentic));
            assert_eq!(made, 0, "{}, {count} messages", cipher.name());
        }
    }
}
