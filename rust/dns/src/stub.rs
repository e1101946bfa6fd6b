//! The stub resolver: what a query for a protected name is answered with.

use packet::Instant;

use crate::{Families, NameId, Names, ProxyConfig, ProxyPool, ResourceId, ResourceIndex};

/// Settings of a [`Stub`].
#[derive(Clone, Debug)]
pub struct StubConfig {
    /// Where proxy addresses come from.
    pub proxies: ProxyConfig,
    /// Seed of the tables' hashes.
    pub seed: u64,
}

/// What to do with a query.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The answer has been written.
    Local {
        /// Its length in bytes.
        len: usize,
        /// The name to be refreshed (R06).
        refresh: Option<NameId>,
    },
    /// Not ours: to be sent to the configured upstream servers.
    Forward,
    /// To be asked at the site of the resource.
    AskSite {
        /// The queried name.
        name: NameId,
        /// The most specific resource that covers it.
        resource: ResourceId,
    },
    /// Not a query; to be dropped and counted.
    Malformed,
}

/// What a stub has done.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct StubCounters {
    /// Answered here.
    pub local: u64,
}

/// Answers queries.
pub struct Stub {
    names: Names,
    index: ResourceIndex,
    pool: ProxyPool,
}

impl Stub {
    /// A stub without resources.
    pub fn new(config: &StubConfig) -> Self {
        Self {
            names: Names::new(config.seed),
            index: ResourceIndex::new(config.seed),
            pool: ProxyPool::new(&config.proxies),
        }
    }

    /// Answers `query` into `into`, in at most `max` bytes.
    pub fn answer(
        &mut self,
        _query: &[u8],
        _families: &dyn Fn(NameId) -> Families,
        _max: usize,
        _now: Instant,
        _into: &mut [u8],
    ) -> Answer {
        Answer::Malformed
    }

    /// The names that have a handle.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The resources.
    pub fn resources(&self) -> &ResourceIndex {
        &self.index
    }

    /// The resources, to be changed.
    pub fn resources_mut(&mut self) -> &mut ResourceIndex {
        &mut self.index
    }

    /// The proxy addresses.
    pub fn pool(&self) -> &ProxyPool {
        &self.pool
    }

    /// The proxy addresses, to be marked as used.
    pub fn pool_mut(&mut self) -> &mut ProxyPool {
        &mut self.pool
    }

    /// A name whose addresses were taken for another one (R08). Its handle ends with this call: the owner
    /// forgets the name before it asks anything else.
    pub fn poll_recycled(&mut self) -> Option<NameId> {
        None
    }
}
