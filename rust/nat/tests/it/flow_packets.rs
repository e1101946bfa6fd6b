//! Real packets for what the models speak of.

use std::net::{IpAddr, SocketAddr};

use packet::{Protocol, TcpFlags, build};

use crate::flow_table_pair::CLIENT;
use crate::model_flow_table::{Inside, Outside};

const PAYLOAD: &[u8] = b"what a packet carries";

pub(crate) fn client(other: IpAddr) -> IpAddr {
    if other.is_ipv6() { "fd00::1".parse().expect("an address") } else { CLIENT }
}

/// One packet of `protocol`; for echo the port that is not 0 is the identifier.
pub(crate) fn packet(
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
    into: &mut [u8],
) -> &mut [u8] {
    let flags = TcpFlags::ACK | TcpFlags::PSH;
    let len = match protocol {
        Protocol::Tcp => build::tcp(source, destination, 7, 9, flags, 500, PAYLOAD, into),
        Protocol::Udp => build::udp(source, destination, PAYLOAD, into),
        Protocol::Icmp => {
            let is_request = source.port() != 0;
            let identifier = source.port().max(destination.port());
            let (source, destination) = (source.ip(), destination.ip());
            build::echo(source, destination, identifier, 3, is_request, PAYLOAD, into)
        }
    };
    &mut into[..len.expect("room for a packet")]
}

/// What a Client sends; with an outside tuple, what leaves the Gateway.
pub(crate) fn from_client<'b>(inside: &Inside, into: &'b mut [u8]) -> &'b mut [u8] {
    let (_, protocol, port, proxy, remote) = *inside;
    let source = SocketAddr::new(client(proxy), port);
    packet(protocol, source, SocketAddr::new(proxy, remote), into)
}

/// What comes to a Gateway, or with an inside tuple what a Client gets.
pub(crate) fn back<'b>(tuple: &Outside, into: &'b mut [u8]) -> &'b mut [u8] {
    let (_, protocol, port, address, remote) = *tuple;
    let destination = SocketAddr::new(client(address), port);
    packet(protocol, SocketAddr::new(address, remote), destination, into)
}
