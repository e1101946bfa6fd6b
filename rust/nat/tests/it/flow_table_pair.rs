//! The real flow table and the naive one, driven side by side: every answer must be the same.

use std::net::IpAddr;
use std::time::Duration;

use nat::flow_table::{
    Binding, CloseReason, Config, FlowEvent, FlowHit, FlowId, FlowTable, Inbound, NatError,
    Outbound, PeerIndex,
};
use packet::{Instant, Protocol, Summary, TcpFlags, Transport};

use crate::model_flow_table::{Found, Inside, Model, Outside, Port};

pub(crate) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 1));

/// A summary as `packet::parse` makes it, of a packet without payload.
pub(crate) fn summary(source: IpAddr, destination: IpAddr, transport: Transport) -> Summary {
    Summary { source, destination, transport, transport_offset: 20, header_len: 40, ecn: 0 }
}

/// The transport of a packet from `source` to `destination` (both ports; the identifier is the Client's).
pub(crate) fn transport(
    protocol: Protocol,
    source: u16,
    destination: u16,
    flags: TcpFlags,
    outbound: bool,
) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp { source, destination, sequence: 1, flags },
        Protocol::Udp => Transport::Udp { source, destination },
        Protocol::Icmp => Transport::Echo {
            identifier: if outbound { source } else { destination },
            request: outbound,
        },
    }
}

pub(crate) fn from_client(inside: &Inside, flags: TcpFlags) -> Summary {
    let transport = transport(inside.1, inside.2, inside.4, flags, true);
    summary(CLIENT, inside.3, transport)
}

pub(crate) fn from_outside(outside: &Outside, flags: TcpFlags) -> Summary {
    let transport = transport(outside.1, outside.4, outside.2, flags, false);
    summary(outside.3, CLIENT, transport)
}

/// Both tables and the time.
pub(crate) struct Pair {
    pub(crate) table: FlowTable,
    pub(crate) model: Model,
    pub(crate) now: Instant,
    /// Whether the timer is served as `poll_timeout` asks, or never.
    serves_timer: bool,
    config: Config,
    seed: u64,
}

impl Pair {
    pub(crate) fn new(config: Config, seed: u64, serves_timer: bool) -> Self {
        let (cap, total) = (config.flows_per_peer as usize, config.flows as usize);
        let model = Model::new(cap, total);
        let table = FlowTable::new(config, seed);
        Self { table, model, now: Instant::ZERO, serves_timer, config, seed }
    }

    /// Another table takes the place of this one and is given all that crosses (R38).
    pub(crate) fn hand_over(&mut self) {
        let mut states = Vec::new();
        self.table.for_each_state(self.now, |peer, state| states.push((peer, *state)));
        let live = self.table.counters().live;
        self.seed += 1;
        self.table = FlowTable::new(self.config, self.seed);
        for (peer, state) in states {
            assert!(self.table.restore(peer, &state, 7, self.now), "{state:?}");
            assert!(!self.table.restore(peer, &state, 7, self.now), "once");
        }
        assert_eq!(self.table.counters().live, live);
    }

    pub(crate) fn advance(&mut self, time: Duration) {
        self.now += time;
        while self.serves_timer {
            match self.table.poll_timeout() {
                Some((when, _)) if when <= self.now => self.table.handle_timeout(self.now),
                _ => break,
            }
        }
        self.model.advance(self.now);
    }

    /// A train from a Client, which opens its flow if there is none. Returns the flow, if any.
    pub(crate) fn outbound(
        &mut self,
        inside: Inside,
        flags: TcpFlags,
        real: IpAddr,
    ) -> Option<FlowId> {
        let tcp = (inside.1 == Protocol::Tcp).then_some(flags);
        let summary = from_client(&inside, flags);
        let answer = self.table.outbound(PeerIndex(inside.0), &summary, 100, 1, self.now);
        match self.model.outbound(inside, tcp, self.now) {
            Found::Hit(_) => {
                let Outbound::Hit(hit) = answer else { panic!("{answer:?} instead of a hit") };
                self.model.train(inside, 0, tcp, 100, self.now);
                self.check_hit(&hit, inside);
                Some(hit.flow)
            }
            Found::Expired => {
                assert_eq!(answer, Outbound::Expired);
                None
            }
            Found::Miss => {
                assert_eq!(answer, Outbound::Miss);
                self.create(inside, flags, real)
            }
        }
    }

    fn create(&mut self, inside: Inside, flags: TcpFlags, real: IpAddr) -> Option<FlowId> {
        let tcp = (inside.1 == Protocol::Tcp).then_some(flags);
        let expected = self.model.expect_port(inside, real);
        let binding = Binding { real, epoch: 7, tag: u32::from(inside.4) };
        let peer = PeerIndex(inside.0);
        let summary = from_client(&inside, flags);
        let created = self.table.create(peer, &summary, binding, 100, 1, self.now);
        if let Port::Refused(error) = &expected {
            assert_eq!(created, Err(*error));
            return None;
        }
        let hit = created.unwrap_or_else(|error| panic!("{error} instead of {expected:?}"));
        let port = self.port_of(&hit, inside);
        self.check_port(expected, port, (inside.0, inside.1, inside.2, real, inside.4));
        self.model.create(inside, real, port, self.now);
        self.model.train(inside, 0, tcp, 100, self.now);
        self.check_hit(&hit, inside);
        assert_eq!((hit.epoch, hit.tag), (7, u32::from(inside.4)));
        Some(hit.flow)
    }

    fn check_port(&self, expected: Port, port: u16, wanted: Outside) {
        match expected {
            Port::OneOf(these) => assert!(these.contains(&port), "{port} is none of {these:?}"),
            _ => {
                let chosen = (wanted.0, wanted.1, port, wanted.3, wanted.4);
                assert!(port != 0 && (port < 1024) == (wanted.2 < 1024), "{port} for {wanted:?}");
                assert!(!self.model.tuples().contains(&chosen), "{chosen:?} is in use");
            }
        }
    }

    /// The outside port of a hit, read from the packet that its rewrite makes.
    fn port_of(&self, hit: &FlowHit, inside: Inside) -> u16 {
        let mut buffer = [0; 128];
        let packet = crate::flow_packets::from_client(&inside, &mut buffer);
        let mut train = packet::Train::single(packet).expect("a whole packet");
        train.rewrite(&hit.rewrite);
        let (_, port, _) = train.summary().transport.flow().expect("a flow");
        assert_eq!(train.summary().destination, hit.rewrite.address());
        port
    }

    fn check_hit(&self, hit: &FlowHit, inside: Inside) {
        let flow = &self.model.flows[&inside];
        let real = self.table.flow(hit.flow).map(|row| row.real);
        assert_eq!((real, hit.answered), (Some(flow.real), flow.answered));
    }

    pub(crate) fn inbound(&mut self, outside: Outside, flags: TcpFlags) -> Found {
        let tcp = (outside.1 == Protocol::Tcp).then_some(flags);
        let summary = from_outside(&outside, flags);
        let answer = self.table.inbound(PeerIndex(outside.0), &summary, 60, 1, self.now);
        let expected = self.model.inbound(outside, self.now);
        match expected {
            Found::Hit(inside) => {
                let Inbound::Hit(hit) = answer else { panic!("{answer:?} instead of a hit") };
                self.model.train(inside, 1, tcp, 60, self.now);
                self.check_hit(&hit, inside);
            }
            Found::Expired => assert_eq!(answer, Inbound::Expired),
            Found::Miss => assert_eq!(answer, Inbound::Miss),
        }
        expected
    }

    pub(crate) fn rebind(&mut self, flow: FlowId, inside: Inside, real: IpAddr) {
        let rebound = self.table.rebind(flow, real, self.now);
        let Some(known) = self.model.flows.get(&inside).cloned() else {
            assert_eq!(rebound, Err(NatError::Unsupported));
            return;
        };
        if known.class() != crate::model_flow_table::Class::Unanswered {
            assert_eq!(rebound, Err(NatError::Unsupported));
        } else if known.real != real {
            let wanted = (inside.0, inside.1, known.port, real, inside.4);
            match self.model.expect_port_at(wanted) {
                Port::Refused(error) => assert_eq!(rebound, Err(error)),
                expected => {
                    let port = self.port_of(&rebound.expect("a port"), inside);
                    self.check_port(expected, port, wanted);
                    self.model.rebind(inside, real, port, self.now);
                }
            }
        }
    }

    pub(crate) fn end(&mut self, flow: FlowId, inside: Inside) {
        let is_live = self.model.flows.contains_key(&inside);
        assert_eq!(self.table.end(flow, CloseReason::Revoked, self.now), is_live);
        if is_live {
            self.model.close(inside, CloseReason::Revoked, self.now);
        }
    }

    /// What ended, as events tell it, is what the model ended; and all flows are the model's.
    pub(crate) fn check_all(&mut self) {
        let mut closed = Vec::new();
        while let Some(event) = self.table.poll_event() {
            if let FlowEvent::Closed(record, reason) = event {
                closed.push((key(&record), reason as u8));
            }
        }
        let expected = std::mem::take(&mut self.model.closed);
        if self.serves_timer {
            let mut expected: Vec<_> =
                expected.into_iter().map(|(inside, reason)| (inside, reason as u8)).collect();
            closed.sort_unstable();
            expected.sort_unstable();
            assert_eq!(closed, expected);
            assert_eq!(self.table.counters().live as usize, self.model.flows.len());
            assert_eq!(self.table.counters().resting as usize, self.model.resting());
            self.check_rows();
        }
    }

    fn check_rows(&self) {
        let (mut rows, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            cursor = self.table.flows(from, 3, &mut rows);
        }
        assert_eq!(rows.len(), self.model.flows.len());
        for row in rows {
            let flow = &self.model.flows[&key(&row)];
            let traffic = [row.outbound, row.inbound].map(|way| (way.bytes, way.packets));
            assert_eq!(
                (row.real, row.outside_port, row.answered),
                (flow.real, flow.port, flow.answered)
            );
            assert_eq!((traffic, row.last_seen), (flow.traffic, flow.last_seen));
        }
    }
}

fn key(record: &nat::flow_table::FlowRecord) -> Inside {
    (record.peer.0, record.protocol, record.client_port, record.proxy, record.remote_port)
}
