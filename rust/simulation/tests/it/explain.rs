//! `explain`: what would become of a packet, from live state, at both ends (R40).

use dns::ResourceId;
use packet::TcpFlags;
use serde_json::{Value, json};
use simulation::{PairConfig, Side};
use tunnel::filter::{Filter, PortRange};
use tunnel::messages::{
    ClientCommand, ClientEvent, Explain, FlowProtocol, InspectClient, InspectGateway,
};

use crate::rig::{NAME, RESOURCE, Rig, cidr_resource, dns_resource};

fn what(target: &str, port: u16) -> Explain {
    Explain { target: target.to_owned(), port, protocol: FlowProtocol::Tcp }
}

fn at_client(rig: &mut Rig, target: &str, port: u16) -> Value {
    let what = InspectClient::Explain(what(target, port));
    rig.pair.command_client(ClientCommand::Inspect { id: 9, what, cursor: 0 });
    rig.settle();
    let found = rig.client_events.iter().rev().find_map(|(_, event)| match event {
        ClientEvent::Inspected { id: 9, rows, .. } => Some(rows[0].clone()),
        _ => None,
    });
    found.expect("one row")
}

fn at_gateway(rig: &mut Rig, target: &str, port: u16) -> Vec<Value> {
    rig.gateway_rows(InspectGateway::Explain(what(target, port)))
}

/// A name on one port through one resource, and a network.
fn rig() -> Rig {
    let mut rig = Rig::without_access(PairConfig::new(1));
    let port = vec![Filter::Tcp(PortRange { start: 443, end: 443 })];
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", port), None);
    rig.pair.authorize(&cidr_resource(ResourceId(4), "10.78.0.0/24"), None);
    rig.settle();
    rig
}

#[test]
fn r40_a_name_is_explained_before_and_after_its_first_packet() {
    let mut rig = rig();
    let before = at_client(&mut rig, "App.Site.Example.", 443);
    assert_eq!(
        (&before["verdict"], &before["covers"]),
        (&"permitted".into(), &"*.site.example".into())
    );
    assert_eq!(
        (&before["name"], &before["proxies"], &before["ipv4"]),
        (&NAME.into(), &Value::Null, &Value::Null)
    );

    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_tcp(5000, (proxy.into(), 443), 1, TcpFlags::SYN);
    rig.advance(2000);
    let after = at_client(&mut rig, NAME, 443);

    assert_eq!(after["ipv4"], "active");
    assert_eq!((&after["flows"], &after["held_packets"]), (&1.into(), &0.into()));
    assert_eq!(after["proxies"].as_array().map(Vec::len), Some(8));
    assert_eq!((&after["access"], &after["gateway_alive"]), (&"authorized".into(), &true.into()));
    assert_eq!(at_client(&mut rig, &proxy.to_string(), 443)["name"], NAME, "also by a proxy");

    let gateway = &at_gateway(&mut rig, NAME, 443)[0];
    assert_eq!((&gateway["verdict"], &gateway["flows"]), (&"permitted".into(), &1.into()));
    assert_eq!(gateway["ipv4"]["addresses"], json!(["10.77.0.11"]));
    assert!(gateway["ipv4"]["age"].as_f64().is_some_and(|age| (1.0..2.1).contains(&age)));
    assert_eq!(gateway["resource"], json!(RESOURCE));
    assert_eq!(at_gateway(&mut rig, &proxy.to_string(), 443)[0]["name"], NAME);
}

#[test]
fn r40_what_is_forbidden_or_unknown_is_said_so() {
    let mut rig = rig();
    rig.proxies(NAME);
    rig.advance(100);

    let filtered = at_client(&mut rig, NAME, 80);
    assert_eq!(filtered["verdict"], "prohibited");
    assert_eq!(filtered["resources"][0]["permits"], false);
    assert_eq!(at_client(&mut rig, "www.example", 443)["verdict"], "no_resource");
    assert_eq!(at_client(&mut rig, "192.0.2.1", 443)["verdict"], "no_resource");
    assert_eq!(at_client(&mut rig, "no name at all !", 443)["verdict"], "no_resource");
    let network = at_client(&mut rig, "10.78.0.9", 9);
    assert_eq!(
        (&network["verdict"], &network["covers"]),
        (&"permitted".into(), &"10.78.0.0/24".into())
    );
    assert_eq!(at_gateway(&mut rig, NAME, 80)[0]["verdict"], "prohibited");
    assert_eq!(at_gateway(&mut rig, "10.78.0.9", 9)[0]["verdict"], "permitted");
    assert!(at_gateway(&mut rig, "www.example", 443).is_empty());
}

#[test]
fn r40_held_packets_are_told() {
    let mut rig = rig();
    rig.addresses = None;
    let proxy = rig.proxies(NAME).ipv4[0];
    rig.send_tcp(5000, (proxy.into(), 443), 1, TcpFlags::SYN);

    let row = at_client(&mut rig, NAME, 443);

    assert_eq!((&row["ipv4"], &row["held_packets"]), (&"establishing".into(), &1.into()));
    let gateway = at_gateway(&mut rig, NAME, 443);
    assert_eq!(gateway[0]["ipv4"]["looking_up"], true);
}

#[test]
fn r40_asking_changes_nothing() {
    let ask = |questions: usize| {
        let mut rig = rig();
        let proxy = rig.proxies(NAME).ipv4[0];
        rig.send_tcp(5000, (proxy.into(), 443), 1, TcpFlags::SYN);
        for step in 1..40 {
            for target in [NAME, "never.site.example", "10.78.0.9", "10.77.0.11", "www.example"] {
                for _ in 0..questions {
                    at_client(&mut rig, target, 443);
                    at_gateway(&mut rig, target, 443);
                }
            }
            rig.advance(step * 15_000);
        }
        let delivered: Vec<_> = [Side::Client, Side::Gateway]
            .map(|side| rig.pair.take_deliveries(side))
            .into_iter()
            .flatten()
            .collect();
        let nat: Vec<_> = rig
            .client_events
            .iter()
            .filter(|(_, event)| !matches!(event, ClientEvent::Inspected { .. }))
            .cloned()
            .collect();
        (delivered, nat, rig.client_counters(), rig.gateway_counters(), rig.pair.next_wake())
    };

    assert_eq!(ask(0), ask(3));
}
