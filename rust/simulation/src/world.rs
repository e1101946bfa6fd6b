//! Any number of Clients and Gateways, joined by links, under one clock, and the name servers that they
//! ask outside.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use link::{Link, LinkConfig};
use nat::control::{ClientId, GatewayId};
use nat::resource_nat::RefreshPolicy;
use nat::state::{Imported, StateError};
use packet::{Class, Instant, Malformed, SendBuffer, Train, TrainSink};
use tunnel::messages::{ClientPeer, Command, Endpoint as PeerEndpoint, Event, GatewayPeer};
use tunnel::{
    Client, ClientConfig, Connections, Datagrams, DnsTransmit, Endpoint, Exported, Gateway,
    GatewayConfig, Io, SEND_BUFFER_BYTES, SEND_BUFFER_RUNS,
};

/// Which station; they are numbered in the order in which they were added.
pub type Station = usize;

/// A packet that a station handed to its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// When.
    pub at: Instant,
    /// By which station.
    pub station: Station,
    /// The packet.
    pub packet: Vec<u8>,
}

/// The loop gives a query up after this.
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A name server outside the tunnel.
#[derive(Clone, Copy, Debug)]
pub struct NameServer {
    /// How long an answer takes.
    pub after: Duration,
    /// What it answers; `None`: nothing, ever.
    pub answer: fn(&DnsTransmit) -> Option<Vec<u8>>,
}

/// To which station, the number of its query, and the response.
type Answer = (Station, u64, Option<Vec<u8>>);

/// Stations and the links between them. Only [`World::advance`] moves the clock.
pub struct World {
    stations: Vec<Box<dyn Endpoint>>,
    /// Where a station is, if not at its first address.
    moved: BTreeMap<Station, SocketAddr>,
    /// By sender and receiver.
    links: BTreeMap<(Station, Station), Link>,
    send: SendBuffer,
    now: Instant,
    datagrams: Vec<u8>,
    handed: VecDeque<Handed>,
    events: VecDeque<(Instant, Station, Event)>,
    servers: BTreeMap<SocketAddr, NameServer>,
    /// Answers on their way, by arrival and number.
    answers: BTreeMap<(Instant, u64), Answer>,
    queries: Vec<(Instant, Station, DnsTransmit)>,
    asked: u64,
}

/// Collects what a station hands to its host.
struct Host<'a> {
    at: Instant,
    station: Station,
    handed: &'a mut VecDeque<Handed>,
}

impl TrainSink for Host<'_> {
    fn accept(&mut self, train: &Train<'_>) {
        for i in 0..train.segments() {
            let mut packet = vec![0; train.segment_len(i)];
            train.write_segment(i, &mut packet);
            self.handed.push_back(Handed { at: self.at, station: self.station, packet });
        }
    }
}

impl Default for World {
    fn default() -> Self {
        Self {
            stations: Vec::new(),
            moved: BTreeMap::new(),
            links: BTreeMap::new(),
            send: SendBuffer::new(SEND_BUFFER_BYTES, SEND_BUFFER_RUNS),
            now: Instant::ZERO,
            datagrams: Vec::new(),
            handed: VecDeque::new(),
            events: VecDeque::new(),
            servers: BTreeMap::new(),
            answers: BTreeMap::new(),
            queries: Vec::new(),
            asked: 0,
        }
    }
}

impl World {
    /// Adds a Client; any policy but `Keep` is for comparison (R41).
    pub fn add_client(&mut self, config: ClientConfig, policy: RefreshPolicy) -> Station {
        self.stations.push(Box::new(Client::with_policy(config, policy, self.now)));
        self.stations.len() - 1
    }

    /// Adds a Gateway.
    pub fn add_gateway(&mut self, config: GatewayConfig) -> Station {
        self.stations.push(Box::new(Gateway::new(config, Connections::default())));
        self.stations.len() - 1
    }

    /// Adds an endpoint that was made elsewhere.
    pub fn add(&mut self, endpoint: Box<dyn Endpoint>) -> Station {
        self.stations.push(endpoint);
        self.stations.len() - 1
    }

    /// Puts an endpoint in the place of another one, which is given back.
    pub fn replace(&mut self, station: Station, endpoint: Box<dyn Endpoint>) -> Box<dyn Endpoint> {
        std::mem::replace(&mut self.stations[station], endpoint)
    }

    /// Stops a station and takes the sessions of its peers; `None` in a laboratory.
    pub fn export_sessions_and_stop(&mut self, station: Station) -> Option<Exported> {
        self.stations[station].export_sessions_and_stop(self.now)
    }

    /// Where a station is reached.
    pub fn address_of(&self, station: Station) -> SocketAddr {
        self.moved.get(&station).copied().unwrap_or_else(|| address(station))
    }

    /// Gives the host of a station another address than it had; what goes to the former one is lost. The
    /// station is not told.
    pub fn move_to(&mut self, station: Station, address: SocketAddr) {
        self.moved.insert(station, address);
    }

    /// Tells a station which addresses its host has.
    pub fn tell_addresses(&mut self, station: Station) {
        let (now, address) = (self.now, self.address_of(station));
        self.input(station, |endpoint, io| endpoint.handle_host_addresses(&[address], now, io));
    }

    /// Tells a station that the wall clock stands at `wall`.
    pub fn adjust_wall(&mut self, station: Station, wall: Duration) {
        self.stations[station].adjust_wall(wall, self.now);
    }

    /// Puts a new process in the place of a Client; what was on its way arrives.
    pub fn restart_client(&mut self, client: Station, config: ClientConfig) {
        self.stations[client] = Box::new(Client::new(config, Connections::default(), self.now));
    }

    /// Puts a new process in the place of a Gateway; it knows nothing.
    pub fn restart_gateway(&mut self, gateway: Station, config: GatewayConfig) {
        self.stations[gateway] = Box::new(Gateway::new(config, Connections::default()));
    }

    /// What a Gateway hands over to the process that takes its place.
    pub fn export_state(&self, gateway: Station) -> Option<Vec<u8>> {
        self.stations[gateway].export_state(self.now)
    }

    /// Gives it to that process, `since` later.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn import_state(
        &mut self,
        gateway: Station,
        state: &[u8],
        since: Duration,
    ) -> Result<Imported, StateError> {
        self.stations[gateway].import_state(state, since, self.now)
    }

    /// Puts a name server at an address, or another one in its place.
    pub fn set_server(&mut self, address: SocketAddr, server: NameServer) {
        self.servers.insert(address, server);
    }

    /// Takes what stations asked of name servers: when, who, what.
    pub fn take_queries(&mut self) -> Vec<(Instant, Station, DnsTransmit)> {
        std::mem::take(&mut self.queries)
    }

    /// Joins two stations by a link each way.
    pub fn join(&mut self, a: Station, b: Station, there: LinkConfig, back: LinkConfig, seed: u64) {
        self.links.insert((a, b), Link::new(there, seed));
        self.links.insert((b, a), Link::new(back, seed.wrapping_add(1)));
    }

    /// Cuts the links between two stations, or one that was killed from the others.
    pub fn part(&mut self, a: Station, b: Station) {
        self.links.remove(&(a, b));
        self.links.remove(&(b, a));
    }

    /// How `from` reaches `to`, for the commands that introduce peers.
    pub fn endpoint(&self, from: Station, to: Station, ready_after: f64) -> PeerEndpoint {
        PeerEndpoint::Plain {
            address: address(to),
            local_index: index(to, from),
            remote_index: index(from, to),
            ready_after,
        }
    }

    /// A Client as `gateway` knows it.
    pub fn client_peer(
        &self,
        gateway: Station,
        client: Station,
        id: ClientId,
        addresses: (Ipv4Addr, Ipv6Addr),
        ready_after: f64,
    ) -> ClientPeer {
        let endpoint = self.endpoint(gateway, client, ready_after);
        ClientPeer { id, ipv4: addresses.0, ipv6: addresses.1, endpoint }
    }

    /// A Gateway as `client` knows it.
    pub fn gateway_peer(
        &self,
        client: Station,
        gateway: Station,
        id: GatewayId,
        addresses: (Ipv4Addr, Ipv6Addr),
        ready_after: f64,
    ) -> GatewayPeer {
        let endpoint = self.endpoint(client, gateway, ready_after);
        GatewayPeer { id, ipv4: addresses.0, ipv6: addresses.1, endpoint, site: None }
    }

    /// The present.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Gives a command to a station; nothing happens if it is for the other role.
    pub fn command(&mut self, station: Station, command: Command) {
        let now = self.now;
        self.input(station, |endpoint, io| {
            let _ = endpoint.handle_command(command, now, io);
        });
    }

    /// The host of a station sends a packet into its TUN device.
    ///
    /// # Errors
    /// [`Malformed`], after the station was told, if no train can be made of it.
    pub fn send(&mut self, station: Station, packet: &mut [u8]) -> Result<(), Malformed> {
        let now = self.now;
        let why = packet::parse(packet).err();
        self.input(station, |endpoint, io| match why {
            Some(why) => endpoint.handle_malformed(packet, why, now, io),
            None => {
                if let Ok(train) = Train::single(packet) {
                    endpoint.handle_tun(train, now, io);
                }
            }
        });
        why.map_or(Ok(()), Err)
    }

    /// Datagrams arrive at a station from nowhere: forged, damaged, or replayed by a test.
    pub fn inject(&mut self, station: Station, from: SocketAddr, datagram: &mut [u8]) {
        let (now, size) = (self.now, datagram.len());
        let datagrams = Datagrams::one(from, datagram, size, 0);
        self.input(station, |endpoint, io| endpoint.handle_network(datagrams, now, io));
    }

    /// When something is due next.
    pub fn next_wake(&self) -> Option<Instant> {
        let stations = self.stations.iter().filter_map(|s| s.poll_timeout(self.now));
        let links = self.links.values().filter_map(Link::poll_timeout);
        let answer = self.answers.first_key_value().map(|((at, _), _)| *at);
        stations.map(|(at, _)| at).chain(links).chain(answer).min()
    }

    /// Moves the clock to `until`, doing all that falls due on the way.
    pub fn advance(&mut self, until: Instant) {
        while let Some(at) = self.next_wake().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.run_due();
        }
        self.now = self.now.max(until);
    }

    /// The next packet that a station handed to its host.
    pub fn poll_handed(&mut self) -> Option<Handed> {
        self.handed.pop_front()
    }

    /// Takes everything that a station handed to its host.
    pub fn take_handed(&mut self, station: Station) -> Vec<Handed> {
        let handed = std::mem::take(&mut self.handed);
        let (taken, left): (Vec<_>, _) = handed.into_iter().partition(|h| h.station == station);
        self.handed = left.into();
        taken
    }

    /// The next event, when it was raised, and by which station.
    pub fn poll_event(&mut self) -> Option<(Instant, Station, Event)> {
        self.events.pop_front()
    }

    /// What the link from `a` to `b` did with the datagrams of a class.
    pub fn link_counters(&self, a: Station, b: Station, class: Class) -> link::Counters {
        self.links.get(&(a, b)).map(|link| link.counters(class)).unwrap_or_default()
    }

    fn run_due(&mut self) {
        let now = self.now;
        for station in 0..self.stations.len() {
            let due = self.stations[station].poll_timeout(now);
            if due.is_some_and(|(at, _)| at <= now) {
                self.input(station, |endpoint, io| endpoint.handle_timeout(now, io));
            }
        }
        while let Some(entry) = self.answers.first_entry()
            && entry.key().0 <= now
        {
            let (station, id, response) = entry.remove();
            self.input(station, |endpoint, io| {
                endpoint.handle_dns_response(id, response.as_deref(), now, io);
            });
        }
        let pairs: Vec<_> = self.links.keys().copied().collect();
        for (from, to) in pairs {
            self.receive(from, to);
        }
    }

    /// Hands over the datagrams that arrive now.
    fn receive(&mut self, from: Station, to: Station) {
        let now = self.now;
        let mut datagrams = std::mem::take(&mut self.datagrams);
        while let Some((_, size)) =
            self.links.get_mut(&(from, to)).and_then(|link| link.receive_run(now, &mut datagrams))
        {
            let arrived = Datagrams::one(self.address_of(from), &mut datagrams, size, 0);
            self.input(to, |endpoint, io| endpoint.handle_network(arrived, now, io));
        }
        self.datagrams = datagrams;
    }

    /// Gives one input to a station, then drains it.
    fn input(&mut self, station: Station, give: impl FnOnce(&mut dyn Endpoint, &mut Io<'_>)) {
        let (now, endpoint) = (self.now, &mut self.stations[station]);
        let mut host = Host { at: now, station, handed: &mut self.handed };
        let mut io = Io { send: &mut self.send, host: &mut host };
        give(endpoint.as_mut(), &mut io);
        while let Some(query) = endpoint.poll_dns() {
            let server = self.servers.get(&query.server);
            match server.map(|server| ((server.answer)(&query), server.after)) {
                // Nobody is there: the host is told at once.
                None => endpoint.handle_dns_response(query.id, None, now, &mut io),
                Some((response, after)) => {
                    let after = if response.is_some() { after } else { QUERY_TIMEOUT };
                    self.asked += 1;
                    let answer = (station, query.id, response);
                    self.answers.insert((now + after, self.asked), answer);
                }
            }
            self.queries.push((now, station, query));
        }
        for (run, bytes) in self.send.iter() {
            let at = run.route.remote;
            let to = self.moved.iter().find(|(_, moved)| **moved == at).map(|(to, _)| *to);
            let to = to.or_else(|| station_of(at).filter(|of| !self.moved.contains_key(of)));
            if let Some(link) = to.and_then(|to| self.links.get_mut(&(station, to))) {
                link.send_run(run, bytes, now);
            }
        }
        self.send.clear();
        while let Some(event) = endpoint.poll_event() {
            self.events.push_back((now, station, event));
        }
    }
}

/// Index that `from` writes into datagrams for `to`: unique at the receiver.
fn index(from: Station, to: Station) -> u32 {
    ((from as u32 + 1) << 16 | (to as u32 + 1) << 8) | 1
}

/// Address of a station's datagrams.
fn address(station: Station) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, station as u8], 52_625))
}

fn station_of(address: SocketAddr) -> Option<Station> {
    match address.ip() {
        IpAddr::V4(v4) => Some(Station::from(v4.octets()[3])),
        IpAddr::V6(_) => None,
    }
}
