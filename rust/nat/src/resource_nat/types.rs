//! What goes into and comes out of [`ResourceNat`](super::ResourceNat).

use std::time::Duration;

use dns::{Family, NameId, ResourceId};
use packet::Instant;

use crate::control::GatewayId;

/// Settings.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// No refresh sooner than this after the last answer (R06). Zero switches the `ttl` member off
    /// too.
    pub refresh_floor: Duration,
    /// A random number of this process, told to Gateways (R23).
    pub run: u64,
    /// Seed of the tables' hashes.
    pub seed: u64,
}

impl Default for Config {
    /// A floor of 1 s (R06); run and seed are zero.
    fn default() -> Self {
        Self { refresh_floor: Duration::from_secs(1), run: 0, seed: 0 }
    }
}

/// What a query for a name does to an entry that works.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefreshPolicy {
    /// It is refreshed beside the traffic (R01).
    Keep,
    /// It is forgotten and packets are held until the Gateway says yes again: what upstream once
    /// did, kept for comparison (R41).
    Halt,
}

/// What an entry belongs to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryKey {
    /// The Gateway that was told.
    pub gateway: GatewayId,
    /// The name.
    pub name: NameId,
    /// The resource by which it is reached.
    pub resource: ResourceId,
}

/// Handle of an entry; one that has ended is never given out again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EntryId {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl EntryId {
    /// A small number, unique among the entries that live: for a table beside.
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

/// State of one address family of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FamilyState {
    /// Not part of the resource.
    Absent,
    /// Never confirmed: packets are held.
    Establishing,
    /// Confirmed at least once: packets pass.
    Active,
    /// The Gateway said no and nothing ever worked: packets are refused.
    Refused,
}

/// One entry as it stands, for whoever looks in from outside (R40).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryView {
    /// Its handle.
    pub id: EntryId,
    /// What it belongs to.
    pub key: EntryKey,
    /// State of IPv4, of IPv6.
    pub states: [FamilyState; 2],
    /// How many real addresses the Gateway says there are; IPv4, IPv6.
    pub counts: [Option<u32>; 2],
    /// Whether it works on without a fresh answer (R02).
    pub stale: bool,
    /// Whether a handshake waits for its first answer.
    pub in_flight: bool,
    /// Its last packet or query.
    pub last_used: Instant,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is no entry: to be made with [`establish`](super::ResourceNat::establish).
    Unknown,
    /// It goes to the Gateway.
    Pass,
    /// It waits in the owner's queue for this entry and family.
    Hold(EntryId),
    /// It is answered with ICMP unreachable.
    Refuse,
}

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// What is held for the family goes out now, in order, before any later packet (R09).
    Release {
        /// The entry.
        entry: EntryId,
        /// The family.
        family: Family,
    },
    /// What is held for the family is answered with ICMP unreachable (R15), or dropped without a
    /// word if `silent` (R41).
    GiveUp {
        /// The entry.
        entry: EntryId,
        /// The family.
        family: Family,
        /// Under [`RefreshPolicy::Halt`].
        silent: bool,
    },
    /// A family was confirmed for the first time.
    Established {
        /// The entry.
        key: EntryKey,
        /// The family.
        family: Family,
    },
    /// A refresh came to its end.
    Refreshed {
        /// The entry.
        key: EntryKey,
        /// Whether the number of addresses of a family differs from what it was.
        changed: bool,
    },
    /// An entry works on with an older answer, or none (R02).
    Stale {
        /// The entry.
        key: EntryKey,
    },
    /// A family was refused.
    Refused {
        /// The entry.
        key: EntryKey,
        /// The family.
        family: Family,
    },
    /// The Gateway says that the resource is not authorised; the entry has ended (R42).
    AccessLost {
        /// The entry.
        key: EntryKey,
    },
}

/// What has been done, counted since the beginning.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Counters {
    /// Queries that were handled.
    pub queries: u64,
    /// Entries that queries have looked at (R05).
    pub touched_entries: u64,
    /// Handshakes that began.
    pub handshakes: u64,
    /// Messages that were sent, the repeated ones included.
    pub transmissions: u64,
    /// Refreshes that were answered.
    pub refreshes_completed: u64,
    /// Refreshes that ended without an answer, or with one that is not fresh.
    pub refreshes_stale: u64,
    /// Statuses that changed nothing: of no entry, too old, or unasked.
    pub statuses_ignored: u64,
}
