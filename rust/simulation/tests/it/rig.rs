//! A pair with one resource, and the few gestures that the tests share.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use dns::{IpStack, ResourceId};
use domain::base::iana::Rtype;
use nat::resource_nat::RefreshPolicy;
use packet::{Instant, TcpFlags, Transport, build, parse};
use serde_json::Value;
use simulation::scenario::query;
use simulation::{Pair, PairConfig, Side};
use tunnel::filter::Filter;
use tunnel::messages::{
    ClientCommand, ClientEvent, Event, GatewayCommand, GatewayEvent, InspectClient, InspectGateway,
    LookupFamily, LookupResult, ProxyRecord, Resource, Target,
};

pub(crate) const RESOURCE: ResourceId = ResourceId(3);
pub(crate) const NAME: &str = "app.site.example";
pub(crate) const CLIENT: [u8; 4] = [100, 64, 0, 1];
pub(crate) const SENTINEL: [u8; 4] = [100, 100, 111, 1];

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn at(count: u64) -> Instant {
    Instant::ZERO + millis(count)
}

pub(crate) fn dns_resource(id: ResourceId, address: &str, filters: Vec<Filter>) -> Resource {
    let target = Target::Dns { address: address.to_owned(), ip_stack: IpStack::Dual };
    Resource { id, name: String::new(), target, filters }
}

pub(crate) fn cidr_resource(id: ResourceId, network: &str) -> Resource {
    let target = Target::Cidr { address: network.parse().expect("a network") };
    Resource { id, name: String::new(), target, filters: Vec::new() }
}

/// A pair and what it gave out.
pub(crate) struct Rig {
    pub(crate) pair: Pair,
    pub(crate) client_events: Vec<(Instant, ClientEvent)>,
    pub(crate) gateway_events: Vec<(Instant, GatewayEvent)>,
    /// What look-ups are answered with at once; `None` leaves them open in `gateway_events`.
    pub(crate) addresses: Option<Vec<IpAddr>>,
    next_inspection: u64,
}

impl Rig {
    /// A pair whose Client may use `*.site.example`, with a perfect link.
    pub(crate) fn new() -> Self {
        let mut rig = Self::without_access(PairConfig::new(1));
        rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
        rig.settle();
        rig
    }

    pub(crate) fn without_access(config: PairConfig) -> Self {
        Self {
            pair: Pair::new(config),
            client_events: Vec::new(),
            gateway_events: Vec::new(),
            addresses: Some(vec![[10, 77, 0, 11].into(), "fd77::11".parse().expect("IPv6")]),
            next_inspection: 0,
        }
    }

    pub(crate) fn halting() -> Self {
        let config = PairConfig { policy: RefreshPolicy::Halt, ..PairConfig::new(1) };
        let mut rig = Self::without_access(config);
        rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
        rig.settle();
        rig
    }

    pub(crate) fn advance(&mut self, until: u64) {
        self.settle();
        let until = at(until);
        while let Some(next) = self.pair.next_wake().filter(|next| *next <= until) {
            self.pair.advance(next);
            self.settle();
        }
        self.pair.advance(until);
        self.settle();
    }

    /// Takes up events; answers look-ups as `addresses` says.
    pub(crate) fn settle(&mut self) {
        // On a perfect link what was sent arrives at the same instant.
        self.pair.advance(self.pair.now());
        while let Some((at, event)) = self.pair.poll_event() {
            match event {
                Event::Client(event) => self.client_events.push((at, event)),
                Event::Gateway(event) => {
                    if let GatewayEvent::ResolveDomain { lookup, family, .. } = &event
                        && self.addresses.is_some()
                    {
                        self.answer(*lookup, *family);
                    }
                    self.gateway_events.push((at, event));
                }
            }
        }
    }

    pub(crate) fn answer(&mut self, lookup: u64, family: LookupFamily) {
        let wanted = |address: &IpAddr| address.is_ipv4() == (family == LookupFamily::Ipv4);
        let addresses = self.addresses.iter().flatten().copied().filter(wanted);
        let addresses: Vec<_> = addresses.map(|address| (address, 0)).collect();
        let result = if addresses.is_empty() {
            LookupResult::NoData
        } else {
            LookupResult::Addresses(addresses)
        };
        self.resolve(lookup, family, result);
    }

    pub(crate) fn resolve(&mut self, lookup: u64, family: LookupFamily, result: LookupResult) {
        let command = GatewayCommand::DomainResolved { lookup, family, result };
        self.pair.command_gateway(command);
    }

    pub(crate) fn query(&mut self, name: &str, kind: Rtype) {
        self.send_udp(40_000, (SENTINEL, 53), &query(name, kind, 7));
        self.settle();
    }

    /// Asks for a name and returns its proxies.
    pub(crate) fn proxies(&mut self, name: &str) -> ProxyRecord {
        self.query(name, Rtype::A);
        let events = self.client_events.iter().map(|(_, event)| event);
        let mut records = events.filter_map(|event| match event {
            ClientEvent::ProxiesAssigned { record } if record.name == name => Some(record),
            _ => None,
        });
        records.next().expect("the name was given proxies").clone()
    }

    pub(crate) fn send(&mut self, side: Side, mut packet: Vec<u8>) {
        let _ = self.pair.send(side, &mut packet);
        self.settle();
    }

    pub(crate) fn send_udp(&mut self, port: u16, to: (impl Into<IpAddr>, u16), payload: &[u8]) {
        let packet = udp((CLIENT, port), to, payload);
        self.send(Side::Client, packet);
    }

    pub(crate) fn send_tcp(
        &mut self,
        port: u16,
        to: (IpAddr, u16),
        sequence: u32,
        flags: TcpFlags,
    ) {
        let packet = tcp((CLIENT, port), to, sequence, flags);
        self.send(Side::Client, packet);
    }

    /// Packets handed to the host of a side, DNS answers left out.
    pub(crate) fn delivered(&mut self, side: Side) -> Vec<Vec<u8>> {
        let packets = self.pair.take_deliveries(side).into_iter().map(|delivery| delivery.packet);
        packets.filter(|packet| !is_dns_answer(packet)).collect()
    }

    /// DNS answers handed to the Client's host.
    pub(crate) fn dns_answers(&mut self) -> Vec<Vec<u8>> {
        let packets = self.pair.take_deliveries(Side::Client).into_iter().map(|d| d.packet);
        let answers = packets.filter(|packet| is_dns_answer(packet));
        answers.map(|packet| packet[28..].to_vec()).collect()
    }

    pub(crate) fn client_counters(&mut self) -> Value {
        self.next_inspection += 1;
        let (id, what) = (self.next_inspection, InspectClient::Counters);
        self.pair.command_client(ClientCommand::Inspect { id, what, cursor: 0 });
        self.settle();
        let events = self.client_events.iter().rev().map(|(_, event)| event);
        let mut found = events.filter_map(|event| match event {
            ClientEvent::Inspected { id: answered, rows, .. } if *answered == id => Some(rows),
            _ => None,
        });
        found.next().expect("an answer")[0].clone()
    }

    pub(crate) fn gateway_rows(&mut self, what: InspectGateway) -> Vec<Value> {
        self.next_inspection += 1;
        let id = self.next_inspection;
        self.pair.command_gateway(GatewayCommand::Inspect { id, what, cursor: 0 });
        self.settle();
        let events = self.gateway_events.iter().rev().map(|(_, event)| event);
        let mut found = events.filter_map(|event| match event {
            GatewayEvent::Inspected { id: answered, rows, .. } if *answered == id => Some(rows),
            _ => None,
        });
        found.next().expect("an answer").clone()
    }

    pub(crate) fn gateway_counters(&mut self) -> Value {
        self.gateway_rows(InspectGateway::Counters)[0].clone()
    }
}

fn is_dns_answer(packet: &[u8]) -> bool {
    let summary = parse(packet).expect("endpoints hand over valid packets");
    matches!(summary.transport, Transport::Udp { source: 53, .. })
}

pub(crate) fn udp(
    from: (impl Into<IpAddr>, u16),
    to: (impl Into<IpAddr>, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0; 1280];
    let (from, to) = (SocketAddr::from((from.0.into(), from.1)), (to.0.into(), to.1).into());
    let len = build::udp(from, to, payload, &mut packet).expect("it fits");
    packet.truncate(len);
    packet
}

pub(crate) fn tcp(
    from: (impl Into<IpAddr>, u16),
    to: (impl Into<IpAddr>, u16),
    sequence: u32,
    flags: TcpFlags,
) -> Vec<u8> {
    let mut packet = vec![0; 1280];
    let (from, to) = (SocketAddr::from((from.0.into(), from.1)), (to.0.into(), to.1).into());
    let len = build::tcp(from, to, sequence, 9, flags, 1000, b"data", &mut packet);
    packet.truncate(len.expect("it fits"));
    packet
}

/// Source and destination of a packet.
pub(crate) fn addresses(packet: &[u8]) -> (IpAddr, IpAddr) {
    let summary = parse(packet).expect("valid");
    (summary.source, summary.destination)
}

/// Type and code of an ICMP packet, with the IP version.
pub(crate) fn icmp(packet: &[u8]) -> (u8, u8, u8) {
    let summary = parse(packet).expect("valid");
    let offset = usize::from(summary.transport_offset);
    let version = packet[0] >> 4;
    assert_eq!(if version == 4 { packet[9] } else { packet[6] }, if version == 4 { 1 } else { 58 });
    (version, packet[offset], packet[offset + 1])
}
