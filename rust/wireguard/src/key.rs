//! Keys: 32 bytes each. The secret ones are overwritten when dropped and print nothing of
//! themselves.

use std::fmt;
use std::str::FromStr;

use base64ct::{Base64, Encoding};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::kdf::Secret;

/// What is not a key in base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key: 32 bytes in base64 are expected, 44 characters with one `=` at the end")]
pub struct InvalidKey;

/// A node's own X25519 key.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

/// An X25519 public key: who a peer is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// A secret that two peers share besides their keys. 32 zeros are the same as none.
#[derive(Clone)]
pub struct PresharedKey(Secret);

impl PrivateKey {
    /// Takes 32 bytes as they are; X25519 clamps them whenever they are used.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(StaticSecret::from(bytes))
    }

    /// A new key from 32 random bytes, clamped as `wg genkey` does it (RFC 7748 §5).
    pub fn clamped(mut random: [u8; 32]) -> Self {
        random[0] &= 0b1111_1000;
        random[31] = random[31] & 0b0111_1111 | 0b0100_0000;
        Self::from_bytes(random)
    }

    /// The public key that belongs to it.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// The key in base64, for a file that only its owner reads.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(self.0.as_bytes()))
    }

    /// X25519 with `public`; `None` if the result is all zeros, which only a key of low order gives.
    pub(crate) fn agree(&self, public: &[u8; 32]) -> Option<Secret> {
        let shared = self.0.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
        shared.was_contributory().then(|| Zeroizing::new(*shared.as_bytes()))
    }
}

impl PublicKey {
    /// Takes 32 bytes as they are. Whether a peer can be reached with them shows
    /// [`Tunnel::new`](crate::Tunnel::new).
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PresharedKey {
    /// Takes 32 random bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The key in base64, for a file that only its owner reads.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(Base64::encode_string(&self.0[..]))
    }

    pub(crate) fn into_secret(self) -> Secret {
        self.0
    }
}

/// Decodes without a branch or an index that depends on the secret.
fn decode(text: &str) -> Result<Secret, InvalidKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    match Base64::decode(text, &mut bytes[..]) {
        Ok(decoded) if decoded.len() == 32 => Ok(bytes),
        Ok(_) | Err(_) => Err(InvalidKey),
    }
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(|bytes| Self::from_bytes(*bytes))
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(|bytes| Self(*bytes))
    }
}

impl FromStr for PresharedKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 44];
        f.write_str(Base64::encode(&self.0, &mut text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(***)")
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(***)")
    }
}
