//! The Client's flows: which Gateway each one goes to, and what its end is told when that is lost.
//!
//! It is the flow table of `nat` (R30, R31, R33) with addresses that stay as they are, and beside each
//! record a note: the route it was given, and the acknowledgement that the application sent last. A
//! flow whose route still holds needs nothing else: that is the one look-up of a train (R37).
//!
//! A flow belongs to its Gateway for as long as that lives, also when its resource is served by another
//! by then. When it does not and another serves the resource, the flow is lost: TCP is told by a reset
//! with the number that the application waits for (RFC 5961 §3.2), UDP by ICMP.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use connection::PeerIndex;
use nat::control::GatewayId;
use nat::flow_table::{
    Binding, CloseReason, Config, Direction, FlowId, FlowRecord, FlowTable, PeerIndex as Owner,
};
use packet::icmp::{self, Unreachable};
use packet::{Instant, MAX_PACKET, Protocol, Summary, TcpFlags, Train, Transport, build};

use super::Client;
use super::routes::{GatewaySlot, ResourceSlot};
use super::waiting::WaitKey;
use crate::endpoint::Io;
use crate::refuse::Refusal;

/// All flows are of one Client.
const OWNER: Owner = Owner(0);
/// Flows at once; beyond, what is closed or was never answered gives way (R33), and then trains go
/// without a record.
const MOST: u32 = 65_536;
/// Use is noted this often per flow: the times that it counts for are minutes.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Ends that are told in one call.
const TOLD_AT_ONCE: usize = 256;
/// Flows that one turn of a search through all of them takes.
const PAGE: usize = 1024;

/// What is kept beside a flow's record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    pub(super) key: WaitKey,
    pub(super) gateway: GatewaySlot,
    /// Its id; none once that Gateway does not give access any more.
    pub(super) gateway_id: Option<GatewayId>,
    /// Version of the routes by which the route was found.
    pub(super) version: u64,
    /// When the route was marked as used.
    pub(super) marked: Instant,
    /// Number that the application expects next, as it last said; none before the handshake is over.
    acknowledged: Option<u32>,
    /// Number of its SYN or of the latest train.
    sequence: u32,
    /// The flow is lost and its application was told.
    pub(super) lost: bool,
}

/// A route that a train may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) key: WaitKey,
    pub(super) gateway: GatewaySlot,
    /// The flow that takes it, if there is one.
    pub(super) flow: Option<FlowId>,
}

/// The flows and their notes.
pub(super) struct Flows {
    table: FlowTable,
    notes: Vec<Option<Note>>,
    lost: VecDeque<FlowId>,
    /// Flows that their Gateway may have forgotten.
    pub(super) unheard: VecDeque<FlowId>,
    pub(super) counters: FlowCounters,
}

/// What became of flows that lost their Gateway.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FlowCounters {
    pub(super) lost: u64,
    pub(super) resets_sent: u64,
    pub(super) errors_sent: u64,
}

impl Flows {
    pub(super) fn new(seed: u64) -> Self {
        let config = Config { flows_per_peer: MOST, flows: MOST, events: 0 };
        Self {
            table: FlowTable::new(config, seed),
            notes: Vec::new(),
            lost: VecDeque::new(),
            unheard: VecDeque::new(),
            counters: FlowCounters::default(),
        }
    }

    /// The one look-up of a train.
    pub(super) fn seek(
        &mut self,
        summary: &Summary,
        direction: Direction,
        now: Instant,
    ) -> Option<FlowId> {
        self.table.seek(OWNER, summary, direction, now)
    }

    pub(super) fn note(&self, flow: FlowId) -> Option<&Note> {
        self.notes.get(flow.place() as usize)?.as_ref()
    }

    pub(super) fn note_mut(&mut self, flow: FlowId) -> Option<&mut Note> {
        self.notes.get_mut(flow.place() as usize)?.as_mut()
    }

    pub(super) fn count(
        &mut self,
        flow: FlowId,
        direction: Direction,
        train: &Train<'_>,
        now: Instant,
    ) {
        let counted = (train.total_bytes() as u64, train.segments() as u32);
        self.table.count_train(flow, direction, train.summary(), counted, now);
    }

    /// Opens the flow of a train that was sent; `None` if it is of no kind that has flows, or no room
    /// is left.
    fn open(&mut self, train: &Train<'_>, now: Instant) -> Option<FlowId> {
        let summary = train.summary();
        let binding = Binding { real: summary.destination, epoch: 0, tag: 0 };
        let (bytes, packets) = (train.total_bytes() as u64, train.segments() as u32);
        let opened = self.table.create(OWNER, summary, binding, bytes, packets, now);
        opened.ok().map(|hit| hit.flow)
    }

    fn put_note(&mut self, flow: FlowId, note: Note) {
        let place = flow.place() as usize;
        if self.notes.len() <= place {
            self.notes.resize(place + 1, None);
        }
        self.notes[place] = Some(note);
    }

    pub(super) fn end(&mut self, flow: FlowId, now: Instant) {
        self.table.end(flow, CloseReason::Superseded, now);
    }

    /// The flows of which `wanted` says yes, and whether each was ever answered.
    pub(super) fn select(
        &self,
        wanted: impl Fn(&FlowRecord, &Note) -> bool,
    ) -> Vec<(FlowId, bool)> {
        let mut selected = Vec::new();
        self.for_each(|row, note| {
            if wanted(row, note) {
                selected.push((row.flow, row.answered));
            }
        });
        selected
    }

    /// Calls `each` with every flow and its note: O(flows), for changes of what leads where.
    pub(super) fn for_each(&self, mut each: impl FnMut(&FlowRecord, &Note)) {
        let (mut cursor, mut rows) = (Some(0), Vec::new());
        while let Some(at) = cursor {
            rows.clear();
            cursor = self.table.flows(at, PAGE, &mut rows);
            for row in &rows {
                if let Some(note) = self.note(row.flow) {
                    each(row, note);
                }
            }
        }
    }

    /// A page of flows with their notes, and where to go on.
    pub(super) fn page(&self, cursor: u64, most: usize) -> (Vec<(FlowRecord, Note)>, Option<u64>) {
        let cursor = u32::try_from(cursor).unwrap_or(u32::MAX);
        let mut rows = Vec::new();
        let next = self.table.flows(cursor, most, &mut rows);
        let noted = rows.into_iter().filter_map(|row| Some((row, *self.note(row.flow)?)));
        (noted.collect(), next.map(u64::from))
    }

    pub(super) fn live(&self) -> u32 {
        self.table.counters().live
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.table.handle_timeout(now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.table.poll_timeout().map(|(at, _)| at)
    }

    pub(super) fn wants_to_tell(&self) -> bool {
        !self.lost.is_empty() || !self.unheard.is_empty()
    }

    /// A flow with its note.
    pub(super) fn whole(&self, flow: FlowId) -> Option<(FlowRecord, Note)> {
        Some((self.table.flow(flow)?, *self.note(flow)?))
    }
}

impl Note {
    /// Sequence and acknowledgement of a segment that changes nothing; none before the handshake of
    /// the connection is over.
    pub(super) fn probe(&self) -> Option<(u32, u32)> {
        Some((self.sequence.wrapping_sub(1), self.acknowledged?))
    }

    /// Takes note of what a train of the application says of its connection.
    fn learn(&mut self, train: &Train<'_>) {
        let summary = train.summary();
        if let Transport::Tcp { sequence, flags, .. } = summary.transport {
            self.sequence = sequence;
            if flags.contains(TcpFlags::ACK) {
                self.acknowledged = acknowledgement(train);
            }
        }
    }
}

/// The acknowledgement number of a segment; all of a train have the same.
fn acknowledgement(train: &Train<'_>) -> Option<u32> {
    let at = usize::from(train.summary().transport_offset) + 8;
    let number = train.header().get(at..at + 4)?;
    number.first_chunk().copied().map(u32::from_be_bytes)
}

impl Client {
    /// The path of a flow that has one: its own Gateway's, while there is that and it was not lost.
    ///
    /// # Errors
    /// [`Refusal::FormerConnection`] for a segment of a connection that is lost.
    pub(super) fn flow_path(
        &mut self,
        flow: FlowId,
        summary: &Summary,
        now: Instant,
    ) -> Result<Option<Path>, Refusal> {
        let Some(note) = self.flows.note(flow) else { return Ok(None) };
        let (key, gateway) = (note.key, note.gateway);
        if !note.lost {
            let known =
                self.routes.gateway(gateway).is_some_and(|g| Some(g.id()) == note.gateway_id);
            return Ok(known.then_some(Path { key, gateway, flow: Some(flow) }));
        }
        if let Transport::Tcp { flags, .. } = summary.transport
            && !flags.contains(TcpFlags::SYN)
        {
            return Err(Refusal::FormerConnection);
        }
        self.flows.end(flow, now);
        Ok(None)
    }

    /// Whether a path can be taken without asking anything else: nothing has changed since the flow
    /// took it last, and nothing waits before its train.
    pub(super) fn is_clear(&self, path: &Path) -> bool {
        let note = path.flow.and_then(|flow| self.flows.note(flow));
        note.is_some_and(|note| note.version == self.routes.version())
            && self.keeps_flows()
            && !self.waiting.holds(&path.key)
    }

    /// Marks name and entry of a flow as used, now and then.
    pub(super) fn mark_used(&mut self, path: &Path, now: Instant) {
        let Some(note) = path.flow.and_then(|flow| self.flows.note_mut(flow)) else { return };
        if now < note.marked + NOTE_EVERY {
            return;
        }
        note.marked = now;
        if let Some(name) = path.key.name {
            self.stub.pool_mut().touch(name, now);
            let _ = self.nat_verdict(path.key, name, path.gateway, now);
        }
    }

    /// A train went to a Gateway: its flow is counted, or opened.
    pub(super) fn note_sent(&mut self, path: &Path, train: &Train<'_>, now: Instant) {
        let version = self.routes.version();
        let Some(gateway_id) = self.routes.gateway(path.gateway).map(|g| g.id()) else { return };
        self.note_asked(path.gateway, now);
        let flow = match path.flow {
            Some(flow) => {
                self.flows.count(flow, Direction::Outbound, train, now);
                flow
            }
            None => {
                let Some(flow) = self.flows.open(train, now) else { return };
                let (key, gateway) = (path.key, path.gateway);
                let note = Note {
                    key,
                    gateway,
                    gateway_id: Some(gateway_id),
                    version,
                    marked: now,
                    acknowledged: None,
                    sequence: 0,
                    lost: false,
                };
                self.flows.put_note(flow, note);
                flow
            }
        };
        if let Some(note) = self.flows.note_mut(flow) {
            note.version = version;
            note.learn(train);
        }
    }

    /// The flow of a train from a peer, if it is of the Gateway behind that peer.
    pub(super) fn returning_flow(
        &mut self,
        peer: PeerIndex,
        summary: &Summary,
        now: Instant,
    ) -> Option<FlowId> {
        let flow = self.flows.seek(summary, Direction::Inbound, now)?;
        let note = *self.flows.note(flow)?;
        let gateway = self.routes.gateway(note.gateway)?;
        let is_its_own = gateway.peer == peer && Some(gateway.id()) == note.gateway_id;
        let covered = self.routes.get(note.key.resource).is_some();
        (is_its_own && covered && !note.lost).then_some(flow)
    }

    /// Ends the flows of a resource that is gone. Whoever sends on is told that there is no way.
    pub(super) fn end_flows_of(&mut self, resource: ResourceSlot, now: Instant) {
        for (flow, _) in self.flows.select(|_, note| note.key.resource == resource) {
            self.flows.end(flow, now);
        }
    }

    /// A resource is served by `gateway` from now on: its flows by Gateways that are gone or dead are
    /// lost.
    pub(super) fn move_flows(&mut self, resource: ResourceSlot, gateway: GatewayId, now: Instant) {
        let lost = self.flows.select(|_, note| {
            let own = self.routes.gateway(note.gateway).filter(|g| Some(g.id()) == note.gateway_id);
            let lives = own.is_some_and(|gateway| !gateway.liveness.is_dead());
            let moved = note.key.resource == resource && note.gateway_id != Some(gateway);
            moved && !lives && !note.lost
        });
        self.lose(lost, now);
    }

    /// A Gateway gives no access to a resource any more: its flows there need another, or the same
    /// anew.
    pub(super) fn unbind_flows(&mut self, resource: ResourceSlot, gateway: GatewayId) {
        let unbound = self
            .flows
            .select(|_, note| note.key.resource == resource && note.gateway_id == Some(gateway));
        for (flow, _) in unbound {
            if let Some(note) = self.flows.note_mut(flow) {
                note.gateway_id = None;
            }
        }
    }

    /// A Gateway is gone for good: its flows are lost.
    pub(super) fn lose_flows(&mut self, gateway: GatewayId, now: Instant) {
        let lost = self.flows.select(|_, note| note.gateway_id == Some(gateway) && !note.lost);
        self.lose(lost, now);
    }

    /// Flows are lost. One that never had an answer has nothing to lose, and begins anew.
    fn lose(&mut self, flows: Vec<(FlowId, bool)>, now: Instant) {
        for (flow, answered) in flows {
            if !answered {
                self.flows.end(flow, now);
            } else if let Some(note) = self.flows.note_mut(flow) {
                note.lost = true;
                self.flows.lost.push_back(flow);
                self.flows.counters.lost += 1;
            }
        }
    }

    /// Tells applications of the flows that they lost; the rest follows at the next call.
    pub(super) fn tell_lost(&mut self, now: Instant, io: &mut Io<'_>) {
        for _ in 0..TOLD_AT_ONCE {
            let Some(flow) = self.flows.lost.pop_front() else { return };
            let Some((record, note)) = self.flows.whole(flow) else { continue };
            let mut packet = [0; MAX_PACKET];
            let len = match record.protocol {
                Protocol::Tcp => self.reset_of(&record, &note, &mut packet),
                Protocol::Udp | Protocol::Icmp => self.error_of(&record, &mut packet),
            };
            if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
                if record.protocol == Protocol::Tcp {
                    self.flows.counters.resets_sent += 1;
                    // The connection is closed by it, so that its record does not stay for hours.
                    self.flows.count(flow, Direction::Inbound, &train, now);
                } else {
                    self.flows.counters.errors_sent += 1;
                }
                io.host.accept(&train);
            }
        }
    }

    pub(super) fn own(&self, family_of: IpAddr) -> IpAddr {
        if family_of.is_ipv4() { self.ipv4.into() } else { self.ipv6.into() }
    }

    /// The reset that an application takes (RFC 9293 §3.10.7.3, RFC 5961 §3.2).
    fn reset_of(&self, record: &FlowRecord, note: &Note, packet: &mut [u8]) -> Option<usize> {
        let from = SocketAddr::new(record.proxy, record.remote_port);
        let to = SocketAddr::new(self.own(record.proxy), record.client_port);
        match note.acknowledged {
            Some(number) => build::tcp(from, to, number, 0, TcpFlags::RST, 0, &[], packet),
            None => {
                let (flags, number) =
                    (TcpFlags::RST | TcpFlags::ACK, note.sequence.wrapping_add(1));
                build::tcp(from, to, 0, number, flags, 0, &[], packet)
            }
        }
    }

    /// The error about a datagram of the flow; its payload is not kept, and nobody needs it.
    fn error_of(&self, record: &FlowRecord, packet: &mut [u8]) -> Option<usize> {
        let from = SocketAddr::new(self.own(record.proxy), record.client_port);
        let to = SocketAddr::new(record.proxy, record.remote_port);
        let mut original = [0; MAX_PACKET];
        let len = match record.protocol {
            Protocol::Udp => build::udp(from, to, &[], &mut original)?,
            Protocol::Icmp => {
                build::echo(from.ip(), to.ip(), record.client_port, 0, true, &[], &mut original)?
            }
            Protocol::Tcp => return None,
        };
        icmp::unreachable(&original[..len], Unreachable::Network, packet)
    }
}
