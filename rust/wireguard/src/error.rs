//! What can be wrong, and whose fault it is.

/// Why a message of a handshake led to nothing. Nothing changed by it; none is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The sender's fault: type or length are none of WireGuard's.
    #[error("not a handshake message: type or length are wrong")]
    Malformed,
    /// Answers nothing that is open: late, repeated, or for somebody else.
    #[error("no open handshake has this receiver index")]
    UnknownIndex,
    /// Made with other keys than ours and the peer's, or changed on its way.
    #[error(
        "authentication failed: a key or the preshared key differs, or the message was changed"
    )]
    Unauthentic,
}

/// Why a peer's initiation was not accepted. Nothing changed by it; none is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The caller gave it to the tunnel of another peer.
    #[error("the initiation is another peer's")]
    WrongPeer,
    /// Made with other keys than the peer's, or changed on its way.
    #[error("authentication failed: the initiation was not made with the peer's key")]
    Unauthentic,
    /// Its time stamp is not greater than that of an earlier one: a replay, or a peer whose clock
    /// went back.
    #[error("the initiation is a replay, or the peer's clock went back")]
    Replayed,
    /// The peer sends initiations faster than one in 20 ms.
    #[error("initiations of this peer come too fast")]
    TooFast,
    /// The tunnel was exported and does nothing any more.
    #[error("the tunnel was handed over")]
    Stopped,
}

/// Why no tunnel can exist with these keys: a fault of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TunnelError {
    /// The peer's key is one of the few that make every shared secret zero.
    #[error("the peer's public key is of low order: take the key that the peer's program shows")]
    LowOrderKey,
    /// The peer's key is our own.
    #[error("the peer's public key is this node's own")]
    OwnKey,
    /// A receiver index has room for 24 bits of connection.
    #[error("the connection has more than 24 bits")]
    Connection,
}

/// There is no session that seals: keep the packets, [`Event::Established`](crate::Event) follows.
///
/// Also the answer to a run with a slot too small for header and tag; nothing was written then that
/// may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no session with this peer is established")]
pub struct NotReady;

/// Why exported state was not taken over. Nothing of it is used then; a handshake takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Not what [`Tunnel::export_and_stop`](crate::Tunnel::export_and_stop) wrote: too short, too
    /// long, or changed.
    #[error("the exported tunnel is damaged")]
    Damaged,
    /// Written by a version that this one does not know.
    #[error("the exported tunnel is of version {0}, which this program does not know")]
    Version(u16),
    /// Exported with another key of ours, or for another peer.
    #[error("the exported tunnel belongs to other keys")]
    OtherKeys,
}
