//! R37: nothing on a packet's way allocates.

mod counting;

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};

use packet::icmp::{Unreachable, embedded, rewrite_embedded, unreachable};
use packet::{Class, Rewrite, SendBuffer, TcpFlags, Train, build, parse};

use counting::allocations;

const SLOT: usize = 16 + 1280 + 16;

/// The outbound way: a super-packet is translated and written into the slots of a run.
fn outbound(bytes: &mut [u8], rewrite: &Rewrite, remote: SocketAddr, buffer: &mut SendBuffer) {
    let mut train = Train::super_packet(bytes, 1240).expect("sound");
    train.rewrite(rewrite);
    let segments = train.segments();
    let last = 32 + train.segment_len(segments - 1);
    let mut run = buffer.open_run(remote, 0, Class::Data, segments, SLOT, last).expect("room");
    for i in 0..segments {
        assert!(train.write_segment(i, &mut run.slot(i)[16..]) > 0);
    }
    run.commit();
}

/// The inbound way: packets in one buffer are joined, translated and written out again.
fn inbound(bytes: &mut [u8], packets: &[(u32, u32)], rewrite: &Rewrite, into: &mut [u8]) {
    let (mut train, taken) = Train::run(bytes, packets).expect("sound");
    assert_eq!(taken, packets.len());
    train.rewrite(rewrite);
    assert!(train.write_super_header(into) > 0);
    for i in 0..taken {
        assert!(train.write_segment(i, into) > 0);
    }
}

#[test]
fn r37_parsing_translating_and_writing_allocate_nothing() {
    let source: SocketAddr = "10.0.0.1:7".parse().expect("address");
    let destination: SocketAddr = "10.0.0.2:9".parse().expect("address");
    let real = IpAddr::from([192, 0, 2, 1]);
    let rewrite = Rewrite::outbound(destination.ip(), real, 7, 8);
    let mut buffer = SendBuffer::new(1 << 17, 8);
    let mut super_packet = vec![0; 60_000];
    let payload = vec![3; 40 * 1240];
    let flags = TcpFlags::ACK;
    let len = build::tcp(source, destination, 1, 1, flags, 9, &payload, &mut super_packet);
    super_packet.truncate(len.expect("room"));
    let (mut packets, mut ranges) = (vec![0; 20 * 1280], Vec::new());
    for i in 0..20 {
        let into = &mut packets[i * 1280..];
        let sequence = (i * 1240) as u32;
        build::tcp(source, destination, sequence, 1, flags, 9, &payload[..1240], into);
        ranges.push((i as u32 * 1280, 1280));
    }
    let mut into = [0; 1280];

    let count = allocations(|| {
        outbound(&mut super_packet, &rewrite, source, &mut buffer);
        assert!(parse(&packets[..1280]).is_ok());
        let error =
            unreachable(&packets[..1280], Unreachable::Network, &mut into).expect("an answer");
        let quoted = embedded(&into[..error]).expect("sound");
        rewrite_embedded(&mut into[..error], real, real, &quoted).expect("sound");
        inbound(&mut packets, &ranges, &rewrite, &mut into);
    });
    assert_eq!(count, 0);

    // An allocation that nobody sees may be left out by the compiler.
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 1, "the counter counts");
}
