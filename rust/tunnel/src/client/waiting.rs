//! Packets that cannot leave yet: which queue of the one `PacketBuffer` holds them, and what they
//! wait for.
//!
//! A packet waits under (resource, name, family) for an authorisation, a connection or a translation,
//! in this order. A finished stage changes what the queue waits for and moves no packet (R10). A
//! queue whose last stage is finished drains in order of arrival, before any later packet (R09); it
//! stops when the send buffer is full and goes on first.

use std::collections::{BTreeMap, VecDeque};

use ::dns::{Family, NameId};
use connection::{PeerIndex, SealError};
use nat::buffer::{Behaviour, QueueId};
use nat::flow_table::Direction;
use nat::resource_nat::{EntryId, RefreshPolicy, Verdict};
use packet::{Class, Instant, MAX_PACKET, Train};

use super::Client;
use super::flows::Path;
use super::routes::{GatewaySlot, ResourceSlot, Route};
use crate::endpoint::Io;
use crate::refuse::Refusal;

/// Slots of the ring that upstream once held packets in (R41).
const HALT_SLOTS: usize = 32;

/// Under what packets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WaitKey {
    pub(super) resource: ResourceSlot,
    pub(super) name: Option<NameId>,
    pub(super) family: Family,
}

/// What a queue waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Orchestration's answer.
    Authorization,
    /// The session with the Gateway.
    Connection(PeerIndex),
    /// The Gateway's translation.
    Translation(EntryId),
    /// Room in the send buffer.
    Room,
}

struct Waiter {
    queue: QueueId,
    stage: Stage,
}

/// The queues by key.
#[derive(Default)]
pub(super) struct Waiting {
    waiters: BTreeMap<WaitKey, Waiter>,
    by_entry: BTreeMap<(EntryId, Family), WaitKey>,
    draining: VecDeque<WaitKey>,
}

impl Waiting {
    /// Whether a packet would overtake others of its key.
    pub(super) fn holds(&self, key: &WaitKey) -> bool {
        !self.waiters.is_empty() && self.waiters.contains_key(key)
    }

    /// Whether released packets wait for room.
    pub(super) fn wants_drain(&self) -> bool {
        !self.draining.is_empty()
    }

    /// Whether packets wait for the authorisation of a resource.
    pub(super) fn waits_for(&self, resource: ResourceSlot) -> bool {
        let first = WaitKey { resource, name: None, family: Family::Ipv4 };
        let of_resource = self.waiters.range(first..).take_while(|(k, _)| k.resource == resource);
        of_resource.into_iter().any(|(_, waiter)| waiter.stage == Stage::Authorization)
    }

    pub(super) fn key_of_entry(&self, entry: EntryId, family: Family) -> Option<WaitKey> {
        self.by_entry.get(&(entry, family)).copied()
    }

    /// Keys of a resource.
    pub(super) fn keys_of(&self, resource: ResourceSlot) -> Vec<WaitKey> {
        let first = WaitKey { resource, name: None, family: Family::Ipv4 };
        let keys = self.waiters.range(first..).map(|(key, _)| *key);
        keys.take_while(|key| key.resource == resource).collect()
    }

    /// Keys that wait for a connection.
    pub(super) fn keys_of_connection(&self, peer: PeerIndex) -> Vec<WaitKey> {
        let waiting = |waiter: &Waiter| waiter.stage == Stage::Connection(peer);
        self.waiters.iter().filter(|(_, w)| waiting(w)).map(|(key, _)| *key).collect()
    }

    /// Keys of resources of which `wanted` says yes.
    pub(super) fn keys_where(&self, wanted: impl Fn(ResourceSlot) -> bool) -> Vec<WaitKey> {
        self.waiters.keys().filter(|key| wanted(key.resource)).copied().collect()
    }

    /// Puts a key back to its first stage.
    pub(super) fn await_authorization(&mut self, key: WaitKey) {
        self.set_stage(key, Stage::Authorization);
    }

    /// The queue of a key.
    pub(super) fn queue_of(&self, key: &WaitKey) -> Option<QueueId> {
        self.waiters.get(key).map(|waiter| waiter.queue)
    }

    fn key_of_queue(&self, queue: QueueId) -> Option<WaitKey> {
        self.waiters.iter().find(|(_, waiter)| waiter.queue == queue).map(|(key, _)| *key)
    }

    fn set_stage(&mut self, key: WaitKey, stage: Stage) {
        let Some(waiter) = self.waiters.get_mut(&key) else { return };
        if let Stage::Translation(entry) = waiter.stage {
            self.by_entry.remove(&(entry, key.family));
        }
        if let Stage::Translation(entry) = stage {
            self.by_entry.insert((entry, key.family), key);
        }
        if stage == Stage::Room && waiter.stage != Stage::Room {
            self.draining.push_back(key);
        } else if stage != Stage::Room && waiter.stage == Stage::Room {
            self.draining.retain(|draining| *draining != key);
        }
        waiter.stage = stage;
    }

    fn remove(&mut self, key: WaitKey) -> Option<QueueId> {
        let waiter = self.waiters.remove(&key)?;
        if let Stage::Translation(entry) = waiter.stage {
            self.by_entry.remove(&(entry, key.family));
        }
        Some(waiter.queue)
    }
}

impl Client {
    /// Holds a train until `stage` is finished, or behind those of its key that wait already.
    pub(super) fn hold(&mut self, key: WaitKey, stage: Stage, train: &Train<'_>, now: Instant) {
        if !self.waiting.waiters.contains_key(&key) {
            let behaviour = match self.nat.policy() {
                RefreshPolicy::Keep => Behaviour::KeepFirst,
                RefreshPolicy::Halt => Behaviour::Overwrite { slots: HALT_SLOTS },
            };
            let queue = self.buffer.open_with(behaviour, now);
            self.waiting.waiters.insert(key, Waiter { queue, stage: Stage::Authorization });
            self.waiting.set_stage(key, stage);
        }
        self.hold_behind(key, train, now);
    }

    /// Holds a train behind those of its key that wait already.
    pub(super) fn hold_behind(&mut self, key: WaitKey, train: &Train<'_>, now: Instant) {
        let Some(waiter) = self.waiting.waiters.get(&key) else { return };
        let mut packet = [0; MAX_PACKET];
        for i in 0..train.segments() {
            let len = train.write_segment(i, &mut packet);
            match self.buffer.push(waiter.queue, &packet[..len], now) {
                Ok(_) => self.counters.held += 1,
                Err(_) => self.refuser.silently(Refusal::BufferFull, 1),
            }
        }
    }

    /// Finds out what the packets of a key wait for now; without anything left they drain.
    pub(super) fn advance(&mut self, key: WaitKey, now: Instant, io: &mut Io<'_>) {
        if !self.waiting.holds(&key) {
            return;
        }
        match self.next_stage(key, now) {
            Some(stage) => {
                self.waiting.set_stage(key, stage);
                if stage == Stage::Authorization {
                    self.routes.request(key.resource, now);
                }
            }
            None => self.give_up(key, Refusal::SetUpRefused, now, io),
        }
    }

    /// The first stage that is not finished; `None` if it never will be.
    fn next_stage(&mut self, key: WaitKey, now: Instant) -> Option<Stage> {
        let id = self.routes.get(key.resource)?.resource.id;
        let Some(slot) = self.routes.serving(key.resource) else {
            return Some(Stage::Authorization);
        };
        let gateway = self.routes.gateway(slot)?;
        let (peer, gateway_id) = (gateway.peer, gateway.id());
        if let Some(name) = key.name {
            let mut verdict = self.nat.decide(gateway_id, id, name, key.family, now);
            if verdict == Verdict::Unknown {
                self.establish(key.resource, slot, name, now);
                verdict = self.nat.decide(gateway_id, id, name, key.family, now);
            }
            match verdict {
                Verdict::Hold(entry) => return Some(Stage::Translation(entry)),
                Verdict::Refuse | Verdict::Unknown => return None,
                Verdict::Pass => {}
            }
        }
        let ready = self.connections.is_ready(peer, now);
        Some(if ready { Stage::Room } else { Stage::Connection(peer) })
    }

    /// Sends what was released, oldest queue first, as long as there is room.
    pub(super) fn drain(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(&key) = self.waiting.draining.front() {
            match self.drain_queue(key, now, io) {
                Ok(()) => {
                    self.waiting.draining.pop_front();
                    if let Some(queue) = self.waiting.remove(key) {
                        self.buffer.close(queue);
                    }
                }
                Err(SealError::Full) => return,
                Err(SealError::NotReady | SealError::UnknownPeer) => {
                    self.waiting.draining.pop_front();
                    self.waiting.set_stage(key, Stage::Authorization);
                    self.advance(key, now, io);
                }
            }
        }
    }

    fn drain_queue(
        &mut self,
        key: WaitKey,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), SealError> {
        let Some(queue) = self.waiting.waiters.get(&key).map(|waiter| waiter.queue) else {
            return Ok(());
        };
        let serving = self.routes.get(key.resource).and_then(|entry| entry.gateway);
        let serving = serving.ok_or(SealError::UnknownPeer)?;
        let mut copy = [0; MAX_PACKET];
        while let Some(packet) = self.buffer.front(queue) {
            let len = packet.len();
            copy[..len].copy_from_slice(packet);
            // What was taken into the buffer was parsed before.
            if let Ok(train) = Train::single(&mut copy[..len]) {
                self.seal_held(key, serving, &train, now, io)?;
                self.counters.drained += 1;
            }
            self.buffer.pop(queue);
        }
        Ok(())
    }

    /// Seals a held packet: to its flow's own Gateway if it has one, else to the one that serves now.
    fn seal_held(
        &mut self,
        key: WaitKey,
        serving: GatewaySlot,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), SealError> {
        let flow = self.flows.seek(train.summary(), Direction::Outbound, now);
        let own = flow.and_then(|flow| self.flow_path(flow, train.summary(), now).ok().flatten());
        let path = own.unwrap_or(Path { key, gateway: serving, flow: None });
        let gateway = self.routes.gateway(path.gateway).ok_or(SealError::UnknownPeer)?;
        self.connections.seal(gateway.peer, train, Class::Data, now, io.send)?;
        self.note_sent(&path, train, now);
        Ok(())
    }

    /// Answers every flow that waits under a key with an ICMP error and drops what it held (R15).
    pub(super) fn give_up(
        &mut self,
        key: WaitKey,
        refusal: Refusal,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(queue) = self.waiting.remove(key) else { return };
        self.waiting.draining.retain(|draining| *draining != key);
        let held = self.buffer.held(queue).map_or(0, |held| held.packets);
        let mut told = 0;
        for packet in self.buffer.flows(queue) {
            told += 1;
            if let Some(error) = self.refuser.packet(packet, refusal, now) {
                io.host.accept(&error);
            }
        }
        self.refuser.silently(refusal, (held as u64).saturating_sub(told));
        self.buffer.close(queue);
    }

    /// Drops what waits under a key without a word: what the `halt` policy does (R41).
    pub(super) fn discard(&mut self, key: WaitKey) {
        if let Some(queue) = self.waiting.remove(key) {
            self.waiting.draining.retain(|draining| *draining != key);
            self.buffer.close(queue);
        }
    }

    /// Refuses packets that waited too long (R11, R15).
    pub(super) fn give_up_expired(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(queue) = self.buffer.poll_expired() {
            let refuser = &mut self.refuser;
            self.buffer.drop_expired(queue, now, |packet| {
                if let Some(error) = refuser.packet(packet, Refusal::WaitedTooLong, now) {
                    io.host.accept(&error);
                }
            });
            if self.buffer.is_empty(queue)
                && let Some(key) = self.waiting.key_of_queue(queue)
            {
                self.discard(key);
            }
        }
    }

    /// The session with a Gateway stands: what waited for it goes on.
    pub(super) fn connection_ready(&mut self, peer: PeerIndex, now: Instant, io: &mut Io<'_>) {
        for key in self.waiting.keys_of_connection(peer) {
            self.advance(key, now, io);
        }
        self.site_ready(peer, now, io);
    }

    /// Repeats requests for authorisation that packets or queries wait for.
    pub(super) fn repeat_requests(&mut self, now: Instant) {
        while let Some(resource) = self.routes.pop_due_request(now) {
            let wanted = self.waiting.waits_for(resource) || self.site_waits_for(resource);
            self.routes.repeat_request(resource, wanted, now);
        }
    }
}

impl WaitKey {
    pub(super) fn new(route: &Route, family: Family) -> Self {
        Self { resource: route.resource, name: route.name, family }
    }
}
