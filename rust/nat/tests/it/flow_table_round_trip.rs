//! What goes out and comes back is the packet it was, byte for byte: packets are made anew for each
//! side and compared with what the rewrites make of each other's (R35).

use std::net::IpAddr;
use std::time::Duration;

use nat::flow_table::{
    Binding, Config, Direction, FlowTable, Inbound, Outbound, PeerIndex, Quoted,
};
use packet::icmp::Embedded;
use packet::{Instant, Protocol, Train};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::flow_packets::{back, client, from_client};
use crate::model_flow_table::{Inside, Outside};

fn address(is_ipv6: bool) -> impl Strategy<Value = IpAddr> {
    (any::<u32>(), any::<u128>()).prop_map(move |(short, long)| {
        if is_ipv6 { long.to_be_bytes().into() } else { short.to_be_bytes().into() }
    })
}

fn flow() -> impl Strategy<Value = (Inside, IpAddr)> {
    let protocol = prop::sample::select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Icmp]);
    (any::<bool>(), protocol, 1..=3_u16, 1..=u16::MAX).prop_flat_map(
        |(v6, protocol, port, remote)| {
            // Few client ports, so that most flows to one place collide.
            let port = if remote % 2 == 0 { port } else { 1023 + port };
            let remote = if protocol == Protocol::Icmp { 0 } else { remote % 2 + 1 };
            (address(v6), address(v6))
                .prop_map(move |(proxy, real)| ((0, protocol, port, proxy, remote), real))
        },
    )
}

/// The outside tuple that an outbound packet has after its rewrite.
fn send(table: &mut FlowTable, inside: &Inside, real: IpAddr, now: Instant) -> Outside {
    let mut buffer = [0; 256];
    let mut train = Train::single(from_client(inside, &mut buffer)).unwrap();
    let summary = *train.summary();
    let hit = match table.outbound(PeerIndex(0), &summary, 9, 1, now) {
        Outbound::Miss => {
            let binding = Binding { real, epoch: 0, tag: 0 };
            table.create(PeerIndex(0), &summary, binding, 9, 1, now).unwrap()
        }
        Outbound::Hit(hit) => hit,
        Outbound::Expired => panic!("a flow that never ended"),
    };
    train.rewrite(&hit.rewrite);
    let (protocol, port, remote) = train.summary().transport.flow().unwrap();
    let outside = (0, protocol, port, hit.rewrite.address(), remote);
    let mut copy = [0; 256];
    let len = train.write_segment(0, &mut copy);
    assert_eq!(copy[..len], *from_client(&outside, &mut [0; 256]), "as if sent to {outside:?}");
    outside
}

/// The answer to it arrives as if it came from the proxy address.
fn answer(table: &mut FlowTable, outside: &Outside, inside: &Inside, now: Instant) {
    let mut buffer = [0; 256];
    let mut train = Train::single(back(outside, &mut buffer)).unwrap();
    let found = table.inbound(PeerIndex(0), train.summary(), 9, 1, now);
    let Inbound::Hit(hit) = found else { panic!("{found:?}") };
    train.rewrite(&hit.rewrite);
    let mut copy = [0; 256];
    let len = train.write_segment(0, &mut copy);
    assert_eq!(copy[..len], *back(inside, &mut [0; 256]));
}

/// What an ICMP error about the packet of either side says leads to the other side.
fn quote(table: &mut FlowTable, outside: &Outside, inside: &Inside, now: Instant) {
    let ports = |tuple: &Outside, out: bool| match (tuple.1, out) {
        (Protocol::Icmp, _) => (tuple.2, 0),
        (_, true) => (tuple.2, tuple.4),
        (_, false) => (tuple.4, tuple.2),
    };
    let (source_port, destination_port) = ports(outside, true);
    let (source, destination, protocol) = (client(outside.3), outside.3, outside.1);
    let sent = Embedded { source, destination, protocol, source_port, destination_port };
    let (source_port, destination_port) = ports(inside, false);
    let (source, destination) = (inside.3, client(inside.3));
    let received = Embedded { source, destination, protocol, source_port, destination_port };
    for (quoted, direction) in [(sent, Direction::Inbound), (received, Direction::Outbound)] {
        let found = table.lookup_embedded(PeerIndex(0), &quoted, direction, now);
        let Quoted::Hit(flow) = found else { panic!("{found:?} for {quoted:?}") };
        let sides = ((flow.client_port, flow.proxy), (flow.outside_port, flow.real));
        assert_eq!(sides, ((inside.2, inside.3), (outside.2, outside.3)));
        assert_eq!(flow.remote_port, inside.4);
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(4),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn r35_what_goes_out_and_back_is_the_packet_it_was(
        flows in prop::collection::vec(flow(), 1..40),
        shared in any::<bool>(),
    ) {
        let mut table = FlowTable::new(Config::default(), 5);
        let now = Instant::ZERO + Duration::from_secs(1);
        let mut sent: Vec<(Inside, Outside)> = Vec::new();
        for (inside, real) in &flows {
            // All to one place, or each to its own.
            let same = flows.iter().find(|(_, other)| other.is_ipv6() == real.is_ipv6());
            let real = if shared { same.map_or(*real, |(_, first)| *first) } else { *real };
            let outside = send(&mut table, inside, real, now);
            sent.retain(|(known, _)| known != inside);
            sent.push((*inside, outside));
        }
        for (inside, outside) in &sent {
            let others = sent.iter().filter(|(_, other)| other == outside).count();
            prop_assert_eq!(others, 1, "R29: two flows behind {:?}", outside);
            answer(&mut table, outside, inside, now);
            quote(&mut table, outside, inside, now);
            prop_assert_eq!(send(&mut table, inside, outside.3, now), *outside);
        }
    }
}
