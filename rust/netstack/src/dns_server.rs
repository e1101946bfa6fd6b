//! DNS over TCP on every sentinel address.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use packet::Instant;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::{Duration as StackDuration, Instant as StackInstant};
use smoltcp::wire::{HardwareAddress, IpCidr, Ipv4Address, Ipv6Address};

use crate::device::QueueDevice;

/// Connections that one sentinel serves at once (dataplane §3.2).
const CONNECTIONS_PER_SENTINEL: usize = 10;
/// Sentinels that can have connections at once; bounds the memory of sockets.
const SENTINELS: usize = 16;
/// Buffer of a socket in each direction: the largest DNS message (RFC 1035 §4.2.2).
const SOCKET_BUFFER: usize = 65_535;
/// A connection without traffic for so long is closed (RFC 7766 §6.2.3: "a few seconds").
const IDLE: Duration = Duration::from_secs(10);
const DNS_PORT: u16 = 53;
/// Addresses of the stack itself: sentinels, so that they collide with nobody's.
const OWN_IPV4: Ipv4Address = Ipv4Address::new(100, 100, 111, 1);
const OWN_IPV6: Ipv6Address =
    Ipv6Address::new(0xfd00, 0x2021, 0x1111, 0x8000, 0x100, 0x100, 0x111, 0);

/// One connection of one client program; never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(u64);

struct Connection {
    id: ConnectionId,
    handle: SocketHandle,
    /// Answers that wait for room in the socket.
    outgoing: VecDeque<u8>,
    idle_since: Instant,
}

/// The servers. Drive it like every state machine here: one input, then drain.
pub struct DnsServer {
    interface: Interface,
    device: QueueDevice,
    sockets: SocketSet<'static>,
    connections: Vec<Connection>,
    listening: Option<SocketHandle>,
    queries: VecDeque<(ConnectionId, IpAddr, Vec<u8>)>,
    next_id: u64,
    refused: u64,
}

impl DnsServer {
    /// Creates the servers. `seed` gives initial sequence numbers.
    pub fn new(seed: u64, now: Instant) -> Self {
        let mut device = QueueDevice::default();
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, stack_time(now));
        // The caller hands over packets to sentinels only; which addresses these are is its affair.
        interface.set_any_ip(true);
        interface.update_ip_addrs(|addresses| {
            // The list holds two: smoltcp's default capacity.
            let _ = addresses.push(IpCidr::new(OWN_IPV4.into(), 32));
            let _ = addresses.push(IpCidr::new(OWN_IPV6.into(), 128));
        });
        // With any_ip, smoltcp takes a packet for a foreign address if a route leads to an own one.
        let _ = interface.routes_mut().add_default_ipv4_route(OWN_IPV4);
        let _ = interface.routes_mut().add_default_ipv6_route(OWN_IPV6);
        Self {
            interface,
            device,
            sockets: SocketSet::new(Vec::new()),
            connections: Vec::new(),
            listening: None,
            queries: VecDeque::new(),
            next_id: 0,
            refused: 0,
        }
    }

    /// A TCP packet of the host to port 53 of a sentinel.
    pub fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.listen();
        self.device.push(packet);
        self.run(now);
    }

    /// Lets due timers act: retransmissions, idle connections.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// When [`DnsServer::handle_timeout`] is wanted. `None` without connections.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        let idle = self.connections.iter().map(|c| c.idle_since + IDLE).min()?;
        let delay = self.interface.poll_delay(stack_time(now), &self.sockets);
        let stack = delay.map(|delay| now + Duration::from_micros(delay.total_micros()));
        Some(stack.map_or(idle, |at| at.min(idle)))
    }

    /// Hands the next packet for the host to `take`; returns whether there was one.
    pub fn poll_packet(&mut self, take: impl FnOnce(&mut [u8])) -> bool {
        self.device.pop(take)
    }

    /// The next whole query, with the sentinel that it was sent to.
    pub fn poll_query(&mut self) -> Option<(ConnectionId, IpAddr, Vec<u8>)> {
        self.queries.pop_front()
    }

    /// Answers a query; nothing happens if its connection is gone.
    pub fn answer(&mut self, connection: ConnectionId, message: &[u8], now: Instant) {
        let Ok(length) = u16::try_from(message.len()) else { return };
        if let Some(connection) = self.connections.iter_mut().find(|c| c.id == connection) {
            connection.outgoing.extend(length.to_be_bytes());
            connection.outgoing.extend(message);
            connection.idle_since = now;
        }
        self.run(now);
    }

    /// Connections refused because a sentinel had as many as it may.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn run(&mut self, now: Instant) {
        self.interface.poll(stack_time(now), &mut self.device, &mut self.sockets);
        self.adopt(now);
        self.read_queries(now);
        self.write_answers(now);
        self.close_idle(now);
        self.interface.poll(stack_time(now), &mut self.device, &mut self.sockets);
        self.forget_closed();
    }

    /// Keeps one socket listening while there is room for another connection.
    fn listen(&mut self) {
        if self.listening.is_none() && self.connections.len() < CONNECTIONS_PER_SENTINEL * SENTINELS
        {
            let buffer = || SocketBuffer::new(vec![0; SOCKET_BUFFER]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_ack_delay(None);
            socket.set_nagle_enabled(false);
            socket.set_timeout(Some(StackDuration::from_secs(IDLE.as_secs())));
            if socket.listen(DNS_PORT).is_ok() {
                self.listening = Some(self.sockets.add(socket));
            }
        }
    }

    /// Takes over the listening socket once somebody connected to it.
    fn adopt(&mut self, now: Instant) {
        let Some(handle) = self.listening else { return };
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        if socket.state() == State::Listen {
            return;
        }
        self.listening = None;
        let sentinel = local_address(socket);
        let open = self.connections.iter().filter(|connection| {
            local_address(self.sockets.get::<Socket<'_>>(connection.handle)) == sentinel
        });
        if open.count() >= CONNECTIONS_PER_SENTINEL {
            self.refused += 1;
            self.sockets.get_mut::<Socket<'_>>(handle).abort();
        }
        let id = ConnectionId(self.next_id);
        self.next_id += 1;
        self.connections.push(Connection {
            id,
            handle,
            outgoing: VecDeque::new(),
            idle_since: now,
        });
    }

    fn read_queries(&mut self, now: Instant) {
        for connection in &mut self.connections {
            let socket = self.sockets.get_mut::<Socket<'_>>(connection.handle);
            while let Some(query) = take_message(socket) {
                connection.idle_since = now;
                if let Some(sentinel) = local_address(socket) {
                    self.queries.push_back((connection.id, sentinel, query));
                }
            }
        }
    }

    fn write_answers(&mut self, now: Instant) {
        for connection in &mut self.connections {
            let socket = self.sockets.get_mut::<Socket<'_>>(connection.handle);
            while socket.can_send() && !connection.outgoing.is_empty() {
                let (front, _) = connection.outgoing.as_slices();
                let Ok(sent) = socket.send_slice(front) else { break };
                connection.outgoing.drain(..sent);
                connection.idle_since = now;
            }
            if socket.state() == State::CloseWait && connection.outgoing.is_empty() {
                socket.close();
            }
        }
    }

    fn close_idle(&mut self, now: Instant) {
        for connection in &self.connections {
            if now >= connection.idle_since + IDLE {
                self.sockets.get_mut::<Socket<'_>>(connection.handle).abort();
            }
        }
    }

    fn forget_closed(&mut self) {
        let sockets = &mut self.sockets;
        self.connections.retain(|connection| {
            let open = sockets.get::<Socket<'_>>(connection.handle).is_open();
            if !open {
                sockets.remove(connection.handle);
            }
            open
        });
    }
}

/// Takes one whole message out of the socket's buffer, if it is there.
fn take_message(socket: &mut Socket<'_>) -> Option<Vec<u8>> {
    if !socket.can_recv() {
        return None;
    }
    let mut length = [0; 2];
    if socket.peek_slice(&mut length).ok()? < 2 {
        return None;
    }
    let whole = 2 + usize::from(u16::from_be_bytes(length));
    if socket.recv_queue() < whole {
        return None;
    }
    let mut message = vec![0; whole];
    socket.recv_slice(&mut message).ok()?;
    message.drain(..2);
    Some(message)
}

fn local_address(socket: &Socket<'_>) -> Option<IpAddr> {
    socket.local_endpoint().map(|endpoint| SocketAddr::from(endpoint).ip())
}

fn stack_time(now: Instant) -> StackInstant {
    StackInstant::from_micros(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX))
}
