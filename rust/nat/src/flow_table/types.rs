//! What goes into and comes out of the flow table.

use std::net::IpAddr;

use packet::{Instant, Protocol, Rewrite};

/// Bounds of one table (R33).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Flows that one peer may have.
    pub flows_per_peer: u32,
    /// Flows of all peers together, at most [`Config::MAX_FLOWS`].
    pub flows: u32,
    /// Events that wait for [`super::FlowTable::poll_event`]; more are dropped and counted (R39).
    pub events: usize,
}

impl Config {
    /// Highest [`Config::flows`]: as many outside ports again may rest, and links have 23 bits.
    pub const MAX_FLOWS: u32 = 1 << 22;
}

impl Default for Config {
    fn default() -> Self {
        Self { flows_per_peer: 65_536, flows: 1 << 20, events: 16_384 }
    }
}

/// A peer (a Client) of this shard, as its owner numbers them: from 0, without large gaps, below
/// 2^24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerIndex(pub u32);

/// Handle of a flow, for use right after the call that returned it. Once the flow has ended it is
/// void, until its place was used 256 times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowId {
    pub(super) index: u32,
    pub(super) generation: u8,
}

impl FlowId {
    /// A number that no other live flow has; small, so that owners may keep a table by it.
    pub fn place(self) -> u32 {
        self.index
    }
}

/// Where a new flow goes, and what its owner notes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The real address, of the family of the proxy address.
    pub real: IpAddr,
    /// When its access was checked, in the owner's counting.
    pub epoch: u32,
    /// The owner's note: which resource permits the flow.
    pub tag: u32,
}

/// What the table knows about a train's flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHit {
    /// The flow.
    pub flow: FlowId,
    /// The translation in the direction asked for.
    pub rewrite: Rewrite,
    /// Whether anything ever came back (R26, R27).
    pub answered: bool,
    /// Port (or echo identifier) outside.
    pub outside_port: u16,
    /// When its access was last checked, in the owner's counting ([`super::FlowTable::set_epoch`]).
    pub epoch: u32,
    /// The owner's note: which resource permits the flow.
    pub tag: u32,
}

impl FlowHit {
    /// Of no flow.
    pub(super) const VOID: Self = Self {
        flow: FlowId { index: 0, generation: 0 },
        rewrite: Rewrite::NOTHING,
        answered: false,
        outside_port: 0,
        epoch: 0,
        tag: 0,
    };
}

/// Answer to a train from a Client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outbound {
    /// It belongs to this flow.
    Hit(FlowHit),
    /// A TCP segment without SYN of a flow that timed out or gave way less than 120 s ago: to be
    /// dropped (R30, R34).
    Expired,
    /// No flow; [`super::FlowTable::create`] may open one.
    Miss,
}

/// Answer to a train from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// It belongs to this flow.
    Hit(FlowHit),
    /// It is late: its flow ended less than 120 s ago. To be dropped, never direct traffic (R34).
    Expired,
    /// No flow has this tuple.
    Miss,
}

/// Which way an ICMP error goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a Client, about a packet that came from outside: its source is a proxy address.
    Outbound,
    /// From outside, about a packet of a Client: its destination is a real address.
    Inbound,
}

/// The flow of a packet that an ICMP error quotes, with both tuples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotedFlow {
    /// The flow.
    pub flow: FlowId,
    /// Address the Client knows.
    pub proxy: IpAddr,
    /// Address outside.
    pub real: IpAddr,
    /// Port (or echo identifier) at the Client.
    pub client_port: u16,
    /// Port (or echo identifier) outside.
    pub outside_port: u16,
    /// Port of the resource; 0 for echo.
    pub remote_port: u16,
    /// As in [`FlowHit`].
    pub epoch: u32,
    /// As in [`FlowHit`].
    pub tag: u32,
}

/// Answer about a quoted packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoted {
    /// It is of this flow.
    Hit(QuotedFlow),
    /// Its flow ended less than 120 s ago: to be dropped (R34).
    Expired,
    /// No flow has this tuple.
    Miss,
}

/// Why a flow could not be opened or re-bound; answered with ICMP *network unreachable* (R29).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NatError {
    /// Live, answered flows of this peer use every port of this class to that address and port.
    #[error("no outside port is left for this address and port")]
    Exhausted,
    /// Live, answered flows fill the peer's or the table's cap (R33).
    #[error("the peer's or the table's flows are used up")]
    Cap,
    /// Not TCP, UDP or an echo request; or proxy and real address differ in family.
    #[error("not a packet that can open a flow")]
    Unsupported,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Its time-out (R30).
    Timeout,
    /// It gave way to another flow (R33).
    Displaced,
    /// A new SYN took its place (R30).
    Superseded,
    /// Its proxy address now stands for another name (R23).
    ProxyMoved,
    /// Its access was revoked (R26).
    Revoked,
    /// Its peer is gone.
    PeerRemoved,
}

/// Bytes and packets in one direction: bytes up to 2^48 - 1, packets up to 2^40 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of whole packets.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

/// All about one flow, for people (R39, R40).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowRecord {
    /// The flow.
    pub flow: FlowId,
    /// The peer.
    pub peer: PeerIndex,
    /// The owner's note.
    pub tag: u32,
    /// When its access was last checked, in the owner's counting.
    pub epoch: u32,
    /// Protocol.
    pub protocol: Protocol,
    /// Port (or echo identifier) at the Client.
    pub client_port: u16,
    /// Address the Client knows.
    pub proxy: IpAddr,
    /// Port of the resource; 0 for echo.
    pub remote_port: u16,
    /// Port (or echo identifier) outside.
    pub outside_port: u16,
    /// Address outside.
    pub real: IpAddr,
    /// Whether anything ever came back.
    pub answered: bool,
    /// From the Client.
    pub outbound: Traffic,
    /// To the Client.
    pub inbound: Traffic,
    /// When it was opened, to the millisecond.
    pub opened: Instant,
    /// Its latest packet in either direction, to the millisecond.
    pub last_seen: Instant,
}

/// What happened to a flow (R39).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEvent {
    /// `flow.opened`.
    Opened(FlowRecord),
    /// `flow.closed`.
    Closed(FlowRecord, CloseReason),
}

/// Why [`super::FlowTable::poll_timeout`] asks to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A flow or a resting port may be due.
    Expiry,
}

/// What happened so far, and what is there now (R39).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows now.
    pub live: u32,
    /// Outside ports that rest now.
    pub resting: u32,
    /// Flows opened.
    pub opened: u64,
    /// Ended: [`CloseReason::Timeout`].
    pub timed_out: u64,
    /// Ended: [`CloseReason::Displaced`].
    pub displaced: u64,
    /// Ended: [`CloseReason::Superseded`].
    pub superseded: u64,
    /// Ended: [`CloseReason::ProxyMoved`].
    pub proxy_moved: u64,
    /// Ended: [`CloseReason::Revoked`].
    pub revoked: u64,
    /// Ended: [`CloseReason::PeerRemoved`].
    pub peer_removed: u64,
    /// Flows re-bound (R27).
    pub rebound: u64,
    /// Flows that could not have their own port outside (R29).
    pub port_collisions: u64,
    /// Ports taken before they had rested long enough (R33).
    pub rests_cut_short: u64,
    /// Refused: [`NatError::Exhausted`].
    pub refused_exhausted: u64,
    /// Refused: [`NatError::Cap`].
    pub refused_cap: u64,
    /// Packets from a Client answered [`Outbound::Expired`].
    pub late_outbound: u64,
    /// Packets from outside answered [`Inbound::Expired`] or [`Quoted::Expired`].
    pub late_inbound: u64,
    /// Events lost because nobody polled.
    pub events_dropped: u64,
}
