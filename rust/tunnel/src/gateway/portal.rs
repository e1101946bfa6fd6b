//! Access that a portal gives: until a time of the wall clock, with a connection that lives as long as
//! there is any.

use std::collections::BTreeMap;
use std::time::Duration;

use connection::PeerIndex;
use dns::ResourceId;
use nat::control::ClientId;
use packet::{Class, Instant, Train};

use super::Gateway;
use super::clients::ClientSlot;
use crate::endpoint::Io;
use crate::messages::{AccessUntil, ClientPeer, GatewayEvent, Resource};
use crate::p2p::{self, EventType};

impl Gateway {
    /// Gives a Client access, connects it if it is not connected so already, and says so.
    pub(super) fn create_authorization(
        &mut self,
        reference: String,
        client: &ClientPeer,
        resource: Resource,
        until: Option<u64>,
        now: Instant,
    ) {
        if !self.add_client(client, now) {
            return;
        }
        self.authorize(client.id, resource, until.map(|until| self.instant_of(until)), until);
        // Before any candidate: those are polled when no request waits.
        self.requests.push_back(GatewayEvent::AuthorizationCreated { reference });
    }

    /// Takes all access away that is not listed, and notes the expiry of what is.
    pub(super) fn set_authorizations(
        &mut self,
        listed: &[AccessUntil],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        // What comes later in the list counts.
        let listed: BTreeMap<_, _> =
            listed.iter().map(|of| ((of.client, of.resource), of.expires_at)).collect();
        let held: Vec<(ClientSlot, ClientId, Vec<ResourceId>)> = self
            .clients
            .iter()
            .map(|(slot, entry)| (slot, entry.id, entry.grants.resources().collect()))
            .collect();
        for (slot, client, resources) in held {
            for resource in resources {
                match listed.get(&(client, resource)) {
                    Some(until) => self.set_expiry(slot, resource, *until),
                    None => self.revoke(client, resource),
                }
            }
            self.end_unused(client, now, io);
        }
    }

    /// Replaces filters and name of a resource, for whoever has it; access stays as it is.
    pub(super) fn update_resource(&mut self, resource: &Resource) {
        let holders: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, entry)| entry.grants.holds(resource.id))
            .map(|(_, entry)| entry.id)
            .collect();
        for client in holders {
            let slot = self.clients.slot(client);
            let entry = slot.and_then(|slot| self.clients.get(slot));
            let Some((known, expiry)) = entry.and_then(|entry| entry.grants.get(resource.id))
            else {
                continue;
            };
            let changed = Resource {
                name: resource.name.clone(),
                filters: resource.filters.clone(),
                ..known.clone()
            };
            self.authorize(client, changed, expiry.at, expiry.until);
        }
    }

    /// A Client that a portal introduced and that has no access left is told, and forgotten.
    pub(super) fn end_unused(&mut self, client: ClientId, now: Instant, io: &mut Io<'_>) {
        let slot = self.clients.slot(client);
        let Some(entry) = slot.and_then(|slot| self.clients.get(slot)) else { return };
        if !entry.endpoint.is_of_portal() || entry.grants.resources().next().is_some() {
            return;
        }
        let mut packet = [0; p2p::BODY];
        let len = p2p::finish(&mut packet, EventType::Goodbye, 0);
        if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
            // Whoever does not hear it finds its packets unanswered.
            let _ = self.connections.seal(entry.peer, &train, Class::Control, now, io.send);
        }
        self.remove_client(client, now);
    }

    pub(super) fn add_candidates(&mut self, client: ClientId, lines: &[String], now: Instant) {
        if let Some(peer) = self.peer_of(client) {
            self.connections.add_remote_candidates(peer, lines, now);
        }
    }

    pub(super) fn remove_candidates(&mut self, client: ClientId, lines: &[String], now: Instant) {
        if let Some(peer) = self.peer_of(client) {
            self.connections.remove_remote_candidates(peer, lines, now);
        }
    }

    fn peer_of(&self, client: ClientId) -> Option<PeerIndex> {
        let slot = self.clients.slot(client)?;
        self.clients.get(slot).map(|entry| entry.peer)
    }

    /// What a Client is to be told of the addresses of this host.
    pub(super) fn poll_candidates(&mut self) -> Option<GatewayEvent> {
        loop {
            let (peer, candidates) = self.connections.poll_local_candidates()?;
            let slot = self.clients.of_peer(peer);
            if let Some(entry) = slot.and_then(|slot| self.clients.get(slot)) {
                let (client, candidates) = (entry.id, candidates.into());
                return Some(GatewayEvent::LocalCandidates { client, candidates });
            }
        }
    }

    /// The wall clock was set: every expiry is where it is by that.
    pub(super) fn follow_wall(&mut self, wall: Duration, now: Instant) {
        self.wall_ahead = wall.saturating_sub(now.saturating_duration_since(Instant::ZERO));
        let held: Vec<_> = self
            .clients
            .iter()
            .flat_map(|(slot, entry)| {
                let until = |id| entry.grants.get(id).and_then(|(_, expiry)| expiry.until);
                entry.grants.resources().filter_map(move |id| Some((slot, id, until(id)?)))
            })
            .collect();
        for (slot, resource, until) in held {
            self.set_expiry(slot, resource, until);
        }
    }

    fn set_expiry(&mut self, slot: ClientSlot, resource: ResourceId, until: u64) {
        let at = self.instant_of(until);
        let Some(entry) = self.clients.get_mut(slot) else { return };
        let Some(former) = entry.grants.set_expiry(resource, at, until) else { return };
        if let Some(former) = former {
            self.clients.expiries.remove(&(former, slot, resource));
        }
        self.clients.expiries.insert((at, slot, resource));
    }

    /// When it is `unix` seconds of Unix time; what is past has been at the beginning.
    fn instant_of(&self, unix: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(unix).saturating_sub(self.wall_ahead)
    }
}
