//! The Gateway: packets of Clients to the real hosts of its site, and back.
//!
//! Split by direction: [`inbound`] from a Client to the TUN, [`outbound`] from the TUN to a Client,
//! [`announce`] for the messages of the DNS resource NAT and its look-ups, [`waiting`] for new flows
//! whose address is being looked up, [`dns`] for its own DNS server, [`command`] for orchestration,
//! [`portal`] for the access that a portal gives.

mod announce;
mod clients;
mod command;
mod dns;
mod explain;
mod handover;
mod inbound;
mod inspect;
mod outbound;
mod portal;
mod records;
mod repeats;
mod reset;
mod waiting;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ::dns::Prefix;
use connection::{Connections, Datagrams, Exported, Opened};
use nat::buffer::{Limits, PacketBuffer};
use nat::flow_table::{Config as FlowConfig, FlowTable};
use nat::state::{Imported, StateError};
use nat::translations::{Config as TranslationConfig, RealFilter, Translations};
use packet::{Instant, Malformed, Train};

use self::clients::Clients;
use self::dns::Dns;
pub(crate) use self::dns::PORT as DNS_PORT;
use self::repeats::Repeats;
use self::waiting::Waiting;
use crate::access::Place;
use crate::endpoint::{
    DnsTransmit, Endpoint, InheritError, Io, MisdirectedCommand, Reason, soonest,
};
use crate::messages::{Command, Event, GatewayEvent};
use crate::refuse::{self, Refuser};

/// Records that wait for orchestration; more are dropped and counted.
const MAX_RECORDS: usize = 16_384;

/// Settings of a Gateway.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Its tunnel addresses.
    pub ipv4: Ipv4Addr,
    /// Its tunnel addresses.
    pub ipv6: Ipv6Addr,
    /// Ranges, exceptions, caps and times of the translations (R17-R21, R33).
    pub translations: TranslationConfig,
    /// Caps of the flow table (R33).
    pub flows: FlowConfig,
    /// Bounds of new flows that wait for a look-up (R27).
    pub buffer: Limits,
    /// By how much Unix time is ahead of the instants that the Gateway is given: by it a portal's expiries
    /// are told.
    pub wall_ahead: Duration,
    /// Seed of hashes and ports.
    pub seed: u64,
}

impl GatewayConfig {
    /// The ranges of dataplane §1.1 and the defaults of the rules.
    pub fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr, seed: u64) -> Self {
        let translations = TranslationConfig {
            own_addresses: vec![ipv4.into(), ipv6.into()],
            seed,
            ..TranslationConfig::default()
        };
        let (flows, buffer) = (FlowConfig::default(), Limits::default());
        Self { ipv4, ipv6, translations, flows, buffer, wall_ahead: Duration::ZERO, seed }
    }
}

/// A Gateway.
pub struct Gateway {
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    proxy_ranges: Vec<Prefix>,
    tunnel_ranges: Vec<Prefix>,
    internet: RealFilter,
    clients: Clients,
    translations: Translations,
    flows: FlowTable,
    buffer: PacketBuffer,
    waiting: Waiting,
    repeats: Repeats,
    dns: Dns,
    connections: Connections,
    opened: Opened,
    refuser: Refuser,
    wall_ahead: Duration,
    requests: VecDeque<GatewayEvent>,
    events: VecDeque<GatewayEvent>,
    records_dropped: u64,
    counters: Counters,
}

/// Packets that went through.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    to_site: u64,
    to_clients: u64,
    held: u64,
    released: u64,
    errors_translated: u64,
    resets_sent: u64,
    control_received: u64,
    control_ignored: u64,
}

impl Gateway {
    /// Creates a Gateway without Clients over `connections`: those of its own key, or a laboratory's.
    pub fn new(config: GatewayConfig, connections: Connections) -> Self {
        let GatewayConfig { ipv4, ipv6, translations, flows, buffer, wall_ahead, seed } = config;
        Self {
            ipv4,
            ipv6,
            proxy_ranges: translations.proxy_ranges.clone(),
            tunnel_ranges: translations.tunnel_ranges.clone(),
            internet: RealFilter::of_internet(&translations),
            clients: Clients::default(),
            translations: Translations::new(translations),
            flows: FlowTable::new(flows, seed),
            buffer: PacketBuffer::new(buffer, seed),
            waiting: Waiting::default(),
            repeats: Repeats::default(),
            dns: Dns::new(ipv4, ipv6, seed),
            connections,
            opened: Opened::default(),
            refuser: Refuser::default(),
            wall_ahead,
            requests: VecDeque::new(),
            events: VecDeque::new(),
            records_dropped: 0,
            counters: Counters::default(),
        }
    }

    fn is_own(&self, address: IpAddr) -> bool {
        address == self.ipv4 || address == self.ipv6
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxy_ranges.iter().any(|range| range.contains(address))
    }

    fn is_tunnel(&self, address: IpAddr) -> bool {
        self.tunnel_ranges.iter().any(|range| range.contains(address))
    }

    fn place(&self, address: IpAddr) -> Place<'_> {
        Place { address, internet: &self.internet }
    }

    /// Queues a record; drops and counts it when too many wait.
    fn record(&mut self, event: GatewayEvent) {
        if self.events.len() < MAX_RECORDS {
            self.events.push_back(event);
        } else {
            self.records_dropped += 1;
        }
    }

    /// Lets everything that an input set in motion come to rest.
    fn settle(&mut self, now: Instant, io: &mut Io<'_>) {
        self.report_peers(now);
        self.announce_all(now, io);
        self.record_flows(now);
        self.connections.flush(now, io.send);
    }
}

impl Endpoint for Gateway {
    fn handle_tun(&mut self, train: Train<'_>, now: Instant, io: &mut Io<'_>) {
        self.return_train(train, now, io);
        self.record_flows(now);
        self.connections.flush(now, io.send);
    }

    fn handle_malformed(&mut self, bytes: &[u8], why: Malformed, now: Instant, io: &mut Io<'_>) {
        if let Some(error) = self.refuser.packet(bytes, refuse::malformed(why, bytes), now) {
            io.host.accept(&error);
        }
    }

    fn handle_network(&mut self, datagrams: Datagrams<'_>, now: Instant, io: &mut Io<'_>) {
        self.receive_datagrams(datagrams, now, io);
        self.settle(now, io);
    }

    fn handle_command(
        &mut self,
        command: Command,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), MisdirectedCommand> {
        let Command::Gateway(command) = command else { return Err(MisdirectedCommand) };
        self.apply(command, now, io);
        self.settle(now, io);
        Ok(())
    }

    fn handle_dns_response(
        &mut self,
        id: u64,
        response: Option<&[u8]>,
        now: Instant,
        io: &mut Io<'_>,
    ) {
        self.answer_forwarded(id, response, now, io);
    }

    fn handle_host_addresses(&mut self, addresses: &[SocketAddr], now: Instant, io: &mut Io<'_>) {
        self.connections.set_host_addresses(addresses, now);
        self.settle(now, io);
    }

    fn adjust_wall(&mut self, wall: Duration, now: Instant) {
        self.connections.adjust_wall(wall, now);
        self.follow_wall(wall, now);
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut Io<'_>) {
        self.connections.handle_timeout(now);
        self.expire_grants(now, io);
        self.translations.handle_timeout(now);
        self.flows.handle_timeout(now);
        self.release_overdue(now, io);
        self.run_dns(now, io);
        self.settle(now, io);
    }

    fn poll_timeout(&self, now: Instant) -> Option<(Instant, Reason)> {
        let more = self.translations.has_transmit() || self.connections.has_transmit();
        let drain = more.then_some((now, Reason::Drain));
        let timers = [
            self.dns.poll_timeout(),
            self.connections.poll_timeout().map(|at| (at, Reason::Connection)),
            self.translations.poll_timeout().map(|(at, _)| (at, Reason::Translation)),
            self.flows.poll_timeout().map(|(at, _)| (at, Reason::Flow)),
            self.waiting.poll_timeout().map(|at| (at, Reason::Buffer)),
            self.repeats.poll_timeout().map(|at| (at, Reason::Translation)),
            self.clients.next_expiry().map(|at| (at, Reason::Access)),
        ];
        timers.into_iter().fold(drain, soonest)
    }

    fn export_state(&self, now: Instant) -> Option<Vec<u8>> {
        Some(self.export(now))
    }

    fn import_state(
        &mut self,
        state: &[u8],
        since: Duration,
        now: Instant,
    ) -> Result<Imported, StateError> {
        self.import(state, since, now)
    }

    fn export_sessions_and_stop(&mut self, now: Instant) -> Option<Exported> {
        self.connections.export_and_stop(now)
    }

    fn inherit_sessions(
        &mut self,
        exported: &Exported,
        state: Option<&[u8]>,
        now: Instant,
    ) -> Result<usize, InheritError> {
        nat::state::check(state.ok_or(InheritError::NoState)?)?;
        Ok(self.connections.inherit(exported, now)?)
    }

    fn poll_dns(&mut self) -> Option<DnsTransmit> {
        self.dns.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.requests.pop_front().or_else(|| self.poll_candidates());
        event.or_else(|| self.events.pop_front()).map(Event::Gateway)
    }
}
