//! The headers of one packet out of a train, or of all of them as one super-packet: what differs from
//! the train's first header is filled in.

use zerocopy::FromBytes;

use crate::checksum::{add, update, word_delta};
use crate::wire::{Ipv4Header, Ipv6Header, TcpHeader, UdpHeader};
use crate::{Summary, TcpFlags, Transport};

/// What one packet has of its own, beside its length.
#[derive(Clone, Copy)]
pub(super) struct Own {
    /// IPv4 identification.
    pub(super) identification: u16,
    /// TCP sequence number.
    pub(super) sequence: u32,
    /// TCP flags.
    pub(super) flags: TcpFlags,
}

impl Own {
    /// Reads it from the headers of a packet that parsed as `summary`, or that differs from such a
    /// one only in these.
    pub(super) fn of(header: &[u8], summary: &Summary) -> Self {
        let mut own = Self { identification: 0, sequence: 0, flags: TcpFlags::default() };
        if let (true, Ok((ip, _))) = (summary.source.is_ipv4(), Ipv4Header::ref_from_prefix(header))
        {
            own.identification = ip.identification.get();
        }
        if let Transport::Tcp { .. } = summary.transport
            && let Ok((tcp, _)) = TcpHeader::ref_from_prefix(transport(header, summary))
        {
            own.sequence = tcp.sequence.get();
            own.flags = TcpFlags(tcp.flags);
        }
        own
    }

    /// Those of segment `i` of `segments`, if these are the first's (as the kernel's TSO does it).
    pub(super) fn advance(self, i: usize, segments: usize, segment_size: usize) -> Self {
        // RFC 3168 §6.1.2: CWR tells of one reduction of the window, so one segment has it.
        let first_only = if i > 0 { TcpFlags::CWR } else { TcpFlags::default() };
        let last_only =
            if i + 1 < segments { TcpFlags::PSH | TcpFlags::FIN } else { TcpFlags::default() };
        Self {
            identification: self.identification.wrapping_add(i as u16),
            sequence: self.sequence.wrapping_add((i * segment_size) as u32),
            flags: self.flags.without(first_only | last_only),
        }
    }
}

/// Puts `own` and the lengths of a packet of `len` bytes into its headers.
pub(super) fn put(header: &mut [u8], summary: &Summary, len: usize, own: &Own) {
    if summary.source.is_ipv4() {
        if let Ok((ip, _)) = Ipv4Header::mut_from_prefix(header) {
            put_ipv4(ip, len as u16, own.identification);
        }
    } else if let Ok((ip, _)) = Ipv6Header::mut_from_prefix(header) {
        ip.payload_length.set((len - Ipv6Header::LEN) as u16);
    }
    let offset = usize::from(summary.transport_offset);
    match summary.transport {
        Transport::Tcp { .. } => {
            if let Ok((tcp, _)) = TcpHeader::mut_from_prefix(&mut header[offset..]) {
                tcp.sequence.set(own.sequence);
                tcp.flags = own.flags.0;
            }
        }
        Transport::Udp { .. } => {
            if let Ok((udp, _)) = UdpHeader::mut_from_prefix(&mut header[offset..]) {
                udp.length.set((len - offset) as u16);
            }
        }
        Transport::Echo { .. } | Transport::IcmpError | Transport::Other { .. } => {}
    }
}

/// The header's checksum is updated, not recomputed: a wrong one stays wrong (R35).
fn put_ipv4(ip: &mut Ipv4Header, len: u16, identification: u16) {
    let delta = add(
        word_delta(ip.total_length.get(), len),
        word_delta(ip.identification.get(), identification),
    );
    ip.total_length.set(len);
    ip.identification.set(identification);
    ip.checksum.set(update(ip.checksum.get(), delta));
}

fn transport<'h>(header: &'h [u8], summary: &Summary) -> &'h [u8] {
    header.get(usize::from(summary.transport_offset)..).unwrap_or_default()
}
