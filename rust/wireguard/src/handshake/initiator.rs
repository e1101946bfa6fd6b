//! The initiator's half.

use crate::entropy::Entropy;
use crate::error::HandshakeError;
use crate::handshake::symmetric::Symmetric;
use crate::handshake::{Keys, Parties};
use crate::key::PrivateKey;
use crate::tai64n::Timestamp;
use crate::wire::{
    INITIATION, RESPONSE, TYPE_INITIATION, TYPE_RESPONSE, array, initiation, read_u32, response,
};

/// An initiation under way: what is needed to understand its response.
pub(crate) struct Sent {
    symmetric: Symmetric,
    ephemeral: PrivateKey,
}

impl Sent {
    /// Writes an initiation into `message`, but for its MACs. Two X25519 operations, none on a
    /// static key of ours. `None` only if the peer's key were of low order.
    pub(crate) fn begin(
        parties: &Parties,
        index: u32,
        timestamp: Timestamp,
        entropy: &mut Entropy,
        message: &mut [u8; INITIATION],
    ) -> Option<Self> {
        let ephemeral = PrivateKey::from_bytes(*entropy.draw());
        let public = ephemeral.public_key();
        let mut symmetric = Symmetric::new(&parties.peer);
        message[..4].copy_from_slice(&TYPE_INITIATION);
        message[initiation::SENDER..][..4].copy_from_slice(&index.to_le_bytes());
        message[initiation::EPHEMERAL].copy_from_slice(public.as_bytes());
        symmetric.mix_ephemeral(public.as_bytes());
        let key = symmetric.mix_key(&*ephemeral.agree(parties.peer.as_bytes())?);
        symmetric.seal(&key, parties.own.public.as_bytes(), &mut message[initiation::STATIC])?;
        let key = symmetric.mix_key(&parties.static_shared);
        symmetric.seal(&key, &timestamp.0, &mut message[initiation::TIMESTAMP])?;
        Some(Self { symmetric, ephemeral })
    }

    /// The peer's index and the session's keys, if `message` is the peer's response. Two X25519
    /// operations.
    pub(crate) fn finish(
        &self,
        parties: &Parties,
        message: &[u8],
    ) -> Result<(u32, Keys), HandshakeError> {
        if message.len() != RESPONSE || message[..4] != TYPE_RESPONSE {
            return Err(HandshakeError::Malformed);
        }
        let ephemeral = array(message, response::EPHEMERAL);
        let agreed = self.ephemeral.agree(&ephemeral).zip(parties.own.private.agree(&ephemeral));
        let (first, second) = agreed.ok_or(HandshakeError::Unauthentic)?;
        let mut symmetric = self.symmetric.clone();
        symmetric.mix_ephemeral(&ephemeral);
        symmetric.mix_shared(&first);
        symmetric.mix_shared(&second);
        let key = symmetric.mix_preshared(&parties.preshared);
        let [] = symmetric.open(&key, &message[response::NOTHING])?;
        let [send, receive] = symmetric.split();
        Ok((read_u32(message, response::SENDER), Keys { send, receive }))
    }
}
