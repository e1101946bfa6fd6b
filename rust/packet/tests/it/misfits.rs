//! Trains that cannot be, or only just; marks and resets.

use packet::{MAX_PACKET, Malformed, TcpFlags, Train, Transport, build, parse, verify};

fn tcp(flags: TcpFlags, payload: usize, into: &mut [u8]) -> usize {
    let source = "10.0.0.1:7".parse().expect("address");
    let destination = "10.0.0.2:9".parse().expect("address");
    let len = build::tcp(source, destination, 100, 200, flags, 300, &vec![7; payload], into);
    len.expect("room")
}

fn super_packet(flags: TcpFlags, payload: usize, size: u16) -> Result<usize, Malformed> {
    let mut bytes = [0; 66_000];
    let len = tcp(flags, payload, &mut bytes);
    Train::super_packet(&mut bytes[..len], size).map(|train| train.segments())
}

#[test]
fn super_packets_are_bounded_by_their_segments_not_their_length() {
    assert_eq!(super_packet(TcpFlags::ACK, 65_495, 1240), Ok(53));
    assert_eq!(super_packet(TcpFlags::ACK, 65_495, 1241), Err(Malformed::TooLong));
    assert_eq!(super_packet(TcpFlags::ACK, 1240, 0), Ok(1));
    assert_eq!(super_packet(TcpFlags::ACK, 1241, 0), Err(Malformed::TooLong));
    assert_eq!(super_packet(TcpFlags::ACK, 100, u16::MAX), Ok(1));
    assert_eq!(super_packet(TcpFlags::ACK, 0, 1240), Ok(1));
    assert_eq!(super_packet(TcpFlags::ACK, 40_000, 1), Ok(40_000));
}

#[test]
fn flags_of_one_segment_alone_are_not_spread_over_many() {
    for flag in [TcpFlags::SYN, TcpFlags::RST, TcpFlags::URG] {
        let flags = TcpFlags::ACK | flag;
        assert_eq!(super_packet(flags, 2000, 1000), Err(Malformed::NotSegmentable));
        assert_eq!(super_packet(flags, 1000, 1000), Ok(1));
    }
}

#[test]
fn only_tcp_and_udp_have_super_packets() {
    let mut bytes = [0; 3000];
    let (source, destination) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    let len = build::echo(source, destination, 1, 1, true, &[0; 2000], &mut bytes).unwrap();
    let error = Train::super_packet(&mut bytes[..len], 1000).map(|_| ());
    assert_eq!(error, Err(Malformed::NotSegmentable));
}

#[test]
fn a_run_is_about_packets_that_are_there() {
    let mut bytes = [0; 200];
    let len = tcp(TcpFlags::ACK, 10, &mut bytes) as u32;
    let mut run = |ranges: &[(u32, u32)]| Train::run(&mut bytes, ranges).map(|(_, taken)| taken);
    assert_eq!(run(&[]), Err(Malformed::Truncated));
    assert_eq!(run(&[(u32::MAX, u32::MAX)]), Err(Malformed::Truncated));
    assert_eq!(run(&[(190, 20)]), Err(Malformed::Truncated));
    assert_eq!(run(&[(0, len - 1)]), Err(Malformed::LengthMismatch));
    assert_eq!(run(&[(0, len), (u32::MAX, 1)]), Ok(1), "nothing there");
}

#[test]
fn ranges_that_overlap_are_no_run() {
    let mut bytes = [0; 200];
    let (source, destination) = ("10.0.0.1:7".parse().unwrap(), "10.0.0.2:9".parse().unwrap());
    let len = build::udp(source, destination, b"again", &mut bytes).unwrap();
    bytes.copy_within(..len, len);
    let len = len as u32;
    let mut run = |ranges: &[(u32, u32)]| Train::run(&mut bytes, ranges).map(|(_, taken)| taken);
    assert_eq!(run(&[(0, len), (len, len)]), Ok(2));
    assert_eq!(run(&[(0, len), (0, len)]), Ok(1));
    assert_eq!(run(&[(len, len), (0, len)]), Ok(1));
}

#[test]
fn a_run_fits_one_super_packet() {
    let (mut buffer, mut ranges) = (vec![0; 100_000], Vec::new());
    let (source, destination) = ("10.0.0.1:7".parse().unwrap(), "10.0.0.2:9".parse().unwrap());
    let mut end = 0;
    for i in 0..60u32 {
        let into = &mut buffer[end..];
        let payload = [i as u8; 1240];
        let len = build::tcp(source, destination, i * 1240, 1, TcpFlags::ACK, 9, &payload, into);
        ranges.push((end as u32, len.unwrap() as u32));
        end += len.unwrap();
    }
    let (train, taken) = Train::run(&mut buffer, &ranges).unwrap();
    assert_eq!((taken, train.total_bytes()), (52, 52 * 1280));
    let mut header = [0; 40];
    assert_eq!(train.write_super_header(&mut header), 40);
    assert_eq!(u16::from_be_bytes([header[2], header[3]]), 40 + 52 * 1240);
    assert_eq!(train.write_super_header(&mut header[1..]), 0, "no room");
    assert_eq!(train.write_segment(3, &mut [0; 1279]), 0, "no room");
    assert_eq!((train.segment_len(52), train.payload(52)), (0, &[][..]));
}

#[test]
fn congestion_is_told_to_flows_that_understand_it() {
    for (source, destination) in
        [("10.0.0.1:7", "10.0.0.2:9"), ("[2001:db8::1]:7", "[2001:db8::2]:9")]
    {
        let mut bytes = [0; 100];
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let len = build::udp(source, destination, b"x", &mut bytes).unwrap();
        for (ecn, expected) in [(0, 0), (1, 3), (2, 3), (3, 3)] {
            let mut bytes = bytes;
            if source.is_ipv4() {
                bytes[1] = 0xb8 | ecn;
                let checksum = checksum_of(&bytes[..20]);
                bytes[10..12].copy_from_slice(&checksum);
            } else {
                (bytes[0], bytes[1]) = (0x6b, 0x85 | ecn << 4);
            }
            let mut train = Train::single(&mut bytes[..len]).unwrap();
            assert_eq!(train.summary().ecn, ecn);
            train.mark_congested();
            let summary = *train.summary();
            assert_eq!(parse(&bytes[..len]), Ok(summary));
            assert_eq!(summary.ecn, expected);
            assert!(verify(&bytes[..len], &summary));
        }
    }
}

fn checksum_of(header: &[u8]) -> [u8; 2] {
    let mut header = header.to_vec();
    header[10..12].fill(0);
    (!crate::spec::ones_complement_sum(&header)).to_be_bytes()
}

#[test]
fn resets_are_those_of_rfc_9293() {
    let (mut bytes, mut answer) = ([0; MAX_PACKET], [0; MAX_PACKET]);
    let mut reset = |flags, payload| {
        let len = tcp(flags, payload, &mut bytes);
        let len = build::reset(&bytes[..len], &mut answer)?;
        let summary = parse(&answer[..len]).unwrap();
        assert!(verify(&answer[..len], &summary));
        assert_eq!(summary.source.to_string(), "10.0.0.2");
        let Transport::Tcp { source, destination, sequence, flags } = summary.transport else {
            panic!("not TCP");
        };
        assert_eq!((source, destination), (9, 7));
        let acknowledgement = u32::from_be_bytes([answer[28], answer[29], answer[30], answer[31]]);
        Some((flags, sequence, acknowledgement))
    };
    let both = TcpFlags::RST | TcpFlags::ACK;
    assert_eq!(reset(TcpFlags::ACK, 10), Some((TcpFlags::RST, 200, 0)));
    assert_eq!(reset(TcpFlags::SYN, 0), Some((both, 0, 101)));
    assert_eq!(reset(TcpFlags::PSH | TcpFlags::FIN, 10), Some((both, 0, 111)));
    assert_eq!(reset(both, 0), None);
    assert_eq!(build::reset(&[0x45; 30], &mut [0; 100]), None);
}

#[test]
fn r30_the_summary_of_a_run_has_the_flags_of_all_its_packets() {
    let (from, to) = ("10.0.0.1:1000".parse().unwrap(), "10.0.0.2:80".parse().unwrap());
    let mut buffer = vec![0; 1000];
    let fin = TcpFlags::ACK | TcpFlags::FIN;
    let first = build::tcp(from, to, 1, 5, TcpFlags::ACK, 100, &[1; 100], &mut buffer).unwrap();
    let second = build::tcp(from, to, 101, 5, fin, 100, &[2; 50], &mut buffer[first..]).unwrap();
    let packets = [(0, first as u32), (first as u32, second as u32)];

    let (train, taken) = Train::run(&mut buffer, &packets).unwrap();

    assert_eq!(taken, 2);
    let Transport::Tcp { flags, sequence, .. } = train.summary().transport else { panic!("TCP") };
    assert_eq!((flags, sequence), (fin, 1));
    let mut segment = [0; 200];
    train.write_segment(0, &mut segment);
    assert_eq!(TcpFlags(segment[33]), TcpFlags::ACK, "each packet keeps its own");
}
