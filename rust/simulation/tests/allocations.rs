//! What the whole way of a packet allocates, both ways, once warm: nothing (R37), whether a laboratory's
//! sessions are between the ends or WireGuard's.

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;
mod direct;

use std::net::IpAddr;
use std::time::Duration;

use packet::{MAX_PACKET, TcpFlags, Train, build};

use counting::allocations;
use direct::{CLIENT_ADDRESS, Direct, REAL, datagrams};

const PACKETS: u64 = 10_000;
const WARM_UP: u64 = 100;

/// Between two rounds: use, liveness and keepalives are noted by time.
const PAUSE: Duration = Duration::from_micros(200);

/// Pairs of endpoints whose name is set up, each with one of its proxies.
fn set_up() -> [(Direct, IpAddr); 2] {
    [Direct::new(), Direct::wireguard()].map(|mut direct| {
        let proxy = direct.query().ipv4[0].into();
        (direct, proxy)
    })
}

#[test]
fn r37_a_segment_there_and_back_allocates_nothing_over_the_whole_path() {
    set_up().into_iter().for_each(|(direct, proxy)| segments(direct, proxy));
}

fn segments(mut direct: Direct, proxy: IpAddr) {
    let (client, real) = (IpAddr::from(CLIENT_ADDRESS), IpAddr::from(REAL));
    let (mut there, mut back) = ([0; MAX_PACKET], [0; MAX_PACKET]);
    let len = |from: (IpAddr, u16), to: (IpAddr, u16), into: &mut [u8]| {
        build::tcp(from.into(), to.into(), 1, 1, TcpFlags::ACK, 1000, &[7; 1200], into)
    };
    let there_len = len((client, 5000), (proxy, 443), &mut there).expect("it fits");
    let back_len = len((real, 443), (client, 5000), &mut back).expect("it fits");
    let mut packet = [0; MAX_PACKET];
    let mut round = |direct: &mut Direct| {
        direct.now += PAUSE;
        packet = there;
        direct.client_sends(Train::single(&mut packet[..there_len]).expect("valid"));
        packet = back;
        direct.site_sends(Train::single(&mut packet[..back_len]).expect("valid"));
    };
    for _ in 0..WARM_UP {
        round(&mut direct);
        direct.settle();
    }

    let (there_before, back_before) = (direct.gateway_host.packets, direct.client_host.packets);
    let allocated = allocations(|| (0..PACKETS).for_each(|_| round(&mut direct)));

    assert_eq!(direct.gateway_host.packets - there_before, PACKETS, "all went to the site");
    assert_eq!(direct.client_host.packets - back_before, PACKETS, "all came back");
    assert_eq!(allocated, 0);
}

#[test]
fn r37_a_train_is_one_decision_at_each_end_and_allocates_nothing() {
    set_up().into_iter().for_each(|(direct, proxy)| trains(direct, proxy));
}

fn trains(mut direct: Direct, proxy: IpAddr) {
    const TRAIN: usize = 16;
    let (client, real) = (IpAddr::from(CLIENT_ADDRESS), IpAddr::from(REAL));
    let (there, ranges) = datagrams((client, 5000), (proxy, 443), TRAIN);
    let (back, _) = datagrams((real, 443), (client, 5000), TRAIN);
    let mut bytes = there.clone();
    let mut round = |direct: &mut Direct| {
        direct.now += PAUSE;
        for (template, out) in [(&there, true), (&back, false)] {
            bytes.copy_from_slice(template);
            let (train, taken) = Train::run(&mut bytes, &ranges).expect("valid");
            assert_eq!(taken, TRAIN);
            if out { direct.client_sends(train) } else { direct.site_sends(train) }
        }
    };
    for _ in 0..WARM_UP {
        round(&mut direct);
        direct.settle();
    }
    let before = (direct.gateway_host.trains, direct.client_host.trains);
    let packets = (direct.gateway_host.packets, direct.client_host.packets);
    let rounds = PACKETS / TRAIN as u64;

    let allocated = allocations(|| (0..rounds).for_each(|_| round(&mut direct)));

    // What the flow table is asked about is a train: as many look-ups as trains, not as packets.
    assert_eq!(direct.gateway_host.trains - before.0, rounds, "one train each at the Gateway");
    assert_eq!(direct.client_host.trains - before.1, rounds, "one train each at the Client");
    assert_eq!(direct.gateway_host.packets - packets.0, rounds * TRAIN as u64);
    assert_eq!(direct.client_host.packets - packets.1, rounds * TRAIN as u64);
    assert_eq!(allocated, 0);
}
