//! The Client's side: R01-R08, R42. The baseline of R41 is in `resource_nat_halt`.

use std::time::Duration;

use dns::{Families, Family, IpStack, Name, NameId, Proxies, ResourceId};
use nat::control::{AssignedIps, DomainStatus, GatewayId, Status};
use nat::resource_nat::{
    Config, EntryKey, Event, FamilyState, RefreshPolicy, ResourceNat, Verdict,
};
use packet::Instant;

pub(crate) const GATEWAY: GatewayId = GatewayId(1);
pub(crate) const RESOURCE: ResourceId = ResourceId(2);
pub(crate) const NAME: NameId = NameId(3);
pub(crate) const KEY: EntryKey = EntryKey { gateway: GATEWAY, name: NAME, resource: RESOURCE };
const RUN: u64 = 99;

/// A `ResourceNat` with a clock, and what it sent and told.
pub(crate) struct Bench {
    pub(crate) nat: ResourceNat,
    pub(crate) now: Instant,
    pub(crate) sent: Vec<(f64, AssignedIps)>,
    pub(crate) events: Vec<Event>,
}

impl Bench {
    pub(crate) fn new(floor: Duration, policy: RefreshPolicy) -> Self {
        let config = Config { refresh_floor: floor, run: RUN, seed: 5 };
        let nat = ResourceNat::with_policy(config, policy);
        Self { nat, now: Instant::ZERO, sent: Vec::new(), events: Vec::new() }
    }

    fn keep() -> Self {
        Self::new(Duration::ZERO, RefreshPolicy::Keep)
    }

    /// With one entry for which both families were confirmed.
    fn active() -> Self {
        let mut bench = Self::keep();
        bench.establish(IpStack::Dual);
        bench.status(Status::Active, |status| counts(status, Some(2), Some(2)));
        bench.forget();
        bench
    }

    pub(crate) fn establish(&mut self, stack: IpStack) {
        self.establish_key(KEY, stack);
    }

    fn establish_key(&mut self, key: EntryKey, stack: IpStack) {
        self.nat.establish(key, &name(), &proxies(), stack, self.now);
        self.drain();
    }

    pub(crate) fn drain(&mut self) {
        let at = self.now.as_nanos() as f64 / 1e9;
        while let Some((_, message)) = self.nat.poll_transmit() {
            self.sent.push((at, message));
        }
        while let Some(event) = self.nat.poll_event() {
            self.events.push(event);
        }
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.events.clear();
    }

    /// Lets the clock run, firing every timer at its time.
    pub(crate) fn run(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        while let Some((due, _)) = self.nat.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = due;
            self.nat.handle_timeout(due);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn query(&mut self) {
        self.nat.handle_query(NAME, self.now);
        self.drain();
    }

    pub(crate) fn decide(&mut self, family: Family) -> Verdict {
        let verdict = self.nat.decide(GATEWAY, RESOURCE, NAME, family, self.now);
        self.drain();
        verdict
    }

    fn holds(&mut self, family: Family) -> bool {
        matches!(self.decide(family), Verdict::Hold(_))
    }

    /// A status that answers the newest message, changed by `edit`.
    pub(crate) fn status(&mut self, status: Status, edit: impl FnOnce(&mut DomainStatus)) {
        let mut message = DomainStatus::plain(RESOURCE, "app.example.net", status);
        message.id = self.sent.last().and_then(|(_, sent)| sent.id);
        edit(&mut message);
        self.nat.handle_status(GATEWAY, NAME, &message, self.now);
        self.drain();
    }

    fn times(&self) -> Vec<f64> {
        self.sent.iter().map(|(at, _)| *at).collect()
    }

    fn states(&self) -> [FamilyState; 2] {
        self.nat.entry(&KEY).unwrap().states
    }

    fn gave_up(&self) -> Vec<Family> {
        let given = self.events.iter().filter_map(|event| match event {
            Event::GiveUp { family, silent: false, .. } => Some(*family),
            _ => None,
        });
        given.collect()
    }

    pub(crate) fn released(&self) -> Vec<Family> {
        let released = self.events.iter().filter_map(|event| match event {
            Event::Release { family, .. } => Some(*family),
            _ => None,
        });
        released.collect()
    }
}

pub(crate) fn name() -> Name {
    Name::parse("app.example.net").unwrap()
}

pub(crate) fn proxies() -> Proxies {
    Proxies {
        ipv4: [1, 2, 3, 4].map(|host| [100, 96, 0, host].into()),
        ipv6: [0, 1, 2, 3].map(|host| [0xfd00, 0x2021, 0x1111, 0x8000, 0, 0, 0, host].into()),
    }
}

fn counts(status: &mut DomainStatus, ipv4: Option<u32>, ipv6: Option<u32>) {
    (status.ipv4, status.ipv6) = (ipv4, ipv6);
}

const V4: Family = Family::Ipv4;
const V6: Family = Family::Ipv6;

#[test]
fn r01_no_answer_takes_a_working_family_back() {
    let refusals: [fn(&mut DomainStatus); 5] = [
        |status| status.id = None,
        |status| status.id = status.id.map(|id| id - 1),
        |status| counts(status, Some(0), Some(0)),
        |status| status.stale = Some(true),
        |status| status.reason = Some("unresolved".into()),
    ];
    for word in [Status::Active, Status::Inactive] {
        for edit in refusals {
            let mut bench = Bench::active();
            bench.query();
            bench.status(word, edit);
            assert_eq!([bench.decide(V4), bench.decide(V6)], [Verdict::Pass; 2]);
            bench.query();
            bench.run(120.0);
            assert_eq!([bench.decide(V4), bench.decide(V6)], [Verdict::Pass; 2]);
            assert!(bench.gave_up().is_empty());
        }
    }
}

#[test]
fn r01_packets_pass_while_a_refresh_is_unanswered() {
    let mut bench = Bench::active();
    for _ in 0..2000 {
        bench.query();
        assert_eq!(bench.decide(V4), Verdict::Pass);
        bench.run(0.01);
    }
}

#[test]
fn r02_a_failed_refresh_is_tried_again_after_5_s_and_then_ever_more_rarely() {
    let mut bench = Bench::active();
    bench.query();
    bench.status(Status::Active, |status| status.stale = Some(true));
    let mut retries = Vec::new();
    for _ in 0..1000 {
        bench.forget();
        bench.run(1.0);
        bench.decide(V4);
        if !bench.sent.is_empty() {
            retries.extend(bench.times());
            bench.status(Status::Active, |status| status.stale = Some(true));
        }
    }
    assert_eq!(retries, [5.0, 15.0, 35.0, 75.0, 155.0, 315.0, 615.0, 915.0]);
}

#[test]
fn r02_a_stale_entry_that_nobody_uses_is_left_alone_until_it_is_used() {
    let mut bench = Bench::active();
    bench.query();
    bench.status(Status::Inactive, |_| {});
    assert!(bench.events.contains(&Event::Stale { key: KEY }));
    bench.forget();
    for _ in 0..40 {
        bench.run(100.0);
        if !bench.sent.is_empty() {
            bench.status(Status::Inactive, |_| {});
        }
    }
    let last = *bench.times().last().unwrap();
    assert!(last <= 600.0, "retries went on until {last}");
    bench.forget();
    assert_eq!(bench.decide(V4), Verdict::Pass);
    assert_eq!(bench.sent.len(), 1);
    bench.status(Status::Active, |status| counts(status, Some(1), Some(1)));
    bench.forget();
    bench.run(3600.0);
    assert!(bench.sent.is_empty(), "a fresh answer ends the retries");
}

#[test]
fn r03_a_first_set_up_is_sent_by_its_own_timer_for_60_s() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    assert!(bench.holds(V4));
    bench.run(59.9);
    assert!(bench.holds(V4) && bench.gave_up().is_empty());
    bench.run(3600.0);
    let expected = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5, 31.5, 39.5, 47.5, 55.5];
    assert_eq!(bench.times(), expected);
    assert_eq!(bench.gave_up(), [V4, V6]);
    let first = bench.sent[0].1.clone();
    assert!(bench.sent.iter().all(|(_, message)| *message == first), "the same id each time");
    assert_eq!((first.id, first.run), (Some(1), Some(RUN)));
    assert_eq!(first.proxy_ips.len(), 8);
}

#[test]
fn r03_a_refresh_is_sent_five_times_and_then_stale() {
    let mut bench = Bench::active();
    bench.run(100.0);
    bench.query();
    bench.run(15.4);
    assert_eq!(bench.times(), [100.0, 100.5, 101.5, 103.5, 107.5]);
    assert!(!bench.nat.entry(&KEY).unwrap().stale);
    bench.run(0.2);
    assert!(bench.nat.entry(&KEY).unwrap().stale);
    assert_eq!(bench.decide(V4), Verdict::Pass);
}

#[test]
fn r03_a_time_jump_sends_once_and_a_long_one_gives_up() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Ipv4Only);
    bench.now += Duration::from_secs(10);
    bench.nat.handle_timeout(bench.now);
    bench.drain();
    assert_eq!(bench.times(), [0.0, 10.0]);
    bench.run(5.5);
    assert_eq!(bench.times(), [0.0, 10.0, 15.5]);
    bench.now += Duration::from_secs(3600);
    bench.nat.handle_timeout(bench.now);
    bench.drain();
    assert_eq!((bench.gave_up(), bench.sent.len()), (vec![V4], 3));
}

#[test]
fn r04_an_older_id_only_ever_confirms() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    bench.run(61.0);
    bench.run(5.0);
    assert!(bench.holds(V4));
    assert_eq!(bench.sent.last().unwrap().1.id, Some(2));
    bench.forget();
    bench.status(Status::Inactive, |status| status.id = Some(1));
    bench.status(Status::Active, |status| {
        status.id = Some(1);
        counts(status, Some(0), Some(0));
    });
    assert_eq!(bench.states()[0], FamilyState::Establishing);
    bench.status(Status::Active, |status| {
        status.id = Some(1);
        counts(status, Some(3), Some(0));
    });
    assert_eq!(bench.released(), [V4]);
    assert_eq!(bench.states(), [FamilyState::Active, FamilyState::Refused]);
    bench.status(Status::Active, |status| {
        status.id = Some(3);
        counts(status, Some(1), Some(1));
    });
    assert_eq!(bench.states()[1], FamilyState::Refused, "an id that was never sent says nothing");
}

#[test]
fn r04_each_status_of_the_newest_id_applies_and_what_it_leaves_out_stays() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    bench.status(Status::Active, |status| {
        status.id = Some(1);
        counts(status, Some(2), None);
    });
    assert_eq!(bench.states(), [FamilyState::Active, FamilyState::Establishing]);
    bench.status(Status::Active, |status| counts(status, None, Some(1)));
    assert_eq!(bench.states(), [FamilyState::Active; 2]);
    assert_eq!(bench.nat.entry(&KEY).unwrap().counts, [Some(2), Some(1)]);
    bench.status(Status::Active, |status| counts(status, Some(0), None));
    assert_eq!(bench.nat.entry(&KEY).unwrap().counts, [Some(0), Some(1)]);
}

#[test]
fn r04_a_peer_that_does_not_echo_confirms_both_and_denies_only_when_asked() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    bench.status(Status::Active, |status| status.id = None);
    assert_eq!(bench.states(), [FamilyState::Active; 2]);

    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    bench.status(Status::Inactive, |status| status.id = None);
    assert_eq!(bench.states(), [FamilyState::Refused; 2]);
    assert_eq!(bench.gave_up(), [V4, V6]);
    let ignored = bench.nat.counters().statuses_ignored;
    bench.status(Status::Inactive, |status| status.id = None);
    assert_eq!(bench.nat.counters().statuses_ignored, ignored + 1, "nothing was asked");
    bench.status(Status::Active, |status| status.id = None);
    assert_eq!(bench.states(), [FamilyState::Active; 2]);
}

#[test]
fn r05_a_query_touches_the_entries_of_its_name_alone() {
    let mut bench = Bench::active();
    for other in 0..500 {
        let key = EntryKey { name: NameId(1000 + other), ..KEY };
        bench.establish_key(key, IpStack::Dual);
    }
    bench.establish_key(EntryKey { resource: ResourceId(77), ..KEY }, IpStack::Dual);
    let before = *bench.nat.counters();
    bench.query();
    let after = *bench.nat.counters();
    assert_eq!(after.touched_entries - before.touched_entries, 2);
    assert_eq!(after.queries - before.queries, 1);
}

#[test]
fn r06_at_most_one_refresh_is_in_flight() {
    let mut bench = Bench::active();
    for _ in 0..100 {
        bench.query();
    }
    assert_eq!(bench.sent.len(), 1);
    bench.status(Status::Active, |status| counts(status, Some(2), Some(2)));
    bench.query();
    assert_eq!(bench.sent.len(), 2, "floor 0: the next query begins the next one");
    assert_ne!(bench.sent[0].1.id, bench.sent[1].1.id);
    assert_eq!(bench.nat.counters().refreshes_completed, 1);
}

#[test]
fn r06_the_floor_is_a_second_or_the_ttl_up_to_30_s() {
    for (ttl, floor) in [(None, 1.0), (Some(0), 1.0), (Some(7), 7.0), (Some(4000), 30.0)] {
        let mut bench = Bench::new(Duration::from_secs(1), RefreshPolicy::Keep);
        bench.establish(IpStack::Dual);
        bench.status(Status::Active, |status| {
            counts(status, Some(2), Some(2));
            status.ttl = ttl;
        });
        bench.forget();
        bench.run(floor - 0.01);
        bench.query();
        assert!(bench.sent.is_empty(), "{ttl:?}");
        bench.run(0.01);
        bench.query();
        assert_eq!(bench.sent.len(), 1, "{ttl:?}");
    }
}

#[test]
fn r06_floor_zero_switches_the_ttl_member_off() {
    let mut bench = Bench::active();
    bench.query();
    bench.status(Status::Active, |status| status.ttl = Some(30));
    bench.query();
    assert_eq!(bench.sent.len(), 2);
}

#[test]
fn r07_refused_is_retried_at_most_every_5_s_by_a_packet_or_a_query() {
    for by_packet in [true, false] {
        let mut bench = Bench::keep();
        bench.establish(IpStack::Ipv4Only);
        bench.status(Status::Inactive, |_| {});
        bench.forget();
        bench.run(4.9);
        bench.query();
        assert_eq!(bench.decide(V4), Verdict::Refuse);
        assert!(bench.sent.is_empty());
        bench.run(0.1);
        if !by_packet {
            bench.query();
        }
        assert!(bench.holds(V4), "as in a first set-up");
        assert_eq!(bench.sent.len(), 1);
        bench.run(2.0);
        assert_eq!(bench.sent.len(), 3, "its own timer runs");
        bench.status(Status::Active, |status| status.ipv4 = Some(1));
        assert_eq!((bench.released(), bench.decide(V4)), (vec![V4], Verdict::Pass));
    }
}

#[test]
fn r08_a_family_without_address_is_refused_and_an_unknown_one_goes_on() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    bench.status(Status::Active, |status| counts(status, Some(2), None));
    assert_eq!(bench.released(), [V4]);
    assert!(bench.holds(V6));
    bench.run(0.5);
    assert_eq!(bench.sent.len(), 2, "R03 goes on for the other family");
    bench.status(Status::Active, |status| counts(status, Some(2), Some(0)));
    assert_eq!((bench.gave_up(), bench.decide(V6)), (vec![V6], Verdict::Refuse));
    bench.forget();
    bench.run(20.0);
    assert!(bench.sent.is_empty());
}

#[test]
fn r08_a_family_that_the_name_lacks_is_told_once_however_often_it_is_retried() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Dual);
    for _ in 0..10 {
        bench.status(Status::Active, |status| counts(status, Some(2), Some(0)));
        bench.run(6.0);
        bench.query();
        assert!(bench.holds(V6), "R07: as in a first set-up");
    }
    let refused = Event::Refused { key: KEY, family: V6 };
    assert_eq!(bench.events.iter().filter(|event| **event == refused).count(), 1);
    assert_eq!(bench.gave_up().len(), 10);
}

#[test]
fn r08_a_family_is_not_offered_when_all_active_entries_say_0() {
    let mut bench = Bench::keep();
    assert_eq!(bench.nat.families(NAME), Families::ALL);
    bench.establish(IpStack::Dual);
    bench.status(Status::Active, |status| counts(status, Some(2), Some(0)));
    assert_eq!(bench.nat.families(NAME), Families { ipv4: true, ipv6: false });

    let other = EntryKey { gateway: GatewayId(9), ..KEY };
    bench.establish_key(other, IpStack::Dual);
    assert_eq!(bench.nat.families(NAME), Families { ipv4: true, ipv6: false }, "not active yet");
    let mut status = DomainStatus::plain(RESOURCE, "app.example.net", Status::Active);
    status.id = bench.sent.last().unwrap().1.id;
    counts(&mut status, Some(0), Some(4));
    bench.nat.handle_status(other.gateway, NAME, &status, bench.now);
    assert_eq!(bench.nat.families(NAME), Families::ALL);
}

#[test]
fn r08_a_family_that_the_resource_lacks_is_refused_and_never_announced() {
    let mut bench = Bench::keep();
    bench.establish(IpStack::Ipv6Only);
    assert_eq!(bench.decide(V4), Verdict::Refuse);
    assert!(bench.holds(V6));
    assert!(bench.sent[0].1.proxy_ips.iter().all(|address| address.is_ipv6()));
}

#[test]
fn r08_an_entry_idle_for_24_h_gives_up_its_state() {
    let mut bench = Bench::active();
    bench.run(80_000.0);
    assert_eq!(bench.decide(V4), Verdict::Pass);
    bench.run(86_399.0);
    assert!(bench.nat.entry(&KEY).is_some());
    bench.run(2.0);
    assert!(bench.nat.entry(&KEY).is_none());
    assert_eq!(bench.decide(V4), Verdict::Unknown);
    assert_eq!(bench.nat.poll_timeout(), None);
}

#[test]
fn r42_another_key_begins_anew_and_the_same_key_is_told_at_once() {
    let mut bench = Bench::active();
    bench.nat.connection_made(GATEWAY, true, bench.now);
    bench.drain();
    assert_eq!((bench.sent.len(), bench.decide(V4)), (1, Verdict::Pass));
    bench.nat.connection_made(GATEWAY, false, bench.now);
    bench.drain();
    assert_eq!(bench.sent.len(), 2);
    assert!(bench.holds(V4) && bench.holds(V6));
}

#[test]
fn r42_an_entry_that_was_not_in_use_is_told_at_its_next_packet_or_query() {
    for by_packet in [true, false] {
        let mut bench = Bench::active();
        bench.run(301.0);
        bench.nat.connection_made(GATEWAY, true, bench.now);
        bench.drain();
        assert!(bench.sent.is_empty());
        if by_packet {
            assert_eq!(bench.decide(V4), Verdict::Pass);
        } else {
            bench.query();
        }
        assert_eq!(bench.sent.len(), 1);
        bench.decide(V4);
        assert_eq!(bench.sent.len(), 1);
    }
}

#[test]
fn r42_prohibited_sends_ever_more_rarely_while_it_keeps_coming() {
    let mut bench = Bench::active();
    for _ in 0..1400 {
        bench.nat.handle_prohibited(GATEWAY, RESOURCE, NAME, bench.now);
        bench.drain();
        bench.status(Status::Active, |status| counts(status, Some(2), Some(2)));
        assert_eq!(bench.decide(V4), Verdict::Pass);
        bench.run(0.1);
    }
    let expected = [0.0, 1.0, 3.0, 7.0, 15.0, 31.0, 63.0, 123.0];
    assert_eq!(bench.times().len(), expected.len());
    assert!(bench.times().iter().zip(expected).all(|(at, due)| (at - due).abs() < 0.11));
    bench.run(60.0);
    bench.forget();
    bench.nat.handle_prohibited(GATEWAY, RESOURCE, NAME, bench.now);
    bench.drain();
    assert_eq!(bench.sent.len(), 1, "forgotten after 60 s");
}

#[test]
fn r42_lost_access_ends_the_entry_by_the_newest_id_alone() {
    let access = |status: &mut DomainStatus| status.reason = Some("access".into());
    let mut bench = Bench::active();
    bench.query();
    bench.status(Status::Inactive, |status| {
        access(status);
        status.id = status.id.map(|id| id - 1);
    });
    assert_eq!(bench.decide(V4), Verdict::Pass);
    bench.status(Status::Inactive, access);
    assert!(bench.events.contains(&Event::AccessLost { key: KEY }));
    assert_eq!(bench.decide(V4), Verdict::Unknown);
}

#[test]
fn what_is_held_is_given_up_when_the_resource_or_the_gateway_is_lost() {
    let removals: [fn(&mut ResourceNat); 3] = [
        |nat| nat.remove_resource(RESOURCE),
        |nat| nat.remove_gateway(GATEWAY),
        |nat| nat.remove_name(NAME),
    ];
    for remove in removals {
        let mut bench = Bench::keep();
        bench.establish(IpStack::Dual);
        remove(&mut bench.nat);
        bench.drain();
        assert_eq!(bench.gave_up(), [V4, V6]);
        assert_eq!((bench.nat.poll_timeout(), bench.decide(V4)), (None, Verdict::Unknown));
    }
}

#[test]
fn a_status_of_no_entry_is_counted_and_changes_nothing() {
    let mut bench = Bench::keep();
    bench.status(Status::Active, |_| {});
    assert_eq!(bench.nat.counters().statuses_ignored, 1);
    assert!(bench.events.is_empty());
}
