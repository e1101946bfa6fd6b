//! How a path comes about, and goes on from another address.

use std::net::SocketAddr;
use std::time::Duration;

use packet::TcpFlags;
use tunnel::messages::{ClientCommand, ClientEvent, Failure, PeerState};

use crate::portal::{CLIENT, FIRST, Portal, SECOND};
use crate::rig::at;

#[test]
fn the_first_packet_asks_the_portal_waits_for_the_path_and_arrives_once() {
    let mut portal = Portal::new(1);

    portal.segment(FIRST, 5_000, TcpFlags::SYN);
    portal.segment(SECOND, 5_000, TcpFlags::SYN);
    portal.advance(1_000);

    assert_eq!(portal.handed(1).len(), 2);
    let connected = |event: &ClientEvent| {
        matches!(event, ClientEvent::Peer { state: PeerState::Connected, reason: None, .. })
    };
    let when = portal.told(at(0), connected).expect("it says so");
    assert!(when < at(400), "two messages by the portal, and two times to and fro: {when:?}");
}

#[test]
fn a_further_resource_uses_the_tunnel_that_stands() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    let connected = |event: &ClientEvent| matches!(event, ClientEvent::Peer { .. });
    let now = portal.world.now();

    portal.segment(SECOND, 5_001, TcpFlags::SYN);
    portal.advance_by(200);

    assert_eq!(portal.handed(1).len(), 1);
    assert_eq!(portal.told(now, connected), None, "no other session");
}

#[test]
fn the_candidates_of_one_end_may_be_lost_late_or_in_any_order() {
    for (mute, late, reversed) in
        [(Some(CLIENT), 20, false), (Some(1), 20, true), (None, 4_000, true), (None, 1, true)]
    {
        let mut portal = Portal::new(1);
        portal.mute.extend(mute);
        portal.delay = Duration::from_millis(late);
        portal.is_reversing = reversed;

        portal.segment(FIRST, 5_000, TcpFlags::SYN);
        portal.advance(14_000);

        assert_eq!(portal.handed(1).len(), 1, "{mute:?} {late} {reversed}");
    }
}

#[test]
fn without_any_candidate_the_connection_fails_and_is_asked_for_again() {
    let mut portal = Portal::new(1);
    portal.mute.extend([CLIENT, 1]);

    portal.segment(FIRST, 5_000, TcpFlags::SYN);
    portal.advance(9_500);
    portal.mute.clear();
    portal.segment(FIRST, 5_001, TcpFlags::SYN);
    portal.advance(16_000);

    let failed = |event: &ClientEvent| {
        matches!(event, ClientEvent::Peer { reason: Some(Failure::NoCandidates), .. })
    };
    let when = portal.told(at(0), failed).expect("it says so");
    assert!(when >= at(10_000));
    assert!(!portal.handed(1).is_empty(), "the next one is introduced, and works");
}

#[test]
fn a_client_that_roams_keeps_its_flows() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    let proxy = portal.ask("app.site.example");
    portal.advance_by(500);

    // The host is in another network: what is under way is lost.
    portal.world.part(CLIENT, 1);
    portal.world.move_to(CLIENT, SocketAddr::from(([198, 51, 100, 7], 52_625)));
    portal.join(1);
    portal.world.tell_addresses(CLIENT);
    portal.client(ClientCommand::NetworkChanged);
    portal.advance_by(1_000);
    portal.handed(1);
    portal.handed(CLIENT);
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.advance_by(100);
    portal.answer(1, FIRST, 5_000, TcpFlags::ACK);
    portal.advance_by(100);

    assert_eq!(portal.handed(1).len(), 1, "the flow goes on");
    assert_eq!(portal.handed(CLIENT).len(), 1, "both ways");
    assert_eq!(portal.ask("app.site.example"), proxy);
    let lost = |event: &ClientEvent| {
        matches!(event, ClientEvent::GatewayDead { .. })
            || matches!(event, ClientEvent::Peer { state: PeerState::Unreachable, .. })
    };
    assert_eq!(portal.told(at(0), lost), None);
}

#[test]
fn r37_the_same_inputs_give_the_same_world() {
    let run = || {
        let mut portal = Portal::new(2);
        portal.segment(FIRST, 5_000, TcpFlags::SYN);
        portal.advance(5_000);
        portal.events
    };

    assert_eq!(run(), run());
}
