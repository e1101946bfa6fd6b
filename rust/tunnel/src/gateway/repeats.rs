//! Statuses that are said twice: to Clients whose way loses control messages.
//!
//! A Client that repeats an announcement has lost the announcement or its status. For a minute after
//! that each status goes out once more a moment later: one exchange in two fails at 30 % loss, and the
//! times at which a Client asks again are fixed (R03). A status may come any number of times (R04).

use std::collections::VecDeque;
use std::time::Duration;

use nat::control::{AssignedIps, DomainStatus};
use packet::Instant;

use super::clients::ClientSlot;

/// Far enough apart not to be lost together, sooner than the first repetition of R03.
const DISTANCE: Duration = Duration::from_millis(20);
/// How long a way that has lost something counts as one that loses.
const MEMORY: Duration = Duration::from_secs(60);
/// Statuses that wait to be said again; more are said once.
const MAX_WAITING: usize = 1024;

/// What is known of the way of one Client's control messages.
#[derive(Debug, Default)]
pub(super) struct ControlWay {
    run: Option<u64>,
    newest: Option<u64>,
    lossy_until: Option<Instant>,
}

impl ControlWay {
    /// Takes note of an announcement. Ids grow within a run (R04); one that does not is a repetition.
    pub(super) fn note(&mut self, message: &AssignedIps, now: Instant) {
        if message.run != self.run {
            (self.run, self.newest) = (message.run, None);
        }
        if message.id.is_some() && message.id <= self.newest {
            self.lossy_until = Some(now + MEMORY);
        }
        self.newest = self.newest.max(message.id);
    }

    fn loses(&self, now: Instant) -> bool {
        self.lossy_until.is_some_and(|until| now < until)
    }
}

/// Statuses to be said once more, in the order of their time.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    waiting: VecDeque<(Instant, ClientSlot, DomainStatus)>,
}

impl Repeats {
    /// A status was sent: what was to be said again about the same is out of date.
    pub(super) fn sent(
        &mut self,
        client: ClientSlot,
        way: &ControlWay,
        status: &DomainStatus,
        now: Instant,
    ) {
        self.waiting.retain(|(_, other, former)| {
            *other != client || former.resource != status.resource || former.domain != status.domain
        });
        if way.loses(now) && status.id.is_some() && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((now + DISTANCE, client, status.clone()));
        }
    }

    /// A Client is gone; its place may become another's.
    pub(super) fn forget(&mut self, client: ClientSlot) {
        self.waiting.retain(|(_, other, _)| *other != client);
    }

    /// The next status that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(ClientSlot, DomainStatus)> {
        let due = self.waiting.front().is_some_and(|(at, ..)| *at <= now);
        let (_, client, status) = due.then(|| self.waiting.pop_front()).flatten()?;
        Some((client, status))
    }

    /// When the next status is due.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(at, ..)| *at)
    }
}
