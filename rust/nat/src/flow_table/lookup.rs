//! What a packet meets: one look-up, and what it says about its flow.

use std::net::Ipv4Addr;

use packet::icmp::Embedded;
use packet::{Instant, Protocol, Rewrite, Summary, TcpFlags, Transport};

use super::FlowTable;
use super::address::Addresses;
use super::ahead::Hint;
use super::index::Index;
use super::key::{Ends, Side, Tuple};
use super::record::{Record, Records};
use super::state::{Class, is_opening};
use super::types::{
    CloseReason, Direction, FlowHit, FlowId, Inbound, Outbound, PeerIndex, Quoted, QuotedFlow,
};

impl FlowTable {
    /// Finds the flow of a train from `peer` and counts it: `bytes` of whole packets, `packets`.
    ///
    /// TCP flags in `summary` must be those of all packets of the train together. A SYN on a closing
    /// flow ends that flow and is a [`Outbound::Miss`] (R30). Allocates nothing; one look-up (R37).
    pub fn outbound(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Outbound {
        let hint = Hint(self.last[Side::Inside as usize]);
        self.outbound_at(hint, peer, summary, bytes, packets, now)
    }

    /// The same for a train whose flow was looked up ahead ([`Self::look_ahead`]). A hint that proves
    /// wrong, or is of another train, costs time and nothing else.
    #[inline]
    pub fn outbound_at(
        &mut self,
        hint: Hint,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Outbound {
        let Some(ends) = inside_ends(peer, summary) else { return Outbound::Miss };
        let (address, counted) = (summary.destination, (bytes, packets));
        if self.hit_again(Side::Inside, (ends, address), summary, counted, now) {
            return Outbound::Hit(self.recent_hit(Side::Inside));
        }
        let last = self.last[Side::Inside as usize];
        let tuple = Tuple::new(ends, address);
        let Some(place) = self.find_at(hint, Side::Inside, &tuple) else { return Outbound::Miss };
        let record = &mut self.records[place];
        let state = record.state();
        if state.is_live() && !record.is_due(now) {
            if is_opening(&summary.transport) && state.is_closing() {
                self.close(place, CloseReason::Superseded, now);
                return Outbound::Miss;
            }
            if let Some(state) = record.note(Direction::Outbound, summary, counted, now) {
                self.change_state(place, state);
                return Outbound::Hit(self.hit(place, Direction::Outbound));
            }
            if last == place {
                let hit = self.hit(place, Direction::Outbound);
                self.keep_recent(Side::Inside, address, hit, now);
                return Outbound::Hit(hit);
            }
            return Outbound::Hit(hit(record, &self.addresses, place, Direction::Outbound));
        }
        self.outbound_late(place, summary, packets, now)
    }

    /// What becomes of a train whose flow has ended, or has to.
    #[cold]
    fn outbound_late(
        &mut self,
        place: u32,
        summary: &Summary,
        packets: u32,
        now: Instant,
    ) -> Outbound {
        let is_late = self.settle(place, now)
            && matches!(summary.transport, Transport::Tcp { flags, .. } if !flags.contains(TcpFlags::SYN));
        if !is_late {
            return Outbound::Miss;
        }
        self.counters.late_outbound += u64::from(packets);
        Outbound::Expired
    }

    /// Finds the flow of a train from outside (source: a real address) to `peer` and counts it.
    ///
    /// TCP flags as for [`Self::outbound`]. Allocates nothing; one look-up (R37).
    pub fn inbound(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Inbound {
        let hint = Hint(self.last[Side::Outside as usize]);
        self.inbound_at(hint, peer, summary, bytes, packets, now)
    }

    /// The same for a train whose flow was looked up ahead, as [`Self::outbound_at`].
    #[inline]
    pub fn inbound_at(
        &mut self,
        hint: Hint,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Inbound {
        let Some(ends) = outside_ends(peer, summary) else { return Inbound::Miss };
        let (address, counted) = (summary.source, (bytes, packets));
        if self.hit_again(Side::Outside, (ends, address), summary, counted, now) {
            return Inbound::Hit(self.recent_hit(Side::Outside));
        }
        let last = self.last[Side::Outside as usize];
        let tuple = Tuple::new(ends, address);
        let Some(place) = self.find_at(hint, Side::Outside, &tuple) else { return Inbound::Miss };
        let record = &mut self.records[place];
        if record.state().is_live() && !record.is_due(now) {
            if let Some(state) = record.note(Direction::Inbound, summary, counted, now) {
                self.change_state(place, state);
                return Inbound::Hit(self.hit(place, Direction::Inbound));
            }
            if last == place {
                let hit = self.hit(place, Direction::Inbound);
                self.keep_recent(Side::Outside, address, hit, now);
                return Inbound::Hit(hit);
            }
            return Inbound::Hit(hit(record, &self.addresses, place, Direction::Inbound));
        }
        if !self.settle(place, now) {
            return Inbound::Miss;
        }
        self.counters.late_inbound += u64::from(packets);
        Inbound::Expired
    }

    /// Finds the flow of a packet that an ICMP error quotes; `peer` sent the error or is to get it.
    /// Refreshes, confirms and ends nothing (R30).
    pub fn lookup_embedded(
        &mut self,
        peer: PeerIndex,
        quoted: &Embedded,
        direction: Direction,
        now: Instant,
    ) -> Quoted {
        let Some((side, tuple)) = quoted_tuple(peer, quoted, direction) else {
            return Quoted::Miss;
        };
        let Some(place) = self.find(side, &tuple) else { return Quoted::Miss };
        let record = &self.records[place];
        if record.state().is_live() && !record.is_due(now) {
            return Quoted::Hit(self.quoted(place));
        }
        if !self.settle(place, now) {
            return Quoted::Miss;
        }
        match direction {
            Direction::Outbound => self.counters.late_outbound += 1,
            Direction::Inbound => self.counters.late_inbound += 1,
        }
        Quoted::Expired
    }

    /// Finds the live flow of a train without counting it, for an owner that decides first;
    /// [`Self::count_train`] counts it. A SYN on a closing flow ends that flow (R30). Allocates
    /// nothing; one look-up (R37).
    pub fn seek(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        direction: Direction,
        now: Instant,
    ) -> Option<FlowId> {
        let (side, ends, address) = match direction {
            Direction::Outbound => (Side::Inside, inside_ends(peer, summary)?, summary.destination),
            Direction::Inbound => (Side::Outside, outside_ends(peer, summary)?, summary.source),
        };
        if let Some(flow) = self.seek_again(side, ends, address, summary, now) {
            return Some(flow);
        }
        let (last, tuple) = (self.last[side as usize], Tuple::new(ends, address));
        let place = self.find_at(Hint(self.last[side as usize]), side, &tuple)?;
        let record = &self.records[place];
        if !record.state().is_live() || record.is_due(now) {
            self.settle(place, now);
            return None;
        }
        let generation = record.generation();
        if direction == Direction::Outbound
            && is_opening(&summary.transport)
            && record.state().is_closing()
        {
            self.close(place, CloseReason::Superseded, now);
            return None;
        }
        if last == place {
            self.keep_recent(side, address, self.hit(place, direction), now);
        }
        Some(FlowId { index: place, generation })
    }

    /// Counts a train of a flow that [`Self::seek`] found: `bytes` of whole packets, `packets`.
    /// Nothing happens if the handle is void.
    pub fn count_train(
        &mut self,
        flow: FlowId,
        direction: Direction,
        summary: &Summary,
        (bytes, packets): (u64, u32),
        now: Instant,
    ) {
        if let Some(place) = self.live(flow) {
            self.count(place, direction, summary, (bytes, packets), now);
        }
    }

    /// The record with this tuple, live or resting.
    #[inline]
    pub(super) fn find(&self, side: Side, tuple: &Tuple) -> Option<u32> {
        let hash = self.hash.tuple(side, tuple);
        self.index(side).find(hash, |place| self.has(side, &self.records[place], tuple))
    }

    /// The same, sought where the hint says before anywhere else.
    #[inline]
    fn find_at(&mut self, hint: Hint, side: Side, tuple: &Tuple) -> Option<u32> {
        let found = if self.is_at(side, hint.0, tuple) { hint.0 } else { self.find(side, tuple)? };
        self.last[side as usize] = found;
        Some(found)
    }

    /// Whether the record with this tuple is at a place, whatever the place is. The state tells that an
    /// index leads there: of a record that was given up, or of the inside of a rest, the tuple is left.
    #[inline]
    pub(super) fn is_at(&self, side: Side, place: u32, tuple: &Tuple) -> bool {
        self.records.get(place).is_some_and(|record| {
            let is_indexed = match side {
                Side::Inside => record.state().is_inside(),
                Side::Outside => record.state().class() != Class::Free,
            };
            is_indexed && self.has(side, record, tuple)
        })
    }

    #[inline]
    fn has(&self, side: Side, record: &Record, tuple: &Tuple) -> bool {
        let (ends, address) = side_of(record, side);
        let is_ipv6 = tuple.ends.kind().is_ipv6();
        ends == tuple.ends && self.addresses.bits(is_ipv6, address) == tuple.address
    }

    #[inline]
    pub(super) fn index(&self, side: Side) -> &Index {
        match side {
            Side::Inside => &self.inside,
            Side::Outside => &self.outside,
        }
    }

    /// One side of a record.
    pub(super) fn tuple(&self, side: Side, place: u32) -> Tuple {
        tuple_of(&self.records, &self.addresses, side, place)
    }

    /// Counts a train of a live flow.
    #[inline(always)]
    pub(super) fn count(
        &mut self,
        place: u32,
        direction: Direction,
        summary: &Summary,
        (bytes, packets): (u64, u32),
        now: Instant,
    ) {
        if let Some(state) = self.records[place].note(direction, summary, (bytes, packets), now) {
            self.change_state(place, state);
        }
    }

    /// What the owner of a train of a live flow is told.
    pub(super) fn hit(&self, place: u32, direction: Direction) -> FlowHit {
        hit(&self.records[place], &self.addresses, place, direction)
    }

    fn quoted(&self, place: u32) -> QuotedFlow {
        let record = &self.records[place];
        let is_ipv6 = record.is_ipv6();
        QuotedFlow {
            flow: FlowId { index: place, generation: record.generation() },
            proxy: self.addresses.get(is_ipv6, record.proxy),
            real: self.addresses.get(is_ipv6, record.real),
            client_port: record.client_port(),
            outside_port: record.outside_port(),
            remote_port: record.remote_port(),
            epoch: record.epoch,
            tag: record.tag,
        }
    }
}

/// What the owner of a train is told. Made in place, and of one family at once: copies of it, piece by
/// piece, cost more than all the rest of a hit.
#[inline(always)]
fn hit(record: &Record, addresses: &Addresses, place: u32, direction: Direction) -> FlowHit {
    let (client, outside) = (record.client_port(), record.outside_port());
    let rewrite = if record.is_ipv6() {
        let (proxy, real) = (addresses.ipv6(record.proxy), addresses.ipv6(record.real));
        match direction {
            Direction::Outbound => Rewrite::outbound_ipv6(proxy, real, client, outside),
            Direction::Inbound => Rewrite::inbound_ipv6(real, proxy, outside, client),
        }
    } else {
        let (proxy, real) = (Ipv4Addr::from_bits(record.proxy), Ipv4Addr::from_bits(record.real));
        match direction {
            Direction::Outbound => Rewrite::outbound_ipv4(proxy, real, client, outside),
            Direction::Inbound => Rewrite::inbound_ipv4(real, proxy, outside, client),
        }
    };
    FlowHit {
        flow: FlowId { index: place, generation: record.generation() },
        rewrite,
        answered: record.state().is_answered(),
        outside_port: outside,
        epoch: record.epoch,
        tag: record.tag,
    }
}

/// One side of a record.
#[inline]
pub(super) fn tuple_of(records: &Records, addresses: &Addresses, side: Side, place: u32) -> Tuple {
    let record = &records[place];
    let (ends, address) = side_of(record, side);
    Tuple { ends, address: addresses.bits(record.is_ipv6(), address) }
}

/// One side of a record, with the address as it is kept.
#[inline]
fn side_of(record: &Record, side: Side) -> (Ends, u32) {
    match side {
        Side::Inside => (record.ends, record.proxy),
        Side::Outside => (record.ends.with_port(record.outside_port()), record.real),
    }
}

/// What a packet from a Client is found by, with its destination. None of other protocols, nor of echo
/// replies: no flow of a Client begins or goes on with one.
#[inline]
pub(super) fn inside_ends(peer: PeerIndex, summary: &Summary) -> Option<Ends> {
    if matches!(summary.transport, Transport::Echo { request: false, .. }) {
        return None;
    }
    let (protocol, port, remote) = summary.transport.flow()?;
    Ends::new(peer.0, protocol, (port, remote), summary.destination)
}

/// What a packet from outside is found by, with its source. None of an echo request: it answers nothing.
#[inline]
pub(super) fn outside_ends(peer: PeerIndex, summary: &Summary) -> Option<Ends> {
    let (port, remote) = match summary.transport {
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            (destination, source)
        }
        Transport::Echo { identifier, request: false } => (identifier, 0),
        Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => return None,
    };
    let (protocol, ..) = summary.transport.flow()?;
    Ends::new(peer.0, protocol, (port, remote), summary.source)
}

/// What a quoted packet's flow is found by. An error from outside quotes what went out, one from a
/// Client what came in.
fn quoted_tuple(peer: PeerIndex, quoted: &Embedded, direction: Direction) -> Option<(Side, Tuple)> {
    let (side, address, port, remote) = match direction {
        Direction::Inbound => {
            (Side::Outside, quoted.destination, quoted.source_port, quoted.destination_port)
        }
        Direction::Outbound if quoted.protocol == Protocol::Icmp => {
            (Side::Inside, quoted.source, quoted.source_port, 0)
        }
        Direction::Outbound => {
            (Side::Inside, quoted.source, quoted.destination_port, quoted.source_port)
        }
    };
    let ends = Ends::new(peer.0, quoted.protocol, (port, remote), address)?;
    Some((side, Tuple::new(ends, address)))
}
