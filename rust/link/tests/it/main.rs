//! Behaviour of a link, exact to the nanosecond, with fixed seeds.

mod chance;
mod timing;

use std::time::Duration;

use link::{Impairment, Link, LinkConfig};
use packet::{Class, Instant};

/// The same for both classes.
pub(crate) fn both(impairment: Impairment) -> LinkConfig {
    LinkConfig { data: impairment, control: impairment }
}

pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(crate) fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// A datagram that tells its number, of `len` bytes.
pub(crate) fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut datagram = vec![0; len.max(4)];
    datagram[..4].copy_from_slice(&number.to_le_bytes());
    datagram
}

/// All that arrives until nothing is under way: when, of which class, and its number.
pub(crate) fn drain(link: &mut Link) -> Vec<(Instant, Class, u32)> {
    let (mut arrivals, mut into) = (Vec::new(), Vec::new());
    while let Some(now) = link.poll_timeout() {
        while let Some((class, len)) = link.receive(now, &mut into) {
            assert_eq!(len, into.len());
            let number = into.first_chunk().map(|number| u32::from_le_bytes(*number));
            arrivals.push((now, class, number.expect("a number")));
        }
    }
    assert_eq!(link.in_flight(), 0);
    arrivals
}

/// Instant and number of what arrived of one class.
pub(crate) fn of_class(arrivals: &[(Instant, Class, u32)], class: Class) -> Vec<(Instant, u32)> {
    arrivals.iter().filter(|(_, of, _)| *of == class).map(|(at, _, n)| (*at, *n)).collect()
}
