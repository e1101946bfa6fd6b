//! What a node has once, whatever the number of its peers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aead::Cipher;
use packet::Instant;

use crate::entropy::Entropy;
use crate::error::HandshakeError;
use crate::gate::{Checked, Counters, Gate};
use crate::handshake::{Identity, Initiation};
use crate::key::{PrivateKey, PublicKey};
use crate::tai64n::WallClock;
use crate::wire::COOKIE_REPLY;

/// A node's own key, its protection against floods of handshakes, and its wall clock.
///
/// Every datagram goes [`classify`](crate::classify) → [`Node::check`] first; then an initiation through
/// [`Node::read_initiation`] to the tunnel of its peer, everything else to the tunnel that owns the
/// receiver index.
pub struct Node {
    identity: Arc<Identity>,
    gate: Gate,
    clock: WallClock,
    cipher: Cipher,
}

impl Node {
    /// A node with the key `private`. `wall` is the time since the Unix epoch at `now`; later steps
    /// of the wall clock do not reach time stamps, unless by [`Node::adjust_wall`].
    pub fn new(private: PrivateKey, entropy: Entropy, wall: Duration, now: Instant) -> Self {
        let public = private.public_key();
        Self {
            identity: Arc::new(Identity { private, public }),
            gate: Gate::new(&public, entropy, now),
            clock: WallClock::new(wall, now),
            cipher: Cipher::default(),
        }
    }

    /// This node, with another cipher for the packets of the tunnels that are made for it. The default
    /// is `ring`.
    #[must_use]
    pub fn with_cipher(self, cipher: Cipher) -> Self {
        Self { cipher, ..self }
    }

    pub(crate) fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// The node's public key.
    pub fn public_key(&self) -> PublicKey {
        self.identity.public
    }

    /// Decides whether anything costly is to be done for `datagram`: MAC1 of handshake messages
    /// always; beyond 100 of them a second also MAC2, which proves the address `from`. Who has none
    /// gets a cookie to make it with, which is never larger than what was received.
    ///
    /// Data messages and cookie replies pass.
    pub fn check(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        reply: &mut [u8; COOKIE_REPLY],
    ) -> Checked {
        self.gate.check(from, datagram, now, reply)
    }

    /// Finds out whose `datagram`, an initiation that passed [`Node::check`], claims to be. Costs
    /// one X25519 operation and changes nothing.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] if it is none, [`HandshakeError::Unauthentic`] if it was not
    /// made for this node's key.
    pub fn read_initiation(&self, datagram: &[u8]) -> Result<Initiation, HandshakeError> {
        Initiation::read(&self.identity, datagram)
    }

    /// Follows a step of the wall clock forward, for tunnels made from now on; one back is ignored,
    /// since peers refuse time stamps that are not greater than before. Tunnels that exist have
    /// [`Tunnel::adjust_wall`](crate::Tunnel::adjust_wall).
    pub fn adjust_wall(&mut self, wall: Duration, now: Instant) {
        self.clock.adjust(wall, now);
    }

    /// Handshake messages so far, by what became of them.
    pub fn counters(&self) -> Counters {
        self.gate.counters()
    }

    pub(crate) fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    pub(crate) fn clock(&self) -> WallClock {
        self.clock
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("public_key", &self.identity.public).finish_non_exhaustive()
    }
}
