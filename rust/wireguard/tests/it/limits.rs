//! The numbers of the protocol as they are, not as a test would like them: sessions whose counter
//! stands where 2^60 messages would have led it, and many rekeys under load.

use std::time::Duration;

use blake2::{Blake2s256, Digest};
use wireguard::{Entropy, Exported, PresharedKey, Profile, Tunnel};
use zeroize::Zeroizing;

use crate::pair::{Pair, exact, private};

const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// 2^64 - 2^13 - 1.
const REJECT_AFTER_MESSAGES: u64 = 0xffff_ffff_ffff_dfff;
/// What a successor leaves out.
const LEAP: u64 = 1 << 20;
/// Where the next counter of the first session stands in what is exported.
const COUNTER: usize = 239;

#[test]
fn profiles_have_the_papers_values_but_for_what_firezone_sets() {
    let seconds = Duration::from_secs;
    for profile in [Profile::PLAIN, Profile::FIREZONE_ICE, Profile::FIREZONE_ICELESS] {
        assert_eq!(profile.rekey_after, seconds(120));
        assert_eq!(profile.reject_after, seconds(180));
        assert_eq!(profile.rekey_jitter, Duration::from_millis(333));
        assert_eq!(profile.expire_after, seconds(540), "three times the life of a session");
        assert_eq!(profile.rekey_after_messages, REKEY_AFTER_MESSAGES);
        assert_eq!(profile.reject_after_messages, REJECT_AFTER_MESSAGES);
        assert_eq!(profile.persistent_keepalive, None);
    }
    let set = |of: Profile| {
        let times = [of.rekey_timeout, of.rekey_attempt_time, of.keepalive_timeout];
        (times.map(|time| time.as_secs()), of.stop_sending_after.as_secs(), of.padding)
    };
    assert_eq!(set(Profile::PLAIN), ([5, 90, 10], 180, 16));
    assert_eq!(set(Profile::FIREZONE_ICE), ([5, 20, 10], 170, 1));
    assert_eq!(set(Profile::FIREZONE_ICELESS), ([2, 90, 5], 170, 1));
}

/// A pair with a session of which end 0 has sealed `counter` messages; it keeps to `profile`.
fn after(counter: u64, profile: Profile) -> Pair {
    let mut pair = Pair::established(exact(Profile::PLAIN));
    pair.run(Duration::from_secs(6));
    let exported = pair.ends[0].tunnel.export_and_stop(pair.now);
    let mut bytes = exported.as_bytes().to_vec();
    let end = bytes.len() - 32;
    assert_eq!(bytes[COUNTER..COUNTER + 8], 1_u64.to_le_bytes(), "the empty message had counter 0");
    bytes[COUNTER..COUNTER + 8].copy_from_slice(&(counter - LEAP).to_le_bytes());
    let sum = Blake2s256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    let exported = Exported::from_bytes(Zeroizing::new(bytes)).unwrap();
    let (peer, psk) = (private(2).public_key(), Some(PresharedKey::from_bytes([7; 32])));
    let (node, entropy) = (&pair.ends[0].node, Entropy::new([78; 32]));
    let connection = exported.connection();
    let mut tunnel = Tunnel::new(node, peer, psk, profile, connection, entropy).unwrap();
    tunnel.inherit(&exported, pair.now).unwrap();
    pair.ends[0].tunnel = tunnel;
    pair
}

/// Seals one packet at end 0: its counter, and what end 1 makes of it.
fn pass(pair: &mut Pair) -> (u64, bool) {
    let sealed = pair.ends[0].seal(&[b"packet"], pair.now).unwrap().remove(0);
    let counter = u64::from_le_bytes(sealed[8..16].try_into().unwrap());
    (counter, pair.ends[1].receive(&sealed, pair.now).is_ok())
}

/// How many initiations end 0 wants to send.
fn initiations(pair: &mut Pair) -> usize {
    pair.ends[0].drain(pair.now).iter().filter(|message| message[0] == 1).count()
}

#[test]
fn a_new_session_is_made_after_2_to_the_60_messages() {
    let mut pair = after(REKEY_AFTER_MESSAGES - 2, exact(Profile::PLAIN));
    for counter in [REKEY_AFTER_MESSAGES - 2, REKEY_AFTER_MESSAGES - 1] {
        assert_eq!(pass(&mut pair), (counter, true));
        assert_eq!(initiations(&mut pair), 0);
    }
    assert_eq!(pass(&mut pair), (REKEY_AFTER_MESSAGES, true), "the session still goes on");
    assert_eq!(initiations(&mut pair), 1);
}

#[test]
fn nothing_is_sealed_with_a_counter_of_2_to_the_64_less_2_to_the_13_less_1() {
    let mut pair = after(REJECT_AFTER_MESSAGES - 2, exact(Profile::PLAIN));
    for counter in [REJECT_AFTER_MESSAGES - 2, REJECT_AFTER_MESSAGES - 1] {
        assert!(pair.ends[0].is_ready(pair.now));
        assert_eq!(pass(&mut pair), (counter, true));
    }
    assert!(!pair.ends[0].is_ready(pair.now));
    assert!(pair.ends[0].seal(&[b"one too many"], pair.now).is_err());
    // The initiation that the messages before asked for.
    pair.run(Duration::from_secs(1));
    pair.talk();
}

#[test]
fn nothing_is_opened_with_such_a_counter_either() {
    let careless = Profile { reject_after_messages: u64::MAX, ..exact(Profile::PLAIN) };
    let mut pair = after(REJECT_AFTER_MESSAGES - 1, careless);
    assert_eq!(pass(&mut pair), (REJECT_AFTER_MESSAGES - 1, true));
    for more in 0..3 {
        assert_eq!(pass(&mut pair), (REJECT_AFTER_MESSAGES + more, false));
    }
}

/// Each way a packet every 100 ms, for a hundred times the age at which sessions are renewed.
#[test]
fn a_hundred_rekeys_under_load_lose_nothing_and_delay_nothing() {
    for profile in [Profile::PLAIN, Profile::FIREZONE_ICELESS] {
        let mut pair = Pair::established(profile);
        let mut said = 0_u32;
        while pair.ends[0].sent[1] <= 100 {
            for end in [0, 1] {
                assert!(pair.say(end, &said.to_le_bytes()));
            }
            said += 1;
            pair.run(Duration::from_millis(10));
            for end in &mut pair.ends {
                assert_eq!(end.packets.len(), 1, "it took the path's 10 ms, and came once");
                let packet = end.packets.pop().unwrap();
                assert_eq!(packet[..4], (said - 1).to_le_bytes());
            }
            pair.run(Duration::from_millis(90));
        }
        assert!(said > 100 * 1200, "one session lasts 120 s, not less: {said}");
        assert_eq!(pair.ends[1].sent[1], 0);
    }
}
