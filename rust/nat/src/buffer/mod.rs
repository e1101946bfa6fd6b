//! Packets that wait: for an authorisation, a connection, a translation or a look-up (R09-R16).
//!
//! One pool serves an endpoint; a queue in it is a handle, so that the next stage of a set-up takes
//! over by keeping the handle, and moves no packet (R10). In: whole packets. Out: the same packets in
//! the order of their arrival, each once (R09), or one packet of each held flow to refuse it by (R15).

mod admission;
mod identity;
mod store;
mod types;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use packet::Instant;

use self::admission::{Segment, Sought};
use self::identity::{FlowKey, Hash, Twin};
use self::store::{Flow, Linked, Queue, Share, Store};
use crate::flow_table::index::Index;
use crate::flow_table::pool::Pool;
use crate::wheel::{NONE, Wheel};

pub use types::{Behaviour, Counters, Held, Limits, PushError, QueueId, Reason, Stored};

/// How much later than its time an aged packet is found at most.
const TICK: Duration = Duration::from_millis(10);
/// Slots of the wheel: 82 s, beyond which a queue is looked at early.
const SLOTS: usize = 8192;
/// Queues that one call of [`PacketBuffer::handle_timeout`] looks at.
const WORK_PER_TICK: usize = 64;
/// When a queue that was reported is reported again, should its owner have left it as it is.
const REMINDER: Duration = Duration::from_secs(1);

/// The pool and its queues.
///
/// **Fairness (R13).** A packet of `p` bytes is taken only if afterwards neither its flow holds more than
/// what is left of its queue, nor its queue more than what is left of all:
///
/// ```text
/// flow + p  <= entry_bytes - (queue + p)    flow: bytes held of its flow; queue: of its queue
/// queue + p <= total_bytes - (total + p)    total: bytes held of all queues
/// ```
///
/// and if the same holds with packets counted instead of bytes (`p` = 1). A flow alone takes half a
/// queue. Let *k* flows take all they can get, in any order. Number them by the time of the last packet
/// each got, and let `S(j)` be what the first *j* hold. When the *j*-th got its last, all held at least
/// `S(j)`, and it `S(j) - S(j-1)`; so `2 S(j) - S(j-1) <= entry_bytes`, and what is left is at most halved
/// by each: all leave at least `entry_bytes / 2^k`, and a newcomer's packet is taken if it is no longer
/// than half of that. The same is true of queues and the total, where the limit of a queue mostly comes
/// first: 64 queues as full as can be leave half the limit of one to a 65th (with the default limits).
pub struct PacketBuffer {
    limits: Limits,
    counters: Counters,
    hash: Hash,
    total: Share,
    queues: Pool<Queue>,
    flows: Pool<Flow>,
    flow_index: Index,
    store: Store,
    twins: Index,
    wheel: Wheel,
    expired: VecDeque<QueueId>,
    generation: u32,
}

impl PacketBuffer {
    /// An empty pool. `seed` keeps senders from choosing packets that collide in the index.
    pub fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            counters: Counters::default(),
            hash: Hash::new(seed),
            total: Share::default(),
            queues: Pool::new(),
            flows: Pool::new(),
            flow_index: Index::new(),
            store: Store::new(),
            twins: Index::new(),
            wheel: Wheel::new(TICK, SLOTS),
            expired: VecDeque::new(),
            generation: 0,
        }
    }

    /// A new, empty queue that keeps the first packets (R12).
    pub fn open(&mut self, now: Instant) -> QueueId {
        self.open_with(Behaviour::KeepFirst, now)
    }

    /// A new, empty queue of the given behaviour.
    pub fn open_with(&mut self, behaviour: Behaviour, now: Instant) -> QueueId {
        self.generation = self.generation.wrapping_add(1);
        let index = self.queues.insert(Queue::new(self.generation, behaviour, now));
        QueueId { index, generation: self.generation }
    }

    /// Ends a queue; what it holds is dropped and counted. The handle is void from then on.
    pub fn close(&mut self, queue: QueueId) {
        self.clear(queue);
        if self.queue(queue).is_some_and(|found| found.is_filed) {
            self.wheel.remove(&mut Linked(&mut self.queues), queue.index);
        }
        if self.queue(queue).is_some() {
            self.queues.remove(queue.index);
        }
    }

    /// Holds a copy of `packet`, one whole packet that [`packet::parse`] accepts. O(1).
    ///
    /// # Errors
    /// Why the packet was not taken; nothing that was held has changed then. Each is counted.
    pub fn push(
        &mut self,
        queue: QueueId,
        packet: &[u8],
        now: Instant,
    ) -> Result<Stored, PushError> {
        let stored = self.try_push(queue, packet, now);
        self.counters.count(stored);
        stored
    }

    fn try_push(
        &mut self,
        queue: QueueId,
        packet: &[u8],
        now: Instant,
    ) -> Result<Stored, PushError> {
        let behaviour = self.queue(queue).ok_or(PushError::Closed)?.behaviour;
        let summary = packet::parse(packet).map_err(|_| PushError::Malformed)?;
        let key = FlowKey::of(&summary);
        let flow_hash = self.hash.flow(queue.index, &key);
        let flow = self.find_flow(flow_hash, queue.index, &key);
        let transport_offset = summary.transport_offset;
        let segment = Twin::of(&summary).map(|twin| match behaviour {
            Behaviour::KeepFirst => Segment { packet, transport_offset, twin, flow_hash },
            Behaviour::Overwrite { .. } => {
                Segment { packet, transport_offset, twin: Twin::Headers, flow_hash }
            }
        });
        let mark = match segment.map(|segment| self.recognise(flow, &segment)) {
            Some(Sought::Held(held)) => return Ok(self.hold_again(queue.index, held, packet)),
            Some(Sought::New(mark)) => Some(mark),
            None => None,
        };
        self.admit(queue.index, flow, packet.len())?;
        let flow = match behaviour {
            Behaviour::KeepFirst => flow,
            // A ring may have dropped the flow's only packet to make room.
            Behaviour::Overwrite { .. } => self.find_flow(flow_hash, queue.index, &key),
        };
        let flow = flow.unwrap_or_else(|| self.insert_flow(flow_hash, queue.index, key));
        self.insert(queue.index, flow, packet, mark, now);
        Ok(Stored::New)
    }

    /// The oldest packet held, to be rewritten or sent; [`Self::pop`] then releases it. What is written
    /// to it stays written.
    pub fn front(&mut self, queue: QueueId) -> Option<&mut [u8]> {
        let place = self.queue(queue)?.packets.front()?;
        Some(self.store.bytes_mut(place))
    }

    /// Releases the oldest packet held. O(1).
    pub fn pop(&mut self, queue: QueueId) {
        if let Some(place) = self.queue(queue).and_then(|queue| queue.packets.front()) {
            self.remove(queue.index, place);
            self.counters.released += 1;
        }
    }

    /// What a queue holds; `None` for a void handle.
    pub fn held(&self, queue: QueueId) -> Option<Held> {
        let queue = self.queue(queue)?;
        Some(Held {
            packets: queue.share.packets,
            bytes: queue.share.bytes,
            flows: queue.flow_count,
            oldest: queue.packets.front().map(|place| self.store.slots[place].arrival),
            opened: queue.opened,
        })
    }

    /// Whether a queue holds nothing; true for a void handle.
    pub fn is_empty(&self, queue: QueueId) -> bool {
        self.queue(queue).is_none_or(|queue| queue.share.packets == 0)
    }

    /// The newest packet of each flow that a queue holds: what its ICMP error quotes (R15).
    pub fn flows(&self, queue: QueueId) -> impl Iterator<Item = &[u8]> {
        let first = self.queue(queue).and_then(|queue| queue.flows.front());
        let flows = std::iter::successors(first, |flow| {
            let next = self.flows[*flow].next();
            (next != NONE).then_some(next)
        });
        flows.map(|flow| self.store.bytes(self.flows[flow].newest))
    }

    /// Drops all that a queue holds; the queue stays open. O(packets).
    pub fn clear(&mut self, queue: QueueId) {
        while let Some(place) = self.queue(queue).and_then(|queue| queue.packets.front()) {
            self.remove(queue.index, place);
            self.counters.cleared += 1;
        }
    }

    /// Drops what a queue has held for [`Limits::max_age`] or longer; `refuse` gets one packet of each
    /// flow that lost some, at most once as long as the flow holds packets here (R15).
    pub fn drop_expired(&mut self, queue: QueueId, now: Instant, mut refuse: impl FnMut(&[u8])) {
        while let Some(place) = self.queue(queue).and_then(|queue| queue.packets.front()) {
            let slot = &self.store.slots[place];
            if slot.arrival + self.limits.max_age > now {
                return;
            }
            let flow = &mut self.flows[slot.flow];
            if !std::mem::replace(&mut flow.is_refused, true) {
                refuse(self.store.bytes(place));
            }
            self.remove(queue.index, place);
            self.counters.expired += 1;
        }
    }

    /// Finds queues whose oldest packet is too old; bounded work per call.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..WORK_PER_TICK {
            let due = self.wheel.pop_due(&mut Linked(&mut self.queues), now);
            let Some((index, slot)) = due else { return };
            let queue = &mut self.queues[index];
            queue.is_filed = false;
            let Some(oldest) = queue.packets.front() else { continue };
            let deadline = self.store.slots[oldest].arrival + self.limits.max_age;
            if deadline > slot {
                self.file(index, deadline);
                continue;
            }
            if !std::mem::replace(&mut queue.is_expired, true) {
                self.expired.push_back(QueueId { index, generation: queue.generation });
            }
            self.file(index, now + REMINDER);
        }
    }

    /// When [`Self::handle_timeout`] has work next.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.wheel.poll_timeout().map(|when| (when, Reason::Age))
    }

    /// A queue with packets that are too old, for [`Self::drop_expired`].
    pub fn poll_expired(&mut self) -> Option<QueueId> {
        while let Some(queue) = self.expired.pop_front() {
            if self.queue(queue).is_some() {
                self.queues[queue.index].is_expired = false;
                return Some(queue);
            }
        }
        None
    }

    /// What happened so far, and the highest fill.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn queue(&self, queue: QueueId) -> Option<&Queue> {
        self.queues.get(queue.index).filter(|found| found.generation == queue.generation)
    }

    fn file(&mut self, index: u32, deadline: Instant) {
        self.queues[index].is_filed = true;
        self.wheel.insert(&mut Linked(&mut self.queues), index, deadline);
    }
}

impl fmt::Debug for PacketBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacketBuffer").field("counters", &self.counters).finish_non_exhaustive()
    }
}
