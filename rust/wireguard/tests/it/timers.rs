//! Every row of the table of timers, one millisecond before it is due and when it is.

use std::time::Duration;

use packet::Instant;
use wireguard::{Event, HandshakeError, Profile, Reason};

use crate::pair::{Pair, exact};

const MS: Duration = Duration::from_millis(1);
const PROFILES: [Profile; 3] =
    [exact(Profile::PLAIN), exact(Profile::FIREZONE_ICE), exact(Profile::FIREZONE_ICELESS)];

/// A pair whose initiator's session was made at the returned instant, long enough ago that its next
/// initiation need not wait for its turn; the path loses everything from now on.
fn cut(profile: Profile) -> (Pair, Instant) {
    let mut pair = Pair::established(profile);
    pair.run(Duration::from_secs(10));
    let created = pair.ends[0].tunnel.statistics(pair.now).last_handshake.unwrap();
    pair.path = Box::new(|_, _| Vec::new());
    (pair, created)
}

fn run_to(pair: &mut Pair, at: Instant) {
    let time = at - pair.now;
    pair.run(time);
}

#[test]
fn retransmit_repeats_an_initiation_after_rekey_timeout() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        pair.path = Box::new(|_, _| Vec::new());
        pair.ends[0].tunnel.initiate(pair.now);
        pair.run(profile.rekey_timeout - MS);
        assert_eq!(pair.ends[0].sent[1], 1);
        let next = pair.ends[0].tunnel.poll_timeout().unwrap();
        assert_eq!(next, (pair.now + MS, Reason::Retransmit));
        pair.run(MS);
        assert_eq!(pair.ends[0].sent[1], 2);
        pair.ends[0].tunnel.initiate(pair.now);
        pair.run(profile.rekey_timeout - MS);
        assert_eq!(pair.ends[0].sent[1], 2, "a handshake under way is not begun again");
    }
}

#[test]
fn retransmit_is_late_by_a_random_time_within_the_jitter() {
    let profile = Profile::PLAIN;
    let mut pair = Pair::new(Profile { rekey_attempt_time: Duration::from_secs(900), ..profile });
    pair.path = Box::new(|_, _| Vec::new());
    pair.ends[0].tunnel.initiate(pair.now);
    let mut late = Vec::new();
    for _ in 0..100 {
        pair.flush();
        let (at, reason) = pair.ends[0].tunnel.poll_timeout().unwrap();
        assert_eq!(reason, Reason::Retransmit);
        late.push((at - pair.now) - profile.rekey_timeout);
        run_to(&mut pair, at);
    }
    assert!(late.iter().all(|late| *late < profile.rekey_jitter));
    let (least, most) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(*least < 30 * MS && *most > 300 * MS, "from {least:?} to {most:?}");
}

#[test]
fn give_up_ends_the_attempt_and_the_next_packet_begins_another() {
    for profile in PROFILES {
        let mut pair = Pair::new(profile);
        pair.path = Box::new(|_, _| Vec::new());
        pair.ends[0].tunnel.want_session(pair.now);
        pair.run(profile.rekey_attempt_time - MS);
        assert_eq!(pair.ends[0].events, []);
        let sent = pair.ends[0].sent[1];
        pair.run(MS);
        assert_eq!(pair.ends[0].events, [Event::HandshakeFailed]);
        pair.run(Duration::from_secs(1000));
        assert_eq!(pair.ends[0].sent[1], sent, "nobody asked again");
        assert_eq!(pair.ends[0].tunnel.poll_timeout(), None);
        pair.ends[0].tunnel.want_session(pair.now);
        pair.flush();
        assert_eq!(pair.ends[0].sent[1], sent + 1);
    }
}

#[test]
fn silence_after_a_packet_begins_a_handshake() {
    for profile in PROFILES {
        for end in [0, 1] {
            let (mut pair, _) = cut(profile);
            let before = pair.ends[end].sent[1];
            pair.say(end, b"anybody there?");
            pair.run(profile.keepalive_timeout / 2);
            pair.say(end, b"the first packet counts");
            let left = profile.keepalive_timeout / 2 + profile.rekey_timeout;
            pair.run(left - MS);
            assert_eq!(pair.ends[end].sent[1], before);
            pair.run(MS);
            assert_eq!(pair.ends[end].sent[1], before + 1);
        }
    }
}

#[test]
fn silence_counts_packets_and_no_empty_messages() {
    let (mut pair, _) = cut(exact(Profile::PLAIN));
    pair.ends[0].tunnel.set_persistent_keepalive(Some(Duration::from_secs(3)), pair.now);
    pair.run(Duration::from_secs(60));
    assert_eq!((pair.ends[0].sent[1], pair.ends[0].sent[4]), (1, 22));
}

#[test]
fn keepalive_answers_a_packet_that_nothing_answered() {
    for profile in PROFILES {
        let mut pair = Pair::established(profile);
        let before = pair.ends[1].sent[4];
        pair.say(0, b"a question");
        pair.run(Duration::from_millis(10));
        pair.run(profile.keepalive_timeout - MS);
        assert_eq!(pair.ends[1].sent[4], before);
        pair.run(MS);
        assert_eq!(pair.ends[1].sent[4], before + 1);
        pair.run(Duration::from_secs(60));
        let messages = [pair.ends[0].sent, pair.ends[1].sent];
        assert_eq!(messages[1][4], before + 1, "one is enough, and it is not answered itself");
        assert_eq!(messages.map(|sent| sent[1]), [1, 0], "nor is silence feared");
        pair.say(0, b"a question");
        pair.run(Duration::from_secs(1));
        pair.say(1, b"an answer");
        pair.run(profile.keepalive_timeout);
        assert_eq!(pair.ends[1].sent[4], before + 2, "an answer is as good");
    }
}

#[test]
fn persistent_says_something_when_nothing_was_said_or_heard() {
    let interval = Duration::from_secs(25);
    let mut pair = Pair::established(exact(Profile::PLAIN));
    let sent = |pair: &Pair| pair.ends[0].sent[4];
    let before = sent(&pair);
    pair.ends[0].tunnel.set_persistent_keepalive(Some(interval), pair.now);
    pair.run(Duration::ZERO);
    assert_eq!(sent(&pair), before + 1, "at once");
    pair.run(interval - MS);
    assert_eq!(sent(&pair), before + 1);
    pair.run(MS);
    assert_eq!(sent(&pair), before + 2);
    pair.run(Duration::from_secs(20));
    pair.say(0, b"a packet");
    pair.run(interval - MS);
    assert_eq!(sent(&pair), before + 3, "the packet set the clock back");
    pair.ends[0].tunnel.set_persistent_keepalive(None, pair.now);
    pair.run(Duration::from_secs(60));
    assert_eq!(sent(&pair), before + 3);
}

#[test]
fn persistent_makes_a_session_by_itself_and_again_after_every_failure() {
    let profile = exact(Profile::PLAIN);
    let persistent = Profile { persistent_keepalive: Some(Duration::from_secs(25)), ..profile };
    let mut pair = Pair::with(persistent, profile, None, None);
    pair.run(Duration::from_secs(1));
    assert!(pair.ends[0].is_ready(pair.now) && pair.ends[1].is_ready(pair.now));
    pair.path = Box::new(|_, _| Vec::new());
    pair.run(Duration::from_secs(2000));
    let failed = pair.ends[0].events.iter().filter(|of| **of == Event::HandshakeFailed).count();
    assert!(failed > 5, "{failed} attempts");
    pair.path = crate::pair::good();
    pair.run(Duration::from_secs(40));
    pair.talk();
    for _ in 0..60 {
        pair.run(Duration::from_secs(10));
        assert!(pair.ends[0].is_ready(pair.now) && pair.ends[1].is_ready(pair.now));
    }
}

#[test]
fn renew_keeps_a_silent_session_alive_where_the_profile_says_so() {
    for profile in PROFILES {
        let (mut pair, created) = cut(profile);
        if !profile.keep_session {
            pair.run(Duration::from_secs(500));
            assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[1]), (1, 0));
            continue;
        }
        run_to(&mut pair, created + profile.stop_sending_after - profile.rekey_timeout - MS);
        assert_eq!(pair.ends[0].sent[1], 1);
        pair.path = crate::pair::good();
        pair.run(MS);
        assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[1]), (2, 0), "the initiator alone");
        for _ in 0..1000 {
            pair.run(Duration::from_secs(1));
            assert!(pair.ends[0].is_ready(pair.now) && pair.ends[1].is_ready(pair.now));
        }
        assert_eq!(pair.ends[1].sent[1], 0);
    }
}

#[test]
fn renew_is_left_to_the_initiator_of_the_last_session() {
    for profile in [exact(Profile::FIREZONE_ICE), exact(Profile::FIREZONE_ICELESS)] {
        let mut pair = Pair::established(profile);
        pair.run(Duration::from_secs(10));
        pair.ends[1].tunnel.initiate(pair.now);
        pair.run(Duration::from_secs(169));
        assert_eq!([pair.ends[0].sent[1], pair.ends[1].sent[1]], [1, 2]);
        pair.talk();
    }
}

#[test]
fn a_session_seals_until_one_age_and_opens_until_another() {
    for profile in PROFILES {
        let (mut pair, created) = cut(Profile { keep_session: false, ..profile });
        // Opened at instants of its own, so that no timer removes the session before.
        let mut late = cut(Profile { keep_session: false, ..profile }).0;
        let sealed = pair.ends[0].seal(&[b"one", b"two"], pair.now).unwrap();
        run_to(&mut pair, created + profile.stop_sending_after - MS);
        assert!(pair.ends[0].is_ready(pair.now));
        // The responder made its keys 10 ms earlier.
        assert!(!pair.ends[1].is_ready(pair.now));
        pair.run(MS);
        assert!(!pair.ends[0].is_ready(pair.now));
        assert!(pair.ends[0].seal(&[b"too late"], pair.now).is_err());
        let ends = created - Duration::from_millis(10) + profile.reject_after;
        assert!(late.ends[1].receive(&sealed[0], ends - MS).is_ok());
        assert!(late.ends[1].receive(&sealed[1], ends).is_err());
    }
}

#[test]
fn session_end_erases_the_session() {
    let profile = exact(Profile::PLAIN);
    let (mut pair, created) = cut(profile);
    run_to(&mut pair, created + profile.reject_after - MS);
    let next = pair.ends[0].tunnel.poll_timeout();
    assert_eq!(next, Some((created + profile.reject_after, Reason::SessionEnd)));
    assert!(pair.ends[0].tunnel.statistics(pair.now).session_age.is_some());
    pair.run(MS);
    assert_eq!(pair.ends[0].tunnel.statistics(pair.now).session_age, None);
    let next = pair.ends[0].tunnel.poll_timeout();
    assert_eq!(next, Some((created + profile.expire_after, Reason::Expiry)));
}

#[test]
fn expiry_erases_everything_and_says_so() {
    for profile in PROFILES {
        let (mut pair, created) = cut(Profile { keep_session: false, ..profile });
        run_to(&mut pair, created + profile.expire_after - MS);
        assert_eq!(pair.ends[0].events, [Event::Established]);
        pair.run(MS);
        assert_eq!(pair.ends[0].events, [Event::Established, Event::Expired]);
        assert_eq!(pair.ends[0].tunnel.poll_timeout(), None);
        pair.path = crate::pair::good();
        pair.say(0, b"hello again");
        pair.run(Duration::from_secs(1));
        pair.talk();
    }
}

#[test]
fn expiry_erases_the_keys_of_an_attempt_under_way_and_the_attempt_goes_on() {
    let (mut pair, created) = cut(Profile { keep_session: false, ..PROFILES[0] });
    run_to(&mut pair, created + PROFILES[0].expire_after - MS);
    pair.ends[0].tunnel.initiate(pair.now);
    let initiation = pair.ends[0].drain(pair.now).remove(0);
    pair.ends[1].receive(&initiation, pair.now).unwrap();
    let response = pair.ends[1].drain(pair.now).remove(0);
    pair.run(MS);
    assert_eq!(pair.ends[0].events, [Event::Established, Event::Expired]);

    let late = pair.ends[0].tunnel.handle_response(&response, pair.now);

    assert_eq!(late, Err(HandshakeError::UnknownIndex), "its key is gone");
    pair.path = crate::pair::good();
    pair.run(PROFILES[0].rekey_timeout + Duration::from_secs(1));
    pair.talk();
}

#[test]
fn the_initiator_makes_a_new_session_when_it_sends_at_rekey_after() {
    for profile in PROFILES {
        let (mut pair, created) = cut(profile);
        for (early, expected) in [(MS, [1, 0]), (Duration::ZERO, [2, 0])] {
            run_to(&mut pair, created + profile.rekey_after - early);
            pair.say(1, b"the responder never does");
            pair.say(0, b"the initiator does");
            let sent = [pair.ends[0].sent[1], pair.ends[1].sent[1]];
            assert_eq!(sent, expected, "{early:?} before");
        }
    }
}

#[test]
fn the_initiator_makes_a_new_session_once_when_it_receives_late_in_the_life_of_one() {
    for profile in PROFILES {
        // Nothing but the packet received is to make one.
        let profile = Profile { keep_session: false, rekey_after: profile.reject_after, ..profile };
        let (mut pair, created) = cut(profile);
        let late = profile.reject_after - profile.keepalive_timeout - profile.rekey_timeout;
        let responder_stops = created - Duration::from_millis(10) + profile.stop_sending_after;
        let mut sealed = Vec::new();
        run_to(&mut pair, responder_stops.min(created + late) - MS);
        for packet in [b"one", b"two", b"3rd"] {
            sealed.push(pair.ends[1].seal(&[packet], pair.now).unwrap().remove(0));
        }
        pair.ends[0].receive(&sealed[0], created + late - MS).unwrap();
        assert!(pair.ends[0].drain(created + late - MS).is_empty());
        pair.ends[0].receive(&sealed[1], created + late).unwrap();
        assert_eq!(pair.ends[0].drain(created + late).len(), 1);
        pair.ends[0].receive(&sealed[2], created + late + MS).unwrap();
        assert!(pair.ends[0].drain(created + late + MS).is_empty());
    }
}

#[test]
fn what_is_received_late_makes_no_second_attempt_after_one_that_failed() {
    for profile in PROFILES {
        let (attempt, never) = (Duration::from_secs(3), profile.reject_after);
        let profile = Profile { rekey_attempt_time: attempt, rekey_after: never, ..profile };
        let (mut pair, created) = cut(Profile { keep_session: false, ..profile });
        let sealed = pair.ends[1].seal(&[b"one", b"two"], pair.now).unwrap();
        let late =
            created + profile.reject_after - profile.keepalive_timeout - profile.rekey_timeout;
        run_to(&mut pair, late);
        pair.ends[0].receive(&sealed[0], pair.now).unwrap();
        pair.run(attempt);
        let sent = pair.ends[0].sent[1];
        assert_eq!(pair.ends[0].events.last(), Some(&Event::HandshakeFailed));
        pair.run(attempt - MS);
        pair.ends[0].receive(&sealed[1], pair.now).unwrap();
        pair.run(Duration::ZERO);
        assert_eq!(pair.ends[0].sent[1], sent);
        let next = pair.ends[0].tunnel.poll_timeout().map(|(_, reason)| reason);
        assert_ne!(next, Some(Reason::Retransmit), "none waits for its turn either");
    }
}

#[test]
fn initiations_are_never_closer_than_rekey_timeout() {
    let profile = exact(Profile::FIREZONE_ICE);
    let mut pair = Pair::established(profile);
    for _ in 0..100 {
        pair.ends[0].tunnel.initiate(pair.now);
        pair.run(Duration::from_millis(100));
    }
    assert_eq!(pair.ends[0].sent[1], 3, "at 0, 5 and 10 s, though each was answered at once");
}

#[test]
fn packets_that_flow_through_rekeys_are_all_delivered() {
    for profile in [Profile::PLAIN, Profile::FIREZONE_ICE, Profile::FIREZONE_ICELESS] {
        let mut pair = Pair::established(profile);
        let mut said = 0;
        while pair.now < Instant::ZERO + Duration::from_secs(1400) {
            for end in [0, 1] {
                assert!(pair.say(end, &[0; 64]));
            }
            said += 1;
            pair.run(Duration::from_millis(25));
        }
        pair.run(Duration::from_millis(25));
        assert_eq!(pair.ends.each_ref().map(|end| end.packets.len()), [said, said]);
        assert_eq!((pair.ends[0].sent[1], pair.ends[1].sent[1]), (4, 0), "one in 120 s");
    }
}

#[test]
fn a_packet_after_200_s_of_silence_passes_from_either_end() {
    for profile in PROFILES {
        for end in [0, 1] {
            let mut pair = Pair::established(profile);
            pair.talk();
            pair.run(Duration::from_secs(200));
            let at_once = pair.say(end, b"still there?");
            assert_eq!(at_once, profile.keep_session);
            pair.run(Duration::from_millis(50));
            pair.talk();
        }
    }
}

#[test]
fn a_suspend_longer_than_everything_is_survived() {
    for profile in PROFILES {
        let mut pair = Pair::established(profile);
        pair.now += Duration::from_secs(100_000);
        pair.run(Duration::ZERO);
        assert!(!pair.ends[0].is_ready(pair.now) && !pair.ends[1].is_ready(pair.now));
        pair.say(1, b"good morning");
        pair.run(Duration::from_secs(6));
        pair.talk();
    }
}
