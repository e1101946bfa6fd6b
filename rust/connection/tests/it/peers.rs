//! Two nodes with keys: sessions come up when a packet waits, peers roam, strangers get nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use connection::{
    AddError, Connections, Datagrams, Entropy, Event, Node, Opened, PeerConfig, PresharedKey,
    PrivateKey, Profile, PublicKey, SealError,
};
use packet::{Class, Instant, SendBuffer, Train, build};
use wireguard::Tunnel;

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

/// The other end is a tunnel alone, which tells what stood behind the packet.
#[test]
fn padding_is_zeros_whatever_stood_in_the_buffer_before() {
    let (mut own, remote) = (node(1), address(2, 2000));
    let config = peer(key(2).public_key(), Some(remote));
    let config = PeerConfig { profile: Profile::PLAIN, ..config };
    let index = own.add(config, at(0)).expect("a peer");
    let other = Node::new(key(2), Entropy::new([5; 32]), WALL, at(0));
    let (public, entropy) = (key(1).public_key(), Entropy::new([6; 32]));
    let tunnel = Tunnel::new(&other, public, None, Profile::PLAIN, 5, entropy);
    let mut tunnel = tunnel.expect("a tunnel");
    own.initiate(index, at(0));
    let initiation = flushed(&mut own, at(0)).remove(0);
    let initiation = other.read_initiation(&initiation).expect("for it");
    tunnel.handle_initiation(initiation, at(0)).expect("of its peer");
    let mut response = [0; 148];
    let size = tunnel.poll_transmit(&mut response, at(0)).expect("a response");
    let mut response = Datagrams::one(remote, &mut response[..size], size, 0);
    own.open(&mut response, at(0), &mut Opened::default());

    let mut send = SendBuffer::new(65_536, 8);
    for (payload, padded) in [(&[0xff; 200][..], 240), (b"seven77", 48)] {
        send.clear();
        let mut packet = udp(payload);
        let train = Train::single(&mut packet).expect("valid");
        own.seal(index, &train, Class::Data, at(1), &mut send).expect("ready");
        let mut datagram = send.iter().next().expect("it was written").1.to_vec();
        let (whole, mut ranges) = ([(0, datagram.len() as u32)], Vec::new());
        tunnel.open_batch(&mut datagram, &whole, &mut ranges, at(1));
        assert_eq!(ranges, [(16, padded)]);
        let (same, behind) = datagram[16..16 + padded as usize].split_at(packet.len());
        assert_eq!(same, packet);
        assert!(behind.iter().all(|byte| *byte == 0), "{behind:?}");
    }
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

#[test]
fn a_datagram_has_the_ecn_bits_of_its_packet() {
    let mut two = Two::connected();
    for ecn in 0..4 {
        let ends = [1, 2].map(|host| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, host], 5000)));
        let mut packet = [0; 100];
        let len = build::udp(ends[0], ends[1], b"packet", &mut packet).expect("it fits");
        packet[1] |= ecn << 4;
        let train = Train::single(&mut packet[..len]).expect("valid");
        let mut send = SendBuffer::new(65_536, 8);
        let sealed = two.nodes[0].seal(two.peers[0], &train, Class::Data, at(1), &mut send);
        assert_eq!(sealed, Ok(()));
        assert_eq!(send.iter().next().expect("it was written").0.ecn, ecn);
    }
}

/// What a node has to send by itself.
fn flushed(node: &mut Connections, now: Instant) -> Vec<Vec<u8>> {
    let mut send = SendBuffer::new(65_536, 1024);
    node.flush(now, &mut send);
    send.iter().map(|(_, bytes)| bytes.to_vec()).collect()
}

/// Sends what node `to` has heard before, or something like it, from an address of somebody else.
fn arrive_from_elsewhere(two: &mut Two, to: usize, message: &[u8], now: Instant) {
    let before = two.nodes[to].remote(two.peers[to]);
    two.arrive(to, address(66, 6), &mut message.to_vec(), message.len(), now);
    assert_eq!(two.nodes[to].remote(two.peers[to]), before);
    assert_eq!(two.nodes[to].counters().roamed, 0);
}

#[test]
fn a_cookie_reply_moves_nobody_though_it_is_right_and_nor_does_its_replay() {
    let mut two = Two::connected();
    let (now, old) = (at(6000), two.datagrams[0].clone());
    for _ in 0..100 {
        // Puts the Gateway under load: replays, each with a right MAC1.
        two.arrive(1, two.addresses[0], &mut old.clone(), old.len(), now);
    }
    two.nodes[0].initiate(two.peers[0], now);
    let initiation = flushed(&mut two.nodes[0], now).remove(0);
    two.arrive(1, two.addresses[0], &mut initiation.clone(), initiation.len(), now);
    let reply = flushed(&mut two.nodes[1], now).remove(0);
    assert_eq!((reply[0], reply.len()), (3, 64));

    arrive_from_elsewhere(&mut two, 0, &reply, now);
    assert_eq!(two.nodes[0].counters().handshakes_refused, 0, "it was taken");
    arrive_from_elsewhere(&mut two, 0, &reply, now);
    assert_eq!(two.nodes[0].counters().handshakes_refused, 1, "once");

    let later = at(9000);
    two.nodes[0].handle_timeout(later);
    let initiation = flushed(&mut two.nodes[0], later).remove(0);
    assert_ne!(initiation[132..], [0; 16], "a MAC2 by the cookie");
}

#[test]
fn messages_of_a_handshake_move_a_peer_once_and_forged_ones_never() {
    let mut two = Two::connected();
    let (initiation, response) = (two.datagrams[0].clone(), two.datagrams[1].clone());
    assert_eq!((initiation[0], response[0]), (1, 2));
    arrive_from_elsewhere(&mut two, 1, &initiation, at(1000));
    arrive_from_elsewhere(&mut two, 0, &response, at(1000));

    two.nodes[0].initiate(two.peers[0], at(6000));
    let initiation = flushed(&mut two.nodes[0], at(6000)).remove(0);
    for bit in [40, 400, 900, 1000] {
        let mut forged = initiation.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        arrive_from_elsewhere(&mut two, 1, &forged, at(6000));
    }
    let moved = address(9, 9);
    two.arrive(1, moved, &mut initiation.clone(), initiation.len(), at(6000));

    assert_eq!(two.nodes[1].remote(two.peers[1]), Some(moved));
    let response = flushed(&mut two.nodes[1], at(6000)).remove(0);
    let mut forged = response.clone();
    forged[50] ^= 1;
    arrive_from_elsewhere(&mut two, 0, &forged, at(6000));
    two.arrive(0, moved, &mut response.clone(), response.len(), at(6000));
    assert_eq!(two.nodes[0].remote(two.peers[0]), Some(moved));
}

/// The receiver indices of the first handshakes with 512 peers.
fn drawn(seed: u8) -> Vec<u32> {
    let keyed = Node::new(key(1), Entropy::new([1; 32]), WALL, at(0));
    let mut node = Connections::wireguard(keyed, Entropy::new([seed; 32]));
    let mut bytes = [7; 32];
    for number in 0..512_u16 {
        bytes[1..3].copy_from_slice(&number.to_le_bytes());
        let public = PrivateKey::from_bytes(bytes).public_key();
        let index = node.add(peer(public, Some(address(2, 2000))), at(0)).expect("a peer");
        node.initiate(index, at(0));
    }
    let mut drawn = Vec::new();
    while node.has_transmit() {
        for message in flushed(&mut node, at(0)) {
            let index = message[4..8].first_chunk().expect("four bytes");
            drawn.push(u32::from_le_bytes(*index));
        }
    }
    drawn
}

#[test]
fn receiver_indices_are_drawn_from_secret_randomness() {
    let indices = drawn(1);
    assert_eq!(indices.len(), 512);
    let connections: BTreeSet<u32> = indices.iter().map(|index| index >> 8).collect();
    assert_eq!(connections.len(), 512, "each is of one peer");
    assert!(indices.iter().all(|index| index >> 28 == 0 && index & 0xff == 1), "shard, session");
    for bit in 8..28 {
        let ones = indices.iter().filter(|index| *index >> bit & 1 == 1).count();
        assert!((180..=332).contains(&ones), "bit {bit} is 1 in {ones} of 512");
        let changes = indices.windows(2).filter(|of| (of[0] ^ of[1]) >> bit & 1 == 1).count();
        assert!((180..=332).contains(&changes), "bit {bit} changes {changes} times");
    }
    let other = drawn(2);
    assert!(indices.iter().zip(&other).filter(|(a, b)| a == b).count() < 3, "with the seed");
}
