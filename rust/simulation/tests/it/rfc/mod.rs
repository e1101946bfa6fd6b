//! The requirements on a NAT that apply to this one, by their numbers; docs/rules.md has the table. Ours
//! is a NAT of destinations inside a tunnel: what a Client knows are proxy addresses, and its own address
//! stays what it is.

mod icmp;
mod tcp;
mod udp;

use std::net::IpAddr;

use packet::{Transport, parse};
use simulation::{PairConfig, Side};

use crate::rig::{RESOURCE, Rig, dns_resource};

/// The address that all names lead to.
const REAL: [u8; 4] = [10, 77, 0, 11];

/// A rig with three names of one address, and what the Client calls it.
fn three_names() -> (Rig, [IpAddr; 3]) {
    let mut rig = Rig::without_access(PairConfig::new(1));
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    let names = ["a.site.example", "b.site.example", "c.site.example"];
    let proxies = names.map(|name| rig.proxies(name).ipv4[0].into());
    rig.advance(100);
    rig.delivered(Side::Client);
    (rig, proxies)
}

/// Source address and port of a packet.
fn source(packet: &[u8]) -> (IpAddr, u16) {
    let summary = parse(packet).expect("valid");
    match summary.transport {
        Transport::Tcp { source, .. } | Transport::Udp { source, .. } => (summary.source, source),
        Transport::Echo { identifier, .. } => (summary.source, identifier),
        other => panic!("{other:?}"),
    }
}

fn payload(packet: &[u8]) -> &[u8] {
    &packet[usize::from(parse(packet).expect("valid").header_len)..]
}
