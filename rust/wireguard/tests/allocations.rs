//! What is allocated, counted: nothing for a batch of packets once warm.

#![allow(clippy::unwrap_used)]

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aead::{Choice, Cipher};
use packet::{Class, Instant, SendBuffer};
use wireguard::{BACK, Checked, Entropy, FRONT, Node, PrivateKey, Profile, Tunnel};

use counting::allocations;

const REMOTE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9);
const NOW: Instant = Instant::from_nanos(1_000_000_000_000);
const SLOTS: usize = 48;
const SLOT: usize = FRONT + 1280 + BACK;

fn end(own: u8, peer: u8) -> (Node, Tunnel) {
    let key = |of: u8| PrivateKey::clamped([of; 32]);
    let node = Node::new(key(own), Entropy::new([own; 32]), Duration::from_secs(1), NOW)
        .with_cipher(Cipher::new(Choice::Auto));
    let entropy = Entropy::new([own + 100; 32]);
    let peer = key(peer).public_key();
    let tunnel = Tunnel::new(&node, peer, None, Profile::FIREZONE_ICE, own.into(), entropy);
    (node, tunnel.unwrap())
}

/// Two tunnels with a session between them.
fn pair() -> [Tunnel; 2] {
    let ((_, mut a), (node, mut b)) = (end(1, 2), end(2, 1));
    let mut out = [0; 148];
    a.initiate(NOW);
    let len = a.poll_transmit(&mut out, NOW).unwrap();
    b.handle_initiation(node.read_initiation(&out[..len]).unwrap(), NOW).unwrap();
    let len = b.poll_transmit(&mut out, NOW).unwrap();
    a.handle_response(&out[..len], NOW).unwrap();
    [a, b]
}

#[test]
fn sealing_and_opening_a_batch_allocates_nothing_once_warm() {
    let [mut a, mut b] = pair();
    let mut send = SendBuffer::new(SLOT * SLOTS, 1);
    let mut buffer = vec![0; SLOT * SLOTS];
    let ranges: Vec<(u32, u32)> = (0..SLOTS).map(|i| ((i * SLOT) as u32, SLOT as u32)).collect();
    let mut packets = Vec::with_capacity(SLOTS);
    let mut round = |now: Instant| {
        send.clear();
        let mut run = send.open_run(REMOTE, 0, Class::Data, SLOTS, SLOT, SLOT).unwrap();
        a.seal_batch(&mut run, now).unwrap();
        run.commit();
        for (_, bytes) in send.iter() {
            buffer.copy_from_slice(bytes);
        }
        packets.clear();
        let opened = b.open_batch(&mut buffer, &ranges, &mut packets, now);
        assert_eq!((opened.accepted as usize, packets.len()), (SLOTS, SLOTS));
        let again = b.open_batch(&mut buffer, &ranges, &mut packets, now);
        assert_eq!(again.refused as usize, SLOTS);
        let _ = (a.poll_timeout(), b.is_ready(now), b.statistics(now), a.poll_event());
    };
    round(NOW);
    let count = allocations(|| (0..20).for_each(|i| round(NOW + Duration::from_secs(i))));
    assert_eq!(count, 0);
}

#[test]
fn a_flood_of_handshakes_allocates_nothing() {
    let ((mut node, _), (_, mut stranger)) = (end(1, 2), end(2, 1));
    let mut initiation = [0; 148];
    stranger.initiate(NOW);
    stranger.poll_transmit(&mut initiation, NOW).unwrap();
    let mut replies = 0;
    let count = allocations(|| {
        for i in 0..1000u64 {
            let now = NOW + Duration::from_millis(i);
            match node.check(REMOTE, &initiation, now, &mut [0; 64]) {
                Checked::Pass => drop(node.read_initiation(&initiation)),
                Checked::CookieReply(_) => replies += 1,
                Checked::Drop(reason) => panic!("{reason:?}"),
            }
        }
    });
    assert_eq!((count, replies), (0, 1000 - 100 - 99));
}
