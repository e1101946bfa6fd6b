//! The connections of a real endpoint: its key, its WireGuard peers, and their handshakes.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use packet::{Class, Instant, Route, SendBuffer};
use wireguard::{
    COOKIE_REPLY, Checked, Entropy, Kind, Node, PresharedKey, Profile, PublicKey, Tunnel,
    TunnelError, classify,
};

use crate::connections::{Connections, Event, Peer, PeerIndex};
use crate::handover::Legacy;
use crate::index::ReceiverIndex;
use crate::session::{HANDSHAKE, Handshake};

/// A peer that was silent for longer may have begun anew.
const SILENCE: Duration = Duration::from_secs(5);
/// Cookie replies that wait for room; more are forgotten, as on the way.
const MAX_REPLIES: usize = 128;
/// A free connection number is found by chance; with a million of them this often is enough.
const ATTEMPTS: usize = 64;

/// A WireGuard peer.
#[derive(Debug)]
pub struct PeerConfig {
    /// Its key.
    pub public_key: PublicKey,
    /// A secret that only the two share, mixed into every handshake.
    pub preshared_key: Option<PresharedKey>,
    /// Where it is reached; without, it has to speak first.
    pub remote: Option<SocketAddr>,
    /// Times and padding.
    pub profile: Profile,
}

/// Why a peer was not added: a fault of what was configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Its key cannot be used.
    #[error(transparent)]
    Key(#[from] TunnelError),
    /// A peer with the key exists.
    #[error("another peer has the same public key")]
    Duplicate,
    /// Its credentials are none of ICE, or those of this end are not.
    #[error("ICE credentials have 1 to 256 letters, digits, + or /")]
    Credentials,
    /// These are the connections of a laboratory.
    #[error("a laboratory's endpoint has no WireGuard peers")]
    Laboratory,
    /// A million connections exist.
    #[error("no connection number is free")]
    Exhausted,
}

/// What a node with a key has beside its peers.
pub(crate) struct Keyed {
    pub(crate) node: Node,
    pub(crate) entropy: Entropy,
    /// What a former process left to peers that are not added yet, and until when it can be used.
    pub(crate) legacies: BTreeMap<[u8; 32], Legacy>,
    pub(crate) unclaimed_until: Instant,
    by_key: HashMap<[u8; 32], u32, FixedState>,
    replies: VecDeque<(Route, [u8; COOKIE_REPLY], usize)>,
}

impl Keyed {
    pub(crate) fn forget(&mut self, key: &[u8; 32]) {
        self.by_key.remove(key);
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Connections {
    /// The connections of a real endpoint.
    pub fn wireguard(node: Node, mut entropy: Entropy) -> Self {
        let seed = u64::from_le_bytes(*entropy.draw());
        let keyed = Keyed {
            node,
            entropy,
            legacies: BTreeMap::new(),
            unclaimed_until: Instant::ZERO,
            by_key: HashMap::with_hasher(FixedState::with_seed(seed)),
            replies: VecDeque::new(),
        };
        Self { keyed: Some(keyed), ..Self::default() }
    }

    /// The endpoint's own public key; a laboratory's has none.
    pub fn public_key(&self) -> Option<PublicKey> {
        self.keyed.as_ref().map(|keyed| keyed.node.public_key())
    }

    /// Adds a WireGuard peer. Nothing is sent until a packet waits or [`Connections::initiate`]. One to
    /// which a former process left sessions goes on with them, and is ready at once.
    ///
    /// # Errors
    /// [`AddError`]; nothing was added.
    pub fn add(&mut self, config: PeerConfig, now: Instant) -> Result<PeerIndex, AddError> {
        let PeerConfig { public_key, preshared_key, remote, profile } = config;
        let keepalive = profile.persistent_keepalive;
        let key = *public_key.as_bytes();
        let keyed = self.keyed.as_mut().ok_or(AddError::Laboratory)?;
        if keyed.by_key.contains_key(&key) {
            return Err(AddError::Duplicate);
        }
        let legacy = keyed.legacies.remove(&key);
        let left = legacy.as_ref().map(|legacy| ReceiverIndex::of(legacy.tunnel.connection()));
        let left = left.filter(|local| self.indices.find(*local).is_none());
        let local = match left {
            Some(local) => local,
            None => self.free_index().ok_or(AddError::Exhausted)?,
        };
        let keyed = self.keyed.as_mut().ok_or(AddError::Laboratory)?;
        let (node, entropy) = (&keyed.node, keyed.entropy.fork());
        let mut tunnel =
            Tunnel::new(node, public_key, preshared_key, profile, local.connection(), entropy)?;
        // Ages are told by the moment of the export.
        let legacy =
            legacy.filter(|legacy| tunnel.inherit(&legacy.tunnel, legacy.exported).is_ok());
        let peer = self.place(Box::new(tunnel), local, remote, Some(key));
        let peer = peer.ok_or(AddError::Exhausted)?;
        if let Some(keyed) = &mut self.keyed {
            keyed.by_key.insert(key, peer.0);
        }
        if let Some(new) = self.peers.get_mut(peer.0 as usize) {
            new.keepalive = keepalive;
            if let Some(legacy) = legacy {
                new.remote = legacy.remote(remote);
                (new.heard, new.remote_connection) = (legacy.heard, legacy.remote_connection);
                // For whoever hears of this process alone it is the first session.
                self.events.extend(new.is_ready(now).then_some(Event::Ready(peer)));
            }
        }
        self.settle(peer.0 as usize, now);
        Ok(peer)
    }

    /// A connection number of nobody, and that no peer will claim.
    fn free_index(&mut self) -> Option<ReceiverIndex> {
        let Self { keyed, indices, .. } = self;
        let keyed = keyed.as_mut()?;
        let drawn = (0..ATTEMPTS).map(|_| {
            let random = u32::from_le_bytes(*keyed.entropy.draw());
            ReceiverIndex::new(0, random, 0)
        });
        let is_left = |local: &ReceiverIndex| {
            keyed.legacies.values().any(|legacy| legacy.tunnel.connection() == local.connection())
        };
        let mut drawn = drawn.filter(|local| indices.find(*local).is_none());
        drawn.find(|local| !is_left(local))
    }

    /// The peer with a key.
    pub fn peer_of_key(&self, key: &PublicKey) -> Option<PeerIndex> {
        self.keyed.as_ref()?.by_key.get(key.as_bytes()).copied().map(PeerIndex)
    }

    /// Tells where a peer is reached.
    pub fn set_remote(&mut self, peer: PeerIndex, remote: SocketAddr) {
        if let Some(peer) = self.peers.get_mut(peer.0 as usize) {
            (peer.remote, peer.told) = (Some(remote), Some(remote));
        }
    }

    /// Sends empty messages to a peer at this interval, so that its path stays open.
    pub fn set_keepalive(&mut self, peer: PeerIndex, interval: Option<Duration>, now: Instant) {
        let slot = peer.0 as usize;
        let Some(peer) = self.peers.get_mut(slot) else { return };
        // The first of them leaves at once: not again because a file was read anew.
        if peer.keepalive != interval {
            peer.keepalive = interval;
            peer.session.set_persistent_keepalive(interval, now);
            self.settle(slot, now);
        }
    }

    /// Speaks to every peer whose address is known: the host's network changed. Where ICE says where a
    /// peer is, that finds another path.
    pub fn speak_to_all(&mut self, now: Instant) {
        let slots: Vec<usize> = self.peers.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let peer = &self.peers[slot];
            if peer.roams && peer.remote.is_some() && peer.heard.is_some() {
                self.initiate(PeerIndex(slot as u32), now);
            }
        }
    }

    /// Follows a step of the wall clock forward: a host may begin with a clock that is behind, and a
    /// peer that knew it before refuses initiations from the past. Whoever has a session is not told:
    /// the stamps are good enough for that peer, and who was led into the future could not go back.
    pub fn adjust_wall(&mut self, wall: Duration, now: Instant) {
        if let Some(keyed) = &mut self.keyed {
            keyed.node.adjust_wall(wall, now);
        }
        for (_, peer) in &mut self.peers {
            if !peer.session.is_ready(now) {
                peer.session.adjust_wall(wall, now);
            }
        }
    }

    /// Begins a handshake with a peer whose address is known.
    pub fn initiate(&mut self, peer: PeerIndex, now: Instant) {
        if let Some(peer) = self.peers.get_mut(peer.0 as usize) {
            peer.session.initiate(now);
        }
        self.settle(peer.0 as usize, now);
    }

    /// A message of a handshake, or what looks like one.
    pub(crate) fn receive_handshake(&mut self, from: Route, datagram: &[u8], now: Instant) {
        let Some(keyed) = &mut self.keyed else { return };
        let mut reply = [0; COOKIE_REPLY];
        match keyed.node.check(from.remote, datagram, now, &mut reply) {
            Checked::Pass => {}
            Checked::CookieReply(len) => {
                self.counters.cookie_replies += 1;
                if keyed.replies.len() < MAX_REPLIES {
                    keyed.replies.push_back((from, reply, len));
                }
                return;
            }
            Checked::Drop(_) => {
                self.counters.handshakes_refused += 1;
                return;
            }
        }
        if !self.accept_handshake(from, datagram, now) {
            self.counters.handshakes_refused += 1;
        }
    }

    fn accept_handshake(&mut self, from: Route, datagram: &[u8], now: Instant) -> bool {
        let Some(keyed) = &self.keyed else { return false };
        let of_index = |index| self.indices.find(ReceiverIndex::from_wire(index));
        let (slot, message) = match classify(datagram) {
            Some(Kind::Initiation) => {
                let Ok(initiation) = keyed.node.read_initiation(datagram) else { return false };
                let slot = keyed.by_key.get(initiation.public_key().as_bytes()).copied();
                self.counters.unknown_key += u64::from(slot.is_none());
                (slot, Handshake::Initiation(initiation))
            }
            Some(Kind::Response(index)) => (of_index(index), Handshake::Response(datagram)),
            Some(Kind::CookieReply(index)) => (of_index(index), Handshake::CookieReply(datagram)),
            Some(Kind::Data(_)) | None => return false,
        };
        let Some(slot) = slot.map(|slot| slot as usize) else { return false };
        let Some(peer) = self.peers.get_mut(slot) else { return false };
        // A cookie reply proves nothing about the path: it moves nobody.
        let moves = !matches!(message, Handshake::CookieReply(_));
        let accepted = peer.session.handle_handshake(message, now);
        if accepted && moves {
            // Its answer may be the first word for long, and the session begins only after it.
            peer.began_anew |= peer.is_silent(now);
            peer.note_index(datagram);
        }
        self.settle(slot, now);
        if accepted && moves {
            self.hear(slot, from, now);
        }
        accepted
    }

    /// Whether [`Connections::flush`] may have something to write.
    pub fn has_transmit(&self) -> bool {
        !self.senders.is_empty()
            || self.ice.has_transmit()
            || self.keyed.as_ref().is_some_and(|keyed| !keyed.replies.is_empty())
    }

    /// Writes handshake messages, keepalives, cookie replies and STUN into `send`, as far as there is room.
    pub fn flush(&mut self, now: Instant, send: &mut SendBuffer) {
        self.flush_replies(send);
        self.flush_stun(send);
        while let Some(&slot) = self.senders.front() {
            let Some(peer) = self.peers.get_mut(slot as usize) else {
                self.senders.pop_front();
                continue;
            };
            if !peer.transmit(now, send) {
                return;
            }
            peer.queued = false;
            self.senders.pop_front();
            // What was sent has set timers.
            self.timers.set(slot, &mut peer.timer, peer.session.poll_timeout());
        }
    }

    fn flush_replies(&mut self, send: &mut SendBuffer) {
        let Some(keyed) = &mut self.keyed else { return };
        while has_room(send, HANDSHAKE)
            && let Some((to, reply, len)) = keyed.replies.pop_front()
        {
            write(to, &reply[..len], send);
        }
    }
}

impl Peer {
    /// Writes all that the session has to send; `false` if there was no room for all.
    fn transmit(&mut self, now: Instant, send: &mut SendBuffer) -> bool {
        let mut message = [0; HANDSHAKE];
        if self.has_no_path() {
            // What is to be said stays with the session until ICE has found a path.
            return true;
        }
        while has_room(send, HANDSHAKE) {
            let Some(len) = self.session.poll_transmit(&mut message, now) else { return true };
            // To a peer that nobody has told the address of yet nothing can be sent.
            if let Some(route) = self.route() {
                write(route, &message[..len], send);
            }
        }
        false
    }

    /// Whether a session that was just established is more than another's successor.
    pub(crate) fn is_news(&self, now: Instant) -> bool {
        self.is_silent(now) || self.starved || self.began_anew
    }

    /// Whether nothing came for long, or ever.
    fn is_silent(&self, now: Instant) -> bool {
        self.heard.is_none_or(|at| now.saturating_duration_since(at) > SILENCE)
    }

    /// Takes note of the index that the peer chose in a message of a handshake. Firezone's ends keep
    /// the upper 24 bits for as long as a connection lives (dataplane 5.7); of other programs this says
    /// nothing, and does no harm.
    fn note_index(&mut self, datagram: &[u8]) {
        let Some(index) = datagram.get(4..8).and_then(|bytes| bytes.first_chunk()) else { return };
        let connection = u32::from_le_bytes(*index) >> 8;
        let former = self.remote_connection.replace(connection);
        self.began_anew |= former.is_some_and(|former| former != connection);
    }
}

pub(crate) fn has_room(send: &SendBuffer, len: usize) -> bool {
    send.free_runs() > 0 && send.room() >= len
}

pub(crate) fn write(to: Route, message: &[u8], send: &mut SendBuffer) {
    if let Some(mut run) = send.open_run(to, 0, Class::Control, 1, message.len(), message.len()) {
        run.slot(0).copy_from_slice(message);
        run.commit();
    }
}
