//! The site's name server: which records it has, how they change, and when it answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use packet::Instant;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tunnel::messages::{LookupFamily, LookupResult};

/// Hosts of the site, per family.
pub const HOSTS: u8 = 8;
/// Records of the name at a time.
const RECORDS: u8 = 2;
/// A server near by answers within this.
const QUICK: Duration = Duration::from_millis(3);
/// Records are replaced or rotated this often.
const CHANGE_EVERY: Duration = Duration::from_millis(100);
/// Late answers come between these.
const LATE: (u64, u64) = (200, 3000);

/// What the records do once the flows stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the scenarios (a)-(g) by their names on the command line")]
pub enum Records {
    Same,
    Rotate,
    Replace,
    LoseFamily,
    ServFail,
    Refused,
    NxDomain,
    Timeout,
    Late,
}

impl Records {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Same,
        Self::Rotate,
        Self::Replace,
        Self::LoseFamily,
        Self::ServFail,
        Self::Refused,
        Self::NxDomain,
        Self::Timeout,
        Self::Late,
    ];
}

/// The server. Its answers depend on its seed and on time alone.
pub struct Resolver {
    records: Records,
    /// Until then it answers as [`Records::Same`].
    from: Instant,
    random: ChaCha8Rng,
}

impl Resolver {
    /// Creates a server that begins to misbehave at `from`.
    pub fn new(records: Records, from: Instant, seed: u64) -> Self {
        Self { records, from, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// Answers a query that arrives at `now`: what, and when. `None`: never.
    pub fn ask(&mut self, family: LookupFamily, now: Instant) -> Option<(Instant, LookupResult)> {
        let quick = now + QUICK;
        let step = (now - self.from).as_nanos() / CHANGE_EVERY.as_nanos();
        let step = u8::try_from(step % 8).unwrap_or(0);
        if now < self.from {
            return Some((quick, addresses(family, 0, false)));
        }
        let answer = match self.records {
            Records::Same => addresses(family, 0, false),
            Records::Rotate => addresses(family, 0, step % 2 == 1),
            Records::Replace => addresses(family, step * RECORDS, false),
            Records::LoseFamily => lose_family(family, now - self.from),
            Records::ServFail => LookupResult::ServFail,
            Records::Refused => LookupResult::Refused,
            Records::NxDomain => LookupResult::NxDomain,
            Records::Timeout => return None,
            Records::Late => {
                let span = LATE.1 - LATE.0;
                let wait = LATE.0 + self.random.next_u64() % span;
                let answer = addresses(family, step * RECORDS, false);
                return Some((now + Duration::from_millis(wait), answer));
            }
        };
        Some((quick, answer))
    }
}

/// IPv4 is gone for seven seconds, long enough to be confirmed (R21), then IPv6; both are there for a
/// second before each.
fn lose_family(family: LookupFamily, since: Duration) -> LookupResult {
    let lost = match since.as_secs() % 16 {
        1..=7 => Some(LookupFamily::Ipv4),
        9..=15 => Some(LookupFamily::Ipv6),
        _ => None,
    };
    if lost == Some(family) { LookupResult::NoData } else { addresses(family, 0, false) }
}

fn addresses(family: LookupFamily, first: u8, reversed: bool) -> LookupResult {
    let mut hosts: Vec<_> = (0..RECORDS).map(|i| (host(family, (first + i) % HOSTS), 0)).collect();
    if reversed {
        hosts.reverse();
    }
    LookupResult::Addresses(hosts)
}

/// Address of a host of the site.
pub fn host(family: LookupFamily, number: u8) -> IpAddr {
    match family {
        LookupFamily::Ipv4 => Ipv4Addr::new(10, 77, 0, 11 + number).into(),
        LookupFamily::Ipv6 => {
            Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x11 + u16::from(number)).into()
        }
    }
}
