//! What a Gateway's Clients may reach: grants with filters and expiry.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns::{Pattern, ResourceId};
use nat::translations::{Announced, Denied, RealFilter};
use packet::{Instant, Protocol, Transport};

use crate::compiled::Compiled;
use crate::filter::FilterSet;
use crate::messages::{Resource, Target};
use crate::networks::Networks;
use crate::verdicts::{Choice, Verdicts};

/// A name is mostly of one resource; up to so many are asked one by one.
const FEW: usize = 4;

/// A real address that a Client asks for or hears from.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) address: IpAddr,
    /// Where the Internet resource leads; asked only on behalf of who has it.
    pub(crate) internet: &'a RealFilter,
}

impl Place<'_> {
    /// Whether the Internet resource leads there.
    pub(crate) fn is_internet(self) -> bool {
        self.internet.permits(self.address)
    }
}

/// One Client's access to one resource.
pub(crate) struct Grant {
    pub(crate) resource: Resource,
    filters: FilterSet,
    pattern: Option<Pattern>,
    expiry: Expiry,
    /// Small number of the resource, which a flow's record notes.
    tag: u32,
}

/// When a grant ends by itself; never, without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) at: Option<Instant>,
    /// The same in seconds of Unix time, where a portal set it: it follows the wall clock.
    pub(crate) until: Option<u64>,
}

/// The grants of one Client.
#[derive(Default)]
pub(crate) struct Grants {
    by_id: BTreeMap<ResourceId, Grant>,
    networks: Networks,
    /// The Internet resource: what is in no network.
    internet: Choice,
    /// Raised by every change; a flow whose access was checked in an earlier epoch is checked again (R26).
    epoch: u32,
    /// The rules of names of many resources. Names of one wildcard do not share theirs: to compare their
    /// lists would cost more with each resource, and what is kept is small.
    compiled: RefCell<Compiled>,
}

/// Grants that end by themselves, soonest first.
pub(crate) type Expiries<K> = BTreeSet<(Instant, K, ResourceId)>;

impl Grants {
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Whether there is a grant of a resource.
    pub(crate) fn holds(&self, id: ResourceId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// A resource, and when the access to it ends.
    pub(crate) fn get(&self, id: ResourceId) -> Option<(&Resource, Expiry)> {
        self.by_id.get(&id).map(|grant| (&grant.resource, grant.expiry))
    }

    /// Lets a grant end at another time; nothing else of it changes. Returns when it was to end before.
    pub(crate) fn set_expiry(
        &mut self,
        id: ResourceId,
        at: Instant,
        until: u64,
    ) -> Option<Option<Instant>> {
        let grant = self.by_id.get_mut(&id)?;
        let former =
            std::mem::replace(&mut grant.expiry, Expiry { at: Some(at), until: Some(until) });
        Some(former.at)
    }

    /// The resources.
    pub(crate) fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.by_id.keys().copied()
    }

    /// Gives access, or changes it. Returns the former grant's expiry.
    pub(crate) fn insert(
        &mut self,
        resource: Resource,
        expiry: Expiry,
        tag: u32,
    ) -> Option<Instant> {
        self.epoch = self.epoch.wrapping_add(1);
        let pattern = match &resource.target {
            // Orchestration checks patterns before it passes them on; a wrong one covers nothing.
            Target::Dns { address, .. } => Pattern::parse(address).ok(),
            Target::Cidr { .. } | Target::Internet => None,
        };
        let (id, filters) = (resource.id, FilterSet::new(&resource.filters));
        self.forget_place(id);
        match &resource.target {
            Target::Cidr { address } => self.networks.insert(*address, id.0, tag, filters.clone()),
            Target::Internet => self.internet.insert(id.0, tag, filters.clone()),
            Target::Dns { .. } => {}
        }
        let former = self.by_id.insert(id, Grant { resource, filters, pattern, expiry, tag });
        former.and_then(|grant| grant.expiry.at)
    }

    /// Takes access away. Returns the grant's expiry.
    pub(crate) fn remove(&mut self, id: ResourceId) -> Option<Option<Instant>> {
        self.forget_place(id);
        let grant = self.by_id.remove(&id)?;
        self.epoch = self.epoch.wrapping_add(1);
        Some(grant.expiry.at)
    }

    /// Takes the grant of a resource out of the networks.
    fn forget_place(&mut self, id: ResourceId) {
        match self.by_id.get(&id).map(|grant| &grant.resource.target) {
            Some(Target::Cidr { address }) => self.networks.remove(*address, id.0),
            Some(Target::Internet) => self.internet.remove(id.0),
            Some(Target::Dns { .. }) | None => {}
        }
    }

    /// The pattern of a DNS resource (R17).
    pub(crate) fn dns_resource(&self, id: ResourceId) -> Result<&Pattern, Denied> {
        let grant = self.by_id.get(&id).ok_or(Denied::NotAuthorised)?;
        grant.pattern.as_ref().ok_or(Denied::NotDns)
    }

    /// The tag of the first of the resources that announced a name that lets a packet to `port` pass.
    pub(crate) fn permit(
        &self,
        announced: Announced<'_>,
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        if announced.resources.len() > FEW {
            return self.permit_compiled(announced, protocol, port);
        }
        let mut grants = announced.resources.iter().filter_map(|id| self.by_id.get(id));
        grants.find(|grant| grant.filters.permits(protocol, port)).map(|grant| grant.tag)
    }

    fn permit_compiled(
        &self,
        announced: Announced<'_>,
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        let grants = || announced.resources.iter().filter_map(|id| self.by_id.get(id));
        let compile = || Verdicts::new(grants().map(|grant| (grant.tag, &grant.filters)));
        let mut compiled = self.compiled.borrow_mut();
        compiled.get(self.epoch, announced.version, compile).find(protocol, port)
    }

    /// The tag of a resource that lets a packet to `port` at `place` pass: of the longest network, as the
    /// Client chooses, and of the Internet last.
    pub(crate) fn permit_place(
        &self,
        place: Place<'_>,
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        let network = self.networks.find(place.address, protocol, port);
        network.or_else(|| self.internet_at(place)?.find(protocol, port))
    }

    /// Whether a network that holds `place` lets packets pass that belong to no flow: neither TCP nor
    /// UDP nor an echo (dataplane §4.7).
    pub(crate) fn permits_other(&self, place: Place<'_>, transport: &Transport) -> bool {
        if transport.flow().is_some() {
            return false;
        }
        let network = self.networks.find_transport(place.address, transport);
        network.or_else(|| self.internet_at(place)?.find_transport(transport)).is_some()
    }

    /// Whether a network holds `place`.
    pub(crate) fn covers(&self, place: Place<'_>) -> bool {
        self.networks.covers(place.address) || self.internet_at(place).is_some()
    }

    /// Whether the Internet resource is among the grants.
    pub(crate) fn has_internet(&self) -> bool {
        !self.internet.is_empty()
    }

    fn internet_at(&self, place: Place<'_>) -> Option<&Choice> {
        (self.has_internet() && place.is_internet()).then_some(&self.internet)
    }
}
