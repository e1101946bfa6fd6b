//! What the library of ICE agents takes from outside of its arguments, and how it is made an argument.
//!
//! `is` wants a `std::time::Instant`, which has no value but those that the clock gave: one is read when
//! the connections are made, and stands for [`Instant::ZERO`]. Only differences to it are ever looked at,
//! so nothing depends on when that was. This is the one place below `runtime` where a ban is lifted.
//!
//! `is` draws transaction ids from the thread's generator of `fastrand`: it is seeded before every call,
//! from the entropy that the endpoint was given. So runs can be repeated, and nobody can guess an id who
//! has seen others.

use std::time::{Duration, Instant as AgentInstant};

use packet::Instant;
use wireguard::Entropy;

/// Translates instants.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgentClock {
    zero: AgentInstant,
}

impl Default for AgentClock {
    #[expect(clippy::disallowed_methods, reason = "an origin; only differences to it count")]
    fn default() -> Self {
        Self { zero: AgentInstant::now() }
    }
}

impl AgentClock {
    pub(super) fn to_agent(self, at: Instant) -> AgentInstant {
        self.zero + Duration::from_nanos(at.as_nanos())
    }

    pub(super) fn instant_of(self, at: AgentInstant) -> Instant {
        Instant::ZERO + at.saturating_duration_since(self.zero)
    }
}

/// Before an agent is called.
pub(super) fn seed(entropy: &mut Entropy) {
    fastrand::seed(u64::from_le_bytes(*entropy.draw()));
}
