//! What a link does to datagrams.

use std::time::Duration;

/// What happens to the datagrams of one class. The default is a perfect line: nothing.
///
/// Probabilities are from 0 to 1; what lies outside counts as the nearer of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Impairment {
    /// From the end of serialisation to delivery.
    pub latency: Duration,
    /// Added to the latency: uniform from 0 to this, drawn per datagram. It never changes the order.
    pub jitter: Duration,
    /// Probability that a datagram is lost behind the queue; it has taken its time on the line.
    pub loss: f64,
    /// Probability that a datagram arrives twice, the copy right behind it.
    pub duplicate: f64,
    /// Probability that a datagram is held for `reorder_delay` while later ones pass.
    pub reorder: f64,
    /// How long a reordered datagram is held, on top of everything else.
    pub reorder_delay: Duration,
    /// Bits per second, of the datagram's own bytes; `None` is no limit. 0 counts as 1.
    pub bandwidth: Option<u64>,
    /// Most bytes that may stand before and in a busy line; a datagram that would be beyond is
    /// dropped. An idle line takes any.
    pub queue_bytes: usize,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_delay: Duration::ZERO,
            bandwidth: None,
            queue_bytes: usize::MAX,
        }
    }
}

/// The two classes of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LinkConfig {
    /// For packets of applications.
    pub data: Impairment,
    /// For handshakes and p2p control messages.
    pub control: Impairment,
}
