//! RFC 5382 and RFC 7857.

use std::collections::BTreeSet;

use packet::TcpFlags;
use simulation::Side;
use tunnel::messages::InspectGateway;

use super::{REAL, source, three_names};
use crate::rig::{CLIENT, Rig, tcp};

const SYN: TcpFlags = TcpFlags::SYN;
const ACK: TcpFlags = TcpFlags::ACK;
const SYN_ACK: TcpFlags = TcpFlags(TcpFlags::SYN.0 | TcpFlags::ACK.0);
const FIN: TcpFlags = TcpFlags(TcpFlags::FIN.0 | TcpFlags::ACK.0);
const RST: TcpFlags = TcpFlags::RST;

/// Sends a segment from one side and tells whether it came out at the other.
fn passes(rig: &mut Rig, outbound: bool, proxy: std::net::IpAddr, flags: TcpFlags) -> bool {
    if outbound {
        rig.send_tcp(5000, (proxy, 80), 1, flags);
        rig.delivered(Side::Gateway).len() == 1
    } else {
        rig.send(Side::Gateway, tcp((REAL, 80), (CLIENT, 5000), 1, flags));
        rig.delivered(Side::Client).len() == 1
    }
}

#[test]
fn rfc5382_req02_every_valid_sequence_passes() {
    let out = |flags| (true, flags);
    let back = |flags| (false, flags);
    let sequences: [&[(bool, TcpFlags)]; 6] = [
        &[out(SYN), back(SYN_ACK), out(ACK), back(ACK), out(FIN), back(FIN), out(ACK)],
        &[out(SYN), back(SYN), out(SYN_ACK), back(SYN_ACK), out(ACK)],
        &[out(SYN), out(SYN), back(SYN_ACK), back(SYN_ACK), out(ACK)],
        &[out(SYN), back(SYN_ACK), out(ACK), back(FIN), out(ACK), back(ACK), out(FIN), back(ACK)],
        &[out(SYN), back(SYN_ACK), out(ACK), out(FIN), back(ACK), back(ACK), back(FIN), out(ACK)],
        &[out(SYN), back(RST), out(SYN), back(SYN_ACK), out(ACK)],
    ];
    for (number, sequence) in sequences.into_iter().enumerate() {
        let (mut rig, proxies) = three_names();
        for (at, (outbound, flags)) in sequence.iter().enumerate() {
            assert!(passes(&mut rig, *outbound, proxies[0], *flags), "{number}: {at}");
        }
    }
}

#[test]
fn rfc5382_req03_only_the_host_and_port_that_was_asked_may_answer() {
    let (mut rig, proxies) = three_names();
    assert!(passes(&mut rig, true, proxies[0], SYN));
    for (from, port, to) in [([10, 77, 0, 12], 80, 5000), (REAL, 81, 5000), (REAL, 80, 5001)] {
        rig.send(Side::Gateway, tcp((from, port), (CLIENT, to), 1, SYN_ACK));
    }
    assert!(rig.delivered(Side::Client).is_empty());
}

#[test]
fn rfc5382_req04_an_unsolicited_syn_is_dropped_and_not_answered() {
    let (mut rig, _) = three_names();
    for second in 0..7 {
        rig.advance(1000 + second * 1000);
        assert!(!passes(&mut rig, false, REAL.into(), SYN));
    }
    assert!(rig.delivered(Side::Gateway).is_empty());
}

#[test]
fn rfc5382_req05_established_lives_2_h_4_min_and_all_else_4_min() {
    // What was seen, and the seconds that it lives on.
    let cases: [(&[(bool, TcpFlags)], u64); 4] = [
        (&[(true, SYN), (false, SYN_ACK), (true, ACK)], 7440),
        (&[(true, SYN)], 240),
        (&[(true, SYN), (false, SYN_ACK), (true, FIN), (false, FIN)], 240),
        (&[(true, SYN), (false, SYN_ACK), (true, ACK), (false, RST)], 240),
    ];
    for (sequence, seconds) in cases {
        for (wait, lives) in [(seconds * 1000 - 1, true), (seconds * 1000 + 1, false)] {
            let (mut rig, proxies) = three_names();
            for (outbound, flags) in sequence {
                assert!(passes(&mut rig, *outbound, proxies[0], *flags));
            }
            rig.advance(100 + wait);
            assert_eq!(passes(&mut rig, false, proxies[0], ACK), lives, "{sequence:?}, {wait} ms");
        }
    }
}

#[test]
fn rfc5382_req07_no_port_is_used_twice_towards_one_host() {
    let (mut rig, proxies) = three_names();
    for port in 5000..5200 {
        for proxy in proxies {
            rig.send_tcp(port, (proxy, 80), 1, SYN);
        }
    }
    let arrived = rig.delivered(Side::Gateway);
    let outside: BTreeSet<_> = arrived.iter().map(|packet| source(packet)).collect();
    assert_eq!((arrived.len(), outside.len()), (600, 600));
}

#[test]
fn rfc5382_req10_and_rfc7857_tracking_errors_and_resets_cut_nothing_off() {
    let (mut rig, proxies) = three_names();
    for (outbound, flags) in [(true, SYN), (false, SYN_ACK), (true, ACK)] {
        assert!(passes(&mut rig, outbound, proxies[0], flags));
    }
    // A reset that neither end takes, for it is not in the window, passes and ends nothing.
    assert!(passes(&mut rig, false, proxies[0], RST));
    rig.advance(200_000);
    assert!(passes(&mut rig, true, proxies[0], ACK), "and a later segment undoes it");
    rig.advance(7_000_000);
    assert!(passes(&mut rig, false, proxies[0], ACK));
    assert_eq!(rig.gateway_rows(InspectGateway::Flows).len(), 1);
}

#[test]
fn rfc7857_tracking_a_syn_on_a_closing_connection_begins_another() {
    let (mut rig, proxies) = three_names();
    for (outbound, flags) in [(true, SYN), (false, SYN_ACK), (true, FIN), (false, FIN)] {
        assert!(passes(&mut rig, outbound, proxies[0], flags));
    }
    assert!(passes(&mut rig, true, proxies[0], SYN));
    assert_eq!(rig.gateway_counters()["flows"]["superseded"], 1);
}

#[test]
fn rfc7857_randomisation_ports_are_random_where_they_collide_and_nowhere_else() {
    let (mut rig, proxies) = three_names();
    let mut found = Vec::new();
    for port in 5000..5100 {
        for proxy in &proxies[..2] {
            rig.send_tcp(port, (*proxy, 80), 1, SYN);
        }
        let arrived = rig.delivered(Side::Gateway);
        assert!(source(&arrived[0]).1 == port || found.contains(&port));
        found.push(source(&arrived[1]).1);
    }
    let steps: BTreeSet<_> = found.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert!(steps.len() > 90, "no step is seen twice, or hardly: {}", steps.len());
}
