//! Two nodes with keys: sessions come up when a packet waits, peers roam, strangers get nothing.

use connection::{
    AddError, Connections, Entropy, Event, Node, PeerConfig, PresharedKey, Profile, PublicKey,
    SealError,
};
use packet::SendBuffer;

use crate::two::{Two, WALL, address, at, key, node, peer, udp};

#[test]
fn r10_a_waiting_packet_begins_a_handshake_and_is_told_when_it_may_go() {
    let mut two = Two::connected();

    assert_eq!(two.nodes[0].poll_event(), Some(Event::Ready(two.peers[0])));
    assert_eq!(two.nodes[1].poll_event(), Some(Event::Ready(two.peers[1])), "the other end too");
    assert_eq!(two.seal(0, b"hello", at(1)), Ok(()));

    assert_eq!(two.received[1], [udp(b"hello")]);
    assert_eq!(two.nodes[1].remote(two.peers[1]), Some(two.addresses[0]), "it was heard of");
    assert_eq!(two.seal(1, b"back", at(2)), Ok(()));
    assert_eq!(two.received[0], [udp(b"back")]);
}

#[test]
fn an_authentic_datagram_moves_a_peer_and_a_forged_or_replayed_one_does_not() {
    let mut two = Two::connected();
    two.seal(0, b"one", at(1)).expect("ready");
    let sealed = two.datagrams.last().expect("it was sent").clone();
    let elsewhere = address(9, 9);

    two.arrive(1, elsewhere, &mut sealed.clone(), sealed.len(), at(2));
    assert_eq!(two.nodes[1].remote(two.peers[1]), Some(two.addresses[0]), "a replay");
    assert_eq!(two.nodes[1].counters().replayed, 1);
    let mut forged = sealed.clone();
    *forged.last_mut().expect("a tag") ^= 1;
    two.arrive(1, elsewhere, &mut forged, sealed.len(), at(3));
    assert_eq!(two.nodes[1].remote(two.peers[1]), Some(two.addresses[0]), "a forgery");

    two.addresses[0] = elsewhere;
    two.seal(0, b"two", at(4)).expect("ready");

    assert_eq!(two.nodes[1].remote(two.peers[1]), Some(elsewhere));
    assert_eq!(two.nodes[1].counters().roamed, 1);
    assert_eq!(two.seal(1, b"back", at(5)), Ok(()));
    assert_eq!(two.received[0].len(), 1, "the answer goes to the new address");
}

#[test]
fn r42_a_session_after_a_silence_is_news_and_one_in_time_is_not() {
    let mut two = Two::connected();
    assert_eq!(two.nodes[0].poll_event(), Some(Event::Ready(two.peers[0])));
    // Both ends speak once a second, through the first rekey and on.
    for second in 1..=130 {
        let now = at(second * 1000);
        for from in [0, 1] {
            assert_eq!(two.seal(from, b"x", now), Ok(()), "second {second}");
        }
        for node in &mut two.nodes {
            node.handle_timeout(now);
        }
    }
    assert_eq!(two.nodes[0].poll_event(), None, "a rekey in time is no event");
    let datagrams = two.datagrams.iter();
    let initiations = datagrams.filter(|datagram| datagram.len() == 148).count();
    assert_eq!(initiations, 2);

    // The Gateway begins anew: another process, the same key.
    let mut anew = node(2);
    let client = peer(key(1).public_key(), None);
    two.peers[1] = anew.add(client, at(130_000)).expect("a peer");
    two.nodes[1] = anew;
    for second in 131..=145 {
        let now = at(second * 1000);
        let _ = two.seal(0, b"x", now);
        let mut send = SendBuffer::new(65_536, 8);
        two.nodes[0].handle_timeout(now);
        two.nodes[0].flush(now, &mut send);
        two.deliver(0, &send, now);
    }

    assert_eq!(two.nodes[0].poll_event(), Some(Event::Ready(two.peers[0])));
}

#[test]
fn r42_another_end_that_begins_anew_is_news_without_any_silence() {
    let mut two = Two::connected();
    two.seal(0, b"x", at(1)).expect("ready");
    assert_eq!(two.nodes[0].poll_event(), Some(Event::Ready(two.peers[0])));

    // The Gateway is another process that knows where its Client was.
    let mut anew = {
        let node = Node::new(key(2), Entropy::new([77; 32]), WALL, at(0));
        Connections::wireguard(node, Entropy::new([78; 32]))
    };
    let client = peer(key(1).public_key(), Some(two.addresses[0]));
    two.peers[1] = anew.add(client, at(500)).expect("a peer");
    two.nodes[1] = anew;
    let gateway = two.peers[1];
    two.nodes[1].initiate(gateway, at(500));
    let mut send = SendBuffer::new(65_536, 8);
    two.nodes[1].flush(at(500), &mut send);
    two.deliver(1, &send, at(500));

    assert_eq!(two.nodes[0].poll_event(), Some(Event::Ready(two.peers[0])));
}

#[test]
fn padding_is_cut_off_again() {
    let mut two = Two::new();
    for (node, other) in [(0, 2), (1, 1)] {
        two.nodes[node].remove(two.peers[node]);
        let remote = (node == 0).then_some(two.addresses[1]);
        let config =
            PeerConfig { profile: Profile::PLAIN, ..peer(key(other).public_key(), remote) };
        two.peers[node] = two.nodes[node].add(config, at(0)).expect("a peer");
    }
    assert_eq!(two.seal(0, b"waits", at(0)), Err(SealError::NotReady));

    two.seal(0, b"seven77", at(1)).expect("ready");

    let datagram = two.datagrams.last().expect("it was sent");
    assert_eq!(datagram.len() % 16, 0, "padded");
    assert_eq!(two.received[1], [udp(b"seven77")]);
}

#[test]
fn strangers_and_other_secrets_get_no_answer() {
    let mut two = Two::new();
    two.nodes[1].remove(two.peers[1]);
    assert_eq!(two.seal(0, b"x", at(0)), Err(SealError::NotReady));
    assert_eq!(two.nodes[1].counters().unknown_key, 1);

    let secret = Some(PresharedKey::from_bytes([7; 32]));
    let config = PeerConfig { preshared_key: secret, ..peer(key(1).public_key(), None) };
    two.peers[1] = two.nodes[1].add(config, at(0)).expect("a peer");
    for second in 1..=10 {
        let now = at(second * 1000);
        let _ = two.seal(0, b"x", now);
        two.nodes[0].handle_timeout(now);
    }

    assert!(!two.nodes[0].is_ready(two.peers[0], at(10_000)));
    assert!(two.received[1].is_empty());
}

#[test]
fn peers_are_added_once_and_only_with_usable_keys() {
    let mut node = node(1);
    let own = peer(key(1).public_key(), None);
    assert!(matches!(node.add(own, at(0)), Err(AddError::Key(_))));
    let low = peer(PublicKey::from_bytes([0; 32]), None);
    assert!(matches!(node.add(low, at(0)), Err(AddError::Key(_))));

    let first = node.add(peer(key(2).public_key(), None), at(0)).expect("a peer");
    let again = node.add(peer(key(2).public_key(), None), at(0));
    assert_eq!(again, Err(AddError::Duplicate));
    node.remove(first);
    assert!(node.add(peer(key(2).public_key(), None), at(0)).is_ok());

    let mut laboratory = Connections::default();
    let refused = laboratory.add(peer(key(2).public_key(), None), at(0));
    assert_eq!(refused, Err(AddError::Laboratory));
}

#[test]
fn r41_the_laboratorys_session_is_refused_by_a_real_endpoint() {
    let mut real = node(1);
    let index = connection::ReceiverIndex::new(0, 7, 1);
    let plain = Box::new(connection::Plain::new(index, at(0)));

    assert_eq!(real.insert(plain, index, address(1, 1)), None);
}
