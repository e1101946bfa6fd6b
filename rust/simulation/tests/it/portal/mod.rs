//! A Client and Gateways that a portal introduces: it answers requests, carries candidates, and takes
//! access away, as Firezone's does.

mod access;
mod outages;
mod paths;
mod promise;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use connection::{Connections, Entropy, Node, PrivateKey};
use dns::ResourceId;
use domain::base::iana::Rtype;
use link::{Impairment, LinkConfig};
use nat::control::{ClientId, GatewayId};
use packet::{Instant, TcpFlags};
use simulation::scenario::query;
use simulation::world::{Station, World};
use tunnel::messages::{
    AuthorizationFailure, ClientCommand, ClientEvent, ClientPeer, Command, Endpoint, Event,
    GatewayCommand, GatewayEvent, GatewayPeer, IceCredentials, KeyText, LookupFamily, LookupResult,
    Resource,
};
use tunnel::{Client, Endpoint as Station_, Gateway, GatewayConfig};

use crate::rig::{SENTINEL, at, cidr_resource, dns_resource, tcp, udp};
use crate::several::{address_of, client_config, tunnel};

/// The Client's station; all others are Gateways.
pub(crate) const CLIENT: Station = 0;
/// Unix time at the beginning of the virtual clock.
pub(crate) const WALL: u64 = 1_800_000_000;
/// Two networks, and names.
pub(crate) const FIRST: ResourceId = ResourceId(1);
pub(crate) const SECOND: ResourceId = ResourceId(2);
pub(crate) const NAMES: ResourceId = ResourceId(3);

pub(crate) fn resource(id: ResourceId) -> Resource {
    match id {
        FIRST => cidr_resource(FIRST, "10.77.1.0/24"),
        SECOND => cidr_resource(SECOND, "10.77.2.0/24"),
        _ => dns_resource(NAMES, "*.site.example", Vec::new()),
    }
}

/// A host of a network.
pub(crate) fn host(id: ResourceId) -> IpAddr {
    [10, 77, id.0 as u8, 9].into()
}

pub(crate) fn unix(second: u64) -> u64 {
    WALL + second
}

/// The portal, and all that it serves.
pub(crate) struct Portal {
    pub(crate) world: World,
    /// Number of the key by station: a new process has another one.
    keys: BTreeMap<Station, u8>,
    /// Gateways that requests are answered with, most wanted first.
    pub(crate) online: Vec<Station>,
    /// What may be had, and until which second.
    pub(crate) allowed: BTreeMap<ResourceId, Option<u64>>,
    /// How long a message takes.
    pub(crate) delay: Duration,
    /// Whose candidates are lost.
    pub(crate) mute: BTreeSet<Station>,
    /// Whether candidates that were told together arrive last first, one by one.
    pub(crate) is_reversing: bool,
    /// Messages on their way.
    under_way: BTreeMap<(Instant, u64), (Station, Command)>,
    number: u64,
    pub(crate) events: Vec<(Instant, Station, Event)>,
    sequence: u32,
    /// What look-ups find.
    pub(crate) real: Vec<IpAddr>,
}

impl Portal {
    /// A Client and some Gateways, joined by links that take 5 ms, lose 1 % and reorder some.
    pub(crate) fn new(gateways: usize) -> Self {
        let mut portal = Self {
            world: World::default(),
            keys: BTreeMap::new(),
            online: (1..=gateways).collect(),
            allowed: [FIRST, SECOND, NAMES].map(|id| (id, None)).into(),
            delay: Duration::from_millis(20),
            mute: BTreeSet::new(),
            is_reversing: false,
            under_way: BTreeMap::new(),
            number: 0,
            events: Vec::new(),
            sequence: 1,
            real: vec![[10, 77, 3, 9].into()],
        };
        for station in 0..=gateways {
            let endpoint = portal.process(station);
            portal.world.add(endpoint);
            portal.world.tell_addresses(station);
            if station != CLIENT {
                portal.join(station);
            }
        }
        portal.describe();
        portal
    }

    pub(crate) fn join(&mut self, gateway: Station) {
        let way = Impairment { latency: Duration::from_millis(5), ..Impairment::default() };
        let rough =
            Impairment { jitter: Duration::from_millis(2), loss: 0.05, duplicate: 0.01, ..way };
        let link = LinkConfig { data: way, control: rough };
        self.world.join(CLIENT, gateway, link, link, gateway as u64);
    }

    /// Tells the Client what there is.
    fn describe(&mut self) {
        for id in [FIRST, SECOND, NAMES] {
            self.client(ClientCommand::SetResource { resource: resource(id) });
        }
    }

    /// A process with a key of its own.
    fn process(&mut self, station: Station) -> Box<dyn Station_> {
        let run =
            self.keys.entry(station).and_modify(|key| *key += 100).or_insert(station as u8 + 1);
        let (run, now) = (*run, self.world.now());
        let wall = Duration::from_secs(WALL) + now.saturating_duration_since(Instant::ZERO);
        let node = Node::new(key(run), Entropy::new([run; 32]), wall, now);
        let connections = Connections::wireguard(node, Entropy::new([run + 1; 32]));
        if station == CLIENT {
            let config = client_config(CLIENT, u64::from(run));
            return Box::new(Client::new(config, connections, now));
        }
        let (ipv4, ipv6) = tunnel(station);
        let mut config = GatewayConfig::new(ipv4, ipv6, u64::from(run));
        config.wall_ahead = Duration::from_secs(WALL);
        config.translations.cache_floor = Duration::ZERO;
        Box::new(Gateway::new(config, connections))
    }

    /// Another process takes a station's place, and knows nothing.
    pub(crate) fn restart(&mut self, station: Station) {
        let process = self.process(station);
        self.world.replace(station, process);
        self.world.tell_addresses(station);
        if station == CLIENT {
            self.describe();
        }
    }

    pub(crate) fn client(&mut self, command: ClientCommand) {
        self.world.command(CLIENT, Command::Client(command));
        self.settle();
    }

    pub(crate) fn gateway(&mut self, gateway: Station, command: GatewayCommand) {
        self.world.command(gateway, Command::Gateway(command));
        self.settle();
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        let until = at(millis);
        loop {
            self.settle();
            let carried = self.under_way.keys().next().map(|(at, _)| *at);
            let next = self.world.next_wake().into_iter().chain(carried).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.world.advance(next);
            while let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= next) {
                let (station, command) = entry.remove();
                self.world.command(station, command);
            }
        }
        self.world.advance(until);
        self.settle();
    }

    pub(crate) fn advance_by(&mut self, millis: u64) {
        self.advance(self.world.now().as_nanos() / 1_000_000 + millis);
    }

    fn settle(&mut self) {
        self.world.advance(self.world.now());
        while let Some((when, station, event)) = self.world.poll_event() {
            match &event {
                Event::Client(event) => self.serve_client(event.clone()),
                Event::Gateway(event) => self.serve_gateway(station, event.clone()),
            }
            self.events.push((when, station, event));
        }
    }

    fn serve_client(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::AuthorizationNeeded { resource, gateways } => {
                let mut known = gateways.iter().map(|id| id.0 as Station);
                let known = known.find(|station| self.online.contains(station));
                let chosen = known.or_else(|| self.online.first().copied());
                let until = self.allowed.get(&resource).copied();
                match (chosen, until) {
                    (Some(gateway), Some(until)) => self.grant(gateway, resource, until),
                    (None, _) => self.refuse(resource, AuthorizationFailure::Offline),
                    (_, None) => self.refuse(resource, AuthorizationFailure::Forbidden),
                }
            }
            ClientEvent::LocalCandidates { gateway, candidates } => {
                let client = ClientId(0);
                let add = |candidates| GatewayCommand::AddRemoteCandidates { client, candidates };
                let remove =
                    |candidates| GatewayCommand::RemoveRemoteCandidates { client, candidates };
                let to = gateway.0 as Station;
                self.carry_lines(CLIENT, to, candidates.new, |c| Command::Gateway(add(c)));
                let gone = candidates.invalidated;
                self.carry_lines(CLIENT, to, gone, |c| Command::Gateway(remove(c)));
            }
            _ => {}
        }
    }

    fn serve_gateway(&mut self, station: Station, event: GatewayEvent) {
        match event {
            GatewayEvent::AuthorizationCreated { reference } => {
                let resource = ResourceId(reference.parse().expect("what was sent"));
                let gateway = self.gateway_peer(station);
                let command = ClientCommand::Authorize { resource, gateway };
                self.carry(CLIENT, Command::Client(command));
            }
            GatewayEvent::LocalCandidates { candidates, .. } => {
                let gateway = GatewayId(station as u128);
                let add = |candidates| ClientCommand::AddRemoteCandidates { gateway, candidates };
                let remove =
                    |candidates| ClientCommand::RemoveRemoteCandidates { gateway, candidates };
                self.carry_lines(station, CLIENT, candidates.new, |c| Command::Client(add(c)));
                let gone = candidates.invalidated;
                self.carry_lines(station, CLIENT, gone, |c| Command::Client(remove(c)));
            }
            GatewayEvent::ResolveDomain { lookup, family, .. } => {
                let is_ipv4 = family == LookupFamily::Ipv4;
                let found = self.real.iter().filter(|real| real.is_ipv4() == is_ipv4);
                let found: Vec<_> = found.map(|real| (*real, 0)).collect();
                let result = if found.is_empty() {
                    LookupResult::NoData
                } else {
                    LookupResult::Addresses(found)
                };
                let command = GatewayCommand::DomainResolved { lookup, family, result };
                self.carry(station, Command::Gateway(command));
            }
            _ => {}
        }
    }

    /// Asks a Gateway to let the Client in.
    pub(crate) fn grant(&mut self, gateway: Station, id: ResourceId, until: Option<u64>) {
        let command = GatewayCommand::CreateAuthorization {
            reference: id.0.to_string(),
            client: self.client_peer(gateway),
            resource: resource(id),
            expires_at: until.map(unix),
        };
        self.carry(gateway, Command::Gateway(command));
    }

    fn refuse(&mut self, resource: ResourceId, reason: AuthorizationFailure) {
        let command = ClientCommand::AuthorizationFailed { resource, reason };
        self.carry(CLIENT, Command::Client(command));
    }

    fn carry(&mut self, to: Station, command: Command) {
        self.number += 1;
        self.under_way.insert((self.world.now() + self.delay, self.number), (to, command));
    }

    fn carry_lines(
        &mut self,
        from: Station,
        to: Station,
        mut lines: Vec<String>,
        command: impl Fn(Vec<String>) -> Command,
    ) {
        if lines.is_empty() || self.mute.contains(&from) {
            return;
        }
        if !self.is_reversing {
            return self.carry(to, command(lines));
        }
        lines.reverse();
        lines.into_iter().for_each(|line| self.carry(to, command(vec![line])));
    }

    fn client_peer(&self, gateway: Station) -> ClientPeer {
        let (ipv4, ipv6) = tunnel(CLIENT);
        let [initiator, target] = self.credentials(gateway);
        let endpoint = self.endpoint(CLIENT, target, initiator, gateway);
        ClientPeer { id: ClientId(0), ipv4, ipv6, endpoint }
    }

    fn gateway_peer(&self, gateway: Station) -> GatewayPeer {
        let (ipv4, ipv6) = tunnel(gateway);
        let [initiator, target] = self.credentials(gateway);
        let endpoint = self.endpoint(gateway, initiator, target, gateway);
        GatewayPeer { id: GatewayId(gateway as u128), ipv4, ipv6, endpoint, site: None }
    }

    fn endpoint(
        &self,
        of: Station,
        local: IceCredentials,
        remote: IceCredentials,
        gateway: Station,
    ) -> Endpoint {
        let [client, gateway] = [CLIENT, gateway].map(|station| self.keys[&station]);
        // 43 digits are 32 bytes and two bits that mean nothing.
        let preshared_key = format!("{client:A>3}{gateway:A>39}A=");
        Endpoint::Ice {
            public_key: KeyText(key(self.keys[&of]).public_key()),
            preshared_key: preshared_key.try_into().expect("32 bytes"),
            local,
            remote,
        }
    }

    /// Of the Client and of a Gateway: the same as long as both processes are.
    fn credentials(&self, gateway: Station) -> [IceCredentials; 2] {
        let [client, gateway] = [CLIENT, gateway].map(|station| self.keys[&station]);
        ["i", "t"].map(|end| IceCredentials {
            username: format!("{end}{client}{gateway}"),
            password: format!("{end}{client:0>10}{gateway:0>10}"),
        })
    }

    /// The Client's host sends a segment of a flow to a host of a resource.
    pub(crate) fn segment(&mut self, id: ResourceId, port: u16, flags: TcpFlags) {
        self.sequence += 1;
        let packet = tcp((address_of(CLIENT), port), (host(id), 443), self.sequence, flags);
        self.send(CLIENT, packet);
    }

    /// The far host answers, at the site of a Gateway.
    pub(crate) fn answer(&mut self, gateway: Station, id: ResourceId, port: u16, flags: TcpFlags) {
        self.sequence += 1;
        let packet = tcp((host(id), 443), (address_of(CLIENT), port), self.sequence, flags);
        self.send(gateway, packet);
    }

    /// A connection that stands: opened, answered, acknowledged.
    pub(crate) fn open(&mut self, gateway: Station, id: ResourceId, port: u16) {
        self.segment(id, port, TcpFlags::SYN);
        self.advance_by(2_000);
        self.answer(gateway, id, port, TcpFlags::SYN | TcpFlags::ACK);
        self.advance_by(100);
        self.segment(id, port, TcpFlags::ACK);
        self.advance_by(100);
        assert!(self.handed(gateway).len() >= 2, "the connection stands");
        assert_eq!(self.handed(CLIENT).len(), 1);
    }

    pub(crate) fn send(&mut self, station: Station, mut packet: Vec<u8>) {
        self.world.send(station, &mut packet).expect("valid");
        self.settle();
    }

    /// Asks for a name, and returns the proxy address that the Client gave it.
    pub(crate) fn ask(&mut self, name: &str) -> IpAddr {
        let question = query(name, Rtype::A, 7);
        let packet = udp((address_of(CLIENT), 4_000), (SENTINEL, 53), &question);
        self.send(CLIENT, packet);
        let named = self.events.iter().rev().find_map(|(_, _, event)| match event {
            Event::Client(ClientEvent::ProxiesAssigned { record }) if record.name == name => {
                Some(record.ipv4[0])
            }
            _ => None,
        });
        named.expect("the name was given proxies").into()
    }

    /// What was handed to a station's host.
    pub(crate) fn handed(&mut self, station: Station) -> Vec<Vec<u8>> {
        self.world.take_handed(station).into_iter().map(|handed| handed.packet).collect()
    }

    /// When the Client told of something for the first time after an instant.
    pub(crate) fn told(
        &self,
        from: Instant,
        wanted: impl Fn(&ClientEvent) -> bool,
    ) -> Option<Instant> {
        let mut events = self.events.iter().filter(|(at, _, _)| *at >= from);
        let found = events.find(|(_, _, e)| matches!(e, Event::Client(event) if wanted(event)));
        found.map(|(at, _, _)| *at)
    }
}

pub(crate) fn key(number: u8) -> PrivateKey {
    PrivateKey::clamped([number; 32])
}
