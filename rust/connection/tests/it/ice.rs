//! Two nodes that a portal introduces: paths are found, kept, changed and given up.

use std::net::SocketAddr;
use std::time::Duration;

use connection::{AddError, Event, Failure, Role};

use crate::field::{Field, credentials};
use crate::two::at;

fn host(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number], 52_625))
}

#[test]
fn a_path_is_found_and_the_controlling_end_begins_the_session_there() {
    let mut field = Field::introduced();
    field.exchange_candidates();

    field.advance(at(200));

    assert_eq!(field.event(0), Some(Event::Ready(field.peers[0])));
    assert_eq!(field.event(1), Some(Event::Ready(field.peers[1])));
    assert_eq!(field.nodes[0].remote(field.peers[0]), Some(host(2)));
    assert_eq!(field.nodes[1].remote(field.peers[1]), Some(host(1)));
    assert!(field.passes(0) && field.passes(1));
}

#[test]
fn lines_are_those_of_the_protocol() {
    let mut field = Field::introduced();
    let news = field.news(0);

    let [line] = &news.new[..] else { panic!("one host, one line: {news:?}") };
    let fields: Vec<&str> = line.split(' ').collect();
    assert!(fields[0].starts_with("candidate:"));
    let expected = ["1", "udp", "2130706175", "192.0.2.1", "52625", "typ", "host", "ufrag", "aaaa"];
    assert_eq!(fields[1..], expected);
}

#[test]
fn candidates_of_one_end_are_enough_and_their_order_does_not_matter() {
    for from in [0, 1] {
        let mut field = Field::introduced();
        let news = field.news(from);
        field.advance(at(300));
        field.tell(1 - from, &news.new);

        field.advance(at(4_000));

        assert!(field.passes(0) && field.passes(1), "candidates of {from} alone");
    }
}

#[test]
fn nothing_leaves_before_there_is_a_path_and_what_waits_is_told() {
    let mut field = Field::introduced();
    assert!(!field.passes(0));
    field.advance(at(5_000));
    assert_eq!(field.sent, 0, "without a candidate there is nowhere to send to");

    field.exchange_candidates();
    field.advance(at(5_200));

    assert_eq!(field.event(0), Some(Event::Ready(field.peers[0])));
    assert!(field.passes(0));
}

#[test]
fn without_candidates_the_connection_fails_after_ten_seconds_at_both_ends() {
    let mut field = Field::introduced();

    field.advance(at(9_999));
    assert_eq!((field.event(0), field.event(1)), (None, None));
    field.advance(at(10_000));

    for end in [0, 1] {
        let failed = Event::Failed(field.peers[end], Failure::NoCandidates);
        assert_eq!(field.event(end), Some(failed));
        assert!(field.nodes[end].has_failed(field.peers[end]));
    }
}

#[test]
fn a_dead_path_is_given_up_by_the_controlling_end_after_the_times_of_its_profile() {
    let mut field = Field::connected();
    field.is_cut = true;
    let cut = field.now;

    field.keep_busy(0, cut + Duration::from_secs(30));

    let failed = Event::Failed(field.peers[0], Failure::NoPath);
    let (when, _) = *field.events[0].iter().find(|(_, event)| *event == failed).expect("given up");
    let after = when.saturating_duration_since(cut);
    assert!(after >= Duration::from_secs(16) && after <= Duration::from_secs(22), "{after:?}");
    assert!(!field.nodes[1].has_failed(field.peers[1]), "the other end waits for this one");
}

#[test]
fn a_peer_that_was_given_up_is_connected_when_it_is_introduced_again() {
    let mut field = Field::connected();
    field.is_cut = true;
    field.keep_busy(0, field.now + Duration::from_secs(30));
    assert!(field.nodes[0].has_failed(field.peers[0]));

    field.is_cut = false;
    field.introduce_anew(0);
    field.nodes[1].introduce_again(field.peers[1], field.now);
    field.exchange_candidates();
    field.advance(field.now + Duration::from_secs(6));

    assert!(field.passes(0) && field.passes(1), "with the credentials of before");
}

#[test]
fn a_host_that_gets_another_address_goes_on_by_it() {
    let mut field = Field::connected();
    field.set_hosts(0, &[host(7)]);
    let news = field.news(0);
    assert_eq!((news.new.len(), news.invalidated.len()), (1, 1));
    field.tell(1, &news.new);
    field.nodes[1].remove_remote_candidates(field.peers[1], &news.invalidated, field.now);

    field.advance(field.now + Duration::from_millis(500));

    assert_eq!(field.nodes[1].remote(field.peers[1]), Some(host(7)));
    assert!(field.passes(0) && field.passes(1));
    assert!(field.events[0].iter().any(|(_, event)| *event == Event::Moved(field.peers[0])));
}

#[test]
fn a_better_path_is_taken_when_it_is_told_of_and_the_session_goes_on() {
    let mut field = Field::connected();
    let ipv6 = |n: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, n], 52_625));
    field.set_hosts(0, &[host(1), ipv6(1)]);
    field.set_hosts(1, &[host(2), ipv6(2)]);
    field.exchange_candidates();

    field.advance(field.now + Duration::from_millis(500));

    assert_eq!(field.nodes[0].remote(field.peers[0]), Some(ipv6(2)), "IPv6 is before IPv4");
    assert!(field.passes(0) && field.passes(1));
}

#[test]
fn an_idle_connection_asks_seldom_and_stays() {
    let mut field = Field::connected();
    field.advance(field.now + Duration::from_secs(40));
    let sent = field.sent;

    field.advance(field.now + Duration::from_secs(100));

    let while_idle = field.sent - sent;
    assert!((4..=30).contains(&while_idle), "{while_idle} datagrams in 100 s");
    assert!(field.passes(0) && field.passes(1));
}

#[test]
fn an_authentic_datagram_from_elsewhere_moves_nobody() {
    let mut field = Field::connected();
    assert!(field.passes(0));
    field.replace_source = Some(host(9));
    field.passes(0);

    assert_eq!(field.nodes[1].remote(field.peers[1]), Some(host(1)), "ICE says where it is");
}

#[test]
fn hundreds_of_addresses_one_after_the_other_are_no_end() {
    let mut field = Field::connected();

    for number in 0..600_u16 {
        let moved = SocketAddr::from(([198, 51, 100, (number % 200) as u8 + 1], 1_000 + number));
        field.set_hosts(0, &[moved]);
        let news = field.news(0);
        field.tell(1, &news.new);
        field.nodes[1].remove_remote_candidates(field.peers[1], &news.invalidated, field.now);
        field.advance(field.now + Duration::from_secs(2));
    }

    assert!(field.passes(0) && field.passes(1));
}

#[test]
fn peers_with_one_user_name_are_told_apart_by_their_passwords() {
    let mut field = Field::introduced();
    let other = field.stranger(1, credentials("bbbb", 9), credentials("aaaa", 8));
    field.exchange_candidates();

    field.advance(at(300));

    assert!(field.passes(0) && field.passes(1));
    assert_eq!(field.nodes[1].remote(other), None);
}

#[test]
fn credentials_that_are_none_are_refused() {
    let mut field = Field::introduced();
    let long = credentials(&"a".repeat(257), 1);
    for wrong in [credentials("", 1), credentials("a:b", 1), credentials("ä", 1), long] {
        let refused = field.try_stranger(1, wrong, credentials("x", 1), Role::Controlled);
        assert_eq!(refused, Err(AddError::Credentials));
    }
}

#[test]
fn introduced_once_more_every_candidate_is_told_again_and_the_session_stays() {
    let mut field = Field::connected();
    field.news(0);

    field.nodes[0].introduce_again(field.peers[0], field.now);

    assert_eq!(field.news(0).new.len(), 1);
    field.advance(field.now + Duration::from_millis(100));
    assert_eq!(field.event(0), None, "no other session is made of it");
    assert!(field.passes(0));
}

#[test]
fn r37_the_same_inputs_give_the_same_datagrams() {
    let run = || {
        let mut field = Field::introduced();
        field.exchange_candidates();
        field.advance(at(3_000));
        field.log
    };

    assert_eq!(run(), run());
}
