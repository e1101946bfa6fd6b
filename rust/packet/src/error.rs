//! Why bytes are not a packet that may pass.

/// Why bytes are not a packet that may pass. The sender is at fault, never this host; each is a
/// counted drop (R39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Malformed {
    /// Fewer bytes than a header needs.
    #[error("the packet ends inside a header")]
    Truncated,
    /// Neither IPv4 nor IPv6.
    #[error("the version is neither 4 nor 6")]
    Version,
    /// IPv4 IHL or TCP data offset below 5 or beyond the packet.
    #[error("a header length is impossible")]
    HeaderLength,
    /// The IP header tells another length than the packet has.
    #[error("the length in the IP header is not the packet's")]
    LengthMismatch,
    /// Longer than [`crate::MAX_PACKET`]; answered with *too big* (R36).
    #[error("the packet is longer than the tunnel's MTU")]
    TooLong,
    /// A fragment that is not a whole packet (R36).
    #[error("the packet is a fragment")]
    Fragment {
        /// Whether it is the first one, which alone is answered.
        first: bool,
    },
    /// The UDP header tells another length than IP leaves.
    #[error("the length in the UDP header is not that of the IP payload")]
    UdpLength,
    /// ICMP in IPv6 or ICMPv6 in IPv4.
    #[error("ICMP of the other family")]
    IcmpFamily,
    /// IPv6 extension headers out of order, too many, or source routing that is still under way.
    #[error("the chain of IPv6 extension headers is not acceptable")]
    ExtensionHeaders,
    /// A super-packet that is neither TCP nor UDP, or whose flags belong to one segment alone.
    #[error("the packet cannot be cut into segments")]
    NotSegmentable,
    /// Not an ICMP error, though one was expected.
    #[error("the packet is not an ICMP error")]
    NotIcmpError,
    /// A checksum that had to be right is wrong (R32).
    #[error("the checksum is wrong")]
    Checksum,
    /// An ICMP error about a packet that can belong to no flow.
    #[error("the ICMP error quotes a packet without a flow")]
    Quote,
}
