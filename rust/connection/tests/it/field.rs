//! Two nodes with any addresses, in virtual time, and the portal that carries their candidates.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use connection::{
    AddError, Arrival, Connections, Credentials, Datagrams, Event, IcePeer, LocalCandidates,
    Opened, PeerIndex, PresharedKey, Role,
};
use packet::{Class, Instant, Route, SendBuffer, Train};

use crate::two::{address, at, key, node, udp};

/// One way between the two.
const LATENCY: Duration = Duration::from_millis(10);

pub(crate) fn credentials(name: &str, password: u8) -> Credentials {
    Credentials { name: name.to_owned(), password: format!("password{password:014}") }
}

/// What is on its way: from where, to where.
type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

pub(crate) struct Field {
    pub(crate) nodes: [Connections; 2],
    pub(crate) peers: [PeerIndex; 2],
    pub(crate) hosts: [Vec<SocketAddr>; 2],
    pub(crate) now: Instant,
    pub(crate) events: [Vec<(Instant, Event)>; 2],
    /// Datagrams that left.
    pub(crate) sent: usize,
    /// All that left, and when.
    pub(crate) log: Vec<(Instant, Datagram)>,
    /// Nothing arrives.
    pub(crate) is_cut: bool,
    /// What data comes from instead of where it left.
    pub(crate) replace_source: Option<SocketAddr>,
    received: [usize; 2],
    under_way: BTreeMap<(Instant, u64), Datagram>,
    number: u64,
}

impl Field {
    /// Both ends know of each other and of no candidate.
    pub(crate) fn introduced() -> Self {
        let hosts = [vec![address(1, 52_625)], vec![address(2, 52_625)]];
        let mut nodes = [node(1), node(2)];
        for (node, hosts) in nodes.iter_mut().zip(&hosts) {
            node.set_host_addresses(hosts, at(0));
        }
        let [first, second] = &mut nodes;
        let peers = [
            first.connect(ice(2, "aaaa", "bbbb", Role::Controlling), at(0)).expect("a peer"),
            second.connect(ice(1, "bbbb", "aaaa", Role::Controlled), at(0)).expect("a peer"),
        ];
        Self {
            nodes,
            peers,
            hosts,
            now: at(0),
            events: [Vec::new(), Vec::new()],
            sent: 0,
            log: Vec::new(),
            is_cut: false,
            replace_source: None,
            received: [0, 0],
            under_way: BTreeMap::new(),
            number: 0,
        }
    }

    /// A path was found, a session stands, and nobody waits for an event.
    pub(crate) fn connected() -> Self {
        let mut field = Self::introduced();
        field.exchange_candidates();
        field.advance(at(1_000));
        assert!(field.passes(0) && field.passes(1));
        field.events = [Vec::new(), Vec::new()];
        field
    }

    /// The portal forgets an end's peer and introduces it again.
    pub(crate) fn introduce_anew(&mut self, end: usize) {
        let node = &mut self.nodes[end];
        node.remove(self.peers[end]);
        let config = if end == 0 {
            ice(2, "aaaa", "bbbb", Role::Controlling)
        } else {
            ice(1, "bbbb", "aaaa", Role::Controlled)
        };
        self.peers[end] = node.connect(config, self.now).expect("a peer");
    }

    pub(crate) fn stranger(
        &mut self,
        end: usize,
        local: Credentials,
        remote: Credentials,
    ) -> PeerIndex {
        self.try_stranger(end, local, remote, Role::Controlled).expect("a peer")
    }

    /// Another peer than the other end.
    pub(crate) fn try_stranger(
        &mut self,
        end: usize,
        local: Credentials,
        remote: Credentials,
        role: Role,
    ) -> Result<PeerIndex, AddError> {
        let config = IcePeer { local, remote, role, ..ice(77, "x", "y", role) };
        self.nodes[end].connect(config, self.now)
    }

    pub(crate) fn set_hosts(&mut self, end: usize, hosts: &[SocketAddr]) {
        self.hosts[end] = hosts.to_vec();
        self.nodes[end].set_host_addresses(hosts, self.now);
        self.collect(end);
    }

    /// What an end has to tell the other.
    pub(crate) fn news(&mut self, end: usize) -> LocalCandidates {
        self.nodes[end].poll_local_candidates().map(|(_, news)| news).unwrap_or_default()
    }

    pub(crate) fn tell(&mut self, end: usize, lines: &[String]) {
        self.nodes[end].add_remote_candidates(self.peers[end], lines, self.now);
        self.collect(end);
    }

    pub(crate) fn exchange_candidates(&mut self) {
        for end in [0, 1] {
            let news = self.news(end);
            self.tell(1 - end, &news.new);
        }
    }

    /// The next event of an end.
    pub(crate) fn event(&mut self, end: usize) -> Option<Event> {
        let events = &mut self.events[end];
        (!events.is_empty()).then(|| events.remove(0).1)
    }

    /// Whether a packet of an end arrives at the other.
    pub(crate) fn passes(&mut self, from: usize) -> bool {
        let before = self.received[1 - from];
        let sealed = self.seal(from);
        self.advance(self.now + 2 * LATENCY);
        sealed && self.received[1 - from] > before
    }

    /// Sends a packet a second.
    pub(crate) fn keep_busy(&mut self, from: usize, until: Instant) {
        while self.now < until {
            self.seal(from);
            self.advance(self.now + Duration::from_secs(1));
        }
    }

    fn seal(&mut self, from: usize) -> bool {
        let mut packet = udp(b"payload");
        let train = Train::single(&mut packet).expect("valid");
        let mut send = SendBuffer::new(65_536, 64);
        let (node, peer) = (&mut self.nodes[from], self.peers[from]);
        let sealed = node.seal(peer, &train, Class::Data, self.now, &mut send).is_ok();
        self.take(from, &send);
        self.collect(from);
        sealed
    }

    pub(crate) fn advance(&mut self, until: Instant) {
        loop {
            let timers = self.nodes.iter().filter_map(Connections::poll_timeout);
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let Some(next) = timers.chain(arrival).min().filter(|at| *at <= until) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.under_way.first_entry().filter(|e| e.key().0 <= self.now) {
                let datagram = entry.remove();
                self.arrive(datagram);
            }
            for end in [0, 1] {
                self.nodes[end].handle_timeout(self.now);
                self.collect(end);
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, (from, to, mut bytes): Datagram) {
        let Some(end) = self.hosts.iter().position(|hosts| hosts.contains(&to)) else { return };
        let is_data = bytes[0] == 4;
        let remote = self.replace_source.filter(|_| is_data).unwrap_or(from);
        let route = Route { remote, local: Some(to.ip()) };
        let len = bytes.len() as u32;
        let arrivals = [Arrival { route, start: 0, len, size: len, ecn: 0 }];
        let mut opened = Opened::default();
        let mut datagrams = Datagrams::many(&mut bytes, &arrivals);
        self.nodes[end].open(&mut datagrams, self.now, &mut opened);
        self.received[end] += opened.groups().iter().map(|group| group.len).sum::<usize>();
        self.collect(end);
    }

    /// Takes what an end has to say by itself.
    pub(crate) fn collect(&mut self, end: usize) {
        let mut send = SendBuffer::new(65_536, 64);
        self.nodes[end].flush(self.now, &mut send);
        self.take(end, &send);
        while let Some(event) = self.nodes[end].poll_event() {
            self.events[end].push((self.now, event));
        }
    }

    fn take(&mut self, end: usize, send: &SendBuffer) {
        for (run, bytes) in send.iter() {
            let local = run.route.local.expect("ICE says from where");
            let from = self.hosts[end].iter().find(|host| host.ip() == local);
            let Some(from) = from else { continue };
            let datagram = (*from, run.route.remote, bytes.to_vec());
            self.sent += 1;
            self.log.push((self.now, datagram.clone()));
            if !self.is_cut {
                self.number += 1;
                self.under_way.insert((self.now + LATENCY, self.number), datagram);
            }
        }
    }
}

fn ice(other: u8, local: &str, remote: &str, role: Role) -> IcePeer {
    let number = |name: &str| name.as_bytes()[0];
    IcePeer {
        public_key: key(other).public_key(),
        preshared_key: Some(PresharedKey::from_bytes([5; 32])),
        local: credentials(local, number(local)),
        remote: credentials(remote, number(remote)),
        role,
    }
}
