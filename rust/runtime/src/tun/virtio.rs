//! The header that a TUN device puts in front of each packet, and takes: what is left to do of its
//! checksum, and where to cut it (Linux `struct virtio_net_hdr`, virtio 1.2 §5.1.6).

use packet::{Checksum, Protocol, Train};

/// Its length in the form that is used here, without a count of merged buffers.
pub(super) const LEN: usize = 10;

/// Where the checksum stands in the header of each protocol (RFC 9293 §3.1, RFC 768).
const TCP_CHECKSUM: u16 = 16;
const UDP_CHECKSUM: u16 = 6;

const NEEDS_CSUM: u8 = 1;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// May stand beside a TCP type: the first segment alone carries CWR.
const GSO_ECN: u8 = 0x80;

/// What the kernel left to whoever sends a packet on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: the packet is complete.
    Nothing,
    /// The transport checksum is that of the pseudo-header.
    Checksum,
    /// The same, and to cut the packet into segments of so many bytes of payload.
    Segments(u16),
}

/// Reads a header; `None` if it asks for what was not offered.
pub(super) fn read(header: &[u8; LEN]) -> Option<Left> {
    let size = u16::from_ne_bytes([header[4], header[5]]);
    match header[1] & !GSO_ECN {
        0 if header[0] & NEEDS_CSUM != 0 => Some(Left::Checksum),
        0 => Some(Left::Nothing),
        GSO_TCPV4 | GSO_TCPV6 | GSO_UDP_L4 if size > 0 => Some(Left::Segments(size)),
        _ => None,
    }
}

/// Makes the header of a train that goes to the kernel as one packet; `None` if it cannot.
///
/// One packet with a whole checksum gets an empty one, so that the kernel verifies it.
pub(super) fn of(train: &Train<'_>) -> Option<[u8; LEN]> {
    let mut header = [0; LEN];
    let is_lone = train.segments() == 1;
    if is_lone && train.checksum() == Checksum::Whole {
        return Some(header);
    }
    let summary = train.summary();
    let (protocol, _, _) = summary.transport.flow()?;
    let is_ipv4 = summary.source.is_ipv4();
    let (kind, place) = match protocol {
        Protocol::Tcp if is_ipv4 => (GSO_TCPV4, TCP_CHECKSUM),
        Protocol::Tcp => (GSO_TCPV6, TCP_CHECKSUM),
        Protocol::Udp => (GSO_UDP_L4, UDP_CHECKSUM),
        Protocol::Icmp => return None,
    };
    header[0] = NEEDS_CSUM;
    let mut put = |at: usize, value: u16| header[at..at + 2].copy_from_slice(&value.to_ne_bytes());
    put(2, train.header().len() as u16);
    put(6, summary.transport_offset);
    put(8, place);
    if !is_lone {
        put(4, train.segment_size() as u16);
        header[1] = kind;
    }
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_offered_is_not_understood() {
        let header = |flags, kind, size: u16| {
            let [low, high] = size.to_ne_bytes();
            [flags, kind, 0, 0, low, high, 0, 0, 0, 0]
        };
        assert_eq!(read(&header(0, 0, 0)), Some(Left::Nothing));
        assert_eq!(read(&header(NEEDS_CSUM, 0, 0)), Some(Left::Checksum));
        for kind in [GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_TCPV4 | GSO_ECN] {
            assert_eq!(read(&header(NEEDS_CSUM, kind, 1228)), Some(Left::Segments(1228)));
            assert_eq!(read(&header(NEEDS_CSUM, kind, 0)), None, "segments of no bytes");
        }
        assert_eq!(read(&header(NEEDS_CSUM, 3, 1228)), None, "fragments of UDP");
    }
}
