//! Packets held and released, against a queue of vectors.

use std::collections::VecDeque;
use std::hint::black_box;

use nat::buffer::{Limits, PacketBuffer};
use packet::{Instant, TcpFlags, build};

use crate::harness::{Row, compare};

/// Packets held at a time.
const COUNT: usize = 256;

fn segments(flows: usize) -> Vec<Vec<u8>> {
    let to = ([100, 96, 0, 1], 443).into();
    let segment = |i: usize| {
        let mut packet = vec![0; 1280];
        let from = ([100, 64, 0, 1], 5000 + (i % flows) as u16).into();
        let flags = TcpFlags::ACK;
        let len = build::tcp(from, to, i as u32, 1, flags, 500, &[7; 1200], &mut packet);
        packet.truncate(len.expect("it fits"));
        packet
    };
    (0..COUNT).map(segment).collect()
}

pub(crate) fn run() {
    for (flows, case) in [(1, "1 flow"), (64, "64 flows")] {
        let packets = segments(flows);
        let mut buffer = PacketBuffer::new(Limits::default(), 7);
        let queue = buffer.open(Instant::ZERO);
        let mut reference: VecDeque<Vec<u8>> = VecDeque::new();
        let row = Row { name: "hold and release", case, peer: "VecDeque<Vec>", goal: 1.0 / 1.5 };
        compare(
            row,
            COUNT,
            || {
                for packet in &packets {
                    let stored = buffer.push(queue, packet, Instant::ZERO);
                    debug_assert!(stored.is_ok());
                    let _ = black_box(stored);
                }
                while buffer.front(queue).map(|packet| black_box(packet).len()).is_some() {
                    buffer.pop(queue);
                }
            },
            || {
                for packet in &packets {
                    reference.push_back(packet.clone());
                }
                while let Some(packet) = reference.pop_front() {
                    black_box(packet);
                }
            },
        );
    }
}
