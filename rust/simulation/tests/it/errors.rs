//! ICMP errors of the site reach the Client about the packet that it knows (R32).

use packet::icmp::{self, Unreachable};
use simulation::Side;

use crate::rig::{CLIENT, NAME, Rig, addresses, icmp as kind, udp};

fn error_about(packet: &[u8], why: Unreachable) -> Vec<u8> {
    let mut error = vec![0; 1280];
    let len = icmp::unreachable(packet, why, &mut error).expect("an error");
    error.truncate(len);
    error
}

#[test]
fn r32_an_error_quotes_the_proxy_address_and_comes_from_it() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(100);
    let sent = rig.delivered(Side::Gateway).remove(0);
    rig.delivered(Side::Client);

    rig.send(Side::Gateway, error_about(&sent, Unreachable::Network));
    rig.advance(200);

    let errors = rig.delivered(Side::Client);
    assert_eq!(kind(&errors[0]), (4, 3, 0));
    assert_eq!(addresses(&errors[0]).0, proxy);
    let quoted = icmp::embedded(&errors[0]).expect("a quote with right checksums");
    assert_eq!(quoted.source, std::net::IpAddr::from(CLIENT));
    assert_eq!(quoted.destination, proxy);
    assert_eq!((quoted.source_port, quoted.destination_port), (5000, 80));
}

#[test]
fn an_error_about_nothing_we_sent_is_dropped() {
    let mut rig = Rig::new();
    rig.proxies(NAME);
    rig.advance(100);
    rig.delivered(Side::Client);
    let never_sent = udp((CLIENT, 5000), ([10, 77, 0, 11], 80), b"x");

    rig.send(Side::Gateway, error_about(&never_sent, Unreachable::Network));
    rig.advance(200);

    assert!(rig.delivered(Side::Client).is_empty());
    assert_eq!(rig.gateway_counters()["refused"]["unrelated_icmp_error"], 1);
}
