//! What orchestration tells the Client.

use ::dns::{Name, Pattern, Proxies, ResourceId};
use connection::{PeerIndex, Role};
use nat::control::GatewayId;
use packet::{Class, Instant, Train};

use super::Client;
use super::liveness::Liveness;
use super::routes::{GatewayEntry, GatewaySlot, ResourceSlot};
use crate::endpoint::Io;
use crate::messages::{
    AuthorizationFailure, ClientCommand, ClientEvent, Endpoint as PeerEndpoint, GatewayPeer,
    ProxyRecord, Resource, Target,
};
use crate::p2p::{self, EventType};
use crate::peering;
use crate::refuse::Refusal;

impl Client {
    pub(super) fn apply(&mut self, command: ClientCommand, now: Instant, io: &mut Io<'_>) {
        match command {
            ClientCommand::SetDnsServers { servers } => {
                self.dns.set_servers(&servers);
                let sentinels = self.dns.addresses();
                self.record(ClientEvent::SentinelsChanged { sentinels });
            }
            ClientCommand::SetResource { resource } => self.set_resource(resource, now, io),
            ClientCommand::RemoveResource { resource } => self.remove_resource(resource, now, io),
            ClientCommand::Authorize { resource, gateway } => {
                self.authorize(resource, &gateway, now, io);
            }
            ClientCommand::AuthorizationFailed { resource, reason } => {
                self.authorization_failed(resource, reason, now, io);
            }
            ClientCommand::RemoveGateway { gateway } => {
                self.lose_flows(gateway, now);
                self.remove_gateway(gateway, now, io);
            }
            ClientCommand::AddRemoteCandidates { gateway, candidates } => {
                if let Some(peer) = self.peer_of(gateway) {
                    self.connections.add_remote_candidates(peer, &candidates, now);
                }
            }
            ClientCommand::RemoveRemoteCandidates { gateway, candidates } => {
                if let Some(peer) = self.peer_of(gateway) {
                    self.connections.remove_remote_candidates(peer, &candidates, now);
                }
            }
            ClientCommand::RestoreProxies { names } => self.restore(&names, now),
            ClientCommand::NetworkChanged => self.connections.speak_to_all(now),
            ClientCommand::Inspect { id, what, cursor } => self.inspect(id, what, cursor, now),
        }
    }

    /// A changed target or filter acts as remove and add; a changed name in place.
    fn set_resource(&mut self, resource: Resource, now: Instant, io: &mut Io<'_>) {
        if self.routes.rename(&resource) {
            return;
        }
        self.remove_resource(resource.id, now, io);
        if let Target::Dns { address, ip_stack } = &resource.target {
            // Orchestration checks patterns before it passes them on; a wrong one covers nothing.
            if let Ok(pattern) = Pattern::parse(address) {
                self.stub.resources_mut().insert(resource.id, pattern, *ip_stack);
            }
        }
        self.routes.insert(resource);
    }

    fn remove_resource(&mut self, id: ResourceId, now: Instant, io: &mut Io<'_>) {
        self.stub.resources_mut().remove(id);
        if let Some(slot) = self.routes.slot(id) {
            for key in self.waiting.keys_of(slot) {
                self.give_up(key, Refusal::SetUpRefused, now, io);
            }
            self.routes.remove(id);
            self.end_flows_of(slot, now);
        }
        self.site_refused(id, now, io);
        self.nat.remove_resource(id);
        self.close_unused(now, io);
    }

    fn peer_of(&self, gateway: GatewayId) -> Option<PeerIndex> {
        let slot = self.routes.gateway_slot(gateway)?;
        self.routes.gateway(slot).map(|entry| entry.peer)
    }

    /// Says goodbye to Gateways that a portal introduced and that serve nothing any more.
    fn close_unused(&mut self, now: Instant, io: &mut Io<'_>) {
        for (id, peer) in self.routes.unused_of_portal() {
            let mut packet = [0; p2p::BODY];
            let len = p2p::finish(&mut packet, EventType::Goodbye, 0);
            if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
                // Whoever does not hear it finds the path gone later.
                let _ = self.connections.seal(peer, &train, Class::Control, now, io.send);
            }
            self.remove_gateway(id, now, io);
        }
    }

    /// A Gateway serves a resource from now on: what waited for that goes on.
    fn authorize(
        &mut self,
        resource: ResourceId,
        peer: &GatewayPeer,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(slot) = self.routes.slot(resource) else { return };
        let Some(gateway) = self.meet_gateway(peer, now, io) else { return };
        if let Some(entry) = self.routes.gateway_mut(gateway) {
            entry.liveness.trust(now);
            let check = entry.liveness.check_at();
            self.routes.check_by(check);
        }
        self.routes.authorize(slot, gateway);
        self.move_flows(slot, peer.id, now);
        self.site_authorized(resource, now, io);
        for key in self.waiting.keys_of(slot) {
            self.advance(key, now, io);
        }
    }

    /// The place of a Gateway: a new one is connected, one that is reached otherwise by now anew.
    fn meet_gateway(
        &mut self,
        peer: &GatewayPeer,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Option<GatewaySlot> {
        let known = self.routes.gateway_slot(peer.id);
        let entry = known.and_then(|slot| self.routes.gateway(slot));
        if entry.is_some_and(|entry| entry.known == *peer) && !peer.endpoint.is_of_portal() {
            return known;
        }
        let stays = entry.is_some_and(|entry| {
            entry.known.endpoint.is_same_peer(&peer.endpoint)
                && !self.connections.has_failed(entry.peer)
        });
        // What is known of a connection that stays is known.
        let liveness = entry.filter(|entry| stays && entry.known.endpoint.is_of_portal());
        let liveness = liveness.map_or_else(Liveness::default, |entry| entry.liveness);
        let former = entry.map(|entry| (entry.peer, &entry.known.endpoint));
        let former_index = former.map(|(index, _)| index);
        let (connections, role) = (&mut self.connections, Role::Controlling);
        let index = match peering::connect(connections, former, &peer.endpoint, role, now) {
            Ok(index) => index,
            Err(why) => {
                self.remove_gateway(peer.id, now, io);
                let (gateway, reason) = (peer.id, why.to_string());
                self.record(ClientEvent::PeerRefused { gateway, reason });
                return None;
            }
        };
        let known = peer.clone();
        let slot = self.routes.set_gateway(GatewayEntry { known, peer: index, liveness });
        if let Some(former) = former_index.filter(|_| !stays) {
            self.reconnected(peer, former, now, io);
        }
        Some(slot)
    }

    /// A Gateway is reached by another connection: what waited for the former one goes on.
    fn reconnected(
        &mut self,
        peer: &GatewayPeer,
        former: PeerIndex,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        // The laboratory's endpoints have no keys: another description is the same Gateway.
        let keyless = matches!(peer.endpoint, PeerEndpoint::Plain { .. });
        self.nat.connection_made(peer.id, keyless, now);
        self.connection_ready(former, now, io);
    }

    fn authorization_failed(
        &mut self,
        resource: ResourceId,
        reason: AuthorizationFailure,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(slot) = self.routes.slot(resource) else { return };
        let refusal = match reason {
            AuthorizationFailure::Offline => Refusal::SetUpRefused,
            AuthorizationFailure::Forbidden | AuthorizationFailure::NotFound => Refusal::Prohibited,
        };
        self.routes.refused(slot, now);
        self.site_refused(resource, now, io);
        for key in self.waiting.keys_of(slot) {
            self.give_up(key, refusal, now, io);
        }
    }

    /// Forgets a Gateway: its entries end, its resources need a new authorisation, and what waited for
    /// any stage with it waits for that.
    pub(super) fn remove_gateway(&mut self, id: GatewayId, now: Instant, io: &mut Io<'_>) {
        let Some(slot) = self.routes.gateway_slot(id) else { return };
        let waiting = self.waiting.keys_where(|resource| self.serves(slot, resource));
        for key in &waiting {
            self.waiting.await_authorization(*key);
        }
        self.nat.remove_gateway(id);
        if let Some(gateway) = self.routes.remove_gateway(id) {
            self.connections.remove(gateway.peer);
            self.site_lost(gateway.known.ipv4.into(), now, io);
        }
        for key in waiting {
            self.advance(key, now, io);
        }
    }

    /// Whether a Gateway serves a resource.
    pub(super) fn serves(&self, gateway: GatewaySlot, resource: ResourceSlot) -> bool {
        self.routes.get(resource).is_some_and(|entry| entry.gateway == Some(gateway))
    }

    fn restore(&mut self, names: &[ProxyRecord], now: Instant) {
        for ProxyRecord { name, ipv4, ipv6 } in names {
            let Ok(name) = Name::parse(name) else { continue };
            let proxies = Proxies { ipv4: *ipv4, ipv6: *ipv6 };
            if let Ok(id) = self.stub.restore(&name, &proxies, now) {
                self.dns.remember(id);
            }
        }
    }
}
