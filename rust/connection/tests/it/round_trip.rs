//! What one node seals another opens: the same packets, in order, told apart by peer.

use std::net::SocketAddr;
use std::time::Duration;

use connection::{
    Connections, Datagrams, Event, Opened, PeerIndex, Plain, ReceiverIndex, SealError,
};
use packet::{Class, Instant, SendBuffer, Train, build};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const NOW: Instant = Instant::ZERO;

fn address(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], number))
}

fn index(number: u32) -> ReceiverIndex {
    ReceiverIndex::new(0, number, 1)
}

/// A sender with peers that a receiver knows by the same indices.
fn nodes(peers: u32) -> (Connections, Connections) {
    let (mut sender, mut receiver) = (Connections::default(), Connections::default());
    for number in 0..peers {
        let session = || Box::new(Plain::new(index(number), NOW));
        sender.insert(session(), index(number), address(1)).expect("a free index");
        receiver.insert(session(), index(number), address(2)).expect("a free index");
    }
    (sender, receiver)
}

fn arrived(bytes: &mut [u8], size: usize) -> Datagrams<'_> {
    Datagrams::one(address(1), bytes, size, 0)
}

fn udp(payload: &[u8], port: u16) -> Vec<u8> {
    let mut packet = vec![0; 1280];
    let source = SocketAddr::from(([100, 64, 0, 1], port));
    let destination = SocketAddr::from(([100, 96, 0, 1], 443));
    let len = build::udp(source, destination, payload, &mut packet).expect("it fits");
    packet.truncate(len);
    packet
}

/// All packets that `receiver` finds in what was sealed, with their peers.
fn open_all(receiver: &mut Connections, send: &SendBuffer) -> Vec<(PeerIndex, Vec<u8>)> {
    let mut opened = Opened::default();
    let mut found = Vec::new();
    for (run, bytes) in send.iter() {
        let mut buffer = bytes.to_vec();
        receiver.open(&mut arrived(&mut buffer, run.datagram_size), NOW, &mut opened);
        for &group in opened.groups() {
            for &(start, len) in opened.packets(group) {
                let packet = buffer[start as usize..(start + len) as usize].to_vec();
                found.push((group.peer, packet));
            }
        }
    }
    found
}

#[test]
fn a_packet_arrives_as_it_was() {
    let (mut sender, mut receiver) = nodes(2);
    let mut send = SendBuffer::new(65_536, 8);
    let mut packet = udp(b"hello", 1000);
    let original = packet.clone();

    let train = Train::single(&mut packet).expect("valid");
    sender.seal(PeerIndex(1), &train, Class::Data, NOW, &mut send).expect("ready");

    assert_eq!(open_all(&mut receiver, &send), [(PeerIndex(1), original)]);
}

#[test]
fn a_train_too_large_for_one_send_goes_as_several() {
    let (mut sender, mut receiver) = nodes(1);
    let mut send = SendBuffer::new(256 * 1024, 8);
    let mut super_packet = vec![0; 65_000];
    let source = SocketAddr::from(([100, 64, 0, 1], 1));
    let destination = SocketAddr::from(([100, 96, 0, 1], 443));
    let header =
        build::tcp(source, destination, 1, 1, packet::TcpFlags::ACK, 500, &[], &mut super_packet);
    assert_eq!(header, Some(40));
    let total = 40 + 1240 * 52;
    super_packet.truncate(total);
    super_packet[2..4].copy_from_slice(&(total as u16).to_be_bytes());

    let train = Train::super_packet(&mut super_packet, 1240).expect("a super-packet");
    assert_eq!(train.segments(), 52);
    sender.seal(PeerIndex(0), &train, Class::Data, NOW, &mut send).expect("room");

    assert_eq!(send.iter().count(), 2);
    assert_eq!(open_all(&mut receiver, &send).len(), 52);
}

#[test]
fn without_room_nothing_is_written() {
    let (mut sender, _) = nodes(1);
    let mut packet = udp(&[7; 1000], 1);
    let train = Train::single(&mut packet).expect("valid");

    for mut send in [SendBuffer::new(1000, 8), SendBuffer::new(65_536, 0)] {
        let sealed = sender.seal(PeerIndex(0), &train, Class::Data, NOW, &mut send);

        assert_eq!(sealed, Err(SealError::Full));
        assert!(send.is_empty());
    }
}

#[test]
fn a_session_that_is_not_up_yet_says_so_and_tells_when_it_is() {
    let mut node = Connections::default();
    let ready_at = NOW + Duration::from_millis(80);
    let peer = node.insert(Box::new(Plain::new(index(1), ready_at)), index(1), address(1));
    let peer = peer.expect("a free index");
    let mut packet = udp(b"early", 1);
    let train = Train::single(&mut packet).expect("valid");
    let mut send = SendBuffer::new(65_536, 8);

    let early = node.seal(peer, &train, Class::Data, NOW, &mut send);
    assert_eq!(early, Err(SealError::NotReady));
    assert_eq!(node.poll_timeout(), Some(ready_at));
    node.handle_timeout(ready_at);

    assert_eq!(node.poll_event(), Some(Event::Ready(peer)));
    assert_eq!(node.poll_timeout(), None);
    assert_eq!(node.seal(peer, &train, Class::Data, ready_at, &mut send), Ok(()));
}

#[test]
fn what_cannot_be_opened_is_counted_by_reason() {
    let (mut sender, mut receiver) = nodes(2);
    receiver.remove(PeerIndex(0));
    let mut send = SendBuffer::new(65_536, 8);
    for peer in 0..2 {
        let mut packet = udp(b"x", 1);
        let train = Train::single(&mut packet).expect("valid");
        sender.seal(PeerIndex(peer), &train, Class::Data, NOW, &mut send).expect("room");
    }
    let (run, bytes) = send.iter().next().expect("one run, both are at one address");
    let mut opened = Opened::default();

    let mut broken = bytes[run.datagram_size..].to_vec();
    *broken.last_mut().expect("a tag") ^= 1;
    receiver.open(&mut arrived(&mut broken, run.datagram_size), NOW, &mut opened);
    receiver.open(&mut arrived(&mut [4, 0, 0], 3), NOW, &mut opened);
    receiver.open(&mut arrived(&mut [9; 64], 64), NOW, &mut opened);
    assert!(open_all(&mut receiver, &send).len() == 1, "only the peer that is left");

    let counters = receiver.counters();
    assert_eq!((counters.malformed, counters.unknown_index, counters.refused), (2, 1, 1));
}

#[test]
fn a_taken_index_is_refused() {
    let (mut sender, _) = nodes(1);

    let again = sender.insert(Box::new(Plain::new(index(0), NOW)), index(0), address(3));

    assert_eq!(again, None);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(11),
        failure_persistence: None,
        cases: 200,
        ..ProptestConfig::default()
    })]

    /// However datagrams of several peers are mixed in one buffer, each packet is its peer's.
    #[test]
    fn mixed_datagrams_are_told_apart(order in prop::collection::vec(0..4_u32, 1..40)) {
        let (mut sender, mut receiver) = nodes(4);
        let mut buffer = Vec::new();
        let mut expected = Vec::new();
        let mut size = 0;
        for (i, &peer) in order.iter().enumerate() {
            let mut send = SendBuffer::new(4096, 1);
            let mut packet = udp(&(i as u32).to_be_bytes(), 1000);
            expected.push((PeerIndex(peer), packet.clone()));
            let train = Train::single(&mut packet).expect("valid");
            sender.seal(PeerIndex(peer), &train, Class::Data, NOW, &mut send).expect("room");
            let (run, bytes) = send.iter().next().expect("one run");
            size = run.datagram_size;
            buffer.extend_from_slice(bytes);
        }
        let mut opened = Opened::default();
        receiver.open(&mut arrived(&mut buffer, size), NOW, &mut opened);

        let mut found = Vec::new();
        for &group in opened.groups() {
            for &(start, len) in opened.packets(group) {
                found.push((group.peer, buffer[start as usize..(start + len) as usize].to_vec()));
            }
        }
        prop_assert_eq!(found, expected);
    }

    /// Garbage is refused without a panic.
    #[test]
    fn garbage_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..400), size in 0..200_usize) {
        let (_, mut receiver) = nodes(1);
        let mut opened = Opened::default();

        receiver.open(&mut arrived(&mut bytes, size), NOW, &mut opened);

        prop_assert!(opened.groups().is_empty());
    }
}
