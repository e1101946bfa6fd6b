//! A successor takes the tunnel over (R38).

use std::time::Duration;

use wireguard::{
    Entropy, Event, Exported, ImportError, Node, PresharedKey, Profile, Refused, Tunnel,
};
use zeroize::Zeroizing;

use crate::pair::{Pair, START, WALL, exact, private};

/// Moves end `of` of the pair to another process.
fn hand_over(pair: &mut Pair, of: usize) -> Tunnel {
    let exported = pair.ends[of].tunnel.export_and_stop(pair.now);
    let bytes = Zeroizing::new(exported.as_bytes().to_vec());
    let imported = import(of, pair, &Exported::from_bytes(bytes).unwrap()).unwrap();
    std::mem::replace(&mut pair.ends[of].tunnel, imported)
}

fn import(of: usize, pair: &Pair, exported: &Exported) -> Result<Tunnel, ImportError> {
    let (own, peer) = (of as u8 + 1, 2 - of as u8);
    // The clock of the new process is behind: time stamps rise nevertheless.
    let node = Node::new(private(own), Entropy::new([77; 32]), WALL, pair.now);
    let psk = Some(PresharedKey::from_bytes([7; 32]));
    let entropy = Entropy::new([78; 32]);
    let (key, profile) = (private(peer).public_key(), exact(Profile::FIREZONE_ICE));
    let mut tunnel = Tunnel::new(&node, key, psk, profile, exported.connection(), entropy).unwrap();
    tunnel.inherit(exported, pair.now).map(|()| tunnel)
}

fn counter(message: &[u8]) -> u64 {
    u64::from_le_bytes(message[8..16].try_into().unwrap())
}

#[test]
fn r38_packets_go_on_without_a_handshake_and_no_counter_is_used_twice() {
    for of in [0, 1] {
        let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
        for _ in 0..10 {
            pair.talk();
        }
        let last = pair.ends[of].seal(&[b"before"], pair.now).unwrap().remove(0);
        let mut old = hand_over(&mut pair, of);
        assert!(!old.is_ready(pair.now));
        assert!(pair.ends[of].is_ready(pair.now));
        let first = pair.ends[of].seal(&[b"after"], pair.now).unwrap().remove(0);
        assert_eq!(counter(&first), counter(&last) + 1 + (1 << 20));
        pair.ends[1 - of].receive(&first, pair.now).unwrap();
        assert!(pair.ends[1 - of].receive(&last, pair.now).is_err(), "far behind by now");
        for _ in 0..10 {
            pair.talk();
        }
        assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[1]), (1, 0));
        old.initiate(pair.now);
        assert_eq!(old.poll_transmit(&mut [0; 148], pair.now), None);
    }
}

#[test]
fn r38_the_old_process_seals_opens_and_answers_nothing() {
    let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
    let sealed = pair.ends[1].seal(&[b"late"], pair.now).unwrap().remove(0);
    pair.run(Duration::from_secs(6));
    pair.ends[1].tunnel.initiate(pair.now);
    let initiation = pair.ends[1].drain(pair.now).remove(0);
    let _ = pair.ends[0].tunnel.export_and_stop(pair.now);
    assert!(pair.ends[0].seal(&[b"no"], pair.now).is_err());
    assert!(pair.ends[0].receive(&sealed, pair.now).is_err());
    let read = pair.ends[0].node.read_initiation(&initiation).unwrap();
    let refused = pair.ends[0].tunnel.handle_initiation(read, pair.now);
    assert_eq!(refused, Err(Refused::Stopped));
    pair.ends[0].tunnel.want_session(pair.now);
    assert!(pair.ends[0].drain(pair.now).is_empty());
    assert_eq!(pair.ends[0].tunnel.poll_timeout(), None);
}

#[test]
fn r38_what_was_seen_before_is_a_replay_after() {
    let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
    let sealed: Vec<Vec<u8>> =
        (0..100u8).map(|i| pair.ends[0].seal(&[&[i; 8]], pair.now).unwrap().remove(0)).collect();
    for message in &sealed[..90] {
        pair.ends[1].receive(message, pair.now).unwrap();
    }
    hand_over(&mut pair, 1);
    for message in &sealed[..90] {
        assert!(pair.ends[1].receive(message, pair.now).is_err());
    }
    for message in &sealed[90..] {
        pair.ends[1].receive(message, pair.now).unwrap();
    }
}

#[test]
fn r38_timers_go_on_from_the_age_of_the_sessions() {
    for of in [0, 1] {
        let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
        pair.run(Duration::from_secs(100));
        hand_over(&mut pair, of);
        let next = pair.ends[0].tunnel.poll_timeout().unwrap();
        let due = START + Duration::from_millis(165_020);
        assert_eq!(next.0, due, "the initiator renews as if nothing had happened");
        for _ in 0..300 {
            pair.run(Duration::from_secs(1));
            pair.talk();
        }
        assert_eq!(pair.ends[of].events.first(), Some(&Event::Established));
    }
}

#[test]
fn r38_the_initiation_of_a_successor_is_no_replay() {
    let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
    pair.run(Duration::from_secs(60));
    hand_over(&mut pair, 0);
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    pair.ends[1].receive(&initiation, pair.now).expect("its stamp is greater");
    pair.run(Duration::from_secs(1));
    pair.talk();
}

#[test]
fn r38_an_old_initiation_is_a_replay_for_the_successor_too() {
    let mut pair = Pair::new(exact(Profile::FIREZONE_ICE));
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    pair.send(0, &initiation);
    pair.run(Duration::from_secs(1));
    hand_over(&mut pair, 1);
    let read = pair.ends[1].node.read_initiation(&initiation).unwrap();
    assert_eq!(pair.ends[1].tunnel.handle_initiation(read, pair.now), Err(Refused::Replayed));
}

#[test]
fn r38_damaged_state_is_refused_as_a_whole() {
    let mut pair = Pair::established(exact(Profile::FIREZONE_ICE));
    pair.talk();
    let exported = pair.ends[0].tunnel.export_and_stop(pair.now);
    let bytes = exported.as_bytes();
    for len in 0..bytes.len() {
        assert!(Exported::from_bytes(Zeroizing::new(bytes[..len].to_vec())).is_err());
    }
    for bit in 0..bytes.len() * 8 {
        let mut changed = Zeroizing::new(bytes.to_vec());
        changed[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            4 | 5 => ImportError::Version(1 ^ 1 << (bit - 32)),
            _ => ImportError::Damaged,
        };
        assert_eq!(Exported::from_bytes(changed).unwrap_err(), expected);
    }
    let longer = [bytes, &[0]].concat();
    assert!(Exported::from_bytes(Zeroizing::new(longer)).is_err());
    assert_eq!(import(1, &pair, &exported).unwrap_err(), ImportError::OtherKeys);
    assert!(import(0, &pair, &exported).is_ok());
    assert_eq!(format!("{exported:?}"), "Exported(***)");
}

#[test]
fn r38_a_tunnel_without_sessions_is_handed_over_too() {
    let mut pair = Pair::new(exact(Profile::FIREZONE_ICE));
    hand_over(&mut pair, 0);
    assert!(!pair.say(0, b"begin"));
    pair.run(Duration::from_secs(1));
    pair.talk();
    assert_eq!(pair.ends[0].tunnel.statistics(pair.now).sent_packets, 2);
}
