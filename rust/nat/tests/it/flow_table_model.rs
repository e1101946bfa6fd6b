//! The flow table against the naive one, under random packets, jumps in time, collisions of ports and
//! caps that are soon reached.

use std::net::IpAddr;
use std::time::Duration;

use nat::flow_table::{Config, FlowId, PeerIndex};
use packet::{Protocol, TcpFlags};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::flow_table_pair::Pair;
use crate::model_flow_table::{Inside, Outside};

const FLAGS: [TcpFlags; 5] = [
    TcpFlags::SYN,
    TcpFlags::ACK,
    TcpFlags::FIN,
    TcpFlags::RST,
    TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0),
];

#[derive(Clone, Debug)]
enum Step {
    Outbound(Inside, usize, usize),
    /// Of one of the flows there are or were.
    Again(prop::sample::Index, usize, usize),
    /// To one of the outside tuples in use.
    Reply(prop::sample::Index, usize),
    Inbound(Outside, usize),
    Rebind(prop::sample::Index, usize),
    End(prop::sample::Index),
    EndProxy(u32, usize),
    EndPeer(u32),
    /// All of it crosses to another table (R38).
    Handover,
    Wait(u64),
}

fn proxy(of: usize) -> IpAddr {
    ["100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1", "fd00:2021:1111:8000::2"][of % 4]
        .parse()
        .expect("an address")
}

/// Of the proxy's family.
fn real(of: usize, proxy: IpAddr) -> IpAddr {
    let pair =
        if proxy.is_ipv6() { ["2001:db8::a", "2001:db8::b"] } else { ["10.0.0.1", "10.0.0.2"] };
    pair[of % 2].parse().expect("an address")
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![4 => Just(Protocol::Tcp), 2 => Just(Protocol::Udp), 1 => Just(Protocol::Icmp)]
}

fn inside() -> impl Strategy<Value = Inside> {
    let port = prop_oneof![Just(0_u16), Just(53), Just(1023), Just(1024), Just(40_000)];
    (0..2_u32, protocol(), port, 0..4_usize, prop_oneof![Just(80_u16), Just(443)]).prop_map(
        |(peer, protocol, port, of, remote)| {
            (peer, protocol, port, proxy(of), if protocol == Protocol::Icmp { 0 } else { remote })
        },
    )
}

/// Waits are multiples of `unit` milliseconds.
fn step(unit: u64) -> impl Strategy<Value = Step> {
    use prop::sample::Index;
    let wait = prop_oneof![
        6 => 1..40_u64,
        2 => prop::sample::select(vec![59_u64, 60, 61, 119, 120, 121, 239, 240, 241, 299, 300, 301]),
        1 => prop::sample::select(vec![3000_u64, 7439, 7440, 7441]),
    ];
    prop_oneof![
        8 => (inside(), 0..2_usize, 0..5_usize).prop_map(|(i, real, flags)| Step::Outbound(i, real, flags)),
        8 => (any::<Index>(), 0..2_usize, 0..5_usize)
            .prop_map(|(at, real, flags)| Step::Again(at, real, flags)),
        8 => (any::<Index>(), 0..5_usize).prop_map(|(at, flags)| Step::Reply(at, flags)),
        1 => (inside(), 0..2_usize, 0..5_usize).prop_map(|(i, of, flags)| {
            Step::Inbound((i.0, i.1, i.2, real(of, i.3), i.4), flags)
        }),
        1 => (any::<Index>(), 0..2_usize).prop_map(|(at, real)| Step::Rebind(at, real)),
        1 => any::<Index>().prop_map(Step::End),
        1 => (0..2_u32, 0..4_usize).prop_map(|(peer, of)| Step::EndProxy(peer, of)),
        1 => (0..20_u32).prop_map(Step::EndPeer),
        1 => Just(Step::Handover),
        6 => wait.prop_map(move |wait| Step::Wait(wait * unit)),
    ]
}

fn run(pair: &mut Pair, steps: Vec<Step>) {
    let mut handles: Vec<(FlowId, Inside)> = Vec::new();
    let mut seen: Vec<Inside> = Vec::new();
    for step in steps {
        match step {
            Step::Outbound(inside, of, flags) => {
                seen.push(inside);
                let flow = pair.outbound(inside, FLAGS[flags], real(of, inside.3));
                handles.retain(|(_, held)| *held != inside);
                handles.extend(flow.map(|flow| (flow, inside)));
            }
            Step::Again(at, of, flags) if !seen.is_empty() => {
                let inside = *at.get(&seen);
                let flow = pair.outbound(inside, FLAGS[flags], real(of, inside.3));
                handles.retain(|(_, held)| *held != inside);
                handles.extend(flow.map(|flow| (flow, inside)));
            }
            Step::Reply(at, flags) => {
                let tuples = pair.model.tuples();
                if !tuples.is_empty() {
                    pair.inbound(*at.get(&tuples), FLAGS[flags]);
                }
            }
            Step::Inbound(outside, flags) => {
                pair.inbound(outside, FLAGS[flags]);
            }
            Step::Rebind(at, of) if !handles.is_empty() => {
                let (flow, inside) = *at.get(&handles);
                pair.rebind(flow, inside, real(of, inside.3));
            }
            Step::End(at) if !handles.is_empty() => {
                let (flow, inside) = handles.swap_remove(at.index(handles.len()));
                pair.end(flow, inside);
            }
            Step::Again(..) | Step::Rebind(..) | Step::End(_) => {}
            Step::EndProxy(peer, of) => {
                let ended = pair.table.end_proxy(PeerIndex(peer), proxy(of), pair.now);
                assert_eq!(ended, pair.model.end_proxy(peer, proxy(of), pair.now));
            }
            Step::EndPeer(peer) => {
                assert_eq!(pair.table.end_peer(PeerIndex(peer)), pair.model.end_peer(peer));
            }
            Step::Handover => {
                handles.clear();
                pair.hand_over();
            }
            Step::Wait(millis) => pair.advance(Duration::from_millis(millis)),
        }
        if pair.model.is_ambiguous {
            return;
        }
        pair.check_all();
    }
}

fn config(seed: u64, cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1, 300))]

    #[test]
    fn r26_r29_r30_r33_r34_r38_the_table_does_as_the_model(
        steps in prop::collection::vec(step(1000), 1..120),
        cap in prop_oneof![Just(3_u32), Just(8), Just(1000)],
    ) {
        let config = Config { flows_per_peer: cap, flows: cap * 3 / 2, ..Config::default() };
        run(&mut Pair::new(config, 1, true), steps);
    }
}

proptest! {
    #![proptest_config(config(2, 200))]

    /// Nobody serves the timer: packets meet the same table all the same.
    #[test]
    fn r30_time_outs_hold_to_the_millisecond_without_the_timer(
        steps in prop::collection::vec(step(1), 1..60).prop_flat_map(|millis| {
            (Just(millis), prop::collection::vec(step(1000), 1..60))
        }).prop_map(|(millis, seconds)| {
            millis.into_iter().zip(seconds).flat_map(|(a, b)| [a, b])
                .filter(|step| !matches!(step, Step::EndPeer(_) | Step::EndProxy(..) | Step::End(_)))
                .collect::<Vec<_>>()
        }),
    ) {
        run(&mut Pair::new(Config::default(), 2, false), steps);
    }
}
