//! Ten thousand names asked for at once: what the data plane's thread spends on re-creating them, and
//! what a packet is asked meanwhile. The former policy forgets and holds; ours refreshes beside.

use std::hint::black_box;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant as Clock};

use dns::{Family, IpStack, Name, NameId, Proxies, ResourceId};
use nat::control::{DomainStatus, GatewayId, Status};
use nat::resource_nat::{Config, EntryKey, RefreshPolicy, ResourceNat, Verdict};
use packet::Instant;

use crate::harness::{Row, compare, print_numbers};

const NAMES: u32 = 10_000;
const RUNS: usize = 9;
const GATEWAY: GatewayId = GatewayId(1);
const RESOURCE: ResourceId = ResourceId(1);

fn proxies(of: u32) -> Proxies {
    let ipv4 = |at: u32| Ipv4Addr::from_bits(0x6460_0000 + of * 4 + at);
    let ipv6 = |at: u32| Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(of * 4 + at));
    Proxies { ipv4: [0, 1, 2, 3].map(ipv4), ipv6: [0, 1, 2, 3].map(ipv6) }
}

fn status(of: u32, id: u64) -> DomainStatus {
    DomainStatus {
        resource: RESOURCE,
        domain: format!("name{of}.example"),
        status: Status::Active,
        id: Some(id),
        ipv4: Some(4),
        ipv6: Some(4),
        ttl: None,
        stale: None,
        reason: None,
    }
}

struct Storm {
    nat: ResourceNat,
    now: Instant,
    /// The id of the handshake before the first name's.
    ids: u64,
}

impl Storm {
    fn new(policy: RefreshPolicy) -> Self {
        let config = Config { refresh_floor: Duration::ZERO, ..Config::default() };
        let mut storm =
            Self { nat: ResourceNat::with_policy(config, policy), now: Instant::ZERO, ids: 0 };
        for of in 0..NAMES {
            let key = EntryKey { gateway: GATEWAY, name: NameId(of), resource: RESOURCE };
            let domain = Name::parse(&format!("name{of}.example")).expect("a name");
            storm.nat.establish(key, &domain, &proxies(of), IpStack::Dual, storm.now);
        }
        storm.answer();
        storm
    }

    /// All names are asked for; returns nanoseconds.
    fn ask(&mut self) -> f64 {
        self.now += Duration::from_secs(3);
        let since = Clock::now();
        for of in 0..NAMES {
            self.nat.handle_query(NameId(of), self.now);
        }
        since.elapsed().as_secs_f64() * 1e9
    }

    /// The messages go out and all are answered; returns nanoseconds of applying the answers.
    fn answer(&mut self) -> f64 {
        let mut ids = Vec::new();
        while let Some((_, message)) = self.nat.poll_transmit() {
            ids.push(message.id);
        }
        let answers: Vec<DomainStatus> =
            (0..NAMES).zip(ids).map(|(of, id)| DomainStatus { id, ..status(of, 0) }).collect();
        self.now += Duration::from_millis(20);
        let since = Clock::now();
        for (of, answer) in answers.iter().enumerate() {
            self.nat.handle_status(GATEWAY, NameId(of as u32), answer, self.now);
            // After each input the data plane takes what has happened.
            while black_box(self.nat.poll_event()).is_some() {}
        }
        let nanos = since.elapsed().as_secs_f64() * 1e9;
        self.ids += u64::from(NAMES);
        nanos
    }

    /// A packet for each name.
    fn packets(&mut self) -> u32 {
        let mut passed = 0;
        for of in 0..NAMES {
            let verdict = self.nat.decide(GATEWAY, RESOURCE, NameId(of), Family::Ipv4, self.now);
            passed += u32::from(matches!(black_box(verdict), Verdict::Pass));
        }
        passed
    }
}

pub(crate) fn run() {
    let (mut ours, mut theirs) = (Storm::new(RefreshPolicy::Keep), Storm::new(RefreshPolicy::Halt));
    let (mut asked, mut answered, mut their_asked) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        asked.push(ours.ask());
        assert_eq!(ours.packets(), NAMES, "every packet passes while all is asked for");
        answered.push(ours.answer());
        their_asked.push(theirs.ask());
        theirs.answer();
    }
    let least = |times: &[f64]| times.iter().copied().fold(f64::MAX, f64::min);
    let case = "10,000 names, in all";
    let row = |name, goal| Row { name, case, peer: "1 ms", goal };
    print_numbers(row("re-creation", 1.0), least(&asked) + least(&answered), 1e6);
    print_numbers(row("re-creation, asking", 0.0), least(&asked), 1e6);
    print_numbers(row("re-creation, answers", 0.0), least(&answered), 1e6);
    let row = Row { name: "re-creation, asking", case, peer: "forgetting and holding", goal: 0.0 };
    print_numbers(row, least(&asked), least(&their_asked));
    let mut quiet = Storm::new(RefreshPolicy::Keep);
    ours.ask();
    compare(
        Row {
            name: "verdict of a packet",
            case: "while all is asked for",
            peer: "itself at rest",
            goal: 0.9,
        },
        NAMES as usize,
        || {
            black_box(ours.packets());
        },
        || {
            black_box(quiet.packets());
        },
    );
}
