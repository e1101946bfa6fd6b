//! Paths that lose at random, one way or both, and paths that are gone for a while.

use std::collections::BTreeSet;
use std::time::Duration;

use wireguard::Profile;

use crate::pair::{Pair, Random, good};

const PROFILES: [Profile; 3] = [Profile::PLAIN, Profile::FIREZONE_ICE, Profile::FIREZONE_ICELESS];

/// Every percentage of loss one way, the other and both.
#[test]
fn a_session_comes_up_whatever_the_path_loses_and_no_packet_comes_twice() {
    for (percent, ways) in [1, 5, 10, 20, 40].iter().flat_map(|of| [(of, 1), (of, 2), (of, 3)]) {
        for seed in 0..30 {
            let profile = PROFILES[seed as usize % 3];
            let profile = Profile { rekey_attempt_time: Duration::from_secs(90), ..profile };
            let mut pair = Pair::new(profile);
            let mut random = Random(seed);
            pair.path = Box::new(move |from, _| {
                let lost = ways >> from & 1 == 1 && random.below(100) < *percent;
                if lost { Vec::new() } else { vec![Duration::from_millis(10)] }
            });
            let mut said = [0_u32; 2];
            for _ in 0..180 {
                for end in [0, 1] {
                    let number = said[end].to_le_bytes();
                    said[end] += u32::from(pair.say(end, &number));
                }
                pair.run(Duration::from_millis(500));
            }
            for end in [0, 1] {
                let packets = &pair.ends[1 - end].packets;
                let distinct: BTreeSet<&[u8]> = packets.iter().map(|of| &of[..4]).collect();
                assert_eq!(distinct.len(), packets.len(), "none came twice");
                let lossless = ways >> end & 1 == 0;
                assert!(!lossless || packets.len() as u32 == said[end], "{percent} % in {ways}");
                assert!(said[end] > 30, "{percent} % in {ways}, seed {seed}: {}", said[end]);
            }
        }
    }
}

/// A packet each way ten times a second, before, meanwhile and after.
#[test]
fn what_is_sent_once_the_path_is_back_arrives_at_once() {
    for profile in PROFILES {
        for gone in [100, 1000, 5000, 20_000, 60_000] {
            let mut pair = Pair::established(profile);
            let say = |pair: &mut Pair| {
                for end in [0, 1] {
                    assert!(pair.say(end, b"packet"), "the session outlives {gone} ms");
                }
                pair.run(Duration::from_millis(100));
            };
            (0..10).for_each(|_| say(&mut pair));
            pair.path = Box::new(|_, _| Vec::new());
            (0..gone / 100).for_each(|_| say(&mut pair));
            assert_eq!(pair.ends.each_ref().map(|end| end.packets.len()), [10, 10]);
            pair.path = good();
            (0..100).for_each(|_| say(&mut pair));
            assert_eq!(pair.ends.each_ref().map(|end| end.packets.len()), [110, 110]);
        }
    }
}
