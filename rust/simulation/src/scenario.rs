//! Flows through a name while that name is queried again and again and its records change.
//!
//! The verdict comes from two runs with one seed that differ in one thing: whose name is queried, the
//! one with the traffic or one without. Under the promise the two ledgers are equal, arrival by
//! arrival and to the nanosecond.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dns::{IpStack, ResourceId};
use domain::base::iana::Rtype;
use domain::base::{MessageBuilder, Name as WireName};
use link::{Impairment, LinkConfig};
use nat::resource_nat::RefreshPolicy;
use packet::{Instant, build};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tunnel::messages::{
    ClientEvent, Event, GatewayCommand, GatewayEvent, LookupFamily, LookupResult, NatEvent,
    Resource, Target,
};

use crate::pair::{CLIENT_IPV4, Pair, PairConfig, Side};
use crate::resolver::{Records, Resolver};
use crate::traffic::{self, Flow, Kind, Ledger};

/// The resource that covers both names.
pub const RESOURCE: ResourceId = ResourceId(3);
/// The name that the flows use.
pub const BUSY: &str = "app.site.example";
/// A name without traffic.
pub const IDLE: &str = "idle.site.example";
/// The first sentinel of a Client without configured servers.
const SENTINEL: ([u8; 4], u16) = ([100, 100, 111, 1], 53);
/// When flows begin, after both names were asked for once.
const FLOWS_BEGIN: Duration = Duration::from_millis(10);
/// When every flow stands and the storm of queries begins.
const STORM_BEGINS: Duration = Duration::from_secs(4);
/// How long after the last packet a run goes on, so that nothing is on its way at its end.
const TAIL: Duration = Duration::from_secs(4);

/// One run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Seed of everything.
    pub seed: u64,
    /// What a query does to a working entry.
    pub policy: RefreshPolicy,
    /// What the records do during the storm.
    pub records: Records,
    /// The name that the storm asks for.
    pub queried: &'static str,
    /// Shortest and longest pause between two queries.
    pub pause: (Duration, Duration),
    /// How long the storm lasts.
    pub storm: Duration,
    /// Pause between two packets of an upload or download; other flows take it as their unit.
    pub interval: Duration,
    /// One way.
    pub latency: Duration,
    /// Loss, duplication and reordering of control packets (h).
    pub control: Control,
}

/// What happens to control packets on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Control {
    /// Probability that one is lost.
    pub loss: f64,
    /// Probability that one arrives twice.
    pub duplicate: f64,
    /// Probability that one arrives 50 ms late.
    pub reorder: f64,
}

/// What a run did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every packet of every flow.
    pub ledger: Ledger,
    /// Queries of the storm.
    pub queries: u64,
    /// Handshakes that a Gateway's status completed during the storm.
    pub recreations: u64,
    /// Look-ups that ended during the storm.
    pub lookups: u64,
    /// Look-ups that changed the answer.
    pub changes: u64,
}

impl Scenario {
    /// A run of the promise: a query for the busy name each 1-50 ms.
    pub fn new(records: Records, storm: Duration, seed: u64) -> Self {
        Self {
            seed,
            policy: RefreshPolicy::Keep,
            records,
            queried: BUSY,
            pause: (Duration::from_millis(1), Duration::from_millis(50)),
            storm,
            interval: Duration::from_millis(2),
            latency: Duration::from_millis(10),
            control: Control::default(),
        }
    }

    /// The run to compare with: the same storm for the name without traffic.
    #[must_use]
    pub fn idle(&self) -> Self {
        Self { queried: IDLE, ..self.clone() }
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let mut run = Run::new(self);
        run.go();
        run.outcome
    }

    fn pair(&self) -> Pair {
        let data = self.impairment(Control::default());
        let link = LinkConfig { data, control: self.impairment(self.control) };
        let base = PairConfig::new(self.seed);
        Pair::new(PairConfig { policy: self.policy, up: link, down: link, ..base })
    }

    fn impairment(&self, control: Control) -> Impairment {
        Impairment {
            latency: self.latency,
            jitter: Duration::ZERO,
            loss: control.loss,
            duplicate: control.duplicate,
            reorder: control.reorder,
            reorder_delay: Duration::from_millis(50),
            bandwidth: Some(200_000_000),
            queue_bytes: 64 << 20,
        }
    }
}

/// Something that happens by itself at an instant.
#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// A query of the application.
    Query(&'static str, Rtype),
    /// A flow begins.
    Open(usize),
    /// A flow's next packet by schedule.
    Packet(usize),
    /// The site's server answers.
    Resolved(u64, LookupFamily, LookupResult),
}

struct Run<'a> {
    scenario: &'a Scenario,
    pair: Pair,
    resolver: Resolver,
    flows: Vec<Flow>,
    /// In order of time, then of scheduling.
    actions: BTreeMap<(Instant, u64), Action>,
    scheduled: u64,
    queries_sent: u16,
    storm: (Instant, Instant),
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let storm = Instant::ZERO + STORM_BEGINS;
        let mut run = Self {
            scenario,
            pair: scenario.pair(),
            resolver: Resolver::new(scenario.records, storm, scenario.seed),
            flows: Vec::new(),
            actions: BTreeMap::new(),
            scheduled: 0,
            queries_sent: 0,
            storm: (storm, storm + scenario.storm),
            outcome: Outcome {
                ledger: Ledger::default(),
                queries: 0,
                recreations: 0,
                lookups: 0,
                changes: 0,
            },
        };
        let address = format!("*.{}", BUSY.split_once('.').map_or(BUSY, |(_, zone)| zone));
        let target = Target::Dns { address, ip_stack: IpStack::Dual };
        let resource = Resource { id: RESOURCE, name: String::new(), target, filters: Vec::new() };
        run.pair.authorize(&resource, None);
        for name in [BUSY, IDLE] {
            run.schedule(Instant::ZERO, Action::Query(name, Rtype::A));
            run.schedule(Instant::ZERO, Action::Query(name, Rtype::AAAA));
        }
        run.schedule_storm();
        run
    }

    /// The storm's queries: pauses from a random stream of their own.
    fn schedule_storm(&mut self) {
        let mut random = ChaCha8Rng::seed_from_u64(self.scenario.seed ^ 0x5707_4d00);
        let (shortest, longest) = self.scenario.pause;
        let span = (longest - shortest).as_nanos().max(1) as u64;
        let mut at = self.storm.0;
        while at < self.storm.1 {
            let kind = if random.next_u64() % 2 == 0 { Rtype::A } else { Rtype::AAAA };
            self.schedule(at, Action::Query(self.scenario.queried, kind));
            self.outcome.queries += 1;
            at = at + shortest + Duration::from_nanos(random.next_u64() % span);
        }
    }

    fn schedule(&mut self, at: Instant, action: Action) {
        self.scheduled += 1;
        self.actions.insert((at, self.scheduled), action);
    }

    fn go(&mut self) {
        let end = self.storm.1 + TAIL;
        loop {
            let action = self.actions.first_key_value().map(|((at, _), _)| *at);
            let wake = self.pair.next_wake();
            let Some(at) = action.into_iter().chain(wake).min().filter(|at| *at <= end) else {
                return;
            };
            self.pair.advance(at);
            self.settle();
            while let Some(entry) = self.actions.first_entry().filter(|e| e.key().0 <= at) {
                let action = entry.remove();
                self.act(action);
                self.settle();
            }
        }
    }

    /// Takes up everything that the pair gave out.
    fn settle(&mut self) {
        loop {
            if let Some(delivery) = self.pair.poll_delivery() {
                let ledger = &mut self.outcome.ledger;
                if let Some((side, mut packet)) =
                    traffic::receive(&mut self.flows, ledger, &delivery)
                {
                    let _ = self.pair.send(side, &mut packet);
                }
            } else if let Some((at, event)) = self.pair.poll_event() {
                self.take_event(at, event);
            } else {
                return;
            }
        }
    }

    fn take_event(&mut self, at: Instant, event: Event) {
        let in_storm = at >= self.storm.0 && at < self.storm.1;
        match event {
            Event::Client(ClientEvent::ProxiesAssigned { record }) if record.name == BUSY => {
                self.open_flows(record.ipv4[0].into(), record.ipv6[0].into());
            }
            Event::Client(ClientEvent::Nat { event, .. }) if in_storm => {
                let completed = matches!(event, NatEvent::Refreshed | NatEvent::Established);
                self.outcome.recreations += u64::from(completed || event == NatEvent::Stale);
            }
            Event::Gateway(GatewayEvent::ResolveDomain { lookup, family, .. }) => {
                if let Some((when, result)) = self.resolver.ask(family, at) {
                    self.schedule(when, Action::Resolved(lookup, family, result));
                }
            }
            Event::Gateway(GatewayEvent::Nat { event: NatEvent::Refreshed, .. }) if in_storm => {
                self.outcome.changes += 1;
            }
            Event::Client(_) | Event::Gateway(_) => {}
        }
    }

    fn open_flows(&mut self, ipv4: IpAddr, ipv6: IpAddr) {
        let interval = self.scenario.interval;
        self.flows = vec![
            Flow::new(Kind::Upload, 40_000, ipv4, interval),
            Flow::new(Kind::Download, 40_001, ipv4, interval),
            Flow::new(Kind::Echo, 40_002, ipv4, interval * 3),
            Flow::new(Kind::Upload, 40_003, ipv6, interval * 4),
            Flow::new(Kind::Echo, 40_004, ipv6, interval * 3),
        ];
        for id in 0..self.flows.len() {
            self.schedule(Instant::ZERO + FLOWS_BEGIN, Action::Open(id));
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Query(name, kind) => self.query(name, kind),
            Action::Open(id) => {
                let mut packet = self.flows[id].open(&mut self.outcome.ledger, id);
                let _ = self.pair.send(Side::Client, &mut packet);
                self.schedule(self.pair.now() + self.flows[id].every(), Action::Packet(id));
            }
            Action::Packet(id) => self.send_packet(id),
            Action::Resolved(lookup, family, result) => {
                let now = self.pair.now();
                self.outcome.lookups += u64::from(now >= self.storm.0 && now < self.storm.1);
                let command = GatewayCommand::DomainResolved { lookup, family, result };
                self.pair.command_gateway(command);
            }
        }
    }

    fn send_packet(&mut self, id: usize) {
        if self.pair.now() >= self.storm.1 {
            return;
        }
        let side = self.flows[id].sender();
        if let Some(mut packet) = self.flows[id].scheduled(&mut self.outcome.ledger, id) {
            let _ = self.pair.send(side, &mut packet);
        }
        self.schedule(self.pair.now() + self.flows[id].every(), Action::Packet(id));
    }

    fn query(&mut self, name: &str, kind: Rtype) {
        self.queries_sent = self.queries_sent.wrapping_add(1);
        let message = query(name, kind, self.queries_sent);
        let source = SocketAddr::new(CLIENT_IPV4.into(), 50_000 + self.queries_sent % 10_000);
        let mut packet = vec![0; 1280];
        let len = build::udp(source, SENTINEL.into(), &message, &mut packet);
        packet.truncate(len.unwrap_or(0));
        let _ = self.pair.send(Side::Client, &mut packet);
    }
}

/// A DNS query; empty if `name` is none.
pub fn query(name: &str, kind: Rtype, id: u16) -> Vec<u8> {
    let build = || {
        let mut builder = MessageBuilder::new_vec();
        builder.header_mut().set_id(id);
        builder.header_mut().set_rd(true);
        let mut question = builder.question();
        question.push((WireName::<Vec<u8>>::vec_from_str(name).ok()?, kind)).ok()?;
        Some(question.finish())
    };
    build().unwrap_or_default()
}
