//! The peers of one shard.

use std::collections::VecDeque;
use std::net::SocketAddr;

use packet::{Class, Instant, MAX_RUN_BYTES, MAX_RUN_SLOTS, SendBuffer, Train};
use slab::Slab;

use crate::index::{IndexTable, ReceiverIndex};
use crate::opened::{Group, Opened, PacketRange};
use crate::session::{BACK, FRONT, Session};

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
    /// The peer can seal now.
    Ready(PeerIndex),
}

/// Datagrams that were not opened, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Too short or of an unknown type.
    pub malformed: u64,
    /// For no connection of this node.
    pub unknown_index: u64,
    /// Refused by the session.
    pub refused: u64,
}

struct Peer {
    session: Box<dyn Session>,
    local: ReceiverIndex,
    remote: SocketAddr,
}

/// Every peer of a shard, and how its datagrams are sealed, opened and told apart.
#[derive(Default)]
pub struct Connections {
    peers: Slab<Peer>,
    indices: IndexTable,
    events: VecDeque<Event>,
    counters: Counters,
    /// The earliest session timer; never later than it really is.
    next_timeout: Option<Instant>,
}

impl Connections {
    /// Adds a peer that is reached at `remote` and whose datagrams carry `local` as receiver index.
    ///
    /// Returns `None` if a peer with that connection index exists.
    pub fn insert(
        &mut self,
        session: Box<dyn Session>,
        local: ReceiverIndex,
        remote: SocketAddr,
    ) -> Option<PeerIndex> {
        let slot = self.peers.vacant_key() as u32;
        if !self.indices.insert(local, slot) {
            return None;
        }
        self.next_timeout = soonest(self.next_timeout, session.poll_timeout());
        self.peers.insert(Peer { session, local, remote });
        Some(PeerIndex(slot))
    }

    /// Forgets a peer.
    pub fn remove(&mut self, peer: PeerIndex) {
        if let Some(peer) = self.peers.try_remove(peer.0 as usize) {
            self.indices.remove(peer.local);
        }
    }

    /// Counters of datagrams that were not opened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether `peer` can seal at `now`.
    pub fn is_ready(&self, peer: PeerIndex, now: Instant) -> bool {
        self.peers.get(peer.0 as usize).is_some_and(|peer| peer.session.is_ready(now))
    }

    /// Writes every segment of `train` into `send` as one datagram for `peer`, sealed in place.
    ///
    /// A train too large for one GSO send goes as several; the far end joins them again.
    ///
    /// # Errors
    /// [`SealError`]; on `Full` nothing of the train was written.
    pub fn seal(
        &mut self,
        peer: PeerIndex,
        train: &Train<'_>,
        class: Class,
        now: Instant,
        send: &mut SendBuffer,
    ) -> Result<(), SealError> {
        let peer = self.peers.get_mut(peer.0 as usize).ok_or(SealError::UnknownPeer)?;
        if !peer.session.is_ready(now) {
            return Err(SealError::NotReady);
        }
        let slot_len = FRONT + train.segment_len(0) + BACK;
        let per_run = (MAX_RUN_BYTES / slot_len).clamp(1, MAX_RUN_SLOTS);
        let segments = train.segments();
        if send.room() < segments * slot_len || send.free_runs() < segments.div_ceil(per_run) {
            return Err(SealError::Full);
        }
        let mut first = 0;
        while first < segments {
            let count = per_run.min(segments - first);
            seal_run(peer, train, first, count, class, now, send)?;
            first += count;
        }
        Ok(())
    }

    /// Opens the datagrams of `buffer`, all of `datagram_size` bytes but the last, in place.
    ///
    /// `opened` is filled with the packets, grouped by peer in order of arrival.
    pub fn open(
        &mut self,
        buffer: &mut [u8],
        datagram_size: usize,
        now: Instant,
        opened: &mut Opened,
    ) {
        opened.clear();
        let mut at = 0;
        while at < buffer.len() {
            let slot = self.owner(buffer, at, datagram_size);
            let mut datagrams = std::mem::take(&mut opened.datagrams);
            datagrams.clear();
            let mut end = at;
            while end < buffer.len() && self.owner(buffer, end, datagram_size) == slot {
                let len = datagram_size.min(buffer.len() - end).max(1);
                datagrams.push((end as u32, len as u32));
                end += len;
            }
            self.open_group(slot, buffer, &datagrams, now, opened);
            opened.datagrams = datagrams;
            at = end;
        }
    }

    /// Lets due session timers act.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_timeout.is_none_or(|at| at > now) {
            return;
        }
        let mut next = None;
        for (slot, peer) in &mut self.peers {
            let due = peer.session.poll_timeout().is_some_and(|at| at <= now);
            if due && peer.session.handle_timeout(now) {
                self.events.push_back(Event::Ready(PeerIndex(slot as u32)));
            }
            next = soonest(next, peer.session.poll_timeout());
        }
        self.next_timeout = next;
    }

    /// The earliest session timer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.next_timeout
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Slot of the peer that owns the datagram at `at`.
    fn owner(&self, buffer: &[u8], at: usize, datagram_size: usize) -> Result<usize, Unowned> {
        let end = (at + datagram_size).min(buffer.len());
        let header = buffer.get(at..end).filter(|bytes| bytes.len() >= FRONT + BACK);
        let header = header.ok_or(Unowned::Malformed)?;
        if header[..4] != [4, 0, 0, 0] {
            return Err(Unowned::Malformed);
        }
        let index = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let slot = self.indices.find(ReceiverIndex::from_wire(index));
        slot.map(|slot| slot as usize).ok_or(Unowned::UnknownIndex)
    }

    fn open_group(
        &mut self,
        slot: Result<usize, Unowned>,
        buffer: &mut [u8],
        datagrams: &[PacketRange],
        now: Instant,
        opened: &mut Opened,
    ) {
        let count = datagrams.len() as u64;
        match slot {
            Err(Unowned::Malformed) => self.counters.malformed += count,
            Err(Unowned::UnknownIndex) => self.counters.unknown_index += count,
            Ok(slot) => {
                let start = opened.packets.len();
                let session = &mut self.peers[slot].session;
                let refused = session.open_batch(buffer, datagrams, &mut opened.packets, now);
                self.counters.refused += u64::from(refused);
                let len = opened.packets.len() - start;
                if len > 0 {
                    opened.groups.push(Group { peer: PeerIndex(slot as u32), start, len });
                }
            }
        }
    }
}

fn soonest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unowned {
    Malformed,
    UnknownIndex,
}

/// Writes and seals `count` segments from `first` on as one run of equal datagrams.
fn seal_run(
    peer: &mut Peer,
    train: &Train<'_>,
    first: usize,
    count: usize,
    class: Class,
    now: Instant,
    send: &mut SendBuffer,
) -> Result<(), SealError> {
    let slot_len = FRONT + train.segment_len(0) + BACK;
    let last_len = FRONT + train.segment_len(first + count - 1) + BACK;
    let ecn = train.summary().ecn;
    let mut run =
        send.open_run(peer.remote, ecn, class, count, slot_len, last_len).ok_or(SealError::Full)?;
    for i in 0..count {
        let slot = run.slot(i);
        let end = slot.len() - BACK;
        train.write_segment(first + i, &mut slot[FRONT..end]);
    }
    peer.session.seal_batch(&mut run, now).map_err(|_| SealError::NotReady)?;
    run.commit();
    Ok(())
}
