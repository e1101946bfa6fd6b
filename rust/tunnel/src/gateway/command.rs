//! What orchestration tells the Gateway.

use std::net::IpAddr;
use std::time::Duration;

use connection::Role;
use dns::ResourceId;
use nat::control::ClientId;
use nat::translations::{LookupError, LookupId};
use packet::Instant;

use super::Gateway;
use crate::access::Expiry;
use crate::endpoint::Io;
use crate::messages::{
    ClientPeer, GatewayCommand, GatewayEvent, LookupResult, PeerState, Resource,
};
use crate::peering;

impl Gateway {
    pub(super) fn apply(&mut self, command: GatewayCommand, now: Instant, io: &mut Io<'_>) {
        match command {
            GatewayCommand::SetDnsServers { servers } => self.dns.set_servers(&servers, now),
            GatewayCommand::AddClient { client } => {
                self.add_client(&client, now);
            }
            GatewayCommand::RemoveClient { client } => self.remove_client(client, now),
            GatewayCommand::Authorize { client, resource, expires_in } => {
                let expires = expires_in.map(|seconds| now + wait(seconds));
                self.authorize(client, resource, expires, None);
            }
            GatewayCommand::CreateAuthorization { reference, client, resource, expires_at } => {
                self.create_authorization(reference, &client, resource, expires_at, now);
            }
            GatewayCommand::SetAuthorizations { authorizations } => {
                self.set_authorizations(&authorizations, now, io);
            }
            GatewayCommand::UpdateResource { resource } => self.update_resource(&resource),
            GatewayCommand::AddRemoteCandidates { client, candidates } => {
                self.add_candidates(client, &candidates, now);
            }
            GatewayCommand::RemoveRemoteCandidates { client, candidates } => {
                self.remove_candidates(client, &candidates, now);
            }
            // The host's addresses came before it; nothing else depends on the network.
            GatewayCommand::NetworkChanged => {}
            GatewayCommand::Revoke { client, resource } => {
                self.revoke(client, resource);
                self.end_unused(client, now, io);
            }
            GatewayCommand::DomainResolved { lookup, family, result } => {
                let result = looked_up(result);
                self.translations.handle_resolved(LookupId(lookup), family.into(), result, now);
            }
            GatewayCommand::Inspect { id, what, cursor } => self.inspect(id, what, cursor, now),
        }
        self.announce_all(now, io);
    }

    /// A known Client keeps its flows and translations when it comes by another connection. Returns
    /// whether it is one of the peers.
    pub(super) fn add_client(&mut self, client: &ClientPeer, now: Instant) -> bool {
        let id = client.id;
        let known = self.clients.slot(id).and_then(|slot| self.clients.get(slot));
        let former = known.map(|entry| (entry.peer, &entry.endpoint));
        match peering::connect(
            &mut self.connections,
            former,
            &client.endpoint,
            Role::Controlled,
            now,
        ) {
            Ok(peer) => {
                self.clients.insert(client, peer);
                true
            }
            Err(why) => {
                // What is left of this Client must not use a peer that is gone.
                self.remove_client(id, now);
                self.record(GatewayEvent::PeerRefused { client: id, reason: why.to_string() });
                false
            }
        }
    }

    /// Tells orchestration which Clients can be spoken to. Packets for one that cannot are not held.
    pub(super) fn report_peers(&mut self, _now: Instant) {
        while let Some(event) = self.connections.poll_event() {
            let (peer, state, reason) = match event {
                connection::Event::Ready(peer) | connection::Event::Moved(peer) => {
                    (peer, PeerState::Connected, None)
                }
                connection::Event::Failed(peer, why) => {
                    (peer, PeerState::Unreachable, Some(why.into()))
                }
            };
            let slot = self.clients.of_peer(peer);
            let Some(entry) = slot.and_then(|slot| self.clients.get_mut(slot)) else { continue };
            entry.is_foreign_told = false;
            let client = entry.id;
            let address = self.connections.remote(peer);
            self.record(GatewayEvent::Peer { client, state, address, reason });
        }
    }

    pub(super) fn remove_client(&mut self, id: ClientId, now: Instant) {
        if let Some(slot) = self.clients.slot(id) {
            self.flows.end_peer(slot.flow_peer());
            // Its records name the Client, so they are written while there is one.
            self.record_flows(now);
            self.forget_waiting(slot);
            self.repeats.forget(slot);
        }
        self.translations.remove_client(id);
        if let Some((_, entry)) = self.clients.remove(id) {
            self.connections.remove(entry.peer);
        }
    }

    /// Gives access until an instant, which `until` tells in Unix time if a portal set it.
    pub(super) fn authorize(
        &mut self,
        client: ClientId,
        resource: Resource,
        expires: Option<Instant>,
        until: Option<u64>,
    ) {
        let Some(slot) = self.clients.slot(client) else { return };
        let id = resource.id;
        let known = self.clients.get(slot).is_some_and(|entry| entry.grants.holds(id));
        let tag = self.clients.tags.of(id).filter(|_| known);
        let tag = tag.unwrap_or_else(|| self.clients.tags.hold(id));
        let Some(entry) = self.clients.get_mut(slot) else { return };
        let former = entry.grants.insert(resource, Expiry { at: expires, until }, tag);
        if let Some(at) = former {
            self.clients.expiries.remove(&(at, slot, id));
        }
        if let Some(at) = expires {
            self.clients.expiries.insert((at, slot, id));
        }
    }

    /// Takes access away. Flows that nothing else permits end with their next packet, which does not
    /// pass (R26). Translations stay: they permit nothing, and count again if access is given anew.
    pub(super) fn revoke(&mut self, client: ClientId, resource: ResourceId) {
        let Some(slot) = self.clients.slot(client) else { return };
        let Some(entry) = self.clients.get_mut(slot) else { return };
        let Some(expires) = entry.grants.remove(resource) else { return };
        self.clients.tags.release(resource);
        if let Some(at) = expires {
            self.clients.expiries.remove(&(at, slot, resource));
        }
    }

    /// Takes away what has expired.
    pub(super) fn expire_grants(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some(&(at, slot, resource)) = self.clients.expiries.first() {
            if at > now {
                return;
            }
            self.clients.expiries.pop_first();
            let Some(client) = self.clients.get(slot).map(|entry| entry.id) else { continue };
            self.revoke(client, resource);
            self.record(GatewayEvent::AccessExpired { client, resource });
            self.end_unused(client, now, io);
        }
    }
}

/// A time that cannot be told apart from "never" is never.
fn wait(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

fn looked_up(result: LookupResult) -> Result<Vec<(IpAddr, u32)>, LookupError> {
    match result {
        LookupResult::Addresses(addresses) => Ok(addresses),
        LookupResult::NxDomain => Err(LookupError::NxDomain),
        LookupResult::NoData => Err(LookupError::NoData),
        LookupResult::ServFail => Err(LookupError::ServFail),
        LookupResult::Refused => Err(LookupError::Refused),
        LookupResult::TimedOut => Err(LookupError::TimedOut),
        LookupResult::Other => Err(LookupError::Other),
    }
}
