//! The Client's half of the control protocol: messages of the DNS resource NAT go out, its events take
//! effect.

use ::dns::{Family, IpStack, NameId};
use connection::{Event as ConnectionEvent, SealError};
use nat::control::{AssignedIps, GatewayId};
use nat::resource_nat::{EntryId, EntryKey, Event};
use packet::{Class, Instant, MAX_PACKET, Train};

use super::Client;
use super::routes::{GatewaySlot, ResourceSlot};
use crate::endpoint::{Io, has_room};
use crate::messages::{ClientEvent, NatEvent, PeerState, Target};
use crate::p2p::{self, EventType};
use crate::refuse::Refusal;

impl Client {
    /// Lets events of connections and of the NAT take effect, and sends what the NAT has to say.
    pub(super) fn announce_all(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(event) = self.connections.poll_event() {
            self.apply_connection_event(event, now, io);
        }
        self.apply_nat_events(now, io);
        while has_room(io)
            && let Some((gateway, message)) = self.nat.poll_transmit()
        {
            self.announce(gateway, &message, now, io);
        }
        while let Some(name) = self.stub.poll_recycled() {
            self.nat.remove_name(name);
            self.routes.forget_name(name);
            self.dns.forget(name);
        }
    }

    /// A Gateway that does not answer is forgotten: what waits for it asks for another authorisation
    /// (dataplane §5.10).
    fn apply_connection_event(&mut self, event: ConnectionEvent, now: Instant, io: &mut Io<'_>) {
        let (peer, state, reason) = match event {
            ConnectionEvent::Ready(peer) => (peer, PeerState::Connected, None),
            // Its flows do not notice, and the next status tells where it is.
            ConnectionEvent::Moved(_) => return,
            ConnectionEvent::Failed(peer, why) => (peer, PeerState::Unreachable, Some(why.into())),
        };
        let gateway = self.routes.gateway_of_peer(peer).map(|(_, gateway)| gateway.id());
        let Some(gateway) = gateway else { return };
        let address = self.connections.remote(peer);
        self.record(ClientEvent::Peer { gateway, state, address, reason });
        match state {
            PeerState::Connected => {
                self.nat.connection_made(gateway, true, now);
                self.connection_ready(peer, now, io);
                self.reopen_flows(gateway, now);
            }
            PeerState::Unreachable => self.remove_gateway(gateway, now, io),
        }
    }

    /// Sends one AssignedIps. Without a session it is lost, like on the way: its timer repeats it (R03),
    /// and a session that comes up asks for all of them (R42).
    fn announce(
        &mut self,
        gateway: GatewayId,
        message: &AssignedIps,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let slot = self.routes.gateway_slot(gateway);
        let Some(peer) = slot.and_then(|slot| self.routes.gateway(slot)).map(|g| g.peer) else {
            return;
        };
        let mut packet = [0; MAX_PACKET];
        let body = message.encode(&mut packet[p2p::BODY..]);
        let len = body.and_then(|body| p2p::finish(&mut packet, EventType::AssignedIps, body));
        let train = len.and_then(|len| Train::single(&mut packet[..len]).ok());
        let sent =
            train.map(|train| self.connections.seal(peer, &train, Class::Control, now, io.send));
        if let (Some(Ok(())), Some(slot)) = (sent, slot) {
            self.note_asked(slot, now);
        }
        if !matches!(sent, Some(Ok(()) | Err(SealError::NotReady))) {
            self.counters.control_ignored += 1;
        }
    }

    pub(super) fn apply_nat_events(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(event) = self.nat.poll_event() {
            self.apply_nat_event(event, now, io);
        }
    }

    fn apply_nat_event(&mut self, event: Event, now: Instant, io: &mut Io<'_>) {
        match event {
            Event::Release { entry, family } => self.release(entry, family, now, io),
            Event::GiveUp { entry, family, silent } => {
                let Some(key) = self.waiting.key_of_entry(entry, family) else { return };
                if silent {
                    self.discard(key);
                } else {
                    self.give_up(key, Refusal::SetUpRefused, now, io);
                }
            }
            Event::Established { key, .. } => self.record_nat(NatEvent::Established, key),
            Event::Refreshed { key, .. } => self.record_nat(NatEvent::Refreshed, key),
            Event::Stale { key } => self.record_nat(NatEvent::Stale, key),
            Event::Refused { key, .. } => self.record_nat(NatEvent::Refused, key),
            Event::AccessLost { key } => self.access_lost(key),
        }
    }

    /// A Gateway does not authorise a resource any more; one that serves it no longer has no say.
    fn access_lost(&mut self, key: EntryKey) {
        let Some(slot) = self.routes.slot(key.resource) else { return };
        let gateway = self.routes.gateway_slot(key.gateway);
        let serving = self.routes.get(slot).and_then(|entry| entry.gateway);
        if serving == gateway {
            self.routes.deauthorize(slot);
        }
        self.unbind_flows(slot, key.gateway);
    }

    fn release(&mut self, entry: EntryId, family: Family, now: Instant, io: &mut Io<'_>) {
        if let Some(key) = self.waiting.key_of_entry(entry, family) {
            self.advance(key, now, io);
        }
    }

    fn record_nat(&mut self, event: NatEvent, key: EntryKey) {
        let Some(name) = self.stub.names().get(key.name) else { return };
        let name = name.as_str().to_owned();
        let EntryKey { gateway, resource, .. } = key;
        self.record(ClientEvent::Nat { event, name, resource, gateway });
    }

    /// The key of the NAT's entry for a name.
    pub(super) fn entry_key(
        &self,
        resource: ResourceSlot,
        gateway: GatewaySlot,
        name: NameId,
    ) -> Option<EntryKey> {
        let resource = self.routes.get(resource)?.resource.id;
        let gateway = self.routes.gateway(gateway)?.id();
        Some(EntryKey { gateway, name, resource })
    }

    /// Which families a resource offers.
    pub(super) fn ip_stack(&self, resource: ResourceSlot) -> IpStack {
        match self.routes.get(resource).map(|entry| &entry.resource.target) {
            Some(Target::Dns { ip_stack, .. }) => *ip_stack,
            Some(Target::Cidr { .. } | Target::Internet) | None => IpStack::Dual,
        }
    }
}
