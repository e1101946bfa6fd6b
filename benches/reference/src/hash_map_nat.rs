//! A NAT as the standard library suggests it: a map for each direction, with all of a flow in one of
//! them, and the standard hasher.

use std::collections::HashMap;
use std::net::IpAddr;

use packet::{Instant, Protocol, Rewrite, Summary};

/// Protocol, own port, address, remote port.
type Key = (u8, u16, IpAddr, u16);

struct Flow {
    outside: Key,
    last_outgoing: Instant,
    last_incoming: Option<Instant>,
}

/// The table.
#[derive(Default)]
pub struct HashMapNat {
    flows: HashMap<Key, Flow>,
    inside: HashMap<Key, Key>,
}

fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Icmp => 1,
    }
}

impl HashMapNat {
    /// Opens a flow, if its own port is free outside.
    pub fn create(&mut self, summary: &Summary, real: IpAddr, now: Instant) -> bool {
        let Some((protocol, port, remote)) = summary.transport.flow() else { return false };
        let inside = (number(protocol), port, summary.destination, remote);
        let outside = (number(protocol), port, real, remote);
        if self.inside.contains_key(&outside) {
            return false;
        }
        self.inside.insert(outside, inside);
        self.flows.insert(inside, Flow { outside, last_outgoing: now, last_incoming: None });
        true
    }

    /// Finds the flow of a packet of a Client.
    pub fn outbound(&mut self, summary: &Summary, now: Instant) -> Option<Rewrite> {
        let (protocol, port, remote) = summary.transport.flow()?;
        let inside = (number(protocol), port, summary.destination, remote);
        let flow = self.flows.get_mut(&inside)?;
        flow.last_outgoing = now;
        let (_, outside, real, _) = flow.outside;
        Some(Rewrite::outbound(summary.destination, real, port, outside))
    }

    /// Finds the flow of a packet from outside.
    pub fn inbound(&mut self, summary: &Summary, now: Instant) -> Option<Rewrite> {
        let (protocol, remote, port) = summary.transport.flow()?;
        let outside = (number(protocol), port, summary.source, remote);
        let inside = *self.inside.get(&outside)?;
        self.flows.get_mut(&inside)?.last_incoming = Some(now);
        Some(Rewrite::inbound(summary.source, inside.2, port, inside.1))
    }
}
