//! All sessions of a node cross to the one that takes its place (R38).

use std::time::Duration;

use connection::{
    Connections, Event, Exported, ImportError, PeerConfig, PeerIndex, PresharedKey, SealError,
};
use packet::{Instant, SendBuffer};
use zeroize::Zeroizing;

use crate::two::{Two, address, at, key, node, peer, udp};

/// Node `of` is replaced by one that is given what it exported; returns the old one.
fn hand_over(two: &mut Two, of: usize, now: Instant, later: Instant) -> Connections {
    let exported = two.nodes[of].export_and_stop(now).expect("sessions");
    let bytes = Zeroizing::new(exported.as_bytes().to_vec());
    let mut new = node(of as u8 + 1);
    let exported = Exported::from_bytes(bytes).expect("whole");
    assert_eq!(new.inherit(&exported, later), Ok(1));
    two.peers[of] = new.add(told(two, of), later).expect("a peer");
    std::mem::replace(&mut two.nodes[of], new)
}

/// What commands say of the other end: the Client knows where the Gateway is.
fn told(two: &Two, of: usize) -> PeerConfig {
    let remote = (of == 0).then_some(two.addresses[1]);
    peer(key(2 - of as u8).public_key(), remote)
}

fn counter(datagram: &[u8]) -> u64 {
    u64::from_le_bytes(datagram[8..16].try_into().expect("a data message"))
}

fn flushed(node: &mut Connections, now: Instant) -> bool {
    let mut send = SendBuffer::new(65_536, 8);
    node.flush(now, &mut send);
    !send.is_empty()
}

#[test]
fn r38_both_ways_go_on_without_a_handshake_and_no_counter_is_used_twice() {
    for of in [0, 1] {
        let mut two = Two::connected();
        two.seal(of, b"before", at(1)).expect("ready");
        let last = two.datagrams.last().expect("it was sent").clone();
        let mut old = hand_over(&mut two, of, at(2), at(700));

        assert_eq!(two.nodes[of].poll_event(), Some(Event::Ready(two.peers[of])));
        assert!(!flushed(&mut two.nodes[of], at(700)), "nothing is said of it");
        two.received = [Vec::new(), Vec::new()];
        two.seal(1 - of, b"to it", at(701)).expect("the other end noticed nothing");
        two.seal(of, b"after", at(702)).expect("ready at once");

        let first = two.datagrams.last().expect("it was sent");
        assert!(counter(first) >= counter(&last) + 1 + (1 << 20));
        assert_eq!(two.received[1 - of], [udp(b"after")]);
        assert_eq!(two.received[of], [udp(b"to it")]);
        std::mem::swap(&mut old, &mut two.nodes[of]);
        assert_eq!(two.seal(of, b"no", at(703)), Err(SealError::NotReady));
        assert!(!flushed(&mut two.nodes[of], at(703)), "nor does it greet anybody");
    }
}

#[test]
fn r38_what_was_received_before_is_a_replay_after() {
    let mut two = Two::connected();
    two.seal(0, b"one", at(1)).expect("ready");
    let seen = two.datagrams.last().expect("it was sent").clone();
    hand_over(&mut two, 1, at(2), at(3));
    two.received = [Vec::new(), Vec::new()];

    two.arrive(1, two.addresses[0], &mut seen.clone(), seen.len(), at(4));

    assert_eq!(two.nodes[1].counters().replayed, 1);
    assert!(two.received[1].is_empty());
    two.seal(0, b"two", at(5)).expect("ready");
    assert_eq!(two.received[1], [udp(b"two")]);
}

#[test]
fn r38_the_old_one_opens_and_answers_nothing() {
    let mut two = Two::connected();
    let _ = two.nodes[1].export_and_stop(at(2)).expect("sessions");
    two.received = [Vec::new(), Vec::new()];

    two.seal(0, b"late", at(3)).expect("ready");

    assert!(two.received[1].is_empty());
    assert!(!flushed(&mut two.nodes[1], at(3)));
    assert!(two.nodes[1].poll_event().is_none());
    let newcomer = two.nodes[1].add(peer(key(7).public_key(), Some(address(7, 7))), at(3));
    assert!(newcomer.is_err(), "it has no key any more");
    assert!(two.nodes[1].public_key().is_none());
}

#[test]
fn r38_a_peer_is_reached_where_it_was_heard_of_unless_commands_say_something_new() {
    let mut two = Two::connected();
    two.addresses[1] = address(9, 9);
    two.seal(1, b"from elsewhere", at(1)).expect("ready");
    let exported = two.nodes[0].export_and_stop(at(2)).expect("sessions");
    let remote = |told: u8| {
        let mut new = node(1);
        new.inherit(&exported, at(3)).expect("whole");
        let told = peer(key(2).public_key(), Some(address(told, 2000)));
        let index = new.add(told, at(3)).expect("a peer");
        new.remote(index)
    };

    assert_eq!(remote(2), Some(address(9, 9)));
    assert_eq!(remote(77), Some(address(77, 2000)));
}

#[test]
fn r38_sessions_are_as_old_as_they_were_and_end_when_they_would_have() {
    let mut two = Two::connected();
    let later = at(0) + Duration::from_secs(170);
    hand_over(&mut two, 1, at(1000), later);
    let age = |two: &Two, now| {
        let (counts, _) = two.nodes[1].statistics(two.peers[1], now).expect("a tunnel");
        counts.session_age
    };

    assert_eq!(age(&two, later), Some(Duration::from_secs(170)));
    assert_eq!(age(&two, at(0) + Duration::from_secs(181)), None);
    assert_eq!(two.seal(1, b"too old", later), Err(SealError::NotReady));
}

#[test]
fn r38_what_no_peer_claims_is_erased_in_time_and_then_greeted() {
    let mut two = Two::connected();
    let exported = two.nodes[0].export_and_stop(at(2)).expect("sessions");
    let mut new = node(1);
    new.inherit(&exported, at(3)).expect("whole");
    let stranger = new.add(peer(key(7).public_key(), None), at(3)).expect("another");
    assert!(!new.is_ready(stranger, at(3)));
    let due = new.poll_timeout().expect("it waits for peers");

    new.handle_timeout(due);

    assert_eq!(due, at(2) + Duration::from_secs(180));
    let index = new.add(told(&two, 0), at(4)).expect("a peer");
    assert!(!new.is_ready(index, at(4)), "though it were not too old");
}

#[test]
fn r38_damaged_or_foreign_sessions_change_nothing() {
    let mut two = Two::connected();
    let exported = two.nodes[0].export_and_stop(at(2)).expect("sessions");
    let bytes = exported.as_bytes();
    let take = |bytes: &[u8]| Exported::from_bytes(Zeroizing::new(bytes.to_vec()));
    for len in 0..bytes.len() {
        assert!(take(&bytes[..len]).is_err());
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0..6 => ImportError::NotSessions,
            6 | 7 => ImportError::Version(1 ^ 1 << (bit - 48)),
            _ => ImportError::Damaged,
        };
        assert_eq!(take(&changed).expect_err("damaged"), expected);
    }
    assert!(take(&[bytes, &[0]].concat()).is_err());
    assert_eq!(format!("{exported:?}"), "Exported(***)");

    assert_eq!(node(2).inherit(&exported, at(3)), Err(ImportError::OtherKey));
    let mut new = node(1);
    assert_eq!(new.inherit(&exported, at(1)), Err(ImportError::Damaged), "of a later moment");
    assert_eq!(Connections::default().inherit(&exported, at(3)), Err(ImportError::NotFresh));
    let index: PeerIndex = new.add(told(&two, 0), at(3)).expect("a peer");
    assert!(!new.is_ready(index, at(3)));
    assert_eq!(new.inherit(&exported, at(3)), Err(ImportError::NotFresh));
}

#[test]
fn r38_a_changed_preshared_key_holds_from_the_next_handshake() {
    let mut two = Two::connected();
    let exported = two.nodes[0].export_and_stop(at(2)).expect("sessions");
    let mut new = node(1);
    new.inherit(&exported, at(3)).expect("whole");
    let psk = Some(PresharedKey::from_bytes([9; 32]));

    let told = PeerConfig { preshared_key: psk, ..told(&two, 0) };
    let index = new.add(told, at(3)).expect("a peer");

    assert!(new.is_ready(index, at(3)));
}

#[test]
fn a_laboratory_hands_nothing_over() {
    assert!(Connections::default().export_and_stop(at(1)).is_none());
}
