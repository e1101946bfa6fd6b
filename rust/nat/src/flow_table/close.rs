//! How flows end, and how their outside ports rest (R29, R34).

use std::net::IpAddr;

use packet::Instant;

use super::FlowTable;
use super::key::Side;
use super::record::{Chain, instant, millis_up};
use super::state::{Class, State};
use super::types::{CloseReason, FlowEvent, FlowId, PeerIndex, Reason};

/// Entries of the wheel that one call looks at: some tens of microseconds.
const WORK_PER_TICK: usize = 64;

impl FlowTable {
    /// Ends one flow; false if the handle is void. Its outside tuple rests (R34).
    pub fn end(&mut self, flow: FlowId, reason: CloseReason, now: Instant) -> bool {
        let Some(place) = self.live(flow) else { return false };
        self.close(place, reason, now);
        true
    }

    /// Ends exactly the flows of `peer` to `proxy` (R23) and returns how many: O(flows of the proxy,
    /// and ports that rest after such flows).
    pub fn end_proxy(&mut self, peer: PeerIndex, proxy: IpAddr, now: Instant) -> usize {
        let Some(address) = self.addresses.find(&self.hash, proxy) else { return 0 };
        let mut ended = 0;
        while let Some(place) = self.peers.of_proxy(&self.hash, peer.0, proxy.is_ipv6(), address) {
            if self.records[place].state().is_live() {
                self.close(place, CloseReason::ProxyMoved, now);
                ended += 1;
            } else {
                self.forget_inside(place);
            }
        }
        ended
    }

    /// Ends all flows of a peer that is gone, and lets its index be used again, without any rest.
    /// O(flows and resting ports of the peer). Returns how many flows.
    pub fn end_peer(&mut self, peer: PeerIndex) -> usize {
        let mut ended = 0;
        while let Some(place) = self.peers.of_peer(peer.0) {
            if self.records[place].state().is_live() {
                self.report_closed(place, CloseReason::PeerRemoved);
                ended += 1;
            }
            self.unfile(place);
            self.remove(place);
        }
        ended
    }

    /// Ends flows that are due; bounded work per call (R31).
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..WORK_PER_TICK {
            let links = &mut self.records.chain(Chain::Wheel);
            let Some((place, slot)) = self.wheel.pop_due(links, now) else { return };
            let record = &self.records[place];
            if !record.is_due(slot) {
                self.file(place);
            } else if record.state().is_live() {
                let ended = instant(record.deadline());
                self.close_unfiled(place, CloseReason::Timeout, ended);
            } else {
                self.remove(place);
            }
        }
    }

    /// When [`Self::handle_timeout`] has work next: within a second of the earliest time-out.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.wheel.poll_timeout().map(|when| (when, Reason::Expiry))
    }

    /// The place of a flow whose handle is not void.
    pub(super) fn live(&self, flow: FlowId) -> Option<u32> {
        if flow.index >= self.records.capacity() {
            return None;
        }
        let record = &self.records[flow.index];
        let is_same = record.generation() == flow.generation && record.state().is_live();
        is_same.then_some(flow.index)
    }

    /// Brings a record up to the time, however late the wheel is. False if nothing is left of it.
    pub(super) fn settle(&mut self, place: u32, now: Instant) -> bool {
        let record = &self.records[place];
        if record.state().is_live() && record.is_due(now) {
            let ended = instant(record.deadline());
            self.close(place, CloseReason::Timeout, ended);
        }
        let record = &self.records[place];
        if record.state().class() == Class::Resting && record.is_due(now) {
            self.release(place);
        }
        self.records[place].state() != State::FREE
    }

    /// Ends a live flow as of `ended`.
    pub(super) fn close(&mut self, place: u32, reason: CloseReason, ended: Instant) {
        self.unfile(place);
        self.close_unfiled(place, reason, ended);
    }

    fn close_unfiled(&mut self, place: u32, reason: CloseReason, ended: Instant) {
        self.report_closed(place, reason);
        let state = self.records[place].state();
        self.change_state(place, state.with_class(Class::Resting));
        let record = &mut self.records[place];
        record.next_generation();
        record.set_last_seen(millis_up(ended));
        self.counters.resting += 1;
        self.file(place);
        // The inside tuple of a flow that ended by itself is remembered for its late segments (R34).
        if !matches!(
            reason,
            CloseReason::Timeout | CloseReason::Displaced | CloseReason::Superseded
        ) {
            self.forget_inside(place);
        }
        self.limit_resting(self.records[place].peer());
    }

    /// As many ports may rest as flows may live.
    pub(super) fn limit_resting(&mut self, peer: u32) {
        while self.peers.resting(peer) > self.config.flows_per_peer
            || self.counters.resting > self.config.flows
        {
            let Some(oldest) = self.peers.oldest(peer, Class::Resting) else { return };
            self.counters.rests_cut_short += 1;
            self.release(oldest);
        }
    }

    /// Ends a rest; its port is free.
    pub(super) fn release(&mut self, place: u32) {
        self.unfile(place);
        self.remove(place);
    }

    /// Takes a record, live or resting, out of everything but the wheel.
    fn remove(&mut self, place: u32) {
        self.forget_recent();
        if self.records[place].state().is_live() {
            self.counters.live -= 1;
            let record = &mut self.records[place];
            record.next_generation();
        } else {
            self.counters.resting -= 1;
        }
        self.forget_inside(place);
        self.leave_outside(place);
        self.peers.leave(&mut self.records, place);
        self.records.remove(place);
    }

    /// Takes a record out of the outside index and its port space.
    pub(super) fn leave_outside(&mut self, place: u32) {
        let hash = self.hash.tuple(Side::Outside, &self.tuple(Side::Outside, place));
        self.outside.remove(hash, place);
        let (is_ipv6, real) = (self.records[place].is_ipv6(), self.records[place].real);
        if self.spaces.leave(&self.hash, &mut self.records, place) {
            self.addresses.release(&self.hash, is_ipv6, real);
        }
    }

    /// Takes a record out of the inside index and from its proxy address.
    pub(super) fn forget_inside(&mut self, place: u32) {
        let state = self.records[place].state();
        if !state.is_inside() {
            return;
        }
        let hash = self.hash.tuple(Side::Inside, &self.tuple(Side::Inside, place));
        self.inside.remove(hash, place);
        let (is_ipv6, proxy) = (self.records[place].is_ipv6(), self.records[place].proxy);
        if self.peers.leave_proxy(&self.hash, &mut self.records, place) {
            self.addresses.release(&self.hash, is_ipv6, proxy);
        }
        self.records[place].set_state(state.outside_only());
    }

    /// Gives a record another state and moves it to the lists of its class. A flow that closes lives
    /// shorter from now on, so it is filed anew; all others are found when their old time comes.
    pub(super) fn change_state(&mut self, place: u32, state: State) {
        self.forget_recent();
        let class = state.class();
        self.peers.change(&mut self.records, place, class);
        self.spaces.change(&self.hash, &mut self.records, place, class);
        self.records[place].set_state(state);
        match class {
            Class::Closed => {
                self.unfile(place);
                self.file(place);
            }
            Class::Resting => self.counters.live -= 1,
            Class::Answered | Class::Unanswered | Class::Free => {}
        }
    }

    pub(super) fn file(&mut self, place: u32) {
        let deadline = instant(self.records[place].deadline());
        self.wheel.insert(&mut self.records.chain(Chain::Wheel), place, deadline);
    }

    fn unfile(&mut self, place: u32) {
        self.wheel.remove(&mut self.records.chain(Chain::Wheel), place);
    }

    fn report_closed(&mut self, place: u32, reason: CloseReason) {
        *match reason {
            CloseReason::Timeout => &mut self.counters.timed_out,
            CloseReason::Displaced => &mut self.counters.displaced,
            CloseReason::Superseded => &mut self.counters.superseded,
            CloseReason::ProxyMoved => &mut self.counters.proxy_moved,
            CloseReason::Revoked => &mut self.counters.revoked,
            CloseReason::PeerRemoved => &mut self.counters.peer_removed,
        } += 1;
        let record = self.record(place);
        self.report(FlowEvent::Closed(record, reason));
    }
}
