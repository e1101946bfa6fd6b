//! A Client and a Gateway joined by two links, under one clock.

use std::net::{Ipv4Addr, Ipv6Addr};

use dns::ResourceId;
use link::LinkConfig;
use nat::control::{ClientId, GatewayId};
use nat::resource_nat::RefreshPolicy;
use packet::{Class, Instant, Malformed};
use tunnel::messages::{ClientCommand, Command, Event, GatewayCommand, Resource};
use tunnel::{ClientConfig, GatewayConfig};

use crate::world::{Handed, Station, World};

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

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The Client and its host.
    Client,
    /// The Gateway and its site.
    Gateway,
}

impl Side {
    fn station(self) -> Station {
        match self {
            Self::Client => 0,
            Self::Gateway => 1,
        }
    }

    fn of(station: Station) -> Self {
        if station == 0 { Self::Client } else { Self::Gateway }
    }
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

impl PairConfig {
    /// A perfect link, floors of zero, and the ranges of dataplane §1.1.
    pub fn new(seed: u64) -> Self {
        let mut client = ClientConfig::new(CLIENT_IPV4, CLIENT_IPV6, seed, seed);
        client.refresh_floor = std::time::Duration::ZERO;
        let mut gateway = GatewayConfig::new(GATEWAY_IPV4, GATEWAY_IPV6, seed);
        gateway.translations.cache_floor = std::time::Duration::ZERO;
        gateway.translations.failure_cache = std::time::Duration::ZERO;
        let (up, down) = (LinkConfig::default(), LinkConfig::default());
        let policy = RefreshPolicy::Keep;
        Self { seed, policy, client, gateway, up, down, ready_after: 0.0 }
    }
}

/// The pair: station 0 is the Client, station 1 the Gateway.
pub struct Pair {
    world: World,
    ready_after: f64,
}

impl Pair {
    /// Creates both ends at instant 0 and tells the Gateway of the Client.
    pub fn new(config: PairConfig) -> Self {
        let PairConfig { seed, policy, client, gateway, up, down, ready_after } = config;
        let mut world = World::default();
        let client = world.add_client(client, policy);
        let gateway = world.add_gateway(gateway);
        world.join(client, gateway, up, down, seed);
        let mut pair = Self { world, ready_after };
        let addresses = (CLIENT_IPV4, CLIENT_IPV6);
        let client = pair.world.client_peer(gateway, client, CLIENT, addresses, ready_after);
        pair.command_gateway(GatewayCommand::AddClient { client });
        pair
    }

    /// Puts a new process in the place of the Client; what was on its way arrives.
    pub fn restart_client(&mut self, config: ClientConfig) {
        self.world.restart_client(Side::Client.station(), config);
    }

    /// Puts a new process, which knows nothing, in the place of the Gateway, and tells it of the
    /// Client.
    pub fn restart_gateway(&mut self, config: GatewayConfig) {
        self.world.restart_gateway(Side::Gateway.station(), config);
        let addresses = (CLIENT_IPV4, CLIENT_IPV6);
        let client = self.world.client_peer(1, 0, CLIENT, addresses, self.ready_after);
        self.command_gateway(GatewayCommand::AddClient { client });
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.world.now()
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
        let addresses = (GATEWAY_IPV4, GATEWAY_IPV6);
        let gateway = self.world.gateway_peer(0, 1, GATEWAY, addresses, self.ready_after);
        self.command_client(ClientCommand::Authorize { resource, gateway });
    }

    /// Gives a command to the Client.
    pub fn command_client(&mut self, command: ClientCommand) {
        self.world.command(Side::Client.station(), Command::Client(command));
    }

    /// Gives a command to the Gateway.
    pub fn command_gateway(&mut self, command: GatewayCommand) {
        self.world.command(Side::Gateway.station(), Command::Gateway(command));
    }

    /// The host of `side` sends a packet into its TUN device.
    ///
    /// # Errors
    /// [`Malformed`], after the endpoint was told, if no train can be made of it.
    pub fn send(&mut self, side: Side, packet: &mut [u8]) -> Result<(), Malformed> {
        self.world.send(side.station(), packet)
    }

    /// When something is due next.
    pub fn next_wake(&self) -> Option<Instant> {
        self.world.next_wake()
    }

    /// Moves the clock to `until`, doing all that falls due on the way.
    pub fn advance(&mut self, until: Instant) {
        self.world.advance(until);
    }

    /// The next packet that an endpoint handed to its host.
    pub fn poll_delivery(&mut self) -> Option<Delivery> {
        let Handed { at, station, packet } = self.world.poll_handed()?;
        Some(Delivery { at, side: Side::of(station), packet })
    }

    /// Takes everything that was handed to the host of `side`.
    pub fn take_deliveries(&mut self, side: Side) -> Vec<Delivery> {
        let handed = self.world.take_handed(side.station()).into_iter();
        handed.map(|Handed { at, packet, .. }| Delivery { at, side, packet }).collect()
    }

    /// The next event of an endpoint, and when it was raised.
    pub fn poll_event(&mut self) -> Option<(Instant, Event)> {
        self.world.poll_event().map(|(at, _, event)| (at, event))
    }

    /// What the link that `side` sends on did with the datagrams of a class.
    pub fn link_counters(&self, side: Side, class: Class) -> link::Counters {
        let from = side.station();
        self.world.link_counters(from, 1 - from, class)
    }

    /// The world beneath, for inputs that only a test gives.
    pub fn world_mut(&mut self) -> &mut World {
        &mut self.world
    }
}
