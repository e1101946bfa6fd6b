//! `Translations` against the naive model, under results that are lost, late, repeated and out of
//! order, restarts of Clients and time jumps.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use dns::Family;
use nat::control::{ClientId, Status};
use nat::translations::{Config, Event, LookupError, LookupId};
use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::model_translations::{Lookup, Model, Outcome};
use crate::translations::{CLIENT, OTHER, Site, assigned, proxies};

const NAMES: [&str; 3] = ["a.example.net", "b.example.net", "c.example.net"];

#[derive(Clone, Debug)]
enum Step {
    Announce {
        client: ClientId,
        name: usize,
        group: u16,
    },
    Restart(ClientId),
    /// Ends one of the look-ups that have not ended; those that are never drawn are lost.
    Result {
        which: usize,
        outcome: Outcome,
    },
    /// Repeats a result that was given already, with other addresses.
    Repeat(usize),
    NewFlow(ClientId, u16),
    Millis(u64),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let addresses = prop::collection::btree_set(1u8..9, 1..5);
    let good = (addresses, prop_oneof![Just(0u64), Just(2), Just(1000)]);
    prop_oneof![
        4 => good.prop_map(|(hosts, ttl)| {
            Ok((hosts.into_iter().map(|host| [10, 0, 0, host].into()).collect(), ttl))
        }),
        2 => Just(Err(LookupError::NxDomain)),
        1 => Just(Err(LookupError::NoData)),
        2 => Just(Err(LookupError::ServFail)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![Just(CLIENT), Just(OTHER)];
    prop_oneof![
        8 => (client(), 0usize..3, 0u16..3)
            .prop_map(|(client, name, group)| Step::Announce { client, name, group }),
        1 => client().prop_map(Step::Restart),
        8 => (0usize..8, outcome()).prop_map(|(which, outcome)| Step::Result { which, outcome }),
        1 => (0usize..50).prop_map(Step::Repeat),
        3 => (client(), 0u16..3).prop_map(|(client, group)| Step::NewFlow(client, group)),
        4 => (1u64..200).prop_map(Step::Millis),
        3 => (200u64..8000).prop_map(Step::Millis),
        1 => (8000u64..700_000).prop_map(Step::Millis),
    ]
}

struct Run {
    site: Site,
    model: Model,
    floor: u64,
    /// Results given so far.
    seen: u64,
    next_id: u64,
    run: BTreeMap<ClientId, u64>,
    /// When each message came that must still be answered, and whether something stood then.
    open: BTreeMap<(ClientId, u64), (u64, bool)>,
    /// Names of a Client that had an address once.
    worked: BTreeSet<(ClientId, String)>,
}

/// Everything is IPv4 here: the families are the same code, and the timing of two is tested by
/// itself.
const FAMILY: Family = Family::Ipv4;

impl Run {
    fn new(floor: u64) -> Self {
        let floors = Duration::from_millis(floor);
        let config = Config { cache_floor: floors, failure_cache: floors, ..Config::default() };
        Self {
            site: Site::new(config),
            model: Model::default(),
            floor,
            seen: 0,
            next_id: 0,
            run: BTreeMap::from([(CLIENT, 1), (OTHER, 1_000_000)]),
            open: BTreeMap::new(),
            worked: BTreeSet::new(),
        }
    }

    fn millis(&self) -> u64 {
        self.site.now.as_nanos() / 1_000_000
    }

    fn announce(&mut self, client: ClientId, name: usize, group: u16) {
        self.next_id += 1;
        let mut message = assigned(NAMES[name], group, self.next_id, self.run[&client]);
        message.proxy_ips.truncate(4);
        if self.model.run_of(client) != Some(self.run[&client]) {
            self.open.retain(|(owner, _), _| *owner != client);
        }
        let now = self.millis();
        let standing = self.model.standing(NAMES[name], FAMILY, self.floor, now);
        self.open.insert((client, self.next_id), (now, !standing.addresses.is_empty()));
        self.model.announce(client, NAMES[name], &message.proxy_ips, self.run[&client]);
        self.site.announce(client, &message);
    }

    /// Notes the look-ups that were wanted; two never run beside each other for one name.
    fn note_lookups(&mut self) -> Result<(), TestCaseError> {
        let now = self.millis();
        for (id, name, family) in self.site.wanted.drain(..) {
            let running =
                self.model.lookups.iter().filter(|own| {
                    own.name == name && own.ended.is_none() && now < own.started + 5000
                });
            prop_assert_eq!(running.count(), 0, "R20: coalesced");
            self.model.lookups.push(Lookup { id: id.0, name, family, started: now, ended: None });
        }
        Ok(())
    }

    fn result(&mut self, which: usize, outcome: Outcome) {
        let open = self.model.lookups.iter_mut().rev().filter(|own| own.ended.is_none());
        let now = self.site.now.as_nanos() / 1_000_000;
        let recent = open.filter(|own| now < own.started + 55_000);
        let Some(lookup) = recent.take(4).nth(which) else { return };
        self.seen += 1;
        lookup.ended = Some((now, self.seen, outcome.clone()));
        let (id, family) = (LookupId(lookup.id), lookup.family);
        let result = outcome.map(|(addresses, ttl)| {
            addresses.into_iter().map(|address| (address, ttl as u32)).collect()
        });
        self.site.resolve(id, family, result);
    }

    fn repeat(&mut self, which: usize) {
        let ended = self.model.lookups.iter().filter(|own| own.ended.is_some());
        if let Some(lookup) = ended.clone().nth(which % ended.count().max(1)) {
            let address: IpAddr = [10, 9, 9, 9].into();
            self.site.resolve(LookupId(lookup.id), lookup.family, Ok(vec![(address, 60)]));
        }
    }

    /// Lets time pass, noting look-ups at the time at which each is wanted.
    fn pass(&mut self, millis: u64) -> Result<(), TestCaseError> {
        let end = self.millis() + millis;
        while let Some((due, _)) = self.site.core.poll_timeout() {
            let due = due.as_nanos().div_ceil(1_000_000);
            if due > end {
                break;
            }
            self.site.run(due.saturating_sub(self.millis()));
            self.check()?;
        }
        self.site.now = Instant::from_nanos(end * 1_000_000);
        Ok(())
    }

    fn check(&mut self) -> Result<(), TestCaseError> {
        self.note_lookups()?;
        let now = self.millis();
        for client in [CLIENT, OTHER] {
            for proxy in (0..3).flat_map(|group| proxies(group)[..4].to_vec()) {
                let found = self.site.core.find(client, proxy, self.site.now);
                let expected = self.model.real(client, proxy, self.floor, now);
                prop_assert_eq!(
                    found.and_then(|found| found.real),
                    expected,
                    "{} at {}",
                    proxy,
                    now
                );
            }
        }
        self.check_statuses(now)?;
        let ended = self.site.events.drain(..).filter_map(|event| match event {
            Event::EndProxy { client, proxy } => Some((client, proxy)),
            _ => None,
        });
        let ended: Vec<_> = ended.collect();
        prop_assert_eq!(ended, std::mem::take(&mut self.model.ended));
        Ok(())
    }

    fn check_statuses(&mut self, now: u64) -> Result<(), TestCaseError> {
        for (_, client, status) in self.site.sent.drain(..) {
            let key = (client, status.domain.clone());
            let standing = self.model.standing(&status.domain, FAMILY, self.floor, now);
            let had = !standing.addresses.is_empty() || self.worked.contains(&key);
            prop_assert_eq!(status.status == Status::Active, had, "R25: {:?}", status);
            if !standing.addresses.is_empty() {
                self.worked.insert(key);
            }
            if let Some((at, stood)) = status.id.and_then(|id| self.open.remove(&(client, id))) {
                let limit = if stood { 50 } else { 5000 };
                prop_assert!(now <= at + limit, "R19: {} ms for {:?}", now - at, status);
            }
        }
        self.worked.retain(|(client, name)| self.model.points_to(*client, name));
        let late = self.open.iter().find(|(_, (at, _))| now > at + 5000);
        prop_assert!(late.is_none(), "R25: never answered: {:?}", late);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0x5220),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r19_r20_r21_r22_r23_r25_agree_with_the_model(
        floor in prop_oneof![Just(0u64), Just(1000)],
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let mut run = Run::new(floor);
        for step in steps {
            match step {
                Step::Announce { client, name, group } => run.announce(client, name, group),
                Step::Restart(client) => *run.run.entry(client).or_default() += 1,
                Step::Result { which, outcome } => run.result(which, outcome),
                Step::Repeat(which) => run.repeat(which),
                Step::NewFlow(client, group) => {
                    run.site.core.want_fresh(client, proxies(group)[0], run.site.now);
                    run.site.drain();
                }
                Step::Millis(millis) => run.pass(millis)?,
            }
            run.check()?;
        }
    }
}
