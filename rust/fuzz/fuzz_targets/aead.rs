//! Batches of any shape, misplaced ones too: every cipher of this processor makes of them what `ring`
//! makes of them, or refuses them as that does.
#![no_main]

use aead::{Cipher, Message};
use libfuzzer_sys::fuzz_target;

const TAG: usize = 16;

/// Numbers from the front of the input; zeros when it is used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    fn number(&mut self, bytes: u32) -> u64 {
        (0..bytes).fold(0, |sum, _| sum << 8 | u64::from(self.byte()))
    }
}

/// Messages one behind the other, now and then with an end or a begin that is anywhere.
fn messages(input: &mut Input<'_>) -> Vec<Message> {
    let count = input.byte() % 80;
    let mut end: usize = 0;
    let message = |_| {
        let kind = input.byte();
        let start = end.saturating_add(usize::from(kind & 15));
        let len = if kind & 16 == 0 { input.number(2) % 1501 } else { 1280 };
        end = start.saturating_add(len as usize + TAG);
        let mut message = Message { start, end, counter: input.number(3), authentic: kind & 32 == 0 };
        if kind == 0xff {
            message.end = input.number(8) as usize;
        } else if kind == 0xfe {
            message.start = input.number(8) as usize;
        }
        message
    };
    (0..count).map(message).collect()
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let key: [u8; 32] = std::array::from_fn(|_| input.byte());
    let (messages, spare) = (messages(&mut input), usize::from(input.byte()));
    let changes: Vec<(usize, u8)> = (0..input.byte() % 8)
        .map(|_| (input.number(3) as usize, input.byte()))
        .collect();
    let last = messages.iter().map(|message| message.end).max().unwrap_or(0);
    let text: Vec<u8> = input.0.iter().copied().cycle().take((last % 131_072) + spare).collect();
    let plain = if text.is_empty() { vec![0xa5; (last % 131_072) + spare] } else { text };

    let ring = Cipher::all().last().expect("ring is always there");
    let mut sealed = plain.clone();
    let result = ring.seal_batch(&key, &mut sealed, &messages);
    let mut received = sealed.clone();
    for (at, bits) in changes {
        if let Some(len) = std::num::NonZero::new(received.len()) {
            received[at % len] ^= bits;
        }
    }
    let (mut expected, mut opened) = (messages.clone(), received.clone());
    ring.open_batch(&key, &mut opened, &mut expected);

    for cipher in Cipher::all().flat_map(|cipher| [cipher, cipher.measured()]) {
        let mut buffer = plain.clone();
        assert_eq!(cipher.seal_batch(&key, &mut buffer, &messages), result);
        assert!(buffer == sealed, "{}", cipher.name());
        let (mut own, mut buffer) = (messages.clone(), received.clone());
        cipher.open_batch(&key, &mut buffer, &mut own);
        assert_eq!(own, expected, "{}", cipher.name());
        for message in own.iter().filter(|message| message.authentic) {
            let text = message.start..message.end - TAG;
            assert!(buffer[text.clone()] == opened[text], "{}", cipher.name());
        }
    }
});
