//! Limits, handles, answers and counters of the packet buffer.

use std::time::Duration;

use packet::Instant;

use super::store::Share;

/// Bounds (R11), all of them hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of packets in one queue.
    pub entry_bytes: usize,
    /// Packets in one queue.
    pub entry_packets: usize,
    /// Bytes of packets in all queues.
    pub total_bytes: usize,
    /// Packets in all queues. Each takes a block of 1280 bytes, whatever its length.
    pub total_packets: usize,
    /// How long a packet may wait.
    pub max_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entry_bytes: 1 << 20,
            entry_packets: 1024,
            total_bytes: 64 << 20,
            total_packets: 64 << 10,
            max_age: Duration::from_secs(60),
        }
    }
}

/// Handle of a queue; void once the queue is closed, also when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

/// What a full queue does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Refuses what comes later (R12), shares fairly (R13).
    KeepFirst,
    /// Overwrites the oldest packet once it holds `slots`, without regard to flows: upstream's former
    /// ring, the baseline of comparisons (R41). Of [`Limits`], only the totals and the age hold.
    Overwrite {
        /// Packets in the ring, at least 1.
        slots: usize,
    },
}

/// What became of a packet that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is held, behind all others.
    New,
    /// The same TCP segment, byte for byte, is held already (R14).
    Duplicate,
    /// It took the place of the SYN that it retransmits (R14).
    Replaced,
}

/// Why a packet was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PushError {
    /// The handle is void.
    #[error("the queue is closed")]
    Closed,
    /// Not one whole packet of at most 1280 bytes.
    #[error("not one whole packet")]
    Malformed,
    /// The queue has no room for so many bytes, or not for those of one more flow (R13).
    #[error("the queue's bytes are used up")]
    EntryBytes,
    /// The queue has no room for a packet of one more flow (R13).
    #[error("the queue's packets are used up")]
    EntryPackets,
    /// The flow would hold more than it leaves to others (R13).
    #[error("the flow has its share of the queue")]
    FlowShare,
    /// The queue would hold more than it leaves to others (R13).
    #[error("the queue has its share of the buffer")]
    EntryShare,
    /// The buffer has no room, or not for one more queue (R13).
    #[error("the buffer is full")]
    Total,
}

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Packets.
    pub packets: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Flows they belong to.
    pub flows: usize,
    /// When the oldest came.
    pub oldest: Option<Instant>,
    /// When the queue was opened.
    pub opened: Instant,
}

/// Why [`super::PacketBuffer::poll_timeout`] asks to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A held packet reaches [`Limits::max_age`].
    Age,
}

/// Packets by what became of them, and the highest fill.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Held as new.
    pub stored: u64,
    /// Held already, byte for byte.
    pub duplicate: u64,
    /// Took the place of the SYN they retransmit.
    pub replaced: u64,
    /// Popped.
    pub released: u64,
    /// Dropped for their age.
    pub expired: u64,
    /// Dropped because their queue was cleared or closed.
    pub cleared: u64,
    /// Oldest packets lost to [`Behaviour::Overwrite`].
    pub overwritten: u64,
    /// Refused: [`PushError::Closed`].
    pub refused_closed: u64,
    /// Refused: [`PushError::Malformed`].
    pub refused_malformed: u64,
    /// Refused: [`PushError::EntryBytes`].
    pub refused_entry_bytes: u64,
    /// Refused: [`PushError::EntryPackets`].
    pub refused_entry_packets: u64,
    /// Refused: [`PushError::FlowShare`].
    pub refused_flow_share: u64,
    /// Refused: [`PushError::EntryShare`].
    pub refused_entry_share: u64,
    /// Refused: [`PushError::Total`].
    pub refused_total: u64,
    /// Highest number of bytes held at once.
    pub peak_bytes: usize,
    /// Highest number of packets held at once.
    pub peak_packets: usize,
    /// Highest number of bytes held at once by one queue.
    pub peak_entry_bytes: usize,
    /// Highest number of packets held at once by one queue.
    pub peak_entry_packets: usize,
}

impl Counters {
    pub(super) fn count(&mut self, outcome: Result<Stored, PushError>) {
        *match outcome {
            Ok(Stored::New) => &mut self.stored,
            Ok(Stored::Duplicate) => &mut self.duplicate,
            Ok(Stored::Replaced) => &mut self.replaced,
            Err(PushError::Closed) => &mut self.refused_closed,
            Err(PushError::Malformed) => &mut self.refused_malformed,
            Err(PushError::EntryBytes) => &mut self.refused_entry_bytes,
            Err(PushError::EntryPackets) => &mut self.refused_entry_packets,
            Err(PushError::FlowShare) => &mut self.refused_flow_share,
            Err(PushError::EntryShare) => &mut self.refused_entry_share,
            Err(PushError::Total) => &mut self.refused_total,
        } += 1;
    }

    pub(super) fn note_peaks(&mut self, entry: Share, total: Share) {
        self.peak_bytes = self.peak_bytes.max(total.bytes);
        self.peak_packets = self.peak_packets.max(total.packets);
        self.peak_entry_bytes = self.peak_entry_bytes.max(entry.bytes);
        self.peak_entry_packets = self.peak_entry_packets.max(entry.packets);
    }
}
