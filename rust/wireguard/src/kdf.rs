//! Hash, keyed hash and key derivation of the handshake (WireGuard paper §5.4), over BLAKE2s.
//!
//! Only the composition is ours: the primitives come from `blake2` and `hmac`.

use blake2::digest::consts::U16;
use blake2::digest::{KeyInit, Mac};
use blake2::{Blake2s256, Blake2sMac, Digest};
use hmac::SimpleHmac;
use zeroize::Zeroizing;

/// 32 secret bytes, overwritten when dropped.
pub(crate) type Secret = Zeroizing<[u8; 32]>;

/// `HASH` of the parts, one behind the other.
pub(crate) fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Blake2s256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// `MAC`: BLAKE2s in its keyed mode with 16 bytes of output.
pub(crate) fn mac<const KEY: usize>(key: &[u8; KEY], parts: &[&[u8]]) -> [u8; 16] {
    const { assert!(KEY <= 32, "BLAKE2s takes keys of 32 bytes at most") };
    let state = <Blake2sMac<U16> as KeyInit>::new_from_slice(key);
    // Only a key that is too long is refused, and the assertion above left none.
    let Ok(mut state) = state else { unreachable!() };
    for part in parts {
        Mac::update(&mut state, part);
    }
    state.finalize().into_bytes().into()
}

/// `HMAC` over BLAKE2s with 32 bytes of output.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    let state = <SimpleHmac<Blake2s256> as KeyInit>::new_from_slice(key);
    // HMAC takes keys of every length.
    let Ok(mut state) = state else { unreachable!() };
    for part in parts {
        Mac::update(&mut state, part);
    }
    Zeroizing::new(state.finalize().into_bytes().into())
}

/// `KDFn`: `N` keys from a chaining key and an input.
pub(crate) fn kdf<const N: usize>(key: &[u8; 32], input: &[u8]) -> [Secret; N] {
    let extracted = hmac(key, &[input]);
    let mut previous: Option<Secret> = None;
    let mut counter = 0;
    std::array::from_fn(|_| {
        counter += 1;
        let before: &[u8] = previous.as_ref().map_or(&[], |key| &key[..]);
        let next = hmac(&extracted, &[before, &[counter]]);
        previous = Some(next.clone());
        next
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// HASH("abc") of RFC 7693 appendix B.
    #[test]
    fn hash_is_blake2s() {
        let expected = [
            0x50, 0x8c, 0x5e, 0x8c, 0x32, 0x7c, 0x14, 0xe2, 0xe1, 0xa7, 0x2b, 0xa3, 0x4e, 0xeb,
            0x45, 0x2f, 0x37, 0x45, 0x8b, 0x20, 0x9e, 0xd6, 0x3a, 0x29, 0x4d, 0x99, 0x9b, 0x4c,
            0x86, 0x67, 0x59, 0x82,
        ];
        assert_eq!(hash(&[b"a", b"bc"]), expected);
    }

    #[test]
    fn every_further_key_leaves_the_earlier_ones_as_they_are() {
        let [a] = kdf::<1>(&[1; 32], b"input");
        let [b, c] = kdf::<2>(&[1; 32], b"input");
        let [d, e, f] = kdf::<3>(&[1; 32], b"input");
        assert_eq!((&a, &b, &c), (&b, &d, &e));
        assert!(a != c && c != f && a != f);
    }
}
