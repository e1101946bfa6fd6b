//! One query and its answer over a non-blocking socket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

use polling::{Event, Poller};
use socket2::{Domain, Socket, Type};
use tunnel::{DnsTransmit, DnsTransport};

use super::MODE;

/// Largest answer taken over UDP.
const DATAGRAM: usize = 4096;

/// What an exchange needs next.
pub(super) enum Progress {
    /// Readiness to read, and to write if asked.
    Wait { write: bool },
    /// Nothing: this is the answer.
    Done(Vec<u8>),
}

/// A query under way.
pub(super) enum Exchange {
    Udp { socket: UdpSocket, query_id: [u8; 2] },
    Tcp { stream: TcpStream, outgoing: Vec<u8>, sent: usize, incoming: Vec<u8> },
}

impl Exchange {
    /// Opens a socket in the present namespace and sends the query or starts to connect.
    pub(super) fn begin(transmit: &DnsTransmit) -> io::Result<Self> {
        match transmit.transport {
            DnsTransport::Udp => begin_udp(transmit),
            DnsTransport::Tcp => begin_tcp(transmit),
        }
    }

    #[allow(unsafe_code)]
    pub(super) fn register(&self, poller: &Poller, interest: Event) -> io::Result<()> {
        // SAFETY: the socket is deleted from the poller by `deregister` before it is dropped.
        unsafe {
            match self {
                Self::Udp { socket, .. } => poller.add_with_mode(socket, interest, MODE),
                Self::Tcp { stream, .. } => poller.add_with_mode(stream, interest, MODE),
            }
        }
    }

    pub(super) fn rearm(&self, poller: &Poller, interest: Event) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => poller.modify_with_mode(socket, interest, MODE),
            Self::Tcp { stream, .. } => poller.modify_with_mode(stream, interest, MODE),
        }
    }

    pub(super) fn deregister(&self, poller: &Poller) {
        let _ = match self {
            Self::Udp { socket, .. } => poller.delete(socket),
            Self::Tcp { stream, .. } => poller.delete(stream),
        };
    }

    /// Does what can be done without waiting.
    pub(super) fn advance(&mut self) -> io::Result<Progress> {
        match self {
            Self::Udp { socket, query_id } => advance_udp(socket, *query_id),
            Self::Tcp { stream, outgoing, sent, incoming } => {
                while *sent < outgoing.len() {
                    match stream.write(&outgoing[*sent..]) {
                        Ok(n) => *sent += n,
                        Err(e) if waits(&e) => return Ok(Progress::Wait { write: true }),
                        Err(e) => return Err(e),
                    }
                }
                advance_tcp(stream, incoming)
            }
        }
    }
}

fn begin_udp(transmit: &DnsTransmit) -> io::Result<Exchange> {
    let any: SocketAddr = match transmit.server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let query_id = transmit.query.first_chunk().copied().ok_or(ErrorKind::InvalidInput)?;
    let socket = UdpSocket::bind(any)?;
    socket.set_nonblocking(true)?;
    socket.connect(transmit.server)?;
    socket.send(&transmit.query)?;
    Ok(Exchange::Udp { socket, query_id })
}

fn begin_tcp(transmit: &DnsTransmit) -> io::Result<Exchange> {
    let length = u16::try_from(transmit.query.len()).map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(transmit.server), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&transmit.server.into()) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(e) => return Err(e),
    }
    let mut outgoing = length.to_be_bytes().to_vec();
    outgoing.extend_from_slice(&transmit.query);
    Ok(Exchange::Tcp { stream: socket.into(), outgoing, sent: 0, incoming: Vec::new() })
}

/// Takes the first datagram that answers this query; others (a late answer to a port used again, a
/// forger's guess) are passed over.
fn advance_udp(socket: &UdpSocket, query_id: [u8; 2]) -> io::Result<Progress> {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) if buffer[..len].starts_with(&query_id) => {
                buffer.truncate(len);
                return Ok(Progress::Done(buffer));
            }
            Ok(_) => {}
            Err(e) if waits(&e) => return Ok(Progress::Wait { write: false }),
            Err(e) => return Err(e),
        }
    }
}

fn advance_tcp(stream: &mut TcpStream, incoming: &mut Vec<u8>) -> io::Result<Progress> {
    let mut buffer = [0; DATAGRAM];
    loop {
        if let Some((length, rest)) = incoming.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length));
            if rest.len() >= length {
                return Ok(Progress::Done(rest[..length].to_vec()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => incoming.extend_from_slice(&buffer[..n]),
            Err(e) if waits(&e) => return Ok(Progress::Wait { write: false }),
            Err(e) => return Err(e),
        }
    }
}

/// Not an error but "not yet"; a connection being made reports `NotConnected` until it stands.
fn waits(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected)
}
