//! What anybody can send to an end, or have a portal tell it: nothing panics, nobody is moved, and little
//! is sent.

use std::net::SocketAddr;

use connection::{Arrival, Datagrams, Opened};
use packet::Route;
use proptest::prelude::*;

use crate::field::Field;

fn arrive(field: &mut Field, end: usize, remote: SocketAddr, mut datagram: Vec<u8>) {
    let route = Route { remote, local: Some(field.hosts[end][0].ip()) };
    let len = datagram.len() as u32;
    let arrivals = [Arrival { route, start: 0, len, size: len.max(1), ecn: 0 }];
    let mut opened = Opened::default();
    let mut datagrams = Datagrams::many(&mut datagram, &arrivals);
    field.nodes[end].open(&mut datagrams, field.now, &mut opened);
    field.collect(end);
}

/// Messages of a whole connection.
fn genuine() -> Vec<Vec<u8>> {
    let field = Field::connected();
    let sent = field.log.into_iter().map(|(_, (_, _, bytes))| bytes);
    sent.filter(|bytes| bytes[0] < 4 && bytes[4..8] == [0x21, 0x12, 0xa4, 0x42]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn changed_messages_change_nothing(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1u8..), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let genuine = genuine();
        let mut field = Field::connected();
        let places = [0, 1].map(|end| field.nodes[end].remote(field.peers[end]));
        let nowhere = SocketAddr::from(([203, 0, 113, 9], 9));
        for (which, at, change) in changes {
            let mut message = which.get(&genuine).clone();
            let place = at.index(message.len());
            message[place] ^= change;
            let short = message[..cut.index(message.len())].to_vec();
            for end in [0, 1] {
                arrive(&mut field, end, nowhere, message.clone());
                arrive(&mut field, end, nowhere, short.clone());
            }
        }
        field.advance(field.now + std::time::Duration::from_secs(2));
        let after = [0, 1].map(|end| field.nodes[end].remote(field.peers[end]));
        prop_assert_eq!(places, after);
        prop_assert!(field.passes(0) && field.passes(1));
    }

    #[test]
    fn bytes_that_look_like_stun_are_no_panic(
        kind in 0u8..4, second in any::<u8>(), rest in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let mut field = Field::connected();
        let mut message = vec![kind, second, (rest.len() >> 8) as u8, rest.len() as u8];
        message.extend([0x21, 0x12, 0xa4, 0x42]);
        message.extend([7; 12]);
        message.extend(&rest);
        let sent = field.sent;
        arrive(&mut field, 0, SocketAddr::from(([203, 0, 113, 9], 9)), message);
        prop_assert_eq!(field.sent, sent, "nobody without the password is answered");
    }

    #[test]
    fn lines_of_a_portal_are_no_panic_and_cost_a_bounded_number_of_requests(
        lines in proptest::collection::vec(any::<String>(), 0..20),
        hosts in proptest::collection::vec((any::<[u8; 4]>(), any::<u16>(), any::<u32>()), 0..400),
        removed in any::<prop::sample::Index>(),
    ) {
        let mut field = Field::connected();
        let kinds = ["host", "srflx", "relay", "prflx"];
        let told: Vec<String> = hosts
            .iter()
            .enumerate()
            .map(|(i, (ip, port, priority))| {
                let ip = std::net::Ipv4Addr::from(*ip);
                format!("candidate:{i} 1 udp {priority} {ip} {port} typ {}", kinds[i % 4])
            })
            .chain(lines)
            .collect();
        field.tell(0, &told);
        let sent = field.sent;
        field.advance(field.now + std::time::Duration::from_millis(100));
        prop_assert!(field.sent - sent <= 110, "{} at once", field.sent - sent);
        if !told.is_empty() {
            let gone = &told[removed.index(told.len())..];
            field.nodes[0].remove_remote_candidates(field.peers[0], gone, field.now);
        }
        field.advance(field.now + std::time::Duration::from_secs(1));
    }
}
