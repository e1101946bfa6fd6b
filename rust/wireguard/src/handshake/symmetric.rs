//! The state that both ends carry along: a chaining key and a hash of all that was said.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::error::HandshakeError;
use crate::kdf::{Secret, hash, kdf};
use crate::key::PublicKey;
use crate::wire::TAG;

const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// `C` and `H` of the paper.
#[derive(Clone)]
pub(crate) struct Symmetric {
    chain: Secret,
    hash: [u8; 32],
}

impl Symmetric {
    /// The state before the first message to `responder`.
    pub(crate) fn new(responder: &PublicKey) -> Self {
        let chain = hash(&[CONSTRUCTION]);
        let prologue = hash(&[&chain, IDENTIFIER]);
        let mut state = Self { chain: Zeroizing::new(chain), hash: prologue };
        state.mix_hash(responder.as_bytes());
        state
    }

    fn mix_hash(&mut self, said: &[u8]) {
        self.hash = hash(&[&self.hash, said]);
    }

    /// An ephemeral public key was said.
    pub(crate) fn mix_ephemeral(&mut self, ephemeral: &[u8; 32]) {
        self.mix_hash(ephemeral);
        self.mix_shared(ephemeral);
    }

    /// A shared secret that no message is sealed with yet.
    pub(crate) fn mix_shared(&mut self, shared: &[u8; 32]) {
        let [chain] = kdf(&self.chain, shared);
        self.chain = chain;
    }

    /// A shared secret, and the key of what is sealed next.
    pub(crate) fn mix_key(&mut self, shared: &[u8; 32]) -> Secret {
        let [chain, key] = kdf(&self.chain, shared);
        self.chain = chain;
        key
    }

    /// The preshared key, and the key of what is sealed next.
    pub(crate) fn mix_preshared(&mut self, preshared: &[u8; 32]) -> Secret {
        let [chain, said, key] = kdf(&self.chain, preshared);
        self.chain = chain;
        self.mix_hash(&said[..]);
        key
    }

    /// Seals `plain` into `into`, which is [`TAG`] bytes longer, and takes it as said.
    pub(crate) fn seal(&mut self, key: &Secret, plain: &[u8], into: &mut [u8]) -> Option<()> {
        let (text, tag) = into.split_at_mut_checked(plain.len())?;
        text.copy_from_slice(plain);
        let sealed = cipher(key)?.seal_in_place_separate_tag(zero(), Aad::from(self.hash), text);
        tag.copy_from_slice(sealed.ok()?.as_ref().get(..tag.len())?);
        self.mix_hash(into);
        Some(())
    }

    /// Opens `sealed`, `N` bytes and a tag, and takes it as said.
    pub(crate) fn open<const N: usize>(
        &mut self,
        key: &Secret,
        sealed: &[u8],
    ) -> Result<[u8; N], HandshakeError> {
        let mut text = Zeroizing::new([0; 64]);
        let text = text.get_mut(..sealed.len()).ok_or(HandshakeError::Malformed)?;
        text.copy_from_slice(sealed);
        let cipher = cipher(key).ok_or(HandshakeError::Unauthentic)?;
        let opened = cipher.open_in_place(zero(), Aad::from(self.hash), text);
        let plain = opened.map_err(|_| HandshakeError::Unauthentic)?;
        let plain = (&*plain).try_into().map_err(|_| HandshakeError::Malformed)?;
        self.mix_hash(sealed);
        Ok(plain)
    }

    /// The keys of the session: the initiator sends with the first.
    pub(crate) fn split(self) -> [Secret; 2] {
        kdf(&self.chain, &[])
    }
}

/// Every key of a handshake seals once, so its nonce is always zero.
fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn cipher(key: &Secret) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, &key[..]).ok().map(LessSafeKey::new)
}

const _: () = assert!(32 + TAG <= 64, "the longest sealed part, a public key, fits");
