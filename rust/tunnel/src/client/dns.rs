//! The one place for a DNS query, whether it came as a UDP packet or over TCP: the stub answers it, or
//! it is forwarded to the server behind its sentinel.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ::dns::{Answer, NameId, Prefix};
use netstack::{ConnectionId, DnsServer, Listening};
use packet::{Instant, MAX_PACKET, Train, Transport, build};
use slab::Slab;

use super::Client;
use crate::endpoint::{DnsTransmit, DnsTransport, Io};
use crate::messages::{ClientEvent, ProxyRecord};
use crate::refuse::Refusal;

const DNS_PORT: u16 = 53;
/// Largest answer over UDP: what fits a packet of the tunnel (dataplane §1.3).
const UDP_ANSWER: usize = 1212;
/// Largest answer over TCP.
const TCP_ANSWER: usize = 65_535;
/// Forwarded queries that may be under way (dataplane §3.3).
const OUTSTANDING: usize = 1000;
/// Sentinels per family (dataplane §3.2).
const SENTINELS: usize = 256;

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asker {
    Udp { client: SocketAddr, sentinel: SocketAddr },
    Tcp(ConnectionId),
}

struct Forwarded {
    asker: Asker,
    query: Vec<u8>,
}

/// Sentinels, forwarded queries and the TCP servers.
pub(super) struct Dns {
    ranges: [Prefix; 2],
    sentinels: Vec<(IpAddr, Option<SocketAddr>)>,
    /// Next host number of a sentinel, per family: a new mapping uses none of the former's addresses.
    next: [u32; 2],
    forwarded: Slab<Forwarded>,
    transmits: VecDeque<DnsTransmit>,
    server: DnsServer,
    server_timeout: Option<Instant>,
    announced: BTreeSet<NameId>,
    answer: Vec<u8>,
    packet: Box<[u8; MAX_PACKET]>,
    pub(super) counters: DnsCounters,
}

/// Queries by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DnsCounters {
    pub(super) answered: u64,
    pub(super) forwarded: u64,
    pub(super) unanswered: u64,
    pub(super) malformed: u64,
    pub(super) refused: u64,
}

impl Dns {
    pub(super) fn new(ranges: [Prefix; 2], seed: u64, now: Instant) -> Self {
        let mut dns = Self {
            ranges,
            sentinels: Vec::new(),
            // IPv4 begins at host 1, IPv6 at host 0 (dataplane §1.2).
            next: [1, 0],
            forwarded: Slab::new(),
            transmits: VecDeque::new(),
            server: DnsServer::new(Listening::sentinels(), seed, now),
            server_timeout: None,
            announced: BTreeSet::new(),
            answer: vec![0; TCP_ANSWER],
            packet: Box::new([0; MAX_PACKET]),
            counters: DnsCounters::default(),
        };
        dns.set_servers(&[]);
        dns
    }

    /// Gives every server a sentinel of its family; each family has at least one, so that names of
    /// resources are answered without any server.
    pub(super) fn set_servers(&mut self, servers: &[SocketAddr]) {
        let mut kept: Vec<SocketAddr> = Vec::new();
        for server in servers {
            if !self.in_range(server.ip()) && !kept.contains(server) {
                kept.push(*server);
            }
        }
        let mut sentinels = Vec::new();
        for ipv4 in [true, false] {
            let family: Vec<_> =
                kept.iter().filter(|s| s.is_ipv4() == ipv4).take(SENTINELS).collect();
            for server in &family {
                sentinels.push((self.next_sentinel(ipv4), Some(**server)));
            }
            if family.is_empty() {
                // The other family's server answers what this one has none for.
                let server = kept.iter().find(|s| s.is_ipv4() != ipv4).copied();
                sentinels.push((self.next_sentinel(ipv4), server));
            }
        }
        self.sentinels = sentinels;
    }

    fn next_sentinel(&mut self, ipv4: bool) -> IpAddr {
        let family = usize::from(!ipv4);
        let host = self.next[family];
        // 254 usable hosts of the IPv4 range, 256 of the IPv6 range.
        self.next[family] = if ipv4 { host % 254 + 1 } else { (host + 1) % 256 };
        match self.ranges[family].address() {
            IpAddr::V4(base) => Ipv4Addr::from_bits(base.to_bits() + host).into(),
            IpAddr::V6(base) => Ipv6Addr::from_bits(base.to_bits() + u128::from(host)).into(),
        }
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.sentinels.iter().map(|(address, _)| *address).collect()
    }

    fn in_range(&self, address: IpAddr) -> bool {
        self.ranges.iter().any(|range| range.contains(address))
    }

    /// Whether packets to `address` are ours to answer or to drop, mapped or not.
    pub(super) fn is_sentinel(&self, address: IpAddr) -> bool {
        self.in_range(address)
    }

    fn server_of(&self, sentinel: IpAddr) -> Option<SocketAddr> {
        self.sentinels.iter().find(|(address, _)| *address == sentinel)?.1
    }

    fn is_mapped(&self, sentinel: IpAddr) -> bool {
        self.sentinels.iter().any(|(address, _)| *address == sentinel)
    }

    pub(super) fn poll_transmit(&mut self) -> Option<DnsTransmit> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.server_timeout
    }

    /// Whether this is the first time that the name's proxies are handed out.
    pub(super) fn remember(&mut self, name: NameId) -> bool {
        self.announced.insert(name)
    }

    /// Names whose proxies were handed out, from a handle on.
    pub(super) fn announced_from(&self, cursor: u64, most: usize) -> Vec<NameId> {
        let first = NameId(u32::try_from(cursor).unwrap_or(u32::MAX));
        self.announced.range(first..).take(most).copied().collect()
    }

    pub(super) fn forget(&mut self, name: NameId) {
        self.announced.remove(&name);
    }

    fn forward(&mut self, asker: Asker, sentinel: IpAddr, query: &[u8]) -> bool {
        let Some(server) = self.server_of(sentinel) else { return false };
        if self.forwarded.len() >= OUTSTANDING {
            return false;
        }
        let transport = match asker {
            Asker::Udp { .. } => DnsTransport::Udp,
            Asker::Tcp(_) => DnsTransport::Tcp,
        };
        let query = query.to_vec();
        let id = self.forwarded.insert(Forwarded { asker, query: query.clone() }) as u64;
        self.transmits.push_back(DnsTransmit { id, server, transport, query });
        self.counters.forwarded += 1;
        true
    }
}

impl Client {
    /// A train to an address of the sentinel ranges: DNS over UDP or TCP, anything else is refused.
    pub(super) fn receive_dns(
        &mut self,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), Refusal> {
        let summary = *train.summary();
        if !self.dns.is_mapped(summary.destination) {
            return Err(Refusal::UnknownResource);
        }
        let mut packet = [0; MAX_PACKET];
        match summary.transport {
            Transport::Udp { source, destination: DNS_PORT } => {
                let client = SocketAddr::new(summary.source, source);
                let sentinel = SocketAddr::new(summary.destination, DNS_PORT);
                for i in 0..train.segments() {
                    let len = train.write_segment(i, &mut packet);
                    let query = &packet[usize::from(summary.header_len).min(len)..len];
                    self.answer_query(
                        Asker::Udp { client, sentinel },
                        sentinel.ip(),
                        query,
                        now,
                        io,
                    );
                }
                Ok(())
            }
            Transport::Tcp { destination: DNS_PORT, .. } => {
                for i in 0..train.segments() {
                    let len = train.write_segment(i, &mut packet);
                    self.dns.server.handle_packet(&packet[..len], now);
                }
                self.serve_connections(now, io);
                Ok(())
            }
            Transport::Tcp { .. }
            | Transport::Udp { .. }
            | Transport::Echo { .. }
            | Transport::IcmpError
            | Transport::Other { .. } => Err(Refusal::NotDns),
        }
    }

    /// Retransmissions and idle connections of DNS over TCP.
    pub(super) fn run_netstack(&mut self, now: Instant, io: &mut Io<'_>) {
        if self.dns.server_timeout.is_some_and(|at| at <= now) {
            self.dns.server.handle_timeout(now);
            self.serve_connections(now, io);
        }
    }

    fn serve_connections(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some((connection, sentinel, query)) = self.dns.server.poll_query() {
            self.answer_query(Asker::Tcp(connection), sentinel, &query, now, io);
        }
        self.flush_server(now, io);
    }

    fn flush_server(&mut self, now: Instant, io: &mut Io<'_>) {
        while self.dns.server.poll_packet(|packet| {
            if let Ok(train) = Train::single(packet) {
                io.host.accept(&train);
            }
        }) {}
        self.dns.server_timeout = self.dns.server.poll_timeout(now);
    }

    /// Answers one query, or forwards it.
    fn answer_query(
        &mut self,
        asker: Asker,
        sentinel: IpAddr,
        query: &[u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let mut answer = std::mem::take(&mut self.dns.answer);
        let max = match asker {
            Asker::Udp { .. } => UDP_ANSWER,
            Asker::Tcp(_) => TCP_ANSWER,
        };
        let (stub, nat) = (&mut self.stub, &self.nat);
        match stub.answer(query, &|name| nat.families(name), max, now, &mut answer) {
            Answer::Local { len, refresh } => {
                self.dns.counters.answered += 1;
                if let Some(name) = refresh {
                    self.queried(name, now);
                }
                self.reply(asker, &answer[..len], now, io);
            }
            Answer::Forward => {
                if !self.dns.forward(asker, sentinel, query) {
                    self.fail(asker, query, &mut answer, now, io);
                }
            }
            Answer::AskSite { resource, .. } => {
                self.dns.answer = answer;
                return self.ask_site(asker, resource, query, now, io);
            }
            Answer::Malformed => self.dns.counters.malformed += 1,
        }
        self.dns.answer = answer;
    }

    /// A name of a resource was asked for: its entries are refreshed, nothing else (R05), and Gateways
    /// that serve it already learn of it before the first packet comes.
    fn queried(&mut self, name: NameId, now: Instant) {
        if self.dns.remember(name)
            && let Some(domain) = self.stub.names().get(name)
            && let Some(proxies) = self.stub.pool().proxies(name)
        {
            let (ipv4, ipv6) = (proxies.ipv4, proxies.ipv6);
            let record = ProxyRecord { name: domain.as_str().to_owned(), ipv4, ipv6 };
            self.record(ClientEvent::ProxiesAssigned { record });
        }
        let resources: Vec<_> = self.routes.of_name(&mut self.stub, name).to_vec();
        for resource in resources {
            let gateway = self.routes.get(resource).and_then(|entry| entry.gateway);
            if let Some(gateway) = gateway {
                self.establish(resource, gateway, name, now);
            }
        }
        self.nat.handle_query(name, now);
    }

    /// The answer of a server outside; without one a UDP client hears nothing (dataplane §3.3).
    pub(super) fn answer_forwarded(
        &mut self,
        id: u64,
        response: Option<&[u8]>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let key = usize::try_from(id).unwrap_or(usize::MAX);
        let Some(Forwarded { asker, query }) = self.dns.forwarded.try_remove(key) else { return };
        match (response, asker) {
            (Some(response), _) => self.deliver_response(asker, response, now, io),
            (None, Asker::Udp { .. }) => self.dns.counters.unanswered += 1,
            (None, Asker::Tcp(_)) => self.fail_query(asker, &query, now, io),
        }
    }

    /// Hands an answer to whoever asked; over UDP one that is too long is cut.
    pub(super) fn deliver_response(
        &mut self,
        asker: Asker,
        response: &[u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        if matches!(asker, Asker::Tcp(_)) || response.len() <= UDP_ANSWER {
            return self.reply(asker, response, now, io);
        }
        let mut answer = std::mem::take(&mut self.dns.answer);
        if let Some(len) = ::dns::truncated(response, &mut answer) {
            self.reply(asker, &answer[..len], now, io);
        }
        self.dns.answer = answer;
    }

    /// Answers a query with a failure.
    pub(super) fn fail_query(&mut self, asker: Asker, query: &[u8], now: Instant, io: &mut Io<'_>) {
        let mut answer = std::mem::take(&mut self.dns.answer);
        self.fail(asker, query, &mut answer, now, io);
        self.dns.answer = answer;
    }

    fn fail(
        &mut self,
        asker: Asker,
        query: &[u8],
        scratch: &mut [u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        self.dns.counters.refused += 1;
        if let Some(len) = ::dns::server_failure(query, scratch) {
            self.reply(asker, &scratch[..len], now, io);
        }
    }

    fn reply(&mut self, asker: Asker, message: &[u8], now: Instant, io: &mut Io<'_>) {
        match asker {
            Asker::Udp { client, sentinel } => {
                let packet = &mut self.dns.packet[..];
                let len = build::udp(sentinel, client, message, packet);
                let train = len.and_then(|len| Train::single(&mut packet[..len]).ok());
                if let Some(train) = train {
                    io.host.accept(&train);
                }
            }
            Asker::Tcp(connection) => {
                self.dns.server.answer(connection, message, now);
                self.flush_server(now, io);
            }
        }
    }
}
