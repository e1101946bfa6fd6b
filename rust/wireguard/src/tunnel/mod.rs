//! One peer: handshakes, sessions and timers put together.
//!
//! [`handshake`] has what is said before there is a session, [`transport`] what goes through one,
//! [`timeout`] what happens when nothing does, [`handover`] how a successor takes over.

mod handover;
mod handshake;
mod timeout;
mod transport;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use aead::Cipher;
use packet::Instant;
use zeroize::Zeroizing;

use crate::cookie::Signer;
use crate::entropy::Entropy;
use crate::error::TunnelError;
use crate::handshake::{Parties, Sent};
use crate::key::{PresharedKey, PublicKey};
use crate::node::Node;
use crate::profile::Profile;
use crate::session::Role;
use crate::sessions::Sessions;
use crate::tai64n::{Timestamp, WallClock};
use crate::timers::{Occasion, Reason, Timers};
use crate::wire::RESPONSE;

use transport::Datagrams;

pub use handover::Exported;
pub use transport::Opened;

/// What became of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new session is in use: the first one, or the next. Packets that waited can be sealed.
    Established,
    /// Initiations were unanswered for [`Profile::rekey_attempt_time`]; no more are sent. Sessions
    /// that exist go on.
    HandshakeFailed,
    /// No new session for [`Profile::expire_after`]: all keys are erased.
    Expired,
}

/// Counts of a tunnel, as `wg show` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When a session was last put to use.
    pub last_handshake: Option<Instant>,
    /// Age of the session that seals.
    pub session_age: Option<Duration>,
    /// Bytes of messages of every type, without UDP and IP.
    pub sent_bytes: u64,
    /// Data messages, empty ones included.
    pub sent_packets: u64,
    /// Bytes of messages of every type that were authentic and new.
    pub received_bytes: u64,
    /// Data messages that were authentic and new, empty ones included.
    pub received_packets: u64,
}

/// An initiation that is not answered yet.
struct Pending {
    index: u32,
    at: Instant,
    sent: Sent,
}

/// One peer's cryptographic state. Everything it knows of time is `now`, everything random comes
/// from the [`Entropy`] it is given.
///
/// One input, then drain [`Tunnel::poll_event`] and [`Tunnel::poll_transmit`] until nothing is left:
/// events first, so that a packet that waited can take the place of an empty message.
pub struct Tunnel {
    parties: Parties,
    profile: Profile,
    entropy: Entropy,
    clock: WallClock,
    signer: Signer,
    sessions: Sessions,
    /// The upper 24 bits of our indices, and the lower 8 of the last one.
    connection: u32,
    last_index: u8,
    /// The newest first. The one before may still be answered on a slow path.
    pending: [Option<Pending>; 2],
    /// An initiation is to be sent at once.
    initiation_due: bool,
    initiation_sent: Option<Instant>,
    own_timestamp: Timestamp,
    peer_timestamp: Timestamp,
    initiation_accepted: Option<Instant>,
    response_due: Option<(u32, [u8; RESPONSE])>,
    keepalive_due: bool,
    timers: Timers,
    /// Added to the next clock that wants it; drawn in advance, away from the path of packets.
    jitter: Duration,
    events: VecDeque<Event>,
    statistics: Statistics,
    cipher: Cipher,
    /// Scratch of [`Tunnel::open_batch`].
    datagrams: Datagrams,
    stopped: bool,
}

impl Tunnel {
    /// A tunnel to `peer`, with no session yet. `connection` becomes the upper 24 bits of its
    /// receiver indices: secretly random, and of no other tunnel of this node.
    ///
    /// A tunnel knows the time stamps that it has seen. One that is made anew for the same peer would
    /// take an old initiation once more, and have an unused session of it; what changes at run time
    /// has setters, so that none needs to be made anew.
    ///
    /// # Errors
    /// [`TunnelError`] if there can be no tunnel with this key, or `connection` is too large.
    pub fn new(
        node: &Node,
        peer: PublicKey,
        psk: Option<PresharedKey>,
        profile: Profile,
        connection: u32,
        mut entropy: Entropy,
    ) -> Result<Self, TunnelError> {
        if connection >= 1 << 24 {
            return Err(TunnelError::Connection);
        }
        let parties = introduce(node, peer, psk)?;
        let jitter = draw_jitter(&mut entropy, &profile);
        let mut timers = Timers::default();
        timers.set(Reason::Persistent, profile.persistent_keepalive.map(|_| Instant::ZERO));
        Ok(Self {
            parties,
            profile,
            entropy,
            clock: node.clock(),
            signer: Signer::new(&peer),
            sessions: Sessions::default(),
            connection,
            last_index: 0,
            pending: [None, None],
            initiation_due: false,
            initiation_sent: None,
            own_timestamp: Timestamp::default(),
            peer_timestamp: Timestamp::default(),
            initiation_accepted: None,
            response_due: None,
            keepalive_due: false,
            timers,
            jitter,
            events: VecDeque::with_capacity(4),
            statistics: Statistics::default(),
            cipher: node.cipher(),
            datagrams: Datagrams::default(),
            stopped: false,
        })
    }

    /// The peer's key.
    pub fn peer(&self) -> PublicKey {
        self.parties.peer
    }

    /// Whether [`Tunnel::seal_batch`] would seal at `now`.
    pub fn is_ready(&self, now: Instant) -> bool {
        let current = self.sessions.current();
        !self.stopped && current.is_some_and(|session| session.seals(&self.profile, 1, now))
    }

    /// What happened since the last call, the oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Counts so far, and the age of the session in use.
    pub fn statistics(&self, now: Instant) -> Statistics {
        let current = self.sessions.current().filter(|session| session.opens(&self.profile, now));
        Statistics { session_age: current.map(|session| session.age(now)), ..self.statistics }
    }

    /// Changes the preshared key of handshakes from now on; sessions go on.
    pub fn set_preshared_key(&mut self, psk: Option<PresharedKey>) {
        self.parties.preshared = secret(psk);
    }

    /// Changes the interval of empty messages; the first of them leaves at once.
    pub fn set_persistent_keepalive(&mut self, interval: Option<Duration>, now: Instant) {
        self.profile.persistent_keepalive = interval;
        self.timers.set(Reason::Persistent, interval.map(|_| now));
    }

    /// As [`Node::adjust_wall`], for the time stamps of this tunnel.
    pub fn adjust_wall(&mut self, wall: Duration, now: Instant) {
        self.clock.adjust(wall, now);
    }

    fn record(&mut self, occasion: Occasion, now: Instant) {
        self.timers.record(occasion, &self.profile, self.jitter, now);
    }

    fn draw_jitter(&mut self) {
        self.jitter = draw_jitter(&mut self.entropy, &self.profile);
    }

    /// Of two handshakes that crossed, whether ours is to be used.
    fn leads(&self) -> bool {
        self.parties.own.public > self.parties.peer
    }

    /// The peer has the keys of session `local`; returns whether it is the one in use from now on.
    fn confirm(&mut self, local: u32, role: Role, now: Instant) -> bool {
        let lead = self.leads();
        let chosen = self.sessions.confirm(local, lead);
        if chosen {
            self.statistics.last_handshake = Some(now);
            self.events.push_back(Event::Established);
            self.record(
                match role {
                    Role::Initiator => Occasion::OwnSessionInUse,
                    Role::Responder => Occasion::PeersSessionInUse,
                },
                now,
            );
        }
        if chosen || role == Role::Initiator {
            self.forget_attempt();
            self.record(Occasion::Completed, now);
        }
        chosen
    }

    /// A session was added or taken away: its end is the clock of one row.
    fn set_session_end(&mut self) {
        self.timers.set(Reason::SessionEnd, self.sessions.next_end(&self.profile));
    }

    fn forget_attempt(&mut self) {
        self.pending = [None, None];
        self.initiation_due = false;
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("peer", &self.parties.peer)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

/// What both ends know of each other before any message.
fn introduce(
    node: &Node,
    peer: PublicKey,
    psk: Option<PresharedKey>,
) -> Result<Parties, TunnelError> {
    if peer == node.public_key() {
        return Err(TunnelError::OwnKey);
    }
    let own = node.identity();
    let static_shared = own.private.agree(peer.as_bytes()).ok_or(TunnelError::LowOrderKey)?;
    Ok(Parties { own, peer, static_shared, preshared: secret(psk) })
}

/// No preshared key is one of 32 zeros (paper §5.4).
fn secret(psk: Option<PresharedKey>) -> crate::kdf::Secret {
    psk.map_or_else(|| Zeroizing::new([0; 32]), PresharedKey::into_secret)
}

fn draw_jitter(entropy: &mut Entropy, profile: &Profile) -> Duration {
    let bound = u64::try_from(profile.rekey_jitter.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(entropy.below(bound))
}
