//! When a handshake is sent (R03).

use std::time::Duration;

/// Offsets of the first transmissions from the start of a handshake, in milliseconds (R03).
const FIRST: [u64; 5] = [0, 500, 1500, 3500, 7500];
/// Distance of all later ones (R03).
const LATER: u64 = 8000;

/// A first set-up without an answer is given up after this (R03).
pub(super) const SETUP_LIMIT: Duration = Duration::from_secs(60);
/// A refresh is sent this often at most (R03).
pub(super) const REFRESH_TRANSMISSIONS: u32 = 5;
/// `Refused` is retried no sooner than this after the refusal (R07).
pub(super) const REFUSED_RETRY: Duration = Duration::from_secs(5);
/// First distance of retries of a stale entry (R02).
pub(super) const STALE_RETRY: Duration = Duration::from_secs(5);
/// Longest distance of retries of a stale entry, and the use that lets them go on (R02).
pub(super) const STALE_RETRY_LIMIT: Duration = Duration::from_secs(5 * 60);
/// An entry used within this is announced at once on a new connection (R42).
pub(super) const RECENT: Duration = Duration::from_secs(5 * 60);
/// An entry gives up its state after this (R08).
pub(super) const IDLE: Duration = Duration::from_secs(24 * 60 * 60);
/// The `ttl` member counts up to this, in seconds (R06).
pub(super) const TTL_LIMIT: u32 = 30;
/// First distance of announcements on ICMP *prohibited*, doubled up to [`PROHIBITED_LIMIT`] (R42).
pub(super) const PROHIBITED_FIRST: Duration = Duration::from_secs(1);
/// Longest such distance, and the silence after which the errors are forgotten (R42).
pub(super) const PROHIBITED_LIMIT: Duration = Duration::from_secs(60);
/// Under `Halt` a pending handshake is repeated no sooner than this, and only by a query: what
/// upstream did (dataplane §10.2).
pub(super) const HALT_REPEAT: Duration = Duration::from_secs(2);

/// How long after its start a handshake is sent for the time after `sent` times.
pub(super) fn offset(sent: u32) -> Duration {
    let index = usize::try_from(sent).unwrap_or(usize::MAX);
    let millis = FIRST.get(index).copied().unwrap_or_else(|| {
        let beyond = u64::from(sent).saturating_sub(FIRST.len() as u64 - 1);
        FIRST[FIRST.len() - 1] + LATER * beyond
    });
    Duration::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r03_offsets_are_those_of_the_rule() {
        let seconds: Vec<f64> = (0..8).map(|sent| offset(sent).as_secs_f64()).collect();
        assert_eq!(seconds, [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 23.5, 31.5]);
    }
}
