//! Several Clients on one Gateway, several Gateways for one Client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dns::ResourceId;
use domain::base::iana::Rtype;
use link::LinkConfig;
use nat::control::{ClientId, GatewayId};
use nat::resource_nat::RefreshPolicy;
use packet::Instant;
use serde_json::Value;
use simulation::scenario::query;
use simulation::world::{Station, World};
use tunnel::messages::{
    ClientCommand, ClientEvent, Command, Endpoint, Event, GatewayCommand, GatewayEvent,
    InspectClient, InspectGateway, LookupFamily, LookupResult, Resource,
};
use tunnel::{ClientConfig, GatewayConfig};

use crate::rig::{SENTINEL, addresses, at, dns_resource, udp};

/// A world whose Gateways answer for one address each.
pub(crate) struct Several {
    pub(crate) world: World,
    /// Real address by Gateway.
    real: Vec<(Station, Ipv4Addr)>,
    pub(crate) proxies: Vec<(Station, String, Ipv4Addr)>,
    pub(crate) client_events: Vec<(Instant, ClientEvent)>,
    inspections: u64,
    inspected: Option<Value>,
}

pub(crate) fn tunnel(station: Station) -> (Ipv4Addr, Ipv6Addr) {
    let number = station as u8 + 1;
    let ipv6 = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, u16::from(number));
    (Ipv4Addr::new(100, 64, 0, number), ipv6)
}

pub(crate) fn client_config(station: Station, run: u64) -> ClientConfig {
    let (ipv4, ipv6) = tunnel(station);
    let mut config = ClientConfig::new(ipv4, ipv6, run, 1);
    config.refresh_floor = std::time::Duration::ZERO;
    config
}

impl Several {
    pub(crate) fn new() -> Self {
        let (world, real, proxies) = (World::default(), Vec::new(), Vec::new());
        Self { world, real, proxies, client_events: Vec::new(), inspections: 0, inspected: None }
    }

    pub(crate) fn add_client(&mut self, number: Station) -> Station {
        self.world.add_client(client_config(number, number as u64), RefreshPolicy::Keep)
    }

    pub(crate) fn add_gateway(&mut self, number: Station, real: [u8; 4]) -> Station {
        let (ipv4, ipv6) = tunnel(number);
        let mut config = GatewayConfig::new(ipv4, ipv6, 1);
        config.translations.cache_floor = std::time::Duration::ZERO;
        let station = self.world.add_gateway(config);
        self.real.push((station, real.into()));
        station
    }

    /// Joins a Client and a Gateway and lets the Client use a resource there.
    pub(crate) fn connect(&mut self, client: Station, gateway: Station, resource: &Resource) {
        let link = LinkConfig::default();
        self.world.join(client, gateway, link, link, 1);
        let id = ClientId(client as u128);
        let peer = self.world.client_peer(gateway, client, id, tunnel(client), 0.0);
        self.gateway(gateway, GatewayCommand::AddClient { client: peer });
        let grant = resource.clone();
        self.gateway(
            gateway,
            GatewayCommand::Authorize { client: id, resource: grant, expires_in: None },
        );
        self.serve(client, gateway, resource);
    }

    /// Names the Gateway that serves a resource.
    pub(crate) fn authorize(&mut self, client: Station, gateway: Station, resource: ResourceId) {
        let id = GatewayId(gateway as u128);
        let peer = self.world.gateway_peer(client, gateway, id, tunnel(gateway), 0.0);
        self.client(client, ClientCommand::Authorize { resource, gateway: peer });
        self.settle();
    }

    /// Counters of a Gateway.
    pub(crate) fn gateway_counters(&mut self, gateway: Station) -> Value {
        let (id, what) = (u64::MAX, InspectGateway::Counters);
        self.gateway(gateway, GatewayCommand::Inspect { id, what, cursor: 0 });
        self.settle();
        self.inspected.take().expect("an answer")
    }

    pub(crate) fn advance_by(&mut self, time: std::time::Duration) {
        let until = (self.world.now() + time).as_nanos() / 1_000_000;
        self.advance(until);
    }

    /// Tells a Client of a resource and of the Gateway that serves it.
    pub(crate) fn serve(&mut self, client: Station, gateway: Station, resource: &Resource) {
        self.client(client, ClientCommand::SetResource { resource: resource.clone() });
        let id = GatewayId(gateway as u128);
        let peer = self.world.gateway_peer(client, gateway, id, tunnel(gateway), 0.0);
        let resource = resource.id;
        self.client(client, ClientCommand::Authorize { resource, gateway: peer });
    }

    /// Rows of a Client's state.
    pub(crate) fn inspect(&mut self, client: Station, what: InspectClient) -> Vec<Value> {
        self.inspections += 1;
        let wanted = self.inspections;
        self.client(client, ClientCommand::Inspect { id: wanted, what, cursor: 0 });
        self.settle();
        let found = self.client_events.iter().rev().find_map(|(_, event)| match event {
            ClientEvent::Inspected { id, rows, .. } if *id == wanted => Some(rows.clone()),
            _ => None,
        });
        found.expect("an answer")
    }

    pub(crate) fn client(&mut self, station: Station, command: ClientCommand) {
        self.world.command(station, Command::Client(command));
    }

    pub(crate) fn gateway(&mut self, station: Station, command: GatewayCommand) {
        self.world.command(station, Command::Gateway(command));
    }

    pub(crate) fn advance(&mut self, until: u64) {
        self.settle();
        while let Some(next) = self.world.next_wake().filter(|next| *next <= at(until)) {
            self.world.advance(next);
            self.settle();
        }
        self.world.advance(at(until));
        self.settle();
    }

    fn settle(&mut self) {
        self.world.advance(self.world.now());
        while let Some((at, station, event)) = self.world.poll_event() {
            if let Event::Client(event) = &event {
                self.client_events.push((at, event.clone()));
            }
            match event {
                Event::Gateway(GatewayEvent::ResolveDomain { lookup, family, .. }) => {
                    let real = self.real.iter().find(|(gateway, _)| *gateway == station);
                    let result = match (real, family) {
                        (Some((_, real)), LookupFamily::Ipv4) => {
                            LookupResult::Addresses(vec![((*real).into(), 0)])
                        }
                        _ => LookupResult::NoData,
                    };
                    self.gateway(
                        station,
                        GatewayCommand::DomainResolved { lookup, family, result },
                    );
                }
                Event::Client(ClientEvent::ProxiesAssigned { record }) => {
                    self.proxies.push((station, record.name, record.ipv4[0]));
                }
                Event::Gateway(GatewayEvent::Inspected { id: u64::MAX, rows, .. }) => {
                    self.inspected = rows.into_iter().next();
                }
                Event::Client(_) | Event::Gateway(_) => {}
            }
        }
    }

    pub(crate) fn proxy(&mut self, client: Station, name: &str) -> Ipv4Addr {
        let (ipv4, _) = tunnel(client);
        let mut packet = udp((ipv4, 4000), (SENTINEL, 53), &query(name, Rtype::A, 1));
        self.world.send(client, &mut packet).expect("valid");
        self.settle();
        let mut found = self.proxies.iter().rev().filter(|(c, n, _)| *c == client && n == name);
        found.next().expect("the name was given proxies").2
    }

    pub(crate) fn send(&mut self, station: Station, mut packet: Vec<u8>) {
        self.world.send(station, &mut packet).expect("valid");
        self.settle();
    }

    pub(crate) fn handed(&mut self, station: Station) -> Vec<Vec<u8>> {
        self.world.take_handed(station).into_iter().map(|handed| handed.packet).collect()
    }
}

pub(crate) fn address_of(station: Station) -> IpAddr {
    tunnel(station).0.into()
}

#[test]
fn two_clients_with_equal_ports_and_proxies_never_get_each_others_packets() {
    let mut several = Several::new();
    let gateway = several.add_gateway(0, [10, 77, 0, 11]);
    let clients = [several.add_client(1), several.add_client(2)];
    let resource = dns_resource(ResourceId(3), "*.site.example", Vec::new());
    for client in clients {
        several.connect(client, gateway, &resource);
    }
    let proxies = clients.map(|client| several.proxy(client, "app.site.example"));
    assert_eq!(proxies[0], proxies[1], "each Client counts its own");
    for (client, proxy) in clients.into_iter().zip(proxies) {
        several.send(client, udp((address_of(client), 5000), (proxy, 80), &[client as u8]));
    }
    several.advance(1000);

    let arrived = several.handed(gateway);
    assert_eq!(arrived.len(), 2);
    for packet in &arrived {
        let (source, real) = addresses(packet);
        several.send(
            gateway,
            udp((real, 80), (source, 5000), packet.last_chunk::<1>().expect("a byte")),
        );
    }
    several.advance(2000);
    for client in clients {
        let back: Vec<_> = several.handed(client).into_iter().filter(|p| p.len() == 29).collect();
        assert_eq!(back.len(), 1);
        assert_eq!(back[0][28], client as u8);
    }
}

#[test]
fn each_resource_goes_to_its_own_gateway() {
    let mut several = Several::new();
    let gateways = [several.add_gateway(0, [10, 1, 0, 1]), several.add_gateway(1, [10, 2, 0, 1])];
    let client = several.add_client(2);
    let zones = ["one.example", "two.example"];
    for (i, gateway) in gateways.into_iter().enumerate() {
        let pattern = format!("*.{}", zones[i]);
        several.connect(
            client,
            gateway,
            &dns_resource(ResourceId(i as u128 + 1), &pattern, Vec::new()),
        );
    }
    for zone in zones {
        let proxy = several.proxy(client, &format!("www.{zone}"));
        several.send(client, udp((address_of(client), 5000), (proxy, 80), b"x"));
    }
    several.advance(1000);

    for (gateway, real) in gateways.into_iter().zip(["10.1.0.1", "10.2.0.1"]) {
        let arrived = several.handed(gateway);
        assert_eq!(arrived.len(), 1);
        assert_eq!(addresses(&arrived[0]).1.to_string(), real);
    }
}

#[test]
fn a_gateway_that_goes_away_takes_its_resources_along_until_another_serves_them() {
    let mut several = Several::new();
    let gateways = [several.add_gateway(0, [10, 1, 0, 1]), several.add_gateway(1, [10, 2, 0, 1])];
    let client = several.add_client(2);
    let resource = dns_resource(ResourceId(1), "*.site.example", Vec::new());
    for gateway in gateways.into_iter().rev() {
        several.connect(client, gateway, &resource);
    }
    let proxy = several.proxy(client, "app.site.example");
    several.send(client, udp((address_of(client), 5000), (proxy, 80), b"a"));
    several.advance(1000);
    assert_eq!(several.handed(gateways[0]).len(), 1);

    several
        .client(client, ClientCommand::RemoveGateway { gateway: GatewayId(gateways[0] as u128) });
    several.send(client, udp((address_of(client), 5001), (proxy, 80), b"b"));
    several.advance(2000);
    assert!(several.handed(gateways[1]).is_empty(), "it waits for an authorisation");
    several.serve(client, gateways[1], &resource);
    several.advance(3000);

    assert_eq!(several.handed(gateways[1]).len(), 1, "and goes to the other, once");
    assert_eq!(several.world.now(), Instant::ZERO + std::time::Duration::from_secs(3));
}

#[test]
fn an_address_that_moved_to_another_client_stays_that_clients() {
    let mut several = Several::new();
    let gateway = several.add_gateway(0, [10, 77, 0, 11]);
    let clients = [several.add_client(1), several.add_client(2)];
    let resource = dns_resource(ResourceId(3), "*.site.example", Vec::new());
    for client in clients {
        several.connect(client, gateway, &resource);
    }
    // The first Client had the second one's address before it; then it goes away.
    let id = ClientId(99);
    let (ipv4, ipv6) = tunnel(clients[1]);
    let mut peer = several.world.client_peer(gateway, clients[1], id, (ipv4, ipv6), 0.0);
    let Endpoint::Plain { local_index, .. } = &mut peer.endpoint else { panic!("a laboratory") };
    *local_index = 0x00ff_ff01;
    several.gateway(gateway, GatewayCommand::AddClient { client: peer });
    let again = several.world.client_peer(gateway, clients[1], ClientId(2), (ipv4, ipv6), 0.0);
    several.gateway(gateway, GatewayCommand::AddClient { client: again });
    several.gateway(gateway, GatewayCommand::RemoveClient { client: id });

    let proxy = several.proxy(clients[1], "app.site.example");
    several.send(clients[1], udp((address_of(clients[1]), 5000), (proxy, 80), b"x"));
    several.advance(1000);
    let (source, real) = addresses(&several.handed(gateway)[0]);
    several.handed(clients[1]);
    several.send(gateway, udp((real, 80), (source, 5000), b"back"));
    several.advance(2000);

    assert_eq!(several.handed(clients[1]).len(), 1);
}
