//! The Gateway's side: the harness, and R17, R18, R23, R24, R33. The deal is in `translations_deal`,
//! what is asked and told in `translations_status` and `translations_lookup`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, Pattern, ResourceId};
use nat::control::{AssignedIps, ClientId, DomainStatus, Status};
use nat::translations::{
    Access, Config, Denied, Event, LookupError, LookupId, TranslationState, Translations,
};
use packet::Instant;

pub(crate) const CLIENT: ClientId = ClientId(1);
pub(crate) const OTHER: ClientId = ClientId(2);
pub(crate) const RESOURCE: ResourceId = ResourceId(10);
pub(crate) const V4: Family = Family::Ipv4;
pub(crate) const V6: Family = Family::Ipv6;

/// Who may reach what, and which proxies have a live flow.
#[derive(Default)]
pub(crate) struct Rights {
    patterns: BTreeMap<(ClientId, ResourceId), Pattern>,
    live: BTreeSet<(ClientId, IpAddr)>,
}

impl Access for Rights {
    fn dns_resource(&self, client: ClientId, resource: ResourceId) -> Result<&Pattern, Denied> {
        if resource == ResourceId(404) {
            return Err(Denied::NotDns);
        }
        self.patterns.get(&(client, resource)).ok_or(Denied::NotAuthorised)
    }

    fn has_live_flow(&self, client: ClientId, proxy: IpAddr) -> bool {
        self.live.contains(&(client, proxy))
    }
}

/// A Gateway with a clock, and what it wanted, sent and told.
pub(crate) struct Site {
    pub(crate) core: Translations,
    pub(crate) rights: Rights,
    pub(crate) now: Instant,
    pub(crate) wanted: Vec<(LookupId, String, Family)>,
    pub(crate) sent: Vec<(Instant, ClientId, DomainStatus)>,
    pub(crate) events: Vec<Event>,
}

impl Site {
    pub(crate) fn new(config: Config) -> Self {
        let mut rights = Rights::default();
        for client in [CLIENT, OTHER] {
            let pattern = Pattern::parse("**.example.net").unwrap();
            rights.patterns.insert((client, RESOURCE), pattern);
        }
        Self {
            core: Translations::new(config),
            rights,
            now: Instant::ZERO,
            wanted: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(crate) fn drain(&mut self) {
        while let Some((client, status)) = self.core.poll_transmit() {
            self.sent.push((self.now, client, status));
        }
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Resolve { id, name, family } => {
                    self.wanted.push((id, name.as_str().to_owned(), family));
                }
                event => self.events.push(event),
            }
        }
    }

    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        while let Some((due, _)) = self.core.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = due;
            self.core.handle_timeout(due);
            self.drain();
        }
        self.now = end;
    }

    pub(crate) fn announce(&mut self, client: ClientId, message: &AssignedIps) {
        self.core.handle_assigned_ips(client, message, &self.rights, self.now);
        self.drain();
    }

    pub(crate) fn resolve(
        &mut self,
        id: LookupId,
        family: Family,
        result: Result<Vec<(IpAddr, u32)>, LookupError>,
    ) {
        self.core.handle_resolved(id, family, result, self.now);
        self.drain();
    }

    /// Ends the newest look-up of a family.
    pub(crate) fn answer(&mut self, family: Family, result: Result<&[&str], LookupError>) {
        let of_family = self.wanted.iter().rev().find(|(_, _, own)| *own == family);
        let (id, ..) = of_family.expect("no look-up was wanted").clone();
        self.resolve(id, family, result.map(|texts| records(texts, 60)));
    }

    pub(crate) fn answer_both(&mut self, v4: &[&str], v6: &[&str]) {
        for (family, texts) in [(V4, v4), (V6, v6)] {
            let result = if texts.is_empty() { Err(LookupError::NoData) } else { Ok(texts) };
            self.answer(family, result);
        }
    }

    pub(crate) fn real(&mut self, client: ClientId, proxy: &str) -> Option<String> {
        let found = self.core.find(client, proxy.parse().unwrap(), self.now)?;
        found.real.map(|real| real.to_string())
    }

    pub(crate) fn state(&mut self, proxy: &str) -> TranslationState {
        self.core.find(CLIENT, proxy.parse().unwrap(), self.now).unwrap().state
    }

    pub(crate) fn last(&self) -> &DomainStatus {
        &self.sent.last().expect("no status was sent").2
    }

    fn ended(&self) -> Vec<String> {
        let ended = self.events.iter().filter_map(|event| match event {
            Event::EndProxy { proxy, .. } => Some(proxy.to_string()),
            _ => None,
        });
        ended.collect()
    }
}

pub(crate) fn records(texts: &[&str], ttl: u32) -> Vec<(IpAddr, u32)> {
    texts.iter().map(|text| (text.parse().unwrap(), ttl)).collect()
}

/// The `group`-th name's addresses: four IPv4 and four IPv6.
pub(crate) fn proxies(group: u16) -> Vec<IpAddr> {
    let host = |at: u16| group * 4 + at;
    let v4 = (1..5).map(|at| [100, 96, (host(at) >> 8) as u8, host(at) as u8].into());
    let v6 = (0..4).map(|at| [0xfd00, 0x2021, 0x1111, 0x8000, 0, 0, 0, host(at)].into());
    v4.chain(v6).collect()
}

pub(crate) fn assigned(domain: &str, group: u16, id: u64, run: u64) -> AssignedIps {
    AssignedIps {
        resource: RESOURCE,
        domain: domain.into(),
        proxy_ips: proxies(group),
        id: Some(id),
        run: Some(run),
    }
}

pub(crate) fn plain(domain: &str, group: u16) -> AssignedIps {
    AssignedIps { id: None, run: None, ..assigned(domain, group, 0, 0) }
}

/// A site where `app.example.net` has two IPv4 and one IPv6 address and stands.
pub(crate) fn standing(config: Config) -> Site {
    let mut site = Site::new(config);
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    site.answer_both(&["10.0.0.1", "10.0.0.2"], &["fd12::1"]);
    assert_eq!(site.last().status, Status::Active);
    site.sent.clear();
    site.events.clear();
    site.wanted.clear();
    site
}

#[test]
fn r17_a_message_that_is_not_valid_changes_nothing_and_is_answered_inactive() {
    let good = assigned("other.example.net", 0, 2, 7);
    let with = |edit: &dyn Fn(&mut AssignedIps)| {
        let mut message = good.clone();
        edit(&mut message);
        message
    };
    let bad = [
        with(&|message| message.resource = ResourceId(11)),
        with(&|message| message.resource = ResourceId(404)),
        with(&|message| message.domain = "example.org".into()),
        with(&|message| message.domain = "evilexample.net".into()),
        with(&|message| message.domain = "a..example.net".into()),
        with(&|message| message.proxy_ips.clear()),
        with(&|message| message.proxy_ips.push("10.0.0.1".parse().unwrap())),
        with(&|message| message.proxy_ips.push("100.64.0.1".parse().unwrap())),
        with(&|message| message.proxy_ips.push("100.100.111.7".parse().unwrap())),
        with(&|message| {
            message.proxy_ips.push("fd00:2021:1111:8000:100:100:111:3".parse().unwrap())
        }),
        with(&|message| message.proxy_ips = [proxies(0), proxies(1), proxies(2)].concat()),
        // One more than R17 allows.
        with(&|message| {
            message.proxy_ips = [proxies(0), proxies(1), vec![proxies(2)[0]]].concat();
        }),
    ];
    let mut site = standing(Config::default());
    let before = (site.real(CLIENT, "100.96.0.1"), *site.core.counters());
    for message in &bad {
        site.announce(CLIENT, message);
        let status = site.last();
        assert_eq!((status.status, status.id), (Status::Inactive, Some(2)), "{message:?}");
        let denied = message.resource == ResourceId(11);
        assert_eq!(status.reason.as_deref(), denied.then_some("access"));
    }
    assert_eq!(site.real(CLIENT, "100.96.0.1"), before.0);
    assert!(site.wanted.is_empty() && site.events.is_empty());
    assert_eq!(site.core.counters().touched_proxies, before.1.touched_proxies);
    assert_eq!(site.core.counters().rejected, bad.len() as u64);
}

#[test]
fn r17_the_pattern_is_compared_without_regard_to_case() {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &plain("App.EXAMPLE.net", 0));
    assert_eq!(site.wanted[0].1, "app.example.net");
    site.answer_both(&["10.0.0.1"], &[]);
    assert_eq!(
        (site.last().status, site.last().domain.as_str()),
        (Status::Active, "App.EXAMPLE.net")
    );
}

#[test]
fn r17_sixteen_addresses_are_taken_and_further_ranges_may_be_configured() {
    let mut config = Config::default();
    config.proxy_ranges.push("198.18.0.0/15".parse().unwrap());
    let mut site = Site::new(config);
    let mut message = plain("app.example.net", 0);
    message.proxy_ips.extend(proxies(1));
    site.announce(CLIENT, &message);
    assert!(site.sent.is_empty() && site.wanted.len() == 2);
    message.domain = "b.example.net".into();
    message.proxy_ips = vec!["198.19.0.1".parse().unwrap()];
    site.announce(CLIENT, &message);
    assert_eq!(site.wanted.len(), 3);
}

#[test]
fn r18_addresses_that_must_never_be_reached_are_dropped() {
    let forbidden = [
        "0.0.0.0",
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.8",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "100.64.3.4",
        "100.96.0.1",
        "100.100.111.1",
        "203.0.113.9",
    ];
    let forbidden_v6 = [
        "::",
        "::1",
        "::10.0.0.1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "fd00:ec2::254",
        "fd00:2021:1111::1",
        "fd00:2021:1111:8000::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::7f00:1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::127.0.0.1",
        "2001:db8::9",
        // Teredo: loopback as the client, inverted; as the server.
        "2001:0:a00:1::80ff:fffe",
        "2001:0:7f00:1::f5ff:fffe",
        "64:ff9b::203.0.113.9",
    ];
    let good = ["10.0.0.1", "192.168.1.1", "8.8.8.8", "192.0.2.1"];
    let good_v6 =
        ["fd12::1", "2001:db8::1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "2001:0:a00:1::f5ff:fffe"];
    let own_addresses = vec!["203.0.113.9".parse().unwrap(), "2001:db8::9".parse().unwrap()];
    let mut site = Site::new(Config { own_addresses, ..Config::default() });
    site.announce(CLIENT, &plain("app.example.net", 0));
    site.answer(V4, Ok(&[&forbidden[..], &good[..]].concat()));
    site.answer(V6, Ok(&[&forbidden_v6[..], &good_v6[..]].concat()));
    assert_eq!((site.last().ipv4, site.last().ipv6), (Some(4), Some(5)));
    let dropped = (forbidden.len() + forbidden_v6.len()) as u64;
    assert_eq!(site.core.counters().forbidden_addresses, dropped);
    for at in 1..5 {
        let real = site.real(CLIENT, &format!("100.96.0.{at}")).unwrap();
        assert!(good.contains(&real.as_str()), "{real}");
    }
}

#[test]
fn r18_an_answer_with_nothing_else_is_no_answer() {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &plain("app.example.net", 0));
    site.answer(V4, Ok(&["127.0.0.1"]));
    site.answer(V6, Ok(&["::1"]));
    assert_eq!(site.last().status, Status::Inactive);
}

#[test]
fn r18_allow_real_makes_exceptions() {
    let allow_real = ["127.0.0.0/8", "203.0.113.9/32"].map(|text| text.parse().unwrap()).to_vec();
    let own_addresses = vec!["203.0.113.9".parse().unwrap()];
    let mut site = Site::new(Config { own_addresses, allow_real, ..Config::default() });
    site.announce(CLIENT, &plain("app.example.net", 0));
    site.answer(V4, Ok(&["127.0.0.1", "203.0.113.9", "169.254.1.1"]));
    site.answer(V6, Ok(&["64:ff9b::127.0.0.1", "::1"]));
    assert_eq!((site.last().ipv4, site.last().ipv6), (Some(2), Some(1)));
}

#[test]
fn r23_in_the_same_run_a_proxy_that_moved_ends_its_flows_alone() {
    let mut site = standing(Config::default());
    site.announce(CLIENT, &assigned("keep.example.net", 1, 2, 7));
    site.answer_both(&["10.0.1.1"], &[]);
    let mut message = assigned("new.example.net", 0, 3, 7);
    message.proxy_ips.truncate(1);
    site.announce(CLIENT, &message);
    site.answer(V4, Ok(&["10.9.9.9"]));
    assert_eq!(site.ended(), ["100.96.0.1"]);
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.9.9.9"));
    assert_ne!(site.state("100.96.0.2"), TranslationState::Former);
    assert_eq!(site.real(CLIENT, "100.96.0.5").as_deref(), Some("10.0.1.1"));
}

#[test]
fn r23_after_a_restart_older_translations_serve_live_flows_only_until_announced_again() {
    let mut site = standing(Config::default());
    site.announce(CLIENT, &assigned("app.example.net", 2, 2, 7));
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    site.announce(CLIENT, &assigned("silent.example.net", 3, 4, 7));
    site.answer_both(&["10.0.0.1"], &[]);
    assert!(site.real(CLIENT, "100.96.0.13").is_some());
    site.announce(CLIENT, &assigned("app.example.net", 5, 1, 8));
    assert!(site.ended().is_empty(), "no proxy moved");
    for proxy in ["100.96.0.13", "100.96.0.1", "100.96.0.4", "fd00:2021:1111:8000::1"] {
        assert_eq!((site.real(CLIENT, proxy), site.state(proxy)), (None, TranslationState::Former));
        let real = "10.0.0.1".parse().unwrap();
        let v4 = proxy.starts_with("100");
        assert_eq!(site.core.answer_contains(CLIENT, proxy.parse().unwrap(), real), v4);
    }
    assert!(site.real(CLIENT, "100.96.0.21").is_some());
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 8));
    assert!(site.real(CLIENT, "100.96.0.1").is_some());
    assert_eq!(site.state("100.96.0.21"), TranslationState::Former, "the newest proxies count");
}

#[test]
fn r23_a_restart_that_renumbers_ends_the_flows_of_what_moved() {
    for run in [Some(8), None] {
        let mut site = standing(Config::default());
        site.announce(CLIENT, &assigned("b.example.net", 1, 2, 7));
        let message = AssignedIps { run, ..assigned("b.example.net", 0, 1, 0) };
        site.announce(CLIENT, &message);
        assert_eq!(site.ended().len(), 8, "{run:?}");
        assert_eq!(site.state("100.96.0.5"), TranslationState::Former);
        site.announce(CLIENT, &AssignedIps { run, ..assigned("app.example.net", 1, 2, 0) });
        assert_eq!(site.ended().len(), 16);
        assert!(site.core.find(OTHER, "100.96.0.1".parse().unwrap(), site.now).is_none());
    }
}

#[test]
fn r23_without_a_run_and_without_a_move_nothing_becomes_former() {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &plain("a.example.net", 0));
    site.answer_both(&["10.0.0.1"], &[]);
    site.announce(CLIENT, &plain("b.example.net", 1));
    site.announce(CLIENT, &plain("a.example.net", 0));
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.0.0.1"));
    assert!(site.events.iter().all(|event| !matches!(event, Event::EndProxy { .. })));
}

#[test]
fn r23_a_message_of_the_past_moves_nothing_and_is_answered() {
    let mut site = standing(Config::default());
    site.announce(CLIENT, &assigned("b.example.net", 0, 5, 7));
    site.answer_both(&["10.0.2.1"], &[]);
    site.events.clear();
    site.announce(CLIENT, &assigned("app.example.net", 0, 4, 7));
    assert_eq!((site.last().id, site.core.counters().outdated), (Some(4), 1));
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.0.2.1"));

    site.announce(CLIENT, &assigned("b.example.net", 0, 1, 9));
    site.run(100);
    site.announce(CLIENT, &assigned("b.example.net", 0, 6, 7));
    assert_eq!((site.last().status, site.last().stale), (Status::Active, Some(true)));
    assert_eq!((site.core.counters().outdated, site.ended().len()), (2, 0));
}

#[test]
fn r23_ids_of_a_former_run_do_not_hold_up_the_next() {
    let mut site = standing(Config::default());
    site.announce(CLIENT, &assigned("app.example.net", 0, 500, 7));
    site.announce(CLIENT, &assigned("a.example.net", 9, 1, 8));
    site.announce(CLIENT, &assigned("b.example.net", 0, 2, 8));
    site.announce(CLIENT, &assigned("app.example.net", 1, 3, 8));
    assert_eq!(site.core.counters().outdated, 0);
    assert_eq!(site.ended().len(), 8);
}

#[test]
fn r23_a_move_is_remembered_for_7440_s() {
    let mut site = standing(Config::default());
    let proxy = "100.96.0.1".parse().unwrap();
    assert!(!site.core.moved_recently(CLIENT, proxy, site.now));
    site.announce(CLIENT, &assigned("b.example.net", 0, 2, 7));
    assert!(site.core.moved_recently(CLIENT, proxy, site.now));
    assert!(!site.core.moved_recently(OTHER, proxy, site.now));
    site.run(7_439_000);
    assert!(site.core.moved_recently(CLIENT, proxy, site.now));
    site.run(1000);
    assert!(!site.core.moved_recently(CLIENT, proxy, site.now));
    site.announce(CLIENT, &assigned("c.example.net", 1, 3, 7));
    site.core.remove_client(CLIENT);
    site.announce(CLIENT, &assigned("c.example.net", 1, 3, 7));
    assert!(!site.core.moved_recently(CLIENT, proxy, site.now));
}

#[test]
fn r24_a_change_touches_the_proxies_of_the_name_alone() {
    let mut site = standing(Config::default());
    for group in 1..1000 {
        site.announce(
            CLIENT,
            &assigned(&format!("n{group}.example.net"), group, 1 + u64::from(group), 7),
        );
    }
    site.real(CLIENT, "100.96.0.1");
    let before = site.core.counters().touched_proxies;
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2000, 7));
    site.answer(V4, Ok(&["10.7.7.7"]));
    for _ in 0..100 {
        assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.7.7.7"));
    }
    assert_eq!(site.core.counters().touched_proxies - before, 8 + 4, "announced, then dealt");
}

#[test]
fn r33_at_the_cap_the_name_idle_longest_without_a_live_flow_gives_way() {
    let mut site = Site::new(Config { max_names: 3, ..Config::default() });
    for group in 0..3 {
        site.announce(CLIENT, &assigned(&format!("n{group}.example.net"), group, 1, 7));
        site.answer_both(&["10.0.0.1"], &[]);
    }
    site.rights.live.insert((CLIENT, "100.96.0.2".parse().unwrap()));
    site.real(CLIENT, "100.96.0.5");
    site.announce(CLIENT, &assigned("n3.example.net", 3, 1, 7));
    let known = |site: &mut Site, proxy: &str| site.real(CLIENT, proxy).is_some();
    assert!(known(&mut site, "100.96.0.1"), "it has a live flow");
    assert!(known(&mut site, "100.96.0.5"), "it was used");
    assert!(!known(&mut site, "100.96.0.9"));
    assert_eq!(site.core.counters().capped, 0);
}

#[test]
fn r33_when_live_names_fill_the_cap_a_new_one_is_refused_and_old_ones_go_on() {
    let mut site = Site::new(Config { max_proxies: 16, ..Config::default() });
    for group in 0..2 {
        site.announce(CLIENT, &assigned(&format!("n{group}.example.net"), group, 1, 7));
        site.answer_both(&["10.0.0.1"], &[]);
        site.rights.live.insert((CLIENT, proxies(group)[0]));
    }
    site.announce(CLIENT, &assigned("n2.example.net", 2, 1, 7));
    assert_eq!((site.last().status, site.core.counters().capped), (Status::Inactive, 1));
    site.announce(CLIENT, &assigned("n0.example.net", 0, 2, 7));
    assert_eq!(site.last().status, Status::Active);
    site.announce(OTHER, &assigned("n2.example.net", 2, 1, 7));
    assert_eq!(site.core.counters().capped, 1, "the cap is per Client");
}

#[test]
fn a_resource_or_a_client_that_is_removed_takes_its_names_along() {
    let second = ResourceId(12);
    let mut site = standing(Config::default());
    site.rights.patterns.insert((CLIENT, second), Pattern::parse("app.*.net").unwrap());
    let by_second = AssignedIps { resource: second, ..assigned("app.example.net", 0, 2, 7) };
    site.announce(CLIENT, &by_second);
    let proxy: IpAddr = "100.96.0.1".parse().unwrap();
    assert_eq!(site.core.resources(CLIENT, proxy), [RESOURCE, second]);
    site.core.remove_resource(CLIENT, RESOURCE);
    assert_eq!(site.core.resources(CLIENT, proxy), [second]);
    assert!(site.real(CLIENT, "100.96.0.1").is_some());
    site.core.remove_resource(CLIENT, second);
    assert!(site.core.find(CLIENT, proxy, site.now).is_none());
    site.announce(CLIENT, &by_second);
    site.core.remove_client(CLIENT);
    assert!(site.core.find(CLIENT, proxy, site.now).is_none());
    assert_eq!(site.core.poll_timeout(), None, "no timer is left behind");
    assert_eq!(site.core.inspect(0, site.now).count(), 0);
}

#[test]
fn resources_of_a_name_have_another_version_after_each_change() {
    let second = ResourceId(12);
    let mut site = standing(Config::default());
    site.rights.patterns.insert((CLIENT, second), Pattern::parse("app.*.net").unwrap());
    let proxy: IpAddr = "100.96.0.1".parse().unwrap();
    let version = |site: &Site| site.core.announced(CLIENT, proxy).version;
    let alone = version(&site);
    site.announce(
        CLIENT,
        &AssignedIps { resource: second, ..assigned("app.example.net", 0, 2, 7) },
    );
    let both = version(&site);
    site.core.remove_resource(CLIENT, ResourceId(13));
    assert_eq!(version(&site), both, "nothing was removed");
    site.core.remove_resource(CLIENT, RESOURCE);
    let versions = BTreeSet::from([alone, both, version(&site)]);
    assert_eq!(versions.len(), 3, "{versions:?}");
}
