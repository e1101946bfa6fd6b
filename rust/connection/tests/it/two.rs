//! Two nodes with keys, and what goes between them.

use std::net::SocketAddr;
use std::time::Duration;

use connection::{
    Connections, Datagrams, Entropy, Node, Opened, PeerConfig, PeerIndex, PrivateKey, Profile,
    PublicKey, SealError,
};
use packet::{Class, Instant, SendBuffer, Train, build};

pub(crate) const WALL: Duration = Duration::from_secs(1_800_000_000);

pub(crate) fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

pub(crate) fn address(host: u8, port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host], port))
}

pub(crate) fn key(number: u8) -> PrivateKey {
    PrivateKey::clamped([number; 32])
}

pub(crate) fn node(number: u8) -> Connections {
    let entropy = Entropy::new([number; 32]);
    let node = Node::new(key(number), Entropy::new([100 + number; 32]), WALL, at(0));
    Connections::wireguard(node, entropy)
}

pub(crate) fn peer(of: PublicKey, remote: Option<SocketAddr>) -> PeerConfig {
    PeerConfig { public_key: of, preshared_key: None, remote, profile: Profile::FIREZONE_ICELESS }
}

/// A Client at `192.0.2.1:1000` that knows where the Gateway `192.0.2.2:2000` is, and not the other
/// way round.
pub(crate) struct Two {
    pub(crate) nodes: [Connections; 2],
    pub(crate) peers: [PeerIndex; 2],
    pub(crate) addresses: [SocketAddr; 2],
    pub(crate) received: [Vec<Vec<u8>>; 2],
    pub(crate) datagrams: Vec<Vec<u8>>,
}

impl Two {
    pub(crate) fn new() -> Self {
        let addresses = [address(1, 1000), address(2, 2000)];
        let mut nodes = [node(1), node(2)];
        let gateway = peer(key(2).public_key(), Some(addresses[1]));
        let client = peer(key(1).public_key(), None);
        let peers = [
            nodes[0].add(gateway, at(0)).expect("a peer"),
            nodes[1].add(client, at(0)).expect("a peer"),
        ];
        Self { nodes, peers, addresses, received: [Vec::new(), Vec::new()], datagrams: Vec::new() }
    }

    pub(crate) fn seal(
        &mut self,
        from: usize,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), SealError> {
        let mut packet = udp(payload);
        let train = Train::single(&mut packet).expect("valid");
        let mut send = SendBuffer::new(65_536, 8);
        let peer = self.peers[from];
        let sealed = self.nodes[from].seal(peer, &train, Class::Data, now, &mut send);
        self.nodes[from].flush(now, &mut send);
        self.deliver(from, &send, now);
        sealed
    }

    /// Carries everything to and fro until nothing is left.
    pub(crate) fn deliver(&mut self, from: usize, send: &SendBuffer, now: Instant) {
        let to = 1 - from;
        let mut back = SendBuffer::new(65_536, 32);
        for (run, bytes) in send.iter() {
            if run.route.remote != self.addresses[to] {
                continue;
            }
            self.datagrams.push(bytes.to_vec());
            self.arrive(to, self.addresses[from], &mut bytes.to_vec(), run.datagram_size, now);
            self.nodes[to].flush(now, &mut back);
        }
        if !back.is_empty() {
            self.deliver(to, &back, now);
        }
    }

    pub(crate) fn arrive(
        &mut self,
        at: usize,
        from: SocketAddr,
        bytes: &mut [u8],
        size: usize,
        now: Instant,
    ) {
        let mut opened = Opened::default();
        self.nodes[at].open(&mut Datagrams::one(from, bytes, size, 0), now, &mut opened);
        for &group in opened.groups() {
            for &(start, len) in opened.packets(group) {
                let packet = &bytes[start as usize..(start + len) as usize];
                self.received[at].push(packet.to_vec());
            }
        }
    }

    pub(crate) fn connected() -> Self {
        let mut two = Self::new();
        assert_eq!(two.seal(0, b"waits", at(0)), Err(SealError::NotReady));
        two
    }
}

pub(crate) fn udp(payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 1280];
    let (source, destination) = (address(1, 1), address(2, 2));
    let len = build::udp(source, destination, payload, &mut packet).expect("it fits");
    packet.truncate(len);
    packet
}
