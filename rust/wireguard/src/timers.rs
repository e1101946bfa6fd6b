//! Every timer of a tunnel, as one table (paper §6).
//!
//! What happens to a tunnel is an [`Occasion`]; a row of [`TABLE`] says which of them start, restart
//! and stop its clock, and after how long it acts. What the action is, stands in
//! [`Tunnel::handle_timeout`](crate::Tunnel::handle_timeout).
//!
//! | row | runs from | until | acts after | does |
//! |---|---|---|---|---|
//! | `Retransmit` | every initiation sent | a handshake is complete, or given up | `rekey_timeout` + jitter | sends another initiation (§6.4) |
//! | `GiveUp` | the first initiation of an attempt | the same | `rekey_attempt_time` | stops trying, [`Event::HandshakeFailed`](crate::Event) (§6.4) |
//! | `Silence` | a packet sent | anything authentic comes | `keepalive_timeout` + `rekey_timeout` + jitter | begins a handshake: the peer may have lost its session (§6.5) |
//! | `Keepalive` | a packet received | anything is sent | `keepalive_timeout` | sends an empty message (§6.5) |
//! | `Persistent` | anything sent or received, last | the setting is taken away | `persistent_keepalive` | sends an empty message, or begins a handshake |
//! | `Renew` | a session that we initiated is in use | one that the peer initiated is | `stop_sending_after` - `rekey_timeout` | begins a handshake though nobody sends (dataplane 5.7; not in the plain profile) |
//! | `SessionEnd` | the oldest session began | it is gone | `reject_after` | erases its keys (§6.2) |
//! | `Expiry` | the last session began | never | `expire_after` | erases all keys, [`Event::Expired`](crate::Event) (§6.3) |
//!
//! Two rules of the paper are no timers, because only what is sent or received triggers them: the
//! initiator of the session in use begins a handshake when it *sends* and the session is `rekey_after`
//! old, and once when it *receives* and the session is `reject_after` - `keepalive_timeout` -
//! `rekey_timeout` old (§6.2). A responder makes no new session by age, only by `Silence`, by the
//! count of messages, or because it has a packet and no session.
//!
//! Under no circumstances are two initiations less than `rekey_timeout` apart (§6.1): one that is
//! wanted earlier waits on the `Retransmit` row.

use std::time::Duration;

use packet::Instant;

use crate::profile::Profile;

/// Which row of the table acts next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// An initiation is unanswered, or waits for its turn.
    Retransmit,
    /// Initiations have been unanswered for too long.
    GiveUp,
    /// A packet was sent and nothing came back.
    Silence,
    /// A packet was received and nothing was sent back.
    Keepalive,
    /// Nothing was said for the set interval.
    Persistent,
    /// The session in use will soon seal no more.
    Renew,
    /// The oldest session ends.
    SessionEnd,
    /// No new session for very long.
    Expiry,
}

/// What can happen to a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    InitiationSent,
    /// A session is in use: ours by its response, or the peer's by its first data message.
    Completed,
    GivenUp,
    /// A packet, not an empty message.
    PacketSent,
    PacketReceived,
    /// Any message but a cookie reply.
    Sent,
    Received,
    SessionBegan,
    OwnSessionInUse,
    PeersSessionInUse,
}

use Occasion::{
    Completed, GivenUp, InitiationSent, OwnSessionInUse, PacketReceived, PacketSent,
    PeersSessionInUse, Received, Sent, SessionBegan,
};

struct Row {
    reason: Reason,
    /// Start the clock if it does not run.
    starts: &'static [Occasion],
    /// Set the clock back to its beginning.
    restarts: &'static [Occasion],
    stops: &'static [Occasion],
    after: fn(&Profile) -> Option<Duration>,
    jitter: bool,
}

/// `SessionEnd` is not here: its clock is the age of the sessions, which [`Timers::set`] is told.
const TABLE: [Row; 7] = [
    Row {
        reason: Reason::Retransmit,
        starts: &[],
        restarts: &[InitiationSent],
        stops: &[Completed, GivenUp],
        after: |profile| Some(profile.rekey_timeout),
        jitter: true,
    },
    Row {
        reason: Reason::GiveUp,
        starts: &[InitiationSent],
        restarts: &[],
        stops: &[Completed, GivenUp],
        after: |profile| Some(profile.rekey_attempt_time),
        jitter: false,
    },
    Row {
        reason: Reason::Silence,
        starts: &[PacketSent],
        restarts: &[],
        stops: &[Received],
        after: |profile| Some(profile.keepalive_timeout + profile.rekey_timeout),
        jitter: true,
    },
    Row {
        reason: Reason::Keepalive,
        starts: &[PacketReceived],
        restarts: &[],
        stops: &[Sent],
        after: |profile| Some(profile.keepalive_timeout),
        jitter: false,
    },
    Row {
        reason: Reason::Persistent,
        starts: &[],
        restarts: &[Sent, Received],
        stops: &[],
        after: |profile| profile.persistent_keepalive,
        jitter: false,
    },
    Row {
        reason: Reason::Renew,
        starts: &[],
        restarts: &[OwnSessionInUse],
        stops: &[PeersSessionInUse],
        after: |profile| {
            let after = profile.stop_sending_after.saturating_sub(profile.rekey_timeout);
            profile.keep_session.then_some(after)
        },
        jitter: false,
    },
    Row {
        reason: Reason::Expiry,
        starts: &[],
        restarts: &[SessionBegan],
        stops: &[],
        after: |profile| Some(profile.expire_after),
        jitter: false,
    },
];

const ROWS: usize = Reason::Expiry as usize + 1;

/// The clocks that run, each as the instant at which it acts.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Instant>; ROWS],
}

impl Timers {
    /// Applies `occasion` to every row. `jitter` is added where the row says so.
    pub(crate) fn record(
        &mut self,
        occasion: Occasion,
        profile: &Profile,
        jitter: Duration,
        now: Instant,
    ) {
        for row in &TABLE {
            let deadline = &mut self.deadlines[row.reason as usize];
            let idle = deadline.is_none();
            if row.restarts.contains(&occasion) || row.starts.contains(&occasion) && idle {
                let jitter = if row.jitter { jitter } else { Duration::ZERO };
                *deadline = (row.after)(profile).map(|after| now + after + jitter);
            }
            if row.stops.contains(&occasion) {
                *deadline = None;
            }
        }
    }

    /// Sets one clock by hand, where the table cannot know the instant.
    pub(crate) fn set(&mut self, reason: Reason, at: Option<Instant>) {
        self.deadlines[reason as usize] = at;
    }

    pub(crate) fn runs(&self, reason: Reason) -> bool {
        self.deadlines[reason as usize].is_some()
    }

    /// Takes the first row that is due, in the order of the table.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Reason> {
        REASONS.into_iter().find(|&reason| {
            let deadline = &mut self.deadlines[reason as usize];
            deadline.take_if(|at| *at <= now).is_some()
        })
    }

    /// The row that acts next; of several at the same instant the first of the table.
    pub(crate) fn next(&self) -> Option<(Instant, Reason)> {
        let running = REASONS.into_iter();
        running.filter_map(|reason| Some((self.deadlines[reason as usize]?, reason))).min()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

const REASONS: [Reason; ROWS] = [
    Reason::Retransmit,
    Reason::GiveUp,
    Reason::Silence,
    Reason::Keepalive,
    Reason::Persistent,
    Reason::Renew,
    Reason::SessionEnd,
    Reason::Expiry,
];
