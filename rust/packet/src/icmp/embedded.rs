//! The packet that an ICMP error quotes: whose flow it was, and its translation in place (R32,
//! RFC 5508 §4).

use std::net::IpAddr;

use crate::{Malformed, Protocol};

/// The packet quoted by an ICMP error, as far as it names its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Source address of the quoted packet.
    pub source: IpAddr,
    /// Destination address of the quoted packet.
    pub destination: IpAddr,
    /// Protocol of the quoted packet.
    pub protocol: Protocol,
    /// Source port, or echo identifier.
    pub source_port: u16,
    /// Destination port; 0 for echo.
    pub destination_port: u16,
}

/// Reads the packet that `error` quotes, which may be as short as an IP header and 8 bytes.
///
/// # Errors
/// As [`crate::parse`] about the error itself; [`Malformed::NotIcmpError`] for any other packet,
/// [`Malformed::Checksum`] if the error's own checksum is wrong (R32), and [`Malformed::Quote`] if
/// what is quoted names no flow.
pub fn embedded(error: &[u8]) -> Result<Embedded, Malformed> {
    let _ = error;
    Err(Malformed::NotIcmpError)
}

/// Puts new addresses into an ICMP error and new addresses and ports into the packet it quotes, all
/// checksums updated, RFC 4884 extensions and everything else kept. Afterwards [`embedded`] returns
/// `quoted`.
///
/// # Errors
/// As [`embedded`]; [`Malformed::Quote`] also if `quoted` is of another family or protocol than the
/// packet that is quoted. Nothing was changed then.
pub fn rewrite_embedded(
    error: &mut [u8],
    outer_source: IpAddr,
    outer_destination: IpAddr,
    quoted: &Embedded,
) -> Result<(), Malformed> {
    let _ = (error, outer_source, outer_destination, quoted);
    Err(Malformed::NotIcmpError)
}
