//! The responder's half.

use std::fmt;

use crate::entropy::Entropy;
use crate::error::HandshakeError;
use crate::handshake::symmetric::Symmetric;
use crate::handshake::{Identity, Keys, Parties};
use crate::key::{PrivateKey, PublicKey};
use crate::tai64n::Timestamp;
use crate::wire::{
    INITIATION, RESPONSE, TYPE_INITIATION, TYPE_RESPONSE, array, initiation, read_u32, response,
};

/// An initiation of which only the sender's key is known so far; anybody can have made it.
///
/// Goes to the tunnel of that peer, which finds out whether it is theirs and new:
/// [`Tunnel::handle_initiation`](crate::Tunnel::handle_initiation).
#[derive(Clone)]
pub struct Initiation {
    symmetric: Symmetric,
    peer: PublicKey,
    sender: u32,
    ephemeral: [u8; 32],
    timestamp: [u8; 28],
}

impl Initiation {
    /// Opens the sender's key. One X25519 operation.
    pub(crate) fn read(own: &Identity, message: &[u8]) -> Result<Self, HandshakeError> {
        if message.len() != INITIATION || message[..4] != TYPE_INITIATION {
            return Err(HandshakeError::Malformed);
        }
        let ephemeral = array(message, initiation::EPHEMERAL);
        let agreed = own.private.agree(&ephemeral).ok_or(HandshakeError::Unauthentic)?;
        let mut symmetric = Symmetric::new(&own.public);
        symmetric.mix_ephemeral(&ephemeral);
        let key = symmetric.mix_key(&agreed);
        let peer = symmetric.open(&key, &message[initiation::STATIC])?;
        Ok(Self {
            symmetric,
            peer: PublicKey::from_bytes(peer),
            sender: read_u32(message, initiation::SENDER),
            ephemeral,
            timestamp: array(message, initiation::TIMESTAMP),
        })
    }

    /// Whose it claims to be.
    pub fn public_key(&self) -> PublicKey {
        self.peer
    }

    /// Proves that the sender has the private key, and opens the time stamp. No X25519 operation.
    pub(crate) fn open(mut self, parties: &Parties) -> Result<Received, HandshakeError> {
        let key = self.symmetric.mix_key(&parties.static_shared);
        let timestamp = Timestamp(self.symmetric.open(&key, &self.timestamp)?);
        Ok(Received {
            symmetric: self.symmetric,
            timestamp,
            sender: self.sender,
            ephemeral: self.ephemeral,
        })
    }
}

impl fmt::Debug for Initiation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiation").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// An initiation that the peer made, perhaps long ago.
pub(crate) struct Received {
    symmetric: Symmetric,
    /// Must be greater than that of every initiation before.
    pub(crate) timestamp: Timestamp,
    /// The peer's index of the session.
    pub(crate) sender: u32,
    ephemeral: [u8; 32],
}

impl Received {
    /// Writes the response into `message`, but for its MACs. Three X25519 operations, none on a
    /// static key of ours. `None` if the peer's ephemeral key is of low order.
    pub(crate) fn respond(
        self,
        parties: &Parties,
        index: u32,
        entropy: &mut Entropy,
        message: &mut [u8; RESPONSE],
    ) -> Option<Keys> {
        let ephemeral = PrivateKey::from_bytes(*entropy.draw());
        let public = ephemeral.public_key();
        let mut symmetric = self.symmetric;
        message[..4].copy_from_slice(&TYPE_RESPONSE);
        message[response::SENDER..][..4].copy_from_slice(&index.to_le_bytes());
        message[response::RECEIVER..][..4].copy_from_slice(&self.sender.to_le_bytes());
        message[response::EPHEMERAL].copy_from_slice(public.as_bytes());
        symmetric.mix_ephemeral(public.as_bytes());
        symmetric.mix_shared(&*ephemeral.agree(&self.ephemeral)?);
        symmetric.mix_shared(&*ephemeral.agree(parties.peer.as_bytes())?);
        let key = symmetric.mix_preshared(&parties.preshared);
        symmetric.seal(&key, &[], &mut message[response::NOTHING])?;
        let [receive, send] = symmetric.split();
        Some(Keys { send, receive })
    }
}
