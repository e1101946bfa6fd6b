//! New flows: where they find a port (R29), and who gives way to them (R33).

use std::net::IpAddr;

use packet::{Instant, Summary};

use super::FlowTable;
use super::key::{Side, Tuple, bits};
use super::lookup::{inside_ends, tuple_of};
use super::ports::PortClass;
use super::record::{Record, millis_up};
use super::space::SpaceKey;
use super::state::{Class, State};
use super::types::{
    Binding, CloseReason, Direction, FlowEvent, FlowHit, FlowId, NatError, PeerIndex,
};

/// Random ports that are tried in a space without a map of the free ones, where less than half are in
/// use.
const TRIES: usize = 64;
/// Ports that a space's map learns of with each record that comes in.
const LEARNED: usize = 8;

impl FlowTable {
    /// Opens the flow of a train that was a [`super::Outbound::Miss`] and counts the train. If the flow
    /// exists it keeps its binding.
    ///
    /// The outside port is the packet's own if it is free, else another of its class (R29). A flow to
    /// the same place as one of the same inside tuple that ended less than 120 s ago gets that one's
    /// port.
    ///
    /// # Errors
    /// [`NatError`]; no flow has changed then. Before that, others gave way as R33 says.
    pub fn create(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        binding: Binding,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Result<FlowHit, NatError> {
        let ends = inside_ends(peer, summary).ok_or(NatError::Unsupported)?;
        let tuple = Tuple::new(ends, summary.destination);
        if binding.real.is_ipv6() != tuple.ends.kind().is_ipv6() {
            return Err(NatError::Unsupported);
        }
        let before = self.find(Side::Inside, &tuple).filter(|place| self.settle(*place, now));
        let place = match before.filter(|place| self.records[*place].state().is_live()) {
            Some(place) => place,
            None => self.open(&tuple, &binding, before, now)?,
        };
        self.count(place, Direction::Outbound, summary, (bytes, packets), now);
        Ok(self.hit(place, Direction::Outbound))
    }

    /// Points an unanswered flow at another real address, in place; its outside port is kept if it is
    /// free there (R27). The old tuple rests (R34).
    ///
    /// # Errors
    /// [`NatError::Exhausted`]: no port there, the flow is as it was. [`NatError::Unsupported`]: void
    /// handle, a flow that was answered or is closed, or address of the other family.
    pub fn rebind(
        &mut self,
        flow: FlowId,
        real: IpAddr,
        now: Instant,
    ) -> Result<FlowHit, NatError> {
        let place = self.live(flow).ok_or(NatError::Unsupported)?;
        let old = self.records[place];
        let is_unanswered = old.state().class() == Class::Unanswered && !old.is_due(now);
        if !is_unanswered || old.is_ipv6() != real.is_ipv6() {
            return Err(NatError::Unsupported);
        }
        let outside = self.tuple(Side::Outside, place);
        if outside.address() != real {
            let port = self.choose_port(&Tuple { address: bits(real), ..outside }, now)?;
            self.move_outside(place, real, port, now);
            self.counters.rebound += 1;
        }
        Ok(self.hit(place, Direction::Outbound))
    }

    /// Puts a flow behind another outside tuple and lets a record of its own rest behind the old one.
    fn move_outside(&mut self, place: u32, real: IpAddr, port: u16, now: Instant) {
        self.forget_recent();
        let old = self.records[place];
        // The address lives on in the space that the rest will be in.
        let kept = self.addresses.intern(&self.hash, self.tuple(Side::Outside, place).address());
        self.leave_outside(place);
        let mut rest = Record::new(old.ends.with_port(0), State::RESTING);
        rest.set_outside_port(old.outside_port());
        rest.set_last_seen(millis_up(now));
        let rest = self.records.insert(rest, now);
        let was = self.addresses.get(old.is_ipv6(), kept);
        self.enter_outside(rest, was);
        self.addresses.release(&self.hash, old.is_ipv6(), kept);
        self.peers.enter(&mut self.records, rest);
        self.counters.resting += 1;
        self.file(rest);
        self.records[place].set_outside_port(port);
        self.enter_outside(place, real);
        self.limit_resting(old.peer());
    }

    /// Opens a flow with an inside tuple that only `before`, a resting record, may have.
    fn open(
        &mut self,
        tuple: &Tuple,
        binding: &Binding,
        before: Option<u32>,
        now: Instant,
    ) -> Result<u32, NatError> {
        let peer = tuple.ends.peer();
        if !self.can_make_room(peer) {
            self.counters.refused_cap += 1;
            return Err(NatError::Cap);
        }
        let outside = Tuple { address: bits(binding.real), ..*tuple };
        let port = match before.filter(|place| self.rests_at(*place, binding.real)) {
            Some(place) => {
                let port = self.records[place].outside_port();
                self.release(place);
                port
            }
            None => {
                let port = self.choose_port(&outside, now)?;
                before.into_iter().for_each(|place| self.forget_inside(place));
                port
            }
        };
        self.make_room(peer, now);
        Ok(self.insert(tuple, binding, port, now))
    }

    fn rests_at(&self, place: u32, real: IpAddr) -> bool {
        let record = &self.records[place];
        self.addresses.get(record.is_ipv6(), record.real) == real
    }

    fn insert(&mut self, tuple: &Tuple, binding: &Binding, port: u16, now: Instant) -> u32 {
        let mut record = Record::new(tuple.ends, State::NEW);
        record.set_outside_port(port);
        (record.epoch, record.tag) = (binding.epoch, binding.tag);
        record.proxy = self.addresses.intern(&self.hash, tuple.address());
        record.touch(now);
        let place = self.records.insert(record, now);
        self.peers.enter(&mut self.records, place);
        if !self.peers.enter_proxy(&self.hash, &mut self.records, place) {
            self.addresses.release(&self.hash, record.is_ipv6(), record.proxy);
        }
        self.enter_outside(place, binding.real);
        let hash = self.hash.tuple(Side::Inside, tuple);
        let (records, addresses, hasher) = (&self.records, &self.addresses, &self.hash);
        self.inside.insert(hash, place, |place| {
            hasher.tuple(Side::Inside, &tuple_of(records, addresses, Side::Inside, place))
        });
        self.file(place);
        self.counters.live += 1;
        self.counters.opened += 1;
        self.report(FlowEvent::Opened(self.record(place)));
        place
    }

    /// Puts a record, whose outside port stands, behind a real address.
    pub(super) fn enter_outside(&mut self, place: u32, real: IpAddr) {
        let is_ipv6 = real.is_ipv6();
        let address = self.addresses.intern(&self.hash, real);
        self.records[place].real = address;
        let key = SpaceKey::of(&self.records[place]);
        let space = match self.spaces.find(&self.hash, &key) {
            Some(space) => {
                self.addresses.release(&self.hash, is_ipv6, address);
                space
            }
            None => self.spaces.insert(&self.hash, key),
        };
        self.spaces.enter(&mut self.records, space, place);
        let hash = self.hash.tuple(Side::Outside, &self.tuple(Side::Outside, place));
        let (records, addresses, hasher) = (&self.records, &self.addresses, &self.hash);
        self.outside.insert(hash, place, |place| {
            hasher.tuple(Side::Outside, &tuple_of(records, addresses, Side::Outside, place))
        });
        self.learn_ports(space, place);
    }

    /// Tells the map of a space, if it has one, about a few more of its ports.
    fn learn_ports(&mut self, space: u32, place: u32) {
        for _ in 0..LEARNED {
            let Some(port) = self.spaces.unknown_port(space) else { return };
            let tuple = self.tuple(Side::Outside, place).with_port(port);
            let is_free = self.find(Side::Outside, &tuple).is_none();
            self.spaces.learn(space, is_free);
        }
    }

    fn can_make_room(&self, peer: u32) -> bool {
        !self.is_full(peer)
            || self.peers.oldest(peer, Class::Closed).is_some()
            || self.peers.oldest(peer, Class::Unanswered).is_some()
    }

    fn is_full(&self, peer: u32) -> bool {
        self.peers.live(peer) >= self.config.flows_per_peer
            || self.counters.live >= self.config.flows
    }

    /// R33: the peer's oldest closed flow gives way, then its oldest unanswered.
    fn make_room(&mut self, peer: u32, now: Instant) {
        while self.is_full(peer) {
            let closed = self.peers.oldest(peer, Class::Closed);
            let Some(place) = closed.or_else(|| self.peers.oldest(peer, Class::Unanswered)) else {
                return;
            };
            self.displace(place, now);
        }
    }

    /// Ends a flow to make room. One whose time was over anyway has timed out.
    fn displace(&mut self, place: u32, now: Instant) {
        if self.records[place].is_due(now) {
            self.settle(place, now);
        } else {
            self.close(place, CloseReason::Displaced, now);
        }
    }

    /// A free port for a flow towards `outside`: its own, else any (R29), else one that others give up
    /// (R33).
    fn choose_port(&mut self, outside: &Tuple, now: Instant) -> Result<u16, NatError> {
        let own = outside.ends.port();
        if self.is_free(outside, own, now) {
            return Ok(own);
        }
        self.counters.port_collisions += 1;
        let class = PortClass::of(own);
        let Some(space) = self.space_of(outside, class) else { return Ok(own) };
        if self.spaces.map(space).is_none() {
            for _ in 0..TRIES {
                let port = self.ports.draw(class);
                if self.is_free(outside, port, now) {
                    return Ok(port);
                }
            }
        }
        // Trying may have ended the last record of the space.
        let Some(space) = self.space_of(outside, class) else { return Ok(own) };
        let start = self.ports.draw(class);
        if let Some(port) = self.spaces.map(space).and_then(|map| map.free_from(start)) {
            return Ok(port);
        }
        let port = self.take_port(space, now);
        self.counters.refused_exhausted += u64::from(port.is_none());
        port.ok_or(NatError::Exhausted)
    }

    /// R33: the space's oldest resting port, then that of its oldest closed flow, then of its oldest
    /// unanswered one.
    fn take_port(&mut self, space: u32, now: Instant) -> Option<u16> {
        let oldest = |class| self.spaces.oldest(space, class);
        let place = oldest(Class::Resting)
            .or_else(|| oldest(Class::Closed))
            .or_else(|| oldest(Class::Unanswered))?;
        let port = self.records[place].outside_port();
        if self.records[place].state().is_live() {
            self.displace(place, now);
        }
        if self.records[place].state() != State::FREE {
            self.counters.rests_cut_short += u64::from(!self.records[place].is_due(now));
            self.release(place);
        }
        Some(port)
    }

    /// Whether an outside port is free, which it may be only since now.
    fn is_free(&mut self, outside: &Tuple, port: u16, now: Instant) -> bool {
        match self.find(Side::Outside, &outside.with_port(port)) {
            Some(place) => !self.settle(place, now),
            None => true,
        }
    }

    fn space_of(&self, outside: &Tuple, ports: PortClass) -> Option<u32> {
        let real = self.addresses.find(&self.hash, outside.address())?;
        self.spaces.find(&self.hash, &SpaceKey::new(outside.ends, real, ports))
    }
}
