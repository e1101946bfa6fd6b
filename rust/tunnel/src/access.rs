//! What a Gateway's Clients may reach: grants with filters and expiry.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns::{Pattern, ResourceId};
use nat::translations::{Denied, RealFilter};
use packet::{Instant, Protocol, Transport};

use crate::filter::FilterSet;
use crate::messages::{Resource, Target};

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
    expires: Option<Instant>,
    /// Small number of the resource, which a flow's record notes.
    tag: u32,
}

/// The grants of one Client.
#[derive(Default)]
pub(crate) struct Grants {
    by_id: BTreeMap<ResourceId, Grant>,
    /// Raised by every change; a flow whose access was checked in an earlier epoch is checked again (R26).
    epoch: u32,
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

    /// The resources.
    pub(crate) fn resources(&self) -> impl Iterator<Item = ResourceId> {
        self.by_id.keys().copied()
    }

    /// Gives access, or changes it. Returns the former grant's expiry.
    pub(crate) fn insert(
        &mut self,
        resource: Resource,
        expires: Option<Instant>,
        tag: u32,
    ) -> Option<Instant> {
        self.epoch = self.epoch.wrapping_add(1);
        let pattern = match &resource.target {
            // Orchestration checks patterns before it passes them on; a wrong one covers nothing.
            Target::Dns { address, .. } => Pattern::parse(address).ok(),
            Target::Cidr { .. } | Target::Internet => None,
        };
        let (id, filters) = (resource.id, FilterSet::new(&resource.filters));
        let former = self.by_id.insert(id, Grant { resource, filters, pattern, expires, tag });
        former.and_then(|grant| grant.expires)
    }

    /// Takes access away. Returns the grant's expiry.
    pub(crate) fn remove(&mut self, id: ResourceId) -> Option<Option<Instant>> {
        let grant = self.by_id.remove(&id)?;
        self.epoch = self.epoch.wrapping_add(1);
        Some(grant.expires)
    }

    /// The pattern of a DNS resource (R17).
    pub(crate) fn dns_resource(&self, id: ResourceId) -> Result<&Pattern, Denied> {
        let grant = self.by_id.get(&id).ok_or(Denied::NotAuthorised)?;
        grant.pattern.as_ref().ok_or(Denied::NotDns)
    }

    /// The tag of the first of `resources` that lets a packet to `port` pass.
    pub(crate) fn permit(
        &self,
        resources: &[ResourceId],
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        let grants = resources.iter().filter_map(|id| self.by_id.get(id));
        grants.into_iter().find(|grant| grant.filters.permits(protocol, port)).map(|g| g.tag)
    }

    /// The tag of a network that holds `place` and lets a packet to `port` there pass.
    pub(crate) fn permit_place(
        &self,
        place: Place<'_>,
        protocol: Protocol,
        port: u16,
    ) -> Option<u32> {
        let mut networks = self.networks(place);
        networks.find(|grant| grant.filters.permits(protocol, port)).map(|grant| grant.tag)
    }

    /// Whether a network that holds `place` lets packets pass that belong to no flow: neither TCP nor
    /// UDP nor an echo (dataplane §4.7).
    pub(crate) fn permits_other(&self, place: Place<'_>, transport: &Transport) -> bool {
        transport.flow().is_none()
            && self.networks(place).any(|grant| grant.filters.permits_transport(transport))
    }

    /// Whether a network holds `place`.
    pub(crate) fn covers(&self, place: Place<'_>) -> bool {
        self.networks(place).next().is_some()
    }

    /// Whether the Internet resource is among the grants.
    pub(crate) fn has_internet(&self) -> bool {
        self.by_id.values().any(|grant| grant.resource.target == Target::Internet)
    }

    fn networks<'a>(&'a self, place: Place<'a>) -> impl Iterator<Item = &'a Grant> {
        self.by_id.values().filter(move |grant| match &grant.resource.target {
            Target::Cidr { address: network } => network.contains(place.address),
            Target::Internet => place.is_internet(),
            Target::Dns { .. } => false,
        })
    }
}
