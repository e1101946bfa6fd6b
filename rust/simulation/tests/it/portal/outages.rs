//! Processes that begin anew, and Gateways that die.

use packet::{Instant, TcpFlags, Transport, parse};
use tunnel::messages::{ClientEvent, PeerState};

use crate::portal::{CLIENT, FIRST, Portal};
use crate::rig::at;

fn connected(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Peer { state: PeerState::Connected, .. })
}

/// Sends a segment of a flow every 100 ms until something arrives at a Gateway; when it did.
fn until_arrived(portal: &mut Portal, gateway: usize, flags: TcpFlags, port: u16) -> Instant {
    for _ in 0..200 {
        portal.segment(FIRST, port, flags);
        portal.advance_by(100);
        if !portal.handed(gateway).is_empty() {
            return portal.world.now();
        }
    }
    panic!("nothing arrived within 20 s");
}

#[test]
fn a_client_that_begins_anew_with_another_key_is_connected_at_once() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);

    portal.restart(CLIENT);
    let restarted = portal.world.now();
    portal.segment(FIRST, 5_001, TcpFlags::SYN);
    portal.advance_by(1_000);

    assert_eq!(portal.handed(1).len(), 1);
    assert!(portal.told(restarted, connected).is_some());
}

#[test]
fn a_gateway_that_begins_anew_with_another_key_takes_the_flow_up_within_six_seconds() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);

    portal.restart(1);
    let restarted = portal.world.now();
    let arrived = until_arrived(&mut portal, 1, TcpFlags::ACK, 5_000);

    let gap = arrived.saturating_duration_since(restarted);
    assert!(gap.as_millis() <= 6_000, "{gap:?}");
}

#[test]
fn when_a_gateway_dies_another_serves_within_five_seconds_and_its_flows_are_reset() {
    let mut portal = Portal::new(2);
    portal.open(1, FIRST, 5_000);

    portal.world.part(CLIENT, 1);
    portal.online = vec![2];
    let died = portal.world.now();
    let mut resets = 0;
    let mut arrived = None;
    for _ in 0..80 {
        // The old flow goes on asking, and a new one begins.
        portal.segment(FIRST, 5_000, TcpFlags::ACK);
        portal.segment(FIRST, 5_001, TcpFlags::SYN);
        portal.advance_by(100);
        if !portal.handed(2).is_empty() {
            let now = portal.world.now();
            arrived.get_or_insert(now);
        }
        for packet in portal.handed(CLIENT) {
            let transport = parse(&packet).expect("valid").transport;
            resets += usize::from(
                matches!(transport, Transport::Tcp { flags, .. } if flags.contains(TcpFlags::RST)),
            );
        }
    }

    let gap = arrived.expect("the other serves").saturating_duration_since(died);
    assert!(gap.as_millis() <= 5_000, "{gap:?}");
    assert!(resets > 0, "who had a connection is told, and does not hang");
}

#[test]
fn a_portal_that_is_away_does_not_disturb_what_stands() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    portal.online.clear();
    portal.mute.extend([CLIENT, 1]);

    for _ in 0..600 {
        portal.segment(FIRST, 5_000, TcpFlags::ACK);
        portal.advance_by(1_000);
        portal.answer(1, FIRST, 5_000, TcpFlags::ACK);
    }

    assert!(portal.handed(1).len() > 590, "ten minutes, five sessions");
    assert!(portal.world.now() > at(600_000));
}
