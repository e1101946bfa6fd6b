//! What goes into and comes out of [`Translations`](super::Translations).

use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, Name, NameId, Pattern, Prefix, ProxyConfig, ResourceId};

use crate::control::ClientId;

/// What a Client may reach; implemented by the owner.
pub trait Access {
    /// The pattern of a DNS resource that `client` may use now.
    ///
    /// # Errors
    /// [`Denied`] if it may not, or if the resource is not of names.
    fn dns_resource(&self, client: ClientId, resource: ResourceId) -> Result<&Pattern, Denied>;

    /// Whether a live flow of `client` goes to `proxy`: such a name never gives way (R33).
    fn has_live_flow(&self, client: ClientId, proxy: IpAddr) -> bool;
}

/// Why a resource does not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denied {
    /// The Client is not authorised.
    NotAuthorised,
    /// It is not a DNS resource.
    NotDns,
}

/// The resources by which a Client announced a name.
#[derive(Clone, Copy, Debug)]
pub struct Announced<'a> {
    /// In the order in which they did.
    pub resources: &'a [ResourceId],
    /// Another for any other list of any name.
    pub version: u64,
}

/// Settings of a Gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where proxy addresses may lie (R17): the defaults and further ones.
    pub proxy_ranges: Vec<Prefix>,
    /// Where they may not: the DNS sentinels.
    pub sentinels: Vec<Prefix>,
    /// Addresses of tunnel interfaces (R18).
    pub tunnel_ranges: Vec<Prefix>,
    /// The Gateway's own addresses (R18).
    pub own_addresses: Vec<IpAddr>,
    /// Exceptions to R18.
    pub allow_real: Vec<Prefix>,
    /// An answer counts as fresh at least this long (R20); zero in tests of the promise.
    pub cache_floor: Duration,
    /// A failure or negative answer is not asked again for this long (R20); zero in tests of the
    /// promise.
    pub failure_cache: Duration,
    /// The last good answer serves this long beyond its TTL (R21).
    pub last_good: Duration,
    /// Look-ups under way at once.
    pub max_lookups: usize,
    /// Names per Client (R33).
    pub max_names: usize,
    /// Proxy addresses per Client (R33).
    pub max_proxies: usize,
    /// Seed of the tables' hashes.
    pub seed: u64,
}

impl Config {
    /// The default settings without the floors of R20, for tests of the promise.
    pub fn without_floors() -> Self {
        Self { cache_floor: Duration::ZERO, failure_cache: Duration::ZERO, ..Self::default() }
    }
}

impl Default for Config {
    /// The ranges of dataplane §1.1; floor 1 s, failures 5 s (R20); last good 30 min (R21); 1000
    /// look-ups at once; 16,384 names and 131,072 proxies per Client (R33).
    fn default() -> Self {
        Self {
            proxy_ranges: vec![ProxyConfig::DEFAULT_IPV4, ProxyConfig::DEFAULT_IPV6],
            sentinels: vec![ProxyConfig::SENTINELS_IPV4, ProxyConfig::SENTINELS_IPV6],
            tunnel_ranges: vec![
                Prefix::v4(100, 64, 0, 0, 11),
                Prefix::v6(0xfd00_2021_1111_0000_0000_0000_0000_0000, 107),
            ],
            own_addresses: Vec::new(),
            allow_real: Vec::new(),
            cache_floor: Duration::from_secs(1),
            failure_cache: Duration::from_secs(5),
            last_good: Duration::from_secs(30 * 60),
            max_lookups: 1000,
            max_names: 16_384,
            max_proxies: 131_072,
            seed: 0,
        }
    }
}

/// Id of a look-up; a later one has a greater id (R20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LookupId(pub u64);

/// Why a look-up gave no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LookupError {
    /// The name does not exist.
    NxDomain,
    /// It has no record of the family.
    NoData,
    /// The server failed.
    ServFail,
    /// The server refused.
    Refused,
    /// No answer in time.
    TimedOut,
    /// Anything else.
    Other,
}

/// What a proxy address stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The name.
    pub name: NameId,
    /// The family of the proxy address and of the real one.
    pub family: Family,
    /// The real address for a new flow.
    pub real: Option<IpAddr>,
    /// What is known about it.
    pub state: TranslationState,
}

/// What is known about the answer behind a proxy address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TranslationState {
    /// Within its TTL.
    Fresh,
    /// Past its TTL, not yet asked again.
    Expired,
    /// The last look-up failed; the last good answer serves (R21).
    LastGood,
    /// No look-up has ended yet.
    Missing,
    /// There is no address.
    Negative,
    /// Of a former run of the Client: serves live flows only (R23); never has a real address.
    Former,
}

/// One proxy address as it stands, for whoever looks in from outside (R40).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TranslationView<'a> {
    /// The Client.
    pub client: ClientId,
    /// The address.
    pub proxy: IpAddr,
    /// The name.
    pub name: &'a Name,
    /// The resources that announced it.
    pub resources: &'a [ResourceId],
    /// The real address that the last new flow would have had.
    pub real: Option<IpAddr>,
    /// What is known about it.
    pub state: TranslationState,
}

/// All about one name, for whoever looks in from outside (R40).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameView<'a> {
    /// Its handle.
    pub id: NameId,
    /// The name.
    pub name: &'a Name,
    /// What is known of it, by family.
    pub records: [RecordsView; 2],
    /// The Clients that announced it.
    pub users: Vec<UserView<'a>>,
}

/// What is known of a name's addresses of one family (R40).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordsView {
    /// The last good answer, however old.
    pub addresses: Vec<IpAddr>,
    /// Since that came; `None` if none ever did.
    pub age: Option<Duration>,
    /// What it is worth.
    pub state: TranslationState,
    /// A look-up is under way.
    pub looking_up: bool,
}

/// One Client's use of a name (R40).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserView<'a> {
    /// The Client.
    pub client: ClientId,
    /// The resources that announced it.
    pub resources: &'a [ResourceId],
    /// Its proxy addresses, what each was dealt last, and what that is worth.
    pub proxies: Vec<(IpAddr, Option<IpAddr>, TranslationState)>,
}

/// What a new flow is to do (R27).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fresh {
    /// Take this address.
    Use(IpAddr),
    /// Wait for [`Event::Settled`] of this name and family, then take what
    /// [`find`](super::Translations::find) has.
    Wait {
        /// The name.
        name: NameId,
        /// The family.
        family: Family,
    },
    /// There is no address (R29), or no translation.
    None,
}

/// What has happened, or is wanted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A look-up is wanted; its end is told by
    /// [`handle_resolved`](super::Translations::handle_resolved).
    Resolve {
        /// Its id.
        id: LookupId,
        /// The name.
        name: Name,
        /// Which records.
        family: Family,
    },
    /// A look-up has ended, whatever came of it.
    Settled {
        /// The name.
        name: NameId,
        /// The family.
        family: Family,
    },
    /// A look-up changed the answer.
    Refreshed {
        /// The name.
        name: NameId,
        /// The family.
        family: Family,
        /// How many addresses it has now.
        addresses: u32,
        /// How many of them are new.
        added: u32,
        /// How many are gone.
        removed: u32,
    },
    /// A look-up failed; the last good answer goes on.
    Stale {
        /// The name.
        name: NameId,
        /// The family.
        family: Family,
        /// Why.
        error: LookupError,
    },
    /// The address stands for another name now: its flows end (R23).
    EndProxy {
        /// The Client.
        client: ClientId,
        /// The address.
        proxy: IpAddr,
    },
}

/// What has been done, counted since the beginning.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// AssignedIps that were handled.
    pub announcements: u64,
    /// Those that were rejected (R17).
    pub rejected: u64,
    /// Those that came from the past: of a former run, or older than what stands (R23).
    pub outdated: u64,
    /// Those that did not fit the caps (R33).
    pub capped: u64,
    /// Proxy addresses that were written (R24).
    pub touched_proxies: u64,
    /// Look-ups that were started.
    pub lookups: u64,
    /// Results that were applied.
    pub results: u64,
    /// Results that came too late or unasked, and changed nothing.
    pub results_ignored: u64,
    /// Real addresses that were dropped (R18).
    pub forbidden_addresses: u64,
    /// Statuses that were sent.
    pub statuses: u64,
}
