//! The four messages as they stand in a datagram (paper §5.4). All numbers are little-endian.
//!
//! | type | bytes | layout after the 4 bytes of type and zeros |
//! |---|---|---|
//! | 1 initiation | 148 | sender 4, ephemeral 32, static 48, timestamp 28, MAC1 16, MAC2 16 |
//! | 2 response | 92 | sender 4, receiver 4, ephemeral 32, nothing 16, MAC1 16, MAC2 16 |
//! | 3 cookie reply | 64 | receiver 4, nonce 24, cookie 32 |
//! | 4 data | 32 and more | receiver 4, counter 8, packet, tag 16 |

use std::ops::Range;

/// Bytes of an initiation, the longest message of a handshake.
pub const INITIATION: usize = 148;
/// Bytes of a response.
pub const RESPONSE: usize = 92;
/// Bytes of a cookie reply.
pub const COOKIE_REPLY: usize = 64;
/// Bytes in front of a packet in a data message.
pub const FRONT: usize = 16;
/// Bytes behind a packet in a data message.
pub const BACK: usize = 16;
/// Bytes of a data message without a packet: a keepalive.
pub const KEEPALIVE: usize = FRONT + BACK;

pub(crate) const TAG: usize = 16;
pub(crate) const MAC: usize = 16;
/// MAC1 and MAC2 at the end of initiations and responses.
pub(crate) const MACS: usize = 2 * MAC;

pub(crate) const TYPE_INITIATION: [u8; 4] = [1, 0, 0, 0];
pub(crate) const TYPE_RESPONSE: [u8; 4] = [2, 0, 0, 0];
pub(crate) const TYPE_COOKIE_REPLY: [u8; 4] = [3, 0, 0, 0];
pub(crate) const TYPE_DATA: [u8; 4] = [4, 0, 0, 0];

pub(crate) mod initiation {
    use super::Range;
    pub(crate) const SENDER: usize = 4;
    pub(crate) const EPHEMERAL: Range<usize> = 8..40;
    pub(crate) const STATIC: Range<usize> = 40..88;
    pub(crate) const TIMESTAMP: Range<usize> = 88..116;
}

pub(crate) mod response {
    use super::Range;
    pub(crate) const SENDER: usize = 4;
    pub(crate) const RECEIVER: usize = 8;
    pub(crate) const EPHEMERAL: Range<usize> = 12..44;
    pub(crate) const NOTHING: Range<usize> = 44..60;
}

pub(crate) mod cookie_reply {
    use super::Range;
    pub(crate) const RECEIVER: usize = 4;
    pub(crate) const NONCE: Range<usize> = 8..32;
    pub(crate) const COOKIE: Range<usize> = 32..48;
    pub(crate) const TAG: Range<usize> = 48..64;
}

pub(crate) mod data {
    pub(crate) const RECEIVER: usize = 4;
    pub(crate) const COUNTER: usize = 8;
}

/// What a datagram says it is. Nothing is authenticated by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first message of a handshake; whose it is shows [`Node::read_initiation`](crate::Node::read_initiation).
    Initiation,
    /// The second one, for the handshake of this index.
    Response(u32),
    /// A cookie for the sender of the message that carried this index.
    CookieReply(u32),
    /// A packet of the session of this index.
    Data(u32),
}

/// Tells by type and length what `datagram` is, and for which receiver index. `None`: not WireGuard.
pub fn classify(datagram: &[u8]) -> Option<Kind> {
    let kind = datagram.first_chunk::<4>()?;
    match (*kind, datagram.len()) {
        (TYPE_INITIATION, INITIATION) => Some(Kind::Initiation),
        (TYPE_RESPONSE, RESPONSE) => Some(Kind::Response(read_u32(datagram, response::RECEIVER))),
        (TYPE_COOKIE_REPLY, COOKIE_REPLY) => {
            Some(Kind::CookieReply(read_u32(datagram, cookie_reply::RECEIVER)))
        }
        (TYPE_DATA, KEEPALIVE..) => Some(Kind::Data(read_u32(datagram, data::RECEIVER))),
        _ => None,
    }
}

/// The number at `at`; 0 beyond the end, which callers have excluded.
pub(crate) fn read_u32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |x| u32::from_le_bytes(*x))
}

/// As [`read_u32`], of 64 bits.
pub(crate) fn read_u64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |x| u64::from_le_bytes(*x))
}

/// The `N` bytes at `range`; zeros if it has another length, which callers have excluded.
pub(crate) fn array<const N: usize>(bytes: &[u8], range: Range<usize>) -> [u8; N] {
    bytes.get(range).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_length_have_to_agree() {
        for len in 0..200 {
            for kind in 0..=255 {
                let mut datagram = vec![0; len];
                for (at, byte) in datagram.iter_mut().enumerate().skip(4) {
                    *byte = at as u8;
                }
                if let Some(first) = datagram.first_mut() {
                    *first = kind;
                }
                let expected = match (kind, len) {
                    (1, 148) => Some(Kind::Initiation),
                    (2, 92) => Some(Kind::Response(0x0b0a_0908)),
                    (3, 64) => Some(Kind::CookieReply(0x0706_0504)),
                    (4, 32..) => Some(Kind::Data(0x0706_0504)),
                    _ => None,
                };
                assert_eq!(classify(&datagram), expected, "type {kind}, {len} bytes");
            }
        }
        assert_eq!(classify(&[4, 1].repeat(100)), None, "the zeros are part of the type");
    }
}
