//! Whether a Gateway is alive, as far as its answers tell.
//!
//! Data was sent and nothing came for 1 s: an echo goes to its tunnel address every 0.5 s. Six without
//! an answer, and it is dead for new flows; any answer brings it back. An idle Gateway is asked nothing.

use std::time::Duration;

use connection::PeerIndex;
use nat::control::GatewayId;
use packet::{Class, Instant, MAX_PACKET, Summary, Train, Transport, build};

use super::Client;
use super::routes::{GatewaySlot, ResourceSlot};
use crate::endpoint::Io;
use crate::messages::ClientEvent;

/// Silence after data that is not explained by distance.
const SILENCE: Duration = Duration::from_secs(1);
/// Time between two echoes.
const ECHO_EVERY: Duration = Duration::from_millis(500);
/// Echoes without an answer that mean death.
const ECHOES: u32 = 6;
/// Time between two echoes to the dead.
const ECHO_DEAD_EVERY: Duration = Duration::from_secs(2);
/// What our echoes carry, so that a program's own are told apart.
const MARK: &[u8] = b"firezone alive?";

/// What is known of one Gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Liveness {
    /// The first data sent since something came.
    sent: Option<Instant>,
    echoes: u32,
    is_dead: bool,
    check_at: Option<Instant>,
}

impl Liveness {
    pub(super) fn is_dead(&self) -> bool {
        self.is_dead
    }

    pub(super) fn check_at(&self) -> Option<Instant> {
        self.check_at
    }

    /// Data went out.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent.get_or_insert(now);
        self.check_at.get_or_insert(now + SILENCE);
    }

    /// Something came. Returns whether the Gateway was dead.
    fn received(&mut self) -> bool {
        (self.sent, self.echoes) = (None, 0);
        std::mem::replace(&mut self.is_dead, false)
    }

    /// Orchestration named this Gateway: it is given another chance.
    pub(super) fn trust(&mut self, now: Instant) {
        if std::mem::replace(&mut self.is_dead, false) {
            self.echoes = 0;
            (self.sent, self.check_at) = (Some(now), Some(now + SILENCE));
        }
    }

    /// The check is due.
    fn check(&mut self, now: Instant) -> Due {
        let Some(sent) = self.sent else {
            self.check_at = None;
            return Due::Nothing;
        };
        if sent + SILENCE > now && !self.is_dead {
            self.check_at = Some(sent + SILENCE);
            return Due::Nothing;
        }
        let died = !self.is_dead && self.echoes >= ECHOES;
        self.is_dead |= died;
        self.echoes = self.echoes.saturating_add(1);
        self.check_at = Some(now + if self.is_dead { ECHO_DEAD_EVERY } else { ECHO_EVERY });
        if died { Due::Died } else { Due::Echo }
    }
}

/// What a check asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    Echo,
    /// It is dead from now on; an echo goes out all the same.
    Died,
}

impl Client {
    /// Something that is answered went to a Gateway.
    pub(super) fn note_asked(&mut self, slot: GatewaySlot, now: Instant) {
        let Some(gateway) = self.routes.gateway_mut(slot) else { return };
        gateway.liveness.sent(now);
        let check = gateway.liveness.check_at();
        self.routes.check_by(check);
    }

    /// Checks that are due.
    pub(super) fn check_gateways(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.routes.next_check().is_none_or(|at| at > now) {
            return;
        }
        for slot in self.routes.gateway_slots() {
            let Some(gateway) = self.routes.gateway_mut(slot) else { continue };
            if gateway.liveness.check_at().is_none_or(|at| at > now) {
                continue;
            }
            let (id, due) = (gateway.id(), gateway.liveness.check(now));
            if due != Due::Nothing {
                self.echo(slot, now, io);
            }
            if due == Due::Died {
                self.gateway_died(slot, id, now, io);
            }
        }
        self.routes.reset_checks();
    }

    fn echo(&mut self, slot: GatewaySlot, now: Instant, io: &mut Io<'_>) {
        let Some(gateway) = self.routes.gateway(slot) else { return };
        let (from, to) = (self.ipv4.into(), gateway.known.ipv4.into());
        let number = gateway.liveness.echoes as u16;
        let mut packet = [0; MAX_PACKET];
        let len = build::echo(from, to, slot.0 as u16, number, true, MARK, &mut packet);
        if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
            // One that cannot be sent is one without an answer.
            let _ = self.connections.seal(gateway.peer, &train, Class::Control, now, io.send);
        }
    }

    /// Orchestration is told, and asked for another Gateway for what the dead one served.
    fn gateway_died(&mut self, slot: GatewaySlot, id: GatewayId, now: Instant, io: &mut Io<'_>) {
        self.record(ClientEvent::GatewayDead { gateway: id });
        let mut used: Vec<ResourceSlot> = Vec::new();
        self.flows.for_each(|_, note| {
            if note.gateway == slot && !used.contains(&note.key.resource) {
                used.push(note.key.resource);
            }
        });
        for key in self.waiting.keys_where(|resource| self.serves(slot, resource)) {
            self.advance(key, now, io);
        }
        for resource in used {
            if self.routes.get(resource).is_some_and(|entry| entry.gateway == Some(slot)) {
                self.routes.request(resource, now);
            }
        }
    }

    /// Something came from a peer. What waited for another Gateway than a dead one goes on.
    pub(super) fn hear(&mut self, peer: PeerIndex, now: Instant, io: &mut Io<'_>) {
        let Some((slot, _)) = self.routes.gateway_of_peer(peer) else { return };
        let Some(gateway) = self.routes.gateway_mut(slot) else { return };
        if !gateway.liveness.received() {
            return;
        }
        let gateway = gateway.id();
        self.record(ClientEvent::GatewayAlive { gateway });
        for key in self.waiting.keys_where(|resource| self.serves(slot, resource)) {
            self.advance(key, now, io);
        }
    }

    /// Whether a train is the answer to one of our echoes.
    pub(super) fn is_own_echo(&self, peer: PeerIndex, train: &Train<'_>) -> bool {
        let Summary { source, transport, .. } = *train.summary();
        matches!(transport, Transport::Echo { request: false, .. })
            && train.payload(0) == MARK
            && self.routes.gateway_of_peer(peer).is_some_and(|(_, gateway)| gateway.owns(source))
    }
}
