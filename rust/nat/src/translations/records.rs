//! What is known about one name's addresses of one family: the answer, how long it holds, and what
//! a further result does to it (R20, R21).

use std::net::IpAddr;
use std::time::Duration;

use dns::Family;
use packet::Instant;
use smallvec::SmallVec;

use crate::state::{Reader, StateError, Writer};

use super::deal::bounded;
use super::types::{Config, LookupError, LookupId, TranslationState};

/// An answer counts as fresh at most this long (R20).
const CEILING: Duration = Duration::from_secs(300);
/// A negative answer is confirmed by a look-up that starts at least this much later (R21).
const CONFIRM: Duration = Duration::from_secs(5);
/// A confirmation that failed is tried again ever more rarely, down to this.
const CONFIRM_LIMIT: Duration = Duration::from_secs(300);

/// Addresses of an answer, ascending.
pub(super) type Addresses = SmallVec<[IpAddr; 4]>;

/// What the last look-up came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// None has ended yet.
    Never,
    Good,
    Failed,
    /// The name has no address, as long as addresses stand here: not yet confirmed.
    Negative,
}

/// What a result changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Applied {
    Same,
    Changed { added: u32, removed: u32 },
    Failed(LookupError),
}

/// A look-up on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pending {
    /// It runs; its time-out is at the instant.
    Running(LookupId, Instant),
    /// It waits for room; its time-out is at the instant all the same.
    Wanted(Instant),
}

#[derive(Debug)]
pub(super) struct Records {
    /// The last good answer.
    addresses: Addresses,
    /// Changes with the addresses.
    pub(super) version: u32,
    pub(super) outcome: Outcome,
    /// When the last good answer came.
    good_at: Instant,
    /// When its TTL ends.
    expires: Instant,
    /// A failure or negative answer is not asked again before this.
    quiet_until: Instant,
    negative_since: Option<Instant>,
    /// When the second look-up is due that confirms a negative answer.
    pub(super) confirm_at: Option<Instant>,
    confirm_delay: Duration,
    pub(super) pending: Option<Pending>,
    /// The look-up whose result was applied last.
    applied: Option<LookupId>,
}

/// What of [`Records`] crosses to another process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SavedRecords {
    addresses: Addresses,
    outcome: Outcome,
    /// Since the last good answer came.
    age: Duration,
    /// How long it still holds, or since when it does not.
    holds: Duration,
    expired: Duration,
    /// How long a failure is still not asked again.
    quiet: Duration,
    /// Since when the name has no address, not yet confirmed.
    negative: Option<Duration>,
}

impl SavedRecords {
    pub(super) fn write(&self, into: &mut Writer) {
        into.u8(match self.outcome {
            Outcome::Never => 0,
            Outcome::Good => 1,
            Outcome::Failed => 2,
            Outcome::Negative => 3,
        });
        into.count(self.addresses.len());
        self.addresses.iter().for_each(|address| into.address(*address));
        into.duration(self.age);
        into.duration(self.holds);
        into.duration(self.expired);
        into.duration(self.quiet);
        into.bool(self.negative.is_some());
        into.duration(self.negative.unwrap_or_default());
    }

    pub(super) fn read(from: &mut Reader<'_>, family: Family) -> Result<Self, StateError> {
        let outcome = match from.u8()? {
            0 => Outcome::Never,
            1 => Outcome::Good,
            2 => Outcome::Failed,
            3 => Outcome::Negative,
            _ => return Err(StateError::Content("an outcome")),
        };
        let addresses = from.list(Reader::address)?;
        if addresses.iter().any(|address| Family::of(*address) != family) {
            return Err(StateError::Content("an address of a family"));
        }
        let addresses = bounded(addresses.into());
        let (age, holds, expired) = (from.duration()?, from.duration()?, from.duration()?);
        let (quiet, is_negative, since) = (from.duration()?, from.bool()?, from.duration()?);
        let negative = is_negative.then_some(since);
        Ok(Self { addresses, outcome, age, holds, expired, quiet, negative })
    }
}

impl Records {
    pub(super) fn save(&self, now: Instant) -> SavedRecords {
        let (addresses, outcome) = (self.addresses.clone(), self.outcome);
        let (age, holds, expired) = (now - self.good_at, self.expires - now, now - self.expires);
        let quiet = self.quiet_until - now;
        let negative = self.negative_since.map(|since| now - since);
        SavedRecords { addresses, outcome, age, holds, expired, quiet, negative }
    }

    /// Takes over what another process found, unless something was found here. A negative answer is
    /// still to be confirmed (R21): the caller has a timer to set.
    pub(super) fn restore(
        &mut self,
        saved: &SavedRecords,
        permits: impl Fn(IpAddr) -> bool,
        since: Duration,
        now: Instant,
    ) {
        if self.outcome != Outcome::Never {
            return;
        }
        let addresses = saved.addresses.iter().copied().filter(|address| permits(*address));
        self.addresses = addresses.collect();
        self.version = self.version.wrapping_add(1);
        self.outcome = saved.outcome;
        self.good_at = now - (saved.age + since);
        self.expires = match saved.holds.checked_sub(since) {
            Some(holds) => now + holds - saved.expired,
            None => now - (since - saved.holds) - saved.expired,
        };
        self.quiet_until = now + saved.quiet.saturating_sub(since);
        self.negative_since = saved.negative.map(|negative| now - (negative + since));
        self.confirm_at = self.negative_since.map(|negative| (negative + CONFIRM).max(now));
    }

    pub(super) fn new() -> Self {
        Self {
            addresses: Addresses::new(),
            version: 0,
            outcome: Outcome::Never,
            good_at: Instant::ZERO,
            expires: Instant::ZERO,
            quiet_until: Instant::ZERO,
            negative_since: None,
            confirm_at: None,
            confirm_delay: CONFIRM,
            pending: None,
            applied: None,
        }
    }

    /// The addresses that serve new flows: the last good ones, for a bounded time beyond their TTL
    /// (R21; the same measure as RFC 8767 §5).
    pub(super) fn usable(&self, last_good: Duration, now: Instant) -> &[IpAddr] {
        if now <= self.expires + last_good { &self.addresses } else { &[] }
    }

    /// The last good answer, however old.
    pub(super) fn all(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// Since the last good answer came.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        (!self.addresses.is_empty()).then(|| now - self.good_at)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.addresses.binary_search(&address).is_ok()
    }

    /// Whether no look-up is needed: a fresh answer, or a failure that is still cached.
    pub(super) fn settled(&self, now: Instant) -> bool {
        match self.outcome {
            Outcome::Never => false,
            Outcome::Good => now < self.expires,
            Outcome::Failed | Outcome::Negative => now < self.quiet_until,
        }
    }

    /// Whether the answer is good and within its TTL, or came at `since` or later: a TTL of zero
    /// ends as it begins, and still answers who waited for it (RFC 1035 §3.2.1).
    pub(super) fn fresh(&self, since: Instant, now: Instant) -> bool {
        self.outcome == Outcome::Good && (now < self.expires || self.good_at >= since)
    }

    /// How long the answer or the absence of one still holds.
    pub(super) fn remaining(&self, now: Instant) -> Duration {
        match self.outcome {
            Outcome::Good => self.expires - now,
            Outcome::Never | Outcome::Failed | Outcome::Negative => self.quiet_until - now,
        }
    }

    pub(super) fn state(&self, last_good: Duration, now: Instant) -> TranslationState {
        if self.outcome == Outcome::Never {
            TranslationState::Missing
        } else if self.usable(last_good, now).is_empty() {
            TranslationState::Negative
        } else if self.outcome != Outcome::Good {
            TranslationState::LastGood
        } else if now < self.expires {
            TranslationState::Fresh
        } else {
            TranslationState::Expired
        }
    }

    /// Whether the result of `id` is newer than what was applied last (R20).
    pub(super) fn awaits(&self, id: LookupId) -> bool {
        self.applied.is_none_or(|applied| applied < id)
    }

    /// Applies addresses that passed R18; none of them is a negative answer.
    pub(super) fn apply_good(
        &mut self,
        id: LookupId,
        addresses: Addresses,
        ttl: Duration,
        config: &Config,
        now: Instant,
    ) -> Applied {
        self.applied = Some(id);
        self.outcome = Outcome::Good;
        self.good_at = now;
        self.expires = now + ttl.max(config.cache_floor).min(CEILING);
        (self.negative_since, self.confirm_at, self.confirm_delay) = (None, None, CONFIRM);
        self.replace(bounded(addresses))
    }

    fn replace(&mut self, addresses: Addresses) -> Applied {
        let missing = |from: &Addresses, of: &Addresses| {
            let gone = of.iter().filter(|address| from.binary_search(address).is_err()).count();
            u32::try_from(gone).unwrap_or(u32::MAX)
        };
        let added = missing(&self.addresses, &addresses);
        let removed = missing(&addresses, &self.addresses);
        if added == 0 && removed == 0 {
            return Applied::Same;
        }
        self.addresses = addresses;
        self.version = self.version.wrapping_add(1);
        Applied::Changed { added, removed }
    }

    /// Applies an error of the look-up that started at `started`. Without an `id` it is the own
    /// time-out, after which the result may still come.
    pub(super) fn apply_error(
        &mut self,
        id: Option<LookupId>,
        error: LookupError,
        started: Instant,
        config: &Config,
        now: Instant,
    ) -> Applied {
        self.applied = id.or(self.applied);
        self.quiet_until = now + config.failure_cache;
        let negative = matches!(error, LookupError::NxDomain | LookupError::NoData);
        self.outcome = if negative { Outcome::Negative } else { Outcome::Failed };
        if self.addresses.is_empty() {
            return if negative { Applied::Same } else { Applied::Failed(error) };
        }
        if !negative {
            if self.negative_since.is_some() && self.confirm_at.is_none() {
                self.confirm_delay = (self.confirm_delay * 2).min(CONFIRM_LIMIT);
                self.confirm_at = Some(now + self.confirm_delay);
            }
            return Applied::Failed(error);
        }
        let since = *self.negative_since.get_or_insert(now);
        if started >= since + CONFIRM {
            (self.negative_since, self.confirm_at, self.confirm_delay) = (None, None, CONFIRM);
            return self.replace(Addresses::new());
        }
        let due = (since + CONFIRM).max(now);
        self.confirm_at.get_or_insert(due);
        Applied::Failed(error)
    }
}
