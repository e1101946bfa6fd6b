//! Queries that the site of a resource answers: every type of a protected name that the stub has no
//! answer for. They go through the tunnel to the DNS server of the resource's Gateway (dataplane §3.3),
//! never to the servers that other names are forwarded to.
//!
//! A query goes over UDP, from a port of its own, and again over TCP if its answer was cut and whoever
//! asked can take a long one. Without an authorisation, or a session, it waits; after 10 s it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ::dns::ResourceId;
use connection::PeerIndex;
use netstack::DnsClient;
use packet::{Class, Instant, MAX_PACKET, Train, Transport, build};

use super::Client;
use super::dns::Asker;
use super::routes::{GatewaySlot, ResourceSlot};
use crate::endpoint::{Io, Reason};
use crate::gateway::DNS_PORT;

/// Queries under way (dataplane §3.3).
const OUTSTANDING: usize = 1024;
/// Of these over TCP; bounds the memory of sockets.
const OUTSTANDING_TCP: usize = 64;
/// A query fails after this (dataplane §3.3).
const LONGEST: Duration = Duration::from_secs(10);
/// A datagram is repeated after this, doubling: three are sent in 7 s.
const FIRST_REPEAT: Duration = Duration::from_secs(1);
/// Source ports (RFC 6335 §6, the dynamic ones).
const FIRST_PORT: u16 = 49_152;
const TC: u8 = 0x02;

struct Query {
    asker: Asker,
    resource: ResourceId,
    /// As it was asked, with the asker's id.
    message: Vec<u8>,
    asked: Instant,
    port: u16,
    wire_id: u16,
    stage: Stage,
    repeat: Option<(Instant, Duration)>,
}

/// What a query waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A Gateway for its resource.
    Authorization,
    /// The answer of a Gateway's server, or, not `sent`, the session with that Gateway.
    Udp { server: IpAddr, peer: PeerIndex, sent: bool },
    /// The same over TCP.
    Tcp { server: IpAddr },
}

/// Queries by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SiteCounters {
    pub(super) asked: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
}

/// The queries under way.
pub(super) struct Site {
    /// By number, so the oldest first.
    queries: BTreeMap<u64, Query>,
    by_port: BTreeMap<u16, u64>,
    repeats: BTreeSet<(Instant, u64)>,
    next_number: u64,
    random: u64,
    tcp: DnsClient,
    tcp_timeout: Option<Instant>,
    pub(super) counters: SiteCounters,
}

impl Site {
    pub(super) fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr, seed: u64, now: Instant) -> Self {
        Self {
            queries: BTreeMap::new(),
            by_port: BTreeMap::new(),
            repeats: BTreeSet::new(),
            next_number: 0,
            random: seed,
            tcp: DnsClient::new(ipv4, ipv6, seed, now),
            tcp_timeout: None,
            counters: SiteCounters::default(),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let oldest = self.queries.first_key_value().map(|(_, query)| query.asked + LONGEST);
        let repeat = self.repeats.first().map(|(at, _)| *at);
        let servers = [oldest, repeat].into_iter().flatten().min();
        let servers = servers.map(|at| (at, Reason::NameServer));
        let stack = self.tcp_timeout.map(|at| (at, Reason::Netstack));
        [servers, stack].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether queries wait for the authorisation of a resource.
    pub(super) fn waits_for(&self, resource: ResourceId) -> bool {
        let waits =
            |query: &Query| query.resource == resource && query.stage == Stage::Authorization;
        self.queries.values().any(waits)
    }

    /// The numbers of queries of which `wanted` says yes.
    fn numbers(&self, wanted: impl Fn(&Query) -> bool) -> Vec<u64> {
        self.queries.iter().filter(|(_, query)| wanted(query)).map(|(number, _)| *number).collect()
    }

    fn insert(
        &mut self,
        asker: Asker,
        resource: ResourceId,
        query: &[u8],
        now: Instant,
    ) -> Option<u64> {
        if self.queries.len() >= OUTSTANDING {
            return None;
        }
        let port = loop {
            let port = FIRST_PORT | self.next_random();
            if !self.by_port.contains_key(&port) {
                break port;
            }
        };
        let number = self.next_number;
        self.next_number += 1;
        self.by_port.insert(port, number);
        let (message, wire_id) = (query.to_vec(), self.next_random());
        let (stage, repeat) = (Stage::Authorization, None);
        let query = Query { asker, resource, message, asked: now, port, wire_id, stage, repeat };
        self.queries.insert(number, query);
        self.counters.asked += 1;
        Some(number)
    }

    fn remove(&mut self, number: u64) -> Option<Query> {
        let query = self.queries.remove(&number)?;
        self.by_port.remove(&query.port);
        if let Some((at, _)) = query.repeat {
            self.repeats.remove(&(at, number));
        }
        if let Stage::Tcp { .. } = query.stage {
            self.tcp.cancel(number);
        }
        Some(query)
    }

    fn set_stage(&mut self, number: u64, stage: Stage, now: Instant) {
        let Some(query) = self.queries.get_mut(&number) else { return };
        query.stage = stage;
        let former = query.repeat.take();
        if let Some((at, _)) = former {
            self.repeats.remove(&(at, number));
        }
        if let Stage::Udp { .. } = stage {
            let pause = former.map_or(FIRST_REPEAT, |(_, pause)| pause * 2);
            query.repeat = Some((now + pause, pause));
            self.repeats.insert((now + pause, number));
        }
    }

    fn next_repeat(&mut self, now: Instant) -> Option<u64> {
        let &(at, number) = self.repeats.first()?;
        (at <= now).then_some(number)
    }

    fn tcp_queries(&self) -> usize {
        self.queries.values().filter(|q| matches!(q.stage, Stage::Tcp { .. })).count()
    }

    /// Whose answer a datagram from `server` to `port` is.
    fn asked_by(&self, peer: PeerIndex, server: IpAddr, port: u16) -> Option<u64> {
        let number = *self.by_port.get(&port)?;
        let query = self.queries.get(&number)?;
        (query.stage == Stage::Udp { server, peer, sent: true }).then_some(number)
    }

    /// SplitMix64: ports and ids that two queries seldom share. Whoever could guess them is the
    /// Gateway, which answers anyway.
    fn next_random(&mut self) -> u16 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) as u16
    }
}

impl Query {
    /// The query with the id that goes on the way.
    fn wire(&self) -> Vec<u8> {
        let mut wire = self.message.clone();
        if let Some(id) = wire.get_mut(..2) {
            id.copy_from_slice(&self.wire_id.to_be_bytes());
        }
        wire
    }
}

impl Client {
    /// Asks the site of `resource`.
    pub(super) fn ask_site(
        &mut self,
        asker: Asker,
        resource: ResourceId,
        query: &[u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        match self.site.insert(asker, resource, query, now) {
            Some(number) => self.send_query(number, now, io),
            None => self.fail_query(asker, query, now, io),
        }
    }

    /// Sends a query to the Gateway that serves its resource now, or lets it wait for one.
    fn send_query(&mut self, number: u64, now: Instant, io: &mut Io<'_>) {
        let Some(query) = self.site.queries.get(&number) else { return };
        let Some(slot) = self.routes.slot(query.resource) else {
            return self.fail_site(number, now, io);
        };
        let gateway = self.routes.serving(slot);
        let Some((gateway, entry)) =
            gateway.and_then(|slot| Some((slot, self.routes.gateway(slot)?)))
        else {
            self.site.set_stage(number, Stage::Authorization, now);
            return self.routes.request(slot, now);
        };
        let (server, peer) = (entry.known.ipv4, entry.peer);
        let from = SocketAddr::from((self.ipv4, query.port));
        let mut packet = [0; MAX_PACKET];
        let len = build::udp(from, (server, DNS_PORT).into(), &query.wire(), &mut packet);
        let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) else {
            // Too long for a datagram of the tunnel.
            return self.send_over_tcp(number, server.into(), now, io);
        };
        let sent = self.connections.seal(peer, &train, Class::Data, now, io.send).is_ok();
        if sent {
            self.note_asked(gateway, now);
        }
        self.site.set_stage(number, Stage::Udp { server: server.into(), peer, sent }, now);
    }

    fn send_over_tcp(&mut self, number: u64, server: IpAddr, now: Instant, io: &mut Io<'_>) {
        if self.site.tcp_queries() >= OUTSTANDING_TCP {
            return self.fail_site(number, now, io);
        }
        self.site.set_stage(number, Stage::Tcp { server }, now);
        let Some(query) = self.site.queries.get(&number) else { return };
        let server = SocketAddr::new(server, DNS_PORT);
        self.site.tcp.ask(number, server, query.port, &query.wire(), now);
        self.flush_site(now, io);
    }

    /// Answers over TCP take effect, and its packets go to their Gateways.
    fn flush_site(&mut self, now: Instant, io: &mut Io<'_>) {
        let (mut packet, mut len) = ([0; MAX_PACKET], 0);
        while self.site.tcp.poll_packet(|bytes| {
            len = bytes.len().min(MAX_PACKET);
            packet[..len].copy_from_slice(&bytes[..len]);
        }) {
            let Ok(train) = Train::single(&mut packet[..len]) else { continue };
            let peer = self.routes.gateway_of_address(train.summary().destination);
            if let Some((_, gateway)) = peer {
                // What is not sent is lost on the way, and repeated.
                let _ = self.connections.seal(gateway.peer, &train, Class::Data, now, io.send);
            }
        }
        while let Some((number, response)) = self.site.tcp.poll_answer() {
            match response {
                Some(mut response) => self.site_answered(number, &mut response, now, io),
                None => self.fail_site(number, now, io),
            }
        }
        self.site.tcp_timeout = self.site.tcp.poll_timeout(now);
    }

    /// Takes a packet of a Gateway if it answers a query of ours; tells whether it does.
    pub(super) fn receive_site(
        &mut self,
        peer: PeerIndex,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> bool {
        let summary = *train.summary();
        match summary.transport {
            Transport::Udp { source: DNS_PORT, destination } => {
                let Some(number) = self.site.asked_by(peer, summary.source, destination) else {
                    return false;
                };
                let mut packet = [0; MAX_PACKET];
                for i in 0..train.segments() {
                    let len = train.write_segment(i, &mut packet);
                    let response = &mut packet[usize::from(summary.header_len).min(len)..len];
                    self.receive_response(number, summary.source, response, now, io);
                }
                true
            }
            Transport::Tcp { source: DNS_PORT, .. } if self.site.tcp.owns(&summary) => {
                let mut packet = [0; MAX_PACKET];
                for i in 0..train.segments() {
                    let len = train.write_segment(i, &mut packet);
                    self.site.tcp.handle_packet(&packet[..len], now);
                }
                self.flush_site(now, io);
                true
            }
            Transport::Udp { .. }
            | Transport::Tcp { .. }
            | Transport::Echo { .. }
            | Transport::IcmpError
            | Transport::Other { .. } => false,
        }
    }

    fn receive_response(
        &mut self,
        number: u64,
        server: IpAddr,
        response: &mut [u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let Some(query) = self.site.queries.get(&number) else { return };
        if !response.starts_with(&query.wire_id.to_be_bytes()) {
            return;
        }
        let is_cut = response.get(2).is_some_and(|flags| flags & TC != 0);
        if is_cut && matches!(query.asker, Asker::Tcp(_)) {
            self.send_over_tcp(number, server, now, io);
        } else {
            self.site_answered(number, response, now, io);
        }
    }

    /// A response came; one that answers another question does not count.
    fn site_answered(&mut self, number: u64, response: &mut [u8], now: Instant, io: &mut Io<'_>) {
        let Some(query) = self.site.queries.get(&number) else { return };
        if !::dns::adopt_response(&query.message, response) {
            return;
        }
        if let Some(query) = self.site.remove(number) {
            self.site.counters.answered += 1;
            self.deliver_response(query.asker, response, now, io);
        }
    }

    fn fail_site(&mut self, number: u64, now: Instant, io: &mut Io<'_>) {
        if let Some(query) = self.site.remove(number) {
            self.site.counters.failed += 1;
            self.fail_query(query.asker, &query.message, now, io);
        }
    }

    /// Repeats datagrams, fails what waited too long, lets TCP retransmit.
    pub(super) fn run_site(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some((&number, query)) = self.site.queries.first_key_value()
            && query.asked + LONGEST <= now
        {
            self.fail_site(number, now, io);
        }
        while let Some(number) = self.site.next_repeat(now) {
            self.send_query(number, now, io);
        }
        if self.site.tcp_timeout.is_some_and(|at| at <= now) {
            self.site.tcp.handle_timeout(now);
            self.flush_site(now, io);
        }
    }

    /// A Gateway serves a resource: its queries go there.
    pub(super) fn site_authorized(&mut self, resource: ResourceId, now: Instant, io: &mut Io<'_>) {
        let waits =
            |query: &Query| query.resource == resource && query.stage == Stage::Authorization;
        for number in self.site.numbers(waits) {
            self.send_query(number, now, io);
        }
    }

    /// A resource is refused or gone: its queries fail.
    pub(super) fn site_refused(&mut self, resource: ResourceId, now: Instant, io: &mut Io<'_>) {
        for number in self.site.numbers(|query| query.resource == resource) {
            self.fail_site(number, now, io);
        }
    }

    /// A session stands: what waited for it goes out.
    pub(super) fn site_ready(&mut self, ready: PeerIndex, now: Instant, io: &mut Io<'_>) {
        let waits = |query: &Query| matches!(query.stage, Stage::Udp { peer, sent: false, .. } if peer == ready);
        for number in self.site.numbers(waits) {
            self.send_query(number, now, io);
        }
    }

    /// A Gateway is gone: what it was asked is asked of another.
    pub(super) fn site_lost(&mut self, gone: IpAddr, now: Instant, io: &mut Io<'_>) {
        let was_asked = |query: &Query| match query.stage {
            Stage::Udp { server, .. } | Stage::Tcp { server } => server == gone,
            Stage::Authorization => false,
        };
        for number in self.site.numbers(was_asked) {
            self.site.tcp.cancel(number);
            self.send_query(number, now, io);
        }
    }

    /// A packet of the host to the tunnel address of a Gateway: to its DNS server, or an echo.
    pub(super) fn send_to_gateway(
        &mut self,
        gateway: GatewaySlot,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), crate::refuse::Refusal> {
        use crate::refuse::Refusal;

        let peer = self.routes.gateway(gateway).ok_or(Refusal::NoPeer)?.peer;
        let sealed = self.connections.seal(peer, train, Class::Data, now, io.send);
        sealed.map_err(|_| Refusal::NotConnected)?;
        self.counters.forwarded += train.segments() as u64;
        Ok(())
    }

    /// Whether anything waits for the authorisation of a resource.
    pub(super) fn site_waits_for(&self, resource: ResourceSlot) -> bool {
        self.routes.get(resource).is_some_and(|entry| self.site.waits_for(entry.resource.id))
    }
}
