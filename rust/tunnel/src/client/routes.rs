//! What leads where: resources, the Gateways that serve them, and requests for those that none serves.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ::dns::{Match, NameId, Prefix, ResourceId, Stub};
use connection::PeerIndex;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use nat::control::GatewayId;
use packet::{Instant, Transport};
use slab::Slab;
use smallvec::{SmallVec, smallvec};

use super::liveness::Liveness;
use crate::filter::FilterSet;
use crate::messages::{GatewayPeer, Resource, Target};
use crate::networks::Networks;
use crate::refuse::Refusal;
use crate::verdicts::Verdicts;

/// A request for authorisation is repeated after this (R42), doubling …
const FIRST_REPEAT: Duration = Duration::from_secs(2);
/// … up to this.
const LAST_REPEAT: Duration = Duration::from_secs(60);

/// A name is mostly of one resource; up to so many are asked one by one.
const FEW: usize = 4;

/// Place of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ResourceSlot(pub(super) u32);

/// Place of a Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct GatewaySlot(pub(super) u32);

/// Where a packet is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) resource: ResourceSlot,
    /// The name behind the proxy address; none for a network.
    pub(super) name: Option<NameId>,
}

pub(super) struct ResourceEntry {
    pub(super) resource: Resource,
    filters: FilterSet,
    /// Among the resources of a network: that of an earlier one is lower.
    order: u64,
    pub(super) gateway: Option<GatewaySlot>,
    request: Option<Request>,
}

impl ResourceEntry {
    /// Whether the filters let a packet pass.
    pub(super) fn permits(&self, transport: &Transport) -> bool {
        self.filters.permits_transport(transport)
    }

    /// Whether an authorisation was asked for.
    pub(super) fn is_requested(&self) -> bool {
        self.request.is_some()
    }
}

/// An authorisation that was asked for.
struct Request {
    repeat_at: Instant,
    pause: Duration,
}

pub(super) struct GatewayEntry {
    /// As orchestration told of it.
    pub(super) known: GatewayPeer,
    pub(super) peer: PeerIndex,
    pub(super) liveness: Liveness,
}

impl GatewayEntry {
    pub(super) fn id(&self) -> GatewayId {
        self.known.id
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        address == self.known.ipv4 || address == self.known.ipv6
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.known.ipv4.into(), self.known.ipv6.into()]
    }
}

/// Resources that cover a name, most specific first; computed once and again after a change.
#[derive(Default)]
struct NameRoutes {
    version: u64,
    resources: SmallVec<[ResourceSlot; 2]>,
    /// The rules of more than [`FEW`]. Names of one wildcard do not share theirs, as they do not share
    /// `resources`: both are small, and of names that were asked for.
    verdicts: OnceCell<Verdicts>,
}

/// The tables.
#[derive(Default)]
pub(super) struct Routes {
    resources: Slab<ResourceEntry>,
    by_id: BTreeMap<ResourceId, ResourceSlot>,
    gateways: Slab<GatewayEntry>,
    gateway_by_id: BTreeMap<GatewayId, GatewaySlot>,
    gateway_by_peer: HashMap<u32, GatewaySlot, FixedState>,
    gateway_by_address: BTreeMap<IpAddr, GatewaySlot>,
    names: Vec<NameRoutes>,
    networks: Networks,
    version: u64,
    /// The earliest check of a Gateway; never later than it really is.
    next_check: Option<Instant>,
    requests: VecDeque<ResourceSlot>,
    waiting_requests: BTreeSet<(Instant, ResourceSlot)>,
    matches: Vec<Match>,
}

impl Routes {
    /// Adds a resource, which must not be there.
    pub(super) fn insert(&mut self, resource: Resource) -> ResourceSlot {
        self.version += 1;
        let (id, target) = (resource.id, resource.target.clone());
        let (filters, order) = (FilterSet::new(&resource.filters), self.version);
        let entry = ResourceEntry {
            resource,
            filters: filters.clone(),
            order,
            gateway: None,
            request: None,
        };
        let slot = ResourceSlot(self.resources.insert(entry) as u32);
        self.by_id.insert(id, slot);
        for network in networks(&target) {
            self.networks.insert(network, order.into(), slot.0, filters.clone());
        }
        slot
    }

    /// Takes a resource out.
    pub(super) fn remove(&mut self, id: ResourceId) -> Option<(ResourceSlot, ResourceEntry)> {
        let slot = self.by_id.remove(&id)?;
        let entry = self.resources.try_remove(slot.0 as usize)?;
        self.version += 1;
        if let Some(request) = &entry.request {
            self.waiting_requests.remove(&(request.repeat_at, slot));
        }
        self.requests.retain(|wanted| *wanted != slot);
        for network in networks(&entry.resource.target) {
            self.networks.remove(network, entry.order.into());
        }
        Some((slot, entry))
    }

    pub(super) fn slot(&self, id: ResourceId) -> Option<ResourceSlot> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, slot: ResourceSlot) -> Option<&ResourceEntry> {
        self.resources.get(slot.0 as usize)
    }

    pub(super) fn gateway(&self, slot: GatewaySlot) -> Option<&GatewayEntry> {
        self.gateways.get(slot.0 as usize)
    }

    /// All Gateways.
    pub(super) fn gateways(&self) -> impl Iterator<Item = &GatewayEntry> {
        self.gateways.iter().map(|(_, entry)| entry)
    }

    pub(super) fn gateway_mut(&mut self, slot: GatewaySlot) -> Option<&mut GatewayEntry> {
        self.gateways.get_mut(slot.0 as usize)
    }

    pub(super) fn gateway_slots(&self) -> Vec<GatewaySlot> {
        self.gateways.iter().map(|(slot, _)| GatewaySlot(slot as u32)).collect()
    }

    /// The Gateway that serves a resource, unless that is dead.
    pub(super) fn serving(&self, resource: ResourceSlot) -> Option<GatewaySlot> {
        let gateway = self.get(resource)?.gateway?;
        self.gateway(gateway).filter(|entry| !entry.liveness.is_dead()).map(|_| gateway)
    }

    /// Raised by every change that a flow's route may depend on.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// A Gateway is to be checked at `at`.
    pub(super) fn check_by(&mut self, at: Option<Instant>) {
        self.next_check = match (self.next_check, at) {
            (Some(next), Some(at)) => Some(next.min(at)),
            (next, at) => next.or(at),
        };
    }

    pub(super) fn reset_checks(&mut self) {
        self.next_check = self.gateways.iter().filter_map(|(_, g)| g.liveness.check_at()).min();
    }

    pub(super) fn gateway_slot(&self, id: GatewayId) -> Option<GatewaySlot> {
        self.gateway_by_id.get(&id).copied()
    }

    pub(super) fn gateway_of_peer(&self, peer: PeerIndex) -> Option<(GatewaySlot, &GatewayEntry)> {
        let slot = *self.gateway_by_peer.get(&peer.0)?;
        Some((slot, self.gateway(slot)?))
    }

    /// The Gateway that has a tunnel address.
    pub(super) fn gateway_of_address(
        &self,
        address: IpAddr,
    ) -> Option<(GatewaySlot, &GatewayEntry)> {
        let slot = *self.gateway_by_address.get(&address)?;
        Some((slot, self.gateway(slot)?))
    }

    /// Gateways that a portal introduced and that serve no resource.
    pub(super) fn unused_of_portal(&self) -> Vec<(GatewayId, PeerIndex)> {
        let is_used = |slot| self.resources.iter().any(|(_, entry)| entry.gateway == Some(slot));
        let unused = self.gateways.iter().filter(|(slot, entry)| {
            entry.known.endpoint.is_of_portal() && !is_used(GatewaySlot(*slot as u32))
        });
        unused.map(|(_, entry)| (entry.id(), entry.peer)).collect()
    }

    /// The Gateways that are not dead, most wanted for a resource first: the one that serves it, then
    /// those of which `has_path` says that they can be reached.
    pub(super) fn wanted(
        &self,
        resource: ResourceId,
        has_path: impl Fn(PeerIndex) -> bool,
    ) -> Vec<GatewayId> {
        let serving = self.slot(resource).and_then(|slot| self.serving(slot));
        let living = self.gateways.iter().filter(|(_, entry)| !entry.liveness.is_dead());
        let mut wanted: Vec<_> = living
            .map(|(slot, entry)| {
                let serves = serving == Some(GatewaySlot(slot as u32));
                (!serves, !has_path(entry.peer), entry.id())
            })
            .collect();
        wanted.sort_unstable();
        wanted.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Adds a Gateway, or replaces what is known of it.
    pub(super) fn set_gateway(&mut self, entry: GatewayEntry) -> GatewaySlot {
        self.version += 1;
        let (id, peer, addresses) = (entry.id(), entry.peer, entry.addresses());
        let slot = match self.gateway_slot(id) {
            Some(slot) => {
                let former = std::mem::replace(&mut self.gateways[slot.0 as usize], entry);
                self.forget_gateway(slot, &former);
                slot
            }
            None => GatewaySlot(self.gateways.insert(entry) as u32),
        };
        self.gateway_by_id.insert(id, slot);
        self.gateway_by_peer.insert(peer.0, slot);
        for address in addresses {
            self.gateway_by_address.insert(address, slot);
        }
        slot
    }

    /// Takes a Gateway out of the indexes, where an address is not another's by now.
    fn forget_gateway(&mut self, slot: GatewaySlot, entry: &GatewayEntry) {
        self.gateway_by_peer.remove(&entry.peer.0);
        for address in entry.addresses() {
            if self.gateway_by_address.get(&address) == Some(&slot) {
                self.gateway_by_address.remove(&address);
            }
        }
    }

    /// Takes over the name of a resource that is otherwise as it was; tells whether it is.
    pub(super) fn rename(&mut self, resource: &Resource) -> bool {
        let Some(slot) = self.slot(resource.id) else { return false };
        let Some(entry) = self.resources.get_mut(slot.0 as usize) else { return false };
        let known = &mut entry.resource;
        let same = known.target == resource.target && known.filters == resource.filters;
        if same {
            known.name.clone_from(&resource.name);
        }
        same
    }

    /// Takes a Gateway out; its resources are served by none.
    pub(super) fn remove_gateway(&mut self, id: GatewayId) -> Option<GatewayEntry> {
        let slot = self.gateway_by_id.remove(&id)?;
        self.version += 1;
        for (_, entry) in &mut self.resources {
            entry.gateway.take_if(|served| *served == slot);
        }
        let entry = self.gateways.try_remove(slot.0 as usize)?;
        self.forget_gateway(slot, &entry);
        Some(entry)
    }

    /// Lets a Gateway serve a resource; its request is settled.
    pub(super) fn authorize(&mut self, slot: ResourceSlot, gateway: GatewaySlot) {
        self.settle_request(slot);
        if let Some(entry) = self.resources.get_mut(slot.0 as usize)
            && entry.gateway.replace(gateway) != Some(gateway)
        {
            self.version += 1;
        }
    }

    /// Takes the authorisation away; the next packet asks for it again.
    pub(super) fn deauthorize(&mut self, slot: ResourceSlot) {
        if let Some(entry) = self.resources.get_mut(slot.0 as usize) {
            entry.gateway = None;
            self.version += 1;
        }
    }

    /// The route to a name's proxy address: among its resources the first whose filters let the packet
    /// pass (dataplane §3.9).
    pub(super) fn route_to_name(
        &mut self,
        stub: &mut Stub,
        name: NameId,
        transport: &Transport,
    ) -> Result<Route, Refusal> {
        self.match_name(stub, name);
        let Some(routes) = self.names.get(name.index()) else {
            return Err(Refusal::UnknownResource);
        };
        let entries = || {
            let known = |slot: &ResourceSlot| Some((slot.0, self.get(*slot)?));
            routes.resources.iter().filter_map(known)
        };
        let found = if routes.resources.len() <= FEW {
            entries().find(|(_, entry)| entry.permits(transport)).map(|(slot, _)| slot)
        } else {
            let compile = || Verdicts::new(entries().map(|(slot, entry)| (slot, &entry.filters)));
            routes.verdicts.get_or_init(compile).find_transport(transport)
        };
        route(found, Some(name), || entries().next().is_some())
    }

    /// The route to an address: the longest network, among equals the first that lets it pass.
    pub(super) fn route_to_address(
        &self,
        address: IpAddr,
        transport: &Transport,
    ) -> Result<Route, Refusal> {
        let found = self.networks.find_transport(address, transport);
        route(found, None, || self.networks.covers(address))
    }

    /// The resources of networks that hold `address`, longest network first.
    pub(super) fn of_address(&self, address: IpAddr) -> Vec<ResourceSlot> {
        self.networks.resources(address).map(ResourceSlot).collect()
    }

    /// Whether a Gateway serves a network that holds `address`.
    pub(super) fn covers(&self, address: IpAddr, gateway: GatewaySlot) -> bool {
        let mut resources = self.networks.resources(address).map(ResourceSlot);
        resources.any(|slot| self.get(slot).is_some_and(|entry| entry.gateway == Some(gateway)))
    }

    /// The resources that cover a name, most specific first.
    pub(super) fn of_name(&mut self, stub: &mut Stub, name: NameId) -> &[ResourceSlot] {
        self.match_name(stub, name);
        self.matched(name)
    }

    fn matched(&self, name: NameId) -> &[ResourceSlot] {
        self.names.get(name.index()).map_or(&[], |routes| &routes.resources)
    }

    /// Whether a Gateway serves a resource that covers a name.
    pub(super) fn serves_name(
        &mut self,
        stub: &mut Stub,
        name: NameId,
        gateway: GatewaySlot,
    ) -> bool {
        self.match_name(stub, name);
        self.matched(name)
            .iter()
            .any(|&resource| self.get(resource).is_some_and(|entry| entry.gateway == Some(gateway)))
    }

    /// The handle of a name may be given to another: its routes are computed anew.
    pub(super) fn forget_name(&mut self, name: NameId) {
        if let Some(routes) = self.names.get_mut(name.index()) {
            *routes = NameRoutes::default();
        }
    }

    /// Computes the routes of a name, unless they stand.
    fn match_name(&mut self, stub: &mut Stub, name: NameId) {
        if self.names.len() <= name.index() {
            self.names.resize_with(name.index() + 1, NameRoutes::default);
        }
        if self.names[name.index()].version == self.version {
            return;
        }
        let mut matches = std::mem::take(&mut self.matches);
        matches.clear();
        if let Some(name) = stub.names().get(name).cloned() {
            stub.resources_mut().matches(&name, &mut matches);
        }
        let resources = matches.iter().filter_map(|found| self.slot(found.resource)).collect();
        self.matches = matches;
        let verdicts = OnceCell::new();
        self.names[name.index()] = NameRoutes { version: self.version, resources, verdicts };
    }

    /// Asks orchestration for an authorisation, unless it was asked and did not answer yet.
    pub(super) fn request(&mut self, slot: ResourceSlot, now: Instant) {
        let Some(entry) = self.resources.get_mut(slot.0 as usize) else { return };
        if entry.request.is_none() {
            let repeat_at = now + FIRST_REPEAT;
            entry.request = Some(Request { repeat_at, pause: FIRST_REPEAT });
            self.waiting_requests.insert((repeat_at, slot));
            self.requests.push_back(slot);
        }
    }

    /// Takes out a resource whose request is to be repeated, if anything wants it still.
    pub(super) fn pop_due_request(&mut self, now: Instant) -> Option<ResourceSlot> {
        let &(at, slot) = self.waiting_requests.first().filter(|(at, _)| *at <= now)?;
        self.waiting_requests.remove(&(at, slot));
        Some(slot)
    }

    /// Repeats a due request, or forgets it if it is not `wanted` any more.
    pub(super) fn repeat_request(&mut self, slot: ResourceSlot, wanted: bool, now: Instant) {
        let Some(entry) = self.resources.get_mut(slot.0 as usize) else { return };
        let Some(mut request) = entry.request.take() else { return };
        if wanted {
            request.pause = (request.pause * 2).min(LAST_REPEAT);
            request.repeat_at = now + request.pause;
            self.waiting_requests.insert((request.repeat_at, slot));
            entry.request = Some(request);
            if !self.requests.contains(&slot) {
                self.requests.push_back(slot);
            }
        }
    }

    /// A request was answered with no: the next is asked for no sooner than the first repetition.
    pub(super) fn refused(&mut self, slot: ResourceSlot, now: Instant) {
        self.settle_request(slot);
        let Some(entry) = self.resources.get_mut(slot.0 as usize) else { return };
        let repeat_at = now + FIRST_REPEAT;
        entry.request = Some(Request { repeat_at, pause: FIRST_REPEAT });
        self.waiting_requests.insert((repeat_at, slot));
    }

    /// When a request is repeated next.
    pub(super) fn next_request(&self) -> Option<Instant> {
        self.waiting_requests.first().map(|(at, _)| *at)
    }

    /// The next resource to be asked for.
    pub(super) fn poll_request(&mut self) -> Option<ResourceId> {
        let slot = self.requests.pop_front()?;
        self.get(slot).map(|entry| entry.resource.id)
    }

    fn settle_request(&mut self, slot: ResourceSlot) {
        let Some(entry) = self.resources.get_mut(slot.0 as usize) else { return };
        if let Some(request) = entry.request.take() {
            self.waiting_requests.remove(&(request.repeat_at, slot));
        }
        self.requests.retain(|wanted| *wanted != slot);
    }
}

/// The networks of a resource. Those of the internet are the shortest, so every other comes first.
fn networks(target: &Target) -> SmallVec<[Prefix; 2]> {
    match target {
        Target::Dns { .. } => SmallVec::new(),
        Target::Cidr { address } => smallvec![*address],
        Target::Internet => smallvec![Prefix::v4(0, 0, 0, 0, 0), Prefix::v6(0, 0)],
    }
}

/// The way of a packet by the resource that lets it pass; if none does, whether there is `any` says why.
fn route(
    found: Option<u32>,
    name: Option<NameId>,
    any: impl FnOnce() -> bool,
) -> Result<Route, Refusal> {
    match found {
        Some(slot) => Ok(Route { resource: ResourceSlot(slot), name }),
        None if any() => Err(Refusal::Prohibited),
        None => Err(Refusal::UnknownResource),
    }
}
