//! Handshakes over paths that lose, repeat and reorder; keys that do not fit.

use std::time::Duration;

use wireguard::{
    Entropy, Event, Node, PresharedKey, PrivateKey, Profile, PublicKey, Refused, Tunnel,
    TunnelError,
};

use crate::pair::{End, Pair, Random, START, WALL, private};

const PROFILES: [Profile; 3] = [Profile::PLAIN, Profile::FIREZONE_ICE, Profile::FIREZONE_ICELESS];

#[test]
fn a_handshake_takes_one_round_trip_and_packets_pass_both_ways() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        assert!(!pair.say(0, b"a packet"), "no session yet");
        pair.run(Duration::from_millis(19));
        assert!(!pair.ends[0].is_ready(pair.now));
        pair.run(Duration::from_millis(1));
        assert!(pair.ends[0].is_ready(pair.now));
        assert!(!pair.ends[1].is_ready(pair.now), "nothing has confirmed the session yet");
        pair.run(Duration::from_millis(10));
        assert!(pair.ends[1].is_ready(pair.now), "the empty message confirmed it");
        pair.talk();
        assert_eq!(pair.ends[0].events, [Event::Established]);
        assert_eq!(pair.ends[1].events, [Event::Established]);
        assert_eq!((pair.ends[0].sent, pair.ends[1].sent), ([0, 1, 0, 0, 2], [0, 0, 1, 0, 1]));
    }
}

#[test]
fn a_packet_that_waited_confirms_the_session_without_an_empty_message() {
    let mut pair = Pair::new(Profile::PLAIN);
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    pair.ends[1].receive(&initiation, pair.now).unwrap();
    let response = pair.ends[1].drain(pair.now).remove(0);
    pair.ends[0].receive(&response, pair.now).unwrap();
    assert_eq!(pair.ends[0].tunnel.poll_event(), Some(Event::Established));
    let sealed = pair.ends[0].seal(&[b"waited"], pair.now).unwrap();
    assert!(pair.ends[0].drain(pair.now).is_empty(), "nothing is left to say");
    pair.ends[1].receive(&sealed[0], pair.now).unwrap();
    assert!(pair.ends[1].is_ready(pair.now));
}

/// Two datagrams in nine are lost, three come more than once, all within 3 s in any order.
#[test]
fn loss_repetition_and_reordering_delay_a_handshake_and_never_prevent_it() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let profile = PROFILES[seed as usize % 3];
        let mut pair = Pair::new(Profile { rekey_attempt_time: profile.reject_after, ..profile });
        pair.path = Box::new(move |_, _| {
            let copies = [0, 1, 1, 1, 2, 2, 0, 1, 3][random.below(9) as usize];
            (0..copies).map(|_| Duration::from_millis(random.below(3000))).collect()
        });
        for _ in 0..60 {
            pair.say(0, &[1; 60]);
            pair.run(Duration::from_millis(500));
            pair.say(1, &[2; 60]);
            pair.run(Duration::from_millis(500));
        }
        for end in &pair.ends {
            assert!(end.is_ready(pair.now), "seed {seed}");
            assert!(end.packets.len() > 10, "seed {seed}: {} packets", end.packets.len());
        }
        pair.path = crate::pair::good();
        pair.run(Duration::from_secs(4));
        pair.talk();
    }
}

#[test]
fn a_response_slower_than_the_retransmission_still_completes() {
    let mut pair = Pair::new(Profile::FIREZONE_ICELESS);
    pair.path = Box::new(|_, _| vec![Duration::from_millis(1200)]);
    pair.ends[0].tunnel.initiate(pair.now);
    pair.run(Duration::from_millis(3700));
    assert_eq!(pair.ends[0].sent[1], 2, "repeated before its response came");
    assert!(pair.ends[0].is_ready(pair.now) && pair.ends[1].is_ready(pair.now));
    pair.run(Duration::from_secs(10));
    assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[2]), (2, 2), "and it ends there");
}

#[test]
fn both_may_begin_at_the_same_time_and_agree_on_one_session() {
    for gap in [0, 1, 5, 9, 10, 11, 15, 19, 20, 21, 30] {
        for first in [0, 1] {
            let mut pair = Pair::new(Profile::FIREZONE_ICE);
            pair.ends[first].tunnel.initiate(pair.now);
            pair.run(Duration::from_millis(gap));
            pair.ends[1 - first].tunnel.initiate(pair.now);
            pair.run(Duration::from_secs(1));
            pair.talk();
            let before = [pair.ends[0].sent[1], pair.ends[1].sent[1]];
            for _ in 0..130 {
                pair.talk();
                pair.run(Duration::from_secs(1));
            }
            let after = [pair.ends[0].sent[1], pair.ends[1].sent[1]];
            let renewed: u32 = (0..2).map(|end| after[end] - before[end]).sum();
            assert_eq!(renewed, 1, "{gap} ms apart: one end alone renews the session");
        }
    }
}

#[test]
fn a_restarted_peer_is_back_after_one_handshake_of_its_own() {
    for restarted in [0, 1] {
        let mut pair = Pair::established(Profile::FIREZONE_ICE);
        pair.run(Duration::from_secs(1));
        let (own, peer) = (restarted as u8 + 1, 2 - restarted as u8);
        pair.ends[restarted] = End::new(own, peer, Some([7; 32]), Profile::FIREZONE_ICE);
        // A process that starts later reads a later wall clock.
        pair.ends[restarted].tunnel.adjust_wall(WALL + Duration::from_secs(1), START);
        pair.ends[restarted].tunnel.initiate(pair.now);
        pair.run(Duration::from_millis(100));
        pair.talk();
    }
}

#[test]
fn a_wrong_preshared_key_is_met_with_silence_until_the_attempt_is_given_up() {
    let profile = Profile::FIREZONE_ICE;
    let mut pair = Pair::with(profile, profile, Some([1; 32]), Some([2; 32]));
    pair.ends[0].tunnel.initiate(pair.now);
    pair.run(Duration::from_secs(30));
    assert_eq!(pair.ends[0].events, [Event::HandshakeFailed]);
    assert!(!pair.ends[0].is_ready(pair.now) && !pair.ends[1].is_ready(pair.now));
    assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[2]), (4, 4), "0, 5, 10 and 15 s");
    pair.ends[0].tunnel.set_preshared_key(Some(PresharedKey::from_bytes([2; 32])));
    pair.ends[0].tunnel.want_session(pair.now);
    pair.run(Duration::from_secs(1));
    pair.talk();
}

#[test]
fn no_preshared_key_is_the_same_as_zeros() {
    let mut pair = Pair::with(Profile::PLAIN, Profile::PLAIN, None, Some([0; 32]));
    pair.ends[1].tunnel.initiate(pair.now);
    pair.run(Duration::from_secs(1));
    pair.talk();
}

#[test]
fn an_initiation_goes_to_the_tunnel_of_its_sender_alone() {
    let mut pair = Pair::new(Profile::PLAIN);
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    let read = pair.ends[1].node.read_initiation(&initiation).unwrap();
    assert_eq!(read.public_key(), private(1).public_key());
    let mut other = End::new(2, 3, None, Profile::PLAIN);
    assert_eq!(other.tunnel.handle_initiation(read, pair.now), Err(Refused::WrongPeer));
    let mut stranger = End::new(3, 1, None, Profile::PLAIN);
    let refused = stranger.receive(&initiation, pair.now).unwrap_err();
    assert_eq!(refused, "Drop(Mac1)", "made for another node's key");
    assert!(stranger.node.read_initiation(&initiation).is_err());
}

/// 2^255 - 19 and its neighbours, with `least` as the lowest byte.
const fn about_the_prime(least: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (least, 0x7f);
    bytes
}

/// The points of low order on Curve25519 and its twist, as all that 255 bits can say of them: 0 and 1
/// also as the prime and one more.
const LOW_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    about_the_prime(0xec),
    about_the_prime(0xed),
    about_the_prime(0xee),
];

#[test]
fn no_tunnel_exists_with_a_key_of_low_order_or_our_own() {
    let node = Node::new(private(1), Entropy::new([1; 32]), WALL, START);
    let tunnel = |peer: PublicKey, connection: u32| {
        let entropy = Entropy::new([2; 32]);
        Tunnel::new(&node, peer, None, Profile::PLAIN, connection, entropy).map(|_| ())
    };
    for key in LOW_ORDER {
        assert_eq!(tunnel(PublicKey::from_bytes(key), 1), Err(TunnelError::LowOrderKey));
    }
    assert_eq!(tunnel(private(1).public_key(), 1), Err(TunnelError::OwnKey));
    assert_eq!(tunnel(private(2).public_key(), 1 << 24), Err(TunnelError::Connection));
    assert_eq!(tunnel(private(2).public_key(), (1 << 24) - 1), Ok(()));
}

#[test]
fn an_ephemeral_key_of_low_order_is_refused() {
    let mut pair = Pair::new(Profile::PLAIN);
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    for key in LOW_ORDER {
        let mut false_one = initiation.clone();
        false_one[8..40].copy_from_slice(&key);
        assert!(pair.ends[1].node.read_initiation(&false_one).is_err());
    }
    pair.ends[1].receive(&initiation, pair.now).unwrap();
    let response = pair.ends[1].drain(pair.now).remove(0);
    for key in LOW_ORDER {
        let mut false_one = response.clone();
        false_one[12..44].copy_from_slice(&key);
        assert!(pair.ends[0].tunnel.handle_response(&false_one, pair.now).is_err());
    }
    pair.ends[0].receive(&response, pair.now).unwrap();
}

#[test]
fn indices_carry_the_connection_and_never_repeat_among_the_live() {
    let mut pair = Pair::new(Profile::FIREZONE_ICE);
    let mut last = 0;
    for round in 0..600 {
        pair.ends[0].tunnel.initiate(pair.now);
        let initiation = pair.ends[0].drain(pair.now).remove(0);
        let index = u32::from_le_bytes(initiation[4..8].try_into().unwrap());
        assert_eq!(index >> 8, 0x10_0001);
        assert_ne!(index, last);
        if round == 0 {
            assert_eq!(index & 0xff, 1, "the first handshake has session number 1");
        }
        last = index;
        pair.send(0, &initiation);
        pair.run(Duration::from_secs(6));
    }
    pair.talk();
}

#[test]
fn keys_are_written_and_read_in_base64() {
    // RFC 7748 §6.1, Alice.
    let text = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    let key: PrivateKey = text.parse().unwrap();
    let public = key.public_key();
    assert_eq!(public.to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    assert_eq!(public.to_string().parse(), Ok(public));
    assert_eq!(*key.to_base64(), text);
    assert_eq!(*PresharedKey::from_bytes([0xff; 32]).to_base64(), format!("{}8=", "/".repeat(42)));
    assert!(format!("{key:?} {:?}", PresharedKey::from_bytes([1; 32])).contains("***"));
    for wrong in ["", "AAAA", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LC", &"A".repeat(44)] {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong:?}");
        assert!(wrong.parse::<PrivateKey>().is_err() && wrong.parse::<PresharedKey>().is_err());
    }
    let clamped = PrivateKey::clamped([0xff; 32]).to_base64();
    assert_eq!(*clamped, "+P///////////////////////////////////////38=");
}

#[test]
fn a_clock_that_went_back_makes_initiations_that_are_refused_until_it_is_set() {
    let mut pair = Pair::established(Profile::PLAIN);
    pair.run(Duration::from_secs(60));
    // A restart with the clock of the beginning: the stamp is one that the peer has seen.
    let node = Node::new(private(1), Entropy::new([9; 32]), WALL, pair.now);
    let psk = Some(PresharedKey::from_bytes([7; 32]));
    let peer = private(2).public_key();
    let tunnel = Tunnel::new(&node, peer, psk, Profile::PLAIN, 77, Entropy::new([8; 32]));
    pair.ends[0].node = node;
    pair.ends[0].tunnel = tunnel.unwrap();
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    assert_eq!(pair.ends[1].receive(&initiation, pair.now).unwrap_err(), "Replayed");
    let wall = WALL + Duration::from_secs(61);
    pair.ends[0].tunnel.adjust_wall(wall, pair.now);
    pair.ends[0].tunnel.adjust_wall(Duration::ZERO, pair.now);
    pair.run(Duration::from_secs(6));
    pair.talk();
}
