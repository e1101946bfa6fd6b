//! A warm link allocates nothing, so that it can stand under a benchmark of what it joins.

#[path = "../../packet/tests/counting/mod.rs"]
mod counting;

use std::time::Duration;

use link::{Impairment, Link, LinkConfig};
use packet::{Class, Instant};

use counting::allocations;

/// Sends bursts of 64 with pauses in which all of them arrive.
fn run(link: &mut Link, from: Instant, into: &mut Vec<u8>) -> Instant {
    let mut now = from;
    for _ in 0..20 {
        for i in 0..64 {
            let class = if i % 8 == 0 { Class::Control } else { Class::Data };
            link.send(&[7; 1312], class, now);
        }
        now += Duration::from_secs(1);
        while link.receive_run(now, into).is_some() {}
    }
    now
}

#[test]
fn r37_a_warm_link_allocates_nothing() {
    let impairment = Impairment {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss: 0.1,
        duplicate: 0.5,
        reorder: 0.1,
        reorder_delay: Duration::from_millis(3),
        bandwidth: Some(1_000_000_000),
        queue_bytes: 1 << 20,
    };
    let mut link = Link::new(LinkConfig { data: impairment, control: impairment }, 1);
    let mut into = Vec::with_capacity(1 << 16);
    // Warm: as much under way as can be.
    for _ in 0..128 {
        link.send(&[7; 1312], Class::Data, Instant::ZERO);
    }
    let now = run(&mut link, Instant::ZERO, &mut into);
    let count = allocations(|| _ = run(&mut link, now, &mut into));
    assert_eq!(count, 0);
}
