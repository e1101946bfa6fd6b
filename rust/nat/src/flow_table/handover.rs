//! Flows and resting ports that cross to another process (R38): all that packets, ports and time-outs
//! depend on. Times are ages, for the other process has a clock of its own.

use std::net::IpAddr;

use packet::{Instant, Protocol};

use super::FlowTable;
use super::key::{Ends, Side, Tuple};
use super::lookup::tuple_of;
use super::record::{Record, instant, millis_up};
use super::state::{Class, State};
use super::types::{PeerIndex, Traffic};
use crate::wheel::NONE;

/// A flow, or an outside port that rests after one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowState {
    /// Protocol.
    pub protocol: Protocol,
    /// What it is, and what its packets have shown (the table's own coding).
    pub state: u8,
    /// Address that the Client knows; `None` for a rest that no packet of the Client can meet.
    pub proxy: Option<IpAddr>,
    /// Address outside.
    pub real: IpAddr,
    /// Port (or echo identifier) at the Client.
    pub client_port: u16,
    /// Port (or echo identifier) outside.
    pub outside_port: u16,
    /// Port of the resource; 0 for echo.
    pub remote_port: u16,
    /// The owner's note.
    pub tag: u32,
    /// From the Client, and to it.
    pub traffic: [Traffic; 2],
    /// Milliseconds since it was opened.
    pub opened: u64,
    /// Milliseconds since its latest packet, or since the rest began.
    pub last_seen: u64,
}

impl FlowState {
    /// Whether it is a flow; else it is a port that rests.
    pub fn is_live(&self) -> bool {
        State::from_bits(self.state).is_some_and(State::is_live)
    }

    /// Whether it is consistent in itself; what is not came from no table.
    pub fn is_sound(&self) -> bool {
        let Some(state) = State::from_bits(self.state) else { return false };
        let ports = self.protocol != Protocol::Icmp || self.remote_port == 0;
        let family = self.proxy.is_none_or(|proxy| proxy.is_ipv6() == self.real.is_ipv6());
        state.is_inside() == self.proxy.is_some() && ports && family
    }
}

impl FlowTable {
    /// Calls `each` with all flows and rests. Those that give way (R33) come in the order in which
    /// they do, so that they do in the same order in a table that they are restored to.
    pub fn for_each_state(&self, now: Instant, mut each: impl FnMut(PeerIndex, &FlowState)) {
        for place in 0..self.records.capacity() {
            if self.records[place].state().class() == Class::Answered {
                each(PeerIndex(self.records[place].peer()), &self.state_of(place, now));
            }
        }
        for peer in 0..self.peers.len() {
            for class in [Class::Unanswered, Class::Closed, Class::Resting] {
                let mut next = self.peers.oldest(peer, class).unwrap_or(NONE);
                while next != NONE {
                    each(PeerIndex(peer), &self.state_of(next, now));
                    next = self.records.behind_in_peer(next);
                }
            }
        }
    }

    fn state_of(&self, place: u32, now: Instant) -> FlowState {
        let (record, now) = (&self.records[place], millis_up(now));
        let is_ipv6 = record.is_ipv6();
        let opened = millis_up(self.records.opened(place));
        FlowState {
            protocol: record.protocol(),
            state: record.state().bits(),
            proxy: record.state().is_inside().then(|| self.addresses.get(is_ipv6, record.proxy)),
            real: self.addresses.get(is_ipv6, record.real),
            client_port: record.client_port(),
            outside_port: record.outside_port(),
            remote_port: record.remote_port(),
            tag: record.tag,
            traffic: record.traffic(),
            opened: now.saturating_sub(opened),
            last_seen: now.saturating_sub(record.last_seen()),
        }
    }

    /// Takes over a flow or a rest of another table; `epoch` is that of a check that has still to be
    /// made. Returns whether it was: not if it is unsound, if a tuple of it is in use, or if it does
    /// not fit the caps.
    pub fn restore(&mut self, peer: PeerIndex, flow: &FlowState, epoch: u32, now: Instant) -> bool {
        let Some(state) = State::from_bits(flow.state).filter(|_| flow.is_sound()) else {
            return false;
        };
        let ports = (flow.outside_port, flow.remote_port);
        let Some(ends) = Ends::new(peer.0, flow.protocol, ports, flow.real) else { return false };
        let outside = Tuple::new(ends, flow.real);
        let ends = ends.with_port(flow.client_port);
        let inside = flow.proxy.map(|proxy| Tuple::new(ends, proxy));
        let is_used = self.find(Side::Outside, &outside).is_some()
            || inside.is_some_and(|inside| self.find(Side::Inside, &inside).is_some());
        if is_used || !self.has_room(peer.0, state) {
            return false;
        }
        let mut record = Record::new(ends, state);
        record.set_outside_port(flow.outside_port);
        (record.epoch, record.tag) = (epoch, flow.tag);
        record.set_traffic(flow.traffic);
        let millis = millis_up(now);
        record.set_last_seen(millis.saturating_sub(flow.last_seen));
        self.place(record, inside, flow.real, instant(millis.saturating_sub(flow.opened)));
        true
    }

    fn has_room(&self, peer: u32, state: State) -> bool {
        if state.is_live() {
            return self.peers.live(peer) < self.config.flows_per_peer
                && self.counters.live < self.config.flows;
        }
        self.peers.resting(peer) < self.config.flows_per_peer
            && self.counters.resting < self.config.flows
    }

    /// Puts a record into everything that leads to it.
    fn place(&mut self, mut record: Record, inside: Option<Tuple>, real: IpAddr, opened: Instant) {
        if let Some(inside) = inside {
            record.proxy = self.addresses.intern(&self.hash, inside.address());
        }
        let place = self.records.insert(record, opened);
        self.peers.enter(&mut self.records, place);
        if inside.is_some() && !self.peers.enter_proxy(&self.hash, &mut self.records, place) {
            self.addresses.release(&self.hash, record.is_ipv6(), record.proxy);
        }
        self.enter_outside(place, real);
        if let Some(inside) = inside {
            let hash = self.hash.tuple(Side::Inside, &inside);
            let (records, addresses, hasher) = (&self.records, &self.addresses, &self.hash);
            self.inside.insert(hash, place, |place| {
                hasher.tuple(Side::Inside, &tuple_of(records, addresses, Side::Inside, place))
            });
        }
        self.file(place);
        if record.state().is_live() {
            self.counters.live += 1;
        } else {
            self.counters.resting += 1;
        }
    }
}
