//! DNS over TCP to a server inside the tunnel: one connection per query.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use packet::{Instant, Summary, Transport};
use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer};

use crate::device::QueueDevice;
use crate::stack::{after, interface, stack_time, take_message};

/// Room for an answer: the largest message and its length (RFC 1035 §4.2.2).
const ANSWER: usize = 2 + 65_535;

struct Exchange {
    id: u64,
    handle: SocketHandle,
    server: SocketAddr,
    port: u16,
    /// What is still to be sent: the length and the query.
    outgoing: VecDeque<u8>,
}

/// The clients. How many queries are under way, and for how long, is the caller's affair.
pub struct DnsClient {
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    interface: Interface,
    device: QueueDevice,
    sockets: SocketSet<'static>,
    exchanges: Vec<Exchange>,
    answers: VecDeque<(u64, Option<Vec<u8>>)>,
}

impl DnsClient {
    /// Creates clients that ask from these addresses. `seed` gives initial sequence numbers.
    pub fn new(ipv4: Ipv4Addr, ipv6: Ipv6Addr, seed: u64, now: Instant) -> Self {
        let mut device = QueueDevice::default();
        let interface = interface(&mut device, ipv4, ipv6, seed, now);
        Self {
            ipv4,
            ipv6,
            interface,
            device,
            sockets: SocketSet::new(Vec::new()),
            exchanges: Vec::new(),
            answers: VecDeque::new(),
        }
    }

    /// Asks `server` from local port `port`, which no other query to it uses. The answer comes with
    /// `id`; it is `None` at once if `query` is no DNS message by its length.
    pub fn ask(&mut self, id: u64, server: SocketAddr, port: u16, query: &[u8], now: Instant) {
        let Ok(length) = u16::try_from(query.len()) else {
            self.answers.push_back((id, None));
            return;
        };
        let mut outgoing = VecDeque::from(length.to_be_bytes());
        outgoing.extend(query);
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(buffer(ANSWER), buffer(outgoing.len()));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let local: IpAddr = if server.is_ipv4() { self.ipv4.into() } else { self.ipv6.into() };
        if socket.connect(self.interface.context(), server, (local, port)).is_err() {
            self.answers.push_back((id, None));
            return;
        }
        let handle = self.sockets.add(socket);
        self.exchanges.push(Exchange { id, handle, server, port, outgoing });
        self.run(now);
    }

    /// Gives a query up; no answer comes.
    pub fn cancel(&mut self, id: u64) {
        if let Some(at) = self.exchanges.iter().position(|exchange| exchange.id == id) {
            self.sockets.remove(self.exchanges.swap_remove(at).handle);
        }
    }

    /// Whether a packet belongs to a connection of these clients.
    pub fn owns(&self, summary: &Summary) -> bool {
        let Transport::Tcp { source, destination, .. } = summary.transport else { return false };
        let from = SocketAddr::new(summary.source, source);
        let mut exchanges = self.exchanges.iter();
        exchanges.any(|exchange| exchange.server == from && exchange.port == destination)
    }

    /// A packet of a server.
    pub fn handle_packet(&mut self, packet: &[u8], now: Instant) {
        self.device.push(packet);
        self.run(now);
    }

    /// Lets retransmissions happen that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.run(now);
    }

    /// When [`DnsClient::handle_timeout`] is wanted. `None` without queries.
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Instant> {
        if self.exchanges.is_empty() {
            return None;
        }
        let delay = self.interface.poll_delay(stack_time(now), &self.sockets);
        delay.map(|delay| after(now, delay))
    }

    /// Hands the next packet for a server to `take`; returns whether there was one.
    pub fn poll_packet(&mut self, take: impl FnOnce(&mut [u8])) -> bool {
        self.device.pop(take)
    }

    /// The next answer; `None` in it if the connection came to nothing.
    pub fn poll_answer(&mut self) -> Option<(u64, Option<Vec<u8>>)> {
        self.answers.pop_front()
    }

    fn run(&mut self, now: Instant) {
        self.interface.poll(stack_time(now), &mut self.device, &mut self.sockets);
        let Self { sockets, exchanges, answers, .. } = self;
        exchanges.retain_mut(|exchange| {
            let socket = sockets.get_mut::<Socket<'_>>(exchange.handle);
            while socket.can_send() && !exchange.outgoing.is_empty() {
                let (front, _) = exchange.outgoing.as_slices();
                let Ok(sent) = socket.send_slice(front) else { break };
                exchange.outgoing.drain(..sent);
            }
            let answer = take_message(socket);
            let over = answer.is_some() || !(socket.may_recv() || is_opening(socket));
            if over {
                // The server learns that no more is wanted from the reset below.
                socket.abort();
                answers.push_back((exchange.id, answer));
            }
            !over
        });
        self.interface.poll(stack_time(now), &mut self.device, &mut self.sockets);
        self.forget_closed();
    }

    /// Takes out sockets of exchanges that are over, once their last packet is written.
    fn forget_closed(&mut self) {
        let exchanges = &self.exchanges;
        let over = |handle: &SocketHandle| !exchanges.iter().any(|e| e.handle == *handle);
        let closed: Vec<_> = self.sockets.iter().map(|(handle, _)| handle).filter(over).collect();
        for handle in closed {
            self.sockets.remove(handle);
        }
    }
}

fn is_opening(socket: &Socket<'_>) -> bool {
    use smoltcp::socket::tcp::State;
    matches!(socket.state(), State::SynSent | State::SynReceived)
}
