//! The Gateway's side: which status goes out when (R19, R21, R25).

use std::time::Duration;

use nat::control::Status;
use nat::translations::{Config, LookupError};
use packet::Instant;

use crate::translations::{CLIENT, OTHER, Site, V4, V6, assigned, plain, records, standing};

/// (milliseconds, id, status, ipv4, ipv6, stale) of each status sent since the last call.
type Row = (u64, Option<u64>, Status, Option<u32>, Option<u32>, bool);

fn rows(site: &mut Site, since: Instant) -> Vec<Row> {
    let rows = std::mem::take(&mut site.sent).into_iter().map(|(at, _, status)| {
        let millis = (at - since).as_millis() as u64;
        (millis, status.id, status.status, status.ipv4, status.ipv6, status.stale == Some(true))
    });
    rows.collect()
}

#[test]
fn r19_a_first_set_up_is_answered_when_both_families_are_known() {
    let mut site = Site::new(Config::default());
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    assert_eq!(site.wanted.len(), 2, "A and AAAA are two look-ups");
    site.run(20);
    site.answer(V4, Ok(&["10.0.0.1", "10.0.0.2"]));
    assert!(site.sent.is_empty());
    site.run(10);
    site.answer(V6, Err(LookupError::NoData));
    assert_eq!(rows(&mut site, start), [(30, Some(1), Status::Active, Some(2), Some(0), false)]);
}

#[test]
fn r19_or_50_ms_after_the_first_that_has_an_address_and_the_later_result_is_one_more() {
    let mut site = Site::new(Config::default());
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    site.run(20);
    site.answer(V4, Ok(&["10.0.0.1"]));
    site.run(280);
    site.answer(V6, Ok(&["fd12::1"]));
    assert_eq!(
        rows(&mut site, start),
        [
            (70, Some(1), Status::Active, Some(1), None, false),
            (300, Some(1), Status::Active, Some(1), Some(1), false),
        ]
    );
}

#[test]
fn r19_a_family_without_address_does_not_start_the_50_ms() {
    let mut site = Site::new(Config::default());
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    site.answer(V6, Err(LookupError::NoData));
    site.run(400);
    assert!(site.sent.is_empty());
    site.answer(V4, Ok(&["10.0.0.1"]));
    assert_eq!(rows(&mut site, start), [(400, Some(1), Status::Active, Some(1), Some(0), false)]);
}

#[test]
fn r19_a_family_that_never_answers_is_given_up_after_5_s() {
    let mut site = Site::new(Config::default());
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    site.answer(V4, Ok(&["10.0.0.1"]));
    site.run(20_000);
    assert_eq!(
        rows(&mut site, start),
        [
            (50, Some(1), Status::Active, Some(1), None, false),
            (5000, Some(1), Status::Active, Some(1), Some(0), false),
        ]
    );
}

#[test]
fn r19_a_refresh_is_answered_within_50_ms_from_what_stands() {
    let mut site = standing(Config::default());
    site.run(61_000);
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.run(200);
    site.answer(V6, Ok(&["fd12::2", "fd12::3"]));
    site.answer(V4, Ok(&["10.0.0.9"]));
    assert_eq!(
        rows(&mut site, start),
        [
            (50, Some(2), Status::Active, Some(2), Some(1), true),
            (200, Some(2), Status::Active, Some(2), Some(2), true),
            (200, Some(2), Status::Active, Some(1), Some(2), false),
        ]
    );
}

#[test]
fn r19_a_fresh_answer_is_told_at_once_with_its_remaining_life() {
    let mut site = standing(Config::default());
    site.run(40_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    assert_eq!((site.last().ttl, site.last().stale), (Some(20), None));
    assert!(site.wanted.is_empty());
    site.run(19_999);
    site.announce(OTHER, &assigned("app.example.net", 3, 1, 1));
    assert_eq!((site.last().ttl, site.last().status), (Some(0), Status::Active));
}

#[test]
fn r19_without_floors_a_ttl_of_zero_is_fresh_for_those_who_waited() {
    let mut site = Site::new(Config::without_floors());
    for id in 1..5 {
        site.announce(CLIENT, &assigned("app.example.net", 0, id, 7));
        for (lookup, _, family) in std::mem::take(&mut site.wanted) {
            let texts: &[&str] = if family == V4 { &["10.0.0.1"] } else { &["fd12::1"] };
            site.resolve(lookup, family, Ok(records(texts, 0)));
        }
        let status = site.last();
        assert_eq!((status.id, status.stale, status.ttl), (Some(id), None, Some(0)));
    }
    assert_eq!(site.core.counters().lookups, 8);
}

#[test]
fn r21_an_error_keeps_the_addresses_and_says_stale() {
    let errors =
        [LookupError::ServFail, LookupError::Refused, LookupError::TimedOut, LookupError::Other];
    for error in errors {
        let mut site = standing(Config::default());
        site.run(61_000);
        site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
        site.answer(V4, Err(error));
        site.answer(V6, Err(error));
        let status = site.last();
        assert_eq!((status.status, status.ipv4, status.ipv6), (Status::Active, Some(2), Some(1)));
        assert_eq!((status.stale, status.ttl), (Some(true), None));
        assert!(site.real(CLIENT, "100.96.0.1").is_some());
    }
}

#[test]
fn r21_a_name_that_was_never_translated_is_inactive_at_once() {
    for error in [LookupError::NxDomain, LookupError::ServFail] {
        let mut site = Site::new(Config::default());
        site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
        site.answer(V4, Err(error));
        assert!(site.sent.is_empty(), "AAAA may still have one");
        site.answer(V6, Err(error));
        let status = site.last();
        assert_eq!((status.status, &status.reason), (Status::Inactive, &None));
    }
}

#[test]
fn r21_the_end_of_a_name_is_told_to_everyone_once_it_is_confirmed() {
    let mut site = standing(Config::default());
    site.announce(OTHER, &assigned("app.example.net", 3, 1, 1));
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.sent.clear();
    let start = site.now;
    site.answer(V4, Err(LookupError::NxDomain));
    site.answer(V6, Err(LookupError::NxDomain));
    assert_eq!(rows(&mut site, start), [(0, Some(2), Status::Active, Some(2), Some(1), true)]);
    site.wanted.clear();
    site.run(5000);
    assert_eq!(site.wanted.len(), 2, "its own timer asks again");
    site.answer(V4, Err(LookupError::NxDomain));
    site.answer(V6, Err(LookupError::NxDomain));
    let told = rows(&mut site, start);
    assert_eq!(told.len(), 4, "both Clients, for each family");
    assert_eq!(told.last(), Some(&(5000, Some(1), Status::Active, Some(0), Some(0), false)));
}

#[test]
fn r25_every_message_is_answered_with_its_own_id() {
    let mut site = Site::new(Config::default());
    for id in [1, 2, 2, 3] {
        site.announce(CLIENT, &assigned("app.example.net", 0, id, 7));
    }
    site.answer_both(&["10.0.0.1"], &[]);
    let ids: Vec<_> = site.sent.iter().map(|(_, _, status)| status.id).collect();
    assert_eq!(ids, [Some(1), Some(2), Some(3)]);
    site.sent.clear();
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    assert_eq!(site.sent.len(), 1, "a repeated message, too");
}

#[test]
fn r25_a_full_look_up_queue_delays_and_is_answered_all_the_same() {
    let mut site = Site::new(Config { max_lookups: 2, ..Config::default() });
    site.announce(CLIENT, &assigned("a.example.net", 0, 1, 7));
    site.announce(CLIENT, &assigned("b.example.net", 1, 2, 7));
    assert_eq!(site.wanted.len(), 2);
    site.run(4000);
    site.answer_both(&["10.0.0.1"], &["fd12::1"]);
    assert_eq!(site.wanted.len(), 4, "there is room now");
    assert_eq!(site.sent.len(), 1);
    site.run(1000);
    let (_, _, status) = site.sent.last().unwrap();
    assert_eq!((status.id, status.status), (Some(2), Status::Inactive), "5 s from the message on");

    let mut site = standing(Config { max_lookups: 2, ..Config::default() });
    site.run(61_000);
    site.announce(CLIENT, &assigned("b.example.net", 1, 2, 7));
    let start = site.now;
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    site.run(60);
    assert_eq!(rows(&mut site, start), [(50, Some(3), Status::Active, Some(2), Some(1), true)]);
}

#[test]
fn r25_what_once_was_translated_is_never_inactive_again() {
    for error in [LookupError::NxDomain, LookupError::NoData, LookupError::ServFail] {
        let mut site = standing(Config::default());
        for round in 0..400 {
            site.run(11_000);
            site.announce(CLIENT, &assigned("app.example.net", 0, 2 + round, 7));
            for (lookup, _, family) in std::mem::take(&mut site.wanted) {
                site.resolve(lookup, family, Err(error));
            }
        }
        assert!(site.sent.iter().all(|(_, _, status)| status.status == Status::Active));
        let stale = error == LookupError::ServFail;
        let last = site.last();
        assert_eq!((last.ipv4, last.stale == Some(true)), (Some(0), stale), "{error:?}");
    }
}

#[test]
fn r25_a_message_that_is_rejected_is_answered_too() {
    let mut site = Site::new(Config::default());
    let mut message = assigned("app.example.net", 0, 4, 7);
    message.proxy_ips.clear();
    site.announce(CLIENT, &message);
    assert_eq!(site.sent.len(), 1);
    assert_eq!((site.last().id, site.last().status), (Some(4), Status::Inactive));
}

#[test]
fn r25_upstream_messages_are_answered_without_ids() {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &plain("app.example.net", 0));
    site.announce(CLIENT, &plain("app.example.net", 0));
    site.answer_both(&["10.0.0.1"], &[]);
    assert_eq!(site.sent.len(), 1, "two that are the same in every byte share one");
    assert_eq!(site.last().id, None);
}

#[test]
fn timers_are_told_and_end() {
    let mut site = standing(Config::default());
    assert_eq!(site.core.poll_timeout(), None);
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    let (due, why) = site.core.poll_timeout().unwrap();
    assert_eq!((due - site.now, why), (Duration::from_millis(50), "status due"));
    site.run(50);
    assert_eq!(site.core.poll_timeout().map(|(_, why)| why), Some("look-up time-out"));
    site.run(5000);
    assert_eq!(site.core.poll_timeout(), None);
}
