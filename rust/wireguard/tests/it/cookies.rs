//! What happens under load: cookies, MAC2, and shares of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use packet::Instant;
use wireguard::{COOKIE_REPLY, Checked, DropReason, Profile};

use crate::mac::sign;
use crate::pair::{End, Pair, Random, SOURCE, START, exact};

const MS: Duration = Duration::from_millis(1);

/// An initiation with a right MAC1, as anybody can make one who knows the key of node 2.
fn spoofed(random: &mut Random) -> Vec<u8> {
    let mut message: Vec<u8> =
        (0..19).flat_map(|_| random.below(u64::MAX).to_le_bytes()).take(148).collect();
    message[..4].copy_from_slice(&[1, 0, 0, 0]);
    sign(2, &mut message);
    message
}

fn address(random: &mut Random) -> SocketAddr {
    let ip = Ipv4Addr::from_bits(random.below(1 << 32) as u32);
    SocketAddr::new(ip.into(), random.below(1 << 16) as u16)
}

/// Puts the node of `end` under load, as it is at `now`.
fn load(end: &mut End, now: Instant) {
    let message = spoofed(&mut Random(1));
    let mut check = || end.node.check(SOURCE, &message, now, &mut [0; 64]);
    assert!((0..=100).any(|_| check() != Checked::Pass), "100 a second");
}

/// The cookie reply that node 2 gives `message` of `from`.
fn reply_to(end: &mut End, from: SocketAddr, message: &[u8], now: Instant) -> [u8; COOKIE_REPLY] {
    let mut reply = [0; COOKIE_REPLY];
    let checked = end.node.check(from, message, now, &mut reply);
    assert_eq!(checked, Checked::CookieReply(64));
    reply
}

/// The next initiation of `end`, one `rekey_timeout` later.
fn next_initiation(end: &mut End, now: &mut Instant) -> Vec<u8> {
    *now += Duration::from_secs(6);
    end.tunnel.handle_timeout(*now);
    end.drain(*now).remove(0)
}

#[test]
fn one_hundred_handshakes_a_second_pass_without_a_cookie() {
    let mut end = End::new(2, 1, None, Profile::PLAIN);
    let mut random = Random(3);
    let mut passed = 0;
    for i in 0..20_000u64 {
        let message = spoofed(&mut random);
        let now = START + Duration::from_micros(i * 500);
        let mut reply = [0; 64];
        match end.node.check(address(&mut random), &message, now, &mut reply) {
            Checked::Pass => passed += 1,
            Checked::CookieReply(len) => assert!(len <= message.len()),
            Checked::Drop(reason) => panic!("{reason:?}"),
        }
    }
    assert_eq!(passed, 100 + 999, "a burst, and then the rate over 10 s");
    let counters = end.node.counters();
    assert_eq!((counters.passed, counters.cookie_replies), (passed, 20_000 - passed));
}

#[test]
fn a_wrong_mac1_costs_no_share_of_the_load() {
    let mut end = End::new(2, 1, None, Profile::PLAIN);
    let mut random = Random(4);
    for _ in 0..10_000 {
        let mut message = spoofed(&mut random);
        message[120] ^= 1;
        let checked = end.node.check(SOURCE, &message, START, &mut [0; 64]);
        assert_eq!(checked, Checked::Drop(DropReason::Mac1));
    }
    let message = spoofed(&mut random);
    assert_eq!(end.node.check(SOURCE, &message, START, &mut [0; 64]), Checked::Pass);
}

/// Passes what `newcomer` has to say to `gateway`, and the answers back.
fn converse(newcomer: &mut End, gateway: &mut End, now: Instant) {
    let from = SocketAddr::new(Ipv4Addr::new(198, 51, 100, 7).into(), 7);
    newcomer.tunnel.handle_timeout(now);
    for message in newcomer.drain(now) {
        let mut reply = [0; 64];
        match gateway.node.check(from, &message, now, &mut reply) {
            Checked::Pass if message[0] == 1 => {
                let read = gateway.node.read_initiation(&message).unwrap();
                gateway.tunnel.handle_initiation(read, now).unwrap();
                let response = gateway.drain(now).remove(0);
                newcomer.receive(&response, now).unwrap();
            }
            Checked::CookieReply(len) => {
                newcomer.tunnel.handle_cookie_reply(&reply[..len], now).unwrap();
            }
            Checked::Pass | Checked::Drop(_) => {}
        }
    }
}

/// 50,000 initiations a second from addresses that are not the sender's, for three seconds.
#[test]
fn a_flood_leaves_sessions_alone_and_a_new_peer_connects_by_mac2() {
    let profile = exact(Profile::FIREZONE_ICELESS);
    let mut pair = Pair::established(profile);
    let (start, mut random) = (pair.now, Random(5));
    let mut newcomer = End::new(3, 2, None, profile);
    // The same node, with a tunnel to the newcomer.
    let mut gateway = End::new(2, 3, None, profile);
    let (mut worked, mut delivered) = (0, 0);
    for i in 0..150_000u64 {
        let now = start + Duration::from_micros(i * 20);
        let message = spoofed(&mut random);
        match gateway.node.check(address(&mut random), &message, now, &mut [0; 64]) {
            Checked::Pass => {
                worked += 1;
                assert!(gateway.node.read_initiation(&message).is_err());
            }
            Checked::CookieReply(len) => assert!(len <= message.len()),
            Checked::Drop(reason) => panic!("{reason:?}"),
        }
        if i % 500 == 0 {
            let sealed = pair.ends[0].seal(&[b"flowing"], now).unwrap().remove(0);
            std::mem::swap(&mut gateway.node, &mut pair.ends[1].node);
            delivered += u32::from(pair.ends[1].receive(&sealed, now).is_ok());
            std::mem::swap(&mut gateway.node, &mut pair.ends[1].node);
        }
        if i == 25_000 {
            newcomer.tunnel.initiate(now);
        }
        converse(&mut newcomer, &mut gateway, now);
        assert!(i != 25_000 || !newcomer.is_ready(now), "the bucket is empty: a cookie came");
    }
    assert_eq!(delivered, 300, "the session loses nothing");
    assert!(newcomer.is_ready(start + Duration::from_secs(3)));
    assert_eq!(newcomer.sent[1], 2, "it connects with its second initiation");
    assert!(worked <= 100 + 300, "{worked} X25519 operations for 150,000 messages");
}

/// A server under load, an initiation that proves its sender's address to it, and the time.
fn proven() -> (End, Vec<u8>, Instant) {
    let mut now = START;
    let (mut client, mut server) =
        (End::new(1, 2, None, Profile::PLAIN), End::new(2, 1, None, Profile::PLAIN));
    client.tunnel.initiate(now);
    let initiation = client.drain(now).remove(0);
    load(&mut server, now);
    let reply = reply_to(&mut server, SOURCE, &initiation, now);
    client.tunnel.handle_cookie_reply(&reply, now).unwrap();
    let initiation = next_initiation(&mut client, &mut now);
    (server, initiation, now)
}

#[test]
fn a_cookie_is_good_for_one_address_and_port_only() {
    let (mut server, initiation, now) = proven();
    load(&mut server, now);
    let other_port = SocketAddr::new(SOURCE.ip(), SOURCE.port() + 1);
    let other_ip = SocketAddr::new(Ipv4Addr::new(192, 0, 2, 2).into(), SOURCE.port());
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
    for from in [other_port, other_ip] {
        reply_to(&mut server, from, &initiation, now);
    }
    let mut changed = initiation.clone();
    changed[140] ^= 1;
    reply_to(&mut server, SOURCE, &changed, now);
    let check = |server: &mut End, from| server.node.check(from, &initiation, now, &mut [0; 64]);
    assert_eq!(check(&mut server, SOURCE), Checked::Pass);
    assert_eq!(check(&mut server, SocketAddr::new(mapped.into(), SOURCE.port())), Checked::Pass);
}

#[test]
fn a_cookie_outlives_one_change_of_the_secret_and_is_used_for_120_s() {
    for (age, used) in [(0, true), (119_999, true), (120_000, false)] {
        let mut now = START;
        let mut server = End::new(2, 1, None, Profile::PLAIN);
        let profile =
            Profile { rekey_attempt_time: Duration::from_secs(900), ..exact(Profile::PLAIN) };
        let mut client = End::new(1, 2, None, profile);
        // The secret is nearly two minutes old when the cookie is made.
        now += Duration::from_secs(119);
        client.tunnel.initiate(now);
        let initiation = client.drain(now).remove(0);
        load(&mut server, now);
        let reply = reply_to(&mut server, SOURCE, &initiation, now);
        client.tunnel.handle_cookie_reply(&reply, now).unwrap();
        now += age * MS;
        client.tunnel.handle_timeout(now);
        client.tunnel.initiate(now);
        let initiation = if age == 0 {
            next_initiation(&mut client, &mut now)
        } else {
            client.drain(now).remove(0)
        };
        assert_eq!(initiation[132..] != [0; 16], used, "{age} ms");
        load(&mut server, now);
        let checked = server.node.check(SOURCE, &initiation, now, &mut [0; 64]);
        assert_eq!(checked == Checked::Pass, used, "{age} ms");
    }
}

#[test]
fn a_proof_is_none_any_more_once_both_secrets_are_new() {
    for (age, passes) in [(1, true), (130, true), (239, true), (240, false), (1000, false)] {
        let (mut server, initiation, now) = proven();

        // Somebody kept the message; the secrets are changed when they are used next.
        let later = now.max(START + Duration::from_secs(age));
        load(&mut server, later);
        let checked = server.node.check(SOURCE, &initiation, later, &mut [0; 64]);
        assert_eq!(checked == Checked::Pass, passes, "{age} s");
    }
}

#[test]
fn a_cookie_reply_is_taken_once_and_only_for_a_message_of_ours() {
    let mut now = START;
    let (mut client, mut server) =
        (End::new(1, 2, None, Profile::PLAIN), End::new(2, 1, None, Profile::PLAIN));
    client.tunnel.initiate(now);
    let first = client.drain(now).remove(0);
    load(&mut server, now);
    let reply = reply_to(&mut server, SOURCE, &first, now);
    for bit in 0..64 * 8 {
        let mut changed = reply;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(client.tunnel.handle_cookie_reply(&changed, now).is_err(), "bit {bit}");
    }
    let mut foreign = first.clone();
    foreign[30] ^= 1;
    sign(2, &mut foreign);
    let for_another = reply_to(&mut server, SOURCE, &foreign, now);
    assert!(client.tunnel.handle_cookie_reply(&for_another, now).is_err());
    client.tunnel.handle_cookie_reply(&reply, now).unwrap();
    assert!(client.tunnel.handle_cookie_reply(&reply, now).is_err(), "a replay");
    let second = next_initiation(&mut client, &mut now);
    assert!(client.tunnel.handle_cookie_reply(&reply, now).is_err());
    load(&mut server, now);
    assert_eq!(server.node.check(SOURCE, &second, now, &mut [0; 64]), Checked::Pass);
}

#[test]
fn responses_carry_a_cookie_as_well() {
    let mut now = START;
    let (mut client, mut server) =
        (End::new(1, 2, None, Profile::PLAIN), End::new(2, 1, None, Profile::PLAIN));
    server.tunnel.initiate(now);
    let initiation = server.drain(now).remove(0);
    client.receive(&initiation, now).unwrap();
    let response = client.drain(now).remove(0);
    load(&mut server, now);
    let reply = reply_to(&mut server, SOURCE, &response, now);
    client.tunnel.handle_cookie_reply(&reply, now).unwrap();
    let initiation = next_initiation(&mut server, &mut now);
    client.receive(&initiation, now).unwrap();
    let response = client.drain(now).remove(0);
    load(&mut server, now);
    server.receive(&response, now).unwrap();
    assert!(server.is_ready(now));
}

#[test]
fn a_proven_address_has_twenty_handshakes_a_second_under_load() {
    let networks: [[SocketAddr; 2]; 2] = [
        [SOURCE, SOURCE],
        [1, 2].map(|host| {
            let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, host, 0, 0, 9);
            SocketAddr::new(IpAddr::V6(ip), 9)
        }),
    ];
    for addresses in networks {
        let mut server = End::new(2, 1, None, Profile::PLAIN);
        let mut messages = Vec::new();
        let mut now = START;
        for address in addresses {
            let mut client = End::new(1, 2, None, Profile::PLAIN);
            client.tunnel.initiate(now);
            let first = client.drain(now).remove(0);
            load(&mut server, now);
            let reply = reply_to(&mut server, address, &first, now);
            client.tunnel.handle_cookie_reply(&reply, now).unwrap();
            messages.push((address, next_initiation(&mut client, &mut now)));
        }
        let mut passed = 0;
        for i in 0..20_000u64 {
            let at = now + Duration::from_micros(i * 500);
            load(&mut server, at);
            let (address, message) = &messages[i as usize % 2];
            match server.node.check(*address, message, at, &mut [0; 64]) {
                Checked::Pass => passed += 1,
                Checked::Drop(DropReason::RateLimited) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(passed, 5 + 199, "{addresses:?}: a burst of 5 and 20 a second over 10 s");
    }
}
