//! Small conversions that several classes share.

use std::time::Duration;

use packet::Instant;
use pyo3::prelude::*;

use crate::errors::bad_argument;

/// Python's `now`: seconds, monotonic, not negative.
pub(crate) fn instant(now: f64) -> PyResult<Instant> {
    let since = Duration::try_from_secs_f64(now).map_err(bad_argument)?;
    let nanos = u64::try_from(since.as_nanos()).map_err(bad_argument)?;
    Ok(Instant::from_nanos(nanos))
}

/// The same the other way round.
pub(crate) fn seconds(at: Instant) -> f64 {
    (at - Instant::ZERO).as_secs_f64()
}

/// A duration given in seconds.
pub(crate) fn duration(value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value).map_err(bad_argument)
}
