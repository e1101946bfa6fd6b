//! Judging a laboratory run by its captures: files in, JSON text out.

use std::fs::File;
use std::io::BufReader;

use pyo3::prelude::*;
use serde_json::{Value, json};
use simulation::capture::{BUCKET, Direction, Fate, Rate, Window, compare};

use crate::errors::{bad_argument, os_error};

/// Compare the captures of the Client's and the Gateway's TUN device.
///
/// `direction` is `up` or `down`, the way of the transfer's payload; `since` and `until` are the times,
/// in seconds since the epoch, between which gaps count; at the latter it was ended on purpose. Raises `OSError` for a file that cannot be opened and
/// `ValueError` for captures that cannot be compared. Returns a JSON text.
#[pyfunction]
#[pyo3(signature = (client_pcap, gateway_pcap, direction, since=None, until=None))]
pub(crate) fn compare_captures(
    py: Python<'_>,
    client_pcap: &str,
    gateway_pcap: &str,
    direction: &str,
    since: Option<f64>,
    until: Option<f64>,
) -> PyResult<String> {
    let direction = match direction {
        "up" => Direction::Up,
        "down" => Direction::Down,
        other => return Err(bad_argument(format!("direction {other:?} is neither up nor down"))),
    };
    // Seconds since the epoch fit a u64 of nanoseconds until 2554; what does not is clamped.
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    let window = Window { begin: since.map(nanos), end: until.map(nanos) };
    py.detach(|| {
        let (client, gateway) = (open(client_pcap)?, open(gateway_pcap)?);
        let report = compare(client, gateway, direction, window).map_err(bad_argument)?;
        let report = json!({
            "frames": {"client": report.frames[0], "gateway": report.frames[1]},
            "flows": report.flows,
            "inside": report.inside.map(|end| end.to_string()),
            "outside": report.outside.map(|end| end.to_string()),
            "transfer": fate(&report.transfer),
            "others": fate(&report.others),
            "rate": rate(&report.rate),
        });
        Ok(report.to_string())
    })
}

fn open(path: &str) -> PyResult<BufReader<File>> {
    // The bindings are the laboratory's door to files; below them nothing opens any.
    #[expect(clippy::disallowed_methods, reason = "captures are files")]
    let file = File::open(path);
    Ok(BufReader::with_capacity(1 << 20, file.map_err(os_error)?))
}

fn fate(fate: &Fate) -> Value {
    json!({
        "matched": fate.matched,
        "lost": fate.lost,
        "duplicated": fate.duplicated,
        "reordered": fate.reordered,
        "misdirected": fate.misdirected,
        "unexpected": fate.unexpected,
        "resets": fate.resets,
        "in_flight": fate.in_flight,
    })
}

fn rate(rate: &Rate) -> Value {
    json!({
        "bytes": rate.bytes,
        "start_ns": rate.start,
        "gaps": rate.gaps,
        "longest_gap_ns": rate.longest_gap,
        "gap_p9999_ns": rate.gap_p9999,
        "bucket_ns": BUCKET.as_nanos() as u64,
        "series": rate.series,
    })
}
