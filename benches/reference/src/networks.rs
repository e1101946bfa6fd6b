//! Resources of networks asked one after the other: the longest that holds the address and lets the port
//! pass counts, so that none can be left out.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use dns::Prefix;

/// The resources, each with the ports that it lets pass.
#[derive(Default)]
pub struct OneByOne(Vec<(Prefix, RangeInclusive<u16>)>);

impl OneByOne {
    /// Adds a resource.
    pub fn push(&mut self, network: Prefix, ports: RangeInclusive<u16>) {
        self.0.push((network, ports));
    }

    /// The number of the resource that lets a packet to `port` at `address` pass.
    pub fn find(&self, address: IpAddr, port: u16) -> Option<usize> {
        let permits = |network: &Prefix, ports: &RangeInclusive<u16>| {
            network.contains(address) && ports.contains(&port)
        };
        let all = self.0.iter().enumerate().filter(|(_, (network, ports))| permits(network, ports));
        all.max_by_key(|(_, (network, _))| network.length()).map(|(at, _)| at)
    }
}
