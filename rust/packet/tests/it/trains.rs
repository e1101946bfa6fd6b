//! Splitting and coalescing against a packet-by-packet reference.

use std::net::IpAddr;

use packet::{Checksum, Rewrite, TcpFlags, Train};
use proptest::prelude::*;

use crate::spec::{Kind, Spec, address, config, port, spec};

const LAST_ONLY: TcpFlags = TcpFlags(TcpFlags::PSH.0 | TcpFlags::FIN.0);

/// What the kernel's TSO and USO make of a super-packet.
fn split(spec: &Spec, segment_size: usize) -> Vec<Spec> {
    let payloads: Vec<&[u8]> = spec.payload.chunks(segment_size).collect();
    let count = payloads.len();
    let segment = |(i, payload): (usize, &&[u8])| {
        let mut flags = spec.flags;
        if i > 0 {
            flags = flags.without(TcpFlags::CWR);
        }
        if i + 1 < count {
            flags = flags.without(LAST_ONLY);
        }
        Spec {
            identification: spec.identification.wrapping_add(i as u16),
            sequence: spec.sequence.wrapping_add((i * segment_size) as u32),
            flags,
            payload: payload.to_vec(),
            ..spec.clone()
        }
    };
    payloads.iter().enumerate().map(segment).collect()
}

/// The same packet from or to elsewhere.
fn translated(spec: &Spec, to: IpAddr, port: u16) -> Spec {
    Spec { destination: to, source_port: port, ..spec.clone() }
}

fn written(train: &Train<'_>, i: usize) -> Vec<u8> {
    let mut into = vec![0xaa; 1280];
    let len = train.write_segment(i, &mut into);
    assert_eq!(len, train.segment_len(i));
    into.truncate(len);
    into
}

fn tcp_or_udp() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Tcp), Just(Kind::Udp)]
}

fn flags() -> impl Strategy<Value = TcpFlags> {
    let [psh, fin, cwr, ece] = [TcpFlags::PSH, TcpFlags::FIN, TcpFlags::CWR, TcpFlags::ECE];
    prop::sample::subsequence(vec![psh, fin, cwr, ece], 0..=4)
        .prop_map(|flags| flags.into_iter().fold(TcpFlags::ACK, |all, flag| all | flag))
}

prop_compose! {
    /// A super-packet of 1 to 64 segments and its segment size.
    fn super_spec()(spec in spec(tcp_or_udp()), flags in flags())(
        size in prop_oneof![1..=40usize, 900..=1160usize],
        segments in 1..=64usize,
        last in 1..=1160usize,
        step in any::<u8>(),
        spec in Just(spec),
        flags in Just(flags),
    ) -> (Spec, usize) {
        let segments = segments.min(64_000 / size);
        let len = (segments - 1) * size + last.min(size);
        let payload = (0..len).map(|i| (i as u8).wrapping_mul(step) ^ (i >> 8) as u8).collect();
        (Spec { flags, payload, ..spec }, size)
    }
}

prop_compose! {
    fn translation()(new in (address(false), address(true)), port in port())
        -> (IpAddr, IpAddr, u16)
    {
        (new.0, new.1, port)
    }
}

/// Puts packets into one buffer, with gaps.
fn lay_out(packets: &[Vec<u8>], gap: usize) -> (Vec<u8>, Vec<(u32, u32)>) {
    let (mut buffer, mut ranges) = (vec![0xee; gap], Vec::new());
    for packet in packets {
        ranges.push((buffer.len() as u32, packet.len() as u32));
        buffer.extend(packet);
        buffer.resize(buffer.len() + gap, 0xee);
    }
    (buffer, ranges)
}

proptest! {
    #![proptest_config(config(600, 3))]

    #[test]
    fn r35_a_super_packet_becomes_the_packets_of_the_reference(
        (spec, size) in super_spec(),
        (v4, v6, port) in translation(),
        is_translated in any::<bool>(),
    ) {
        let mut bytes = spec.partial();
        let mut train = Train::super_packet(&mut bytes, size as u16).expect("sound");
        let mut spec = spec;
        if is_translated {
            let to = if spec.source.is_ipv4() { v4 } else { v6 };
            train.rewrite(&Rewrite::outbound(spec.destination, to, spec.source_port, port));
            spec = translated(&spec, to, port);
        }
        let expected = split(&spec, size);
        prop_assert_eq!(train.segments(), expected.len());
        let total: usize = (0..train.segments()).map(|i| train.segment_len(i)).sum();
        prop_assert_eq!(train.total_bytes(), total);
        for (i, segment) in expected.iter().enumerate() {
            prop_assert_eq!(train.payload(i), &segment.payload);
            prop_assert_eq!(written(&train, i), segment.packet(), "segment {}", i);
        }
        prop_assert_eq!(train.write_segment(expected.len(), &mut [0; 1280]), 0);
    }

    #[test]
    fn r35_packets_become_one_train_and_the_same_packets_again(
        (spec, size) in super_spec(),
        (v4, v6, port) in translation(),
        gap in 0..40usize,
        is_counting in any::<bool>(),
    ) {
        let flags = spec.flags.without(TcpFlags::CWR);
        let mut expected = split(&Spec { flags, ip_options: Vec::new(), ..spec }, size);
        for spec in &mut expected {
            if spec.dont_fragment && !is_counting {
                spec.identification = 0;
            }
        }
        let packets: Vec<_> = expected.iter().map(Spec::packet).collect();
        let (mut buffer, ranges) = lay_out(&packets, gap);
        let (mut train, taken) = Train::run(&mut buffer, &ranges).expect("sound");
        prop_assert_eq!((taken, train.segments()), (packets.len(), packets.len()));
        prop_assert_eq!(train.checksum(), Checksum::Whole);
        for (i, packet) in packets.iter().enumerate() {
            prop_assert_eq!(&written(&train, i), packet);
        }
        let first = expected[0].clone();
        let to = if first.source.is_ipv4() { v4 } else { v6 };
        train.rewrite(&Rewrite::outbound(first.destination, to, first.source_port, port));
        for (i, spec) in expected.iter().enumerate() {
            prop_assert_eq!(written(&train, i), translated(spec, to, port).packet());
        }
        assert_rejoins(&train, size, is_counting);
    }
}

/// Header and payloads as one super-packet, as they go to the TUN, are the same packets to whoever
/// splits them again.
fn assert_rejoins(train: &Train<'_>, size: usize, is_counting: bool) {
    let mut bytes = vec![0; 65_600];
    let mut len = train.write_super_header(&mut bytes);
    for i in 0..train.segments() {
        bytes[len..][..train.payload(i).len()].copy_from_slice(train.payload(i));
        len += train.payload(i).len();
    }
    if train.segments() == 1 {
        assert_eq!(bytes[..len], written(train, 0));
        return;
    }
    let again = Train::super_packet(&mut bytes[..len], size as u16).expect("sound");
    assert_eq!(again.segments(), train.segments());
    for i in 0..again.segments() {
        let (mut expected, mut found) = (written(train, i), written(&again, i));
        if !is_counting && expected[0] == 0x45 {
            // The kernel counts the identification up, which with DF set says nothing.
            expected[4..6].fill(0);
            found[4..6].fill(0);
            expected[10..12].fill(0);
            found[10..12].fill(0);
        }
        assert_eq!(expected, found);
    }
}

/// A packet of a stream, and what was done to its bytes.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    spec: Spec,
    damage: Damage,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    None,
    TransportChecksum,
    NetworkChecksum,
    NoChecksum,
}

impl Item {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.spec.packet();
        let at = self.spec.checksum_at();
        match self.damage {
            Damage::None => {}
            Damage::TransportChecksum => bytes[at] ^= 0x10,
            Damage::NetworkChecksum => bytes[10] ^= 0x10,
            Damage::NoChecksum => bytes[at..at + 2].fill(0),
        }
        bytes
    }

    /// Whether `next` may join a train of `count` packets that begins with `self`.
    fn takes(&self, count: usize, next: &Self) -> bool {
        let (first, other) = (&self.spec, &next.spec);
        let (size, is_tcp) = (first.payload.len(), first.kind == Kind::Tcp);
        let is_counted = first.source.is_ipv4() && !first.dont_fragment;
        let allowed = Spec {
            sequence: first.sequence.wrapping_add((count * size) as u32),
            identification: match is_counted {
                true => first.identification.wrapping_add(count as u16),
                false => other.identification,
            },
            flags: first.flags | TcpFlags(other.flags.0 & LAST_ONLY.0),
            payload: other.payload.clone(),
            ..first.clone()
        };
        self.damage == Damage::None
            && next.damage == Damage::None
            && carried(first).ip_options.is_empty()
            && (!is_tcp || first.flags.without(TcpFlags::ECE) == TcpFlags::ACK)
            && carried(&allowed) == carried(other)
            && (1..=size).contains(&other.payload.len())
            && (is_tcp || count < 64)
    }

    /// Whether nothing may follow.
    fn is_last(&self, first: &Self) -> bool {
        let is_final = self.spec.flags.intersects(LAST_ONLY) && self.spec.kind == Kind::Tcp;
        is_final || self.spec.payload.len() < first.spec.payload.len()
    }
}

/// What the bytes of a packet tell: without the fields that its protocols do not have.
fn carried(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    if spec.kind == Kind::Udp {
        (spec.sequence, spec.acknowledgement, spec.window) = (0, 0, 0);
        (spec.flags, spec.options) = (TcpFlags::default(), Vec::new());
    }
    if spec.source.is_ipv4() {
        spec.flow_label = 0;
    } else {
        (spec.identification, spec.dont_fragment, spec.ip_options) = (0, false, Vec::new());
    }
    spec
}

/// How many packets the reference takes for the first train.
fn taken_by_reference(items: &[Item]) -> usize {
    let mut count = 1;
    while let Some(next) = items.get(count) {
        if !items[0].takes(count, next) {
            break;
        }
        count += 1;
        if next.is_last(&items[0]) {
            break;
        }
    }
    count
}

/// Changes one thing about one packet.
fn disturb(item: &mut Item, what: usize, value: u8) {
    let spec = &mut item.spec;
    let is_ipv4 = spec.source.is_ipv4();
    match what {
        0 => spec.traffic_class ^= value,
        1 => spec.hops ^= value,
        2 => spec.identification = spec.identification.wrapping_add(value.into()),
        3 => spec.dont_fragment = !spec.dont_fragment,
        4 => spec.flow_label ^= u32::from(value),
        5 => spec.source_port ^= u16::from(value),
        6 => spec.destination_port ^= u16::from(value),
        7 => std::mem::swap(&mut spec.source, &mut spec.destination),
        8 => spec.sequence = spec.sequence.wrapping_add(value.into()),
        9 => spec.acknowledgement = spec.acknowledgement.wrapping_add(value.into()),
        10 => spec.flags = TcpFlags(spec.flags.0 ^ (1 << (value % 8))),
        11 => spec.flags = spec.flags | TcpFlags::PSH,
        12 => spec.window ^= u16::from(value),
        13 => spec.options = vec![value; spec.options.len()],
        14 => spec.options.truncate(spec.options.len() / 8 * 4),
        15 => spec.payload.truncate(usize::from(value)),
        16 => spec.payload.push(value),
        17 => spec.payload.clear(),
        18 => spec.kind = if spec.kind == Kind::Tcp { Kind::Udp } else { Kind::Tcp },
        19 => item.damage = Damage::TransportChecksum,
        20 if is_ipv4 => item.damage = Damage::NetworkChecksum,
        21 if spec.kind == Kind::Udp => item.damage = Damage::NoChecksum,
        _ => {}
    }
}

prop_compose! {
    fn stream()(
        spec in spec(tcp_or_udp()),
        size in 1..60usize,
        count in 2..=70usize,
        ece in any::<bool>(),
        disturbances in prop::collection::vec(
            (any::<prop::sample::Index>(), 0..22usize, any::<u8>()), 0..6),
    ) -> Vec<Item> {
        let payload = (0..size * count).map(|i| (i * 31) as u8).collect();
        let flags = if ece { TcpFlags::ACK | TcpFlags::ECE } else { TcpFlags::ACK };
        let spec = Spec { payload, flags, ..spec };
        let mut items: Vec<_> = split(&spec, size)
            .into_iter()
            .map(|spec| Item { spec, damage: Damage::None })
            .collect();
        for (index, what, value) in disturbances {
            disturb(&mut items[index.index(count)], what, value);
        }
        items
    }
}

proptest! {
    #![proptest_config(config(1500, 4))]

    #[test]
    fn r35_a_train_ends_where_the_reference_ends_it_and_loses_nothing(
        items in stream(),
        gap in 0..20usize,
    ) {
        let packets: Vec<_> = items.iter().map(Item::bytes).collect();
        let (mut buffer, ranges) = lay_out(&packets, gap);
        let mut done = 0;
        while done < packets.len() {
            let (train, taken) = Train::run(&mut buffer, &ranges[done..]).expect("sound");
            prop_assert_eq!(taken, taken_by_reference(&items[done..]), "from packet {}", done);
            prop_assert_eq!(train.segments(), taken);
            for i in 0..taken {
                prop_assert_eq!(&written(&train, i), &packets[done + i]);
            }
            done += taken;
        }
    }
}
