//! Flows through a name, both ends of them: what each host sends, and what became of every packet.
//!
//! Packets go out by a schedule that nothing in the tunnel can move, so that two runs can be compared
//! delivery by delivery. Each carries its number; what arrives is matched by it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use packet::{Instant, TcpFlags, Transport, build};

use crate::pair::{CLIENT_IPV4, CLIENT_IPV6, Delivery, Side};

/// Payload of a full packet of an upload or a download.
const PAYLOAD: usize = 1200;
const WINDOW: u16 = 65_535;
const REMOTE_PORT: u16 = 443;

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// TCP: the application sends, the host acknowledges.
    Upload,
    /// TCP: the host sends, the application acknowledges.
    Download,
    /// UDP: the application sends, the host returns it.
    Echo,
}

/// One packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// Of which flow.
    pub flow: usize,
    /// At which end.
    pub side: Side,
    /// Its number.
    pub number: u32,
}

/// One flow and both its ends.
#[derive(Debug)]
pub struct Flow {
    kind: Kind,
    client: SocketAddr,
    proxy: SocketAddr,
    /// Next number that each end sends: the application's, the host's.
    next: [u32; 2],
    /// The real address that the first packet reached, and the port it came from.
    real: Option<(SocketAddr, SocketAddr)>,
    established: bool,
    every: Duration,
}

/// What became of the packets of all flows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// In order of arrival.
    pub arrivals: Vec<Arrival>,
    /// Packets sent: by flow and sending end.
    pub sent: BTreeMap<(usize, Side), u32>,
    /// Arrived a second time.
    pub duplicated: u64,
    /// Arrived behind a later one.
    pub reordered: u64,
    /// Arrived at a real address other than the flow's.
    pub misdirected: u64,
    /// ICMP errors and resets that reached the application.
    pub errors: u64,
    last: BTreeMap<(usize, Side), u32>,
}

impl Ledger {
    /// Packets that were sent and never arrived.
    pub fn lost(&self) -> u64 {
        let sent: u64 = self.sent.values().map(|sent| u64::from(*sent)).sum();
        sent - (self.arrivals.len() as u64 - self.duplicated)
    }

    fn arrived(&mut self, at: Instant, flow: usize, side: Side, number: u32) {
        let last = self.last.get(&(flow, side)).copied();
        if last == Some(number) {
            self.duplicated += 1;
        } else if last.is_some_and(|last| number < last) {
            self.reordered += 1;
        }
        self.last.insert((flow, side), last.unwrap_or(0).max(number));
        self.arrivals.push(Arrival { at, flow, side, number });
    }
}

impl Flow {
    /// A flow from `port` of the application to a proxy address; one packet each `every`.
    pub fn new(kind: Kind, port: u16, proxy: IpAddr, every: Duration) -> Self {
        let client: IpAddr = if proxy.is_ipv4() { CLIENT_IPV4.into() } else { CLIENT_IPV6.into() };
        Self {
            kind,
            client: SocketAddr::new(client, port),
            proxy: SocketAddr::new(proxy, REMOTE_PORT),
            next: [0; 2],
            real: None,
            established: false,
            every,
        }
    }

    /// Time between two packets.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Which end sends by schedule.
    pub fn sender(&self) -> Side {
        match self.kind {
            Kind::Upload | Kind::Echo => Side::Client,
            Kind::Download => Side::Gateway,
        }
    }

    /// The first packet of the flow.
    pub fn open(&mut self, ledger: &mut Ledger, id: usize) -> Vec<u8> {
        match self.kind {
            Kind::Upload | Kind::Download => {
                self.segment(Side::Client, TcpFlags::SYN, 0, ledger, id)
            }
            Kind::Echo => self.datagram(Side::Client, ledger, id),
        }
    }

    /// The next packet by schedule; `None` while the flow does not stand.
    pub fn scheduled(&mut self, ledger: &mut Ledger, id: usize) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Echo => Some(self.datagram(Side::Client, ledger, id)),
            Kind::Upload | Kind::Download if self.established => Some(self.segment(
                self.sender(),
                TcpFlags::ACK | TcpFlags::PSH,
                PAYLOAD,
                ledger,
                id,
            )),
            Kind::Upload | Kind::Download => None,
        }
    }

    /// Whether a delivered packet is of this flow.
    fn owns(&self, side: Side, source: SocketAddr, destination: SocketAddr) -> bool {
        match side {
            Side::Client => source == self.proxy && destination == self.client,
            Side::Gateway => match self.real {
                Some((outside, _)) => source == outside,
                // The outside port of a first flow is the packet's own (R29).
                None => source == self.client && destination.port() == REMOTE_PORT,
            },
        }
    }

    fn segment(
        &mut self,
        side: Side,
        flags: TcpFlags,
        payload: usize,
        ledger: &mut Ledger,
        id: usize,
    ) -> Vec<u8> {
        let (source, destination) = self.endpoints(side);
        let number = self.take_number(side, ledger, id);
        let mut packet = vec![0; 1280];
        let payload = vec![number as u8; payload];
        let window = WINDOW;
        let len = build::tcp(source, destination, number, 1, flags, window, &payload, &mut packet);
        packet.truncate(len.unwrap_or(0));
        packet
    }

    fn datagram(&mut self, side: Side, ledger: &mut Ledger, id: usize) -> Vec<u8> {
        let (source, destination) = self.endpoints(side);
        let number = self.take_number(side, ledger, id);
        let mut packet = vec![0; 1280];
        let len = build::udp(source, destination, &number.to_be_bytes(), &mut packet);
        packet.truncate(len.unwrap_or(0));
        packet
    }

    fn take_number(&mut self, side: Side, ledger: &mut Ledger, id: usize) -> u32 {
        let end = usize::from(side == Side::Gateway);
        let number = self.next[end];
        self.next[end] += 1;
        *ledger.sent.entry((id, side)).or_default() += 1;
        number
    }

    fn endpoints(&self, side: Side) -> (SocketAddr, SocketAddr) {
        match (side, self.real) {
            (Side::Client, _) => (self.client, self.proxy),
            (Side::Gateway, Some((outside, real))) => (real, outside),
            (Side::Gateway, None) => (self.proxy, self.client),
        }
    }
}

/// Takes note of a delivered packet; returns what its receiver answers at once.
pub fn receive(
    flows: &mut [Flow],
    ledger: &mut Ledger,
    delivery: &Delivery,
) -> Option<(Side, Vec<u8>)> {
    let Ok(summary) = packet::parse(&delivery.packet) else {
        ledger.errors += 1;
        return None;
    };
    let (from, to, number) = match summary.transport {
        Transport::Tcp { source, destination, sequence, .. } => (source, destination, sequence),
        Transport::Udp { source, destination } => {
            let payload = &delivery.packet[usize::from(summary.header_len)..];
            let number = payload.first_chunk().copied().map_or(0, u32::from_be_bytes);
            (source, destination, number)
        }
        Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => {
            ledger.errors += 1;
            return None;
        }
    };
    let source = SocketAddr::new(summary.source, from);
    let destination = SocketAddr::new(summary.destination, to);
    if let Transport::Tcp { flags, .. } = summary.transport
        && flags.contains(TcpFlags::RST)
    {
        ledger.errors += 1;
        return None;
    }
    let id = flows.iter().position(|flow| flow.owns(delivery.side, source, destination))?;
    let flow = &mut flows[id];
    ledger.arrived(delivery.at, id, delivery.side, number);
    if delivery.side == Side::Gateway {
        let (_, real) = *flow.real.get_or_insert((source, destination));
        ledger.misdirected += u64::from(real != destination);
    }
    answer(flow, ledger, id, delivery.side, &summary.transport)
}

fn answer(
    flow: &mut Flow,
    ledger: &mut Ledger,
    id: usize,
    side: Side,
    transport: &Transport,
) -> Option<(Side, Vec<u8>)> {
    match (flow.kind, side, transport) {
        (Kind::Echo, Side::Gateway, _) => Some((side, flow.datagram(side, ledger, id))),
        (Kind::Echo, Side::Client, _) => None,
        (Kind::Upload | Kind::Download, _, Transport::Tcp { flags, .. }) => {
            let reply = if flags.contains(TcpFlags::SYN) {
                flow.established |= side == Side::Client;
                (side == Side::Gateway).then_some(TcpFlags::SYN | TcpFlags::ACK)
            } else {
                // Only the receiving end of the data acknowledges.
                (side != flow.sender() && flags.contains(TcpFlags::PSH)).then_some(TcpFlags::ACK)
            };
            reply.map(|flags| (side, flow.segment(side, flags, 0, ledger, id)))
        }
        (Kind::Upload | Kind::Download, _, _) => None,
    }
}
