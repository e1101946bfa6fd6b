//! The numbers of the protocol: what the paper sets (§6.1) and what Firezone sets otherwise
//! (dataplane 5.7).

use std::time::Duration;

use packet::MAX_PACKET;

/// Times and limits of a tunnel. Both ends may differ: nothing of this is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Age of a session at which its initiator, when it sends, makes a new one.
    pub rekey_after: Duration,
    /// Age at which a session neither seals nor opens, and its keys are erased.
    pub reject_after: Duration,
    /// Age at which a session seals no more, though it opens until [`Profile::reject_after`].
    pub stop_sending_after: Duration,
    /// Time between two initiations, and until an unanswered one is repeated.
    pub rekey_timeout: Duration,
    /// Most that is added to [`Profile::rekey_timeout`] at random.
    pub rekey_jitter: Duration,
    /// Time after which unanswered initiations are given up.
    pub rekey_attempt_time: Duration,
    /// Time after which data that was not answered by data is answered by an empty message.
    pub keepalive_timeout: Duration,
    /// Time without a new session after which everything secret is erased.
    pub expire_after: Duration,
    /// Messages sealed after which a new session is made.
    pub rekey_after_messages: u64,
    /// Messages after which a session seals and opens no more.
    pub reject_after_messages: u64,
    /// What lengths of packets are rounded up to: 1 or 16.
    pub padding: usize,
    /// Sessions that are open at the same time; at least 3 are kept.
    pub sessions: usize,
    /// Interval at which empty messages are sent though nobody has anything to say.
    pub persistent_keepalive: Option<Duration>,
    /// Whether the initiator of the last session makes a new one before that ends, though nobody
    /// sends. Firezone's peers count on it: a Gateway makes no session by itself.
    pub keep_session: bool,
}

/// 2^13 below the end of the counter, so that no overflow of a window can ever matter (paper §6.1).
const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

impl Profile {
    /// The paper's values, for peers that are plain WireGuard.
    pub const PLAIN: Self = Self {
        rekey_after: Duration::from_secs(120),
        reject_after: Duration::from_secs(180),
        stop_sending_after: Duration::from_secs(180),
        rekey_timeout: Duration::from_secs(5),
        rekey_jitter: Duration::from_millis(333),
        rekey_attempt_time: Duration::from_secs(90),
        keepalive_timeout: Duration::from_secs(10),
        expire_after: Duration::from_secs(540),
        rekey_after_messages: 1 << 60,
        reject_after_messages: REJECT_AFTER_MESSAGES,
        padding: 16,
        sessions: 3,
        persistent_keepalive: None,
        keep_session: false,
    };

    /// Firezone's values for connections that ICE made.
    pub const FIREZONE_ICE: Self = Self {
        stop_sending_after: Duration::from_secs(170),
        rekey_attempt_time: Duration::from_secs(20),
        padding: 1,
        sessions: 8,
        keep_session: true,
        ..Self::PLAIN
    };

    /// Firezone's values for connections that choose their path themselves.
    pub const FIREZONE_ICELESS: Self = Self {
        rekey_timeout: Duration::from_secs(2),
        rekey_attempt_time: Duration::from_secs(90),
        keepalive_timeout: Duration::from_secs(5),
        ..Self::FIREZONE_ICE
    };

    /// Length of a packet of `len` bytes with its padding: a multiple of [`Profile::padding`], but
    /// no longer than the tunnel's MTU if the packet was not (paper §5.4.6).
    pub(crate) fn padded_len(&self, len: usize) -> usize {
        let padded = len.checked_next_multiple_of(self.padding.max(1)).unwrap_or(len);
        padded.min(MAX_PACKET.max(len))
    }

    /// Age of a session at which its initiator, when it receives, makes a new one (paper §6.2).
    pub(crate) fn renew_on_receive_after(&self) -> Duration {
        self.reject_after.saturating_sub(self.keepalive_timeout).saturating_sub(self.rekey_timeout)
    }
}
