//! What joins the endpoints of a laboratory: seeded links inside the process.

use std::net::SocketAddr;

use link::Link;
use packet::{Class, Instant, SendBuffer};
use tunnel::Datagrams;

/// Endpoints joined by links, one per direction of each pair that is joined.
#[derive(Debug)]
pub struct Links {
    /// By station.
    addresses: Vec<SocketAddr>,
    links: Vec<Joint>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Joint {
    from: usize,
    to: usize,
    link: Link,
}

impl Links {
    /// Stations at these addresses, not joined yet.
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, links: Vec::new(), buffer: Vec::new() }
    }

    /// Lets what station `from` sends to station `to` travel over `link`.
    pub fn join(&mut self, from: usize, to: usize, link: Link) {
        self.links.push(Joint { from, to, link });
    }

    /// Puts everything that `station` wrote on the links to whom it is for.
    pub(crate) fn send(&mut self, station: usize, send: &SendBuffer, now: Instant) {
        for (run, bytes) in send.iter() {
            let joint = self.links.iter_mut().find(|joint| {
                joint.from == station && self.addresses.get(joint.to) == Some(&run.route.remote)
            });
            if let Some(joint) = joint {
                joint.link.send_run(run, bytes, now);
            }
        }
    }

    /// The next batch for `station` that is due.
    pub(crate) fn receive(&mut self, station: usize, now: Instant) -> Option<Datagrams<'_>> {
        let buffer = &mut self.buffer;
        let mut joints = self.links.iter_mut().filter(|joint| joint.to == station);
        let (from, size) = joints.find_map(|joint| {
            let (_, size) = joint.link.receive_run(now, buffer)?;
            Some((joint.from, size))
        })?;
        let from = *self.addresses.get(from)?;
        Some(Datagrams::one(from, &mut self.buffer, size, 0))
    }

    /// When the next datagram is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.links.iter().filter_map(|joint| joint.link.poll_timeout()).min()
    }

    /// Data datagrams that the links of `station` lost or had no room for.
    pub(crate) fn dropped(&self, station: usize) -> u64 {
        let own = self.links.iter().filter(|joint| joint.from == station);
        let counters = own.map(|joint| joint.link.counters(Class::Data));
        counters.map(|counters| counters.lost + counters.tail_dropped).sum()
    }
}
