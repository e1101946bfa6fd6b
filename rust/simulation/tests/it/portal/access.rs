//! Access that a portal gives and takes away.

use std::time::Duration;

use nat::control::ClientId;
use packet::TcpFlags;
use tunnel::messages::{
    AccessUntil, ClientCommand, ClientEvent, Event, GatewayCommand, GatewayEvent, InspectGateway,
};

use crate::portal::{CLIENT, FIRST, Portal, SECOND, WALL, unix};
use crate::rig::{at, icmp};

const WHO: ClientId = ClientId(0);
/// IPv4, destination unreachable, administratively prohibited.
const PROHIBITED: (u8, u8, u8) = (4, 3, 13);

fn revoke(portal: &mut Portal, resource: dns::ResourceId) {
    portal.gateway(1, GatewayCommand::Revoke { client: WHO, resource });
    portal.advance_by(50);
}

/// Requests for an authorisation so far.
fn requests(portal: &Portal) -> usize {
    let is_request =
        |event: &Event| matches!(event, Event::Client(ClientEvent::AuthorizationNeeded { .. }));
    portal.events.iter().filter(|(_, _, event)| is_request(event)).count()
}

fn peers(portal: &mut Portal) -> usize {
    let what = InspectGateway::Peers;
    portal.gateway(1, GatewayCommand::Inspect { id: 9, what, cursor: 0 });
    let rows = portal.events.iter().rev().find_map(|(_, _, event)| match event {
        Event::Gateway(GatewayEvent::Inspected { rows, .. }) => Some(rows.len()),
        _ => None,
    });
    rows.expect("an answer")
}

#[test]
fn a_revoked_access_is_prohibited_while_another_goes_on() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    portal.open(1, SECOND, 5_001);

    revoke(&mut portal, FIRST);
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.segment(SECOND, 5_001, TcpFlags::ACK);
    portal.advance_by(50);

    assert_eq!(portal.handed(1).len(), 1, "that of the other alone");
    let answers = portal.handed(CLIENT);
    assert_eq!(answers.iter().map(|answer| icmp(answer)).collect::<Vec<_>>(), [PROHIBITED]);
    assert_eq!(peers(&mut portal), 1);
}

#[test]
fn with_the_last_access_the_connection_ends_and_the_next_packet_asks_anew() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    let before = requests(&portal);

    revoke(&mut portal, FIRST);
    assert_eq!(peers(&mut portal), 0);
    portal.segment(FIRST, 5_002, TcpFlags::SYN);
    portal.advance_by(2_000);

    assert_eq!(requests(&portal), before + 1);
    let is_new = |packet: &Vec<u8>| packet[20..22] == 5_002_u16.to_be_bytes();
    let arrived = portal.handed(1).into_iter().filter(is_new).count();
    assert_eq!(arrived, 1, "the portal grants it still");
}

#[test]
fn a_client_that_needs_nothing_of_a_gateway_says_goodbye() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);

    portal.client(ClientCommand::RemoveResource { resource: FIRST });
    portal.advance_by(50);

    assert_eq!(peers(&mut portal), 0);
}

#[test]
fn access_ends_at_the_second_that_the_portal_set() {
    let mut portal = Portal::new(1);
    portal.allowed = [(FIRST, Some(30)), (SECOND, None)].into();
    portal.open(1, FIRST, 5_000);
    portal.open(1, SECOND, 5_001);

    portal.advance(29_990);
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.advance(29_999);
    assert_eq!(portal.handed(1).len(), 1, "sent 10 ms before");
    portal.advance(30_000);
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.advance(30_050);

    assert!(portal.handed(1).is_empty());
    let expired = portal.events.iter().find_map(|(when, _, event)| {
        matches!(event, Event::Gateway(GatewayEvent::AccessExpired { .. })).then_some(*when)
    });
    assert_eq!(expired, Some(at(30_000)));
    assert_eq!(icmp(&portal.handed(CLIENT)[0]), PROHIBITED);
}

#[test]
fn expiry_follows_a_wall_clock_that_is_set() {
    let mut portal = Portal::new(1);
    portal.allowed = [(FIRST, Some(30)), (SECOND, None)].into();
    portal.open(1, FIRST, 5_000);
    portal.open(1, SECOND, 5_001);

    portal.advance(10_000);
    portal.world.adjust_wall(1, Duration::from_secs(WALL + 22));
    portal.advance(20_000);

    let expired = portal.events.iter().find_map(|(when, _, event)| {
        matches!(event, Event::Gateway(GatewayEvent::AccessExpired { .. })).then_some(*when)
    });
    assert_eq!(expired, Some(at(18_000)), "it was 12 s behind");
}

#[test]
fn expiry_follows_a_wall_clock_that_is_set_back() {
    let mut portal = Portal::new(1);
    portal.allowed = [(FIRST, Some(30)), (SECOND, None)].into();
    portal.open(1, FIRST, 5_000);
    portal.open(1, SECOND, 5_001);

    portal.advance(10_000);
    portal.world.adjust_wall(1, Duration::from_secs(WALL + 2));
    portal.advance(40_000);

    let expired = portal.events.iter().find_map(|(when, _, event)| {
        matches!(event, Event::Gateway(GatewayEvent::AccessExpired { .. })).then_some(*when)
    });
    assert_eq!(expired, Some(at(38_000)), "it was 8 s ahead");
}

#[test]
fn an_access_that_is_past_already_is_none() {
    let mut portal = Portal::new(1);
    portal.allowed = [(FIRST, Some(0))].into();
    portal.advance(5_000);

    portal.segment(FIRST, 5_000, TcpFlags::SYN);
    portal.advance(6_900);

    assert!(portal.handed(1).is_empty());
    assert_eq!(peers(&mut portal), 0);
}

#[test]
fn the_list_of_a_portal_that_comes_back_is_all_there_is() {
    let mut portal = Portal::new(1);
    portal.open(1, FIRST, 5_000);
    portal.open(1, SECOND, 5_001);
    let second = |expires_at| AccessUntil { client: WHO, resource: SECOND, expires_at };

    let authorizations = vec![second(unix(20))];
    portal.gateway(1, GatewayCommand::SetAuthorizations { authorizations });
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.segment(SECOND, 5_001, TcpFlags::ACK);
    portal.advance_by(50);
    assert_eq!(portal.handed(1).len(), 1);
    assert_eq!(icmp(&portal.handed(CLIENT)[0]), PROHIBITED);
    portal.advance(20_050);
    assert_eq!(peers(&mut portal), 0, "the other has an expiry now");

    let authorizations = vec![second(unix(900))];
    portal.gateway(1, GatewayCommand::SetAuthorizations { authorizations });
    assert_eq!(peers(&mut portal), 0, "what is unknown gives nothing");
}

#[test]
fn filters_change_in_place_and_expiry_stays() {
    let mut portal = Portal::new(1);
    portal.allowed = [(FIRST, Some(30))].into();
    portal.open(1, FIRST, 5_000);
    let mut changed = crate::portal::resource(FIRST);
    changed.filters = serde_json::from_str(
        r#"[{"protocol": "tcp", "port_range_start": 80, "port_range_end": 80}]"#,
    )
    .expect("a filter");

    portal.gateway(1, GatewayCommand::UpdateResource { resource: changed });
    portal.segment(FIRST, 5_000, TcpFlags::ACK);
    portal.advance_by(50);

    assert!(portal.handed(1).is_empty());
    assert_eq!(icmp(&portal.handed(CLIENT)[0]), PROHIBITED);
    portal.advance(30_000);
    assert_eq!(peers(&mut portal), 0);
}
