//! What joins endpoints: in the laboratory a pair of seeded links inside the process.

use std::net::SocketAddr;

use link::Link;
use packet::{Class, Instant, SendBuffer};

/// Two endpoints joined by one link per direction.
#[derive(Debug)]
pub struct Wire {
    addresses: [SocketAddr; 2],
    /// `links[i]` carries what station `i` sends.
    links: [Link; 2],
    buffer: Vec<u8>,
}

/// Datagrams that arrived together: all of `datagram_size` bytes but the last.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    /// Who sent them.
    pub(crate) from: SocketAddr,
    /// The datagrams, one behind the other.
    pub(crate) bytes: &'a mut [u8],
    /// Size of each but the last.
    pub(crate) datagram_size: usize,
}

impl Wire {
    /// Joins station 0 at `addresses[0]` with station 1 at `addresses[1]`.
    pub fn new(addresses: [SocketAddr; 2], links: [Link; 2]) -> Self {
        Self { addresses, links, buffer: Vec::new() }
    }

    /// Puts everything that `station` wrote for the other one on its link.
    pub(crate) fn send(&mut self, station: usize, send: &SendBuffer, now: Instant) {
        for (run, bytes) in send.iter() {
            if run.remote == self.addresses[1 - station] {
                self.links[station].send_run(run, bytes, now);
            }
        }
    }

    /// The next batch for `station` that is due.
    pub(crate) fn receive(&mut self, station: usize, now: Instant) -> Option<Batch<'_>> {
        let sender = 1 - station;
        let (_, datagram_size) = self.links[sender].receive_run(now, &mut self.buffer)?;
        Some(Batch { from: self.addresses[sender], bytes: &mut self.buffer, datagram_size })
    }

    /// When the next datagram is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.links.iter().filter_map(Link::poll_timeout).min()
    }

    /// Data datagrams that the link of `station` lost or had no room for.
    pub(crate) fn dropped(&self, station: usize) -> u64 {
        let counters = self.links[station].counters(Class::Data);
        counters.lost + counters.tail_dropped
    }
}
