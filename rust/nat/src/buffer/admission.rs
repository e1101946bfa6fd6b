//! Whether a packet is taken (R11-R14), and the keeping of what follows from it.

use packet::Instant;

use super::PacketBuffer;
use super::identity::{FlowKey, Hash, Mark, Twin};
use super::store::{Flow, Linked, Share};
use super::types::{Behaviour, Limits, PushError, Stored};

/// What is held of a packet's flow, of its queue, and of all queues, before it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shares {
    flow: Share,
    queue: Share,
    total: Share,
}

impl Shares {
    /// Whether `more` may be added; the inequalities of [`PacketBuffer`]. It is the share's fault only
    /// if there is a share.
    fn admit(&self, limits: &Limits, more: Share) -> Result<(), PushError> {
        let entry = Share { bytes: limits.entry_bytes, packets: limits.entry_packets };
        let (bytes, packets) = exceeds(self.flow, self.queue, more, entry);
        if bytes || packets {
            return Err(match (self.flow.packets, self.queue.bytes + more.bytes > entry.bytes) {
                (0, _) | (_, true) if bytes => PushError::EntryBytes,
                (0, _) => PushError::EntryPackets,
                _ => PushError::FlowShare,
            });
        }
        self.admit_total(limits, more)?;
        let total = Share { bytes: limits.total_bytes, packets: limits.total_packets };
        match exceeds(self.queue, self.total, more, total) {
            (false, false) => Ok(()),
            _ if self.queue.packets == 0 => Err(PushError::Total),
            _ => Err(PushError::EntryShare),
        }
    }

    fn admit_total(&self, limits: &Limits, more: Share) -> Result<(), PushError> {
        let bytes = self.total.bytes + more.bytes > limits.total_bytes;
        let packets = self.total.packets + more.packets > limits.total_packets;
        if bytes || packets { Err(PushError::Total) } else { Ok(()) }
    }
}

/// R13: whether with `more` the share exceeds what remains then of `limit` beside `held`, in bytes and
/// in packets.
fn exceeds(share: Share, held: Share, more: Share, limit: Share) -> (bool, bool) {
    (
        share.bytes + held.bytes + 2 * more.bytes > limit.bytes,
        share.packets + held.packets + 2 * more.packets > limit.packets,
    )
}

/// A TCP segment that may be held already.
pub(super) struct Segment<'a> {
    pub(super) packet: &'a [u8],
    pub(super) transport_offset: u16,
    pub(super) twin: Twin,
    /// Hash of its flow.
    pub(super) flow_hash: u64,
}

impl Segment<'_> {
    fn mark(&self, hash: &Hash, twin: Twin) -> Mark {
        hash.mark(self.flow_hash, twin, self.packet, self.transport_offset)
    }
}

/// What became of the search for a segment.
pub(super) enum Sought {
    Held(u32),
    /// To be filed under this.
    New(Mark),
}

/// Whether a packet is filed by all of its bytes.
fn is_alike(mark: Option<Mark>) -> bool {
    matches!(mark, Some((Twin::Bytes, _)))
}

impl PacketBuffer {
    /// Whether a packet of `len` bytes is taken. A ring makes room for it.
    pub(super) fn admit(
        &mut self,
        queue: u32,
        flow: Option<u32>,
        len: usize,
    ) -> Result<(), PushError> {
        let more = Share { bytes: len, packets: 1 };
        let Behaviour::Overwrite { slots } = self.queues[queue].behaviour else {
            return self.shares(queue, flow).admit(&self.limits, more);
        };
        while self.queues[queue].share.packets >= slots.max(1) {
            let Some(oldest) = self.queues[queue].packets.front() else { break };
            self.remove(queue, oldest);
            self.counters.overwritten += 1;
        }
        self.shares(queue, None).admit_total(&self.limits, more)
    }

    fn shares(&self, queue: u32, flow: Option<u32>) -> Shares {
        Shares {
            flow: flow.map(|flow| self.flows[flow].share).unwrap_or_default(),
            queue: self.queues[queue].share,
            total: self.total,
        }
    }

    pub(super) fn find_flow(&self, hash: u64, queue: u32, key: &FlowKey) -> Option<u32> {
        self.flow_index.find(hash, |place| {
            let flow = &self.flows[place];
            flow.queue == queue && flow.key == *key
        })
    }

    /// The packet of `flow` that `segment` is or retransmits, or the mark to file it under.
    pub(super) fn recognise(&self, flow: Option<u32>, segment: &Segment<'_>) -> Sought {
        let mark = segment.mark(&self.hash, segment.twin);
        let Some(flow) = flow else { return Sought::New(mark) };
        let holder = self.find_marked(flow, mark, |_| true);
        match holder {
            Some(held) if matches!(segment.twin, Twin::Syn(_)) => return Sought::Held(held),
            Some(held) if self.store.bytes(held) == segment.packet => return Sought::Held(held),
            None if self.flows[flow].alike == 0 => return Sought::New(mark),
            Some(_) | None => {}
        }
        // Who sends one kind of headers again and again has each packet hashed and one compared.
        let whole = segment.mark(&self.hash, Twin::Bytes);
        let is_same = |place| self.store.bytes(place) == segment.packet;
        match self.find_marked(flow, whole, is_same) {
            Some(held) => Sought::Held(held),
            None => Sought::New(if holder.is_some() { whole } else { mark }),
        }
    }

    fn find_marked(&self, flow: u32, mark: Mark, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.twins.find(mark.1, |place| {
            let slot = &self.store.slots[place];
            slot.flow == flow && slot.mark == Some(mark) && is(place)
        })
    }

    /// A packet that is held already: a SYN takes the older one's place if its length allows (R14).
    pub(super) fn hold_again(&mut self, queue: u32, held: u32, packet: &[u8]) -> Stored {
        let (old, flow) = (self.store.slots[held].len, self.store.slots[held].flow);
        let longer = Share { bytes: packet.len().saturating_sub(old), packets: 0 };
        let fits = self.shares(queue, Some(flow)).admit(&self.limits, longer).is_ok();
        if self.store.bytes(held) == packet || (longer.bytes > 0 && !fits) {
            return Stored::Duplicate;
        }
        self.store.replace(held, packet);
        let shares = [&mut self.flows[flow].share, &mut self.queues[queue].share, &mut self.total];
        for share in shares {
            share.bytes = share.bytes - old + packet.len();
        }
        self.note_peaks(queue);
        Stored::Replaced
    }

    pub(super) fn insert_flow(&mut self, hash: u64, queue: u32, key: FlowKey) -> u32 {
        let place = self.flows.insert(Flow::new(queue, key));
        let (flows, hasher) = (&self.flows, &self.hash);
        let rehash = |place| hasher.flow(flows[place].queue, &flows[place].key);
        self.flow_index.insert(hash, place, rehash);
        let queue = &mut self.queues[queue];
        queue.flows.push_back(&mut Linked(&mut self.flows), place);
        queue.flow_count += 1;
        place
    }

    /// Puts a packet behind all others.
    pub(super) fn insert(
        &mut self,
        queue: u32,
        flow: u32,
        packet: &[u8],
        mark: Option<Mark>,
        now: Instant,
    ) {
        let place = self.store.insert(packet, flow, mark, now);
        if let Some((_, hash)) = mark {
            let slots = &self.store.slots;
            let rehash = |place| slots[place].mark.map_or(0, |(_, hash)| hash);
            self.twins.insert(hash, place, rehash);
        }
        let found = &mut self.queues[queue];
        found.packets.push_back(&mut Linked(&mut self.store.slots), place);
        found.share.add(packet.len());
        let is_filed = found.is_filed;
        let flow = &mut self.flows[flow];
        flow.share.add(packet.len());
        flow.newest = place;
        flow.alike += u32::from(is_alike(mark));
        self.total.add(packet.len());
        if !is_filed {
            self.file(queue, now + self.limits.max_age);
        }
        self.note_peaks(queue);
    }

    /// Takes out the oldest packet of a queue.
    pub(super) fn remove(&mut self, queue: u32, place: u32) {
        let found = &mut self.queues[queue];
        found.packets.remove(&mut Linked(&mut self.store.slots), place);
        let Some(slot) = self.store.slots.remove(place) else { return };
        if let Some((_, hash)) = slot.mark {
            self.twins.remove(hash, place);
        }
        found.share.subtract(slot.len);
        self.total.subtract(slot.len);
        let flow = &mut self.flows[slot.flow];
        flow.share.subtract(slot.len);
        flow.alike -= u32::from(is_alike(slot.mark));
        if flow.share.packets == 0 {
            let hash = self.hash.flow(queue, &flow.key);
            self.flow_index.remove(hash, slot.flow);
            found.flows.remove(&mut Linked(&mut self.flows), slot.flow);
            found.flow_count -= 1;
            self.flows.remove(slot.flow);
        }
    }

    fn note_peaks(&mut self, queue: u32) {
        self.counters.note_peaks(self.queues[queue].share, self.total);
    }
}
