//! NAT state that crosses to another process: both go on alike, and what is no such state is refused as a
//! whole (R38).

use std::collections::BTreeMap;
use std::time::Duration;

use dns::{Family, Prefix, ResourceId};
use nat::control::ClientId;
use nat::flow_table::{Binding, Config as FlowConfig, FlowTable, Inbound, Outbound, PeerIndex};
use nat::state::{Imported, Owner, StateError, export, import};
use nat::translations::{Config, Event, LookupError, Translations};
use packet::{Protocol, TcpFlags};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::flow_table_pair::{from_client, from_outside};
use crate::translations::{CLIENT, OTHER, RESOURCE, Site, assigned, proxies};

const NAMES: [&str; 3] = ["a.example.net", "b.example.net", "c.example.net"];

/// Who knows both Clients, under numbers of its own.
struct Numbers(Vec<ClientId>);

impl Owner for Numbers {
    fn peer(&self, client: ClientId) -> Option<PeerIndex> {
        let at = self.0.iter().position(|known| *known == client)?;
        Some(PeerIndex(at as u32))
    }

    fn tag(&self, resource: ResourceId) -> Option<u32> {
        (resource == RESOURCE).then_some(7)
    }

    fn client(&self, peer: PeerIndex) -> Option<ClientId> {
        self.0.get(peer.0 as usize).copied()
    }

    fn resource(&self, tag: u32) -> Option<ResourceId> {
        (tag == 3).then_some(RESOURCE)
    }
}

fn before() -> Numbers {
    Numbers(vec![CLIENT, OTHER])
}

fn after() -> Numbers {
    Numbers(vec![ClientId(99), OTHER, CLIENT])
}

fn flows() -> FlowTable {
    FlowTable::new(FlowConfig::default(), 1)
}

/// The site's state in another process with the same settings.
fn handed_over(site: &Site, config: Config) -> Site {
    let mut other = Site::new(config);
    other.now = site.now;
    let file = export(&site.core, &flows(), &before(), site.now);
    let into = (&mut other.core, &mut flows());
    import(&file, Duration::ZERO, into, &after(), 0, site.now).unwrap();
    other
}

#[derive(Clone, Debug)]
enum Step {
    Announce(ClientId, usize, u16),
    Restart(ClientId),
    Results(BTreeMap<String, Option<Vec<u8>>>),
    NewFlow(ClientId, u16),
    Millis(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let client = || prop_oneof![Just(CLIENT), Just(OTHER)];
    let hosts = prop::option::weighted(0.7, prop::collection::vec(1u8..9, 1..5));
    let results = prop::collection::btree_map(
        prop::sample::select(NAMES.map(str::to_owned).to_vec()),
        hosts,
        3,
    );
    prop_oneof![
        8 => (client(), 0usize..3, 0u16..3).prop_map(|(c, name, group)| Step::Announce(c, name, group)),
        1 => client().prop_map(Step::Restart),
        6 => results.prop_map(Step::Results),
        3 => (client(), 0u16..3).prop_map(|(client, group)| Step::NewFlow(client, group)),
        4 => (1u64..200).prop_map(Step::Millis),
        3 => (200u64..8000).prop_map(Step::Millis),
        1 => (8000u64..2_500_000).prop_map(Step::Millis),
    ]
}

struct Run {
    ids: u64,
    runs: BTreeMap<ClientId, u64>,
}

impl Run {
    fn step(&mut self, site: &mut Site, step: &Step) {
        match step {
            Step::Announce(client, name, group) => {
                site.announce(
                    *client,
                    &assigned(NAMES[*name], *group, self.ids, self.runs[client]),
                );
            }
            Step::Restart(_) => {}
            Step::Results(results) => resolve_all(site, results),
            Step::NewFlow(client, group) => {
                site.core.want_fresh(*client, proxies(*group)[0], site.now);
                site.drain();
            }
            Step::Millis(millis) => site.run(*millis),
        }
    }

    fn begin(&mut self, step: &Step) {
        self.ids += 1;
        if let Step::Restart(client) = step {
            *self.runs.entry(*client).or_insert(1) += 1000;
        }
    }
}

/// Ends every look-up that runs; what is not said fails.
fn resolve_all(site: &mut Site, results: &BTreeMap<String, Option<Vec<u8>>>) {
    for (id, name, family) in std::mem::take(&mut site.wanted) {
        let hosts = results.get(&name);
        let result = match (hosts, family) {
            (Some(Some(hosts)), Family::Ipv4) => {
                Ok(hosts.iter().map(|host| ([10, 0, 0, *host].into(), 2)).collect())
            }
            (Some(_), _) => Err(LookupError::NoData),
            (None, _) => Err(LookupError::ServFail),
        };
        site.resolve(id, family, result);
    }
}

/// All that a packet or a Client can see.
fn visible(site: &mut Site) -> String {
    let now = site.now;
    let mut seen = String::new();
    for client in [CLIENT, OTHER] {
        for proxy in (0..3).flat_map(proxies) {
            let found = site.core.find(client, proxy, now).map(|f| (f.real, f.state, f.family));
            let name = site.core.name_of(client, proxy).cloned();
            let moved = site.core.moved_recently(client, proxy, now);
            let resources = site.core.resources(client, proxy).to_vec();
            seen += &format!("{client} {proxy} {found:?} {name:?} {moved} {resources:?}\n");
        }
    }
    let ended = site.events.drain(..).filter(|event| matches!(event, Event::EndProxy { .. }));
    seen += &format!("{:?}\n", ended.collect::<Vec<_>>());
    let sent =
        site.sent.drain(..).map(|(at, client, status)| format!("{at:?} {client} {status:?}"));
    let mut sent: Vec<_> = sent.collect();
    sent.sort();
    seen + &sent.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        rng_seed: RngSeed::Fixed(0x5238),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r38_translations_go_on_alike_in_another_process(
        first in prop::collection::vec(step(), 1..40),
        results in prop::collection::btree_map(
            prop::sample::select(NAMES.map(str::to_owned).to_vec()),
            prop::option::weighted(0.7, prop::collection::vec(1u8..9, 1..5)),
            3,
        ),
        then in prop::collection::vec(step(), 1..40),
    ) {
        let config = Config { cache_floor: Duration::ZERO, failure_cache: Duration::ZERO, ..Config::default() };
        let mut site = Site::new(config.clone());
        let mut run = Run { ids: 0, runs: BTreeMap::from([(CLIENT, 1), (OTHER, 500)]) };
        for step in &first {
            run.begin(step);
            run.step(&mut site, step);
        }
        // Nothing is under way when a process hands over: what is would be asked for again.
        for _ in 0..3 {
            resolve_all(&mut site, &results);
        }
        site.run(60);
        resolve_all(&mut site, &results);
        let mut other = handed_over(&site, config);
        visible(&mut site);
        for step in &then {
            run.begin(step);
            run.step(&mut site, step);
            run.step(&mut other, step);
            let (one, two) = (visible(&mut site), visible(&mut other));
            prop_assert_eq!(one, two, "after {:?}", step);
        }
    }
}

/// A table with one flow of each kind, and a site with one name.
fn filled() -> (Site, FlowTable) {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &assigned(NAMES[0], 0, 1, 1));
    resolve_all(&mut site, &BTreeMap::from([(NAMES[0].to_owned(), Some(vec![1, 2]))]));
    let mut table = flows();
    let real = [10, 0, 0, 1].into();
    for port in 5000..5003 {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let inside = (0, protocol, port, proxies(0)[0], 443);
            let summary = from_client(&inside, TcpFlags::SYN);
            let binding = Binding { real, epoch: 1, tag: 3 };
            table.create(PeerIndex(0), &summary, binding, 100, 1, site.now).unwrap();
        }
    }
    (site, table)
}

#[test]
fn r38_flows_keep_their_outside_ports_and_are_found_from_both_sides() {
    let (site, table) = filled();
    let file = export(&site.core, &table, &before(), site.now);
    let (mut other, mut restored) = (Translations::new(Config::default()), flows());

    let into = (&mut other, &mut restored);
    let imported = import(&file, Duration::from_secs(5), into, &after(), 77, site.now).unwrap();

    assert_eq!(imported, Imported { flows: 6, rests: 0, names: 1, left_out: 0 });
    for port in 5000..5003 {
        let inside = (2, Protocol::Tcp, port, proxies(0)[0], 443);
        let summary = from_client(&inside, TcpFlags::ACK);
        let hit = restored.outbound(PeerIndex(2), &summary, 1, 1, site.now);
        let Outbound::Hit(hit) = hit else { panic!("{hit:?}") };
        assert_eq!((hit.outside_port, hit.epoch, hit.tag), (port, 77, 7));
        let outside = (2, Protocol::Tcp, port, [10, 0, 0, 1].into(), 443);
        let summary = from_outside(&outside, TcpFlags::ACK);
        let back = restored.inbound(PeerIndex(2), &summary, 1, 1, site.now);
        assert!(matches!(back, Inbound::Hit(_)));
    }
}

#[test]
fn r38_time_goes_on_between_two_processes() {
    let (site, table) = filled();
    let file = export(&site.core, &table, &before(), site.now);
    for (gap, live) in [(0, 6), (239, 6), (240, 3), (300, 0)] {
        let (mut other, mut restored) = (Translations::new(Config::default()), flows());
        let now = site.now + Duration::from_secs(1000);
        let into = (&mut other, &mut restored);
        import(&file, Duration::from_secs(gap), into, &after(), 0, now).unwrap();
        restored.handle_timeout(now);
        let found = (5000..5003).flat_map(|port| {
            [Protocol::Tcp, Protocol::Udp].map(|protocol| (2, protocol, port, proxies(0)[0], 443))
        });
        let hits = found.filter(|inside| {
            let summary = from_client(inside, TcpFlags::ACK);
            matches!(restored.outbound(PeerIndex(2), &summary, 1, 1, now), Outbound::Hit(_))
        });
        assert_eq!(hits.count(), live, "after {gap} s");
    }
}

#[test]
fn r38_what_settings_or_access_do_not_allow_any_more_is_left_out() {
    let (site, table) = filled();
    let file = export(&site.core, &table, &before(), site.now);
    let forbidden = Config { own_addresses: vec![[10, 0, 0, 1].into()], ..Config::default() };
    let elsewhere =
        Config { proxy_ranges: vec![Prefix::v4(100, 112, 0, 0, 12)], ..Config::default() };
    let nobody = Numbers(Vec::new());
    let import = |config, owner: &Numbers| {
        let (mut other, mut restored) = (Translations::new(config), flows());
        let into = (&mut other, &mut restored);
        import(&file, Duration::ZERO, into, owner, 0, site.now).unwrap()
    };

    let imported = import(forbidden, &after());
    assert_eq!((imported.flows, imported.names, imported.left_out), (0, 1, 6));
    let imported = import(elsewhere, &after());
    assert_eq!((imported.names, imported.left_out), (0, 1));
    let imported = import(Config::default(), &nobody);
    assert_eq!((imported.flows, imported.names, imported.left_out), (0, 0, 7));
}

#[test]
fn r38_a_damaged_file_is_refused_whole_and_never_a_panic() {
    let (site, table) = filled();
    let file = export(&site.core, &table, &before(), site.now);
    let (mut other, mut restored) = (Translations::new(Config::default()), flows());
    let mut refuse = |bytes: &[u8]| {
        let into = (&mut other, &mut restored);
        import(bytes, Duration::ZERO, into, &after(), 0, site.now).unwrap_err()
    };
    for len in 0..file.len() {
        refuse(&file[..len]);
    }
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        refuse(&damaged);
    }
    assert_eq!(refuse(b"something else entirely"), StateError::NotState);

    assert_eq!(restored.counters().live, 0);
    let into = (&mut other, &mut restored);
    import(&file, Duration::ZERO, into, &after(), 0, site.now).expect("still fresh");
    let into = (&mut other, &mut restored);
    let again = import(&file, Duration::ZERO, into, &after(), 0, site.now);
    assert_eq!(again, Err(StateError::NotFresh));
}

/// As whoever knows the format could: contents of any kind under a right checksum.
fn sealed(contents: &[u8]) -> Vec<u8> {
    use blake2::{Blake2s256, Digest};
    let mut file = b"fz-nat\r\n".to_vec();
    file.extend(1_u16.to_le_bytes());
    file.extend((contents.len() as u64).to_le_bytes());
    file.extend(contents);
    let checksum = Blake2s256::digest(&file);
    file.extend(checksum.iter());
    file
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(0x3838),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn r38_no_contents_make_it_panic(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let (site, table) = filled();
        let file = export(&site.core, &table, &before(), site.now);
        let mut contents = file[18..file.len() - 32].to_vec();
        for (at, byte) in damage {
            let at = at.index(contents.len());
            contents[at] = byte;
        }
        contents.truncate(cut.index(contents.len() * 3));
        let (mut other, mut restored) = (Translations::new(Config::default()), flows());
        let into = (&mut other, &mut restored);
        let _ = import(&sealed(&contents), Duration::ZERO, into, &after(), 0, site.now);
        // Whatever came of it can be used.
        let mut now = site.now;
        for _ in 0..20 {
            now += Duration::from_secs(500);
            restored.handle_timeout(now);
            other.handle_timeout(now);
        }
        restored.end_peer(PeerIndex(2));
        other.remove_client(CLIENT);
    }
}
