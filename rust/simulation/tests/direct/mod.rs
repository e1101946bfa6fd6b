//! A Client and a Gateway without a link between: what one writes into its send buffer the other
//! opens. Both are made as the program makes them, and nothing is copied or kept for a packet but
//! into memory that is there already; so allocations of the path can be counted. Between them are a
//! laboratory's sessions, or WireGuard's.

// Each binary uses its part.
#![allow(dead_code)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use connection::{Entropy, Node, PrivateKey};
use dns::{IpStack, ResourceId};
use domain::base::iana::Rtype;
use packet::{Instant, MAX_PACKET, Run, SendBuffer, Train, TrainSink, build};
use simulation::pair::{CLIENT, CLIENT_IPV4, CLIENT_IPV6, GATEWAY, GATEWAY_IPV4, GATEWAY_IPV6};
use simulation::scenario::query;
use tunnel::messages::{
    ClientCommand, ClientEvent, ClientPeer, Command, Endpoint as PeerEndpoint, Event,
    GatewayCommand, GatewayEvent, GatewayPeer, KeyText, LookupFamily, LookupResult, ProfileName,
    ProxyRecord, Resource, Target,
};
use tunnel::{
    Client, ClientConfig, Connections, Datagrams, Endpoint, Gateway, GatewayConfig, Io,
    SEND_BUFFER_BYTES, SEND_BUFFER_RUNS,
};

pub(crate) const RESOURCE: ResourceId = ResourceId(3);
pub(crate) const NAME: &str = "app.site.example";
pub(crate) const REAL: [u8; 4] = [10, 77, 0, 11];
pub(crate) const CLIENT_ADDRESS: [u8; 4] = CLIENT_IPV4.octets();
const SENTINEL: [u8; 4] = [100, 100, 111, 1];
/// Where each end is reached.
const CLIENT_SOCKET: ([u8; 4], u16) = ([192, 0, 2, 0], 52_625);
const GATEWAY_SOCKET: ([u8; 4], u16) = ([192, 0, 2, 1], 52_625);
/// When the ends begin.
const NOW: Instant = Instant::from_nanos(1_000_000_000);

/// What an endpoint handed to its host: how many trains, how many packets, and the first bytes of
/// each payload as far as there is room.
pub(crate) struct Host {
    pub(crate) trains: u64,
    pub(crate) packets: u64,
    pub(crate) first_bytes: Vec<u8>,
    pub(crate) last: Box<[u8; MAX_PACKET]>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let last = Box::new([0; MAX_PACKET]);
        Self { trains: 0, packets: 0, first_bytes: Vec::with_capacity(64), last }
    }
}

impl TrainSink for Host {
    fn accept(&mut self, train: &Train<'_>) {
        self.trains += 1;
        self.packets += train.segments() as u64;
        for i in 0..train.segments() {
            train.write_segment(i, &mut self.last[..]);
            let byte = train.payload(i).first().copied().unwrap_or_default();
            if self.first_bytes.len() < self.first_bytes.capacity() {
                self.first_bytes.push(byte);
            }
        }
    }
}

/// The two ends.
pub(crate) struct Direct {
    pub(crate) client: Client,
    pub(crate) gateway: Gateway,
    pub(crate) client_host: Host,
    pub(crate) gateway_host: Host,
    pub(crate) now: Instant,
    /// Whether look-ups are answered, and announcements with them.
    pub(crate) answers: bool,
    up: SendBuffer,
    down: SendBuffer,
    wire: Vec<u8>,
    proxies: Option<ProxyRecord>,
    open: Vec<(u64, LookupFamily)>,
}

impl Direct {
    /// Both ends, joined, with access to `*.site.example`.
    pub(crate) fn new() -> Self {
        Self::with_send_buffer(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS)
    }

    /// The same with a send buffer of another size at the Client.
    pub(crate) fn with_send_buffer(bytes: usize, runs: usize) -> Self {
        let endpoint = |socket: ([u8; 4], u16), local_index, remote_index| PeerEndpoint::Plain {
            address: SocketAddr::from(socket),
            local_index,
            remote_index,
            ready_after: 0.0,
        };
        let peers = [endpoint(CLIENT_SOCKET, 0x201, 0x101), endpoint(GATEWAY_SOCKET, 0x101, 0x201)];
        let connections = [Connections::default(), Connections::default()];
        Self::joined((bytes, runs), connections, peers)
    }

    /// The same with WireGuard between the ends.
    pub(crate) fn wireguard() -> Self {
        let key = |number| PrivateKey::clamped([number; 32]);
        let connections = [1, 2].map(|number| {
            let entropy = |of: u8| Entropy::new([of + number; 32]);
            let node = Node::new(key(number), entropy(10), Duration::from_secs(1), NOW);
            Connections::wireguard(node, entropy(20))
        });
        let peers = [(1, CLIENT_SOCKET), (2, GATEWAY_SOCKET)].map(|(number, socket)| {
            PeerEndpoint::Wireguard {
                public_key: KeyText(key(number).public_key()),
                preshared_key: None,
                address: Some(socket.into()),
                persistent_keepalive: None,
                profile: ProfileName::Firezone,
            }
        });
        Self::joined((SEND_BUFFER_BYTES, SEND_BUFFER_RUNS), connections, peers)
    }

    /// Both ends over these connections; `peers` is what each is to the other.
    fn joined(
        (bytes, runs): (usize, usize),
        [client_connections, gateway_connections]: [Connections; 2],
        peers: [PeerEndpoint; 2],
    ) -> Self {
        let mut client = ClientConfig::new(CLIENT_IPV4, CLIENT_IPV6, 1, 1);
        client.refresh_floor = Duration::ZERO;
        let mut direct = Self {
            client: Client::new(client, client_connections, NOW),
            gateway: Gateway::new(
                GatewayConfig::new(GATEWAY_IPV4, GATEWAY_IPV6, 1),
                gateway_connections,
            ),
            client_host: Host::new(),
            gateway_host: Host::new(),
            now: NOW,
            answers: true,
            up: SendBuffer::new(bytes, runs),
            down: SendBuffer::new(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS),
            wire: vec![0; 65_536],
            proxies: None,
            open: Vec::new(),
        };
        direct.introduce(peers);
        direct
    }

    fn introduce(&mut self, [client, gateway]: [PeerEndpoint; 2]) {
        let (ipv4, ipv6, id) = (CLIENT_IPV4, CLIENT_IPV6, CLIENT);
        let client = ClientPeer { id, ipv4, ipv6, endpoint: client };
        let (ipv4, ipv6, id) = (GATEWAY_IPV4, GATEWAY_IPV6, GATEWAY);
        let gateway = GatewayPeer { id, ipv4, ipv6, site: None, endpoint: gateway };
        let target = Target::Dns { address: "*.site.example".into(), ip_stack: IpStack::Dual };
        let resource = Resource { id: RESOURCE, name: String::new(), target, filters: Vec::new() };
        self.command(Command::Gateway(GatewayCommand::AddClient { client }));
        self.command(Command::Gateway(GatewayCommand::Authorize {
            client: CLIENT,
            resource: resource.clone(),
            expires_in: None,
        }));
        self.command(Command::Client(ClientCommand::SetResource { resource }));
        let resource = RESOURCE;
        self.command(Command::Client(ClientCommand::Authorize { resource, gateway }));
    }

    pub(crate) fn command(&mut self, command: Command) {
        let mut up = Io { send: &mut self.up, host: &mut self.client_host };
        let mut down = Io { send: &mut self.down, host: &mut self.gateway_host };
        let given = match command {
            Command::Client(_) => self.client.handle_command(command, self.now, &mut up),
            Command::Gateway(_) => self.gateway.handle_command(command, self.now, &mut down),
        };
        given.expect("a command for this role");
        self.settle();
    }

    /// The name's proxies; asks for it.
    pub(crate) fn query(&mut self) -> ProxyRecord {
        let mut packet = [0; MAX_PACKET];
        let (from, to) = ((CLIENT_ADDRESS, 40_000).into(), (SENTINEL, 53).into());
        let question = query(NAME, Rtype::A, 7);
        let len = build::udp(from, to, &question, &mut packet).expect("it fits");
        self.client_sends(Train::single(&mut packet[..len]).expect("valid"));
        self.settle();
        self.proxies.clone().expect("the name was given proxies")
    }

    /// The Client's host sends; what follows from it is carried to where it goes.
    pub(crate) fn client_sends(&mut self, train: Train<'_>) {
        let mut io = Io { send: &mut self.up, host: &mut self.client_host };
        self.client.handle_tun(train, self.now, &mut io);
        self.carry();
    }

    /// The site sends.
    pub(crate) fn site_sends(&mut self, train: Train<'_>) {
        let mut io = Io { send: &mut self.down, host: &mut self.gateway_host };
        self.gateway.handle_tun(train, self.now, &mut io);
        self.carry();
    }

    /// Lets the timers of both ends act, as long as any is due.
    pub(crate) fn wake(&mut self) {
        let due = |at: Option<(Instant, tunnel::Reason)>, now| at.is_some_and(|(at, _)| at <= now);
        while due(self.client.poll_timeout(self.now), self.now) {
            self.wake_client();
        }
        while due(self.gateway.poll_timeout(self.now), self.now) {
            let mut io = Io { send: &mut self.down, host: &mut self.gateway_host };
            self.gateway.handle_timeout(self.now, &mut io);
            self.carry();
        }
        self.settle();
    }

    /// Lets the Client's timers act once.
    pub(crate) fn wake_client(&mut self) {
        let mut io = Io { send: &mut self.up, host: &mut self.client_host };
        self.client.handle_timeout(self.now, &mut io);
        self.carry();
    }

    /// The Client's part of the way out, again and again; what it sends goes nowhere.
    pub(crate) fn only_client_sends(&mut self, packet: &[u8], count: usize) {
        let mut bytes = packet.to_vec();
        for _ in 0..count {
            bytes.copy_from_slice(packet);
            let train = Train::single(&mut bytes).expect("valid");
            let mut io = Io { send: &mut self.up, host: &mut self.client_host };
            self.client.handle_tun(train, self.now, &mut io);
            self.up.clear();
        }
    }

    /// The Gateway's part of the way back.
    pub(crate) fn only_site_sends(&mut self, packet: &[u8], count: usize) {
        let mut bytes = packet.to_vec();
        for _ in 0..count {
            bytes.copy_from_slice(packet);
            let train = Train::single(&mut bytes).expect("valid");
            let mut io = Io { send: &mut self.down, host: &mut self.gateway_host };
            self.gateway.handle_tun(train, self.now, &mut io);
            self.down.clear();
        }
    }

    /// The Gateway's part of the way out.
    pub(crate) fn only_gateway_receives(&mut self, packet: &[u8], count: usize) {
        let mut bytes = packet.to_vec();
        let train = Train::single(&mut bytes).expect("valid");
        let mut io = Io { send: &mut self.up, host: &mut self.client_host };
        self.client.handle_tun(train, self.now, &mut io);
        let (run, sealed) = self.up.iter().next().expect("it was sealed");
        let (from, mut wire) = (run.route.remote, vec![0; sealed.len()]);
        for _ in 0..count {
            wire.copy_from_slice(sealed);
            let (size, mut io) =
                (wire.len(), Io { send: &mut self.down, host: &mut self.gateway_host });
            let arrived = Datagrams::one(from, &mut wire, size, 0);
            self.gateway.handle_network(arrived, self.now, &mut io);
        }
        self.up.clear();
    }

    /// The Client's part of the way back.
    pub(crate) fn only_client_receives(&mut self, packet: &[u8], count: usize) {
        let mut bytes = packet.to_vec();
        let train = Train::single(&mut bytes).expect("valid");
        let mut io = Io { send: &mut self.down, host: &mut self.gateway_host };
        self.gateway.handle_tun(train, self.now, &mut io);
        let (run, sealed) = self.down.iter().next().expect("it was sealed");
        let (from, mut wire) = (run.route.remote, vec![0; sealed.len()]);
        for _ in 0..count {
            wire.copy_from_slice(sealed);
            let (size, mut io) =
                (wire.len(), Io { send: &mut self.up, host: &mut self.client_host });
            let arrived = Datagrams::one(from, &mut wire, size, 0);
            self.client.handle_network(arrived, self.now, &mut io);
        }
        self.down.clear();
    }

    /// Datagrams arrive.
    fn carry(&mut self) {
        let Self { client, gateway, client_host, gateway_host, up, down, wire, now, .. } = self;
        while !up.is_empty() || !down.is_empty() {
            for (run, bytes) in up.iter() {
                let wire = &mut wire[..bytes.len()];
                wire.copy_from_slice(bytes);
                let mut io = Io { send: &mut *down, host: &mut *gateway_host };
                gateway.handle_network(arrived(CLIENT_SOCKET, run, wire), *now, &mut io);
            }
            up.clear();
            for (run, bytes) in down.iter() {
                let wire = &mut wire[..bytes.len()];
                wire.copy_from_slice(bytes);
                let mut io = Io { send: &mut *up, host: &mut *client_host };
                client.handle_network(arrived(GATEWAY_SOCKET, run, wire), *now, &mut io);
            }
            down.clear();
        }
    }

    /// Carries, and answers what both ends ask of their orchestration.
    pub(crate) fn settle(&mut self) {
        loop {
            self.carry();
            while let Some(event) = self.client.poll_event() {
                if let Event::Client(ClientEvent::ProxiesAssigned { record }) = event {
                    self.proxies = Some(record);
                }
            }
            while let Some(event) = self.gateway.poll_event() {
                if let Event::Gateway(GatewayEvent::ResolveDomain { lookup, family, .. }) = event {
                    self.open.push((lookup, family));
                }
            }
            if !self.answers || self.open.is_empty() {
                return;
            }
            for (lookup, family) in std::mem::take(&mut self.open) {
                self.resolve(lookup, family);
            }
        }
    }

    fn resolve(&mut self, lookup: u64, family: LookupFamily) {
        let result = match family {
            LookupFamily::Ipv4 => LookupResult::Addresses(vec![(IpAddr::from(REAL), 1)]),
            LookupFamily::Ipv6 => LookupResult::NoData,
        };
        let command = GatewayCommand::DomainResolved { lookup, family, result };
        let mut io = Io { send: &mut self.down, host: &mut self.gateway_host };
        let given = self.gateway.handle_command(Command::Gateway(command), self.now, &mut io);
        given.expect("a Gateway's command");
    }
}

/// Datagrams of one flow behind one another, and where each lies.
pub(crate) fn datagrams(
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    count: usize,
) -> (Vec<u8>, Vec<(u32, u32)>) {
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    for i in 0..count {
        let mut packet = [0; MAX_PACKET];
        let payload = [i as u8; 64];
        let len = build::udp(from.into(), to.into(), &payload, &mut packet).expect("it fits");
        ranges.push((bytes.len() as u32, len as u32));
        bytes.extend_from_slice(&packet[..len]);
    }
    (bytes, ranges)
}

fn arrived<'a>(from: ([u8; 4], u16), run: &Run, bytes: &'a mut [u8]) -> Datagrams<'a> {
    Datagrams::one(from.into(), bytes, run.datagram_size, run.ecn)
}
