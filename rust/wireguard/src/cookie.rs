//! MAC1, MAC2 and the cookies behind MAC2 (paper §5.3, §5.4.4, §5.4.7), as the sender of handshake
//! messages sees them. What the receiver does with them is in [`crate::gate`].

use std::time::Duration;

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use packet::Instant;

use crate::error::HandshakeError;
use crate::kdf::{Secret, hash, mac};
use crate::key::PublicKey;
use crate::wire::{COOKIE_REPLY, MAC, MACS, TYPE_COOKIE_REPLY, array, cookie_reply, read_u32};
use zeroize::Zeroizing;

/// How long a cookie is used, and how often the secret behind cookies changes.
pub(crate) const COOKIE_LIFE: Duration = Duration::from_secs(120);
/// Messages whose cookie replies are still understood: two of each kind may be on their way.
const RECENT: usize = 4;

/// Key of MAC1 of messages to `receiver`. It is no secret; it shows that the sender knows whom it
/// speaks to.
pub(crate) fn mac1_key(receiver: &PublicKey) -> [u8; 32] {
    hash(&[b"mac1----", receiver.as_bytes()])
}

/// Key of cookie replies from `sender`.
pub(crate) fn cookie_key(sender: &PublicKey) -> [u8; 32] {
    hash(&[b"cookie--", sender.as_bytes()])
}

/// Writes a reply to the message of `receiver` that carried `mac1`; its length.
pub(crate) fn seal_reply(
    key: &[u8; 32],
    nonce: &[u8; 24],
    receiver: u32,
    mac1: &[u8; MAC],
    cookie: &[u8; MAC],
    reply: &mut [u8; COOKIE_REPLY],
) -> Option<usize> {
    reply[..4].copy_from_slice(&TYPE_COOKIE_REPLY);
    reply[cookie_reply::RECEIVER..][..4].copy_from_slice(&receiver.to_le_bytes());
    reply[cookie_reply::NONCE].copy_from_slice(nonce);
    reply[cookie_reply::COOKIE].copy_from_slice(cookie);
    let text = &mut reply[cookie_reply::COOKIE];
    let cipher = XChaCha20Poly1305::new(key.into());
    let tag = cipher.encrypt_inout_detached(&XNonce::from(*nonce), mac1, text.into()).ok()?;
    reply[cookie_reply::TAG].copy_from_slice(&tag);
    Some(COOKIE_REPLY)
}

/// What a tunnel signs its handshake messages with.
pub(crate) struct Signer {
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    cookie: Option<(Zeroizing<[u8; MAC]>, Instant)>,
    /// Index and MAC1 of messages that a cookie reply may belong to, the newest first.
    recent: [Option<(u32, [u8; MAC])>; RECENT],
}

impl Signer {
    pub(crate) fn new(peer: &PublicKey) -> Self {
        let (mac1_key, cookie_key) = (mac1_key(peer), cookie_key(peer));
        Self { mac1_key, cookie_key, cookie: None, recent: [None; RECENT] }
    }

    /// Writes the MACs at the end of `message`, which was sent under `index`.
    pub(crate) fn sign(&mut self, message: &mut [u8], index: u32, now: Instant) {
        let Some(body) = message.len().checked_sub(MACS) else { return };
        let (body, macs) = message.split_at_mut(body);
        let mac1 = mac(&self.mac1_key, &[body]);
        macs[..MAC].copy_from_slice(&mac1);
        let fresh = self.cookie.as_ref().filter(|(_, since)| now - *since < COOKIE_LIFE);
        let mac2 = fresh.map_or([0; MAC], |(cookie, _)| mac(cookie, &[body, &mac1]));
        macs[MAC..].copy_from_slice(&mac2);
        self.recent.rotate_right(1);
        self.recent[0] = Some((index, mac1));
    }

    /// Takes the cookie of a reply to one of the last messages. Each message takes one: a reply that
    /// comes again is refused.
    pub(crate) fn take_reply(&mut self, reply: &[u8], now: Instant) -> Result<(), HandshakeError> {
        if reply.len() != COOKIE_REPLY || reply[..4] != TYPE_COOKIE_REPLY {
            return Err(HandshakeError::Malformed);
        }
        let index = read_u32(reply, cookie_reply::RECEIVER);
        let recent = self.recent.iter_mut().find(|of| of.is_some_and(|(of, _)| of == index));
        let Some((recent, mac1)) = recent.and_then(|of| of.map(|(_, mac1)| (of, mac1))) else {
            return Err(HandshakeError::UnknownIndex);
        };
        let mut cookie = Zeroizing::new(array::<MAC>(reply, cookie_reply::COOKIE));
        let nonce = XNonce::from(array::<24>(reply, cookie_reply::NONCE));
        let tag = Tag::from(array::<16>(reply, cookie_reply::TAG));
        XChaCha20Poly1305::new((&self.cookie_key).into())
            .decrypt_inout_detached(&nonce, &mac1, (&mut cookie[..]).into(), &tag)
            .map_err(|_| HandshakeError::Unauthentic)?;
        *recent = None;
        self.cookie = Some((cookie, now));
        Ok(())
    }

    /// Forgets everything but the peer.
    pub(crate) fn clear(&mut self) {
        self.cookie = None;
        self.recent = [None; RECENT];
    }
}

/// The cookie that `secret` gives a source: 16 bytes bound to its address and port.
pub(crate) fn cookie_of(secret: &Secret, source: &[u8]) -> Zeroizing<[u8; MAC]> {
    Zeroizing::new(mac(secret, &[source]))
}
