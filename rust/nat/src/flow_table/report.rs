//! What people see of the table: events, rows, counters (R39, R40).

use std::net::IpAddr;

use super::FlowTable;
use super::types::{Counters, FlowEvent, FlowId, FlowRecord, PeerIndex};

/// Places that one call of [`FlowTable::flows`] looks at.
const PLACES_PER_CALL: u32 = 16_384;

impl FlowTable {
    /// What happened since; to be called until `None`.
    pub fn poll_event(&mut self) -> Option<FlowEvent> {
        self.events.pop_front()
    }

    /// Adds at most `max` flows to `rows`, beginning at `cursor` (0 at first). Returns the cursor for
    /// the next call, `None` at the end; bounded work, so there may be fewer rows than asked for.
    pub fn flows(&self, cursor: u32, max: usize, rows: &mut Vec<FlowRecord>) -> Option<u32> {
        let end = self.records.capacity().min(cursor.saturating_add(PLACES_PER_CALL));
        let mut added = 0;
        for place in cursor..end {
            if added == max {
                return Some(place);
            }
            if self.records[place].state().is_live() {
                rows.push(self.record(place));
                added += 1;
            }
        }
        (end < self.records.capacity()).then_some(end)
    }

    /// All about one flow; `None` if the handle is void.
    pub fn flow(&self, flow: FlowId) -> Option<FlowRecord> {
        self.live(flow).map(|place| self.record(place))
    }

    /// Whether `peer` has a flow to `proxy`, or a port that rests after one.
    pub fn has_flow_to(&self, peer: PeerIndex, proxy: IpAddr) -> bool {
        self.addresses.find(&self.hash, proxy).is_some_and(|address| {
            self.peers.of_proxy(&self.hash, peer.0, proxy.is_ipv6(), address).is_some()
        })
    }

    /// Notes that the flow's access was checked: with which outcome (`tag`) and when (`epoch`). Does
    /// nothing if the handle is void.
    pub fn set_epoch(&mut self, flow: FlowId, epoch: u32, tag: u32) {
        if let Some(place) = self.live(flow) {
            self.forget_recent();
            let record = &mut self.records[place];
            (record.epoch, record.tag) = (epoch, tag);
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(super) fn report(&mut self, event: FlowEvent) {
        if self.events.len() < self.config.events {
            self.events.push_back(event);
        } else {
            self.counters.events_dropped += 1;
        }
    }

    pub(super) fn record(&self, place: u32) -> FlowRecord {
        let record = &self.records[place];
        let [outbound, inbound] = record.traffic();
        let is_ipv6 = record.is_ipv6();
        FlowRecord {
            flow: FlowId { index: place, generation: record.generation() },
            peer: PeerIndex(record.peer()),
            tag: record.tag,
            epoch: record.epoch,
            protocol: record.protocol(),
            client_port: record.client_port(),
            proxy: self.addresses.get(is_ipv6, record.proxy),
            remote_port: record.remote_port(),
            outside_port: record.outside_port(),
            real: self.addresses.get(is_ipv6, record.real),
            answered: record.state().is_answered(),
            outbound,
            inbound,
            opened: self.records.opened(place),
            last_seen: super::record::instant(record.last_seen()),
        }
    }
}
