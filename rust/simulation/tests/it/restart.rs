//! Scenario (i): a Client restarts with re-numbered proxies while another Client's flows run.

use dns::ResourceId;
use packet::TcpFlags;

use crate::rig::{addresses, dns_resource, icmp, tcp, udp};
use crate::several::{Several, address_of, client_config};

#[test]
fn r23_i_a_restart_moves_the_restarted_clients_proxies_and_nobody_elses() {
    let mut several = Several::new();
    let gateway = several.add_gateway(0, [10, 77, 0, 11]);
    let (restarting, other) = (several.add_client(1), several.add_client(2));
    let resource = dns_resource(ResourceId(3), "*.site.example", Vec::new());
    for client in [restarting, other] {
        several.connect(client, gateway, &resource);
    }
    let proxy = several.proxy(restarting, "one.site.example");
    let others = several.proxy(other, "one.site.example");
    for (client, proxy) in [(restarting, proxy), (other, others)] {
        several.send(client, udp((address_of(client), 5000), (proxy, 80), b"x"));
    }
    several.advance(1000);
    assert_eq!(several.handed(gateway).len(), 2);

    several.world.restart_client(restarting, client_config(restarting, 99));
    several.serve(restarting, gateway, &resource);
    let moved = several.proxy(restarting, "two.site.example");
    assert_eq!(moved, proxy, "the new process deals from the beginning");
    several.advance(2000);
    several.handed(restarting);

    several.send(other, udp((address_of(other), 5000), (others, 80), b"goes on"));
    let late = tcp((address_of(restarting), 6000), (moved, 80), 77, TcpFlags::ACK);
    several.send(restarting, late);
    several.send(restarting, udp((address_of(restarting), 5000), (moved, 80), b"new name"));
    several.advance(3000);

    let arrived = several.handed(gateway);
    assert_eq!(arrived.len(), 2, "the other's packet and the new name's: {arrived:?}");
    let sources: Vec<_> = arrived.iter().map(|packet| addresses(packet).0).collect();
    assert!(sources.contains(&address_of(other)) && sources.contains(&address_of(restarting)));
    let reset = several.handed(restarting);
    let resets = reset.iter().filter(|p| p[9] == 6 && p[33] & 0x04 != 0).count();
    assert_eq!(resets, 1, "bytes of an old connection never reach the new name's host");
    assert!(reset.iter().all(|p| p[9] != 1 || icmp(p).1 != 3), "and nothing is refused");
}
