//! The Client: packets of the host to the Gateways of their resources, and back.
//!
//! Split by direction: [`outbound`] from the TUN to a peer, [`inbound`] from a peer to the TUN,
//! [`waiting`] for packets that cannot leave yet, [`announce`] for the messages of the DNS resource
//! NAT, [`flows`] for what is known of each flow, [`liveness`] for
//! whether a Gateway answers, [`dns`] for queries, [`site`] for those that a
//! Gateway answers, [`routes`] for what leads where, [`command`] for orchestration.

mod announce;
mod command;
mod dns;
mod explain;
mod flows;
mod inbound;
mod inspect;
mod liveness;
mod outbound;
mod reopen;
mod routes;
mod site;
mod waiting;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ::dns::{Prefix, ProxyConfig, Stub, StubConfig};
use connection::{Connections, Datagrams, Exported, Opened};
use nat::buffer::{Limits, PacketBuffer};
use nat::resource_nat::{Config as NatConfig, RefreshPolicy, ResourceNat};
use packet::{Instant, Malformed, Train};

use self::dns::Dns;
use self::flows::Flows;
use self::routes::Routes;
use self::site::Site;
use self::waiting::Waiting;
use crate::endpoint::{
    DnsTransmit, Endpoint, InheritError, Io, MisdirectedCommand, Reason, soonest,
};
use crate::messages::{ClientEvent, Command, Event};
use crate::refuse::{self, Refuser};

/// Records that wait for orchestration; more are dropped and counted.
const MAX_RECORDS: usize = 4096;

/// Settings of a Client.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its tunnel addresses.
    pub ipv4: Ipv4Addr,
    /// Its tunnel addresses.
    pub ipv6: Ipv6Addr,
    /// Where proxy addresses come from; sentinels are excluded.
    pub proxies: ProxyConfig,
    /// The sentinel ranges, IPv4 and IPv6.
    pub sentinels: [Prefix; 2],
    /// No refresh sooner than this after the last answer (R06).
    pub refresh_floor: Duration,
    /// Bounds of held packets (R11).
    pub buffer: Limits,
    /// Random number of this process (R23).
    pub run: u64,
    /// Seed of hashes, ports and sequence numbers.
    pub seed: u64,
}

impl ClientConfig {
    /// The ranges of dataplane §1.1, a floor of 1 s, and the bounds of R11.
    pub fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr, run: u64, seed: u64) -> Self {
        let sentinels = [
            Prefix::v4(100, 100, 111, 0, 24),
            Prefix::v6(0xfd00_2021_1111_8000_0100_0100_0111_0000, 120),
        ];
        let proxies = ProxyConfig {
            ipv4: Prefix::v4(100, 96, 0, 0, 11),
            ipv6: Prefix::v6(0xfd00_2021_1111_8000_0000_0000_0000_0000, 107),
            excluded: sentinels.to_vec(),
        };
        let (refresh_floor, buffer) = (Duration::from_secs(1), Limits::default());
        Self { ipv4, ipv6, proxies, sentinels, refresh_floor, buffer, run, seed }
    }
}

/// A Client.
pub struct Client {
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    routes: Routes,
    stub: Stub,
    dns: Dns,
    site: Site,
    flows: Flows,
    nat: ResourceNat,
    buffer: PacketBuffer,
    waiting: Waiting,
    connections: Connections,
    opened: Opened,
    refuser: Refuser,
    events: VecDeque<ClientEvent>,
    records_dropped: u64,
    counters: Counters,
}

/// Packets that went through.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    forwarded: u64,
    delivered: u64,
    held: u64,
    drained: u64,
    control_received: u64,
    control_ignored: u64,
}

impl Client {
    /// Creates a Client without resources over `connections`: those of its own key, or a laboratory's.
    pub fn new(config: ClientConfig, connections: Connections, now: Instant) -> Self {
        Self { connections, ..Self::with_policy(config, RefreshPolicy::Keep, now) }
    }

    /// Creates a Client with a refresh policy of choice, for comparison in a laboratory only (R41): no
    /// setting of a real endpoint leads here. Its sessions protect nothing.
    pub fn with_policy(config: ClientConfig, policy: RefreshPolicy, now: Instant) -> Self {
        let ClientConfig { ipv4, ipv6, proxies, sentinels, refresh_floor, buffer, run, seed } =
            config;
        let nat = NatConfig { refresh_floor, run, seed };
        Self {
            ipv4,
            ipv6,
            routes: Routes::default(),
            stub: Stub::new(&StubConfig { proxies, seed }),
            dns: Dns::new(sentinels, seed, now),
            site: Site::new(ipv4, ipv6, seed, now),
            flows: Flows::new(seed),
            nat: ResourceNat::with_policy(nat, policy),
            buffer: PacketBuffer::new(buffer, seed),
            waiting: Waiting::default(),
            connections: Connections::default(),
            opened: Opened::default(),
            refuser: Refuser::default(),
            events: VecDeque::new(),
            records_dropped: 0,
            counters: Counters::default(),
        }
    }

    /// Whether a working flow goes on whatever its entry does: always, but for the baseline (R41).
    fn keeps_flows(&self) -> bool {
        self.nat.policy() == RefreshPolicy::Keep
    }

    /// Whether `address` is one of the Client's own tunnel addresses.
    fn is_own(&self, address: IpAddr) -> bool {
        address == self.ipv4 || address == self.ipv6
    }

    /// Queues a record; drops and counts it when too many wait.
    fn record(&mut self, event: ClientEvent) {
        if self.events.len() < MAX_RECORDS {
            self.events.push_back(event);
        } else {
            self.records_dropped += 1;
        }
    }

    /// The next request for an authorisation.
    fn poll_need(&mut self) -> Option<ClientEvent> {
        let resource = self.routes.poll_request()?;
        let gateways = self.routes.wanted(resource, |peer| self.connections.remote(peer).is_some());
        Some(ClientEvent::AuthorizationNeeded { resource, gateways })
    }

    /// What a Gateway is to be told of the addresses of this host.
    fn poll_candidates(&mut self) -> Option<ClientEvent> {
        loop {
            let (peer, candidates) = self.connections.poll_local_candidates()?;
            if let Some((_, gateway)) = self.routes.gateway_of_peer(peer) {
                let (gateway, candidates) = (gateway.id(), candidates.into());
                return Some(ClientEvent::LocalCandidates { gateway, candidates });
            }
        }
    }

    /// Lets everything that an input set in motion come to rest: messages of the NAT go out, released
    /// packets follow them.
    fn settle(&mut self, now: Instant, io: &mut Io<'_>) {
        self.announce_all(now, io);
        self.drain(now, io);
        self.tell_lost(now, io);
        self.probe_flows(now, io);
        self.connections.flush(now, io.send);
    }
}

impl Endpoint for Client {
    fn handle_tun(&mut self, train: Train<'_>, now: Instant, io: &mut Io<'_>) {
        self.send_train(train, now, io);
        self.settle(now, io);
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
        let Command::Client(command) = command else { return Err(MisdirectedCommand) };
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
    }

    fn handle_timeout(&mut self, now: Instant, io: &mut Io<'_>) {
        self.connections.handle_timeout(now);
        self.nat.handle_timeout(now);
        self.buffer.handle_timeout(now);
        self.give_up_expired(now, io);
        self.repeat_requests(now);
        self.flows.handle_timeout(now);
        self.check_gateways(now, io);
        self.run_netstack(now, io);
        self.run_site(now, io);
        self.settle(now, io);
    }

    fn poll_timeout(&self, now: Instant) -> Option<(Instant, Reason)> {
        let more = self.waiting.wants_drain()
            || self.nat.has_transmit()
            || self.flows.wants_to_tell()
            || self.connections.has_transmit();
        let drain = more.then_some((now, Reason::Drain));
        let timers = [
            self.connections.poll_timeout().map(|at| (at, Reason::Connection)),
            self.nat.poll_timeout().map(|(at, _)| (at, Reason::Nat)),
            self.buffer.poll_timeout().map(|(at, _)| (at, Reason::Buffer)),
            self.routes.next_request().map(|at| (at, Reason::Authorization)),
            self.site.poll_timeout(),
            self.flows.poll_timeout().map(|at| (at, Reason::Flow)),
            self.routes.next_check().map(|at| (at, Reason::Liveness)),
            self.dns.poll_timeout().map(|at| (at, Reason::Netstack)),
        ];
        timers.into_iter().fold(drain, soonest)
    }

    fn export_sessions_and_stop(&mut self, now: Instant) -> Option<Exported> {
        self.connections.export_and_stop(now)
    }

    fn inherit_sessions(
        &mut self,
        exported: &Exported,
        _state: Option<&[u8]>,
        now: Instant,
    ) -> Result<usize, InheritError> {
        Ok(self.connections.inherit(exported, now)?)
    }

    fn poll_dns(&mut self) -> Option<DnsTransmit> {
        self.dns.poll_transmit()
    }

    fn poll_event(&mut self) -> Option<Event> {
        let event = self.poll_need().or_else(|| self.poll_candidates());
        event.or_else(|| self.events.pop_front()).map(Event::Client)
    }
}
