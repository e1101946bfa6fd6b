//! The peers of one shard: who they are, and packets out.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use packet::{Class, Instant, MAX_RUN_BYTES, MAX_RUN_SLOTS, Route, SendBuffer, Train};
use slab::Slab;

use crate::ice::Ice;
use crate::index::{IndexTable, ReceiverIndex};
use crate::node::Keyed;
use crate::session::{BACK, FRONT, Session, SessionEvent};
use crate::timers::Timers;

/// Handle of a peer inside its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub u32);

/// Why a train was not sealed. It was not changed; the caller still has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The session is not established yet: hold the train, [`Event::Ready`] follows.
    #[error("the session is not established yet")]
    NotReady,
    /// The send buffer has no room: send what it holds and come again.
    #[error("the send buffer is full")]
    Full,
    /// There is no such peer.
    #[error("no such peer")]
    UnknownPeer,
}

/// What became of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer can seal now: for the first time, after packets had to wait, or after the other end
    /// was silent or has begun anew. A session that takes another's place in time is no event.
    Ready(PeerIndex),
    /// The peer goes on from another address.
    Moved(PeerIndex),
    /// The peer does not answer. A packet for it begins another attempt; not for one of ICE, which has to
    /// be introduced again.
    Failed(PeerIndex, Failure),
}

/// Why a peer does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It told of no candidate in time.
    NoCandidates,
    /// No pair of candidates is left that works or may come to work.
    NoPath,
    /// Initiations were not answered.
    NoHandshake,
}

/// Datagrams that were not opened, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Too short or of an unknown type.
    pub malformed: u64,
    /// For no connection of this node.
    pub unknown_index: u64,
    /// Not authentic, or of no session that is open.
    pub refused: u64,
    /// Seen before, or too old to tell.
    pub replayed: u64,
    /// Initiations of a key that no peer has.
    pub unknown_key: u64,
    /// Messages of a handshake that were not accepted.
    pub handshakes_refused: u64,
    /// STUN that is no binding request or response of an agent here.
    pub stun_refused: u64,
    /// Answered by a cookie, under load.
    pub cookie_replies: u64,
    /// Times that a peer went on from another address.
    pub roamed: u64,
}

pub(crate) struct Peer {
    pub(crate) session: Box<dyn Session>,
    pub(crate) local: ReceiverIndex,
    /// Where it is reached; unknown until it is heard of, if it was not configured.
    pub(crate) remote: Option<SocketAddr>,
    /// Whether it is reached where it was heard of last. Not in a laboratory, whose sessions prove
    /// nothing, and not where ICE says where it is.
    pub(crate) roams: bool,
    /// Where commands said that it is reached.
    pub(crate) told: Option<SocketAddr>,
    /// The address of this host that it speaks to, if nobody told us its own.
    pub(crate) local_address: Option<IpAddr>,
    /// Its entry in the timers.
    pub(crate) timer: Option<Instant>,
    /// When an authentic datagram came last.
    pub(crate) heard: Option<Instant>,
    /// A packet found no session: whoever holds it waits for [`Event::Ready`].
    pub(crate) starved: bool,
    /// The upper 24 bits of the index that the peer chose last: within a connection they stay.
    pub(crate) remote_connection: Option<u32>,
    /// They changed, or it was silent until it spoke: the other end may have begun anew.
    pub(crate) began_anew: bool,
    /// It is in the list of those that may have something to send.
    pub(crate) queued: bool,
    pub(crate) key: Option<[u8; 32]>,
    pub(crate) keepalive: Option<Duration>,
}

/// Every peer of a shard, and how its datagrams are sealed, opened and told apart.
///
/// By default a laboratory's, with sessions that protect nothing; [`Connections::wireguard`] makes
/// those of a real endpoint, which take WireGuard peers alone.
#[derive(Default)]
pub struct Connections {
    pub(crate) peers: Slab<Peer>,
    pub(crate) indices: IndexTable,
    pub(crate) keyed: Option<Keyed>,
    pub(crate) timers: Timers,
    pub(crate) ice: Ice,
    /// Peers that may have handshake messages or keepalives to send.
    pub(crate) senders: VecDeque<u32>,
    pub(crate) events: VecDeque<Event>,
    pub(crate) counters: Counters,
}

impl Connections {
    /// Adds a peer of a laboratory that is reached at `remote` and whose datagrams carry `local` as
    /// receiver index.
    ///
    /// Returns `None` if a peer with that connection index exists, or if these are the connections of
    /// a real endpoint.
    pub fn insert(
        &mut self,
        session: Box<dyn Session>,
        local: ReceiverIndex,
        remote: SocketAddr,
    ) -> Option<PeerIndex> {
        if self.keyed.is_some() {
            return None;
        }
        self.place(session, local, Some(remote), None)
    }

    pub(crate) fn place(
        &mut self,
        session: Box<dyn Session>,
        local: ReceiverIndex,
        remote: Option<SocketAddr>,
        key: Option<[u8; 32]>,
    ) -> Option<PeerIndex> {
        let slot = self.peers.vacant_key() as u32;
        if !self.indices.insert(local, slot) {
            return None;
        }
        self.peers.insert(Peer {
            session,
            local,
            remote,
            roams: key.is_some(),
            told: remote,
            local_address: None,
            timer: None,
            heard: None,
            starved: false,
            remote_connection: None,
            began_anew: false,
            queued: false,
            key,
            keepalive: None,
        });
        self.settle(slot as usize, Instant::ZERO);
        Some(PeerIndex(slot))
    }

    /// Forgets a peer.
    pub fn remove(&mut self, peer: PeerIndex) {
        let Some(mut gone) = self.peers.try_remove(peer.0 as usize) else { return };
        self.indices.remove(gone.local);
        self.ice.forget(peer.0);
        self.timers.clear(peer.0, &mut gone.timer);
        self.senders.retain(|slot| *slot != peer.0);
        self.events.retain(|event| match event {
            Event::Ready(of) | Event::Moved(of) | Event::Failed(of, _) => *of != peer,
        });
        if let Some((keyed, key)) = self.keyed.as_mut().zip(gone.key) {
            keyed.forget(&key);
        }
    }

    /// Counters of datagrams that were not opened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether `peer` can seal at `now`.
    pub fn is_ready(&self, peer: PeerIndex, now: Instant) -> bool {
        self.peers.get(peer.0 as usize).is_some_and(|peer| peer.is_ready(now))
    }

    /// Where `peer` is reached, as far as is known.
    pub fn remote(&self, peer: PeerIndex) -> Option<SocketAddr> {
        self.peers.get(peer.0 as usize)?.remote
    }

    /// Counts of a peer's session, and the last time it was heard of.
    pub fn statistics(
        &self,
        peer: PeerIndex,
        now: Instant,
    ) -> Option<(wireguard::Statistics, Option<Instant>)> {
        let peer = self.peers.get(peer.0 as usize)?;
        Some((peer.session.statistics(now)?, peer.heard))
    }

    /// Writes every segment of `train` into `send` as one datagram for `peer`, sealed in place.
    ///
    /// A train too large for one GSO send goes as several; the far end joins them again.
    ///
    /// # Errors
    /// [`SealError`]; on `Full` nothing of the train was written. `NotReady` begins a handshake.
    pub fn seal(
        &mut self,
        peer: PeerIndex,
        train: &Train<'_>,
        class: Class,
        now: Instant,
        send: &mut SendBuffer,
    ) -> Result<(), SealError> {
        let slot = peer.0 as usize;
        let peer = self.peers.get_mut(slot).ok_or(SealError::UnknownPeer)?;
        let route = peer.route().filter(|_| peer.session.is_ready(now));
        let Some(route) = route else {
            peer.starved = true;
            if peer.remote.is_some() {
                peer.session.want(now);
            }
            self.settle(slot, now);
            return Err(SealError::NotReady);
        };
        let slot_len = peer.slot_len(train, 0);
        let per_run = (MAX_RUN_BYTES / slot_len).clamp(1, MAX_RUN_SLOTS);
        let segments = train.segments();
        if send.room() < segments * slot_len || send.free_runs() < segments.div_ceil(per_run) {
            return Err(SealError::Full);
        }
        let mut first = 0;
        while first < segments {
            // The rest of one train and the beginning of the next leave in one send.
            let joins = send.slots_to_join(route, train.summary().ecn, class, slot_len);
            let count = per_run.min(segments - first).min(joins.unwrap_or(per_run));
            peer.seal_run(route, train, first..first + count, class, now, send)?;
            first += count;
        }
        self.settle(slot, now);
        Ok(())
    }

    /// Lets due session timers act.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.erase_unclaimed(now);
        while let Some(slot) = self.timers.take_due(now) {
            let Some(peer) = self.peers.get_mut(slot as usize) else { continue };
            peer.timer = None;
            peer.session.handle_timeout(now);
            self.settle(slot as usize, now);
        }
        self.run_agents(now);
    }

    /// The earliest timer of a session or an agent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (unclaimed, ice) = (self.unclaimed_until(), self.ice.poll_timeout());
        self.timers.next().into_iter().chain(unclaimed).chain(ice).min()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// After every input to a session: its events, its timer, and that it may have to send.
    pub(crate) fn settle(&mut self, slot: usize, now: Instant) {
        let Some(peer) = self.peers.get_mut(slot) else { return };
        let index = slot as u32;
        while let Some(event) = peer.session.poll_event() {
            match event {
                // Whoever waits goes on once there is a path, too.
                SessionEvent::Established if peer.has_no_path() => peer.starved = true,
                SessionEvent::Established if peer.is_news(now) => {
                    (peer.starved, peer.began_anew) = (false, false);
                    self.events.push_back(Event::Ready(PeerIndex(index)));
                }
                SessionEvent::Established => {}
                SessionEvent::Failed if self.ice.holds(index) => {
                    return self.give_up_path(index, Failure::NoHandshake);
                }
                SessionEvent::Failed => {
                    self.events.push_back(Event::Failed(PeerIndex(index), Failure::NoHandshake));
                }
            }
        }
        self.timers.set(index, &mut peer.timer, peer.session.poll_timeout());
        if peer.session.has_transmit() && !std::mem::replace(&mut peer.queued, true) {
            self.senders.push_back(index);
        }
    }
}

impl Peer {
    /// Between which addresses its datagrams travel, as far as is known.
    pub(crate) fn route(&self) -> Option<Route> {
        let local = self.local_address;
        self.remote.map(|remote| Route { remote, local })
    }

    /// Whether ICE has found no way to it yet, or none any more.
    pub(crate) fn has_no_path(&self) -> bool {
        self.is_of_ice() && self.remote.is_none()
    }

    /// Whether ICE says where it is reached.
    pub(crate) fn is_of_ice(&self) -> bool {
        self.key.is_some() && !self.roams
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.remote.is_some() && self.session.is_ready(now)
    }

    /// Bytes of the datagram of segment `i`.
    fn slot_len(&self, train: &Train<'_>, i: usize) -> usize {
        FRONT + self.session.padded_len(train.segment_len(i)) + BACK
    }

    /// Writes and seals some segments as one run of equal datagrams.
    fn seal_run(
        &mut self,
        route: Route,
        train: &Train<'_>,
        segments: std::ops::Range<usize>,
        class: Class,
        now: Instant,
        send: &mut SendBuffer,
    ) -> Result<(), SealError> {
        let (count, ecn) = (segments.len(), train.summary().ecn);
        let slot_len = self.slot_len(train, 0);
        let last_len = self.slot_len(train, segments.end - 1);
        let run = send.open_run(route, ecn, class, count, slot_len, last_len);
        let mut run = run.ok_or(SealError::Full)?;
        for i in 0..count {
            let slot = run.slot(i);
            let end = slot.len() - BACK;
            let written = train.write_segment(segments.start + i, &mut slot[FRONT..end]);
            slot[FRONT + written..end].fill(0);
        }
        self.session.seal_batch(&mut run, now).map_err(|_| SealError::NotReady)?;
        run.commit();
        Ok(())
    }
}
