//! Whether a Gateway is alive: who is asked, when, and what follows.

use dns::ResourceId;
use nat::control::GatewayId;
use packet::{Transport, parse};
use simulation::world::Station;
use tunnel::messages::{ClientEvent, InspectClient, Resource};

use crate::rig::{at, dns_resource, millis, udp};
use crate::several::{Several, address_of};

pub(crate) const NAME: &str = "app.site.example";

pub(crate) fn resource() -> Resource {
    dns_resource(ResourceId(1), "*.site.example", Vec::new())
}

/// A Client whose resource the first of two Gateways serves, and the proxy of a name.
pub(crate) struct Two {
    pub(crate) several: Several,
    pub(crate) gateways: [Station; 2],
    pub(crate) client: Station,
    pub(crate) proxy: std::net::Ipv4Addr,
}

impl Two {
    pub(crate) fn new() -> Self {
        let mut several = Several::new();
        let gateways =
            [several.add_gateway(0, [10, 1, 0, 1]), several.add_gateway(1, [10, 2, 0, 1])];
        let client = several.add_client(2);
        for gateway in gateways.into_iter().rev() {
            several.connect(client, gateway, &resource());
        }
        let proxy = several.proxy(client, NAME);
        several.advance(1000);
        several.handed(client);
        Self { several, gateways, client, proxy }
    }

    /// The first Gateway is killed.
    pub(crate) fn kill(&mut self) {
        self.several.world.part(self.client, self.gateways[0]);
    }

    pub(crate) fn revive(&mut self) {
        let link = link::LinkConfig::default();
        self.several.world.join(self.client, self.gateways[0], link, link, 1);
    }

    /// Orchestration names the second Gateway.
    pub(crate) fn move_on(&mut self) {
        let gateway = self.gateways[1];
        self.several.authorize(self.client, gateway, resource().id);
    }

    pub(crate) fn datagram(&mut self, port: u16, payload: &[u8]) {
        let packet = udp((address_of(self.client), port), (self.proxy, 80), payload);
        self.several.send(self.client, packet);
    }

    pub(crate) fn events(&self, wanted: &ClientEvent) -> Vec<packet::Instant> {
        let events = self.several.client_events.iter();
        events.filter(|(_, event)| event == wanted).map(|(at, _)| *at).collect()
    }
}

fn dead(gateway: Station) -> ClientEvent {
    ClientEvent::GatewayDead { gateway: GatewayId(gateway as u128) }
}

#[test]
fn a_gateway_that_answers_nothing_for_4_s_is_dead_and_another_is_asked_for() {
    let mut two = Two::new();
    two.datagram(5000, b"before");
    two.several.advance(2000);
    two.kill();
    two.datagram(5000, b"unanswered");

    two.several.advance(10_000);

    let gateway = two.gateways[0];
    assert_eq!(two.events(&dead(gateway)), [at(6000)], "1 s, then six echoes in 3 s");
    // The dead one is not among those that are wanted.
    let gateways = vec![GatewayId(two.gateways[1] as u128)];
    let needed = ClientEvent::AuthorizationNeeded { resource: resource().id, gateways };
    assert_eq!(two.events(&needed)[0], at(6000));
}

#[test]
fn a_gateway_that_is_dead_before_a_name_is_set_up_is_found_out_too() {
    let mut two = Two::new();
    two.kill();
    let proxy = two.several.proxy(two.client, "new.site.example");
    let packet = udp((address_of(two.client), 5000), (proxy, 80), b"held");
    two.several.send(two.client, packet);

    two.several.advance(5000);
    assert_eq!(two.events(&dead(two.gateways[0])), [at(5000)]);
    two.move_on();
    two.several.advance(5100);

    assert_eq!(two.several.handed(two.gateways[1]).len(), 1, "what was held goes to the other");
}

#[test]
fn an_idle_gateway_is_asked_nothing_and_one_that_only_receives_answers_echoes() {
    let mut two = Two::new();
    let client = two.client;
    let counters = |two: &mut Two| two.several.gateway_counters(two.gateways[0]);
    two.several.advance(100_000);
    assert_eq!(counters(&mut two)["dns"]["echoes"], 0);

    for second in 100..110 {
        two.datagram(5000, b"one way");
        two.several.advance(second * 1000 + 999);
    }
    two.several.advance(120_000);

    let echoes = counters(&mut two)["dns"]["echoes"].as_u64().expect("a number");
    assert!((4..=10).contains(&echoes), "{echoes}");
    assert!(two.events(&dead(two.gateways[0])).is_empty());
    let handed = two.several.handed(client);
    assert!(handed.iter().all(|packet| !is_echo(packet)), "they are ours, not the host's");
}

fn is_echo(packet: &[u8]) -> bool {
    matches!(parse(packet).expect("valid").transport, Transport::Echo { .. })
}

#[test]
fn any_answer_brings_a_gateway_back_and_its_flows_never_noticed() {
    let mut two = Two::new();
    two.datagram(5000, b"before");
    two.several.advance(2000);
    two.several.handed(two.gateways[0]);
    two.kill();
    two.datagram(5000, b"lost");
    two.several.advance(8000);
    two.datagram(6000, b"a new flow waits");
    two.several.advance(8500);
    two.revive();

    two.several.advance(12_000);
    two.datagram(5000, b"after");
    two.several.advance(13_000);

    let alive = ClientEvent::GatewayAlive { gateway: GatewayId(two.gateways[0] as u128) };
    assert_eq!(two.events(&alive), [at(10_000)], "the dead are asked every 2 s");
    assert_eq!(two.several.handed(two.gateways[0]).len(), 2);
    assert!(two.several.handed(two.gateways[1]).is_empty());
}

#[test]
fn orchestration_may_insist_on_a_dead_gateway_and_it_is_tried_again() {
    let mut two = Two::new();
    two.kill();
    two.datagram(5000, b"x");
    two.several.advance(6000);
    let gateway = two.gateways[0];
    assert_eq!(two.events(&dead(gateway)).len(), 1);

    for _ in 0..20 {
        two.several.authorize(two.client, gateway, resource().id);
        two.datagram(5000, b"x");
        two.several.advance_by(millis(500));
    }

    let deaths = two.events(&dead(gateway)).len();
    assert!((2..=4).contains(&deaths), "no loop at the speed of events: {deaths}");
    assert_eq!(two.several.inspect(two.client, InspectClient::Counters).len(), 1);
}
