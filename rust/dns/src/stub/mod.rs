//! The stub resolver: what a query for a protected name is answered with (dataplane §3.5.2).
//!
//! In: the bytes of a query. Out: the bytes of an answer, or where the query is to be asked. It
//! owns the names, the resources' patterns and the proxy addresses.

mod question;
mod reply;
mod target;

use std::collections::VecDeque;

use domain::base::Message;
use domain::base::iana::{Rcode, Rtype};
use packet::Instant;

use crate::{
    Families, Family, Match, Name, NameId, Names, Proxies, ProxyConfig, ProxyPool, ResourceId,
    ResourceIndex, RestoreError,
};

use question::{Asked, read, reversed};
use reply::{Content, write};

/// Browsers that find this name use a resolver of their own, past us.
const CANARY: &str = "use-application-dns.net";
/// Names without proxy addresses that keep their handle, of queries that a site answers.
const MAX_PASSING: usize = 1024;

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

/// What a stub has done, counted since the beginning.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct StubCounters {
    /// Queries answered here.
    pub local: u64,
    /// Of these, with an error because the query was none that can be answered.
    pub errors: u64,
    /// Of these, with a failure because all proxy addresses are in use.
    pub exhausted: u64,
    /// Queries that are not ours.
    pub forwarded: u64,
    /// Queries for a site.
    pub site: u64,
    /// Bytes that are no query.
    pub malformed: u64,
}

/// Answers queries.
pub struct Stub {
    names: Names,
    index: ResourceIndex,
    pool: ProxyPool,
    counters: StubCounters,
    found: Vec<Match>,
    /// Names without proxy addresses, the oldest first.
    passing: VecDeque<NameId>,
}

/// What is decided before anything is written.
enum Decision {
    Elsewhere(Answer),
    Say(Rcode),
    Nothing(Rcode),
    Addresses(Proxies, Family),
    Pointer(NameId),
}

impl Stub {
    /// A stub without resources.
    pub fn new(config: &StubConfig) -> Self {
        Self {
            names: Names::new(config.seed),
            index: ResourceIndex::new(config.seed),
            pool: ProxyPool::new(&config.proxies, config.seed),
            counters: StubCounters::default(),
            found: Vec::new(),
            passing: VecDeque::new(),
        }
    }

    /// Answers `query` into `into`.
    ///
    /// `families` tells which families may be offered for a name (R08). `max` is what the transport
    /// carries: up to 1212 it is UDP, where the client's EDNS size holds too; more is a stream. An
    /// `into` shorter than that shortens the answer.
    pub fn answer(
        &mut self,
        query: &[u8],
        families: &dyn Fn(NameId) -> Families,
        max: usize,
        now: Instant,
        into: &mut [u8],
    ) -> Answer {
        let message = Message::from_slice(query).ok().filter(|message| !message.header().qr());
        let answer =
            message.and_then(|message| self.answer_message(message, families, max, now, into));
        self.counters.malformed += u64::from(answer.is_none());
        answer.unwrap_or(Answer::Malformed)
    }

    /// The same for what is a query; `None` if not even the question fits.
    fn answer_message(
        &mut self,
        message: &Message<[u8]>,
        families: &dyn Fn(NameId) -> Families,
        max: usize,
        now: Instant,
        into: &mut [u8],
    ) -> Option<Answer> {
        let asked = read(message);
        let (decision, refresh) = match &asked {
            Ok(asked) => self.decide(asked, families, now),
            Err(code) => {
                self.counters.errors += 1;
                (Decision::Say(*code), None)
            }
        };
        let content = match decision {
            Decision::Elsewhere(answer) => {
                self.counters.forwarded += u64::from(answer == Answer::Forward);
                self.counters.site += u64::from(answer != Answer::Forward);
                return Some(answer);
            }
            Decision::Say(code) => Content::Code(code),
            Decision::Nothing(code) => Content::None(code),
            Decision::Addresses(proxies, family) => Content::Addresses(proxies, family),
            Decision::Pointer(name) => {
                self.names.get(name).map_or(Content::Code(Rcode::SERVFAIL), Content::Pointer)
            }
        };
        let len = write(message, asked.as_ref().ok(), &content, max, into)?;
        self.counters.local += 1;
        Some(Answer::Local { len, refresh })
    }

    /// What is said, and the name that is refreshed.
    fn decide(
        &mut self,
        asked: &Asked<'_>,
        families: &dyn Fn(NameId) -> Families,
        now: Instant,
    ) -> (Decision, Option<NameId>) {
        let mut room = [0; 255];
        let Some(name) = asked.name(&mut room) else {
            return (Decision::Elsewhere(Answer::Forward), None);
        };
        if !asked.is_internet() {
            return (self.decide_class(name), None);
        }
        if name == CANARY {
            return (Decision::Nothing(Rcode::NXDOMAIN), None);
        }
        let rtype = asked.rtype();
        if rtype == Rtype::PTR
            && let Some(address) = reversed(name)
        {
            let known = address.and_then(|address| self.pool.name_of(address));
            return (known.map_or(Decision::Elsewhere(Answer::Forward), Decision::Pointer), None);
        }
        self.index.matches_text(name, &mut self.found);
        let Some(first) = self.found.first().map(|found| found.resource) else {
            return (Decision::Elsewhere(Answer::Forward), None);
        };
        if let Some(family) = family(rtype) {
            return self.decide_addresses(name, family, families, now);
        }
        let decision = match rtype {
            // Hints in them would lead past the proxy addresses.
            Rtype::HTTPS | Rtype::SVCB => Decision::Nothing(Rcode::NOERROR),
            Rtype::AXFR | Rtype::IXFR => Decision::Say(Rcode::REFUSED),
            _ => match self.passing_name(name) {
                Some(name) => Decision::Elsewhere(Answer::AskSite { name, resource: first }),
                None => Decision::Say(Rcode::SERVFAIL),
            },
        };
        (decision, None)
    }

    /// Another class than that of the internet: names of resources have none, and are told to nobody.
    fn decide_class(&mut self, name: &str) -> Decision {
        self.index.matches_text(name, &mut self.found);
        if self.found.is_empty() {
            Decision::Elsewhere(Answer::Forward)
        } else {
            Decision::Say(Rcode::REFUSED)
        }
    }

    /// Addresses of a family that a resource of the name offers and that is not known to be empty
    /// (R08).
    fn decide_addresses(
        &mut self,
        text: &str,
        family: Family,
        families: &dyn Fn(NameId) -> Families,
        now: Instant,
    ) -> (Decision, Option<NameId>) {
        let offered = self.found.iter().any(|found| found.stack.contains(family));
        let Some(name) = self.intern(text) else {
            return (Decision::Say(Rcode::SERVFAIL), None);
        };
        let Ok(proxies) = self.pool.assign(name, now) else {
            self.counters.exhausted += 1;
            if !self.passing.contains(&name) {
                self.names.remove(name);
            }
            return (Decision::Say(Rcode::SERVFAIL), None);
        };
        if offered && families(name).contains(family) {
            (Decision::Addresses(proxies, family), Some(name))
        } else {
            (Decision::Nothing(Rcode::NOERROR), Some(name))
        }
    }

    fn intern(&mut self, text: &str) -> Option<NameId> {
        if let Some(name) = self.names.find_text(text) {
            return Some(name);
        }
        let name = Name::parse(text).ok()?;
        Some(self.names.intern(&name))
    }

    /// The handle of a name that needs no addresses. Only the newest of these keep theirs.
    fn passing_name(&mut self, text: &str) -> Option<NameId> {
        if let Some(name) = self.names.find_text(text) {
            return Some(name);
        }
        let name = self.intern(text)?;
        self.passing.push_back(name);
        if self.passing.len() > MAX_PASSING
            && let Some(oldest) = self.passing.pop_front()
            && self.pool.proxies(oldest).is_none()
        {
            self.names.remove(oldest);
        }
        Some(name)
    }

    /// Puts a recorded assignment back; returns the handle of the name.
    ///
    /// # Errors
    /// [`RestoreError`], and nothing has changed.
    pub fn restore(
        &mut self,
        name: &Name,
        proxies: &Proxies,
        now: Instant,
    ) -> Result<NameId, RestoreError> {
        let known = self.names.find(name);
        let id = known.unwrap_or_else(|| self.names.intern(name));
        let restored = self.pool.restore(id, proxies, now);
        if restored.is_err() && known.is_none() {
            self.names.remove(id);
        }
        restored.map(|()| id)
    }

    /// A name whose addresses were taken for another one (R08). Its handle ends with this call: the
    /// owner forgets the name before it asks anything else.
    pub fn poll_recycled(&mut self) -> Option<NameId> {
        let name = self.pool.pop_recycled()?;
        if self.pool.proxies(name).is_none() {
            self.names.remove(name);
            self.passing.retain(|passing| *passing != name);
        }
        Some(name)
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

    /// What has been done so far.
    pub fn counters(&self) -> &StubCounters {
        &self.counters
    }
}

fn family(rtype: Rtype) -> Option<Family> {
    match rtype {
        Rtype::A => Some(Family::Ipv4),
        Rtype::AAAA => Some(Family::Ipv6),
        _ => None,
    }
}
