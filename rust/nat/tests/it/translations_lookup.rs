//! The Gateway's side: look-ups, their cache, and the last good answer (R20, R21, R27).

use nat::translations::{Config, Event, Fresh, LookupError, TranslationState};

use crate::translations::{CLIENT, OTHER, Site, V4, V6, assigned, records, standing};

#[test]
fn r20_look_ups_are_coalesced_over_all_clients() {
    let mut site = Site::new(Config::default());
    for client in [CLIENT, OTHER] {
        for id in 1..4 {
            site.announce(client, &assigned("app.example.net", 0, id, 7));
        }
    }
    assert_eq!(site.wanted.len(), 2);
    site.answer_both(&["10.0.0.1"], &["fd12::1"]);
    let clients: Vec<_> = site.sent.iter().map(|(_, client, _)| *client).collect();
    assert_eq!(clients, [CLIENT, CLIENT, CLIENT, OTHER, OTHER, OTHER]);
    assert!(site.real(OTHER, "100.96.0.1").is_some());
}

fn fresh_for(ttl: u32, config: Config) -> u64 {
    let mut site = Site::new(config);
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    let wanted = site.wanted.clone();
    for (id, _, family) in wanted {
        let texts: &[&str] = if family == V4 { &["10.0.0.1"] } else { &["fd12::1"] };
        site.resolve(id, family, Ok(records(texts, ttl)));
    }
    let mut seconds = 0;
    while site.state("100.96.0.1") == TranslationState::Fresh {
        site.run(100);
        seconds += 1;
    }
    seconds
}

#[test]
fn r20_answers_are_cached_by_ttl_between_floor_and_ceiling() {
    assert_eq!(fresh_for(60, Config::default()), 600);
    assert_eq!(fresh_for(0, Config::default()), 10);
    assert_eq!(fresh_for(86_400, Config::default()), 3000);
    assert_eq!(fresh_for(0, Config::without_floors()), 0);
}

#[test]
fn r20_failures_are_cached_for_5_s() {
    let mut site = standing(Config::default());
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.answer(V4, Err(LookupError::ServFail));
    site.answer(V6, Err(LookupError::ServFail));
    site.wanted.clear();
    site.run(4999);
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    assert!(site.wanted.is_empty() && site.last().id == Some(3));
    site.run(1);
    site.announce(CLIENT, &assigned("app.example.net", 0, 4, 7));
    assert_eq!(site.wanted.len(), 2);
}

#[test]
fn r20_an_older_answer_that_comes_late_changes_nothing() {
    let mut site = standing(Config::without_floors());
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    let (old, ..) = site.wanted[0];
    site.run(6000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    let (new, ..) = site.wanted[2];
    assert!(new > old);
    site.resolve(new, V4, Ok(records(&["10.0.0.7"], 0)));
    site.resolve(old, V4, Ok(records(&["10.0.0.6"], 0)));
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.0.0.7"));
    assert_eq!(site.core.counters().results_ignored, 1);
    site.resolve(new, V4, Ok(records(&["10.0.0.8"], 0)));
    assert_eq!(site.core.counters().results_ignored, 2, "a result counts once");
}

#[test]
fn r20_a_late_answer_that_is_still_the_newest_counts() {
    let mut site = standing(Config::default());
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    let (id, _, family) = site.wanted[0].clone();
    site.run(7000);
    assert_eq!(site.state("100.96.0.1"), TranslationState::LastGood);
    site.resolve(id, family, Ok(records(&["10.0.0.6"], 60)));
    assert_eq!(site.state("100.96.0.1"), TranslationState::Fresh);
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.0.0.6"));
}

#[test]
fn r20_a_result_of_a_name_that_is_gone_or_of_another_family_changes_nothing() {
    let mut site = Site::new(Config::default());
    site.announce(CLIENT, &assigned("app.example.net", 0, 1, 7));
    let (id, ..) = site.wanted[0].clone();
    site.resolve(id, V6, Ok(records(&["fd12::1"], 60)));
    site.core.remove_client(CLIENT);
    site.announce(CLIENT, &assigned("b.example.net", 0, 1, 7));
    site.resolve(id, V4, Ok(records(&["10.0.0.1"], 60)));
    assert_eq!(site.core.counters().results_ignored, 2);
    assert_eq!(site.real(CLIENT, "100.96.0.1"), None);
}

#[test]
fn r21_the_last_good_answer_serves_30_min_and_then_no_more() {
    let mut site = standing(Config::default());
    site.run(60_000);
    for _ in 0..360 {
        assert!(site.real(CLIENT, "100.96.0.1").is_some());
        site.core.want_fresh(CLIENT, "100.96.0.1".parse().unwrap(), site.now);
        site.drain();
        if !site.wanted.is_empty() {
            site.answer(V4, Err(LookupError::ServFail));
        }
        site.run(5000);
    }
    site.run(1);
    assert_eq!(site.real(CLIENT, "100.96.0.1"), None);
    assert_eq!(site.state("100.96.0.1"), TranslationState::Negative, "as NODATA");
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.answer(V4, Ok(&["10.0.0.1", "10.0.0.2"]));
    assert!(site.real(CLIENT, "100.96.0.1").is_some(), "the same records serve again");
}

#[test]
fn r21_a_negative_answer_needs_a_second_look_up_at_least_5_s_later() {
    for error in [LookupError::NxDomain, LookupError::NoData] {
        let mut site = standing(Config::without_floors());
        site.run(61_000);
        for tenth in 0..50 {
            site.announce(CLIENT, &assigned("app.example.net", 0, 2 + tenth, 7));
            site.answer(V4, Err(error));
            site.run(100);
            if tenth < 49 {
                assert!(site.real(CLIENT, "100.96.0.1").is_some(), "{tenth}");
            }
        }
        site.announce(CLIENT, &assigned("app.example.net", 0, 99, 7));
        site.answer(V4, Err(error));
        assert_eq!(site.real(CLIENT, "100.96.0.1"), None);
        assert_eq!(site.state("100.96.0.1"), TranslationState::Negative);
        let gone =
            |event: &&Event| matches!(event, Event::Refreshed { addresses: 0, removed: 2, .. });
        assert_eq!(site.events.iter().filter(gone).count(), 1);
    }
}

#[test]
fn r21_a_look_up_that_began_too_early_does_not_confirm() {
    let mut site = standing(Config::without_floors());
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.answer(V4, Err(LookupError::NxDomain));
    site.run(4000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 3, 7));
    site.run(2000);
    site.answer(V4, Err(LookupError::NxDomain));
    assert!(site.real(CLIENT, "100.96.0.1").is_some());
    let before = site.wanted.len();
    site.run(1);
    assert_eq!(site.wanted.len(), before + 1, "another one is asked at once");
    site.answer(V4, Ok(&["10.0.0.2"]));
    assert_eq!(site.real(CLIENT, "100.96.0.1").as_deref(), Some("10.0.0.2"));
}

#[test]
fn r21_an_error_between_two_negative_answers_does_not_confirm_and_is_tried_again() {
    let mut site = standing(Config::default());
    site.run(61_000);
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.answer(V4, Err(LookupError::NxDomain));
    site.answer(V6, Ok(&["fd12::1"]));
    let mut asked = Vec::new();
    let start = site.now;
    for _ in 0..60 {
        site.wanted.clear();
        site.run(1000);
        if !site.wanted.is_empty() {
            asked.push((site.now - start).as_secs());
            site.answer(V4, Err(LookupError::ServFail));
        }
    }
    assert_eq!(asked, [5, 15, 35], "ever more rarely");
    assert!(site.real(CLIENT, "100.96.0.1").is_some());
}

#[test]
fn r27_a_new_flow_waits_only_where_a_look_up_can_help() {
    let proxy = "100.96.0.1".parse().unwrap();
    let mut site = standing(Config::default());
    assert!(matches!(site.core.want_fresh(CLIENT, proxy, site.now), Fresh::Use(_)));
    site.run(61_000);
    let waits = site.core.want_fresh(CLIENT, proxy, site.now);
    assert!(matches!(waits, Fresh::Wait { family: V4, .. }));
    assert_eq!(site.core.want_fresh(CLIENT, proxy, site.now), waits);
    site.drain();
    assert_eq!(site.wanted.len(), 1, "one look-up, of the family that is needed");
    assert!(site.real(CLIENT, "100.96.0.1").is_some(), "after 300 ms: the last good one");
    site.answer(V4, Err(LookupError::ServFail));
    let Fresh::Wait { name, family } = waits else { return };
    assert!(site.events.contains(&Event::Settled { name, family }));
    let used = site.core.want_fresh(CLIENT, proxy, site.now);
    assert!(matches!(used, Fresh::Use(_)), "a failure is cached: no wait");
    let unknown = "100.96.9.9".parse().unwrap();
    assert_eq!(site.core.want_fresh(CLIENT, unknown, site.now), Fresh::None);
}

#[test]
fn r27_whether_an_address_left_the_answer_can_be_asked() {
    let mut site = standing(Config::without_floors());
    site.run(61_000);
    let proxy = "100.96.0.1".parse().unwrap();
    let contains =
        |site: &Site, real: &str| site.core.answer_contains(CLIENT, proxy, real.parse().unwrap());
    assert!(contains(&site, "10.0.0.1") && !contains(&site, "10.0.0.3"));
    site.announce(CLIENT, &assigned("app.example.net", 0, 2, 7));
    site.answer(V4, Ok(&["10.0.0.3"]));
    assert!(!contains(&site, "10.0.0.1") && contains(&site, "10.0.0.3"));
    let changed = Event::Refreshed {
        name: site.core.find(CLIENT, proxy, site.now).unwrap().name,
        family: V4,
        addresses: 1,
        added: 1,
        removed: 2,
    };
    assert!(site.events.contains(&changed));
}
