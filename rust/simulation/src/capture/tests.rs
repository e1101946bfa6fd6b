//! Generated captures with planted faults: each is found, and nothing else.

use std::io::Cursor;
use std::net::{IpAddr, SocketAddr};

use packet::TcpFlags;
use pcap_file::pcap::{PcapHeader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, Endianness, TsResolution};

use super::{Direction, Fate, Report, Window, compare};

const SNAP: usize = 128;
const MILLISECOND: u64 = 1_000_000;
const PAYLOAD: usize = 1000;

#[derive(Clone)]
struct Sent {
    at: u64,
    bytes: Vec<u8>,
}

/// A connection, at the Client as `inside` and at the Gateway as `outside`.
#[derive(Clone, Copy)]
struct Ends {
    inside: [SocketAddr; 2],
    outside: [SocketAddr; 2],
}

fn ends(v6: bool, port: u16) -> Ends {
    let parse = |text: &str, port| SocketAddr::new(text.parse::<IpAddr>().unwrap(), port);
    if v6 {
        let client = "fd00:2021:1111::1";
        Ends {
            inside: [parse(client, port), parse("fd00:2021:1111:8000::5", 80)],
            outside: [parse(client, port + 1), parse("fd77::11", 80)],
        }
    } else {
        Ends {
            inside: [parse("100.64.0.1", port), parse("100.96.0.5", 80)],
            outside: [parse("100.64.0.1", port), parse("10.77.0.11", 80)],
        }
    }
}

fn segment(
    [from, to]: [SocketAddr; 2],
    seq: u32,
    ack: u32,
    flags: TcpFlags,
    data: &[u8],
) -> Vec<u8> {
    let mut packet = vec![0; 2048];
    let len = packet::build::tcp(from, to, seq, ack, flags, 500, data, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

fn swapped([a, b]: [SocketAddr; 2]) -> [SocketAddr; 2] {
    [b, a]
}

/// Both captures of one upload: handshake, `count` segments a millisecond apart, each acknowledged.
struct Run {
    client: Vec<Sent>,
    gateway: Vec<Sent>,
    ends: Ends,
}

impl Run {
    fn upload(v6: bool, port: u16, count: u32) -> Self {
        let mut run = Self { client: vec![], gateway: vec![], ends: ends(v6, port) };
        let first = u32::MAX - 3000; // wraps soon
        run.up(0, first, 0, TcpFlags::SYN, &[]);
        run.down(1, 7, first.wrapping_add(1), TcpFlags::SYN | TcpFlags::ACK);
        for i in 0..count {
            let seq = first.wrapping_add(1).wrapping_add(i * PAYLOAD as u32);
            let at = 2 + u64::from(i);
            run.up(at, seq, 8, TcpFlags::ACK, &[i as u8; PAYLOAD]);
            run.down(at, 8, seq.wrapping_add(PAYLOAD as u32), TcpFlags::ACK);
        }
        run
    }

    fn up(&mut self, at: u64, seq: u32, ack: u32, flags: TcpFlags, data: &[u8]) {
        let at = at * MILLISECOND;
        let Ends { inside, outside } = self.ends;
        self.client.push(Sent { at, bytes: segment(inside, seq, ack, flags, data) });
        self.gateway.push(Sent { at: at + 1, bytes: segment(outside, seq, ack, flags, data) });
    }

    fn down(&mut self, at: u64, seq: u32, ack: u32, flags: TcpFlags) {
        let at = at * MILLISECOND + 10;
        let (inside, outside) = (swapped(self.ends.inside), swapped(self.ends.outside));
        self.gateway.push(Sent { at, bytes: segment(outside, seq, ack, flags, &[]) });
        self.client.push(Sent { at: at + 1, bytes: segment(inside, seq, ack, flags, &[]) });
    }

    /// Position at the Gateway of the data segment with this number.
    fn data(&self, number: usize) -> usize {
        let mut data = self.gateway.iter().enumerate().filter(|(_, s)| s.bytes.len() > PAYLOAD);
        data.nth(number).unwrap().0
    }

    fn compare(&self, end: Option<u64>) -> Report {
        self.compare_within(Window { begin: None, end })
    }

    fn compare_within(&self, window: Window) -> Report {
        let (client, gateway) = (pcap(&self.client), pcap(&self.gateway));
        compare(Cursor::new(client), Cursor::new(gateway), Direction::Up, window).unwrap()
    }
}

fn pcap(frames: &[Sent]) -> Vec<u8> {
    let header = PcapHeader {
        version_major: 2,
        version_minor: 4,
        ts_correction: 0,
        ts_accuracy: 0,
        snaplen: SNAP as u32,
        datalink: DataLink::RAW,
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
    };
    let mut writer = PcapWriter::with_header(Vec::new(), header).unwrap();
    for Sent { at, bytes } in frames {
        let captured = &bytes[..bytes.len().min(SNAP)];
        let packet = RawPcapPacket {
            ts_sec: (at / 1_000_000_000) as u32,
            ts_frac: (at % 1_000_000_000) as u32,
            incl_len: captured.len() as u32,
            orig_len: bytes.len() as u32,
            data: captured.into(),
        };
        writer.write_raw_packet(&packet).unwrap();
    }
    writer.into_writer()
}

fn faults(fate: &Fate) -> [u64; 6] {
    let Fate { lost, duplicated, reordered, misdirected, unexpected, resets, .. } = *fate;
    [lost, duplicated, reordered, misdirected, unexpected, resets]
}

#[test]
fn a_run_without_faults_has_none_in_both_families_and_across_sequence_wrap() {
    for v6 in [false, true] {
        let report = Run::upload(v6, 40_000, 100).compare(None);

        assert_eq!(faults(&report.transfer), [0; 6]);
        assert_eq!(report.transfer.in_flight, 0);
        let Ends { inside, outside } = ends(v6, 40_000);
        assert_eq!((report.inside, report.outside), (inside, outside));
        assert_eq!(report.rate.bytes, 100 * PAYLOAD as u64);
        assert_eq!(report.rate.gaps, 99);
        assert_eq!(report.rate.longest_gap, MILLISECOND);
        assert_eq!(report.rate.series.iter().sum::<u64>(), report.rate.bytes);
        assert_eq!(report.rate.series.len(), 10);
    }
}

#[test]
fn a_planted_loss_is_found_and_shows_as_a_gap() {
    let mut run = Run::upload(false, 40_000, 100);
    run.gateway.remove(run.data(50));

    let report = run.compare(None);

    assert_eq!(faults(&report.transfer), [1, 0, 0, 0, 0, 0]);
    assert_eq!(report.rate.longest_gap, 2 * MILLISECOND);
    assert_eq!(report.rate.gap_p9999, 2 * MILLISECOND);
}

#[test]
fn a_lost_acknowledgement_is_found_too() {
    let mut run = Run::upload(true, 40_000, 100);
    let acknowledgement = run.client.iter().position(|s| s.at == 30 * MILLISECOND + 11).unwrap();
    run.client.remove(acknowledgement);

    assert_eq!(faults(&run.compare(None).transfer), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_planted_duplicate_is_found() {
    let mut run = Run::upload(false, 40_000, 100);
    let at = run.data(20);
    run.gateway.insert(at + 1, run.gateway[at].clone());

    assert_eq!(faults(&run.compare(None).transfer), [0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_retransmission_by_the_sender_is_no_duplicate() {
    let mut run = Run::upload(false, 40_000, 100);
    for (trace, at) in [(&mut run.client, 0), (&mut run.gateway, 1)] {
        let mut again = trace.iter().rfind(|s| s.bytes.len() > PAYLOAD).unwrap().clone();
        again.at = 300 * MILLISECOND + at;
        trace.push(again);
    }

    let report = run.compare(None);

    assert_eq!(faults(&report.transfer), [0; 6]);
    assert_eq!(report.rate.bytes, 100 * PAYLOAD as u64);
}

#[test]
fn a_planted_reordering_is_found() {
    let mut run = Run::upload(true, 40_000, 100);
    let (a, b) = (run.data(20), run.data(21));
    run.gateway.swap(a, b);

    assert_eq!(faults(&run.compare(None).transfer), [0, 0, 1, 0, 0, 0]);
}

#[test]
fn a_segment_that_leaves_to_another_address_is_misdirected() {
    let mut run = Run::upload(false, 40_000, 100);
    let at = run.data(20);
    run.gateway[at].bytes[19] = 12; // 10.77.0.12

    assert_eq!(faults(&run.compare(None).transfer), [0, 0, 0, 1, 0, 0]);
}

#[test]
fn another_payload_in_the_same_segment_is_misdirected() {
    let mut run = Run::upload(false, 40_000, 100);
    let at = run.data(20);
    run.gateway[at].bytes[45] ^= 1;

    assert_eq!(faults(&run.compare(None).transfer), [0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_segment_that_nobody_sent_and_a_reset_are_found() {
    let mut run = Run::upload(false, 40_000, 100);
    let bytes = segment(swapped(run.ends.inside), 8, 9, TcpFlags::RST | TcpFlags::ACK, &[]);
    run.client.push(Sent { at: 200 * MILLISECOND, bytes });

    assert_eq!(faults(&run.compare(None).transfer), [0, 0, 0, 0, 1, 1]);
    // Behind the end that was meant, a reset is how an application hangs up.
    assert_eq!(faults(&run.compare(Some(150 * MILLISECOND)).transfer), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn what_is_under_way_at_the_end_is_not_lost_but_what_was_overtaken_is() {
    let mut run = Run::upload(false, 40_000, 100);
    run.gateway.remove(run.data(99));
    let report = run.compare(None);
    assert_eq!((report.transfer.lost, report.transfer.in_flight), (0, 1));

    run.gateway.remove(run.data(97));
    let report = run.compare(None);
    assert_eq!((report.transfer.lost, report.transfer.in_flight), (1, 1));
}

#[test]
fn what_never_left_for_longer_than_the_grace_is_lost_though_nothing_overtook_it() {
    let mut run = Run::upload(false, 40_000, 100);
    run.gateway.remove(run.data(99));
    let mut other = Run::upload(false, 50_000, 1);
    for trace in [&mut other.client, &mut other.gateway] {
        trace.iter_mut().for_each(|sent| sent.at += 5_000 * MILLISECOND);
    }
    run.client.extend(other.client);
    run.gateway.extend(other.gateway);

    let report = run.compare(None);

    assert_eq!(faults(&report.transfer), [1, 0, 0, 0, 0, 0]);
    assert_eq!(faults(&report.others), [0; 6]);
}

#[test]
fn faults_of_another_connection_are_told_apart() {
    let mut run = Run::upload(false, 40_000, 100);
    let mut other = Run::upload(false, 50_000, 10);
    other.gateway.remove(other.data(5));
    run.client.extend(other.client);
    run.gateway.extend(other.gateway);

    let report = run.compare(None);

    assert_eq!(report.flows, 2);
    assert_eq!(faults(&report.transfer), [0; 6]);
    assert_eq!(faults(&report.others), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_first_set_up_may_hold_and_replace_the_syn() {
    let mut run = Run::upload(false, 40_000, 100);
    run.gateway.remove(0);
    let syn = run.client[0].clone();
    run.client.insert(1, syn);

    assert_eq!(faults(&run.compare(None).transfer), [0; 6]);
}

#[test]
fn silence_before_the_end_is_a_gap() {
    let run = Run::upload(false, 40_000, 100);

    let report = run.compare(Some(5_101 * MILLISECOND + 1));

    assert_eq!(report.rate.longest_gap, 5_000 * MILLISECOND);
}

#[test]
fn gaps_before_the_window_do_not_count_but_bytes_do() {
    let mut run = Run::upload(false, 40_000, 100);
    run.gateway.remove(run.data(50));

    let begin = Some(60 * MILLISECOND);
    let report = run.compare_within(Window { begin, end: None });

    assert_eq!(report.rate.longest_gap, MILLISECOND);
    assert_eq!(report.rate.bytes, 99 * PAYLOAD as u64);
    assert_eq!(report.transfer.lost, 1);
}

#[test]
fn long_captures_are_compared() {
    let run = Run::upload(false, 40_000, 187_500);

    let report = run.compare(None);

    assert_eq!(report.frames, [375_002; 2]);
    assert_eq!(faults(&report.transfer), [0; 6]);
}

#[test]
fn captures_that_cannot_be_compared_are_an_error() {
    let empty = pcap(&[]);
    let nothing =
        compare(Cursor::new(empty.clone()), Cursor::new(empty), Direction::Up, Window::default())
            .unwrap_err();
    assert!(nothing.to_string().contains("no connection"), "{nothing}");

    let garbage =
        compare(Cursor::new([7; 64]), Cursor::new([7; 64]), Direction::Up, Window::default());
    assert!(garbage.unwrap_err().to_string().contains("cannot be read"));
}

/// What a device with offloads shows: `count` segments of full size and `rest` bytes as one frame.
fn joined(ends: [SocketAddr; 2], seq: u32, flags: TcpFlags, count: usize, rest: usize) -> Vec<u8> {
    let mut frame = segment(ends, seq, 8, flags, &[]);
    let headers = frame.len();
    let payload = count * (packet::MAX_PACKET - headers) + rest;
    frame.resize(headers + payload, 7);
    let v6 = ends[0].is_ipv6();
    let len = if v6 { headers + payload - 40 } else { headers + payload } as u16;
    let at = if v6 { 4 } else { 2 };
    frame[at..at + 2].copy_from_slice(&len.to_be_bytes());
    frame
}

#[test]
fn segments_that_a_device_shows_as_one_frame_are_told_apart() {
    for v6 in [false, true] {
        let mut run = Run::upload(v6, 40_000, 3);
        let (inside, outside) = (run.ends.inside, run.ends.outside);
        let size = packet::MAX_PACKET - if v6 { 60 } else { 40 };
        let seq = |number: usize| 50_000 + (number * size) as u32;
        let (ack, push) = (TcpFlags::ACK, TcpFlags::ACK | TcpFlags::PSH);
        let at = 20 * MILLISECOND;
        run.client.push(Sent { at, bytes: joined(inside, seq(0), push, 40, 9) });
        for (first, count, rest, flags) in [(0, 15, 0, ack), (15, 1, 0, ack), (17, 23, 9, push)] {
            let bytes = joined(outside, seq(first), flags, count, rest);
            run.gateway.push(Sent { at: at + 1, bytes });
        }
        run.down(21, 8, seq(41), TcpFlags::ACK);

        let transfer = run.compare(None).transfer;

        // What came before the connection was answered is not judged.
        let lone = 3 + 3 + 1;
        assert_eq!((transfer.matched, transfer.lost), (lone + 40, 1), "{transfer:?}");
        let wrong = transfer.unexpected + transfer.duplicated + transfer.misdirected;
        assert_eq!(wrong + transfer.reordered, 0, "{transfer:?}");
    }
}
