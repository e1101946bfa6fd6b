//! Judging a run by two captures: what entered at one TUN device against what left at the other.
//!
//! Inputs: the captures of the Client's and the Gateway's TUN device (pcap, link type RAW, perhaps cut
//! to the first 128 bytes of each frame). Segments are matched across the NAT by all that it leaves
//! alone: sequence, acknowledgement, flags, window, options and the length of the payload. Output: a
//! [`Report`] on the connection that carried most payload, and the sums of the others.
//!
//! Nothing here knows how the NAT works; it sees only what was on the wire.

mod frame;
mod matching;
mod rate;
#[cfg(test)]
mod tests;
mod trace;

use std::io::Read;
use std::net::SocketAddr;

use self::frame::End;
use self::matching::Tally;
pub use self::rate::{BUCKET, Rate, Window};
pub use self::trace::{CaptureError, Direction};
use self::trace::{Flow, Trace};

/// What became of the segments of one or more connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// Left as they entered.
    pub matched: u64,
    /// Entered and never left, although later ones did or 2 s went by.
    pub lost: u64,
    /// Left more often than they entered.
    pub duplicated: u64,
    /// Left after one that had entered later.
    pub reordered: u64,
    /// Left on another outside flow than their connection began with, or with another payload.
    pub misdirected: u64,
    /// Left without having entered.
    pub unexpected: u64,
    /// Resets that reached an end of the connection.
    pub resets: u64,
    /// Entered within the last 2 s, nothing behind them left either.
    pub in_flight: u64,
}

/// The judgement of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// TCP frames of the Client's and the Gateway's capture.
    pub frames: [u64; 2],
    /// Connections that the Client's capture shows.
    pub flows: u64,
    /// Both ends of the connection with most payload as the Client's capture shows them, who opened
    /// it first.
    pub inside: [SocketAddr; 2],
    /// The same as the Gateway's capture shows them.
    pub outside: [SocketAddr; 2],
    /// What became of it, once it was answered.
    pub transfer: Fate,
    /// The same of all others.
    pub others: Fate,
    /// Its payload where it was received.
    pub rate: Rate,
}

/// Compares two captures. Bytes and losses count from the transfer's first frame on, whatever the
/// window.
///
/// # Errors
/// [`CaptureError`].
pub fn compare(
    client: impl Read,
    gateway: impl Read,
    direction: Direction,
    window: Window,
) -> Result<Report, CaptureError> {
    let (client, gateway) = (Trace::read(client)?, Trace::read(gateway)?);
    let transfer = client.flows.iter().enumerate();
    let transfer = transfer.max_by_key(|(_, flow)| flow.payload[direction as usize]);
    let (transfer, flow) = transfer.ok_or(CaptureError::NoTransfer)?;
    if flow.payload[direction as usize] == 0 {
        return Err(CaptureError::NoTransfer);
    }
    let transfer = u32::try_from(transfer).unwrap_or(u32::MAX);
    let tally = Tally::take(&client, &gateway, transfer, window.end);
    let outside = tally.outside_of(transfer).ok_or(CaptureError::NoTransfer)?;
    let rate = match direction {
        Direction::Up => Rate::of(gateway.frames(direction), outside, &window),
        Direction::Down => Rate::of(client.frames(direction), transfer, &window),
    };
    let ends = |Flow { opener, remote, .. }: &Flow| [*opener, *remote].map(End::into);
    let count = |trace: &Trace| (trace.up.len() + trace.down.len()) as u64;
    Ok(Report {
        frames: [count(&client), count(&gateway)],
        flows: client.flows.len() as u64,
        inside: ends(flow),
        outside: ends(&gateway.flows[outside as usize]),
        transfer: tally.transfer,
        others: tally.others,
        rate,
    })
}
