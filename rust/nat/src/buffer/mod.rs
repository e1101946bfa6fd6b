//! Packets that wait: for an authorisation, a connection, a translation or a look-up (R09-R16).
//!
//! One pool serves an endpoint; a queue in it is a handle, so that the next stage of a set-up takes
//! over by keeping the handle, and moves no packet (R10). In: whole packets. Out: the same packets in
//! the order of their arrival, each once (R09), or one packet of each held flow to refuse it by (R15).

mod types;

use packet::Instant;

pub use types::{Behaviour, Counters, Held, Limits, PushError, QueueId, Reason, Stored};

/// The pool and its queues.
///
/// **Fairness (R13).** A packet of `p` bytes is taken only if
///
/// ```text
/// flow + p <= limit - queue        with the bytes held of its flow, of its queue, and the limit of a queue
/// queue + p <= total_limit - total with the bytes held of its queue, of all queues, and the limit of all
/// ```
///
/// and the same with packets counted instead of bytes (`p` = 1). A newcomer's first packet is thus
/// refused only when it does not fit at all, and one flow alone never holds more than half a queue
/// and a packet. After *k* flows have taken all they can get, in any order, `limit / 2^k - p` bytes are
/// left for others, the longest packet being `p`: with `S(j)` the sum of the *j* flows that were the
/// first to be refused for ever, `S(j) + (S(j) - S(j-1)) <= limit + p` holds when the *j*-th took its
/// last packet.
#[derive(Debug)]
pub struct PacketBuffer {
    limits: Limits,
}

impl PacketBuffer {
    /// An empty pool. `seed` keeps senders from choosing packets that collide in the index.
    pub fn new(limits: Limits, seed: u64) -> Self {
        let _ = seed;
        Self { limits }
    }

    /// A new, empty queue that keeps the first packets (R12).
    pub fn open(&mut self, now: Instant) -> QueueId {
        self.open_with(Behaviour::KeepFirst, now)
    }

    /// A new, empty queue of the given behaviour.
    pub fn open_with(&mut self, behaviour: Behaviour, now: Instant) -> QueueId {
        let _ = (behaviour, now, &self.limits);
        QueueId { index: 0, generation: 0 }
    }

    /// Ends a queue; what it holds is dropped and counted. The handle is void from then on.
    pub fn close(&mut self, queue: QueueId) {
        let _ = queue;
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
        let _ = (queue, packet, now);
        Err(PushError::Closed)
    }

    /// The oldest packet held, to be rewritten or sent; [`Self::pop`] then releases it.
    pub fn front(&mut self, queue: QueueId) -> Option<&mut [u8]> {
        let _ = queue;
        None
    }

    /// Releases the oldest packet held. O(1).
    pub fn pop(&mut self, queue: QueueId) {
        let _ = queue;
    }

    /// What a queue holds; `None` for a void handle.
    pub fn held(&self, queue: QueueId) -> Option<Held> {
        let _ = queue;
        None
    }

    /// Whether a queue holds nothing; true for a void handle.
    pub fn is_empty(&self, queue: QueueId) -> bool {
        self.held(queue).is_none_or(|held| held.packets == 0)
    }

    /// The newest packet of each flow that a queue holds: what its ICMP error quotes (R15).
    pub fn flows(&self, queue: QueueId) -> impl Iterator<Item = &[u8]> {
        let _ = queue;
        std::iter::empty()
    }

    /// Drops all that a queue holds; the queue stays open.
    pub fn clear(&mut self, queue: QueueId) {
        let _ = queue;
    }

    /// Drops what a queue has held for [`Limits::max_age`] or longer; `refuse` gets one packet of each
    /// flow that lost some, at most once as long as the flow holds packets here (R15).
    pub fn drop_expired(&mut self, queue: QueueId, now: Instant, refuse: impl FnMut(&[u8])) {
        let _ = (queue, now, refuse);
    }

    /// Finds queues whose oldest packet is too old; bounded work per call.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] has work next.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        None
    }

    /// A queue with packets that are too old, for [`Self::drop_expired`].
    pub fn poll_expired(&mut self) -> Option<QueueId> {
        None
    }

    /// What happened so far, and the highest fill.
    pub fn counters(&self) -> &Counters {
        const { &Counters::ZERO }
    }
}
