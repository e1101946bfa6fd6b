//! Packets that wait for a set-up: held in order, released once, given up with an answer.

use domain::base::iana::Rtype;
use packet::TcpFlags;
use simulation::{PairConfig, Side};
use tunnel::messages::{
    AuthorizationFailure, ClientCommand, ClientEvent, GatewayEvent, LookupFamily, LookupResult,
};

use crate::rig::{NAME, RESOURCE, Rig, addresses, dns_resource, icmp, millis};

fn payloads(packets: &[Vec<u8>]) -> Vec<&[u8]> {
    packets.iter().map(|packet| &packet[28..]).collect()
}

#[test]
fn r09_what_is_held_leaves_in_order_before_what_comes_later() {
    let mut rig = Rig::new();
    rig.addresses = None;
    let proxy = rig.proxies(NAME).ipv4[0];
    for i in 0..20_u8 {
        rig.send_udp(5000, (proxy, 80), &[i]);
    }
    rig.advance(10);
    assert!(rig.delivered(Side::Gateway).is_empty(), "no address is known yet");

    rig.addresses = Some(vec![[10, 77, 0, 11].into()]);
    let open: Vec<_> = rig.gateway_events.iter().filter_map(lookup).collect();
    for (id, family) in open {
        rig.answer(id, family);
    }
    rig.settle();
    rig.send_udp(5000, (proxy, 80), &[20]);
    rig.advance(1000);

    let arrived = rig.delivered(Side::Gateway);
    let expected: Vec<[u8; 1]> = (0..=20).map(|i| [i]).collect();
    assert_eq!(payloads(&arrived), expected.iter().map(|p| &p[..]).collect::<Vec<_>>());
}

fn lookup((_, event): &(packet::Instant, GatewayEvent)) -> Option<(u64, LookupFamily)> {
    match event {
        GatewayEvent::ResolveDomain { lookup, family, .. } => Some((*lookup, *family)),
        _ => None,
    }
}

#[test]
fn r10_authorization_connection_and_translation_hold_in_one_queue() {
    let mut config = PairConfig::new(1);
    config.ready_after = 0.2;
    config.up.control.latency = millis(20);
    let mut rig = Rig::without_access(config);
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.grant(&resource, None);
    rig.pair.command_client(ClientCommand::SetResource { resource });
    let proxy = rig.proxies(NAME).ipv4[0];
    for i in 0..5_u8 {
        rig.send_udp(5000, (proxy, 80), &[i]);
    }
    rig.advance(100);
    let asked = rig.client_events.iter().filter(|(_, event)| {
        matches!(event, ClientEvent::AuthorizationNeeded { resource, .. } if *resource == RESOURCE)
    });
    assert_eq!(asked.count(), 1);

    rig.pair.answer_authorization(RESOURCE);
    rig.advance(200);
    rig.send_udp(5000, (proxy, 80), &[5]);
    assert!(rig.delivered(Side::Gateway).is_empty(), "the session is not up");
    rig.advance(2000);

    assert_eq!(payloads(&rig.delivered(Side::Gateway)), [[0], [1], [2], [3], [4], [5]]);
    let buffer = &rig.client_counters()["buffer"];
    assert_eq!((&buffer["stored"], &buffer["released"]), (&6.into(), &6.into()));
}

#[test]
fn an_unanswered_request_is_repeated_while_packets_wait() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.command_client(ClientCommand::SetResource { resource });
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");

    rig.advance(15_000);

    let requests = rig
        .client_events
        .iter()
        .filter(|(_, event)| matches!(event, ClientEvent::AuthorizationNeeded { .. }));
    let at = requests.map(|(at, _)| at.as_nanos() / 1_000_000);
    assert_eq!(at.collect::<Vec<_>>(), [0, 2000, 6000, 14_000]);
}

#[test]
fn r10_what_waits_is_kept_and_asks_anew_when_its_gateway_goes_away() {
    let mut config = PairConfig::new(1);
    config.ready_after = 10.0;
    let mut rig = Rig::without_access(config);
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.authorize(&resource, None);
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"x");
    rig.advance(100);

    let gateway = simulation::pair::GATEWAY;
    rig.pair.command_client(ClientCommand::RemoveGateway { gateway });
    rig.advance(200);

    let asked = |event: &ClientEvent| matches!(event, ClientEvent::AuthorizationNeeded { .. });
    assert!(rig.client_events.iter().any(|(_, event)| asked(event)));
    rig.pair.answer_authorization(RESOURCE);
    rig.advance(12_000);
    assert_eq!(payloads(&rig.delivered(Side::Gateway)), [b"x"], "held all the while");
}

#[test]
fn r15_each_held_flow_is_told_once_when_access_is_refused() {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let resource = dns_resource(RESOURCE, "*.site.example", Vec::new());
    rig.pair.command_client(ClientCommand::SetResource { resource });
    let proxy = rig.proxies(NAME).ipv4[0];
    for port in [5000, 5001] {
        for i in 0..3_u8 {
            rig.send_udp(port, (proxy, 80), &[i]);
        }
    }
    rig.delivered(Side::Client);

    let reason = AuthorizationFailure::Forbidden;
    rig.pair.command_client(ClientCommand::AuthorizationFailed { resource: RESOURCE, reason });

    let errors = rig.delivered(Side::Client);
    assert_eq!(errors.len(), 2, "one per flow");
    for error in &errors {
        assert_eq!(icmp(error), (4, 3, 13));
        assert_eq!(addresses(error).0, proxy);
    }
    assert_eq!(rig.client_counters()["refused"]["prohibited"], 6);
}

#[test]
fn r08_a_family_without_address_is_refused_and_offered_no_more() {
    let mut rig = Rig::new();
    rig.addresses = Some(vec![[10, 77, 0, 11].into()]);
    let record = rig.proxies(NAME);
    rig.advance(100);
    let mut packet = crate::rig::udp(
        ("fd00:2021:1111::1".parse::<std::net::IpAddr>().expect("IPv6"), 5000),
        (record.ipv6[0], 80),
        b"x",
    );
    rig.delivered(Side::Client);
    let _ = rig.pair.send(Side::Client, &mut packet);

    assert_eq!(icmp(&rig.delivered(Side::Client)[0]), (6, 1, 3));
    rig.query(NAME, Rtype::AAAA);
    let answer = rig.dns_answers().pop().expect("an answer");
    assert_eq!(answer[6..8], [0, 0], "NOERROR without records");
    assert_eq!(answer[3] & 0x0f, 0);
}

#[test]
fn r27_a_new_flow_waits_for_a_look_up_at_most_300_ms_then_takes_the_last_good_address() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"first");
    rig.advance(2000);
    assert_eq!(rig.delivered(Side::Gateway).len(), 1);

    rig.addresses = None;
    rig.send_udp(5001, (proxy, 80), b"second");
    rig.advance(2299);
    assert!(rig.delivered(Side::Gateway).is_empty(), "a look-up runs");
    rig.send_udp(5000, (proxy, 80), b"flows that have a record never wait");
    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
    rig.advance(2301);

    let late = rig.delivered(Side::Gateway);
    assert_eq!(payloads(&late), [b"second"]);
    assert_eq!(addresses(&late[0]).1, std::net::IpAddr::from([10, 77, 0, 11]));
}

#[test]
fn r27_an_unanswered_flow_follows_its_record() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_tcp(5000, (proxy.into(), 80), 1, TcpFlags::SYN);
    rig.advance(100);
    rig.addresses = Some(vec![[10, 77, 0, 12].into()]);
    rig.query(NAME, Rtype::A);
    rig.advance(1100);
    rig.send_tcp(5000, (proxy.into(), 80), 1, TcpFlags::SYN);

    let arrived = rig.delivered(Side::Gateway);
    let real: Vec<_> = arrived.iter().map(|packet| addresses(packet).1.to_string()).collect();
    assert_eq!(real, ["10.77.0.11", "10.77.0.12"]);
}

#[test]
fn r26_an_answered_flow_keeps_its_address_whatever_the_record_says() {
    let mut rig = Rig::new();
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_udp(5000, (proxy, 80), b"a");
    rig.advance(100);
    rig.send(
        Side::Gateway,
        crate::rig::udp(([10, 77, 0, 11], 80), (crate::rig::CLIENT, 5000), b"b"),
    );
    for result in [
        LookupResult::Addresses(vec![([10, 77, 0, 12].into(), 0)]),
        LookupResult::NxDomain,
        LookupResult::ServFail,
    ] {
        rig.addresses = None;
        let before = rig.gateway_events.len();
        rig.query(NAME, Rtype::A);
        rig.advance(rig.pair.now().as_nanos() / 1_000_000 + 10_000);
        for (id, family) in
            rig.gateway_events[before..].iter().filter_map(lookup).collect::<Vec<_>>()
        {
            rig.resolve(id, family, result.clone());
        }
        rig.delivered(Side::Gateway);
        rig.send_udp(5000, (proxy, 80), b"c");
        let arrived = rig.delivered(Side::Gateway);
        assert_eq!(addresses(&arrived[0]).1.to_string(), "10.77.0.11", "{result:?}");
    }
}

#[test]
fn r41_halt_holds_in_a_ring_that_overwrites_where_keep_passes() {
    for (mut rig, halts) in [(Rig::new(), false), (Rig::halting(), true)] {
        let proxy = rig.proxies(NAME).ipv4[0];
        rig.send_udp(5000, (proxy, 80), b"set-up");
        rig.advance(100);
        rig.delivered(Side::Gateway);
        rig.addresses = None;
        rig.query(NAME, Rtype::A);
        for i in 0..40_u8 {
            rig.send_udp(5000, (proxy, 80), &[i]);
        }

        assert_eq!(rig.delivered(Side::Gateway).len(), if halts { 0 } else { 40 });
        rig.advance(1000);
        let released = rig.delivered(Side::Gateway);
        let expected: Vec<u8> = if halts { (8..40).collect() } else { Vec::new() };
        assert_eq!(released.iter().map(|packet| packet[28]).collect::<Vec<_>>(), expected);
        let overwritten = if halts { 8 } else { 0 };
        assert_eq!(rig.client_counters()["buffer"]["overwritten"], overwritten);
    }
}

#[test]
fn r42_a_session_that_comes_up_announces_every_name_however_many_there_are() {
    let mut config = PairConfig::new(1);
    config.ready_after = 1.0;
    let mut rig = Rig::without_access(config);
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    for i in 0..300 {
        rig.query(&format!("host{i}.site.example"), Rtype::A);
    }
    rig.advance(999);
    assert_eq!(rig.gateway_counters()["translations"]["announcements"], 0);

    rig.advance(1000);

    assert_eq!(rig.gateway_counters()["translations"]["announcements"], 300);
}
