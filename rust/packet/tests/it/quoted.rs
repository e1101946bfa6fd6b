//! The packet that an ICMP error quotes: read, translated and translated back.

use std::net::{IpAddr, SocketAddr};

use packet::icmp::{Embedded, embedded, rewrite_embedded};
use packet::{Malformed, Protocol, Rewrite, TcpFlags, Train, parse, verify};
use proptest::prelude::*;

use crate::spec::{Kind, Spec, address, any_kind, config, octets, ones_complement_sum, port, spec};

/// An error as a router writes it.
#[derive(Clone, Debug)]
struct Error {
    from: IpAddr,
    to: IpAddr,
    kind: u8,
    quoted: Vec<u8>,
    /// What follows the quote (RFC 4884 §7), which is then padded.
    extension: Option<Vec<u8>>,
}

impl Error {
    fn bytes(&self) -> Vec<u8> {
        let mut body = self.quoted.clone();
        let unit = if self.from.is_ipv4() { 4 } else { 8 };
        let mut rest = [0u8; 4];
        if let Some(extension) = &self.extension {
            body.resize(body.len().max(128).next_multiple_of(unit), 0);
            rest[if self.from.is_ipv4() { 1 } else { 0 }] = (body.len() / unit) as u8;
            body.extend(extension);
        }
        self.around(rest, &body)
    }

    /// The same with another second word of the ICMP header.
    fn with_rest(&self, rest: [u8; 4]) -> Vec<u8> {
        self.around(rest, &self.quoted)
    }

    fn around(&self, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
        let icmp = [&[self.kind, 0, 0, 0][..], &rest, body].concat();
        let mut bytes = self.ip_header(icmp.len());
        let offset = bytes.len();
        bytes.extend(icmp);
        let mut covered = Vec::new();
        if self.from.is_ipv6() {
            covered = [octets(self.from), octets(self.to)].concat();
            covered.extend((bytes[offset..].len() as u32).to_be_bytes());
            covered.extend([0, 0, 0, 58]);
        }
        covered.extend(&bytes[offset..]);
        let checksum = !ones_complement_sum(&covered);
        bytes[offset + 2..offset + 4].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn ip_header(&self, len: usize) -> Vec<u8> {
        let addresses = [octets(self.from), octets(self.to)].concat();
        if self.from.is_ipv6() {
            let len = (len as u16).to_be_bytes();
            return [&[0x60, 0, 0, 0][..], &len, &[58, 64], &addresses].concat();
        }
        let len = (20 + len as u16).to_be_bytes();
        let mut header = [&[0x45, 0][..], &len, &[0, 0, 0, 0, 64, 1, 0, 0], &addresses].concat();
        let checksum = !ones_complement_sum(&header);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

/// What `embedded` has to read in an error about `spec`.
fn expected(spec: &Spec) -> Embedded {
    let (protocol, destination_port) = match spec.kind {
        Kind::Tcp => (Protocol::Tcp, spec.destination_port),
        Kind::Udp => (Protocol::Udp, spec.destination_port),
        Kind::Echo { .. } => (Protocol::Icmp, 0),
    };
    Embedded {
        source: spec.source,
        destination: spec.destination,
        protocol,
        source_port: spec.source_port,
        destination_port,
    }
}

prop_compose! {
    /// An error about a packet of which some was cut off, and the packet.
    fn error()(spec in spec(any_kind()))(
        (from, to) in (address(spec.source.is_ipv6()), address(spec.source.is_ipv6())),
        spec in Just(spec),
        len in prop_oneof![Just(8usize), 8..40usize, Just(2000)],
        kind in 0..3usize,
        extension in prop::option::of(prop::collection::vec(any::<u8>(), 4..30)),
    ) -> (Error, Spec) {
        let is_ipv4 = spec.source.is_ipv4();
        // 4884 gives a length to these types alone.
        let kinds: &[u8] = match (is_ipv4, extension.is_some()) {
            (true, _) => &[3, 11, 12],
            (false, true) => &[1, 3, 1],
            (false, false) => &[2, 4, 3],
        };
        let mut quoted = spec.packet();
        // A router that appends extensions quotes the least, or 128 bytes and more (RFC 4884 §5.1).
        let len = if extension.is_some() && len != 8 { 2000 } else { len };
        quoted.truncate((spec.network_len() + len).min(1000));
        (Error { from, to, kind: kinds[kind], quoted, extension }, spec)
    }
}

prop_compose! {
    fn ends(ipv6: bool)(
        addresses in prop::array::uniform4(address(ipv6)),
        ports in prop::array::uniform2(port()),
    ) -> ([IpAddr; 4], [u16; 2]) {
        (addresses, ports)
    }
}

proptest! {
    #![proptest_config(config(2000, 6))]

    #[test]
    fn r32_the_quoted_flow_is_read_from_as_little_as_8_bytes((error, spec) in error()) {
        prop_assert_eq!(embedded(&error.bytes()), Ok(expected(&spec)));
    }

    #[test]
    fn r32_an_error_and_its_quote_are_translated_and_back(
        ((error, spec), ends) in error().prop_flat_map(|(error, spec)| {
            let ends = ends(spec.source.is_ipv6());
            (Just((error, spec)), ends)
        }),
    ) {
        let before = error.bytes();
        let old = expected(&spec);
        let ([from, to, source, destination], [source_port, other]) = ends;
        let destination_port = if old.protocol == Protocol::Icmp { 0 } else { other };
        let new = Embedded { source, destination, source_port, destination_port, ..old };
        let mut bytes = before.clone();
        rewrite_embedded(&mut bytes, from, to, &new).expect("sound");
        prop_assert_eq!(embedded(&bytes), Ok(new));
        let summary = parse(&bytes).expect("sound");
        prop_assert_eq!((summary.source, summary.destination), (from, to));
        prop_assert!(verify(&bytes, &summary));
        let quoted_at = usize::from(summary.header_len);
        let rest = quoted_at + error.quoted.len();
        prop_assert_eq!(&bytes[rest..], &before[rest..], "padding and extension are kept");
        assert_same_as_whole(&bytes[quoted_at..rest], &spec, &new);
        rewrite_embedded(&mut bytes, error.from, error.to, &old).expect("sound");
        assert_same(&bytes, &before, quoted_at + spec.checksum_at());
    }

    #[test]
    fn r32_a_wrong_checksum_is_refused_and_nothing_changed(
        (error, spec) in error(),
        index in any::<prop::sample::Index>(),
        bit in 0..8u8,
    ) {
        let mut bytes = error.bytes();
        let summary = parse(&bytes).expect("sound");
        let offset = usize::from(summary.header_len);
        let index = offset + index.index(bytes.len() - offset);
        bytes[index] ^= 1 << bit;
        let before = bytes.clone();
        prop_assert_eq!(embedded(&bytes), Err(Malformed::Checksum));
        let result = rewrite_embedded(&mut bytes, error.from, error.to, &expected(&spec));
        prop_assert_eq!(result, Err(Malformed::Checksum));
        prop_assert_eq!(bytes, before);
    }

    #[test]
    fn quotes_of_any_bytes_are_errors_and_never_a_panic(
        ipv6 in any::<bool>(),
        version in prop_oneof![Just(0x45u8), Just(0x60), any::<u8>()],
        mut quoted in prop::collection::vec(any::<u8>(), 0..150),
        kind in 1..13u8,
        extension in prop::option::of(prop::collection::vec(any::<u8>(), 0..9)),
    ) {
        if let Some(first) = quoted.first_mut() {
            *first = version;
        }
        let end = if ipv6 { IpAddr::from([1; 16]) } else { IpAddr::from([1; 4]) };
        let mut bytes = Error { from: end, to: end, kind, quoted, extension }.bytes();
        if let Ok(found) = embedded(&bytes) {
            rewrite_embedded(&mut bytes, end, end, &found).expect("it was read");
            prop_assert_eq!(embedded(&bytes), Ok(found));
        }
    }
}

/// The quote is what a quote of the translated packet would be.
fn assert_same_as_whole(quoted: &[u8], spec: &Spec, new: &Embedded) {
    let mut whole = spec.packet();
    let mut train = Train::single(&mut whole).expect("sound");
    let (old_port, other) = (spec.source_port, spec.destination_port);
    train.rewrite(&Rewrite::outbound(spec.destination, new.destination, old_port, new.source_port));
    let is_echo = new.protocol == Protocol::Icmp;
    let (old, port) =
        if is_echo { (new.source_port, new.source_port) } else { (other, new.destination_port) };
    train.rewrite(&Rewrite::inbound(spec.source, new.source, old, port));
    assert_same(quoted, &whole[..quoted.len()], spec.checksum_at());
}

/// Equal, but for which of the two zeros an echo's checksum is.
fn assert_same(found: &[u8], expected: &[u8], checksum_at: usize) {
    if found == expected {
        return;
    }
    if found.len() < checksum_at + 2 {
        // Half a checksum cannot be updated.
        assert_eq!(found[..checksum_at], expected[..checksum_at]);
        return;
    }
    let without = |bytes: &[u8]| [&bytes[..checksum_at], &bytes[checksum_at + 2..]].concat();
    let zero = |bytes: &[u8]| matches!(bytes[checksum_at..checksum_at + 2], [0, 0] | [0xff, 0xff]);
    assert_eq!(without(found), without(expected));
    assert!(zero(found) && zero(expected), "{found:?}\n{expected:?}");
}

fn about(quoted: Vec<u8>) -> Error {
    let end = IpAddr::from([192, 0, 2, 1]);
    Error { from: end, to: end, kind: 3, quoted, extension: None }
}

fn quoted_udp() -> Vec<u8> {
    let mut bytes = [0; 100];
    let source = "10.0.0.1:7".parse().expect("address");
    let destination = "10.0.0.2:9".parse().expect("address");
    let len = packet::build::udp(source, destination, b"payload", &mut bytes);
    bytes[..len.expect("room")].to_vec()
}

#[test]
fn what_names_no_flow_is_refused() {
    let with = |at: usize, value: u8| {
        let mut quoted = quoted_udp();
        quoted[at] = value;
        embedded(&about(quoted).bytes())
    };
    assert!(with(8, 1).is_ok(), "another TTL");
    assert_eq!(with(0, 0x65), Err(Malformed::Quote), "the other family");
    assert_eq!(with(0, 0x44), Err(Malformed::Quote), "no header length");
    assert_eq!(with(9, 47), Err(Malformed::Quote), "another protocol");
    assert_eq!(with(7, 1), Err(Malformed::Quote), "a later fragment");
    let mut short = quoted_udp();
    short.truncate(27);
    assert_eq!(embedded(&about(short).bytes()), Err(Malformed::Quote), "7 bytes of transport");
    assert_eq!(embedded(&quoted_udp()), Err(Malformed::NotIcmpError));
}

#[test]
fn r32_the_quote_ends_where_rfc_4884_ends_it() {
    let mut quoted = quoted_udp();
    quoted[9] = 6;
    quoted[32] = 0x50;
    quoted.resize(60, 0xee);
    // Four words of TCP: where its checksum would be, the extension begins.
    let with_length = |words: u8| {
        let mut bytes = about(quoted.clone()).bytes();
        bytes[25] = words;
        bytes[22..24].fill(0);
        let checksum = !ones_complement_sum(&bytes[20..]);
        bytes[22..24].copy_from_slice(&checksum.to_be_bytes());
        bytes
    };
    let mut bytes = with_length(9);
    let found = embedded(&bytes).unwrap();
    let new = Embedded { source_port: 99, ..found };
    let end = IpAddr::from([192, 0, 2, 1]);
    rewrite_embedded(&mut bytes, end, end, &new).unwrap();
    assert_eq!(bytes[28 + 36..], [0xee; 24]);
    let mut bytes = with_length(0);
    rewrite_embedded(&mut bytes, end, end, &new).unwrap();
    assert_ne!(bytes[28 + 36..28 + 38], [0xee; 2], "without a length all of it is the quote");
    assert_eq!(embedded(&with_length(6)), Err(Malformed::Quote), "4 bytes of transport");
    assert_eq!(embedded(&with_length(16)), Ok(found), "beyond the packet: not a length");
}

#[test]
fn r32_in_icmpv6_the_length_of_the_quote_counts_by_8_bytes() {
    let mut quoted = vec![0xee; 80];
    let ends: [SocketAddr; 2] = ["[fd00::1]:7", "[fd00::2]:9"].map(|end| end.parse().unwrap());
    packet::build::tcp(ends[0], ends[1], 1, 1, TcpFlags::ACK, 9, &[0xee; 20], &mut quoted).unwrap();
    let (from, to) = (IpAddr::from([1; 16]), IpAddr::from([2; 16]));
    // Seven times eight: where the checksum of TCP would be, the extension begins.
    let error = Error { from, to, kind: 1, quoted, extension: None };
    let mut bytes = error.with_rest([7, 0, 0, 0]);
    let before = bytes.clone();

    let found = embedded(&bytes).unwrap();
    let new = Embedded { source_port: 99, ..found };
    rewrite_embedded(&mut bytes, from, to, &new).unwrap();

    assert_eq!(embedded(&bytes), Ok(new));
    assert_eq!(bytes[48 + 56..], before[48 + 56..]);
    let too_short = error.with_rest([5, 0, 0, 0]);
    assert_eq!(embedded(&too_short), Err(Malformed::Quote), "nothing of the transport");
}

#[test]
fn a_quote_is_not_turned_into_another_protocol_or_family() {
    let mut bytes = about(quoted_udp()).bytes();
    let before = bytes.clone();
    let found = embedded(&bytes).unwrap();
    let (v4, v6) = (IpAddr::from([1; 4]), IpAddr::from([1; 16]));
    let other = Embedded { protocol: Protocol::Tcp, ..found };
    assert_eq!(rewrite_embedded(&mut bytes, v4, v4, &other), Err(Malformed::Quote));
    let other = Embedded { source: v6, ..found };
    assert_eq!(rewrite_embedded(&mut bytes, v4, v4, &other), Err(Malformed::Quote));
    assert_eq!(rewrite_embedded(&mut bytes, v4, v6, &found), Err(Malformed::Quote));
    assert_eq!(bytes, before);
}

#[test]
fn r35_a_quoted_udp_packet_without_a_checksum_stays_without() {
    let mut quoted = quoted_udp();
    quoted[26..28].fill(0);
    let mut bytes = about(quoted).bytes();
    let found = embedded(&bytes).unwrap();
    let end = IpAddr::from([10, 1, 1, 1]);
    let new = Embedded { source: end, source_port: 99, ..found };
    rewrite_embedded(&mut bytes, end, end, &new).unwrap();
    assert_eq!(bytes[28 + 26..28 + 28], [0, 0]);
}
