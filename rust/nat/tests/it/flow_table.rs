//! The flow table rule by rule.

use std::net::IpAddr;
use std::time::Duration;

use nat::flow_table::{
    Binding, CloseReason, Config, Direction, FlowEvent, FlowHit, FlowTable, Inbound, NatError,
    Outbound, PeerIndex, Quoted, Traffic,
};
use packet::icmp::Embedded;
use packet::{Instant, Protocol, TcpFlags, Transport};

use crate::flow_table_pair::{CLIENT, from_client, from_outside, summary};
use crate::model_flow_table::{Inside, Outside};

const PEER: PeerIndex = PeerIndex(0);
const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const FIN: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const RST: TcpFlags = TcpFlags::RST;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn proxy() -> IpAddr {
    address("100.96.0.1")
}

fn real() -> IpAddr {
    address("10.0.0.1")
}

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn inside(protocol: Protocol, port: u16) -> Inside {
    (0, protocol, port, proxy(), if protocol == Protocol::Icmp { 0 } else { 443 })
}

fn table() -> FlowTable {
    FlowTable::new(Config::default(), 1)
}

/// Sends out and opens the flow if there is none; the outside tuple is what comes of it.
fn open(
    table: &mut FlowTable,
    inside: Inside,
    real: IpAddr,
    flags: TcpFlags,
    now: Instant,
) -> Outside {
    let sent = from_client(&inside, flags);
    let hit = match table.outbound(PeerIndex(inside.0), &sent, 100, 1, now) {
        Outbound::Hit(hit) => hit,
        Outbound::Expired => panic!("late"),
        Outbound::Miss => create(table, inside, real, flags, now).unwrap(),
    };
    outside(&hit, inside)
}

fn create(
    table: &mut FlowTable,
    inside: Inside,
    real: IpAddr,
    flags: TcpFlags,
    now: Instant,
) -> Result<FlowHit, NatError> {
    let binding = Binding { real, epoch: 1, tag: 2 };
    table.create(PeerIndex(inside.0), &from_client(&inside, flags), binding, 100, 1, now)
}

fn outside(hit: &FlowHit, inside: Inside) -> Outside {
    (inside.0, inside.1, hit.outside_port, hit.rewrite.address(), inside.4)
}

fn reply(table: &mut FlowTable, outside: Outside, flags: TcpFlags, now: Instant) -> Inbound {
    table.inbound(PeerIndex(outside.0), &from_outside(&outside, flags), 60, 1, now)
}

fn sent(table: &mut FlowTable, inside: Inside, flags: TcpFlags, now: Instant) -> Outbound {
    table.outbound(PeerIndex(inside.0), &from_client(&inside, flags), 100, 1, now)
}

fn closed(table: &mut FlowTable) -> Vec<(u16, CloseReason)> {
    let events = std::iter::from_fn(|| table.poll_event());
    let closed = events.filter_map(|event| match event {
        FlowEvent::Closed(record, reason) => Some((record.client_port, reason)),
        FlowEvent::Opened(_) => None,
    });
    closed.collect()
}

#[test]
fn r26_a_live_flow_keeps_its_address_whatever_is_dealt_now() {
    let mut table = table();
    open(&mut table, inside(Protocol::Tcp, 5000), real(), SYN, at(0));
    let other = create(&mut table, inside(Protocol::Tcp, 5000), address("10.0.0.2"), ACK, at(1));
    assert_eq!(other.unwrap().rewrite.address(), real());
    assert_eq!(table.counters().live, 1);
}

#[test]
fn r26_epoch_and_tag_are_the_owners() {
    let mut table = table();
    let flow = create(&mut table, inside(Protocol::Udp, 5000), real(), SYN, at(0)).unwrap();
    assert_eq!((flow.epoch, flow.tag), (1, 2));
    table.set_epoch(flow.flow, 7, 9);
    let Outbound::Hit(hit) = sent(&mut table, inside(Protocol::Udp, 5000), SYN, at(1)) else {
        panic!("a hit");
    };
    assert_eq!((hit.epoch, hit.tag), (7, 9));
    assert!(table.end(flow.flow, CloseReason::Revoked, at(2)));
    assert!(!table.end(flow.flow, CloseReason::Revoked, at(2)));
    assert_eq!(sent(&mut table, inside(Protocol::Udp, 5000), SYN, at(3)), Outbound::Miss);
}

#[test]
fn r27_an_unanswered_flow_is_rebound_in_place_and_its_old_tuple_rests() {
    let mut table = table();
    let flow = create(&mut table, inside(Protocol::Tcp, 5000), real(), SYN, at(0)).unwrap();
    let old = outside(&flow, inside(Protocol::Tcp, 5000));
    let moved = table.rebind(flow.flow, address("10.0.0.2"), at(1000)).unwrap();
    assert_eq!(moved.flow, flow.flow);
    let new = outside(&moved, inside(Protocol::Tcp, 5000));
    assert_eq!((new.2, new.3), (5000, address("10.0.0.2")));
    assert_eq!(reply(&mut table, old, ACK, at(1000)), Inbound::Expired);
    assert!(matches!(reply(&mut table, new, SYN | ACK, at(1000)), Inbound::Hit(_)));
    assert_eq!(reply(&mut table, old, ACK, at(121_000)), Inbound::Miss);
    // Answered now, it stays where it is.
    assert_eq!(table.rebind(flow.flow, real(), at(2000)), Err(NatError::Unsupported));
    assert_eq!((table.counters().live, table.counters().rebound), (1, 1));
}

#[test]
fn r27_a_rebound_flow_gets_another_port_only_if_its_own_is_taken() {
    let mut table = table();
    let other = (0, Protocol::Tcp, 5000, address("100.96.0.2"), 443);
    let taken = open(&mut table, other, address("10.0.0.2"), SYN, at(0));
    let flow = create(&mut table, inside(Protocol::Tcp, 5000), real(), SYN, at(0)).unwrap();
    let moved = table.rebind(flow.flow, address("10.0.0.2"), at(1)).unwrap();
    let new = outside(&moved, inside(Protocol::Tcp, 5000));
    assert_eq!(taken.2, 5000);
    assert!(new.2 >= 1024 && new.2 != 5000);
}

#[test]
fn r28_a_direct_flow_has_an_entry_and_its_own_replies() {
    let mut table = table();
    let named = open(&mut table, inside(Protocol::Udp, 5000), real(), SYN, at(0));
    let direct = (0, Protocol::Udp, 5000, real(), 443);
    let hit = create(&mut table, direct, real(), SYN, at(0)).unwrap();
    let around = outside(&hit, direct);
    assert_ne!(around.2, named.2);
    let Inbound::Hit(to_name) = reply(&mut table, named, SYN, at(1)) else { panic!("a hit") };
    let Inbound::Hit(to_direct) = reply(&mut table, around, SYN, at(1)) else { panic!("a hit") };
    assert_ne!(to_name.flow, to_direct.flow);
}

#[test]
fn r29_the_own_port_is_kept_and_on_collision_another_of_its_class_is_found() {
    let mut table = table();
    for (port, class) in [(53, 1..1024), (5000, 1024..65_536)] {
        for (of, third) in (1..=200_u8).enumerate() {
            let name = (0, Protocol::Udp, port, address(&format!("100.96.1.{third}")), 53);
            let outside = open(&mut table, name, real(), SYN, at(0));
            assert!(class.contains(&u32::from(outside.2)), "{outside:?}");
            assert_eq!(outside.2 == port, of == 0);
        }
    }
    assert_eq!(table.counters().port_collisions, 2 * 199);
}

/// Each flow finds its own record, in both directions.
fn tells_apart(seed: u64, flows: &[(Inside, IpAddr)]) {
    let mut table = FlowTable::new(Config::default(), seed);
    let mut outsides = Vec::new();
    for (tag, (inside, real)) in (0..).zip(flows) {
        let binding = Binding { real: *real, epoch: 0, tag };
        let summary = from_client(inside, SYN);
        let hit = table.create(PeerIndex(inside.0), &summary, binding, 1, 1, at(0)).unwrap();
        outsides.push(outside(&hit, *inside));
    }
    for (of, ((inside, _), outside)) in (0..).zip(flows.iter().zip(outsides)) {
        let out = sent(&mut table, *inside, SYN, at(1));
        assert!(matches!(out, Outbound::Hit(hit) if hit.tag == of));
        let back = reply(&mut table, outside, SYN, at(1));
        assert!(matches!(back, Inbound::Hit(hit) if hit.tag == of));
    }
}

/// As many as four buckets hold, again and again: some share both bucket and tag, and only a comparison
/// of all that a packet has tells them apart.
#[test]
fn r29_flows_that_differ_in_one_thing_only_are_told_apart() {
    for seed in 0..20 {
        let all = |flow: fn(u8) -> (Inside, IpAddr)| (0..52).map(flow).collect::<Vec<_>>();
        tells_apart(seed, &all(|n| ((n.into(), Protocol::Tcp, 5000, proxy(), 443), real())));
        tells_apart(
            seed,
            &all(|n| ((0, Protocol::Tcp, 5000 + u16::from(n), proxy(), 443), real())),
        );
        tells_apart(seed, &all(|n| ((0, Protocol::Tcp, 5000, proxy(), n.into()), real())));
        let of = |base: &str, n: u8| address(&format!("{base}{n}"));
        let v4 = (0..52).map(|n| (of("100.96.0.", n), of("10.0.0.", n)));
        let v6 = (0..52).map(|n| (of("fd00::", n), of("2001:db8::", n)));
        let named = |(proxy, real)| ((0, Protocol::Tcp, 5000, proxy, 443), real);
        tells_apart(seed, &v4.map(named).collect::<Vec<_>>());
        tells_apart(seed, &v6.map(named).collect::<Vec<_>>());
    }
    for seed in 0..400 {
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Icmp];
        tells_apart(seed, &protocols.map(|protocol| ((0, protocol, 5000, proxy(), 0), real())));
    }
}

#[test]
fn r29_the_same_seed_gives_the_same_ports_and_another_seed_others() {
    let ports = |seed| {
        let mut table = FlowTable::new(Config::default(), seed);
        let name = |third: u16| (0, Protocol::Udp, 5000, address(&format!("100.96.1.{third}")), 53);
        (1..50).map(|third| open(&mut table, name(third), real(), SYN, at(0)).2).collect::<Vec<_>>()
    };
    assert_eq!(ports(1), ports(1));
    assert_ne!(ports(1), ports(2));
}

#[test]
fn r29_a_freed_port_rests_for_120_s_unless_its_own_flow_comes_back() {
    let mut table = table();
    let other = |third: u8| (0, Protocol::Udp, 5000, address(&format!("100.96.1.{third}")), 443);
    let mine = inside(Protocol::Udp, 5000);
    assert_eq!(open(&mut table, mine, real(), SYN, at(0)).2, 5000);
    // Timed out at 300 s; another flow cannot have its port before 420 s.
    assert_ne!(open(&mut table, other(1), real(), SYN, at(419_999)).2, 5000);
    assert_eq!(open(&mut table, other(2), real(), SYN, at(420_000)).2, 5000);

    let mut table = self::table();
    assert_eq!(open(&mut table, mine, real(), SYN, at(0)).2, 5000);
    assert_eq!(open(&mut table, mine, real(), SYN, at(300_001)).2, 5000);
}

#[test]
fn r29_all_but_a_few_ports_in_use_the_few_are_found() {
    let mut table = table();
    let proxies: Vec<IpAddr> = (0..2).map(|of| address(&format!("100.96.0.{}", of + 1))).collect();
    for port in 1024..=u16::MAX - 20 {
        let own = open(&mut table, (0, Protocol::Tcp, port, proxies[0], 443), real(), SYN, at(0));
        assert_eq!(own.2, port);
        if port % 4000 == 0 {
            while table.poll_event().is_some() {}
        }
    }
    let mut found: Vec<u16> = (2000..2020)
        .map(|port| {
            open(&mut table, (0, Protocol::Tcp, port, proxies[1], 443), real(), SYN, at(1)).2
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found, (u16::MAX - 19..=u16::MAX).collect::<Vec<_>>());
    // One that was freed is found once it has rested.
    let freed = create(&mut table, (0, Protocol::Tcp, 4444, proxies[0], 443), real(), SYN, at(1));
    assert!(table.end(freed.unwrap().flow, CloseReason::Revoked, at(2)));
    while table.poll_timeout().is_some_and(|(when, _)| when <= at(122_000)) {
        table.handle_timeout(at(122_000));
    }
    let late = (0, Protocol::Tcp, 3000, proxies[1], 443);
    assert_eq!(open(&mut table, late, real(), SYN, at(122_000)).2, 4444);
    assert_eq!(table.counters().rests_cut_short, 0);
}

/// Alive a millisecond before its time, gone at it, whoever asks first.
fn lives_for(millis: u64, protocol: Protocol, path: &[(bool, TcpFlags)]) {
    for asks_inside in [true, false] {
        let mut table = table();
        let tuple = inside(protocol, 5000);
        let mut outside = None;
        for (is_outbound, flags) in path {
            if *is_outbound {
                outside = Some(open(&mut table, tuple, real(), *flags, at(7)));
            } else {
                let hit = reply(&mut table, outside.unwrap(), *flags, at(7));
                assert!(matches!(hit, Inbound::Hit(_)));
            }
        }
        // An ICMP error in between neither refreshes nor confirms nor ends.
        let (_, protocol, source_port, destination, destination_port) = outside.unwrap();
        let quoted =
            Embedded { source: CLIENT, destination, protocol, source_port, destination_port };
        let found = table.lookup_embedded(PEER, &quoted, Direction::Inbound, at(6 + millis));
        assert!(matches!(found, Quoted::Hit(_)), "{found:?}");
        table.handle_timeout(at(6 + millis));
        assert_eq!(table.counters().live, 1);
        let late = at(7 + millis);
        if asks_inside {
            let expected = match protocol {
                Protocol::Tcp => Outbound::Expired,
                Protocol::Udp | Protocol::Icmp => Outbound::Miss,
            };
            assert_eq!(sent(&mut table, tuple, ACK, late), expected);
        } else {
            assert_eq!(reply(&mut table, outside.unwrap(), ACK, late), Inbound::Expired);
        }
        assert_eq!(closed(&mut table), [(5000, CloseReason::Timeout)]);
    }
}

#[test]
fn r30_tcp_answered_lives_7440_s() {
    lives_for(7_440_000, Protocol::Tcp, &[(true, SYN), (false, SYN | ACK)]);
    lives_for(7_440_000, Protocol::Tcp, &[(true, SYN), (false, SYN)]);
    lives_for(7_440_000, Protocol::Tcp, &[(true, ACK), (false, ACK), (true, FIN)]);
}

#[test]
fn r30_all_other_tcp_lives_240_s() {
    lives_for(240_000, Protocol::Tcp, &[(true, SYN)]);
    lives_for(240_000, Protocol::Tcp, &[(true, ACK), (true, ACK)]);
    lives_for(
        240_000,
        Protocol::Tcp,
        &[(true, SYN), (false, ACK), (true, FIN), (false, FIN), (true, ACK)],
    );
    lives_for(240_000, Protocol::Tcp, &[(true, SYN), (false, ACK), (false, RST)]);
    lives_for(240_000, Protocol::Tcp, &[(true, SYN), (false, RST | ACK)]);
}

#[test]
fn r30_a_later_segment_undoes_rst() {
    lives_for(7_440_000, Protocol::Tcp, &[(true, SYN), (false, ACK), (false, RST), (true, ACK)]);
    lives_for(7_440_000, Protocol::Tcp, &[(true, SYN), (false, ACK), (true, RST), (false, ACK)]);
}

#[test]
fn r30_udp_lives_300_s_and_echo_60_s_in_either_direction() {
    lives_for(300_000, Protocol::Udp, &[(true, SYN)]);
    lives_for(300_000, Protocol::Udp, &[(true, SYN), (false, SYN)]);
    lives_for(60_000, Protocol::Icmp, &[(true, SYN)]);
    lives_for(60_000, Protocol::Icmp, &[(true, SYN), (false, SYN)]);
    let mut table = table();
    let tuple = inside(Protocol::Udp, 5000);
    let outside = open(&mut table, tuple, real(), SYN, at(0));
    assert!(matches!(reply(&mut table, outside, SYN, at(299_000)), Inbound::Hit(_)));
    assert!(matches!(sent(&mut table, tuple, SYN, at(598_000)), Outbound::Hit(_)));
}

#[test]
fn r30_a_new_syn_on_a_closing_flow_starts_a_fresh_one() {
    for (last, is_fresh) in [(FIN, true), (RST, true), (ACK, false)] {
        let mut table = table();
        let tuple = inside(Protocol::Tcp, 5000);
        let outside = open(&mut table, tuple, real(), SYN, at(0));
        reply(&mut table, outside, SYN | ACK, at(1));
        sent(&mut table, tuple, last, at(2));
        let answer = sent(&mut table, tuple, SYN, at(3));
        assert_eq!(answer == Outbound::Miss, is_fresh, "after {last:?}");
        if is_fresh {
            assert_eq!(closed(&mut table), [(5000, CloseReason::Superseded)]);
            let fresh = create(&mut table, tuple, real(), SYN, at(3)).unwrap();
            assert!(!fresh.answered);
            assert_eq!(self::outside(&fresh, tuple).2, 5000);
        }
    }
}

#[test]
fn r30_a_segment_without_syn_and_flow_may_open_one() {
    let mut table = table();
    let tuple = inside(Protocol::Tcp, 5000);
    assert_eq!(sent(&mut table, tuple, ACK, at(0)), Outbound::Miss);
    let flow = create(&mut table, tuple, real(), ACK, at(0)).unwrap();
    assert!(matches!(reply(&mut table, outside(&flow, tuple), ACK, at(1)), Inbound::Hit(_)));
}

#[test]
fn r30_what_has_no_flow_opens_none() {
    let mut table = table();
    let binding = Binding { real: real(), epoch: 0, tag: 0 };
    let others = [
        Transport::IcmpError,
        Transport::Other { protocol: 47 },
        Transport::Echo { identifier: 7, request: false },
    ];
    for transport in others {
        let summary = summary(CLIENT, proxy(), transport);
        assert_eq!(table.outbound(PEER, &summary, 9, 1, at(0)), Outbound::Miss);
        let created = table.create(PEER, &summary, binding, 9, 1, at(0));
        assert_eq!(created, Err(NatError::Unsupported));
    }
    let other_family =
        create(&mut table, inside(Protocol::Tcp, 1), address("2001:db8::1"), SYN, at(0));
    assert_eq!(other_family, Err(NatError::Unsupported));
    // An echo request from outside answers nothing, whatever its identifier.
    let outside = open(&mut table, inside(Protocol::Icmp, 7), real(), SYN, at(0));
    let request = Transport::Echo { identifier: outside.2, request: true };
    assert_eq!(table.inbound(PEER, &summary(real(), CLIENT, request), 9, 1, at(1)), Inbound::Miss);
}

#[test]
fn r31_expiry_is_bounded_per_call_and_touches_what_is_due_only() {
    let mut table = table();
    for port in 2000..12_000 {
        open(&mut table, inside(Protocol::Udp, port), real(), SYN, at(0));
    }
    for port in 2000..2100 {
        sent(&mut table, inside(Protocol::Udp, port), SYN, at(200_000));
    }
    table.handle_timeout(at(299_000));
    assert_eq!(table.counters().timed_out, 0);
    let mut calls = 0;
    while table.counters().timed_out < 9900 {
        let before = table.counters().timed_out;
        assert!(table.poll_timeout().is_some_and(|(when, _)| when <= at(300_000)));
        table.handle_timeout(at(300_000));
        calls += 1;
        assert!(table.counters().timed_out - before <= 64);
    }
    assert!((154..=158).contains(&calls), "{calls}");
    while table.poll_timeout().is_some_and(|(when, _)| when <= at(300_000)) {
        table.handle_timeout(at(300_000));
    }
    assert_eq!((table.counters().live, table.counters().resting), (100, 9900));
    assert!(table.poll_timeout().is_some_and(|(when, _)| when == at(420_000)));
}

#[test]
fn r32_a_quoted_packet_leads_to_its_flow_until_it_is_late() {
    let mut table = table();
    let tuple = inside(Protocol::Udp, 5000);
    let out = open(&mut table, tuple, real(), SYN, at(0));
    let quoted = Embedded {
        source: CLIENT,
        destination: real(),
        protocol: Protocol::Udp,
        source_port: out.2,
        destination_port: 443,
    };
    let mut ask = |millis| table.lookup_embedded(PEER, &quoted, Direction::Inbound, at(millis));
    let Quoted::Hit(flow) = ask(1) else { panic!("a hit") };
    assert_eq!((flow.proxy, flow.client_port, flow.tag), (proxy(), 5000, 2));
    assert_eq!(ask(300_000), Quoted::Expired);
    assert_eq!(ask(419_999), Quoted::Expired);
    assert_eq!(ask(420_000), Quoted::Miss);
}

#[test]
fn r33_at_the_cap_the_oldest_closed_then_the_oldest_unanswered_gives_way() {
    let mut table = FlowTable::new(Config { flows_per_peer: 4, ..Config::default() }, 1);
    let mut tuples = Vec::new();
    for (of, port) in (5000..5004).enumerate() {
        tuples.push(open(&mut table, inside(Protocol::Tcp, port), real(), SYN, at(of as u64)));
    }
    // 5002 and then 5001 are closed; 5000 is answered; 5003 waits for an answer.
    for of in [0, 1, 2] {
        reply(&mut table, tuples[of], SYN | ACK, at(10));
    }
    reply(&mut table, tuples[2], RST, at(11));
    reply(&mut table, tuples[1], RST, at(12));
    let mut displaced = Vec::new();
    for port in 6000..6003 {
        open(&mut table, inside(Protocol::Tcp, port), real(), SYN, at(20));
        displaced.extend(closed(&mut table));
    }
    let expected = [5002, 5001, 5003].map(|port| (port, CloseReason::Displaced));
    assert_eq!(displaced, expected);
    // Only answered flows are left when these are answered: then, and only then, one is refused.
    for port in 6000..6003 {
        let tuple = open(&mut table, inside(Protocol::Tcp, port), real(), SYN, at(21));
        reply(&mut table, tuple, ACK, at(22));
    }
    let refused = create(&mut table, inside(Protocol::Tcp, 7000), real(), SYN, at(23));
    assert_eq!((refused, table.counters().refused_cap), (Err(NatError::Cap), 1));
    // Another peer has a cap of its own.
    let mut other = inside(Protocol::Tcp, 7000);
    other.0 = 1;
    assert!(create(&mut table, other, real(), SYN, at(23)).is_ok());
}

#[test]
fn r34_late_packets_are_known_for_120_s_and_never_a_miss() {
    for reason in [None, Some(CloseReason::Revoked), Some(CloseReason::ProxyMoved)] {
        let mut table = table();
        let tuple = inside(Protocol::Tcp, 5000);
        let flow = create(&mut table, tuple, real(), SYN, at(0)).unwrap();
        let out = outside(&flow, tuple);
        let ended = match reason {
            None => 240_000,
            Some(reason) => {
                assert!(table.end(flow.flow, reason, at(1000)));
                1000
            }
        };
        for late in [ended, ended + 60_000, ended + 119_999] {
            assert_eq!(reply(&mut table, out, ACK, at(late)), Inbound::Expired);
            // What was taken away by its owner is the owner's to answer; what timed out is late.
            let expected = if reason.is_none() { Outbound::Expired } else { Outbound::Miss };
            assert_eq!(sent(&mut table, tuple, ACK, at(late)), expected);
        }
        assert_eq!(reply(&mut table, out, ACK, at(ended + 120_000)), Inbound::Miss);
        assert_eq!(table.counters().late_inbound, 3);
    }
}

#[test]
fn r23_exactly_the_flows_of_a_proxy_end() {
    let mut table = table();
    let other = address("100.96.0.2");
    for port in 5000..5010 {
        open(&mut table, inside(Protocol::Tcp, port), real(), SYN, at(0));
        open(&mut table, (0, Protocol::Tcp, port, other, 443), real(), SYN, at(0));
        open(&mut table, (1, Protocol::Tcp, port, proxy(), 443), real(), SYN, at(0));
    }
    closed(&mut table);
    assert_eq!(table.end_proxy(PEER, proxy(), at(1)), 10);
    assert_eq!(table.end_proxy(PEER, proxy(), at(1)), 0);
    let ended = closed(&mut table);
    assert!(ended.len() == 10 && ended.iter().all(|(_, why)| *why == CloseReason::ProxyMoved));
    for port in 5000..5010 {
        assert_eq!(sent(&mut table, inside(Protocol::Tcp, port), ACK, at(2)), Outbound::Miss);
        let kept = sent(&mut table, (0, Protocol::Tcp, port, other, 443), ACK, at(2));
        assert!(matches!(kept, Outbound::Hit(_)));
        let kept = sent(&mut table, (1, Protocol::Tcp, port, proxy(), 443), ACK, at(2));
        assert!(matches!(kept, Outbound::Hit(_)));
    }
}

#[test]
fn a_peer_that_is_gone_leaves_nothing_behind() {
    let mut table = table();
    let out = open(&mut table, inside(Protocol::Tcp, 5000), real(), SYN, at(0));
    open(&mut table, (1, Protocol::Tcp, 5000, proxy(), 443), real(), SYN, at(0));
    let flow = create(&mut table, inside(Protocol::Tcp, 5001), real(), SYN, at(0)).unwrap();
    table.end(flow.flow, CloseReason::Revoked, at(1));
    assert_eq!(table.end_peer(PEER), 1);
    assert_eq!((table.counters().live, table.counters().resting), (1, 0));
    assert_eq!(reply(&mut table, out, ACK, at(2)), Inbound::Miss);
}

#[test]
fn r39_events_tell_all_about_a_flow_and_are_dropped_when_nobody_polls() {
    let mut table = FlowTable::new(Config { events: 2, ..Config::default() }, 1);
    let tuple = inside(Protocol::Tcp, 5000);
    let out = open(&mut table, tuple, real(), SYN, at(1000));
    reply(&mut table, out, SYN | ACK, at(1500));
    sent(&mut table, tuple, RST, at(2000));
    table.handle_timeout(at(300_000));
    let opened = table.poll_event();
    assert!(matches!(opened, Some(FlowEvent::Opened(record)) if record.client_port == 5000));
    let Some(FlowEvent::Closed(record, CloseReason::Timeout)) = table.poll_event() else {
        panic!("an event");
    };
    assert_eq!((record.peer, record.tag, record.protocol), (PEER, 2, Protocol::Tcp));
    assert_eq!((record.proxy, record.remote_port), (proxy(), 443));
    assert_eq!((record.real, record.outside_port), (real(), 5000));
    assert_eq!(record.outbound, Traffic { bytes: 200, packets: 2 });
    assert_eq!(record.inbound, Traffic { bytes: 60, packets: 1 });
    assert_eq!((record.opened, record.last_seen), (at(1000), at(2000)));
    for port in 6000..6005 {
        open(&mut table, inside(Protocol::Udp, port), real(), SYN, at(300_000));
    }
    assert_eq!(table.counters().events_dropped, 3);
}
