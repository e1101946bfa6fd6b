//! DNS over TCP: a Client's server on every sentinel address, and a Gateway's on its own.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use packet::Instant;
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration as StackDuration;

use crate::device::QueueDevice;
use crate::stack::{after, interface, stack_time, take_message};

/// Connections that one sentinel serves, or one Client has, at once (dataplane §3.2).
const CONNECTIONS_OF_ONE: usize = 10;
/// Connections at once; bounds the memory of sockets.
const CONNECTIONS: usize = 160;
/// Buffer of a socket in each direction: the largest DNS message (RFC 1035 §4.2.2).
const SOCKET_BUFFER: usize = 65_535;
/// A connection without traffic for so long is closed (RFC 7766 §6.2.3: "a few seconds").
const IDLE: Duration = Duration::from_secs(10);

/// Where a [`DnsServer`] listens, and who shares it.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// The port.
    pub port: u16,
    /// Addresses of the stack itself. Packets to others reach it too: which addresses are served is
    /// the caller's affair.
    pub ipv4: Ipv4Addr,
    /// See `ipv4`.
    pub ipv6: Ipv6Addr,
    /// Whose connections are counted together: those to one address, or those from one.
    pub shared_by: SharedBy,
}

/// Whose connections are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedBy {
    /// Those to one address of the server: one host asks several sentinels.
    Server,
    /// Those from one address: several Clients ask one Gateway.
    Client,
}

impl Listening {
    /// Port 53 of the sentinels (dataplane §3.2). The stack's own are the ranges' first: they
    /// collide with nobody's.
    pub fn sentinels() -> Self {
        let ipv4 = Ipv4Addr::new(100, 100, 111, 1);
        let ipv6 = Ipv6Addr::new(0xfd00, 0x2021, 0x1111, 0x8000, 0x100, 0x100, 0x111, 0);
        Self { port: 53, ipv4, ipv6, shared_by: SharedBy::Server }
    }

    /// A port of a Gateway's own addresses (dataplane §4.8).
    pub fn gateway(ipv4: Ipv4Addr, ipv6: Ipv6Addr, port: u16) -> Self {
        Self { port, ipv4, ipv6, shared_by: SharedBy::Client }
    }
}

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
    listening_at: Listening,
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
    pub fn new(listening_at: Listening, seed: u64, now: Instant) -> Self {
        let mut device = QueueDevice::default();
        let Listening { ipv4, ipv6, .. } = listening_at;
        let mut interface = interface(&mut device, ipv4, ipv6, seed, now);
        // The caller hands over packets to its own addresses only; which these are is its affair.
        interface.set_any_ip(true);
        Self {
            listening_at,
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

    /// A TCP packet to the server's port.
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
        let stack = delay.map(|delay| after(now, delay));
        Some(stack.map_or(idle, |at| at.min(idle)))
    }

    /// Hands the next packet for the host to `take`; returns whether there was one.
    pub fn poll_packet(&mut self, take: impl FnOnce(&mut [u8])) -> bool {
        self.device.pop(take)
    }

    /// The next whole query, with the address that shares the server: the sentinel that it was sent
    /// to, or the Client that sent it.
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

    /// Connections refused because who shares the server had as many as it may.
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
        if self.listening.is_none() && self.connections.len() < CONNECTIONS {
            let buffer = || SocketBuffer::new(vec![0; SOCKET_BUFFER]);
            let mut socket = Socket::new(buffer(), buffer());
            socket.set_ack_delay(None);
            socket.set_nagle_enabled(false);
            socket.set_timeout(Some(StackDuration::from_secs(IDLE.as_secs())));
            if socket.listen(self.listening_at.port).is_ok() {
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
        let shared_by = self.listening_at.shared_by;
        let sharing = sharing(socket, shared_by);
        let open = self.connections.iter().filter(|connection| {
            let socket = self.sockets.get::<Socket<'_>>(connection.handle);
            self::sharing(socket, shared_by) == sharing
        });
        if open.count() >= CONNECTIONS_OF_ONE {
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
                if let Some(address) = sharing(socket, self.listening_at.shared_by) {
                    self.queries.push_back((connection.id, address, query));
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

/// The address of a connection that its server is shared by.
fn sharing(socket: &Socket<'_>, shared_by: SharedBy) -> Option<IpAddr> {
    let endpoint = match shared_by {
        SharedBy::Server => socket.local_endpoint(),
        SharedBy::Client => socket.remote_endpoint(),
    };
    endpoint.map(|endpoint| SocketAddr::from(endpoint).ip())
}
