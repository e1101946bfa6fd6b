//! The Clients of a Gateway: addresses, grants, and the connection each came by.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use connection::PeerIndex;
use dns::{Pattern, ResourceId};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use nat::control::ClientId;
use nat::flow_table::{FlowTable, PeerIndex as FlowPeer};
use nat::translations::{Access, Denied};
use packet::Instant;
use slab::Slab;

use super::repeats::ControlWay;
use crate::access::{Expiries, Grants};
use crate::messages::{ClientPeer, Endpoint};
use crate::tags::Tags;

/// Place of a Client; also its number in the flow table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClientSlot(pub(super) u32);

impl ClientSlot {
    pub(super) fn flow_peer(self) -> FlowPeer {
        FlowPeer(self.0)
    }
}

pub(super) struct ClientEntry {
    pub(super) id: ClientId,
    pub(super) ipv4: Ipv4Addr,
    pub(super) ipv6: Ipv6Addr,
    pub(super) peer: PeerIndex,
    /// As orchestration told of it.
    pub(super) endpoint: Endpoint,
    pub(super) grants: Grants,
    pub(super) control: ControlWay,
    /// Whether a source that is not its own was told of.
    pub(super) is_foreign_told: bool,
}

impl ClientEntry {
    pub(super) fn owns(&self, address: IpAddr) -> bool {
        address == self.ipv4 || address == self.ipv6
    }
}

/// The table of Clients.
#[derive(Default)]
pub(super) struct Clients {
    entries: Slab<ClientEntry>,
    by_id: BTreeMap<ClientId, ClientSlot>,
    by_address: HashMap<IpAddr, ClientSlot, FixedState>,
    by_peer: HashMap<u32, ClientSlot, FixedState>,
    pub(super) expiries: Expiries<ClientSlot>,
    pub(super) tags: Tags,
}

impl Clients {
    pub(super) fn get(&self, slot: ClientSlot) -> Option<&ClientEntry> {
        self.entries.get(slot.0 as usize)
    }

    pub(super) fn get_mut(&mut self, slot: ClientSlot) -> Option<&mut ClientEntry> {
        self.entries.get_mut(slot.0 as usize)
    }

    /// Clients from a place on, with their places.
    pub(super) fn iter_from(&self, place: usize) -> impl Iterator<Item = (usize, &ClientEntry)> {
        self.entries.iter().skip_while(move |(at, _)| *at < place)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientSlot, &ClientEntry)> {
        self.entries.iter().map(|(slot, entry)| (ClientSlot(slot as u32), entry))
    }

    pub(super) fn slot(&self, id: ClientId) -> Option<ClientSlot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn of_peer(&self, peer: PeerIndex) -> Option<ClientSlot> {
        self.by_peer.get(&peer.0).copied()
    }

    pub(super) fn of_address(&self, address: IpAddr) -> Option<ClientSlot> {
        self.by_address.get(&address).copied()
    }

    /// Adds a Client, or gives a known one another connection; then returns the former one's.
    pub(super) fn insert(&mut self, client: &ClientPeer, peer: PeerIndex) -> Option<PeerIndex> {
        let ClientPeer { id, ipv4, ipv6, ref endpoint } = *client;
        let former = self.slot(id);
        let slot = former.unwrap_or_else(|| {
            let (grants, control) = (Grants::default(), ControlWay::default());
            let endpoint = endpoint.clone();
            let is_foreign_told = false;
            let entry =
                ClientEntry { id, ipv4, ipv6, peer, endpoint, grants, control, is_foreign_told };
            ClientSlot(self.entries.insert(entry) as u32)
        });
        self.by_id.insert(id, slot);
        let entry = self.entries.get_mut(slot.0 as usize)?;
        let former_addresses = [IpAddr::V4(entry.ipv4), IpAddr::V6(entry.ipv6)];
        let former_peer = entry.peer;
        (entry.ipv4, entry.ipv6, entry.peer) = (ipv4, ipv6, peer);
        entry.endpoint.clone_from(endpoint);
        entry.is_foreign_told = false;
        self.forget(slot, former_addresses, former_peer);
        self.by_address.insert(ipv4.into(), slot);
        self.by_address.insert(ipv6.into(), slot);
        self.by_peer.insert(peer.0, slot);
        former.map(|_| former_peer)
    }

    pub(super) fn remove(&mut self, id: ClientId) -> Option<(ClientSlot, ClientEntry)> {
        let slot = self.by_id.remove(&id)?;
        let entry = self.entries.try_remove(slot.0 as usize)?;
        self.forget(slot, [entry.ipv4.into(), entry.ipv6.into()], entry.peer);
        self.expiries.retain(|(_, owner, _)| *owner != slot);
        for resource in entry.grants.resources() {
            self.tags.release(resource);
        }
        Some((slot, entry))
    }

    /// Takes a Client out of the indexes, where an address or a connection is not another's by now.
    fn forget(&mut self, slot: ClientSlot, addresses: [IpAddr; 2], peer: PeerIndex) {
        for address in addresses {
            if self.by_address.get(&address) == Some(&slot) {
                self.by_address.remove(&address);
            }
        }
        if self.by_peer.get(&peer.0) == Some(&slot) {
            self.by_peer.remove(&peer.0);
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _, _)| *at)
    }
}

/// What the translations ask about Clients.
pub(super) struct AccessView<'a> {
    pub(super) clients: &'a Clients,
    pub(super) flows: &'a FlowTable,
}

impl Access for AccessView<'_> {
    fn dns_resource(&self, client: ClientId, resource: ResourceId) -> Result<&Pattern, Denied> {
        let slot = self.clients.slot(client).ok_or(Denied::NotAuthorised)?;
        let entry = self.clients.get(slot).ok_or(Denied::NotAuthorised)?;
        entry.grants.dns_resource(resource)
    }

    fn has_live_flow(&self, client: ClientId, proxy: IpAddr) -> bool {
        let slot = self.clients.slot(client);
        slot.is_some_and(|slot| self.flows.has_flow_to(slot.flow_peer(), proxy))
    }
}
