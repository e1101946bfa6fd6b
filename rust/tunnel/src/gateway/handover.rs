//! NAT state that crosses to another process of this Gateway (R38).

use std::time::Duration;

use dns::ResourceId;
use nat::control::ClientId;
use nat::flow_table::PeerIndex;
use nat::state::{self, Imported, Owner, StateError};
use packet::Instant;

use super::Gateway;
use super::clients::{ClientSlot, Clients};

/// No grants are ever in it: the access of each flow is checked at its first packet (R26).
const UNCHECKED: u32 = u32::MAX;

impl Owner for Clients {
    fn peer(&self, client: ClientId) -> Option<PeerIndex> {
        self.slot(client).map(ClientSlot::flow_peer)
    }

    fn tag(&self, resource: ResourceId) -> Option<u32> {
        self.tags.of(resource)
    }

    fn client(&self, peer: PeerIndex) -> Option<ClientId> {
        self.get(ClientSlot(peer.0)).map(|entry| entry.id)
    }

    fn resource(&self, tag: u32) -> Option<ResourceId> {
        self.tags.resource(tag)
    }
}

impl Gateway {
    pub(super) fn export(&self, now: Instant) -> Vec<u8> {
        state::export(&self.translations, &self.flows, &self.clients, now)
    }

    pub(super) fn import(
        &mut self,
        bytes: &[u8],
        since: Duration,
        now: Instant,
    ) -> Result<Imported, StateError> {
        let tables = (&mut self.translations, &mut self.flows);
        state::import(bytes, since, tables, &self.clients, UNCHECKED, now)
    }
}
