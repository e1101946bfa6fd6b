//! The Gateway's NAT: flows of all peers of a shard (R26-R31, R33-R35, R37).
//!
//! In: the [`Summary`] of a train, and for a new flow the real address that the translations deal. Out: how
//! to rewrite the train, and events for the flow log. A live flow is found by what its packets carry
//! and by nothing else, so that no answer of a resolver can touch it (R26).
//!
//! A flow is one record of a cache line in a slab, found through two indexes: by its inside tuple
//! (protocol, client port, proxy address, remote port, peer) and by its outside tuple (protocol,
//! outside port, real address, remote port, peer).

mod types;

use std::net::IpAddr;

use packet::icmp::Embedded;
use packet::{Instant, Summary};

pub use types::{
    Binding, CloseReason, Config, Counters, Direction, FlowEvent, FlowHit, FlowId, FlowRecord,
    Inbound, NatError, Outbound, PeerIndex, Quoted, QuotedFlow, Reason, Traffic,
};

/// The flows of one shard. See the module's documentation.
#[derive(Debug)]
pub struct FlowTable {
    config: Config,
    counters: Counters,
}

impl FlowTable {
    /// An empty table. `seed` makes outside ports and the order in the indexes unpredictable.
    pub fn new(config: Config, seed: u64) -> Self {
        let _ = seed;
        Self { config, counters: Counters::default() }
    }

    /// Finds the flow of a train from `peer` and counts it: `bytes` of whole packets, `packets`.
    ///
    /// A SYN on a closing flow ends that flow and is a [`Outbound::Miss`] (R30). Allocates nothing; one
    /// look-up (R37).
    pub fn outbound(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Outbound {
        let _ = (peer, summary, bytes, packets, now);
        Outbound::Miss
    }

    /// Opens the flow of a train that was a [`Outbound::Miss`] and counts the train. If the flow exists
    /// it keeps its binding.
    ///
    /// The outside port is the packet's own if it is free, else another of its class (R29). A flow to
    /// the same place as one of the same inside tuple that ended less than 120 s ago gets that one's
    /// port.
    ///
    /// # Errors
    /// [`NatError`]; nothing has changed then. Before that, others gave way as R33 says.
    pub fn create(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        binding: Binding,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Result<FlowHit, NatError> {
        let _ = (peer, summary, binding, bytes, packets, now, self.config);
        Err(NatError::Unsupported)
    }

    /// Points an unanswered flow at another real address, in place; its outside port is kept if it is
    /// free there (R27). The old tuple rests (R34).
    ///
    /// # Errors
    /// [`NatError::Exhausted`]: no port there, the flow is as it was. [`NatError::Unsupported`]: void
    /// handle, answered flow, or address of the other family.
    pub fn rebind(
        &mut self,
        flow: FlowId,
        real: IpAddr,
        now: Instant,
    ) -> Result<FlowHit, NatError> {
        let _ = (flow, real, now);
        Err(NatError::Unsupported)
    }

    /// Finds the flow of a train from outside (source: a real address) to `peer` and counts it.
    ///
    /// Allocates nothing; one look-up (R37).
    pub fn inbound(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        bytes: u64,
        packets: u32,
        now: Instant,
    ) -> Inbound {
        let _ = (peer, summary, bytes, packets, now);
        Inbound::Miss
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
        let _ = (peer, quoted, direction, now);
        Quoted::Miss
    }

    /// Notes that the flow's access was checked: with which outcome (`tag`) and when (`epoch`). Does
    /// nothing if the handle is void.
    pub fn set_epoch(&mut self, flow: FlowId, epoch: u32, tag: u32) {
        let _ = (flow, epoch, tag);
    }

    /// Ends one flow; false if the handle is void. Its outside tuple rests (R34).
    pub fn end(&mut self, flow: FlowId, reason: CloseReason, now: Instant) -> bool {
        let _ = (flow, reason, now);
        false
    }

    /// Ends exactly the flows of `peer` to `proxy` (R23) and returns how many: O(flows of the proxy).
    pub fn end_proxy(&mut self, peer: PeerIndex, proxy: IpAddr, now: Instant) -> usize {
        let _ = (peer, proxy, now);
        0
    }

    /// Ends all flows of a peer that is gone, and lets its index be used again, without any rest.
    /// O(flows of the peer). Returns how many.
    pub fn end_peer(&mut self, peer: PeerIndex) -> usize {
        let _ = peer;
        0
    }

    /// Ends flows that are due; bounded work per call (R31).
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// When [`Self::handle_timeout`] has work next.
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        None
    }

    /// What happened since; to be called until `None`.
    pub fn poll_event(&mut self) -> Option<FlowEvent> {
        None
    }

    /// Adds at most `max` flows to `rows`, beginning at `cursor` (0 at first). Returns the cursor for
    /// the next call, `None` at the end; bounded work, so there may be fewer rows than asked for.
    pub fn flows(&self, cursor: u32, max: usize, rows: &mut Vec<FlowRecord>) -> Option<u32> {
        let _ = (cursor, max, rows);
        None
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
