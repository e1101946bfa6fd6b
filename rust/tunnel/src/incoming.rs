//! Packets that a session opened, one after the other: control packets alone, the others joined to
//! trains.

use std::ops::Range;

use connection::PacketRange;
use packet::{Malformed, Train};

use crate::p2p;

/// Both bits of ECN (RFC 3168 §5).
const CONGESTION_EXPERIENCED: u8 = 3;

/// The next thing in a buffer of opened packets.
pub(crate) enum Incoming<'a> {
    /// A packet of the control protocol.
    Control(&'a [u8]),
    /// Consecutive packets of one flow.
    Train(Train<'a>),
    /// Where something lies that no train can be made of, and why.
    Malformed(Range<usize>, Malformed),
}

/// Takes the next packet or run of packets off `rest`. `ecn` is what the datagrams were marked with.
pub(crate) fn next<'a, 'p: 'a>(
    buffer: &'a mut [u8],
    rest: &mut &'p [PacketRange],
    ecn: u8,
) -> Option<Incoming<'a>> {
    let packets = *rest;
    let &(start, len) = packets.first()?;
    let range = start as usize..(start + len) as usize;
    if buffer.get(range.clone()).is_some_and(p2p::is_control) {
        *rest = &packets[1..];
        return Some(Incoming::Control(&buffer[range]));
    }
    let (incoming, taken) = match Train::run(buffer, packets) {
        Ok((mut train, taken)) => {
            if ecn == CONGESTION_EXPERIENCED {
                train.mark_congested();
            }
            (Incoming::Train(train), taken)
        }
        Err(why) => (Incoming::Malformed(range, why), 1),
    };
    *rest = &packets[taken..];
    Some(incoming)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use packet::build;

    use super::*;

    /// RFC 6040 §4.2 in every combination, but for one: a packet that knows nothing of ECN is not
    /// dropped because of a mark, it goes on as it was (dataplane 7.5).
    #[test]
    fn marks_of_the_underlay_reach_the_packet_where_that_allows_it() {
        let ends = [1, 2].map(|host| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, host], 5000)));
        for (outer, inner) in (0..4).flat_map(|outer| (0..4).map(move |inner| (outer, inner))) {
            let mut buffer = [0; 100];
            let len = build::udp(ends[0], ends[1], b"packet", &mut buffer).expect("it fits");
            buffer[1] |= inner << 4;
            let ranges: [PacketRange; 1] = [(0, len as u32)];
            let mut rest = &ranges[..];

            let Some(Incoming::Train(train)) = next(&mut buffer, &mut rest, outer) else {
                panic!("a valid packet");
            };

            let congested = outer == CONGESTION_EXPERIENCED && inner != 0;
            let expected = if congested { CONGESTION_EXPERIENCED } else { inner };
            assert_eq!(train.summary().ecn, expected, "{outer} around {inner}");
        }
    }
}
