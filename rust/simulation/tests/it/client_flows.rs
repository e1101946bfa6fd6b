//! The Client's flows: each keeps its Gateway while that lives, and is told when it is lost.

use std::net::IpAddr;

use nat::control::GatewayId;
use packet::{TcpFlags, Transport, build, icmp, parse};
use tunnel::messages::{ClientCommand, InspectClient};

use crate::liveness::Two;
use crate::rig::{addresses, icmp as kind, tcp, udp};
use crate::several::address_of;

const ESTABLISHED: TcpFlags = TcpFlags::ACK;

impl Two {
    fn client_address(&self) -> IpAddr {
        address_of(self.client)
    }

    /// A segment of the application.
    fn segment(&mut self, port: u16, sequence: u32, acknowledged: u32, flags: TcpFlags) {
        let mut packet = vec![0; 1280];
        let (from, to) =
            ((self.client_address(), port).into(), (IpAddr::from(self.proxy), 443).into());
        let len = build::tcp(from, to, sequence, acknowledged, flags, 100, b"data", &mut packet);
        packet.truncate(len.expect("it fits"));
        self.several.send(self.client, packet);
    }

    /// A connection through the first Gateway that has sent and received; its application waits for
    /// number 5005.
    fn connect(&mut self, port: u16) {
        self.segment(port, 100, 0, TcpFlags::SYN);
        let now = self.several.world.now();
        self.several.advance_by(crate::rig::millis(10));
        assert!(self.several.world.now() > now);
        let arrived = self.several.handed(self.gateways[0]);
        let (source, real) = addresses(&arrived[0]);
        let answer = tcp((real, 443), (source, port), 5000, TcpFlags::SYN | TcpFlags::ACK);
        self.several.send(self.gateways[0], answer);
        self.several.advance_by(crate::rig::millis(10));
        assert_eq!(self.several.handed(self.client).len(), 1);
        self.segment(port, 105, 5005, ESTABLISHED);
        self.several.advance_by(crate::rig::millis(10));
        assert_eq!(self.several.handed(self.gateways[0]).len(), 1);
    }

    /// The first Gateway is killed, found out, and replaced.
    fn fail_over(&mut self) {
        self.kill();
        self.several.advance_by(crate::rig::millis(10_000));
        self.move_on();
        self.several.advance_by(crate::rig::millis(10));
    }
}

/// Flags, sequence and acknowledgement number of a segment.
fn numbers(packet: &[u8]) -> (TcpFlags, u32, u32) {
    let summary = parse(packet).expect("valid");
    let Transport::Tcp { flags, sequence, .. } = summary.transport else { panic!("no segment") };
    let at = usize::from(summary.transport_offset) + 8;
    let acknowledged = packet[at..].first_chunk().copied().map(u32::from_be_bytes);
    (flags, sequence, acknowledged.expect("four bytes"))
}

#[test]
fn a_connection_of_a_dead_gateway_is_reset_with_the_number_that_its_application_waits_for() {
    let mut two = Two::new();
    two.connect(6000);
    two.segment(6000, 109, 5005, ESTABLISHED);
    two.fail_over();

    let handed = two.several.handed(two.client);
    assert_eq!(handed.len(), 1);
    assert_eq!(addresses(&handed[0]), (two.proxy.into(), two.client_address()));
    assert_eq!(numbers(&handed[0]), (TcpFlags::RST, 5005, 0));
    assert!(packet::verify(&handed[0], &parse(&handed[0]).expect("valid")));
}

#[test]
fn an_application_that_missed_the_reset_is_told_again_and_a_new_connection_goes_elsewhere() {
    let mut two = Two::new();
    two.connect(6000);
    two.segment(6000, 109, 5005, ESTABLISHED);
    two.fail_over();
    two.several.handed(two.client);

    two.segment(6000, 113, 5009, ESTABLISHED);
    two.several.advance_by(crate::rig::millis(10));
    let handed = two.several.handed(two.client);
    assert_eq!(numbers(&handed[0]), (TcpFlags::RST, 5009, 0), "by its own number (RFC 9293)");
    assert!(two.several.handed(two.gateways[1]).is_empty());

    two.segment(6000, 900, 0, TcpFlags::SYN);
    two.several.advance_by(crate::rig::millis(10));
    assert_eq!(two.several.handed(two.gateways[1]).len(), 1);
}

#[test]
fn a_connection_that_was_never_answered_is_not_reset_and_its_next_syn_goes_elsewhere() {
    let mut two = Two::new();
    two.kill();
    two.segment(6000, 100, 0, TcpFlags::SYN);
    two.fail_over();
    assert!(two.several.handed(two.client).is_empty());

    two.segment(6000, 100, 0, TcpFlags::SYN);
    two.several.advance_by(crate::rig::millis(10));

    assert_eq!(two.several.handed(two.gateways[1]).len(), 1);
}

#[test]
fn a_datagram_flow_of_a_dead_gateway_is_told_by_icmp_once_and_goes_elsewhere() {
    let mut two = Two::new();
    two.datagram(7000, b"there");
    two.several.advance_by(crate::rig::millis(10));
    let (source, real) = addresses(&two.several.handed(two.gateways[0])[0]);
    two.several.send(two.gateways[0], udp((real, 80), (source, 7000), b"back"));
    two.several.advance_by(crate::rig::millis(10));
    two.several.handed(two.client);
    two.kill();
    two.datagram(7000, b"lost");
    two.fail_over();

    let handed = two.several.handed(two.client);
    assert_eq!(handed.len(), 1);
    assert_eq!(kind(&handed[0]), (4, 3, 0));
    let quoted = icmp::embedded(&handed[0]).expect("a quote");
    assert_eq!((quoted.source_port, quoted.destination), (7000, two.proxy.into()));
    two.datagram(7000, b"again");
    two.several.advance_by(crate::rig::millis(10));
    assert_eq!(two.several.handed(two.gateways[1]).len(), 1);
    assert!(two.several.handed(two.client).is_empty());
}

#[test]
fn a_flow_stays_with_a_gateway_that_lives_when_its_resource_moves_on() {
    let mut two = Two::new();
    two.connect(6000);
    two.move_on();

    two.segment(6000, 109, 5005, ESTABLISHED);
    two.segment(6001, 1, 0, TcpFlags::SYN);
    two.several.advance_by(crate::rig::millis(10));

    assert_eq!(two.several.handed(two.gateways[0]).len(), 1, "the old flow");
    assert_eq!(two.several.handed(two.gateways[1]).len(), 1, "the new one");
    let back = tcp(([10, 1, 0, 1], 443), (two.client_address(), 6000), 5005, ESTABLISHED);
    two.several.send(two.gateways[0], back);
    two.several.advance_by(crate::rig::millis(10));
    assert_eq!(two.several.handed(two.client).len(), 1, "and its answers come back");
}

#[test]
fn a_gateway_that_is_removed_for_good_takes_its_connections_along_at_once() {
    let mut two = Two::new();
    two.connect(6000);

    let gateway = GatewayId(two.gateways[0] as u128);
    two.several.client(two.client, ClientCommand::RemoveGateway { gateway });
    two.several.advance_by(crate::rig::millis(1));

    assert_eq!(numbers(&two.several.handed(two.client)[0]), (TcpFlags::RST, 5005, 0));
}

#[test]
fn another_gateway_does_not_speak_for_a_flow() {
    let mut two = Two::new();
    two.connect(6000);
    let rows = two.several.inspect(two.client, InspectClient::Flows);
    let before = rows[0]["received_packets"].clone();
    // The second Gateway has a flow of the same tuple, and its site answers on it.
    let client = two.client_address();
    two.several.send(two.gateways[1], tcp(([10, 2, 0, 1], 443), (client, 6000), 1, ESTABLISHED));
    two.several.advance_by(crate::rig::millis(10));

    let rows = two.several.inspect(two.client, InspectClient::Flows);
    assert_eq!(rows[0]["received_packets"], before);
    assert!(two.several.handed(two.client).is_empty());
}

#[test]
fn bytes_of_a_flow_are_counted_both_ways() {
    let mut two = Two::new();
    two.connect(6000);

    let rows = two.several.inspect(two.client, InspectClient::Flows);

    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((&row["protocol"], &row["port"]), (&"tcp".into(), &6000.into()));
    assert_eq!((&row["sent_packets"], &row["sent_bytes"]), (&2.into(), &88.into()));
    assert_eq!((&row["received_packets"], &row["received_bytes"]), (&1.into(), &44.into()));
    assert_eq!(row["name"], crate::liveness::NAME);
    assert_eq!(row["gateway"], "00000000-0000-0000-0000-000000000000");
}

#[test]
fn flows_are_bounded_and_beyond_the_bound_packets_pass_all_the_same() {
    let mut two = Two::new();
    for port in 0..=u16::MAX {
        for remote in [80, 81] {
            let packet = udp((two.client_address(), port), (two.proxy, remote), b"x");
            two.several.send(two.client, packet);
        }
        if port % 512 == 0 {
            two.several.handed(two.gateways[0]);
        }
    }

    let counters = two.several.inspect(two.client, InspectClient::Counters);
    assert_eq!(counters[0]["flows"]["live"], 65_536);
    assert_eq!(counters[0]["forwarded"], 2 * 65_536);
}

#[test]
fn r30_a_flow_of_the_client_ends_by_the_times_of_the_gateways() {
    let mut two = Two::new();
    two.connect(6000);
    two.datagram(7000, b"x");
    let live = |two: &mut Two| {
        two.several.inspect(two.client, InspectClient::Counters)[0]["flows"]["live"].clone()
    };
    let began = two.several.world.now();
    two.several.advance_by(crate::rig::millis(299_000));
    assert_eq!(live(&mut two), 2);
    two.several.advance_by(crate::rig::millis(2_500));
    assert_eq!(live(&mut two), 1);

    two.several.advance_by(crate::rig::millis(7_440_000 - 301_500 - 1000));
    assert_eq!(live(&mut two), 1);
    two.several.advance_by(crate::rig::millis(3000));

    assert_eq!(live(&mut two), 0);
    assert!(two.several.world.now() > began);
}
