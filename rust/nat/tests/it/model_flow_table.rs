//! A flow table as naive as can be: maps that are searched from end to end. It knows the rules and
//! nothing of how the real one keeps them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use nat::flow_table::{CloseReason, NatError};
use packet::{Instant, Protocol, TcpFlags};

/// How long a port rests.
const REST: Duration = Duration::from_secs(120);

/// Peer, protocol, client port, proxy address, remote port.
pub(crate) type Inside = (u32, Protocol, u16, IpAddr, u16);
/// Peer, protocol, outside port, real address, remote port.
pub(crate) type Outside = (u32, Protocol, u16, IpAddr, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Answered,
    Unanswered,
    Closed,
}

#[derive(Clone, Debug)]
pub(crate) struct Flow {
    pub(crate) real: IpAddr,
    pub(crate) port: u16,
    pub(crate) answered: bool,
    fin: [bool; 2],
    reset: bool,
    pub(crate) traffic: [(u64, u64); 2],
    pub(crate) last_seen: Instant,
    /// When it came into its class, in steps of the model.
    since: u64,
}

impl Flow {
    pub(crate) fn class(&self) -> Class {
        match (self.reset || self.fin == [true; 2], self.answered) {
            (true, _) => Class::Closed,
            (false, true) => Class::Answered,
            (false, false) => Class::Unanswered,
        }
    }

    fn deadline(&self, protocol: Protocol) -> Instant {
        let seconds = match (protocol, self.class()) {
            (Protocol::Udp, _) => 300,
            (Protocol::Icmp, _) => 60,
            (Protocol::Tcp, Class::Answered) => 7440,
            (Protocol::Tcp, _) => 240,
        };
        self.last_seen + Duration::from_secs(seconds)
    }
}

#[derive(Clone, Debug)]
struct Rest {
    outside: Outside,
    inside: Option<Inside>,
    began: Instant,
    /// In which order flows end that end at once is nobody's business.
    in_any_order: bool,
    order: u64,
}

/// What a lookup gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Hit(Inside),
    Expired,
    Miss,
}

/// What port a new flow may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// This one; more than one only of rests that began at once.
    OneOf(Vec<u16>),
    AnyFree,
    Refused(NatError),
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    cap: usize,
    total: usize,
    pub(crate) flows: BTreeMap<Inside, Flow>,
    rests: Vec<Rest>,
    pub(crate) closed: Vec<(Inside, CloseReason)>,
    steps: u64,
    /// One rest of several that began at once was cut short, and nobody need know which.
    pub(crate) is_ambiguous: bool,
}

impl Model {
    pub(crate) fn new(cap: usize, total: usize) -> Self {
        Self { cap, total, ..Self::default() }
    }

    pub(crate) fn outside(inside: &Inside, flow: &Flow) -> Outside {
        (inside.0, inside.1, flow.port, flow.real, inside.4)
    }

    /// All outside tuples in use, live or resting.
    pub(crate) fn tuples(&self) -> Vec<Outside> {
        let live = self.flows.iter().map(|(inside, flow)| Self::outside(inside, flow));
        live.chain(self.rests.iter().map(|rest| rest.outside)).collect()
    }

    pub(crate) fn resting(&self) -> usize {
        self.rests.len()
    }

    /// All that comes due up to `now`, in its order.
    pub(crate) fn advance(&mut self, now: Instant) {
        loop {
            let flow =
                self.flows.iter().map(|(inside, flow)| (flow.deadline(inside.1), *inside)).min();
            let rest = self.rests.iter().map(|rest| rest.began + REST).min();
            match (flow, rest) {
                (_, Some(end))
                    if end <= now && flow.is_none_or(|(deadline, _)| end <= deadline) =>
                {
                    let is_full = self.rests.len() >= self.cap.min(self.total);
                    self.is_ambiguous |= is_full && flow.is_some_and(|(when, _)| when == end);
                    self.rests.retain(|rest| rest.began + REST > end);
                }
                (Some((deadline, inside)), _) if deadline <= now => {
                    self.close(inside, CloseReason::Timeout, deadline);
                }
                _ => return,
            }
        }
    }

    pub(crate) fn outbound(
        &mut self,
        inside: Inside,
        flags: Option<TcpFlags>,
        now: Instant,
    ) -> Found {
        self.advance(now);
        let opens = flags
            .is_some_and(|flags| flags.contains(TcpFlags::SYN) && !flags.contains(TcpFlags::ACK));
        if let Some(flow) = self.flows.get(&inside) {
            if opens && (flow.reset || flow.fin[0] || flow.fin[1]) {
                self.close(inside, CloseReason::Superseded, now);
                return Found::Miss;
            }
            return Found::Hit(inside);
        }
        let is_late = flags.is_some_and(|flags| !flags.contains(TcpFlags::SYN))
            && self.rests.iter().any(|rest| rest.inside == Some(inside));
        if is_late { Found::Expired } else { Found::Miss }
    }

    pub(crate) fn inbound(&mut self, outside: Outside, now: Instant) -> Found {
        self.advance(now);
        let live = self.flows.iter().find(|(inside, flow)| Self::outside(inside, flow) == outside);
        match live {
            Some((inside, _)) => Found::Hit(*inside),
            None if self.rests.iter().any(|rest| rest.outside == outside) => Found::Expired,
            None => Found::Miss,
        }
    }

    /// A train of a live flow; `way` is 0 for outbound, 1 for inbound.
    pub(crate) fn train(
        &mut self,
        inside: Inside,
        way: usize,
        flags: Option<TcpFlags>,
        bytes: u64,
        now: Instant,
    ) {
        self.steps += 1;
        let flow = self.flows.get_mut(&inside).expect("a live flow");
        let before = flow.class();
        flow.traffic[way].0 += bytes;
        flow.traffic[way].1 += 1;
        flow.last_seen = now;
        flow.answered |= way == 1;
        if let Some(flags) = flags {
            flow.fin[way] |= flags.contains(TcpFlags::FIN);
            flow.reset = flags.contains(TcpFlags::RST);
        }
        if flow.class() != before {
            flow.since = self.steps;
        }
    }

    pub(crate) fn expect_port(&self, inside: Inside, real: IpAddr) -> Port {
        if self.is_full(inside.0) && self.gives_way(inside.0).is_none() {
            return Port::Refused(NatError::Cap);
        }
        let at = |port| (inside.0, inside.1, port, real, inside.4);
        let before = self.rests.iter().find(|rest| rest.inside == Some(inside));
        match before {
            Some(rest) if rest.outside == at(rest.outside.2) => Port::OneOf(vec![rest.outside.2]),
            _ => self.expect_port_at(at(inside.2)),
        }
    }

    /// For a new place, without a memory of an earlier one.
    pub(crate) fn expect_port_at(&self, wanted: Outside) -> Port {
        let used = self.tuples();
        if !used.contains(&wanted) {
            return Port::OneOf(vec![wanted.2]);
        }
        let class = if wanted.2 < 1024 { 1..=1023 } else { 1024..=u16::MAX };
        let same = |tuple: &Outside| {
            (tuple.0, tuple.1, tuple.3, tuple.4) == (wanted.0, wanted.1, wanted.3, wanted.4)
                && (tuple.2 < 1024) == (wanted.2 < 1024)
        };
        let taken = used.iter().filter(|tuple| same(tuple) && tuple.2 != 0).count();
        if taken < class.len() {
            return Port::AnyFree;
        }
        let rests = || self.rests.iter().filter(|rest| same(&rest.outside));
        if let Some(oldest) = rests().min_by_key(|rest| rest.order) {
            let as_old = |rest: &&Rest| {
                let in_any_order = rest.in_any_order && oldest.in_any_order;
                rest.order == oldest.order || (in_any_order && rest.began == oldest.began)
            };
            return Port::OneOf(rests().filter(as_old).map(|rest| rest.outside.2).collect());
        }
        let oldest = |class| {
            let all = self.flows.iter().filter(|(inside, flow)| {
                flow.class() == class && same(&Self::outside(inside, flow))
            });
            all.min_by_key(|(_, flow)| flow.since).map(|(_, flow)| flow.port)
        };
        oldest(Class::Closed)
            .or_else(|| oldest(Class::Unanswered))
            .map_or(Port::Refused(NatError::Exhausted), |port| Port::OneOf(vec![port]))
    }

    /// Opens a flow with the port that the real table chose.
    pub(crate) fn create(&mut self, inside: Inside, real: IpAddr, port: u16, now: Instant) {
        let outside = (inside.0, inside.1, port, real, inside.4);
        self.take(outside, now);
        for rest in &mut self.rests {
            if rest.inside == Some(inside) {
                rest.inside = None;
            }
        }
        while self.is_full(inside.0) {
            let Some(victim) = self.gives_way(inside.0) else { break };
            self.close(victim, CloseReason::Displaced, now);
        }
        self.steps += 1;
        let flow = Flow {
            real,
            port,
            answered: false,
            fin: [false; 2],
            reset: false,
            traffic: [(0, 0); 2],
            last_seen: now,
            since: self.steps,
        };
        self.flows.insert(inside, flow);
    }

    pub(crate) fn rebind(&mut self, inside: Inside, real: IpAddr, port: u16, now: Instant) {
        self.take((inside.0, inside.1, port, real, inside.4), now);
        let flow = self.flows.get_mut(&inside).expect("a live flow");
        let old = Self::outside(&inside, flow);
        (flow.real, flow.port) = (real, port);
        self.rest(old, None, now, false);
    }

    /// Whoever has this outside tuple gives it up.
    fn take(&mut self, outside: Outside, now: Instant) {
        let live = self.flows.iter().find(|(inside, flow)| Self::outside(inside, flow) == outside);
        if let Some(victim) = live.map(|(inside, _)| *inside) {
            self.close(victim, CloseReason::Displaced, now);
        }
        self.rests.retain(|rest| rest.outside != outside);
    }

    pub(crate) fn close(&mut self, inside: Inside, reason: CloseReason, ended: Instant) {
        let flow = self.flows.remove(&inside).expect("a live flow");
        self.closed.push((inside, reason));
        let remembered = matches!(
            reason,
            CloseReason::Timeout | CloseReason::Displaced | CloseReason::Superseded
        );
        let in_any_order = matches!(reason, CloseReason::Timeout | CloseReason::ProxyMoved);
        self.rest(Self::outside(&inside, &flow), remembered.then_some(inside), ended, in_any_order);
    }

    fn rest(
        &mut self,
        outside: Outside,
        inside: Option<Inside>,
        began: Instant,
        in_any_order: bool,
    ) {
        self.steps += 1;
        self.rests.push(Rest { outside, inside, began, in_any_order, order: self.steps });
        let peer = outside.0;
        while self.rests.iter().filter(|rest| rest.outside.0 == peer).count() > self.cap
            || self.rests.len() > self.total
        {
            let of_peer = self.rests.iter().enumerate().filter(|(_, rest)| rest.outside.0 == peer);
            let (at, oldest) = of_peer.min_by_key(|(_, rest)| rest.order).expect("it has some");
            // Which is oldest, or whose came last, depends on an order that nobody promises.
            let at_once = |then: Instant| {
                let those = || self.rests.iter().filter(|rest| rest.began == then);
                those().count() > 1 && those().any(|rest| rest.in_any_order)
            };
            self.is_ambiguous |= at_once(oldest.began) || at_once(began);
            self.rests.remove(at);
        }
    }

    fn is_full(&self, peer: u32) -> bool {
        self.flows.keys().filter(|inside| inside.0 == peer).count() >= self.cap
            || self.flows.len() >= self.total
    }

    fn gives_way(&self, peer: u32) -> Option<Inside> {
        let oldest = |class| {
            let all = self
                .flows
                .iter()
                .filter(|(inside, flow)| inside.0 == peer && flow.class() == class);
            all.min_by_key(|(_, flow)| flow.since).map(|(inside, _)| *inside)
        };
        oldest(Class::Closed).or_else(|| oldest(Class::Unanswered))
    }

    pub(crate) fn end_proxy(&mut self, peer: u32, proxy: IpAddr, now: Instant) -> usize {
        let is_of = |inside: &Inside| (inside.0, inside.3) == (peer, proxy);
        let ended: Vec<Inside> = self.flows.keys().copied().filter(is_of).collect();
        for inside in &ended {
            self.close(*inside, CloseReason::ProxyMoved, now);
        }
        for rest in &mut self.rests {
            if rest.inside.as_ref().is_some_and(is_of) {
                rest.inside = None;
            }
        }
        ended.len()
    }

    pub(crate) fn end_peer(&mut self, peer: u32) -> usize {
        let ended: Vec<Inside> =
            self.flows.keys().copied().filter(|inside| inside.0 == peer).collect();
        for inside in &ended {
            self.flows.remove(inside);
            self.closed.push((*inside, CloseReason::PeerRemoved));
        }
        self.rests.retain(|rest| rest.outside.0 != peer);
        ended.len()
    }
}
