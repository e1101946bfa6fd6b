//! The flow of the train before, with the answer ready: most trains are of the same flow as the one
//! before them.
//!
//! What is kept here holds until the flow changes its class, ends, moves or is checked anew; whoever does
//! that calls [`FlowTable::forget_recent`]. What a train itself may change is not taken from here: one
//! with SYN, FIN or RST, and the first answer, go the long way.

use std::net::{IpAddr, Ipv4Addr};

use packet::{Instant, Summary, TcpFlags, Transport};

use super::key::{Ends, Side};
use super::record::instant;
use super::types::{Direction, FlowHit};
use super::{FlowId, FlowTable};

/// The last flow of one side.
#[derive(Clone, Copy)]
pub(super) struct Recent {
    ends: Ends,
    address: IpAddr,
    /// Before that it does not time out.
    until: Instant,
    /// When a packet of it was noted last.
    noted: Instant,
    hit: FlowHit,
}

impl Recent {
    /// That of no train.
    pub(super) const NONE: Self = Self {
        ends: Ends::NONE,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        until: Instant::ZERO,
        noted: Instant::ZERO,
        hit: FlowHit::VOID,
    };

    /// Whether the flow is that of a train, and what was kept is all that the train needs.
    #[inline]
    fn suits(&self, ends: Ends, address: IpAddr, summary: &Summary, now: Instant) -> bool {
        let is_plain = !matches!(summary.transport, Transport::Tcp { flags, .. }
            if flags.intersects(CHANGING));
        self.ends == ends && self.address == address && is_plain && now < self.until
    }
}

/// What may change a flow.
const CHANGING: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::FIN.0 | TcpFlags::RST.0);

impl FlowTable {
    /// Counts a train if it is of the same flow as the one before: then [`Self::recent_hit`] is what its
    /// owner is told.
    #[inline]
    pub(super) fn hit_again(
        &mut self,
        side: Side,
        (ends, address): (Ends, IpAddr),
        summary: &Summary,
        (bytes, packets): (u64, u32),
        now: Instant,
    ) -> bool {
        let recent = &mut self.recent[side as usize];
        if !recent.suits(ends, address, summary, now) {
            return false;
        }
        let record = &mut self.records[recent.hit.flow.index];
        record.count(side.direction(), bytes, packets);
        if recent.noted != now {
            recent.noted = now;
            record.touch(now);
        }
        true
    }

    /// Copied once, and as it lies.
    #[inline]
    pub(super) fn recent_hit(&self, side: Side) -> FlowHit {
        self.recent[side as usize].hit
    }

    /// The same flow as the one before, without counting.
    #[inline]
    pub(super) fn seek_again(
        &self,
        side: Side,
        ends: Ends,
        address: IpAddr,
        summary: &Summary,
        now: Instant,
    ) -> Option<FlowId> {
        let recent = &self.recent[side as usize];
        recent.suits(ends, address, summary, now).then_some(recent.hit.flow)
    }

    /// Keeps the flow of a train that was hit twice in a row.
    #[cold]
    pub(super) fn keep_recent(&mut self, side: Side, address: IpAddr, hit: FlowHit, now: Instant) {
        let record = &self.records[hit.flow.index];
        let state = record.state();
        let is_answered = side.direction() == Direction::Outbound || state.is_answered();
        if !state.is_closing() && is_answered {
            let ends = match side {
                Side::Inside => record.ends,
                Side::Outside => record.ends.with_port(record.outside_port()),
            };
            let until = instant(record.deadline());
            self.recent[side as usize] = Recent { ends, address, until, noted: now, hit };
        }
    }

    /// Something is about to change that [`Self::hit_again`] answers from.
    #[inline]
    pub(super) fn forget_recent(&mut self) {
        self.recent = [Recent::NONE; 2];
    }
}
