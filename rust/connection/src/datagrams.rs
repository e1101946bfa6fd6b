//! Datagrams as they come from a socket or a link.

use std::net::SocketAddr;
use std::slice;

use packet::Route;

/// Datagrams that arrived together from one address: what the kernel returns as one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent them, as far as the network can tell, and to which address of this host.
    pub route: Route,
    /// Offset of the first byte in the buffer.
    pub start: u32,
    /// Bytes of all datagrams together.
    pub len: u32,
    /// Bytes of each but the last, which may be shorter.
    pub size: u32,
    /// ECN bits of the outer IP header.
    pub ecn: u8,
}

impl Arrival {
    /// Number of datagrams.
    pub fn count(&self) -> u32 {
        self.len.div_ceil(self.size.max(1))
    }
}

/// One or more arrivals in one buffer: what one receive call returns. They are opened in place.
#[derive(Debug)]
pub struct Datagrams<'a> {
    /// The buffer; what lies between the arrivals means nothing.
    pub bytes: &'a mut [u8],
    arrivals: Arrivals<'a>,
}

#[derive(Debug)]
enum Arrivals<'a> {
    One(Arrival),
    Many(&'a [Arrival]),
}

impl<'a> Datagrams<'a> {
    /// Datagrams of `size` bytes each, but for the last, from one address; they fill the buffer.
    pub fn one(from: SocketAddr, bytes: &'a mut [u8], size: usize, ecn: u8) -> Self {
        let (len, size) = (bytes.len() as u32, size as u32);
        Self {
            bytes,
            arrivals: Arrivals::One(Arrival { route: from.into(), start: 0, len, size, ecn }),
        }
    }

    /// What `arrivals` say, in their order; each begins behind the end of the one before it. One that
    /// does not lie inside `bytes` counts as malformed.
    pub fn many(bytes: &'a mut [u8], arrivals: &'a [Arrival]) -> Self {
        Self { bytes, arrivals: Arrivals::Many(arrivals) }
    }

    /// What arrived, in order.
    pub fn arrivals(&self) -> &[Arrival] {
        match &self.arrivals {
            Arrivals::One(arrival) => slice::from_ref(arrival),
            Arrivals::Many(arrivals) => arrivals,
        }
    }
}
