//! 2,000 short connections a second to one address for ten minutes, over the whole path (R33).

use std::time::Duration;

use packet::{TcpFlags, Train, Transport, build, parse};

use crate::direct::{CLIENT_ADDRESS, Direct, REAL};

/// Connections.
const COUNT: u32 = 2000 * 600;
/// Ports that Linux gives out by default.
const PORTS: u32 = 28_231;

#[test]
fn r33_2000_connections_a_second_for_10_minutes_over_the_whole_path_are_all_served() {
    let mut direct = Direct::new();
    let proxies = direct.query().ipv4;
    let (mut segment, mut answer) = ([0; 100], [0; 100]);
    for of in 0..COUNT {
        if of % 200 == 0 {
            direct.now += Duration::from_millis(100);
            direct.wake();
        }
        let port = (32_768 + of % PORTS) as u16;
        let from = (CLIENT_ADDRESS, port).into();
        let to = (proxies[of as usize % 4], 443).into();
        let len = build::tcp(from, to, of, 0, TcpFlags::SYN, 100, &[], &mut segment);
        direct.client_sends(Train::single(&mut segment[..len.expect("it fits")]).expect("valid"));
        // A flow that finds its answer too old waits for a look-up (R27), which is answered at once.
        direct.settle();
        let arrived = &direct.gateway_host.last[..40];
        let Transport::Tcp { source, sequence, .. } = parse(arrived).expect("valid").transport
        else {
            panic!("a segment");
        };
        assert_eq!(sequence, of, "it arrived");
        let (from, to) = ((REAL, 443).into(), (CLIENT_ADDRESS, source).into());
        let flags = TcpFlags::RST | TcpFlags::ACK;
        let len = build::tcp(from, to, of, of, flags, 0, &[], &mut answer);
        direct.site_sends(Train::single(&mut answer[..len.expect("it fits")]).expect("valid"));
    }

    assert_eq!(direct.gateway_host.packets, u64::from(COUNT));
    assert_eq!(direct.client_host.packets, u64::from(COUNT) + 1, "and the answer to the query");
}
