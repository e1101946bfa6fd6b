//! Where a peer is reached and what protects its datagrams, as orchestration says it, and how that
//! becomes a connection.

use std::net::SocketAddr;
use std::time::Duration;

use connection::{
    AddError, Connections, Credentials, IcePeer, InvalidKey, PeerConfig, PeerIndex, Plain,
    PresharedKey, Profile, PublicKey, ReceiverIndex, Role,
};
use packet::Instant;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A public key, 32 bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyText(pub PublicKey);

impl TryFrom<String> for KeyText {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

impl From<KeyText> for String {
    fn from(key: KeyText) -> Self {
        key.0.to_string()
    }
}

/// A preshared key, 32 bytes in base64. Shows nothing of itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct PresharedText(String);

impl PresharedText {
    fn key(&self) -> Option<PresharedKey> {
        self.0.parse().ok()
    }
}

impl TryFrom<String> for PresharedText {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse::<PresharedKey>().map(|_| Self(text))
    }
}

impl std::fmt::Debug for PresharedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PresharedText(***)")
    }
}

/// What an end of a connection by ICE shows to be the one that a portal introduced.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceCredentials {
    /// Its part of the user name of requests.
    pub username: String,
    /// The password of requests to it.
    pub password: String,
}

impl std::fmt::Debug for IceCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("username", &self.username).finish_non_exhaustive()
    }
}

impl From<&IceCredentials> for Credentials {
    fn from(of: &IceCredentials) -> Self {
        Self { name: of.username.clone(), password: of.password.clone() }
    }
}

/// Whose times and padding a WireGuard peer has (dataplane 5.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProfileName {
    /// A peer that speaks Firezone's protocols.
    #[default]
    Firezone,
    /// Any other WireGuard program.
    Plain,
}

/// Where a peer is reached, and what protects its datagrams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "session", rename_all = "snake_case", deny_unknown_fields)]
pub enum Endpoint {
    /// WireGuard.
    Wireguard {
        /// The peer's key.
        public_key: KeyText,
        /// A secret that only the two share.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preshared_key: Option<PresharedText>,
        /// Where its datagrams go; absent: it has to speak first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<SocketAddr>,
        /// Seconds between empty messages that keep a path open; absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        persistent_keepalive: Option<f64>,
        /// Times and padding.
        #[serde(default)]
        profile: ProfileName,
    },
    /// WireGuard by a path that ICE finds: a portal introduced both ends, and carries their candidates.
    Ice {
        /// The peer's key.
        public_key: KeyText,
        /// A secret that only the two share.
        preshared_key: PresharedText,
        /// Credentials of this end.
        local: IceCredentials,
        /// Credentials of the peer.
        remote: IceCredentials,
    },
    /// The laboratory's session, which protects nothing. A real endpoint refuses it.
    Plain {
        /// Address of its datagrams.
        address: SocketAddr,
        /// Index that the peer writes into datagrams for us.
        local_index: u32,
        /// Index that we write into datagrams for the peer.
        remote_index: u32,
        /// How long the session takes to come up, in seconds; 0 is at once.
        #[serde(default)]
        ready_after: f64,
    },
}

impl Endpoint {
    /// Whether a portal introduced the peer.
    pub(crate) fn is_of_portal(&self) -> bool {
        matches!(self, Self::Ice { .. })
    }

    /// Whether two descriptions name one identity: a session with one is a session with the other.
    pub(crate) fn is_same_peer(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Wireguard { public_key: a, preshared_key: b, profile: c, .. },
                Self::Wireguard { public_key: d, preshared_key: e, profile: f, .. },
            ) => a == d && b == e && c == f,
            _ => self == other,
        }
    }
}

/// Makes a peer of `endpoint`. `former` is what the same peer was till now: its session goes on if only
/// its address is another, or if a portal introduces it as it is. `role` is this end's in ICE.
///
/// # Errors
/// Why it cannot be a peer. The former one is gone then.
pub(crate) fn connect(
    connections: &mut Connections,
    former: Option<(PeerIndex, &Endpoint)>,
    endpoint: &Endpoint,
    role: Role,
    now: Instant,
) -> Result<PeerIndex, AddError> {
    if let Some((peer, known)) = former {
        if known.is_same_peer(endpoint) && !connections.has_failed(peer) {
            connections.introduce_again(peer, now);
            if let Endpoint::Wireguard { address, persistent_keepalive, .. } = endpoint {
                let moved = address.filter(|_| known != endpoint);
                moved.into_iter().for_each(|address| connections.set_remote(peer, address));
                connections.set_keepalive(peer, interval(*persistent_keepalive), now);
            }
            return Ok(peer);
        }
        connections.remove(peer);
    }
    match endpoint {
        Endpoint::Wireguard {
            public_key,
            preshared_key,
            address,
            persistent_keepalive,
            profile,
        } => {
            let profile = match profile {
                ProfileName::Firezone => Profile::FIREZONE_ICELESS,
                ProfileName::Plain => Profile::PLAIN,
            };
            let persistent_keepalive = interval(*persistent_keepalive);
            let config = PeerConfig {
                public_key: public_key.0,
                preshared_key: preshared_key.as_ref().and_then(PresharedText::key),
                remote: *address,
                profile: Profile { persistent_keepalive, ..profile },
            };
            let peer = connections.add(config, now)?;
            // Whoever can be spoken to is: after a restart flows are waiting at the other end. With a
            // session that a former process left they are not.
            if address.is_some() && !connections.is_ready(peer, now) {
                connections.initiate(peer, now);
            }
            Ok(peer)
        }
        Endpoint::Ice { public_key, preshared_key, local, remote } => {
            let config = IcePeer {
                public_key: public_key.0,
                preshared_key: preshared_key.key(),
                local: local.into(),
                remote: remote.into(),
                role,
            };
            connections.connect(config, now)
        }
        Endpoint::Plain { address, local_index, remote_index, ready_after } => {
            let remote = ReceiverIndex::from_wire(*remote_index);
            let wait = Duration::try_from_secs_f64(*ready_after).unwrap_or_default();
            let session = Box::new(Plain::new(remote, now + wait));
            let local = ReceiverIndex::from_wire(*local_index);
            connections.insert(session, local, *address).ok_or(AddError::Duplicate)
        }
    }
}

/// What there is to know of a peer: where it is reached, its session, its bytes.
pub(crate) fn row(
    connections: &Connections,
    peer: PeerIndex,
    endpoint: &Endpoint,
    now: Instant,
) -> Value {
    let ago = |at: Instant| now.saturating_duration_since(at).as_secs_f64();
    let mut row = json!({
        "address": connections.remote(peer),
        "connected": connections.is_ready(peer, now),
    });
    if let Endpoint::Wireguard { public_key, .. } | Endpoint::Ice { public_key, .. } = endpoint {
        row["public_key"] = json!(public_key);
    }
    if let Some((counts, heard)) = connections.statistics(peer, now) {
        row["last_handshake"] = json!(counts.last_handshake.map(ago));
        row["session_age"] = json!(counts.session_age.map(|age| age.as_secs_f64()));
        row["heard"] = json!(heard.map(ago));
        row["sent_bytes"] = json!(counts.sent_bytes);
        row["sent_packets"] = json!(counts.sent_packets);
        row["received_bytes"] = json!(counts.received_bytes);
        row["received_packets"] = json!(counts.received_packets);
    }
    row
}

fn interval(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).filter(|d| !d.is_zero())
}
