//! Messages that are false, changed, old, or meant for somebody else: none does anything, and the
//! right one still does what it should.

use std::time::Duration;

use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wireguard::{Entropy, Event, Node, Profile, Tunnel};

use crate::mac::sign;
use crate::pair::{End, Pair, Random, START, WALL, private};

const PROFILE: Profile = Profile::FIREZONE_ICE;

/// A handshake and a packet, each message passed on by hand; `disturb` is called with its receiver,
/// the receiver's key number and the message before that is.
fn conversation(mut disturb: impl FnMut(&mut End, u8, &[u8], Instant)) {
    let mut pair = Pair::new(PROFILE);
    pair.ends[0].tunnel.initiate(pair.now);
    for to in [1, 0, 1] {
        let message = pair.ends[1 - to].drain(pair.now).remove(0);
        let receiver = &mut pair.ends[to];
        let events = receiver.events.len();
        disturb(receiver, to as u8 + 1, &message, pair.now);
        assert!(receiver.drain(pair.now).is_empty(), "nothing is answered");
        assert_eq!(receiver.events.len(), events, "nothing happened");
        receiver.receive(&message, pair.now).expect("the right message is understood");
    }
    pair.talk();
    assert!(pair.ends.iter().all(|end| end.events == [Event::Established]));
}

#[test]
fn truncated_and_lengthened_messages_do_nothing() {
    conversation(|receiver, _, message, now| {
        for len in 0..message.len() {
            assert!(receiver.receive(&message[..len], now).is_err());
        }
        for more in [1, 16, 1000] {
            let longer = [message, &vec![0; more]].concat();
            assert!(receiver.receive(&longer, now).is_err());
        }
    });
}

/// MAC2 is covered by nothing, and nobody looks at it without load.
#[test]
fn a_message_with_a_bit_flipped_does_nothing() {
    conversation(|receiver, _, message, now| {
        let covered = if message.len() > 64 { message.len() - 16 } else { message.len() };
        for bit in 0..covered * 8 {
            let mut changed = message.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.receive(&changed, now).is_err(), "bit {bit}");
        }
    });
}

/// The indices of a handshake message are covered by MAC1 alone.
#[test]
fn a_flipped_bit_under_a_right_mac1_does_nothing_either() {
    conversation(|receiver, number, message, now| {
        let sealed = match message[0] {
            1 => 8..116,
            2 => 12..60,
            _ => return,
        };
        for bit in sealed.start * 8..sealed.end * 8 {
            // All others cost as much and tell no more.
            if bit % 3 != 0 {
                continue;
            }
            let mut changed = message.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            sign(number, &mut changed);
            // Away from the limit of handshakes a second, which is another test's.
            let read = receiver.node.read_initiation(&changed);
            let refused = match read {
                Ok(initiation) => receiver.tunnel.handle_initiation(initiation, now).is_err(),
                Err(_) => receiver.tunnel.handle_response(&changed, now).is_err(),
            };
            assert!(refused, "bit {bit}");
        }
    });
}

#[test]
fn a_response_that_is_false_leaves_the_handshake_open() {
    conversation(|receiver, number, message, now| {
        if message[0] != 2 {
            return;
        }
        for _ in 0..100 {
            let mut garbage = message.to_vec();
            garbage[12..60].fill(0x5a);
            sign(number, &mut garbage);
            assert!(receiver.tunnel.handle_response(&garbage, now).is_err());
        }
    });
}

/// Before every message come twenty others that look like it, with a right MAC1 where there is one,
/// and twenty cookie replies to whatever is open.
#[test]
fn of_a_hundred_handshakes_amid_forgeries_each_completes_at_once() {
    for seed in 0..100 {
        let mut random = Random(seed);
        conversation(|receiver, number, message, now| {
            for _ in 0..20 {
                let mut forged = message.to_vec();
                let from = [8, 12, 16][random.below(3) as usize];
                forged[from..].fill_with(|| random.below(256) as u8);
                if message[0] < 3 {
                    sign(number, &mut forged);
                }
                assert!(receiver.receive(&forged, now).is_err());
                let mut cookie: Vec<u8> = (0..64).map(|_| random.below(256) as u8).collect();
                cookie[..4].copy_from_slice(&[3, 0, 0, 0]);
                // Of the first handshake of this end, whether or not there is one.
                cookie[4..8].copy_from_slice(&[1, number, 0, 0x10]);
                assert!(receiver.receive(&cookie, now).is_err());
            }
        });
    }
}

#[test]
fn reflected_messages_do_nothing_even_where_indices_are_equal() {
    let mut pair = Pair::new(PROFILE);
    for (own, end) in pair.ends.iter_mut().enumerate() {
        let (own, peer) = (own as u8 + 1, 2 - own as u8);
        let entropy = Entropy::new([own; 32]);
        let peer = private(peer).public_key();
        end.tunnel = Tunnel::new(&end.node, peer, None, PROFILE, 5, entropy).unwrap();
    }
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    assert!(pair.ends[0].receive(&initiation, pair.now).is_err());
    let mut signed = initiation.clone();
    sign(1, &mut signed);
    assert_eq!(pair.ends[0].receive(&signed, pair.now).unwrap_err(), "Unauthentic");
    pair.ends[1].receive(&initiation, pair.now).unwrap();
    let response = pair.ends[1].drain(pair.now).remove(0);
    assert!(pair.ends[1].receive(&response, pair.now).is_err());
    assert!(pair.ends[1].tunnel.handle_response(&response, pair.now).is_err());
    pair.ends[0].receive(&response, pair.now).unwrap();
    pair.run(Duration::from_millis(50));
    for end in [0, 1] {
        let sealed = pair.ends[end].seal(&[b"mine"], pair.now).unwrap().remove(0);
        assert_eq!(sealed[4..8], [1, 5, 0, 0], "both ends have index 0x501");
        let refused = pair.ends[end].receive(&sealed, pair.now).unwrap_err();
        assert!(refused.contains("refused: 1"), "{refused}");
        pair.ends[1 - end].receive(&sealed, pair.now).unwrap();
    }
    pair.talk();
}

#[test]
fn replayed_messages_of_each_type_do_nothing() {
    let mut pair = Pair::new(PROFILE);
    let mut seen = Vec::new();
    pair.ends[0].tunnel.initiate(pair.now);
    for to in [1, 0, 1] {
        let message = pair.ends[1 - to].drain(pair.now).remove(0);
        pair.ends[to].receive(&message, pair.now).unwrap();
        seen.push((to, message));
    }
    let packet = pair.ends[0].seal(&[b"once"], pair.now).unwrap().remove(0);
    pair.ends[1].receive(&packet, pair.now).unwrap();
    seen.push((1, packet));
    for wait in [0, 1, 60, 100] {
        pair.run(Duration::from_secs(wait));
        for (to, message) in &seen {
            assert!(pair.ends[*to].receive(message, pair.now).is_err());
        }
        assert!(pair.ends.iter_mut().all(|end| end.drain(START).is_empty()));
    }
    assert_eq!(pair.ends[1].packets.len(), 1);
    pair.talk();
}

#[test]
fn an_initiation_older_than_the_last_is_a_replay_also_if_it_never_came() {
    let mut pair = Pair::new(PROFILE);
    let mut initiations = Vec::new();
    pair.ends[0].tunnel.initiate(pair.now);
    for _ in 0..3 {
        initiations.append(&mut pair.ends[0].drain(pair.now));
        pair.now += Duration::from_secs(6);
        pair.ends[0].tunnel.handle_timeout(pair.now);
    }
    pair.ends[1].receive(&initiations[1], pair.now).unwrap();
    pair.now += Duration::from_secs(1);
    assert_eq!(pair.ends[1].receive(&initiations[0], pair.now).unwrap_err(), "Replayed");
    assert_eq!(pair.ends[1].receive(&initiations[1], pair.now).unwrap_err(), "Replayed");
    pair.ends[1].receive(&initiations[2], pair.now).unwrap();
}

#[test]
fn initiations_closer_than_20_ms_are_refused() {
    let mut pair = Pair::new(PROFILE);
    let mut initiations = Vec::new();
    pair.ends[0].tunnel.initiate(pair.now);
    for _ in 0..3 {
        initiations.append(&mut pair.ends[0].drain(pair.now));
        pair.now += Duration::from_secs(6);
        pair.ends[0].tunnel.handle_timeout(pair.now);
    }
    let ms = Duration::from_millis(1);
    pair.ends[1].receive(&initiations[0], pair.now).unwrap();
    assert_eq!(pair.ends[1].receive(&initiations[1], pair.now + 19 * ms).unwrap_err(), "TooFast");
    pair.ends[1].receive(&initiations[2], pair.now + 20 * ms).unwrap();
}

#[test]
fn a_peer_that_sends_initiations_only_does_not_push_the_session_in_use_out() {
    let mut pair = Pair::established(Profile::PLAIN);
    pair.run(Duration::from_secs(1));
    // A second process with the same key, which never uses what it gets.
    let wall = WALL + Duration::from_secs(2);
    let node = Node::new(private(1), Entropy::new([5; 32]), wall, pair.now);
    let peer = private(2).public_key();
    let profile = Profile { rekey_attempt_time: Duration::from_secs(900), ..Profile::PLAIN };
    let mut other = Tunnel::new(&node, peer, None, profile, 9, Entropy::new([6; 32])).unwrap();
    other.initiate(pair.now);
    for _ in 0..20 {
        let mut out = [0; 148];
        assert_eq!(other.poll_transmit(&mut out, pair.now), Some(148));
        pair.ends[1].receive(&out, pair.now).unwrap();
        pair.talk();
        pair.run(Duration::from_secs(6));
        other.handle_timeout(pair.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn garbage_never_panics(
        kind in 0u8..6,
        len in prop_oneof![0usize..200, Just(148), Just(92), Just(64), Just(32)],
        bytes in prop::collection::vec(any::<u8>(), 200),
        index in any::<bool>(),
    ) {
        let mut message = bytes[..len].to_vec();
        if len >= 16 {
            message[..4].copy_from_slice(&[kind, 0, 0, 0]);
            if index {
                // The index of a handshake that is open, wherever it may stand.
                message[4..8].copy_from_slice(&[1, 1, 0, 0x10]);
                message[8..12].copy_from_slice(&[1, 1, 0, 0x10]);
            }
        }
        let mut end = End::new(1, 2, None, PROFILE);
        end.tunnel.initiate(START);
        let initiation = end.drain(START).remove(0);
        prop_assert!(end.receive(&message, START).is_err());
        prop_assert!(end.node.read_initiation(&message).is_err());
        prop_assert!(end.tunnel.handle_response(&message, START).is_err());
        prop_assert!(end.tunnel.handle_cookie_reply(&message, START).is_err());
        let mut peer = End::new(2, 1, None, PROFILE);
        peer.receive(&initiation, START).unwrap();
        let response = peer.drain(START).remove(0);
        prop_assert!(end.receive(&response, START).is_ok());
    }
}
