//! What a packet meets: one look-up, and what it says about its flow.

use packet::icmp::Embedded;
use packet::{Instant, Protocol, Rewrite, Summary, TcpFlags, Transport};

use super::FlowTable;
use super::address::Addresses;
use super::key::{Side, Tuple};
use super::record::Records;
use super::state::is_opening;
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
        let Some(tuple) = inside_tuple(peer, summary) else { return Outbound::Miss };
        let Some(place) = self.find(Side::Inside, &tuple) else { return Outbound::Miss };
        let state = self.records[place].state;
        if state.is_live() && !self.records[place].is_due(now) {
            if is_opening(&summary.transport) && state.is_closing() {
                self.close(place, CloseReason::Superseded, now);
                return Outbound::Miss;
            }
            self.count(place, Direction::Outbound, summary, (bytes, packets), now);
            return Outbound::Hit(self.hit(place, Direction::Outbound));
        }
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
        let Some(tuple) = outside_tuple(peer, summary) else { return Inbound::Miss };
        let Some(place) = self.find(Side::Outside, &tuple) else { return Inbound::Miss };
        let record = &self.records[place];
        if record.state.is_live() && !record.is_due(now) {
            self.count(place, Direction::Inbound, summary, (bytes, packets), now);
            return Inbound::Hit(self.hit(place, Direction::Inbound));
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
        let (side, tuple) = quoted_tuple(peer, quoted, direction);
        let Some(place) = self.find(side, &tuple) else { return Quoted::Miss };
        let record = &self.records[place];
        if record.state.is_live() && !record.is_due(now) {
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
        let (side, tuple) = match direction {
            Direction::Outbound => (Side::Inside, inside_tuple(peer, summary)?),
            Direction::Inbound => (Side::Outside, outside_tuple(peer, summary)?),
        };
        let place = self.find(side, &tuple)?;
        let record = &self.records[place];
        if !record.state.is_live() || record.is_due(now) {
            self.settle(place, now);
            return None;
        }
        let generation = record.generation;
        if direction == Direction::Outbound
            && is_opening(&summary.transport)
            && record.state.is_closing()
        {
            self.close(place, CloseReason::Superseded, now);
            return None;
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
        let index = match side {
            Side::Inside => &self.inside,
            Side::Outside => &self.outside,
        };
        index.find(self.hash.tuple(side, tuple), |place| {
            let record = &self.records[place];
            let (port, address) = match side {
                Side::Inside => (record.client_port, record.proxy),
                Side::Outside => (record.outside_port, record.real),
            };
            port == tuple.port
                && record.remote_port == tuple.remote
                && record.kind == tuple.kind
                && record.peer() == tuple.peer
                && self.addresses.bits(tuple.kind.is_ipv6(), address) == tuple.address
        })
    }

    /// One side of a record.
    pub(super) fn tuple(&self, side: Side, place: u32) -> Tuple {
        tuple_of(&self.records, &self.addresses, side, place)
    }

    /// Counts a train of a live flow.
    #[inline]
    pub(super) fn count(
        &mut self,
        place: u32,
        direction: Direction,
        summary: &Summary,
        (bytes, packets): (u64, u32),
        now: Instant,
    ) {
        let record = &mut self.records[place];
        record.count(direction as usize, bytes, packets);
        record.touch(now);
        let state = record.state.after(&summary.transport, direction);
        if state.class() == record.state.class() {
            record.state = state;
        } else {
            self.change_state(place, state);
        }
    }

    #[inline]
    pub(super) fn hit(&self, place: u32, direction: Direction) -> FlowHit {
        let record = &self.records[place];
        let is_ipv6 = record.kind.is_ipv6();
        let proxy = self.addresses.get(is_ipv6, record.proxy);
        let real = self.addresses.get(is_ipv6, record.real);
        let (client, outside) = (record.client_port, record.outside_port);
        let rewrite = match direction {
            Direction::Outbound => Rewrite::outbound(proxy, real, client, outside),
            Direction::Inbound => Rewrite::inbound(real, proxy, outside, client),
        };
        FlowHit {
            flow: FlowId { index: place, generation: record.generation },
            rewrite,
            answered: record.state.is_answered(),
            real,
            outside_port: outside,
            epoch: record.epoch,
            tag: record.tag,
        }
    }

    fn quoted(&self, place: u32) -> QuotedFlow {
        let record = &self.records[place];
        let is_ipv6 = record.kind.is_ipv6();
        QuotedFlow {
            flow: FlowId { index: place, generation: record.generation },
            proxy: self.addresses.get(is_ipv6, record.proxy),
            real: self.addresses.get(is_ipv6, record.real),
            client_port: record.client_port,
            outside_port: record.outside_port,
            remote_port: record.remote_port,
            epoch: record.epoch,
            tag: record.tag,
        }
    }
}

/// One side of a record.
#[inline]
pub(super) fn tuple_of(records: &Records, addresses: &Addresses, side: Side, place: u32) -> Tuple {
    let record = &records[place];
    let (port, address) = match side {
        Side::Inside => (record.client_port, record.proxy),
        Side::Outside => (record.outside_port, record.real),
    };
    let (kind, remote) = (record.kind, record.remote_port);
    let address = addresses.bits(kind.is_ipv6(), address);
    Tuple { peer: record.peer(), kind, port, remote, address }
}

/// What a packet from a Client is found by. None of other protocols, nor of echo replies: no flow of a
/// Client begins or goes on with one.
#[inline]
pub(super) fn inside_tuple(peer: PeerIndex, summary: &Summary) -> Option<Tuple> {
    if matches!(summary.transport, Transport::Echo { request: false, .. }) {
        return None;
    }
    let (protocol, port, remote) = summary.transport.flow()?;
    Some(Tuple::new(peer.0, protocol, (port, remote), summary.destination))
}

/// What a packet from outside is found by. None of an echo request: it answers nothing.
#[inline]
fn outside_tuple(peer: PeerIndex, summary: &Summary) -> Option<Tuple> {
    let (port, remote) = match summary.transport {
        Transport::Tcp { source, destination, .. } | Transport::Udp { source, destination } => {
            (destination, source)
        }
        Transport::Echo { identifier, request: false } => (identifier, 0),
        Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => return None,
    };
    let (protocol, ..) = summary.transport.flow()?;
    Some(Tuple::new(peer.0, protocol, (port, remote), summary.source))
}

/// What a quoted packet's flow is found by. An error from outside quotes what went out, one from a
/// Client what came in.
fn quoted_tuple(peer: PeerIndex, quoted: &Embedded, direction: Direction) -> (Side, Tuple) {
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
    (side, Tuple::new(peer.0, quoted.protocol, (port, remote), address))
}
