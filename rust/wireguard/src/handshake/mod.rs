//! `Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s` as the paper writes it (§5.4.2, §5.4.3), as a chain of
//! states that each exist only after the one before:
//!
//! - initiator: [`Sent`] → [`Sent::finish`] → [`Keys`]
//! - responder: [`Initiation`] (who is it?) → `Received` (it is them) → `Received::respond` → [`Keys`]
//!
//! A state is read, never consumed, by a message that may be false: what does not fit leaves it as it
//! was.

mod initiator;
mod responder;
mod symmetric;

use std::sync::Arc;

use crate::kdf::Secret;
use crate::key::{PrivateKey, PublicKey};

pub(crate) use initiator::Sent;
pub use responder::Initiation;

/// A node's own keys.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) private: PrivateKey,
    pub(crate) public: PublicKey,
}

/// What a tunnel knows before any message: it is the same for each of its handshakes.
pub(crate) struct Parties {
    pub(crate) own: Arc<Identity>,
    pub(crate) peer: PublicKey,
    /// X25519 of the two static keys.
    pub(crate) static_shared: Secret,
    /// 32 zeros if there is none.
    pub(crate) preshared: Secret,
}

/// The keys of a session, each for one direction.
pub(crate) struct Keys {
    pub(crate) send: Secret,
    pub(crate) receive: Secret,
}
