//! The laboratory's underlay between hosts: two devices joined by seeded links.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use link::{Link, LinkConfig};
use pyo3::prelude::*;
use runtime::{Offloads, Path, PathCounters, PathEnd, Tun};
use serde::Deserialize;

use crate::errors::{bad_argument, os_error, tun_error};
use crate::settings::LinkSide;

/// Shape of the JSON text that makes a path.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PathConfig {
    seed: u64,
    ends: [EndConfig; 2],
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndConfig {
    tun: String,
    namespace: Option<PathBuf>,
    /// What becomes of what this end sends.
    link: LinkSide,
}

/// Two TUN devices of two hosts: what one sends comes out of the other, after the time of a link.
///
/// Made from a JSON text. A thread of its own carries the packets until `stop`, until the object
/// goes, or until a device does.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct LabPath {
    path: Mutex<Path>,
}

#[pymethods]
impl LabPath {
    #[new]
    fn new(py: Python<'_>, config: &str) -> PyResult<Self> {
        let config: PathConfig = serde_json::from_str(config).map_err(bad_argument)?;
        py.detach(|| Ok(Self { path: Mutex::new(start(&config)?) }))
    }

    /// By end: packets that it sent, that the link lost, that the link's queue had no room for, and
    /// that the kernel of the other end did not take.
    fn counters(&self) -> Vec<(u64, u64, u64, u64)> {
        let row = |of: &PathCounters| {
            let PathCounters { entered, lost, cut_off, refused, .. } = of;
            (
                entered.load(Relaxed),
                lost.load(Relaxed),
                cut_off.load(Relaxed),
                refused.load(Relaxed),
            )
        };
        self.with_path(|path| path.counters().iter().map(row).collect())
    }

    /// End the thread and wait for it.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| self.with_path(Path::stop));
    }
}

impl LabPath {
    fn with_path<T>(&self, use_it: impl FnOnce(&mut Path) -> T) -> T {
        use_it(&mut self.path.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn start(config: &PathConfig) -> PyResult<Path> {
    let [here, there] = &config.ends;
    let ends = [end(here, config.seed)?, end(there, config.seed.wrapping_add(1))?];
    Path::start(ends).map_err(os_error)
}

fn end(config: &EndConfig, seed: u64) -> PyResult<PathEnd> {
    let data = config.link.impairment()?;
    let tun = Tun::open(&config.tun, config.namespace.as_deref(), Offloads::Off);
    let link = Link::new(LinkConfig { data, ..LinkConfig::default() }, seed);
    Ok(PathEnd { tun: tun.map_err(|error| tun_error(&error))?, link })
}
