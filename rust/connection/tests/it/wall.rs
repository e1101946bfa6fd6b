//! A wall clock that stands wrong when a node begins, and is set right while it runs.

use std::time::Duration;

use connection::{Connections, Entropy, Node, SealError};

use crate::two::{Two, WALL, at, key, peer};

const DAY: Duration = Duration::from_secs(86_400);

/// The Client begins anew, with this time.
fn begin_anew(two: &mut Two, wall: Duration, millis: u64) {
    let node = Node::new(key(1), Entropy::new([9; 32]), wall, at(millis));
    let mut node = Connections::wireguard(node, Entropy::new([8; 32]));
    let gateway = peer(key(2).public_key(), Some(two.addresses[1]));
    two.peers[0] = node.add(gateway, at(millis)).expect("a peer");
    two.nodes[0] = node;
}

#[test]
fn who_began_with_a_clock_that_was_behind_connects_once_it_is_right() {
    let mut two = Two::connected();
    begin_anew(&mut two, WALL - DAY, 10_000);
    assert_eq!(two.seal(0, b"waits", at(10_000)), Err(SealError::NotReady));
    assert_eq!(two.nodes[1].counters().handshakes_refused, 1, "a stamp from the past");

    two.nodes[0].adjust_wall(WALL + Duration::from_secs(20), at(20_000));
    two.nodes[0].handle_timeout(at(20_000));

    let _ = two.seal(0, b"waits", at(20_001));
    assert_eq!(two.seal(0, b"goes", at(20_002)), Ok(()));
}

#[test]
fn who_is_connected_is_not_led_into_the_future() {
    let mut two = Two::connected();
    two.seal(0, b"goes", at(1)).expect("ready");
    two.nodes[0].adjust_wall(WALL + DAY, at(2));
    two.nodes[0].initiate(two.peers[0], at(10_000));
    let _ = two.seal(0, b"goes", at(10_000));

    begin_anew(&mut two, WALL + Duration::from_secs(20), 20_000);

    let _ = two.seal(0, b"waits", at(20_000));
    assert_eq!(two.seal(0, b"goes", at(20_001)), Ok(()), "its stamps were not of tomorrow");
}
