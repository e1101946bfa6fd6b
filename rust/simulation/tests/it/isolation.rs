//! Clients of one Gateway never reach each other: not directly, not by a network that holds the tunnel's
//! ranges, not by a name that leads to a tunnel address, not by way of the Gateway's host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns::ResourceId;
use nat::control::{AssignedIps, ClientId};
use packet::{Instant, SendBuffer, TcpFlags, Train, TrainSink, build};
use tunnel::messages::{
    ClientPeer, Command, Endpoint as PeerEndpoint, Event, GatewayCommand, GatewayEvent,
    InspectGateway, LookupFamily, LookupResult,
};
use tunnel::{Connections, Datagrams};
use tunnel::{Endpoint, Gateway, GatewayConfig, Io, SEND_BUFFER_BYTES, SEND_BUFFER_RUNS};

use crate::rig::{cidr_resource, dns_resource, tcp, udp};

const ATTACKER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 64, 0, 1), Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 1));
const VICTIM: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 64, 0, 9), Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 9));
const NAME: &str = "victim.site.example";
const PROXIES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(100, 96, 0, 1), Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0x8000, 0, 0, 0, 1));
const NAMES: ResourceId = ResourceId(1);
/// Datagrams that arrive together.
const BATCH: usize = 64;
const PACKETS: u64 = 10_000_000;
/// Packets from addresses that are nobody's, or somebody else's.
const SPOOFED: u64 = 1_000_000;

/// Counts what leaves towards the host, and where to.
#[derive(Default)]
struct Host {
    packets: u64,
}

impl TrainSink for Host {
    fn accept(&mut self, train: &Train<'_>) {
        self.packets += train.segments() as u64;
    }
}

fn remote(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 52_625))
}

struct Site {
    gateway: Gateway,
    send: SendBuffer,
    host: Host,
    now: Instant,
    /// Datagrams for the victim.
    crossed: u64,
}

impl Site {
    fn new() -> Self {
        let config = GatewayConfig::new(
            Ipv4Addr::new(100, 64, 0, 2),
            Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0, 0, 0, 0, 2),
            1,
        );
        let mut site = Self {
            gateway: Gateway::new(config, Connections::default()),
            send: SendBuffer::new(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS),
            host: Host::default(),
            now: Instant::ZERO,
            crossed: 0,
        };
        for (number, (ipv4, ipv6)) in [(1, ATTACKER), (9, VICTIM)] {
            let id = ClientId(number.into());
            let index = u32::from(number) << 8;
            let endpoint = PeerEndpoint::Plain {
                address: remote(number),
                local_index: index,
                remote_index: index,
                ready_after: 0.0,
            };
            site.command(GatewayCommand::AddClient {
                client: ClientPeer { id, ipv4, ipv6, endpoint },
            });
            let mut resources = vec![dns_resource(NAMES, "*.site.example", Vec::new())];
            let networks =
                ["100.64.0.0/10", "100.64.0.9/32", "fd00:2021:1111::/48", "0.0.0.0/0", "::/0"];
            for (at, network) in networks.iter().enumerate() {
                resources.push(cidr_resource(ResourceId(10 + at as u128), network));
            }
            for resource in resources {
                let expires_in = None;
                site.command(GatewayCommand::Authorize { client: id, resource, expires_in });
            }
        }
        site.announce();
        site
    }

    /// The attacker announces a name that leads to the victim.
    fn announce(&mut self) {
        let message = AssignedIps {
            resource: NAMES,
            domain: NAME.to_owned(),
            proxy_ips: vec![PROXIES.0.into(), PROXIES.1.into()],
            id: Some(1),
            run: Some(1),
        };
        let mut packet = [0; 1280];
        let body = message.encode(&mut packet[tunnel::p2p::BODY..]).expect("it fits");
        let kind = tunnel::p2p::EventType::AssignedIps;
        let len = tunnel::p2p::finish(&mut packet, kind, body).expect("it fits");
        self.arrive(&mut sealed(&[packet[..len].to_vec()]), 1);
        while let Some(event) = self.gateway.poll_event() {
            if let Event::Gateway(GatewayEvent::ResolveDomain { lookup, family, .. }) = event {
                let victim: IpAddr = match family {
                    LookupFamily::Ipv4 => VICTIM.0.into(),
                    LookupFamily::Ipv6 => VICTIM.1.into(),
                };
                let result = LookupResult::Addresses(vec![(victim, 60)]);
                self.command(GatewayCommand::DomainResolved { lookup, family, result });
            }
        }
    }

    fn command(&mut self, command: GatewayCommand) {
        let mut io = Io { send: &mut self.send, host: &mut self.host };
        let given = self.gateway.handle_command(Command::Gateway(command), self.now, &mut io);
        given.expect("a Gateway's");
        self.flush();
    }

    fn arrive(&mut self, bytes: &mut [u8], count: usize) {
        let size = bytes.len() / count;
        let datagrams = Datagrams::one(remote(1), bytes, size, 0);
        let mut io = Io { send: &mut self.send, host: &mut self.host };
        self.gateway.handle_network(datagrams, self.now, &mut io);
        self.flush();
    }

    fn forwarded(&mut self, packet: &[u8]) {
        let mut packet = packet.to_vec();
        let train = Train::single(&mut packet).expect("valid");
        let mut io = Io { send: &mut self.send, host: &mut self.host };
        self.gateway.handle_tun(train, self.now, &mut io);
        self.flush();
    }

    /// How many packets were refused because they may not be sent.
    fn prohibited(&mut self) -> u64 {
        let what = InspectGateway::Counters;
        let asked = GatewayCommand::Inspect { id: 1, what, cursor: 0 };
        let mut io = Io { send: &mut self.send, host: &mut self.host };
        let given = self.gateway.handle_command(Command::Gateway(asked), self.now, &mut io);
        given.expect("a Gateway's");
        let found =
            std::iter::from_fn(|| self.gateway.poll_event()).find_map(|event| match event {
                Event::Gateway(GatewayEvent::Inspected { rows, .. }) => {
                    rows[0]["refused"]["prohibited"].as_u64()
                }
                _ => None,
            });
        found.expect("a counter")
    }

    fn flush(&mut self) {
        let crossed = self.send.iter().filter(|(run, _)| run.route.remote != remote(1));
        self.crossed +=
            crossed.map(|(run, _)| run.len.div_ceil(run.datagram_size) as u64).sum::<u64>();
        self.send.clear();
        while self.gateway.poll_event().is_some() {}
    }
}

/// Packets of the attacker as datagrams, all of one length.
fn sealed(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for packet in packets {
        bytes.extend([4, 0, 0, 0]);
        bytes.extend(0x100_u32.to_le_bytes());
        bytes.extend([0; 8]);
        bytes.extend(packet);
        bytes.extend([0; 16]);
    }
    bytes
}

/// One packet of each kind that might find a way; `port` tells those of one kind apart.
fn attempts(port: u16) -> Vec<Vec<u8>> {
    let ends: [(IpAddr, Vec<IpAddr>); 2] = [
        (ATTACKER.0.into(), vec![VICTIM.0.into(), PROXIES.0.into()]),
        (ATTACKER.1.into(), vec![VICTIM.1.into(), PROXIES.1.into()]),
    ];
    let mut packets = Vec::new();
    for (from, destinations) in ends {
        for to in destinations {
            packets.push(udp((from, port), (to, 22), b"hello"));
            packets.push(tcp((from, port), (to, 22), 1, TcpFlags::SYN));
            packets.push(tcp((from, port), (to, port), 1, TcpFlags::ACK));
            let mut echo = vec![0; 200];
            let len = build::echo(from, to, port, 1, true, b"hello", &mut echo);
            echo.truncate(len.expect("it fits"));
            packets.push(echo);
        }
    }
    // In the victim's name, to itself and to the attacker.
    packets.push(udp((VICTIM.0, port), (VICTIM.0, 22), b"hello"));
    packets.push(udp((VICTIM.0, port), (ATTACKER.0, 22), b"hello"));
    // Neither TCP nor UDP: generic routing encapsulation.
    let mut tunnelled = udp((ATTACKER.0, port), (VICTIM.0, 22), b"hello");
    tunnelled[9] = 47;
    let sum: u32 = (0..20)
        .step_by(2)
        .filter(|at| *at != 10)
        .map(|at| u32::from(tunnelled[at]) << 8 | u32::from(tunnelled[at + 1]))
        .sum();
    let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
    tunnelled[10..12].copy_from_slice(&checksum.to_be_bytes());
    packets.push(tunnelled);
    packets
}

#[test]
fn of_ten_million_packets_between_two_clients_none_crosses() {
    let mut site = Site::new();
    let kinds = attempts(5000).len();
    let batches: Vec<Vec<u8>> = (0..kinds)
        .map(|kind| {
            let packets = (0..BATCH as u16).map(|i| attempts(5000 + 97 * i).swap_remove(kind));
            sealed(&packets.collect::<Vec<_>>())
        })
        .collect();
    let (mut sent, mut room) = (0, Vec::new());
    site.host.packets = 0;
    while sent < PACKETS {
        for batch in &batches {
            room.clone_from(batch);
            site.arrive(&mut room, BATCH);
            sent += BATCH as u64;
        }
        site.now += Duration::from_millis(1);
    }

    assert_eq!((site.host.packets, site.crossed), (0, 0), "of {sent}");
}

/// A WireGuard peer may say in every packet that it is somebody else; allowed is what the Gateway says.
#[test]
fn of_a_million_packets_from_random_sources_each_is_refused_and_counted() {
    let mut site = Site::new();
    // To the site, where packets from the attacker's own addresses do come through.
    let (site4, site6) =
        (Ipv4Addr::new(10, 77, 0, 11), Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 11));
    let packet = |from: IpAddr, to: IpAddr| udp((from, 5000), (to, 22), b"hello");
    for own in [packet(ATTACKER.0.into(), site4.into()), packet(ATTACKER.1.into(), site6.into())] {
        site.arrive(&mut sealed(&[own]), 1);
    }
    assert_eq!((site.host.packets, site.prohibited()), (2, 0));

    let mut state = 1_u128;
    let mut random = || {
        state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
        (state >> 64) as u32
    };
    let mut sent = 0;
    while sent < SPOOFED {
        // Unicast and not loopback: what is neither is refused for that.
        let sources: [Ipv4Addr; BATCH] =
            std::array::from_fn(|_| (0x8000_0000 + random() % 0x6000_0000).into());
        let ipv4: Vec<_> = sources.iter().map(|of| packet((*of).into(), site4.into())).collect();
        let prefix = u128::from(ATTACKER.1) >> 32 << 32;
        let sources = std::array::from_fn::<_, BATCH, _>(|_| prefix | u128::from(random() | 2));
        let ipv6 = sources.iter().map(|of| packet(Ipv6Addr::from(*of).into(), site6.into()));
        for batch in [ipv4, ipv6.collect()] {
            site.arrive(&mut sealed(&batch), BATCH);
            sent += BATCH as u64;
        }
        site.now += Duration::from_millis(1);
    }

    assert_eq!((site.host.packets, site.prohibited()), (2, sent));
}

#[test]
fn what_the_gateways_host_forwards_between_two_clients_is_dropped() {
    let mut site = Site::new();
    for port in 1..1000 {
        for packet in attempts(port) {
            site.forwarded(&packet);
        }
    }

    assert_eq!((site.host.packets, site.crossed), (0, 0));
}
