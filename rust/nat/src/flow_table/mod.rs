//! The Gateway's NAT: flows of all peers of a shard (R26-R31, R33-R35, R37).
//!
//! In: the `Summary` of a train, and for a new flow the real address that the translations deal. Out:
//! how to rewrite the train, and events for the flow log. A live flow is found by what its packets
//! carry and by nothing else, so that no answer of a resolver can touch it (R26).
//!
//! A flow is one record of a cache line in a slab, found through two indexes: by its inside tuple
//! (protocol, client port, proxy address, remote port, peer) and by its outside tuple (protocol,
//! outside port, real address, remote port, peer). A record that ended stays as a *rest* for 120 s, so
//! that its port is not used again at once (R29) and its late packets are known (R34). Lists through
//! the records say without a search what gives way (R33) and what is due (R31).
//!
//! A million records lie in no cache. So the flows of a batch of trains are looked up ahead, all at a
//! time; and a train of the same flow as the one before it is answered from what was kept of that.
//!
//! Reading order: [`types`](self) for what goes in and out; `lookup` for what a packet meets, `recent`
//! for the train that is like the one before, `ahead` for what a batch does first; `create`;
//! `close`; beneath them `record`, `state`, `space` and `ports`, `peers`, `index`.

mod address;
mod ahead;
mod close;
mod create;
mod handover;
pub(crate) mod index;
mod key;
mod lookup;
mod peers;
pub(crate) mod pool;
mod ports;
mod recent;
mod record;
mod report;
pub(crate) mod seeded;
mod space;
mod state;
mod types;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use self::address::Addresses;
use self::index::Index;
use self::key::Hash;
use self::peers::Peers;
use self::ports::PortSource;
use self::recent::Recent;
use self::record::Records;
use self::space::Spaces;
use crate::wheel::{NONE, Wheel};

pub use ahead::Hint;
pub use handover::FlowState;
pub use types::{
    Binding, CloseReason, Config, Counters, Direction, FlowEvent, FlowHit, FlowId, FlowRecord,
    Inbound, NatError, Outbound, PeerIndex, Quoted, QuotedFlow, Reason, Traffic,
};

/// A slot of the wheel; time-outs are reported that much late at most, but hold to the millisecond for
/// packets.
const TICK: Duration = Duration::from_secs(1);
/// Slots of the wheel: more than the longest time-out, 7440 s.
const SLOTS: usize = 8192;

/// The flows of one shard. See the module's documentation.
pub struct FlowTable {
    config: Config,
    counters: Counters,
    hash: Hash,
    ports: PortSource,
    records: Records,
    addresses: Addresses,
    inside: Index,
    outside: Index,
    /// The record that each side found last.
    last: [u32; 2],
    recent: [Recent; 2],
    peers: Peers,
    spaces: Spaces,
    wheel: Wheel,
    events: VecDeque<FlowEvent>,
}

impl FlowTable {
    /// An empty table. `seed` makes outside ports and the order in the indexes unpredictable.
    pub fn new(config: Config, seed: u64) -> Self {
        let flows = config.flows.clamp(1, Config::MAX_FLOWS);
        let flows_per_peer = config.flows_per_peer.clamp(1, flows);
        Self {
            config: Config { flows, flows_per_peer, ..config },
            counters: Counters::default(),
            hash: Hash::new(seed),
            ports: PortSource::new(seed),
            records: Records::new(),
            addresses: Addresses::new(),
            inside: Index::new(),
            outside: Index::new(),
            last: [NONE; 2],
            recent: [Recent::NONE; 2],
            peers: Peers::new(),
            spaces: Spaces::new(),
            wheel: Wheel::new(TICK, SLOTS),
            events: VecDeque::new(),
        }
    }
}

impl fmt::Debug for FlowTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTable").field("counters", &self.counters).finish_non_exhaustive()
    }
}
