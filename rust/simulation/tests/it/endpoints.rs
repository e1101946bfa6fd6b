//! The two endpoints as the program makes them, driven without a link.

use std::net::IpAddr;

use packet::Train;
use tunnel::Endpoint;
use tunnel::messages::{ClientCommand, ClientEvent, Command, Event, InspectClient};

use crate::direct::{CLIENT_ADDRESS, Direct, RESOURCE, datagrams};

/// One datagram to the name.
fn send(direct: &mut Direct, proxy: IpAddr, payload: u8) {
    let mut packet = [0; 1280];
    let (from, to) = ((CLIENT_ADDRESS, 5000).into(), (proxy, 443).into());
    let len = packet::build::udp(from, to, &[payload], &mut packet).expect("it fits");
    direct.client_sends(Train::single(&mut packet[..len]).expect("valid"));
}

fn counters(direct: &mut Direct) -> serde_json::Value {
    let command = ClientCommand::Inspect { id: 1, what: InspectClient::Counters, cursor: 0 };
    let mut io = tunnel::Io {
        send: &mut packet::SendBuffer::new(0, 0),
        host: &mut crate::direct::Host::new(),
    };
    let now = direct.now;
    direct.client.handle_command(Command::Client(command), now, &mut io).expect("a Client");
    std::iter::from_fn(|| direct.client.poll_event())
        .find_map(|event| match event {
            Event::Client(ClientEvent::Inspected { rows, .. }) => Some(rows[0].clone()),
            _ => None,
        })
        .expect("an answer")
}

/// A flow that works, whose name is then asked for without any answer from the site's DNS.
fn refreshing() -> (Direct, IpAddr) {
    let mut direct = Direct::new();
    let proxy = direct.query().ipv4[0].into();
    send(&mut direct, proxy, 0);
    direct.settle();
    assert_eq!(direct.gateway_host.packets, 1);
    direct.answers = false;
    direct.now += std::time::Duration::from_secs(2);
    direct.query();
    (direct, proxy)
}

#[test]
fn r01_the_client_of_the_program_passes_packets_while_a_refresh_is_unanswered() {
    let (mut direct, proxy) = refreshing();

    for payload in 1..=40 {
        send(&mut direct, proxy, payload);
    }

    assert_eq!(direct.gateway_host.first_bytes, (0..=40).collect::<Vec<u8>>());
}

#[test]
fn r41_the_client_of_the_program_keeps_and_never_halts() {
    let (mut direct, proxy) = refreshing();

    for payload in 1..=40 {
        send(&mut direct, proxy, payload);
    }

    let counters = counters(&mut direct);
    assert_eq!(counters["buffer"]["overwritten"], 0);
    assert_eq!(direct.gateway_host.packets, 41, "{counters}");
}

#[test]
fn r09_a_packet_that_comes_while_held_ones_wait_for_room_goes_behind_them() {
    let mut direct = Direct::with_send_buffer(1500, 4);
    direct.answers = false;
    let proxy = direct.query().ipv4[0].into();
    for payload in 0..30 {
        send(&mut direct, proxy, payload);
    }
    assert_eq!(direct.gateway_host.packets, 0, "no address is known yet");

    direct.answers = true;
    direct.settle();
    let first = direct.gateway_host.packets;
    assert!((1..30).contains(&first), "the send buffer was full: {first}");
    send(&mut direct, proxy, 30);
    while direct.client.poll_timeout(direct.now).is_some_and(|(at, _)| at <= direct.now) {
        direct.wake_client();
    }

    assert_eq!(direct.gateway_host.first_bytes, (0..=30).collect::<Vec<u8>>());
}

#[test]
fn r39_each_packet_of_a_refused_train_is_counted() {
    let mut direct = Direct::new();
    let proxy = direct.query().ipv4[0].into();
    let resource = RESOURCE;
    direct.command(Command::Client(ClientCommand::RemoveResource { resource }));
    let (mut bytes, ranges) = datagrams((CLIENT_ADDRESS.into(), 5000), (proxy, 443), 16);

    let (train, taken) = Train::run(&mut bytes, &ranges).expect("valid");
    direct.client_sends(train);

    let counters = counters(&mut direct);
    assert_eq!(taken, 16);
    assert_eq!(counters["refused"]["unknown_resource"], 16);
    assert_eq!(direct.gateway_host.packets, 0);
}
