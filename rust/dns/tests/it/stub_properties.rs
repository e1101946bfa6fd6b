//! Whatever is asked: no panic, and every answer is one that `domain` reads.

use dns::{Answer, Families};
use domain::base::Message;
use domain::base::iana::Rtype;
use packet::Instant;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::stub::{query, query_with_edns, stub};

fn host() -> impl Strategy<Value = String> {
    let label = "[a-zA-Z0-9_-]{1,20}";
    prop::collection::vec(label, 0..6).prop_map(|mut labels| {
        labels.push("eXample.net".to_owned());
        labels.join(".")
    })
}

fn rtype() -> impl Strategy<Value = Rtype> {
    prop_oneof![
        Just(Rtype::A),
        Just(Rtype::AAAA),
        any::<u16>().prop_map(Rtype::from_int),
        (0u16..70).prop_map(Rtype::from_int),
    ]
}

/// Answers it and reads the answer back.
fn check(
    bytes: &[u8],
    max: usize,
    offered: Families,
) -> Result<Option<Message<Vec<u8>>>, TestCaseError> {
    let mut into = [0; 2000];
    let answer = stub().answer(bytes, &|_| offered, max, Instant::ZERO, &mut into);
    let Answer::Local { len, .. } = answer else { return Ok(None) };
    prop_assert!(len <= max && len <= into.len());
    let message = Message::from_octets(into[..len].to_vec()).unwrap();
    prop_assert_eq!(message.header().id().to_be_bytes(), [bytes[0], bytes[1]]);
    for section in [message.answer(), message.authority(), message.additional()] {
        for record in section.unwrap() {
            prop_assert!(record.is_ok());
        }
    }
    Ok(Some(message))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000,
        rng_seed: RngSeed::Fixed(0xd004),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_query_is_answered_well(
        host in host(),
        rtype in rtype(),
        edns in prop::option::of((any::<u16>(), 0u8..2)),
        max in prop_oneof![300usize..1213, Just(65_535)],
        (ipv4, ipv6) in any::<(bool, bool)>(),
    ) {
        let bytes = match edns {
            Some((size, version)) => query_with_edns(&host, rtype, size, version),
            None => query(&host, rtype),
        };
        let offered = Families { ipv4, ipv6 };
        if let Some(message) = check(&bytes, max, offered)? {
            let end = 12 + host.len() + 2 + 4;
            prop_assert_eq!(&message.as_slice()[12..end], &bytes[12..end], "the question, letter by letter");
            prop_assert_eq!(message.opt().is_some(), edns.is_some());
            let wanted = (rtype == Rtype::A && ipv4) || (rtype == Rtype::AAAA && ipv6);
            let old = edns.is_none_or(|(_, version)| version == 0);
            let count = message.header_counts().ancount();
            if old && !message.header().tc() {
                prop_assert_eq!(count, if wanted { 4 } else { 0 });
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        check(&bytes, 1212, Families::ALL)?;
    }

    #[test]
    fn no_damage_makes_it_panic(
        host in host(),
        rtype in rtype(),
        cut in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = query_with_edns(&host, rtype, 1232, 0);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2));
        check(&bytes, 1212, Families::ALL)?;
    }
}
