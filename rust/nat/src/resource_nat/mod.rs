//! The Client's side of the DNS resource NAT (R01-R08, R41, R42): whether a packet to a proxy address
//! passes, is held or is refused, and when which name is announced to which Gateway.
//!
//! In: what was queried, what a Gateway says, which packet wants out. Out: verdicts, messages and
//! events. It holds no packet: the owner keeps a queue for each held entry and family, and empties
//! it on [`Event::Release`] or answers it on [`Event::GiveUp`].

mod types;

use dns::{Families, Family, IpStack, Name, NameId, Proxies, ResourceId};
use packet::Instant;

use crate::control::{AssignedIps, DomainStatus, GatewayId};

pub use types::{Config, Counters, EntryId, EntryKey, Event, FamilyState, RefreshPolicy, Verdict};

/// All entries of one Client.
pub struct ResourceNat {
    config: Config,
    policy: RefreshPolicy,
    counters: Counters,
}

impl ResourceNat {
    /// Without entries, under the policy that keeps the promise.
    pub fn new(config: Config) -> Self {
        Self::with_policy(config, RefreshPolicy::Keep)
    }

    /// With a policy of choice; for comparison in a laboratory only (R41).
    pub fn with_policy(config: Config, policy: RefreshPolicy) -> Self {
        Self { config, policy, counters: Counters::default() }
    }

    /// The policy: under [`RefreshPolicy::Halt`] the owner's queues hold 32 packets and overwrite
    /// the oldest.
    pub fn policy(&self) -> RefreshPolicy {
        self.policy
    }

    /// Makes an entry and announces it; nothing happens if there is one.
    pub fn establish(
        &mut self,
        _key: EntryKey,
        _domain: &Name,
        _proxies: &Proxies,
        _stack: IpStack,
        _now: Instant,
    ) {
        let _ = self.config;
    }

    /// An A or AAAA query for a matched name was answered: refreshes its entries (R05-R07).
    pub fn handle_query(&mut self, _name: NameId, _now: Instant) {}

    /// What becomes of a packet to a proxy address of `name`; O(1), without allocation. Marks the name
    /// as used, and asks a Gateway again where R07 or R42 say so.
    pub fn decide(
        &mut self,
        _gateway: GatewayId,
        _resource: ResourceId,
        _name: NameId,
        _family: Family,
        _now: Instant,
    ) -> Verdict {
        Verdict::Unknown
    }

    /// A Gateway's answer (R04, R08). `name` is the handle of the status' domain.
    pub fn handle_status(
        &mut self,
        _gateway: GatewayId,
        _name: NameId,
        _status: &DomainStatus,
        _now: Instant,
    ) {
    }

    /// The families that may be offered for `name`: all but those of which every active entry says that it
    /// has no address (R08).
    pub fn families(&self, _name: NameId) -> Families {
        Families::ALL
    }

    /// The resource is lost: its entries end, what they hold is given up.
    pub fn remove_resource(&mut self, _resource: ResourceId) {}

    /// The Gateway is lost: its entries end, what they hold is given up.
    pub fn remove_gateway(&mut self, _gateway: GatewayId) {}

    /// The addresses of the name stand for another one now: its entries end.
    pub fn remove_name(&mut self, _name: NameId) {}

    /// A connection to `gateway` was made (R42): with the key it had, or with another.
    pub fn connection_made(&mut self, _gateway: GatewayId, _same_key: bool, _now: Instant) {}

    /// ICMP *prohibited* came from a proxy address of an active entry, quoting a packet of ours (R42).
    pub fn handle_prohibited(
        &mut self,
        _gateway: GatewayId,
        _resource: ResourceId,
        _name: NameId,
        _now: Instant,
    ) {
    }

    /// The state of an entry's family.
    pub fn state(&self, _key: &EntryKey, _family: Family) -> Option<FamilyState> {
        None
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`Self::handle_timeout`] is to be called next, and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        None
    }

    /// The next message to a Gateway.
    pub fn poll_transmit(&mut self) -> Option<(GatewayId, AssignedIps)> {
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
