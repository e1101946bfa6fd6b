//! Packets through a session: batches, counters, lengths.

use std::time::Duration;

use aead::Cipher;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use wireguard::{KEEPALIVE, Opened, Profile};

use crate::pair::{Pair, Random, exact};

/// Lays `datagrams` one behind the other, with gaps, and opens them as one batch.
fn open(pair: &mut Pair, datagrams: &[Vec<u8>]) -> (Opened, Vec<Vec<u8>>) {
    let (mut buffer, mut ranges, mut packets) = (Vec::new(), Vec::new(), Vec::new());
    for datagram in datagrams {
        buffer.extend_from_slice(b"gap");
        ranges.push((buffer.len() as u32, datagram.len() as u32));
        buffer.extend_from_slice(datagram);
    }
    let opened = pair.ends[1].tunnel.open_batch(&mut buffer, &ranges, &mut packets, pair.now);
    let bytes = |(start, len): (u32, u32)| buffer[start as usize..(start + len) as usize].to_vec();
    (opened, packets.into_iter().map(bytes).collect())
}

fn seal(pair: &mut Pair, count: u8, len: usize) -> Vec<Vec<u8>> {
    let packets: Vec<Vec<u8>> = (0..count).map(|i| vec![i; len]).collect();
    let packets: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    pair.ends[0].seal(&packets, pair.now).unwrap()
}

#[test]
fn a_batch_gives_the_packets_that_are_right_and_in_order() {
    let mut pair = Pair::established(Profile::FIREZONE_ICE);
    let mut datagrams = seal(&mut pair, 8, 100);
    datagrams[2][50] ^= 1;
    datagrams[3].truncate(31);
    datagrams[4][4] ^= 0xff;
    datagrams[5] = datagrams[1].clone();
    datagrams[6][0] = 1;
    let (opened, packets) = open(&mut pair, &datagrams);
    let expected = Opened { accepted: 3, refused: 4, replayed: 1, confirmed: false };
    assert_eq!(opened, expected);
    assert_eq!(packets, [vec![0; 100], vec![1; 100], vec![7; 100]]);
}

#[test]
fn every_cipher_understands_every_other() {
    let ciphers: Vec<Cipher> = Cipher::all().collect();
    for (a, b) in ciphers.iter().flat_map(|a| ciphers.iter().map(move |b| (*a, *b))) {
        let mut pair = Pair::with_ciphers(Profile::FIREZONE_ICE, [a, b]);
        for (count, len) in [(1, 0), (7, 40), (48, 1280), (49, 1281), (100, 3)] {
            let mut datagrams = seal(&mut pair, count, len);
            datagrams[usize::from(count) / 2][16 + len] ^= 1;
            let (opened, packets) = open(&mut pair, &datagrams);
            let right = u32::from(count) - 1;
            assert_eq!((opened.accepted, opened.refused, opened.replayed), (right, 1, 0));
            let expected = (0..count).filter(|i| *i != count / 2).map(|i| vec![i; len]);
            assert!(packets.into_iter().eq(expected.filter(|packet| !packet.is_empty())));
        }
    }
}

#[test]
fn ranges_that_leave_the_buffer_are_refused() {
    let mut pair = Pair::established(Profile::PLAIN);
    let mut buffer = [4; 100];
    let mut packets = Vec::new();
    let ranges = [(90, 40), (100, 0), (101, 32), (u32::MAX, u32::MAX), (0, 0), (0, 31), (0, 101)];
    let opened = pair.ends[1].tunnel.open_batch(&mut buffer, &ranges, &mut packets, pair.now);
    assert_eq!((opened.refused, opened.accepted, packets.len()), (7, 0, 0));
}

#[test]
fn a_run_with_a_slot_too_small_is_not_sealed() {
    let mut pair = Pair::established(Profile::PLAIN);
    let mut buffer = packet::SendBuffer::new(1000, 1);
    for (slots, len, last) in [(3, 40, 31), (1, 31, 31), (2, 15, 15)] {
        let class = packet::Class::Data;
        let mut run = buffer.open_run(crate::pair::SOURCE, 0, class, slots, len, last).unwrap();
        assert!(pair.ends[0].tunnel.seal_batch(&mut run, pair.now).is_err());
    }
    pair.talk();
}

#[test]
fn sessions_before_the_last_are_still_opened() {
    let mut pair = Pair::established(Profile::FIREZONE_ICE);
    let mut sealed = Vec::new();
    for _ in 0..5 {
        sealed.append(&mut seal(&mut pair, 1, 40));
        pair.run(Duration::from_secs(6));
        pair.ends[0].tunnel.initiate(pair.now);
        pair.run(Duration::from_secs(1));
    }
    let mut indices: Vec<&[u8]> = sealed.iter().map(|of| &of[4..8]).collect();
    indices.dedup();
    assert_eq!(indices.len(), 5, "each of another session");
    let (opened, packets) = open(&mut pair, &sealed);
    assert_eq!((opened.accepted, packets.len()), (5, 5));
    let (opened, _) = open(&mut pair, &sealed);
    assert_eq!((opened.accepted, opened.replayed), (0, 5), "each has a window of its own");
}

#[test]
fn padding_follows_the_profile_and_stays_within_the_mtu() {
    let plain = Pair::new(Profile::PLAIN);
    let lens = [(0, 0), (1, 16), (16, 16), (17, 32), (1279, 1280), (1280, 1280), (1281, 1281)];
    for (len, padded) in lens {
        assert_eq!(plain.ends[0].tunnel.padded_len(len), padded);
    }
    let firezone = Pair::new(Profile::FIREZONE_ICE);
    assert!((0..2000).all(|len| firezone.ends[0].tunnel.padded_len(len) == len));
}

#[test]
fn the_limit_of_messages_makes_a_new_session_and_then_ends_the_old_one() {
    let profile = Profile { rekey_after_messages: 20, reject_after_messages: 40, ..Profile::PLAIN };
    for end in [0, 1] {
        let mut pair = Pair::established(exact(profile));
        pair.run(Duration::from_secs(6));
        pair.path = Box::new(|_, _| Vec::new());
        let before = pair.ends[end].sent[1];
        let used = u32::from(end == 0);
        for sent in 1 + used..=40 {
            assert!(pair.say(end, b"count me"));
            let begun = pair.ends[end].sent[1] - before;
            assert_eq!(begun, u32::from(sent > 20), "either end begins after {sent} messages");
        }
        assert!(!pair.ends[end].is_ready(pair.now));
        assert!(!pair.say(end, b"one too many"));
        pair.path = crate::pair::good();
        pair.run(Duration::from_secs(6));
        pair.talk();
    }
}

#[test]
fn a_run_that_would_pass_the_limit_is_refused_whole() {
    let profile = Profile { reject_after_messages: 10, ..Profile::PLAIN };
    let mut pair = Pair::established(profile);
    assert_eq!(seal(&mut pair, 8, 20).len(), 8, "with the empty message before: 9");
    assert!(pair.ends[0].seal(&[b"ab", b"cd"], pair.now).is_err());
    assert!(pair.ends[0].seal(&[b"ab"], pair.now).is_ok());
    assert!(pair.ends[0].seal(&[b"ab"], pair.now).is_err());
}

#[test]
fn counters_beyond_the_limit_are_not_opened() {
    let mut pair = Pair::with(
        Profile::PLAIN,
        Profile { reject_after_messages: 5, ..Profile::PLAIN },
        None,
        None,
    );
    pair.ends[0].tunnel.initiate(pair.now);
    pair.run(Duration::from_secs(1));
    let sealed = seal(&mut pair, 10, 20);
    let (opened, _) = open(&mut pair, &sealed);
    assert_eq!((opened.accepted, opened.refused), (4, 6), "the empty one had counter 0");
}

#[test]
fn statistics_count_what_passed() {
    let mut pair = Pair::established(Profile::FIREZONE_ICE);
    pair.talk();
    let [a, b] = pair.ends.each_ref().map(|end| end.tunnel.statistics(pair.now));
    let data = 100 + KEEPALIVE as u64;
    assert_eq!((a.sent_bytes, a.sent_packets), (148 + 32 + data, 2));
    assert_eq!((b.sent_bytes, b.sent_packets), (92 + data, 1));
    assert_eq!((a.received_bytes, b.received_bytes), (b.sent_bytes, a.sent_bytes));
    assert_eq!((a.received_packets, b.received_packets), (1, 2));
    assert_eq!(a.session_age, Some(Duration::from_millis(120)));
    assert_eq!(b.session_age, Some(Duration::from_millis(130)));
    assert!(a.last_handshake.is_some() && b.last_handshake > a.last_handshake);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(8192),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Every message comes one to three times, up to 8,000 places late: each is accepted once.
    #[test]
    fn reordering_and_repetition_lose_and_repeat_nothing(seed in any::<u64>()) {
        let mut pair = Pair::established(Profile::FIREZONE_ICE);
        let mut random = Random(seed);
        let mut order = Vec::new();
        for batch in 0..80u64 {
            for (i, sealed) in seal(&mut pair, 100, 4).into_iter().enumerate() {
                for _ in 0..=random.below(3) {
                    let place = batch * 100 + i as u64 + random.below(8000);
                    order.push((place, sealed.clone()));
                }
            }
        }
        order.sort_by_key(|of| of.0);
        let datagrams: Vec<Vec<u8>> = order.into_iter().map(|of| of.1).collect();
        let (mut accepted, mut other) = (0, 0);
        for batch in datagrams.chunks(64) {
            let (opened, packets) = open(&mut pair, batch);
            prop_assert_eq!(opened.refused, 0);
            prop_assert_eq!(opened.accepted as usize, packets.len());
            accepted += opened.accepted;
            other += opened.replayed;
        }
        prop_assert_eq!(accepted, 8000);
        prop_assert_eq!(accepted + other, datagrams.len() as u32);
    }
}
