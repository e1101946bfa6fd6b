//! Datagrams as they come from a socket or a link.

use std::net::SocketAddr;

/// Datagrams that arrived together from one address: what one receive call with GRO returns.
#[derive(Debug)]
pub struct Datagrams<'a> {
    /// Who sent them, as far as the network can tell.
    pub from: SocketAddr,
    /// One behind the other; they are opened in place.
    pub bytes: &'a mut [u8],
    /// Bytes of each but the last, which may be shorter.
    pub size: usize,
    /// ECN bits of the outer IP header.
    pub ecn: u8,
}
