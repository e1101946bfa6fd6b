//! The Gateway's side of the DNS resource NAT (R17-R25): which real address stands behind a proxy address of a
//! Client, and the look-ups by which that is known.
//!
//! In: AssignedIps of Clients, results of look-ups. Out: look-ups to make, statuses, and the
//! translation of a new flow. Live flows are in the [`flow_table`](crate::flow_table): nothing here
//! ever touches one but [`Event::EndProxy`].

mod types;

use std::net::IpAddr;

use dns::{Family, Name, NameId, ResourceId};
use packet::Instant;

use crate::control::{AssignedIps, ClientId, DomainStatus};

pub use types::{
    Access, Config, Counters, Denied, Event, Fresh, LookupError, LookupId, Translation,
    TranslationState,
};

/// Translations of all Clients of a shard.
pub struct Translations {
    config: Config,
    counters: Counters,
}

impl Translations {
    /// Without any translation.
    pub fn new(config: Config) -> Self {
        Self { config, counters: Counters::default() }
    }

    /// A Client announces addresses: validates (R17), changes translations, starts look-ups. Always
    /// ends in a status (R25).
    pub fn handle_assigned_ips(
        &mut self,
        _client: ClientId,
        _message: &AssignedIps,
        _access: &impl Access,
        _now: Instant,
    ) {
        let _ = &self.config;
    }

    /// A look-up has ended: addresses with their TTL in seconds, or an error.
    pub fn handle_resolved(
        &mut self,
        _id: LookupId,
        _family: Family,
        _result: Result<Vec<(IpAddr, u32)>, LookupError>,
        _now: Instant,
    ) {
    }

    /// The translation of a proxy address, for a new flow; O(1), without allocation.
    pub fn find(
        &mut self,
        _client: ClientId,
        _proxy: IpAddr,
        _now: Instant,
    ) -> Option<Translation> {
        None
    }

    /// Whether `real` is still in the answer that `proxy` stands for (R27).
    pub fn answer_contains(&self, _client: ClientId, _proxy: IpAddr, _real: IpAddr) -> bool {
        false
    }

    /// The real address for a new flow, or to wait for [`Event::Settled`], at most 300 ms (R27). Starts a look-up
    /// if one is needed and none runs.
    pub fn want_fresh(&mut self, _client: ClientId, _proxy: IpAddr, _now: Instant) -> Fresh {
        Fresh::None
    }

    /// Whether `proxy` stood for another name within the last 7440 s (R23).
    pub fn moved_recently(&self, _client: ClientId, _proxy: IpAddr, _now: Instant) -> bool {
        false
    }

    /// The resources that announced `proxy`.
    pub fn resources(&self, _client: ClientId, _proxy: IpAddr) -> &[ResourceId] {
        &[]
    }

    /// The name of a handle.
    pub fn name(&self, _name: NameId) -> Option<&Name> {
        None
    }

    /// Forgets a Client.
    pub fn remove_client(&mut self, _client: ClientId) {}

    /// Forgets a resource of a Client; names that no other resource announced go with it.
    pub fn remove_resource(&mut self, _client: ClientId, _resource: ResourceId) {}

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`Self::handle_timeout`] is to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// The next status to a Client.
    pub fn poll_transmit(&mut self) -> Option<(ClientId, DomainStatus)> {
        None
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// What has been done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Which real address each of `proxies` gets (R22); both lists of one family, without duplicates, ascending.
pub fn deal(
    _client: ClientId,
    _name: &Name,
    proxies: &[IpAddr],
    _real: &[IpAddr],
) -> Vec<Option<IpAddr>> {
    vec![None; proxies.len()]
}
