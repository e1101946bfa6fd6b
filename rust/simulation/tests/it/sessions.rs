//! Either process is replaced by one that takes over its sessions while traffic goes both ways (R38).

use std::time::Duration;

use connection::{Entropy, Exported, Node, PrivateKey};
use dns::ResourceId;
use link::{Impairment, LinkConfig};
use nat::state::StateError;
use packet::{Class, TcpFlags};
use simulation::pair::{CLIENT, CLIENT_IPV4, CLIENT_IPV6, GATEWAY, GATEWAY_IPV4, GATEWAY_IPV6};
use simulation::world::World;
use tunnel::messages::{
    ClientCommand, ClientPeer, Command, Endpoint as PeerEndpoint, GatewayCommand, GatewayPeer,
    KeyText, ProfileName,
};
use tunnel::{Client, ClientConfig, Connections, Endpoint, Gateway, GatewayConfig, InheritError};

use crate::rig::{CLIENT as CLIENT_ADDRESS, at, cidr_resource, tcp};

const REAL: [u8; 4] = [10, 77, 0, 11];
const RESOURCE: ResourceId = ResourceId(4);
/// One way between the two.
const LATENCY: Duration = Duration::from_millis(5);

struct Two {
    world: World,
    sequence: u32,
}

impl Two {
    /// A Client and a Gateway with one flow.
    fn talking() -> Self {
        let mut two = Self { world: World::default(), sequence: 1 };
        for of in [0, 1] {
            let endpoint = two.endpoint(of);
            two.world.add(endpoint);
        }
        let slow = Impairment { latency: LATENCY, ..Impairment::default() };
        let link = || LinkConfig { data: slow, control: slow };
        two.world.join(0, 1, link(), link(), 1);
        two.tell(1);
        two.tell(0);
        two.packet(0, TcpFlags::SYN);
        two.advance(100);
        two.packet(1, TcpFlags::SYN | TcpFlags::ACK);
        two.advance(100);
        assert_eq!(two.arrived(), [1, 1]);
        two
    }

    fn endpoint(&self, of: usize) -> Box<dyn Endpoint> {
        let number = of as u8 + 1;
        let now = self.world.now();
        let wall = Duration::from_secs(1_800_000_000);
        let node = Node::new(key(of), Entropy::new([10 + number; 32]), wall, now);
        let connections = Connections::wireguard(node, Entropy::new([20 + number; 32]));
        if of == 0 {
            let config = ClientConfig::new(CLIENT_IPV4, CLIENT_IPV6, 1, 1);
            Box::new(Client::new(config, connections, now))
        } else {
            let config = GatewayConfig::new(GATEWAY_IPV4, GATEWAY_IPV6, 1);
            Box::new(Gateway::new(config, connections))
        }
    }

    /// What files say of the other end.
    fn tell(&mut self, of: usize) {
        self.tell_key(of, 1 - of);
    }

    /// The same, with the key that has this number.
    fn tell_key(&mut self, of: usize, number: usize) {
        let endpoint = PeerEndpoint::Wireguard {
            public_key: KeyText(key(number).public_key()),
            preshared_key: None,
            address: (of == 0).then(|| self.world.address_of(1)),
            persistent_keepalive: None,
            profile: ProfileName::Firezone,
        };
        let resource = cidr_resource(RESOURCE, "10.77.0.0/24");
        let commands = if of == 0 {
            let (id, ipv4, ipv6) = (GATEWAY, GATEWAY_IPV4, GATEWAY_IPV6);
            let gateway = GatewayPeer { id, ipv4, ipv6, site: None, endpoint };
            [
                Command::Client(ClientCommand::SetResource { resource }),
                Command::Client(ClientCommand::Authorize { resource: RESOURCE, gateway }),
            ]
        } else {
            let (id, ipv4, ipv6) = (CLIENT, CLIENT_IPV4, CLIENT_IPV6);
            let client = ClientPeer { id, ipv4, ipv6, endpoint };
            let (client_id, expires_in) = (CLIENT, None);
            [
                Command::Gateway(GatewayCommand::AddClient { client }),
                Command::Gateway(GatewayCommand::Authorize {
                    client: client_id,
                    resource,
                    expires_in,
                }),
            ]
        };
        commands.into_iter().for_each(|command| self.world.command(of, command));
    }

    /// The host of an end sends a segment of the flow.
    fn packet(&mut self, from: usize, flags: TcpFlags) {
        self.sequence += 1;
        let (client, site) = ((CLIENT_ADDRESS, 5000), (REAL, 443));
        let (source, destination) = if from == 0 { (client, site) } else { (site, client) };
        let mut packet = tcp(source, destination, self.sequence, flags);
        self.world.send(from, &mut packet).expect("valid");
    }

    fn advance(&mut self, millis: u64) {
        self.world.advance(self.world.now() + Duration::from_millis(millis));
    }

    /// How many packets each host was handed.
    fn arrived(&mut self) -> [usize; 2] {
        [0, 1].map(|of| self.world.take_handed(of).len())
    }

    /// Handshake messages that both sent so far.
    fn handshakes(&self) -> u64 {
        let sent = |a, b| self.world.link_counters(a, b, Class::Control).sent;
        sent(0, 1) + sent(1, 0)
    }
}

fn key(of: usize) -> PrivateKey {
    PrivateKey::clamped([of as u8 + 1; 32])
}

#[test]
fn r38_traffic_goes_on_both_ways_without_a_handshake_whoever_is_replaced() {
    for of in [0, 1] {
        let mut two = Two::talking();
        let before = two.handshakes();
        let state = two.world.export_state(of);
        let exported = two.world.export_sessions_and_stop(of).expect("sessions");
        // Datagrams that arrive meanwhile wait at the socket; in this world they come later.
        two.advance(700);
        let mut new = two.endpoint(of);
        assert_eq!(new.inherit_sessions(&exported, state.as_deref(), two.world.now()), Ok(1));
        let old = two.world.replace(of, new);
        two.tell(of);
        if let Some(state) = state {
            let since = Duration::from_millis(700);
            two.world.import_state(of, &state, since).expect("it fits");
        }
        for _ in 0..10 {
            // The site speaks first: a flow that only receives says nothing by itself.
            two.packet(1, TcpFlags::ACK);
            two.advance(50);
            two.packet(0, TcpFlags::ACK);
            two.advance(50);
        }
        assert_eq!(two.arrived(), [10, 10], "{of} was replaced");
        assert_eq!(two.handshakes(), before);

        two.world.replace(of, old);
        two.packet(of, TcpFlags::ACK);
        two.advance(50);
        assert_eq!(two.arrived(), [0, 0], "the old one seals nothing");
    }
}

#[test]
fn what_is_sealed_for_a_former_key_neither_leaves_nor_arrives() {
    for of in [0, 1] {
        let mut two = Two::talking();
        two.packet(1, TcpFlags::ACK);
        two.advance(50);
        two.packet(0, TcpFlags::ACK);
        two.advance(50);
        assert_eq!(two.arrived(), [1, 1]);
        let sent = |two: &Two| two.world.link_counters(of, 1 - of, Class::Data).sent;

        two.tell_key(of, 7);
        let before = sent(&two);
        for _ in 0..20 {
            two.packet(1 - of, TcpFlags::ACK);
            two.packet(of, TcpFlags::ACK);
            two.advance(50);
        }
        assert_eq!((two.arrived(), sent(&two)), ([0, 0], before), "{of} was told another key");

        two.tell(of);
        let mut arrived = [0, 0];
        for _ in 0..20 {
            two.packet(0, TcpFlags::ACK);
            two.advance(500);
            two.packet(1, TcpFlags::ACK);
            two.advance(500);
            arrived = two.arrived();
        }
        assert_eq!(arrived, [1, 1], "by a handshake they go on");
    }
}

#[test]
fn r38_without_whole_sessions_the_ends_greet_each_other_anew() {
    let mut two = Two::talking();
    let state = two.world.export_state(1).expect("a Gateway's");
    let exported = two.world.export_sessions_and_stop(1).expect("sessions");
    let mut damaged = exported.as_bytes().to_vec();
    damaged[100] ^= 1;
    assert!(Exported::from_bytes(damaged.into()).is_err());
    let new = two.endpoint(1);
    two.world.replace(1, new);
    two.tell(1);
    two.world.import_state(1, &state, Duration::ZERO).expect("it fits");

    two.packet(0, TcpFlags::ACK);
    two.advance(16_000);
    two.packet(0, TcpFlags::ACK);
    two.advance(100);

    assert!(two.world.now() < at(20_000));
    assert!(two.arrived()[1] > 0);
}

#[test]
fn r38_a_gateway_takes_no_sessions_without_their_nat_state() {
    let mut two = Two::talking();
    let mut state = two.world.export_state(1).expect("a Gateway's");
    let exported = two.world.export_sessions_and_stop(1).expect("sessions");
    let now = two.world.now();
    let mut new = two.endpoint(1);
    assert_eq!(new.inherit_sessions(&exported, None, now), Err(InheritError::NoState));
    let middle = state.len() / 2;
    state[middle] ^= 1;
    let refused = new.inherit_sessions(&exported, Some(&state), now);
    assert_eq!(refused, Err(InheritError::State(StateError::Damaged)));
    two.world.replace(1, new);
    two.tell(1);

    // The Client learns of the new process by its handshake, and opens the flow anew.
    two.packet(0, TcpFlags::ACK);
    two.advance(16_000);
    two.arrived();
    two.packet(1, TcpFlags::ACK);
    two.advance(100);

    assert_eq!(two.arrived(), [1, 0]);
}
