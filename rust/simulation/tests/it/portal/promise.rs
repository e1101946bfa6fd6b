//! The promise over a path that ICE found: an entry that is made again never halts, drops or misdirects.

use packet::parse;

use crate::portal::{CLIENT, Portal};
use crate::rig::udp;
use crate::several::address_of;

/// Where the name leads at first.
const REAL: [u8; 4] = [10, 77, 3, 9];
/// Milliseconds between two packets of the flow.
const STEP: u64 = 20;

#[test]
fn r05_names_that_are_asked_for_again_disturb_no_flow() {
    let mut portal = Portal::new(1);
    let proxy = portal.ask("app.site.example");
    let mut sent = 0_u32;
    let send = |portal: &mut Portal, sent: &mut u32| {
        let packet = udp((address_of(CLIENT), 6_000), (proxy, 7), &sent.to_be_bytes());
        *sent += 1;
        portal.send(CLIENT, packet);
    };
    send(&mut portal, &mut sent);
    portal.advance_by(3_000);
    let mut arrived = portal.handed(1);
    assert_eq!(arrived.len(), 1, "held until there was a path, and not twice");
    let outside = parse(&arrived[0]).expect("valid").source;
    portal.send(1, udp((REAL, 7), (outside, 6_000), b"answer"));
    portal.advance_by(50);
    assert_eq!(portal.handed(CLIENT).len(), 2, "the answers of DNS and of the host");

    for round in 0..500 {
        send(&mut portal, &mut sent);
        if round % 7 == 0 {
            assert_eq!(portal.ask("app.site.example"), proxy);
        }
        if round == 250 {
            // The name leads elsewhere from now on; a flow that works stays where it is.
            portal.real = vec![[10, 77, 3, 10].into()];
        }
        portal.advance_by(STEP);
    }
    portal.advance_by(1_000);
    arrived.extend(portal.handed(1));

    let numbers: Vec<u32> = arrived
        .iter()
        .map(|packet| u32::from_be_bytes(*packet[28..].first_chunk().expect("a number")))
        .collect();
    let expected: Vec<u32> = (0..sent).collect();
    assert_eq!(numbers, expected, "every one, once, in order");
    let elsewhere = arrived
        .iter()
        .filter(|packet| parse(packet).expect("valid").destination != std::net::IpAddr::from(REAL));
    assert_eq!(elsewhere.count(), 0);
}
