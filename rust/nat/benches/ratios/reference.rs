//! What the flow table is measured against: the shape that is usual for one. Two maps of the standard
//! library with its hasher, one for each direction, a tree for what is known of a flow, ports found by
//! trying one after the other, and expiry by looking at every flow. Kept as simple as that is.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::Duration;

use packet::{Instant, Protocol, Rewrite, Summary};

/// Protocol, port of the Client, proxy address, port of the resource.
type Inside = (u8, u16, IpAddr, u16);
/// Protocol, port outside, real address, port of the resource.
type Outside = (u8, u16, IpAddr, u16);

struct Seen {
    outbound: Instant,
    inbound: Option<Instant>,
}

#[derive(Default)]
pub(crate) struct Reference {
    outside: HashMap<Inside, Outside>,
    inside: HashMap<Outside, Inside>,
    seen: BTreeMap<Inside, Seen>,
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    }
}

impl Reference {
    pub(crate) fn outbound(&mut self, summary: &Summary, now: Instant) -> Option<Rewrite> {
        let (protocol, port, remote) = summary.transport.flow()?;
        let inside = (number(protocol), port, summary.destination, remote);
        let (_, outside_port, real, _) = *self.outside.get(&inside)?;
        self.seen.get_mut(&inside)?.outbound = now;
        Some(Rewrite::outbound(summary.destination, real, port, outside_port))
    }

    pub(crate) fn inbound(&mut self, summary: &Summary, now: Instant) -> Option<Rewrite> {
        let (protocol, remote, port) = summary.transport.flow()?;
        let outside = (number(protocol), port, summary.source, remote);
        let inside = *self.inside.get(&outside)?;
        self.seen.get_mut(&inside)?.inbound = Some(now);
        Some(Rewrite::inbound(summary.source, inside.2, port, inside.1))
    }

    pub(crate) fn create(&mut self, summary: &Summary, real: IpAddr, now: Instant) -> bool {
        let Some((protocol, port, remote)) = summary.transport.flow() else { return false };
        let protocol = number(protocol);
        let ports = (port..=u16::MAX).chain(1024..port);
        let free = ports.map(|port| (protocol, port, real, remote));
        let mut free = free.filter(|outside| !self.inside.contains_key(outside));
        let Some(outside) = free.next() else { return false };
        let inside = (protocol, port, summary.destination, remote);
        self.outside.insert(inside, outside);
        self.inside.insert(outside, inside);
        self.seen.insert(inside, Seen { outbound: now, inbound: None });
        true
    }

    pub(crate) fn remove(&mut self, summary: &Summary) {
        let Some((protocol, port, remote)) = summary.transport.flow() else { return };
        let inside = (number(protocol), port, summary.destination, remote);
        self.seen.remove(&inside);
        if let Some(outside) = self.outside.remove(&inside) {
            self.inside.remove(&outside);
        }
    }

    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let life = Duration::from_secs(7440);
        let last = |seen: &Seen| seen.inbound.unwrap_or(seen.outbound).max(seen.outbound);
        let due = self.seen.iter().filter(|(_, seen)| now - last(seen) >= life);
        let due: Vec<Inside> = due.map(|(inside, _)| *inside).collect();
        for inside in &due {
            self.seen.remove(inside);
            if let Some(outside) = self.outside.remove(inside) {
                self.inside.remove(&outside);
            }
        }
        due.len()
    }
}
