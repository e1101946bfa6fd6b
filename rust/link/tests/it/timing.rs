//! Instants: latency, bandwidth, queue, order.

use link::{Impairment, Link, LinkConfig};
use packet::{Class, Instant, SendBuffer};

use crate::{at, both, drain, millis, numbered, of_class};

#[test]
fn a_perfect_link_delivers_at_once_and_in_order() {
    let mut link = Link::new(LinkConfig::default(), 1);
    for number in 0..1000 {
        link.send(&numbered(number, 100), Class::Data, at(7));
    }
    let expected: Vec<_> = (0..1000).map(|number| (at(7), Class::Data, number)).collect();
    assert_eq!(drain(&mut link), expected);
    assert_eq!(link.poll_timeout(), None);
}

#[test]
fn nothing_arrives_before_its_latency() {
    let config = both(Impairment { latency: millis(20), ..Impairment::default() });
    let mut link = Link::new(config, 1);
    link.send(&numbered(1, 100), Class::Control, at(5));
    let due = at(5) + millis(20);
    assert_eq!(link.poll_timeout(), Some(due));
    let mut into = vec![9; 3];
    assert_eq!(link.receive(at(due.as_nanos() - 1), &mut into), None);
    assert_eq!(link.receive(due, &mut into), Some((Class::Control, 100)));
    assert_eq!(into, numbered(1, 100));
}

#[test]
fn bandwidth_is_exact_over_many_datagrams() {
    // 1000 bytes at 3 Mbit/s are 2,666,666 and two thirds of a nanosecond.
    let config = both(Impairment { bandwidth: Some(3_000_000), ..Impairment::default() });
    let mut link = Link::new(config, 1);
    for number in 0..3000 {
        link.send(&numbered(number, 1000), Class::Data, Instant::ZERO);
    }
    for (arrival, _, number) in drain(&mut link) {
        assert_eq!(arrival, at(u64::from(number + 1) * 8_000_000 / 3));
    }
}

#[test]
fn an_idle_line_starts_afresh() {
    let config = both(Impairment { bandwidth: Some(8_000_000), ..Impairment::default() });
    let mut link = Link::new(config, 1);
    link.send(&numbered(0, 1000), Class::Data, at(0));
    link.send(&numbered(1, 500), Class::Data, at(400_000));
    link.send(&numbered(2, 500), Class::Data, at(9_000_000));
    let expected = [(at(1_000_000), 0), (at(1_500_000), 1), (at(9_500_000), 2)];
    assert_eq!(of_class(&drain(&mut link), Class::Data), expected);
}

#[test]
fn each_class_has_a_line_of_its_own() {
    let slow = Impairment { bandwidth: Some(8_000), ..Impairment::default() };
    let mut link = Link::new(both(slow), 1);
    link.send(&numbered(0, 1000), Class::Data, at(0));
    link.send(&numbered(1, 1000), Class::Control, at(0));
    let expected = [(at(1_000_000_000), 0)];
    let arrivals = drain(&mut link);
    assert_eq!(of_class(&arrivals, Class::Data), expected);
    assert_eq!(of_class(&arrivals, Class::Control), [(at(1_000_000_000), 1)]);
}

#[test]
fn a_full_queue_drops_the_newest_and_counts_it() {
    let impairment = Impairment {
        bandwidth: Some(8_000_000),
        queue_bytes: 3000,
        latency: millis(1),
        ..Impairment::default()
    };
    let mut link = Link::new(both(impairment), 1);
    for number in 0..5 {
        link.send(&numbered(number, 1000), Class::Data, at(0));
    }
    assert_eq!(link.counters(Class::Data).tail_dropped, 2);
    // At 8 Mbit/s a byte leaves in a microsecond.
    link.send(&numbered(5, 1000), Class::Data, at(999_000));
    assert_eq!(link.counters(Class::Data).tail_dropped, 3);
    link.send(&numbered(6, 1000), Class::Data, at(1_000_000));
    let numbers: Vec<_> = drain(&mut link).iter().map(|(.., number)| *number).collect();
    assert_eq!(numbers, [0, 1, 2, 6]);
    assert_eq!(link.counters(Class::Data).sent, 7);
    assert_eq!(link.counters(Class::Data).delivered, 4);
}

#[test]
fn an_idle_line_takes_what_no_queue_would() {
    let impairment =
        Impairment { bandwidth: Some(8_000_000), queue_bytes: 0, ..Impairment::default() };
    let mut link = Link::new(both(impairment), 1);
    link.send(&numbered(0, 1000), Class::Data, at(0));
    link.send(&numbered(1, 1000), Class::Data, at(999_999));
    link.send(&numbered(2, 1000), Class::Data, at(1_000_000));
    let numbers: Vec<_> = drain(&mut link).iter().map(|(.., number)| *number).collect();
    assert_eq!(numbers, [0, 2]);
}

#[test]
fn jitter_spreads_but_never_reorders() {
    let config = both(Impairment { latency: millis(5), jitter: millis(3), ..Default::default() });
    let mut link = Link::new(config, 3);
    let gap = 100_000;
    for number in 0..5000 {
        link.send(&numbered(number, 100), Class::Data, at(u64::from(number) * gap));
    }
    let arrivals = drain(&mut link);
    let mut delays = Vec::new();
    for (i, (arrival, _, number)) in arrivals.iter().enumerate() {
        assert_eq!(i, *number as usize);
        let delay = arrival.as_nanos() - u64::from(*number) * gap;
        assert!((5_000_000..=8_000_000).contains(&delay), "{delay}");
        delays.push(delay);
    }
    delays.sort_unstable();
    assert!(delays[4999] - delays[0] > 1_000_000, "nothing was spread");
}

#[test]
fn absurd_settings_saturate() {
    let impairment = Impairment {
        latency: std::time::Duration::MAX,
        bandwidth: Some(0),
        jitter: std::time::Duration::MAX,
        reorder: f64::INFINITY,
        reorder_delay: std::time::Duration::MAX,
        ..Impairment::default()
    };
    let mut link = Link::new(both(impairment), 1);
    for number in 0..3 {
        link.send(&numbered(number, 60_000), Class::Data, Instant::MAX);
    }
    assert_eq!(drain(&mut link).len(), 3);
}

#[test]
fn runs_come_out_as_they_went_in() {
    let mut buffer = SendBuffer::new(10_000, 8);
    let remote: std::net::SocketAddr = "192.0.2.1:5".parse().expect("address");
    for (class, slots, last) in
        [(Class::Data, 3, 60), (Class::Data, 2, 100), (Class::Control, 1, 9)]
    {
        let mut run = buffer.open_run(remote, 0, class, slots, last.max(100), last).expect("room");
        for i in 0..slots {
            let slot = run.slot(i);
            let datagram = numbered(i as u32, slot.len());
            slot.copy_from_slice(&datagram);
        }
        run.commit();
    }
    let mut link = Link::new(LinkConfig::default(), 1);
    for (run, bytes) in buffer.iter() {
        link.send_run(run, bytes, at(1));
    }
    let (mut into, mut received) = (Vec::new(), Vec::new());
    while let Some((class, size)) = link.receive_run(at(1), &mut into) {
        received.push((class, size, into.clone()));
    }
    assert_eq!(received.len(), 3);
    for ((run, bytes), (class, size, found)) in buffer.iter().zip(&received) {
        assert_eq!((run.class, run.datagram_size.min(run.len), bytes), (*class, *size, &found[..]));
    }
}
