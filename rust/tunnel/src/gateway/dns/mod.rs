//! The Gateway's DNS server for its Clients, on port 53535 of its tunnel addresses (dataplane §4.8).
//!
//! Queries go on unchanged to the fastest of the site's name servers, over the transport they came
//! by; answers come back, over UDP up to 1200 bytes. Who asks outside is the loop; here is only what.

mod servers;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netstack::{ConnectionId, DnsServer, Listening};
use packet::{Class, Instant, MAX_PACKET, Train, Transport, build};

use self::servers::Servers;
use super::Gateway;
use super::clients::ClientSlot;
use crate::endpoint::{DnsTransmit, DnsTransport, Io, Reason};

/// Port of the server.
pub(crate) const PORT: u16 = 53535;
/// Largest answer over UDP (dataplane §4.8).
const UDP_ANSWER: usize = 1200;
/// Largest query over UDP.
const UDP_QUERY: usize = 2000;
/// Queries under way, of all Clients; one may have as many as it leaves to the others.
const OUTSTANDING: usize = 1000;
/// A query that is not answered fails after this, whatever became of it outside.
const LONGEST: Duration = Duration::from_secs(10);
/// Room for the largest message.
const MESSAGE: usize = 65_535;

/// Who asked.
#[derive(Clone, Copy, Debug)]
enum Asker {
    Udp { client: SocketAddr, own: SocketAddr },
    Tcp(ConnectionId),
}

struct Forwarded {
    asker: Asker,
    client: IpAddr,
    query: Vec<u8>,
    sent: Instant,
}

/// Queries by what became of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DnsCounters {
    pub(super) forwarded: u64,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) malformed: u64,
    pub(super) echoes: u64,
}

/// The server's state.
pub(super) struct Dns {
    server: DnsServer,
    server_timeout: Option<Instant>,
    servers: Servers,
    /// By number of the transmission, so the oldest first.
    forwarded: BTreeMap<u64, Forwarded>,
    next_id: u64,
    transmits: VecDeque<DnsTransmit>,
    message: Vec<u8>,
    pub(super) counters: DnsCounters,
}

impl Dns {
    pub(super) fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr, seed: u64) -> Self {
        let listening = Listening::gateway(ipv4, ipv6, PORT);
        Self {
            server: DnsServer::new(listening, seed, Instant::ZERO),
            server_timeout: None,
            servers: Servers::default(),
            forwarded: BTreeMap::new(),
            next_id: 0,
            transmits: VecDeque::new(),
            message: vec![0; MESSAGE],
            counters: DnsCounters::default(),
        }
    }

    pub(super) fn set_servers(&mut self, servers: &[SocketAddr], now: Instant) {
        self.servers.set(servers, now);
        self.measure(now);
    }

    fn measure(&mut self, now: Instant) {
        self.servers.handle_timeout(now, &mut self.next_id, &mut self.transmits);
    }

    pub(super) fn poll_transmit(&mut self) -> Option<DnsTransmit> {
        self.transmits.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let query = self.forwarded.first_key_value().map(|(_, query)| query.sent + LONGEST);
        let stack = self.server_timeout.map(|at| (at, Reason::Netstack));
        let servers = [query, self.servers.poll_timeout()].into_iter().flatten().min();
        let servers = servers.map(|at| (at, Reason::NameServer));
        [stack, servers].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Sends a query on. Without a server, or with too many queries under way, it does not.
    fn forward(&mut self, asker: Asker, client: IpAddr, query: &[u8], now: Instant) -> bool {
        let transport = match asker {
            Asker::Udp { .. } => DnsTransport::Udp,
            Asker::Tcp(_) => DnsTransport::Tcp,
        };
        let Some((server, transport)) = self.servers.choose(transport) else { return false };
        let own = self.forwarded.values().filter(|other| other.client == client).count();
        if own >= OUTSTANDING - self.forwarded.len().min(OUTSTANDING) {
            return false;
        }
        let (id, query) = (self.next_id, query.to_vec());
        self.next_id += 1;
        let forwarded = Forwarded { asker, client, query: query.clone(), sent: now };
        self.forwarded.insert(id, forwarded);
        self.transmits.push_back(DnsTransmit { id, server, transport, query });
        self.counters.forwarded += 1;
        true
    }
}

impl Gateway {
    /// A train to one of the Gateway's own addresses that R43 lets pass: a query, or an echo request.
    pub(super) fn serve(
        &mut self,
        client: ClientSlot,
        train: &Train<'_>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        let summary = *train.summary();
        let mut packet = [0; MAX_PACKET];
        for i in 0..train.segments() {
            let len = train.write_segment(i, &mut packet);
            let packet = &packet[..len];
            match summary.transport {
                Transport::Udp { source, destination } => {
                    let asker = Asker::Udp {
                        client: SocketAddr::new(summary.source, source),
                        own: SocketAddr::new(summary.destination, destination),
                    };
                    let query = packet.get(usize::from(summary.header_len)..).unwrap_or_default();
                    self.answer_query(asker, summary.source, query, now, io);
                }
                Transport::Tcp { .. } => self.dns.server.handle_packet(packet, now),
                Transport::Echo { .. } => self.echo(client, packet, now, io),
                Transport::IcmpError | Transport::Other { .. } => {}
            }
        }
        if matches!(summary.transport, Transport::Tcp { .. }) {
            self.serve_connections(now, io);
        }
    }

    fn echo(&mut self, client: ClientSlot, request: &[u8], now: Instant, io: &mut Io<'_>) {
        let mut reply = [0; MAX_PACKET];
        if let Some(len) = build::echo_reply(request, &mut reply)
            && let Ok(train) = Train::single(&mut reply[..len])
        {
            self.dns.counters.echoes += 1;
            self.seal_train(client, &train, Class::Data, now, io);
        }
    }

    /// Measurements, queries without an answer, and retransmissions of TCP.
    pub(super) fn run_dns(&mut self, now: Instant, io: &mut Io<'_>) {
        self.dns.measure(now);
        while let Some(entry) = self.dns.forwarded.first_entry()
            && entry.get().sent + LONGEST <= now
        {
            let Forwarded { asker, query, .. } = entry.remove();
            self.fail(asker, &query, now, io);
        }
        if self.dns.server_timeout.is_some_and(|at| at <= now) {
            self.dns.server.handle_timeout(now);
            self.serve_connections(now, io);
        }
    }

    /// The answer of a name server.
    pub(super) fn answer_forwarded(
        &mut self,
        id: u64,
        response: Option<&[u8]>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        if self.dns.servers.answered(id, response, now) {
            return;
        }
        let Some(Forwarded { asker, query, .. }) = self.dns.forwarded.remove(&id) else { return };
        let Some(response) = response else {
            self.dns.servers.hurry(now);
            return self.fail(asker, &query, now, io);
        };
        self.dns.counters.answered += 1;
        if matches!(asker, Asker::Udp { .. }) && response.len() > UDP_ANSWER {
            let mut cut = [0; UDP_ANSWER];
            if let Some(len) = ::dns::truncated(response, &mut cut) {
                self.reply(asker, &cut[..len], now, io);
            }
        } else {
            self.reply(asker, response, now, io);
        }
    }

    fn serve_connections(&mut self, now: Instant, io: &mut Io<'_>) {
        while let Some((connection, client, query)) = self.dns.server.poll_query() {
            self.answer_query(Asker::Tcp(connection), client, &query, now, io);
        }
        self.flush_connections(now, io);
    }

    fn flush_connections(&mut self, now: Instant, io: &mut Io<'_>) {
        let mut packet = [0; MAX_PACKET];
        let mut len = 0;
        while self.dns.server.poll_packet(|bytes| {
            len = bytes.len().min(MAX_PACKET);
            packet[..len].copy_from_slice(&bytes[..len]);
        }) {
            if let Ok(train) = Train::single(&mut packet[..len])
                && let Some(client) = self.clients.of_address(train.summary().destination)
            {
                self.seal_train(client, &train, Class::Data, now, io);
            }
        }
        self.dns.server_timeout = self.dns.server.poll_timeout(now);
    }

    fn answer_query(
        &mut self,
        asker: Asker,
        client: IpAddr,
        query: &[u8],
        now: Instant,
        io: &mut Io<'_>,
    ) {
        // Whatever has no header is no query (RFC 1035 §4.1.1), and an answer is none either.
        let is_query = query.get(2).is_some_and(|flags| flags & 0x80 == 0) && query.len() >= 12;
        let fits = matches!(asker, Asker::Tcp(_)) || query.len() <= UDP_QUERY;
        if !is_query || !fits {
            self.dns.counters.malformed += 1;
        } else if !self.dns.forward(asker, client, query, now) {
            self.fail(asker, query, now, io);
        }
    }

    fn fail(&mut self, asker: Asker, query: &[u8], now: Instant, io: &mut Io<'_>) {
        self.dns.counters.failed += 1;
        let mut message = std::mem::take(&mut self.dns.message);
        if let Some(len) = ::dns::server_failure(query, &mut message) {
            self.reply(asker, &message[..len], now, io);
        }
        self.dns.message = message;
    }

    fn reply(&mut self, asker: Asker, message: &[u8], now: Instant, io: &mut Io<'_>) {
        match asker {
            Asker::Udp { client, own } => {
                let Some(slot) = self.clients.of_address(client.ip()) else { return };
                let mut packet = [0; MAX_PACKET];
                let len = build::udp(own, client, message, &mut packet);
                if let Some(train) = len.and_then(|len| Train::single(&mut packet[..len]).ok()) {
                    self.seal_train(slot, &train, Class::Data, now, io);
                }
            }
            Asker::Tcp(connection) => {
                self.dns.server.answer(connection, message, now);
                self.flush_connections(now, io);
            }
        }
    }
}
