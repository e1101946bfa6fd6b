//! Scenario (k): a Gateway that has forgotten everything is told again by the packets of the flows that
//! it knew (R42).

use std::net::IpAddr;

use link::{Impairment, LinkConfig};
use packet::{Instant, TcpFlags};
use simulation::{PairConfig, Side};
use tunnel::messages::{ClientEvent, GatewayEvent, LookupFamily, LookupResult};

use crate::rig::{
    CLIENT, NAME, RESOURCE, Rig, addresses, at, dns_resource, icmp, millis, tcp, udp,
};

/// One way.
const LATENCY: u64 = 20;
/// How long the site's resolver takes.
const LOOK_UP: u64 = 30;

/// A rig with distance between its ends, in which a connection stands; and its proxy.
fn standing() -> (Rig, IpAddr, IpAddr) {
    let mut config = PairConfig::new(1);
    let far = Impairment { latency: millis(LATENCY), ..Impairment::default() };
    let link = LinkConfig { data: far, control: far };
    (config.up, config.down) = (link, link);
    let mut rig = Rig::without_access(config);
    rig.addresses = Some((1..=8).map(|host| IpAddr::from([10, 77, 0, host])).collect());
    rig.pair.authorize(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    rig.advance(100);
    let proxy = rig.proxies(NAME).ipv4[2].into();
    rig.send_tcp(5000, (proxy, 443), 1, TcpFlags::SYN);
    rig.advance(1000);
    let real = addresses(&rig.delivered(Side::Gateway)[0]).1;
    rig.send(Side::Gateway, tcp((real, 443), (CLIENT, 5000), 1, TcpFlags::SYN | TcpFlags::ACK));
    rig.advance(2000);
    rig.delivered(Side::Client);
    rig.send_tcp(5000, (proxy, 443), 2, TcpFlags::ACK);
    rig.advance(3000);
    assert_eq!(rig.delivered(Side::Gateway).len(), 1);
    (rig, proxy, real)
}

/// The Gateway's process is another; it knows the Client and its access, and nothing else.
fn forget(rig: &mut Rig) {
    rig.pair.restart_gateway(PairConfig::new(77).gateway);
    rig.pair.grant(&dns_resource(RESOURCE, "*.site.example", Vec::new()), None);
    rig.settle();
}

/// The site's resolver, whose answers take [`LOOK_UP`].
struct Slow {
    seen: usize,
    due: Vec<(Instant, u64, LookupFamily)>,
}

impl Slow {
    fn new(rig: &mut Rig) -> Self {
        rig.addresses = None;
        Self { seen: rig.gateway_events.len(), due: Vec::new() }
    }

    fn advance(&mut self, rig: &mut Rig, until: u64) {
        while rig.pair.now() < at(until) {
            let next = rig.pair.now() + millis(1);
            rig.advance(next.as_nanos() / 1_000_000);
            for (at, event) in &rig.gateway_events[self.seen..] {
                if let GatewayEvent::ResolveDomain { lookup, family, .. } = event {
                    self.due.push((*at + millis(LOOK_UP), *lookup, *family));
                }
            }
            self.seen = rig.gateway_events.len();
            let due = std::mem::take(&mut self.due);
            let (ready, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|d| d.0 <= next);
            self.due = later;
            for (_, lookup, family) in ready {
                let addresses = (1..=8).map(|host| (IpAddr::from([10, 77, 0, host]), 0)).collect();
                let result = match family {
                    LookupFamily::Ipv4 => LookupResult::Addresses(addresses),
                    LookupFamily::Ipv6 => LookupResult::NoData,
                };
                rig.resolve(lookup, family, result);
            }
            rig.settle();
        }
    }
}

#[test]
fn r42_k_a_flow_goes_on_after_one_round_trip_and_one_look_up_to_the_same_address() {
    let (mut rig, proxy, real) = standing();
    forget(&mut rig);
    let mut slow = Slow::new(&mut rig);
    let start = 3000;

    // One segment every 5 ms, by a schedule that nothing moves.
    for number in 0..40 {
        rig.send_tcp(5000, (proxy, 443), 6 + 4 * number, TcpFlags::ACK);
        slow.advance(&mut rig, start + 5 * (u64::from(number) + 1));
    }
    slow.advance(&mut rig, start + 1000);

    let arrived = rig.pair.take_deliveries(Side::Gateway);
    let first = arrived.first().expect("the flow goes on");
    let limit = at(start + 2 * LATENCY + LATENCY + LOOK_UP + 1);
    assert!(first.at <= limit, "{:?}", first.at);
    assert!(arrived.iter().all(|d| addresses(&d.packet).1 == real), "R22: dealt the same");
    // Lost is what was on its way before the Client knew: a round trip of packets.
    assert!(arrived.len() >= 40 - (2 * LATENCY as usize / 5 + 1), "{}", arrived.len());
    let errors = rig.delivered(Side::Client);
    assert!(errors.iter().all(|error| icmp(error) == (4, 3, 13)));
    let back = tcp((real, 443), (CLIENT, 5000), 9, TcpFlags::ACK);
    rig.send(Side::Gateway, back);
    slow.advance(&mut rig, start + 2000);
    assert_eq!(rig.delivered(Side::Client).len(), 1, "and back");
}

#[test]
fn r42_prohibited_is_believed_of_packets_that_were_sent_alone() {
    let (mut rig, proxy, _) = standing();
    let before = rig.client_counters()["nat"]["transmissions"].as_u64();
    // The Gateway's own site forges errors; only one that quotes the Client and its proxy counts.
    let stranger = udp(([100, 64, 0, 9], 5000), (proxy, 443), b"x");
    let mut error = vec![0; 1280];
    let kind = packet::icmp::Unreachable::Prohibited;
    let len = packet::icmp::unreachable(&stranger, kind, &mut error).expect("an error");
    error.truncate(len);
    rig.send(Side::Gateway, error);
    rig.advance(4000);

    assert_eq!(rig.client_counters()["nat"]["transmissions"].as_u64(), before);
}

#[test]
fn r42_a_flow_whose_access_is_gone_too_is_not_announced_for_ever() {
    let (mut rig, proxy, _) = standing();
    rig.pair.restart_gateway(PairConfig::new(77).gateway);
    for second in 4..300 {
        rig.send_tcp(5000, (proxy, 443), second, TcpFlags::ACK);
        rig.advance(u64::from(second) * 1000);
    }

    let events = rig.client_events.iter().map(|(_, event)| event);
    let asked = events.filter(|e| matches!(e, ClientEvent::AuthorizationNeeded { .. })).count();
    assert!((1..=12).contains(&asked), "access is asked for, ever more rarely: {asked}");
}
