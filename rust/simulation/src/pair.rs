//! A Client and a Gateway joined by two links, under one clock.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use dns::ResourceId;
use link::{Link, LinkConfig};
use nat::control::{ClientId, GatewayId};
use nat::resource_nat::RefreshPolicy;
use packet::{Class, Instant, Malformed, SendBuffer, Train, TrainSink};
use tunnel::messages::{
    ClientCommand, ClientPeer, Command, Endpoint as PeerEndpoint, Event, GatewayCommand,
    GatewayPeer, Resource,
};
use tunnel::{
    Client, ClientConfig, Endpoint, Gateway, GatewayConfig, Io, SEND_BUFFER_BYTES, SEND_BUFFER_RUNS,
};

/// Tunnel addresses of the Client.
pub const CLIENT_IPV4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
/// Tunnel addresses of the Client.
pub const CLIENT_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 1);
/// Tunnel addresses of the Gateway.
pub const GATEWAY_IPV4: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
/// Tunnel addresses of the Gateway.
pub const GATEWAY_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 2);
/// Id of the Client.
pub const CLIENT: ClientId = ClientId(1);
/// Id of the Gateway.
pub const GATEWAY: GatewayId = GatewayId(2);

const ENDPOINTS: [&str; 2] = ["192.0.2.1:52625", "192.0.2.2:52625"];

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The Client and its host.
    Client,
    /// The Gateway and its site.
    Gateway,
}

impl Side {
    fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Gateway => 1,
        }
    }

    const BOTH: [Self; 2] = [Self::Client, Self::Gateway];
}

/// A packet that an endpoint handed to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Instant,
    /// To the host of which end.
    pub side: Side,
    /// The packet.
    pub packet: Vec<u8>,
}

/// How to make a [`Pair`].
#[derive(Clone, Debug)]
pub struct PairConfig {
    /// Seed of the links.
    pub seed: u64,
    /// What a query does to a working entry; anything but `Keep` is for comparison (R41).
    pub policy: RefreshPolicy,
    /// Settings of the Client.
    pub client: ClientConfig,
    /// Settings of the Gateway.
    pub gateway: GatewayConfig,
    /// From the Client to the Gateway.
    pub up: LinkConfig,
    /// From the Gateway to the Client.
    pub down: LinkConfig,
    /// Seconds until a session can seal.
    pub ready_after: f64,
}

/// The pair. Station addresses, ids and receiver indices are fixed.
pub struct Pair {
    stations: [Box<dyn Endpoint>; 2],
    links: [Link; 2],
    send: SendBuffer,
    now: Instant,
    datagrams: Vec<u8>,
    deliveries: VecDeque<Delivery>,
    events: VecDeque<(Instant, Event)>,
    ready_after: f64,
}

/// Collects what an endpoint hands to its host.
struct Host<'a> {
    at: Instant,
    side: Side,
    deliveries: &'a mut VecDeque<Delivery>,
}

impl TrainSink for Host<'_> {
    fn accept(&mut self, train: &Train<'_>) {
        for i in 0..train.segments() {
            let mut packet = vec![0; train.segment_len(i)];
            train.write_segment(i, &mut packet);
            self.deliveries.push_back(Delivery { at: self.at, side: self.side, packet });
        }
    }
}

impl Pair {
    /// Creates both ends at instant 0 and tells the Gateway of the Client.
    pub fn new(config: PairConfig) -> Self {
        let now = Instant::ZERO;
        let client = Client::with_policy(config.client, config.policy, now);
        let gateway = Gateway::new(config.gateway);
        let links = [
            Link::new(config.up, config.seed),
            Link::new(config.down, config.seed.wrapping_add(1)),
        ];
        let mut pair = Self {
            stations: [Box::new(client), Box::new(gateway)],
            links,
            send: SendBuffer::new(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS),
            now,
            datagrams: Vec::new(),
            deliveries: VecDeque::new(),
            events: VecDeque::new(),
            ready_after: config.ready_after,
        };
        let client = pair.client_peer();
        pair.command_gateway(GatewayCommand::AddClient { client });
        pair
    }

    /// Replaces the Client by a new process with other settings; what was on its way arrives.
    pub fn restart_client(&mut self, config: ClientConfig) {
        self.stations[0] = Box::new(Client::new(config, self.now));
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Lets both ends use a resource: the Gateway is told first.
    pub fn authorize(&mut self, resource: &Resource, expires_in: Option<f64>) {
        self.grant(resource, expires_in);
        let id = resource.id;
        self.command_client(ClientCommand::SetResource { resource: resource.clone() });
        self.answer_authorization(id);
    }

    /// Lets the Gateway pass a resource.
    pub fn grant(&mut self, resource: &Resource, expires_in: Option<f64>) {
        let (client, resource) = (CLIENT, resource.clone());
        self.command_gateway(GatewayCommand::Authorize { client, resource, expires_in });
    }

    /// Tells the Client that the Gateway serves a resource.
    pub fn answer_authorization(&mut self, resource: ResourceId) {
        let gateway = self.gateway_peer();
        self.command_client(ClientCommand::Authorize { resource, gateway });
    }

    /// Gives a command to the Client.
    pub fn command_client(&mut self, command: ClientCommand) {
        self.command(Side::Client, Command::Client(command));
    }

    /// Gives a command to the Gateway.
    pub fn command_gateway(&mut self, command: GatewayCommand) {
        self.command(Side::Gateway, Command::Gateway(command));
    }

    /// The host of `side` sends a packet into its TUN device.
    ///
    /// # Errors
    /// [`Malformed`], after the endpoint was told, if no train can be made of it.
    pub fn send(&mut self, side: Side, packet: &mut [u8]) -> Result<(), Malformed> {
        let now = self.now;
        let why = packet::parse(packet).err();
        self.input(side, |station, io| match why {
            Some(why) => station.handle_malformed(packet, why, now, io),
            None => {
                if let Ok(train) = Train::single(packet) {
                    station.handle_tun(train, now, io);
                }
            }
        });
        why.map_or(Ok(()), Err)
    }

    /// When something is due next.
    pub fn next_wake(&self) -> Option<Instant> {
        let stations = self.stations.iter().filter_map(|s| s.poll_timeout(self.now));
        let links = self.links.iter().filter_map(Link::poll_timeout);
        stations.map(|(at, _)| at).chain(links).min()
    }

    /// Moves the clock to `until`, doing all that falls due on the way.
    pub fn advance(&mut self, until: Instant) {
        while let Some(at) = self.next_wake().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.run_due();
        }
        self.now = self.now.max(until);
    }

    /// The next packet that an endpoint handed to its host.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        self.deliveries.pop_front()
    }

    /// Takes everything that was handed to the host of `side`.
    pub fn take_deliveries(&mut self, side: Side) -> Vec<Delivery> {
        let deliveries = std::mem::take(&mut self.deliveries);
        let (taken, left): (VecDeque<_>, _) =
            deliveries.into_iter().partition(|delivery| delivery.side == side);
        self.deliveries = left;
        Vec::from(taken)
    }

    /// The next event of an endpoint, and when it was raised.
    pub fn poll_event(&mut self) -> Option<(Instant, Event)> {
        self.events.pop_front()
    }

    /// What the link that `side` sends on did with the datagrams of a class.
    pub fn link_counters(&self, side: Side, class: Class) -> link::Counters {
        self.links[side.index()].counters(class)
    }

    fn run_due(&mut self) {
        let now = self.now;
        for side in Side::BOTH {
            let due = self.stations[side.index()].poll_timeout(now);
            if due.is_some_and(|(at, _)| at <= now) {
                self.input(side, |station, io| station.handle_timeout(now, io));
            }
        }
        for side in Side::BOTH {
            self.receive(side);
        }
    }

    /// Hands over the datagrams that arrive at `side` now.
    fn receive(&mut self, side: Side) {
        let sender = 1 - side.index();
        let from = endpoint(sender);
        let now = self.now;
        let mut datagrams = std::mem::take(&mut self.datagrams);
        while let Some((_, size)) = self.links[sender].receive_run(now, &mut datagrams) {
            self.input(side, |station, io| {
                station.handle_network(from, &mut datagrams, size, now, io);
            });
        }
        self.datagrams = datagrams;
    }

    fn command(&mut self, side: Side, command: Command) {
        let now = self.now;
        self.input(side, |station, io| {
            // Both callers above give each role its own commands.
            let _ = station.handle_command(command, now, io);
        });
    }

    /// Gives one input to an endpoint, then drains it.
    fn input(&mut self, side: Side, give: impl FnOnce(&mut dyn Endpoint, &mut Io<'_>)) {
        let (now, station) = (self.now, &mut self.stations[side.index()]);
        let mut host = Host { at: now, side, deliveries: &mut self.deliveries };
        give(station.as_mut(), &mut Io { send: &mut self.send, host: &mut host });
        for (run, bytes) in self.send.iter() {
            self.links[side.index()].send_run(run, bytes, now);
        }
        self.send.clear();
        while let Some(query) = station.poll_dns() {
            // There is no server outside in this world.
            let mut host = Host { at: now, side, deliveries: &mut self.deliveries };
            let mut io = Io { send: &mut self.send, host: &mut host };
            station.handle_dns_response(query.id, None, now, &mut io);
        }
        while let Some(event) = station.poll_event() {
            self.events.push_back((now, event));
        }
    }

    fn client_peer(&self) -> ClientPeer {
        let endpoint = self.peer_endpoint(0);
        ClientPeer { id: CLIENT, ipv4: CLIENT_IPV4, ipv6: CLIENT_IPV6, endpoint }
    }

    fn gateway_peer(&self) -> GatewayPeer {
        let endpoint = self.peer_endpoint(1);
        GatewayPeer { id: GATEWAY, ipv4: GATEWAY_IPV4, ipv6: GATEWAY_IPV6, endpoint }
    }

    /// How the other end reaches station `of`.
    fn peer_endpoint(&self, of: usize) -> PeerEndpoint {
        let index = |station: usize| (station as u32 + 1) << 8 | 1;
        PeerEndpoint {
            address: endpoint(of),
            local_index: index(1 - of),
            remote_index: index(of),
            ready_after: self.ready_after,
        }
    }
}

fn endpoint(station: usize) -> SocketAddr {
    match ENDPOINTS[station].parse() {
        Ok(address) => address,
        Err(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
    }
}
