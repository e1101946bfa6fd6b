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
