//! A naive model of the Gateway's side: every fact is kept, and what stands is worked out anew from
//! the whole history at each question (R20-R23).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dns::{Family, Name};
use nat::control::ClientId;
use nat::translations::{LookupError, deal};

/// Addresses with the TTL of the answer in seconds, or an error.
pub(crate) type Outcome = Result<(BTreeSet<IpAddr>, u64), LookupError>;

/// A look-up: when it began, and what came of it when. All times in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Lookup {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) family: Family,
    pub(crate) started: u64,
    /// When it ended, as the how manieth of all, and how.
    pub(crate) ended: Option<(u64, u64, Outcome)>,
}

/// What stands for a name and family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) addresses: BTreeSet<IpAddr>,
    pub(crate) known: bool,
    until: u64,
    negative_since: Option<u64>,
}

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) lookups: Vec<Lookup>,
    /// Where each Client's proxy points: name, and the epoch in which it was announced for it.
    proxies: BTreeMap<(ClientId, IpAddr), (String, u64)>,
    /// What each name of a Client was announced with last, for each family.
    announced: BTreeMap<(ClientId, String, Family), Vec<IpAddr>>,
    runs: BTreeMap<ClientId, (u64, u64)>,
    /// Proxies whose flows were ended, in order.
    pub(crate) ended: Vec<(ClientId, IpAddr)>,
}

impl Model {
    /// Everything that was learned of a name, in order of time: own time-outs are errors without an
    /// answer.
    pub(crate) fn standing(&self, name: &str, family: Family, floor: u64, now: u64) -> Standing {
        let mut history = Vec::new();
        for lookup in self.lookups.iter().filter(|own| own.name == name && own.family == family) {
            let timeout = lookup.started + 5000;
            let ended = lookup.ended.as_ref();
            if timeout <= now && ended.is_none_or(|(at, ..)| *at >= timeout) {
                history.push((timeout, 0, None, lookup.started, Err(LookupError::TimedOut)));
            }
            if let Some((at, order, outcome)) = ended {
                history.push((*at, *order, Some(lookup.id), lookup.started, outcome.clone()));
            }
        }
        history.sort_by_key(|(at, order, ..)| (*at, *order));
        let mut standing = Standing::default();
        let mut newest = 0;
        for (at, _, id, started, outcome) in history {
            if id.is_some_and(|id| id <= newest) {
                continue;
            }
            newest = id.unwrap_or(newest);
            standing.learn(at, started, outcome, floor);
        }
        standing
    }

    pub(crate) fn run_of(&self, client: ClientId) -> Option<u64> {
        self.runs.get(&client).map(|(run, _)| *run)
    }

    /// Whether a proxy of the Client stands for the name.
    pub(crate) fn points_to(&self, client: ClientId, name: &str) -> bool {
        self.proxies.iter().any(|((owner, _), (own, _))| *owner == client && own == name)
    }

    /// An announcement that is valid and not of the past.
    pub(crate) fn announce(&mut self, client: ClientId, name: &str, proxies: &[IpAddr], run: u64) {
        let (known, epoch) = self.runs.get(&client).copied().unwrap_or((u64::MAX, 0));
        let epoch = if known == run { epoch } else { epoch + 1 };
        self.runs.insert(client, (run, epoch));
        for family in Family::ALL {
            let own = proxies.iter().copied().filter(|proxy| Family::of(*proxy) == family);
            let own: Vec<IpAddr> = own.collect();
            if own.is_empty() {
                continue;
            }
            for proxy in &own {
                let place = (name.to_owned(), epoch);
                let former = self.proxies.insert((client, *proxy), place);
                if let Some((former, _)) = former.filter(|(former, _)| former != name) {
                    self.ended.push((client, *proxy));
                    let key = (client, former, family);
                    if let Some(others) = self.announced.get_mut(&key) {
                        others.retain(|other| other != proxy);
                    }
                }
            }
            self.announced.insert((client, name.to_owned(), family), own);
        }
        // Nobody asks for a name whose addresses all stand for others: nothing is known of it any
        // more.
        let proxies = &self.proxies;
        let used = |name: &str| proxies.values().any(|(own, _)| own == name);
        self.lookups.retain(|lookup| used(&lookup.name));
        // What the name was announced with in this run counts for all its proxies.
        for ((owner, _), (place, of)) in &mut self.proxies {
            if *owner == client && place == name {
                *of = epoch;
            }
        }
    }

    /// The real address that a new flow to `proxy` would have; `None` if the proxy is not known or
    /// of the past.
    pub(crate) fn real(
        &self,
        client: ClientId,
        proxy: IpAddr,
        floor: u64,
        now: u64,
    ) -> Option<IpAddr> {
        let (name, epoch) = self.proxies.get(&(client, proxy))?;
        let family = Family::of(proxy);
        let current = self.announced.get(&(client, name.clone(), family))?;
        let at = current.iter().position(|own| *own == proxy)?;
        if self.runs.get(&client)?.1 != *epoch {
            return None;
        }
        let standing = self.standing(name, family, floor, now);
        let serves = now <= standing.until + 1_800_000;
        let addresses: Vec<IpAddr> = standing.addresses.into_iter().filter(|_| serves).collect();
        deal(client, &Name::parse(name).unwrap(), current, &addresses)[at]
    }
}

impl Standing {
    fn learn(&mut self, at: u64, started: u64, outcome: Outcome, floor: u64) {
        self.known = true;
        match outcome {
            Ok((addresses, ttl)) => {
                self.addresses = addresses;
                self.until = at + (ttl * 1000).clamp(floor, 300_000);
                self.negative_since = None;
            }
            Err(LookupError::NxDomain | LookupError::NoData) if !self.addresses.is_empty() => {
                let since = *self.negative_since.get_or_insert(at);
                if started >= since + 5000 {
                    self.addresses.clear();
                    self.negative_since = None;
                }
            }
            Err(_) => {}
        }
    }
}
