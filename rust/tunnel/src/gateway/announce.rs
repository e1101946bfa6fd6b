//! The Gateway's half of the control protocol: announcements come in, look-ups and statuses go out.

use nat::control::{AssignedIps, ClientId, DomainStatus};
use nat::translations::Event;
use packet::{Class, Instant, MAX_PACKET, Train};

use super::Gateway;
use super::clients::{AccessView, ClientSlot};
use crate::endpoint::{Io, has_room};
use crate::messages::{GatewayEvent, LookupFamily, NatEvent};
use crate::p2p::{self, EventType};

impl Gateway {
    /// A message of a Client.
    pub(super) fn receive_control(&mut self, client: ClientSlot, packet: &[u8], now: Instant) {
        self.counters.control_received += 1;
        let Some(id) = self.clients.get(client).map(|entry| entry.id) else { return };
        match p2p::parse(packet) {
            Some((EventType::AssignedIps, body)) => match AssignedIps::decode(body) {
                Ok(message) => {
                    if let Some(entry) = self.clients.get_mut(client) {
                        entry.control.note(&message, now);
                    }
                    self.receive_announcement(id, &message, now);
                }
                Err(_) => self.counters.control_ignored += 1,
            },
            Some((EventType::Goodbye, _)) => self.remove_client(id, now),
            Some((EventType::DomainStatus, _)) | None => self.counters.control_ignored += 1,
        }
    }

    fn receive_announcement(&mut self, client: ClientId, message: &AssignedIps, now: Instant) {
        let access = AccessView { clients: &self.clients, flows: &self.flows };
        self.translations.handle_assigned_ips(client, message, &access, now);
    }

    /// Lets events of the translations take effect and sends what they have to say.
    pub(super) fn announce_all(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(event) = self.translations.poll_event() {
            self.apply_translation_event(event, now, io);
        }
        while has_room(io)
            && let Some((client, status)) = self.translations.poll_transmit()
        {
            let Some(client) = self.clients.slot(client) else { continue };
            self.announce(client, &status, now, io);
            if let Some(entry) = self.clients.get(client) {
                self.repeats.sent(client, &entry.control, &status, now);
            }
        }
        while has_room(io)
            && let Some((client, status)) = self.repeats.take_due(now)
        {
            self.announce(client, &status, now, io);
        }
    }

    /// Sends one DomainStatus; like on the way, it may be lost, and the Client asks again (R03).
    fn announce(
        &mut self,
        client: ClientSlot,
        status: &DomainStatus,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let mut packet = [0; MAX_PACKET];
        let body = status.encode(&mut packet[p2p::BODY..]);
        let len = body.and_then(|body| p2p::finish(&mut packet, EventType::DomainStatus, body));
        let train = len.and_then(|len| Train::single(&mut packet[..len]).ok());
        let peer = self.clients.get(client).map(|entry| entry.peer);
        if let Some((train, peer)) = train.zip(peer) {
            let _ = self.connections.seal(peer, &train, Class::Control, now, io.send);
        }
    }

    fn apply_translation_event(&mut self, event: Event, now: Instant, io: &mut Io<'_>) {
        match event {
            Event::Resolve { id, name, family } => {
                let name = name.as_str().to_owned();
                let (lookup, family) = (id.0, LookupFamily::from(family));
                self.requests.push_back(GatewayEvent::ResolveDomain { lookup, name, family });
            }
            Event::Settled { name, family } => self.release_settled(name, family, now, io),
            Event::Refreshed { name, family, addresses, added, removed } => {
                if let Some(name) = self.translations.name(name) {
                    let name = name.as_str().to_owned();
                    self.record(GatewayEvent::Nat {
                        event: NatEvent::Refreshed,
                        name,
                        family: family.into(),
                        addresses,
                        added,
                        removed,
                    });
                }
            }
            Event::Stale { name, family, error: _ } => {
                if let Some(name) = self.translations.name(name) {
                    let (name, family) = (name.as_str().to_owned(), family.into());
                    self.record(GatewayEvent::Nat {
                        event: NatEvent::Stale,
                        name,
                        family,
                        addresses: 0,
                        added: 0,
                        removed: 0,
                    });
                }
            }
            Event::EndProxy { client, proxy } => {
                if let Some(slot) = self.clients.slot(client) {
                    self.flows.end_proxy(slot.flow_peer(), proxy, now);
                }
            }
        }
    }
}
