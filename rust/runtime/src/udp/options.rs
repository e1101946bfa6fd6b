//! How the sockets are made.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::{ANY, Families, UdpError, message, sorting};
use crate::offloads::Offloads;
use crate::room;

/// Least port that is tried when none is asked for; the kernel chooses.
const ANY_PORT: u16 = 0;

/// What an endpoint's sockets are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpConfig {
    /// The port; 0 lets the kernel choose.
    pub port: u16,
    /// Mark of what is sent, by which routes into the tunnel are avoided (dataplane 1.5).
    pub mark: Option<u32>,
    /// Bytes that the kernel may hold for us to send.
    pub send_buffer: usize,
    /// Bytes that the kernel may hold until they are received.
    pub receive_buffer: usize,
    /// Whether the kernel may cut up and join datagrams (GSO, GRO).
    pub offloads: Offloads,
}

impl Default for UdpConfig {
    /// The values of dataplane 7.4.
    fn default() -> Self {
        Self {
            port: ANY_PORT,
            mark: None,
            send_buffer: 2 << 20,
            receive_buffer: 16 << 20,
            offloads: Offloads::Auto,
        }
    }
}

impl UdpConfig {
    /// Both sockets on one port; one where the host has no address family for the other.
    pub(super) fn open(&self) -> io::Result<Families> {
        let ipv4 = self.open_family(Domain::IPV4, SocketAddr::from((ANY.0, self.port)));
        let port = match &ipv4 {
            Ok(socket) => socket.local_addr()?.port(),
            Err(error) if is_missing_family(error) => self.port,
            Err(_) => return ipv4.map(|socket| (Some(socket), None)),
        };
        let ipv6 = self.open_family(Domain::IPV6, SocketAddr::from((ANY.1, port)));
        match (ipv4, ipv6) {
            (Ok(ipv4), Ok(ipv6)) => Ok((Some(ipv4), Some(ipv6))),
            (Ok(ipv4), Err(error)) if is_missing_family(&error) => Ok((Some(ipv4), None)),
            (Err(_), Ok(ipv6)) => Ok((None, Some(ipv6))),
            (_, Err(error)) => Err(error),
        }
    }

    /// Both sockets of another process, or one; each is checked to be what it is taken for.
    pub(super) fn adopt(&self, sockets: Vec<OwnedFd>) -> Result<Families, UdpError> {
        let other = |found: &str| UdpError::Other(found.to_owned());
        let (mut ipv4, mut ipv6) = (None, None);
        for socket in sockets.into_iter().map(Socket::from) {
            let is_udp = socket.r#type().is_ok_and(|kind| kind == Type::DGRAM)
                && socket.protocol().is_ok_and(|protocol| protocol == Some(Protocol::UDP));
            let address = socket.local_addr().ok().and_then(|address| address.as_socket());
            let address = address.filter(|_| is_udp).ok_or_else(|| other("no UDP socket"))?;
            if self.port != ANY_PORT && address.port() != self.port {
                return Err(UdpError::Other(format!(
                    "one of port {}, not {}",
                    address.port(),
                    self.port
                )));
            }
            let place = if address.is_ipv6() { &mut ipv6 } else { &mut ipv4 };
            if place.is_some() {
                return Err(other("the second one of its family"));
            }
            socket.set_nonblocking(true)?;
            socket.set_cloexec(true)?;
            self.tune(&socket)?;
            let is_ipv6 = address.is_ipv6();
            let socket = UdpSocket::from(socket);
            message::prepare(&socket, is_ipv6, self.offloads)?;
            *place = Some(socket);
        }
        let is_any = ipv4.is_some() || ipv6.is_some();
        if is_any { Ok((ipv4, ipv6)) } else { Err(other("missing")) }
    }

    /// What may be another value in each process.
    fn tune(&self, socket: &Socket) -> io::Result<()> {
        if let Some(mark) = self.mark {
            socket.set_mark(mark)?;
        }
        // A smaller buffer works, only worse.
        room::to_send(socket, self.send_buffer);
        room::to_receive(socket, self.receive_buffer);
        Ok(())
    }

    fn open_family(&self, domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.new_socket(domain)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        message::prepare(&socket, domain == Domain::IPV6, self.offloads)?;
        Ok(socket)
    }

    /// Beside each socket one to which the kernel gives what carries no data; `None` where it cannot:
    /// then all arrives at the first.
    pub(super) fn beside(&self, (ipv4, ipv6): &Families) -> [Option<UdpSocket>; 2] {
        [ipv4, ipv6].map(|data| self.join(data.as_ref()?).ok())
    }

    fn join(&self, data: &UdpSocket) -> io::Result<UdpSocket> {
        let address = data.local_addr()?;
        let domain = Domain::for_address(address);
        let control = self.new_socket(domain)?;
        sorting::join(data, &control, address)?;
        let control = UdpSocket::from(control);
        message::prepare(&control, domain == Domain::IPV6, self.offloads)?;
        Ok(control)
    }

    /// A socket with our options that has no address yet.
    fn new_socket(&self, domain: Domain) -> io::Result<Socket> {
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(true)?;
        }
        self.tune(&socket)?;
        Ok(socket)
    }
}

/// Whether a host lacks an address family altogether.
fn is_missing_family(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL | libc::EPROTONOSUPPORT)
    )
}
