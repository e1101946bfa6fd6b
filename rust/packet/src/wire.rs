//! Headers as they lie on the wire. A view exists only over bytes that are long enough; whether the
//! fields make sense is decided in `parse`.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Protocol numbers (IANA, *Assigned Internet Protocol Numbers*).
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const ICMPV6: u8 = 58;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// Where a field lies, in bytes from the start of its header.
pub(crate) mod field {
    pub(crate) const IPV4_CHECKSUM: usize = 10;
    pub(crate) const IPV4_SOURCE: usize = 12;
    pub(crate) const IPV4_DESTINATION: usize = 16;
    pub(crate) const IPV6_SOURCE: usize = 8;
    pub(crate) const IPV6_DESTINATION: usize = 24;
    pub(crate) const SOURCE_PORT: usize = 0;
    pub(crate) const DESTINATION_PORT: usize = 2;
    pub(crate) const TCP_OFFSET: usize = 12;
    pub(crate) const TCP_FLAGS: usize = 13;
    pub(crate) const TCP_CHECKSUM: usize = 16;
    pub(crate) const UDP_CHECKSUM: usize = 6;
    pub(crate) const ICMP_CHECKSUM: usize = 2;
    pub(crate) const ECHO_IDENTIFIER: usize = 4;
    pub(crate) const ECHO_SEQUENCE: usize = 6;
}

/// RFC 791 §3.1, without options.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv4Header {
    pub(crate) version_ihl: u8,
    pub(crate) tos: u8,
    pub(crate) total_length: U16,
    pub(crate) identification: U16,
    /// Three flags and the offset in units of 8 bytes.
    pub(crate) fragment: U16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) checksum: U16,
    pub(crate) source: [u8; 4],
    pub(crate) destination: [u8; 4],
}

impl Ipv4Header {
    pub(crate) const LEN: usize = size_of::<Self>();
    pub(crate) const DONT_FRAGMENT: u16 = 0x4000;
    const MORE_FRAGMENTS: u16 = 0x2000;
    const OFFSET: u16 = 0x1fff;

    /// Bytes of the header with its options.
    pub(crate) fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    /// `Some(first)` if this is a fragment.
    pub(crate) fn fragment(&self) -> Option<bool> {
        let offset = self.fragment.get() & Self::OFFSET;
        let fragment = offset != 0 || self.fragment.get() & Self::MORE_FRAGMENTS != 0;
        fragment.then_some(offset == 0)
    }

    pub(crate) fn dont_fragment(&self) -> bool {
        self.fragment.get() & Self::DONT_FRAGMENT != 0
    }
}

/// RFC 8200 §3.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub(crate) version_class_flow: U32,
    pub(crate) payload_length: U16,
    pub(crate) next_header: u8,
    pub(crate) hop_limit: u8,
    pub(crate) source: [u8; 16],
    pub(crate) destination: [u8; 16],
}

impl Ipv6Header {
    pub(crate) const LEN: usize = size_of::<Self>();
    /// Bits of ECN in the first word.
    pub(crate) const ECN_SHIFT: u32 = 20;
}

/// RFC 9293 §3.1, without options.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct TcpHeader {
    pub(crate) source: U16,
    pub(crate) destination: U16,
    pub(crate) sequence: U32,
    pub(crate) acknowledgement: U32,
    pub(crate) offset: u8,
    pub(crate) flags: u8,
    pub(crate) window: U16,
    pub(crate) checksum: U16,
    pub(crate) urgent: U16,
}

impl TcpHeader {
    pub(crate) const LEN: usize = size_of::<Self>();

    /// Bytes of the header with its options.
    pub(crate) fn header_len(&self) -> usize {
        usize::from(self.offset >> 4) * 4
    }
}

/// RFC 768.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct UdpHeader {
    pub(crate) source: U16,
    pub(crate) destination: U16,
    pub(crate) length: U16,
    pub(crate) checksum: U16,
}

impl UdpHeader {
    pub(crate) const LEN: usize = size_of::<Self>();
}

/// RFC 792 and RFC 4443: the part that all messages share, and the four bytes that follow.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct IcmpHeader {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) checksum: U16,
    /// Identifier and sequence number of an echo; MTU, pointer or length of an error.
    pub(crate) rest: [u8; 4],
}

impl IcmpHeader {
    pub(crate) const LEN: usize = size_of::<Self>();

    /// Identifier of an echo message.
    pub(crate) fn identifier(&self) -> u16 {
        u16::from_be_bytes([self.rest[0], self.rest[1]])
    }
}

/// Reads the big-endian word at `offset`.
pub(crate) fn word(bytes: &[u8], offset: usize) -> u16 {
    u16::from_be_bytes([bytes[offset], bytes[offset + 1]])
}

/// Writes the big-endian word at `offset`.
pub(crate) fn put_word(bytes: &mut [u8], offset: usize, value: u16) {
    bytes[offset..offset + 2].copy_from_slice(&value.to_be_bytes());
}
