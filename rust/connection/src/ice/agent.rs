//! One connection's agent: its times, what it is told of candidates, and when it is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant as AgentInstant};

use is::{Candidate, CandidateKind, IceAgent, IceAgentEvent, IceConnectionState, IceCreds};
use packet::Instant;

use super::candidates;
use super::seams::AgentClock;
use super::{Credentials, LocalCandidates, Role};
use crate::connections::Failure;

/// Within this a candidate of the other end has to come (dataplane 5.5.3).
const CANDIDATE_TIMEOUT: Duration = Duration::from_secs(10);
/// For so long no pair may be left that could work.
const GRACE: Duration = Duration::from_secs(2);
/// Without packets for so long the agent asks seldom (dataplane 5.5.4).
const IDLE_AFTER: Duration = Duration::from_secs(20);
/// How often it is looked whether there were packets: nothing is noted on the way of a packet.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Candidates of the other end that count at a time.
const MOST_REMOTES: usize = 64;
/// So many candidates and addresses that nobody told of are remembered by the library, which forgets
/// none; then it begins anew with those of now.
const MOST_REMEMBERED: usize = 256;
/// Pairs that are tried at most (dataplane 5.5.3).
const MOST_PAIRS: usize = 100;
/// New addresses that a mapped one and the ports of hosts are joined to, for each candidate.
const FORWARDED_AT_ONCE: usize = 2;
/// Priority of those: as server-reflexive, behind all that a peer tells of itself.
const FORWARDED_PRIORITY: u32 = (100 << 24) | (16_384 << 8) | 255;
/// Times that an agent is let act at one instant. Each sends for one pair.
const MOST_TURNS: usize = 2 * MOST_PAIRS;

/// Retransmissions of a binding request (dataplane 5.5.1).
struct Times {
    retransmits: usize,
    first: Duration,
    last: Duration,
}

const fn times(retransmits: usize, first_ms: u64, last_ms: u64) -> Times {
    let (first, last) = (Duration::from_millis(first_ms), Duration::from_millis(last_ms));
    Times { retransmits, first, last }
}

/// The controlling end notices a dead path after 16.5 s.
const CONTROLLING: Times = times(12, 250, 1_500);
const CONTROLLING_IDLE: Times = times(4, 25_000, 25_000);
/// The controlled one leaves the judgement to the other.
const CONTROLLED: Times = times(45, 250, 15_000);
const CONTROLLED_IDLE: Times = times(40, 25_000, 25_000);

/// What came of letting an agent act.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Datagrams: from where, to where, what.
    pub(super) transmits: Vec<(SocketAddr, SocketAddr, Vec<u8>)>,
    /// The pair that carries the connection from now on: own address, peer's.
    pub(super) nominated: Option<(SocketAddr, SocketAddr)>,
}

/// What makes an agent the one that it is.
struct Identity {
    local: IceCreds,
    remote: IceCreds,
    tie_breaker: u64,
}

impl Identity {
    fn agent(&self, role: Role) -> IceAgent {
        let mut ice = IceAgent::new(self.local.clone());
        ice.set_remote_credentials(self.remote.clone());
        ice.set_controlling(role == Role::Controlling);
        ice.set_control_tie_breaker(self.tie_breaker);
        ice.set_timing_advance(Duration::ZERO);
        ice.set_max_candidate_pairs(MOST_PAIRS);
        ice
    }
}

pub(super) struct Agent {
    ice: IceAgent,
    identity: Identity,
    role: Role,
    /// First part of [`Agent::username`].
    username: String,
    created: Instant,
    /// A candidate of the other end is known.
    has_remote: bool,
    /// Since when no pair is left.
    lost: Option<Instant>,
    is_nominated: bool,
    is_idle: bool,
    /// Packets at the last look, and when there were fewer.
    packets: u64,
    active: Instant,
    look_at: Instant,
    /// Own addresses and the lines that told of them.
    locals: BTreeMap<SocketAddr, Candidate>,
    /// Lines of the other end that were taken.
    remotes: BTreeSet<String>,
    /// Sources of requests that no line told of.
    sources: BTreeSet<SocketAddr>,
    /// Candidates of the other end that the library was told of, or made of sources.
    remembered: usize,
    mapped: BTreeSet<IpAddr>,
    host_ports: BTreeSet<u16>,
    addresses: BTreeSet<SocketAddr>,
    news: LocalCandidates,
}

impl Agent {
    pub(super) fn new(
        local: &Credentials,
        remote: &Credentials,
        role: Role,
        tie_breaker: u64,
        now: Instant,
    ) -> Self {
        let creds =
            |of: &Credentials| IceCreds { ufrag: of.name.clone(), pass: of.password.clone() };
        let identity = Identity { local: creds(local), remote: creds(remote), tie_breaker };
        let mut agent = Self {
            ice: identity.agent(role),
            identity,
            role,
            username: username(&local.name, &remote.name),
            created: now,
            has_remote: false,
            lost: None,
            is_nominated: false,
            is_idle: false,
            packets: 0,
            active: now,
            look_at: now + LOOK_EVERY,
            locals: BTreeMap::new(),
            remotes: BTreeSet::new(),
            sources: BTreeSet::new(),
            remembered: 0,
            mapped: BTreeSet::new(),
            host_ports: BTreeSet::new(),
            addresses: BTreeSet::new(),
            news: LocalCandidates::default(),
        };
        agent.set_times();
        agent
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// What stands in requests to this end.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// Whether a message is for this agent, and authentic.
    pub(super) fn accepts(&self, message: &is::stun::StunMessage<'_>) -> bool {
        self.ice.accepts_message(message)
    }

    /// Takes a message that the agent [accepts](Self::accepts). One from an address that nobody told of
    /// counts, too.
    pub(super) fn handle(&mut self, packet: is::stun::StunPacket<'_>, now: AgentInstant) {
        let source = packet.source;
        let is_known = self.addresses.contains(&source) || self.sources.contains(&source);
        if packet.message.is_binding_request() && !is_known {
            self.remember();
            self.sources.insert(source);
            self.has_remote = true;
        }
        self.ice.handle_packet(now, packet);
    }

    /// The addresses of this host.
    pub(super) fn set_hosts(&mut self, hosts: &[SocketAddr], now: Instant) {
        let gone: Vec<_> = self.locals.keys().filter(|at| !hosts.contains(at)).copied().collect();
        let mut changed = !gone.is_empty();
        for address in gone {
            if let Some(candidate) = self.locals.remove(&address) {
                self.ice.invalidate_candidate(&candidate);
                self.news.invalidated.push(candidate.to_sdp_string());
            }
        }
        let mut new = Vec::new();
        for &address in hosts {
            if self.locals.contains_key(&address) {
                continue;
            }
            let candidate = candidates::host(address);
            let added = candidate.and_then(|candidate| self.ice.add_local_candidate(candidate));
            if let Some(candidate) = added.cloned() {
                new.push((candidate.prio(), candidate.to_sdp_string()));
                self.locals.insert(address, candidate);
                changed = true;
            }
        }
        new.sort_by(|a, b| b.cmp(a));
        self.news.new.extend(new.into_iter().map(|(_, line)| line));
        self.wake(changed, now);
    }

    /// Tells of every own address once more.
    pub(super) fn repeat_locals(&mut self, now: Instant) {
        let mut all: Vec<_> =
            self.locals.values().map(|of| (of.prio(), of.to_sdp_string())).collect();
        all.sort_by(|a, b| b.cmp(a));
        self.news.new = all.into_iter().map(|(_, line)| line).collect();
        self.wake(true, now);
    }

    /// What the other end is to be told.
    pub(super) fn take_news(&mut self) -> Option<LocalCandidates> {
        let has_any = !self.news.new.is_empty() || !self.news.invalidated.is_empty();
        has_any.then(|| std::mem::take(&mut self.news))
    }

    /// The other end may be reached at what a line says.
    pub(super) fn add_remote(&mut self, line: &str, now: Instant) {
        let Some(candidate) = candidates::parse(line) else { return };
        if self.remotes.len() >= MOST_REMOTES && !self.remotes.contains(line) {
            return;
        }
        if self.remotes.insert(line.to_owned()) {
            self.remember();
        }
        self.take_remote(candidate);
        self.has_remote = true;
        self.wake(true, now);
    }

    fn take_remote(&mut self, candidate: Candidate) {
        let address = candidate.addr();
        match candidate.kind() {
            CandidateKind::ServerReflexive if address.is_ipv4() => {
                self.mapped.insert(address.ip());
            }
            CandidateKind::Host if address.is_ipv4() => {
                self.host_ports.insert(address.port());
            }
            CandidateKind::Host
            | CandidateKind::ServerReflexive
            | CandidateKind::PeerReflexive
            | CandidateKind::Relayed => {}
        }
        self.addresses.insert(address);
        self.ice.add_remote_candidate(candidate);
        self.add_forwarded();
    }

    /// One more candidate of the other end is to be remembered.
    fn remember(&mut self) {
        self.remembered += 1;
        if self.remembered > MOST_REMEMBERED {
            self.renew();
        }
    }

    /// Begins anew with what is known now. Until a pair works again the former one carries the packets.
    fn renew(&mut self) {
        self.ice = self.identity.agent(self.role);
        self.set_times();
        for address in self.locals.keys() {
            if let Some(candidate) = candidates::host(*address) {
                self.ice.add_local_candidate(candidate);
            }
        }
        self.lost = None;
        self.sources.clear();
        self.mapped.clear();
        self.host_ports.clear();
        self.addresses.clear();
        let known: Vec<_> =
            self.remotes.iter().filter_map(|line| candidates::parse(line)).collect();
        self.remembered = known.len();
        known.into_iter().for_each(|candidate| self.take_remote(candidate));
    }

    /// Where routers forward the port that the other end sends from (dataplane 5.4).
    fn add_forwarded(&mut self) {
        let joined = self
            .mapped
            .iter()
            .flat_map(|mapped| self.host_ports.iter().map(|port| SocketAddr::new(*mapped, *port)));
        let new: Vec<_> = joined.filter(|at| !self.addresses.contains(at)).collect();
        for address in new.into_iter().take(FORWARDED_AT_ONCE) {
            let (ip, port) = (address.ip(), address.port());
            if let Some(candidate) = candidates::forwarded(ip, port, FORWARDED_PRIORITY) {
                self.ice.add_remote_candidate(candidate);
            }
            self.addresses.insert(address);
        }
    }

    /// The other end is not to be reached there any more.
    pub(super) fn remove_remote(&mut self, line: &str, now: Instant) {
        let Some(candidate) = candidates::parse(line) else { return };
        self.remotes.remove(line);
        self.ice.invalidate_candidate(&candidate);
        self.wake(true, now);
    }

    /// Lets the agent act at `at`, and as often as it wants at once.
    pub(super) fn run(&mut self, at: AgentInstant, now: Instant) -> Outcome {
        let mut outcome = Outcome::default();
        for turn in 0..MOST_TURNS {
            while let Some(sent) = self.ice.poll_transmit() {
                outcome.transmits.push((sent.source, sent.destination, sent.contents.into()));
            }
            let is_due = self.ice.poll_timeout().is_none_or(|due| due <= at);
            if turn > 0 && !is_due {
                break;
            }
            self.ice.handle_timeout(at);
        }
        while let Some(event) = self.ice.poll_event() {
            self.note(event, &mut outcome, now);
        }
        outcome
    }

    fn note(&mut self, event: IceAgentEvent, outcome: &mut Outcome, now: Instant) {
        match event {
            IceAgentEvent::NominatedSend { source, destination, .. } => {
                self.is_nominated = true;
                outcome.nominated = Some((source, destination));
            }
            IceAgentEvent::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                self.lost.get_or_insert(now);
            }
            IceAgentEvent::IceConnectionStateChange(_) => self.lost = None,
            IceAgentEvent::IceRestart(_) | IceAgentEvent::DiscoveredRecv { .. } => {}
        }
    }

    /// Looks at the time: whether the connection is given up, and whether there were packets, of which
    /// `packets` is the count.
    pub(super) fn look(&mut self, packets: impl FnOnce() -> u64, now: Instant) -> Option<Failure> {
        if self.lost.is_some_and(|since| since + GRACE <= now) {
            return Some(Failure::NoPath);
        }
        if !self.has_remote && self.created + CANDIDATE_TIMEOUT <= now {
            return Some(Failure::NoCandidates);
        }
        if self.look_at <= now {
            self.look_at = now + LOOK_EVERY;
            let packets = packets();
            let grew = std::mem::replace(&mut self.packets, packets) != packets;
            self.wake(grew, now);
            if !grew && self.is_nominated && self.active + IDLE_AFTER <= now {
                self.set_idle(true);
            }
        }
        None
    }

    /// When [`Agent::run`] or [`Agent::look`] are wanted next.
    pub(super) fn deadline(&mut self, clock: AgentClock) -> Instant {
        let agent = self.ice.poll_timeout().map(|at| clock.instant_of(at));
        let remote = (!self.has_remote).then(|| self.created + CANDIDATE_TIMEOUT);
        let lost = self.lost.map(|since| since + GRACE);
        [agent, remote, lost].into_iter().flatten().fold(self.look_at, Instant::min)
    }

    /// Something happened for which the path is to be watched closely.
    fn wake(&mut self, happened: bool, now: Instant) {
        if happened {
            self.active = now;
            self.set_idle(false);
        }
    }

    fn set_idle(&mut self, is_idle: bool) {
        if std::mem::replace(&mut self.is_idle, is_idle) != is_idle {
            self.set_times();
        }
    }

    fn set_times(&mut self) {
        let Times { retransmits, first, last } = match (self.role, self.is_idle) {
            (Role::Controlling, false) => CONTROLLING,
            (Role::Controlling, true) => CONTROLLING_IDLE,
            (Role::Controlled, false) => CONTROLLED,
            (Role::Controlled, true) => CONTROLLED_IDLE,
        };
        self.ice.set_max_stun_retransmits(retransmits);
        self.ice.set_initial_stun_rto(first);
        self.ice.set_max_stun_rto(last);
    }
}

/// The USERNAME of requests to the end whose name is the first (RFC 8445 §7.2.2).
pub(super) fn username(to: &str, from: &str) -> String {
    format!("{to}:{from}")
}
