//! Chains of translations against recomputation from nothing.

use std::net::IpAddr;

use packet::{Checksum, Rewrite, Train, parse, verify};
use proptest::prelude::*;

use crate::spec::{Kind, Spec, address, any_kind, config, ones_complement_add, port, spec};

/// One step, applied to the packet and to the reference alike.
#[derive(Clone, Debug)]
struct Step {
    outbound: bool,
    address: IpAddr,
    port: u16,
}

impl Step {
    fn apply(&self, train: &mut Train<'_>, spec: &mut Spec) {
        let echo = matches!(spec.kind, Kind::Echo { .. });
        let rewrite = if self.outbound {
            let (old, old_port) = (spec.destination, spec.source_port);
            (spec.destination, spec.source_port) = (self.address, self.port);
            Rewrite::outbound(old, self.address, old_port, self.port)
        } else {
            let port = if echo { &mut spec.source_port } else { &mut spec.destination_port };
            let (old, old_port) = (spec.source, *port);
            (spec.source, *port) = (self.address, self.port);
            Rewrite::inbound(old, self.address, old_port, self.port)
        };
        train.rewrite(&rewrite);
    }
}

fn steps(ipv6: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = (any::<bool>(), address(ipv6), port()).prop_map(|(outbound, address, port)| Step {
        outbound,
        address,
        port,
    });
    prop::collection::vec(step, 1..8)
}

fn spec_and_steps(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = (Spec, Vec<Step>)> {
    spec(kind).prop_flat_map(|spec| {
        let steps = steps(spec.source.is_ipv6());
        (Just(spec), steps)
    })
}

fn field(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn add_to_field(bytes: &mut [u8], at: usize, error: u16) -> u16 {
    let field = ones_complement_add(field(bytes, at), error);
    bytes[at..at + 2].copy_from_slice(&field.to_be_bytes());
    field
}

proptest! {
    #![proptest_config(config(3000, 2))]

    #[test]
    fn r35_a_right_checksum_stays_right(
        (mut spec, steps) in spec_and_steps(any_kind()),
    ) {
        let mut bytes = spec.packet();
        for step in steps {
            let mut train = Train::single(&mut bytes).expect("sound");
            step.apply(&mut train, &mut spec);
            let summary = *train.summary();
            prop_assert_eq!(parse(&bytes), Ok(summary));
            prop_assert!(verify(&bytes, &summary));
            let (at, mut expected) = (spec.checksum_at(), spec.packet());
            if matches!(spec.kind, Kind::Echo { .. }) && field(&expected, at) == 0 {
                // Either zero is right, the other one also where all bytes are zero.
                expected[at..at + 2].fill(0xff);
            }
            prop_assert_eq!(&bytes, &expected);
        }
    }

    #[test]
    fn r35_a_wrong_checksum_stays_wrong_by_as_much(
        (mut spec, steps) in spec_and_steps(any_kind()),
        error in 1..0xffffu16,
    ) {
        let mut bytes = spec.packet();
        let at = spec.checksum_at();
        if add_to_field(&mut bytes, at, error) == 0 && spec.kind == Kind::Udp {
            bytes[at..at + 2].fill(0xff);
        }
        let mut train = Train::single(&mut bytes).expect("sound");
        for step in steps {
            step.apply(&mut train, &mut spec);
        }
        let mut into = [0; 1280];
        let len = train.write_segment(0, &mut into);
        prop_assert!(!verify(&into[..len], train.summary()));
        let right = spec.packet();
        prop_assert_eq!(
            ones_complement_add(field(&right, at), error) % 0xffff,
            field(&into, at) % 0xffff
        );
    }

    #[test]
    fn r35_a_wrong_ipv4_header_checksum_stays_wrong(
        (mut spec, steps) in spec_and_steps(any_kind()),
        error in 1..0xffffu16,
    ) {
        if spec.source.is_ipv6() {
            return Ok(());
        }
        let mut bytes = spec.packet();
        add_to_field(&mut bytes, 10, error);
        let mut train = Train::single(&mut bytes).expect("sound");
        for step in steps {
            step.apply(&mut train, &mut spec);
        }
        let summary = *train.summary();
        prop_assert!(!verify(&bytes, &summary));
    }

    #[test]
    fn r35_udp_without_a_checksum_stays_without(
        (mut spec, steps) in spec_and_steps(Just(Kind::Udp)),
    ) {
        let mut bytes = spec.packet();
        let at = spec.checksum_at();
        bytes[at..at + 2].fill(0);
        let mut train = Train::single(&mut bytes).expect("sound");
        for step in steps {
            step.apply(&mut train, &mut spec);
        }
        let summary = *train.summary();
        prop_assert_eq!(field(&bytes, at), 0);
        prop_assert_eq!(verify(&bytes, &summary), spec.source.is_ipv4());
    }

    #[test]
    fn r35_in_a_partial_checksum_only_the_address_counts(
        (mut spec, steps) in spec_and_steps(prop_oneof![Just(Kind::Tcp), Just(Kind::Udp)]),
    ) {
        let mut bytes = spec.partial();
        let mut train = Train::super_packet(&mut bytes, 0).expect("sound");
        prop_assert_eq!(train.checksum(), Checksum::Partial);
        for step in steps {
            step.apply(&mut train, &mut spec);
        }
        let mut into = [0; 1280];
        let len = train.write_segment(0, &mut into);
        prop_assert_eq!(&into[..len], &spec.packet());
        let expected = spec.partial_field();
        prop_assert_eq!(field(&bytes, spec.checksum_at()) % 0xffff, expected % 0xffff);
    }
}

#[test]
fn r35_a_udp_checksum_of_zero_is_sent_as_ffff() {
    let (old, new) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
    let base = Spec {
        kind: Kind::Udp,
        source: IpAddr::from([10, 9, 9, 9]),
        destination: old,
        source_port: 1000,
        destination_port: 2000,
        traffic_class: 0,
        hops: 64,
        identification: 0,
        dont_fragment: true,
        flow_label: 0,
        sequence: 0,
        acknowledgement: 0,
        flags: packet::TcpFlags::ACK,
        window: 0,
        ip_options: Vec::new(),
        options: Vec::new(),
        payload: Vec::new(),
    };
    let mut found = 0;
    for port in 0..=u16::MAX {
        let mut bytes = base.packet();
        let mut train = Train::single(&mut bytes).expect("sound");
        train.rewrite(&Rewrite::outbound(old, new, base.source_port, port));
        let expected = Spec { destination: new, source_port: port, ..base.clone() }.packet();
        assert_eq!(bytes, expected);
        found += u32::from(field(&bytes, base.checksum_at()) == 0xffff);
    }
    assert!(found >= 1, "no port made the checksum zero");
}

#[test]
fn r35_an_echo_reply_of_zeros_keeps_a_right_checksum() {
    let zero = IpAddr::from([0; 4]);
    let mut bytes = [0; 64];
    let len = packet::build::echo(zero, zero, 5, 0, false, &[0; 8], &mut bytes).unwrap();
    let mut train = Train::single(&mut bytes[..len]).unwrap();
    train.rewrite(&Rewrite::inbound(zero, zero, 5, 0));
    let summary = *train.summary();
    assert!(verify(&bytes[..len], &summary));
}

#[test]
fn a_rewrite_of_the_other_family_changes_nothing() {
    let mut bytes = [0; 1280];
    let (source, destination) = ("[2001:db8::1]:1".parse(), "[2001:db8::2]:2".parse());
    let len = packet::build::udp(source.unwrap(), destination.unwrap(), b"x", &mut bytes).unwrap();
    let before = bytes;
    let (v4, v6) = (IpAddr::from([1, 2, 3, 4]), IpAddr::from([0; 16]));
    let mut train = Train::single(&mut bytes[..len]).unwrap();
    train.rewrite(&Rewrite::outbound(v4, v4, 1, 9));
    train.rewrite(&Rewrite::inbound(v4, v6, 1, 9));
    assert_eq!(bytes, before);
}
