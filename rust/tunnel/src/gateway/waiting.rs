//! New flows whose address is being looked up (R27).
//!
//! Packets wait per Client, name and family for at most 300 ms. When the look-up ends, or that time
//! has passed, all of them go on in order of arrival, within one call: each flow gets its record
//! before its first packet is sent, and no later packet can come between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dns::{Family, NameId};
use nat::buffer::QueueId;
use packet::{Instant, MAX_PACKET, Train};

use super::Gateway;
use super::clients::ClientSlot;
use crate::endpoint::Io;
use crate::refuse::Refusal;

/// How long a new flow waits for a look-up (R27).
const LONGEST_WAIT: Duration = Duration::from_millis(300);

/// Under what packets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaitKey {
    pub(super) client: ClientSlot,
    pub(super) name: NameId,
    pub(super) family: Family,
}

/// The queues by key, and when each has waited long enough.
#[derive(Default)]
pub(super) struct Waiting {
    queues: BTreeMap<WaitKey, (QueueId, Instant)>,
    deadlines: BTreeSet<(Instant, WaitKey)>,
}

impl Waiting {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    fn take(&mut self, key: WaitKey) -> Option<QueueId> {
        let (queue, deadline) = self.queues.remove(&key)?;
        self.deadlines.remove(&(deadline, key));
        Some(queue)
    }

    fn keys_of(&self, name: NameId, family: Family) -> Vec<WaitKey> {
        let keys = self.queues.keys().filter(|key| key.name == name && key.family == family);
        keys.copied().collect()
    }

    fn keys_of_client(&self, client: ClientSlot) -> Vec<WaitKey> {
        self.queues.keys().filter(|key| key.client == client).copied().collect()
    }
}

impl Gateway {
    /// Holds a train of a new flow; what finds no room is counted.
    pub(super) fn hold(&mut self, key: WaitKey, train: &Train<'_>, now: Instant) {
        let queue = match self.waiting.queues.get(&key) {
            Some((queue, _)) => *queue,
            None => {
                let queue = self.buffer.open(now);
                let deadline = now + LONGEST_WAIT;
                self.waiting.queues.insert(key, (queue, deadline));
                self.waiting.deadlines.insert((deadline, key));
                queue
            }
        };
        let mut packet = [0; MAX_PACKET];
        for i in 0..train.segments() {
            let len = train.write_segment(i, &mut packet);
            match self.buffer.push(queue, &packet[..len], now) {
                Ok(_) => self.counters.held += 1,
                Err(_) => self.refuser.silently(Refusal::BufferFull, 1),
            }
        }
    }

    /// A look-up ended: what waited for it goes on.
    pub(super) fn release_settled(
        &mut self,
        name: NameId,
        family: Family,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        for key in self.waiting.keys_of(name, family) {
            self.release(key, now, io);
        }
    }

    /// What has waited long enough goes on with the address that is known.
    pub(super) fn release_overdue(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(&(at, key)) = self.waiting.deadlines.first() {
            if at > now {
                return;
            }
            self.release(key, now, io);
        }
    }

    /// Packets of a Client that wait for a look-up of a name.
    pub(super) fn held_for(&self, client: ClientSlot, name: NameId) -> u64 {
        let keys = Family::ALL.map(|family| WaitKey { client, name, family });
        let queues = keys.iter().filter_map(|key| self.waiting.queues.get(key));
        let held = queues.filter_map(|(queue, _)| self.buffer.held(*queue));
        held.map(|held| held.packets as u64).sum()
    }

    /// Forgets what waits for a Client that is gone.
    pub(super) fn forget_waiting(&mut self, client: ClientSlot) {
        for key in self.waiting.keys_of_client(client) {
            if let Some(queue) = self.waiting.take(key) {
                self.buffer.close(queue);
            }
        }
    }

    fn release(&mut self, key: WaitKey, now: Instant, io: &mut Io<'_>) {
        let Some(queue) = self.waiting.take(key) else { return };
        let mut packet = [0; MAX_PACKET];
        while let Some(front) = self.buffer.front(queue) {
            let len = front.len();
            packet[..len].copy_from_slice(front);
            self.buffer.pop(queue);
            self.release_packet(key.client, &mut packet[..len], now, io);
        }
        self.buffer.close(queue);
    }

    fn release_packet(
        &mut self,
        client: ClientSlot,
        packet: &mut [u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let mut original = [0; MAX_PACKET];
        let len = packet.len();
        original[..len].copy_from_slice(packet);
        // What was taken into the buffer was parsed before.
        let Ok(mut train) = Train::single(packet) else { return };
        match self.translate_released(client, &mut train, now) {
            Ok(()) => {
                self.counters.released += 1;
                self.counters.to_site += 1;
                io.host.accept(&train);
            }
            Err(refusal) => self.refuse_packet(client, &original[..len], refusal, now, io),
        }
    }

    /// As [`Gateway::translate`], but with whatever address there is: it waited already.
    fn translate_released(
        &mut self,
        client: ClientSlot,
        train: &mut Train<'_>,
        now: Instant,
    ) -> Result<(), Refusal> {
        use nat::flow_table::Outbound;

        let summary = *train.summary();
        let bytes = train.total_bytes() as u64;
        let hit = match self.flows.outbound(client.flow_peer(), &summary, bytes, 1, now) {
            Outbound::Hit(hit) => hit,
            Outbound::Expired => return Err(Refusal::ExpiredFlow),
            Outbound::Miss => {
                let id = self.clients.get(client).ok_or(Refusal::NoPeer)?.id;
                let found = self.translations.find(id, summary.destination, now);
                let real = found.and_then(|found| found.real).ok_or(Refusal::NoAddress)?;
                self.open_flow(client, train, real, now)?
            }
        };
        train.rewrite(&hit.rewrite);
        Ok(())
    }
}
