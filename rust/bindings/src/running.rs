//! What every class with a data-plane thread shares: commands down, events up, the wake-up socket.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use runtime::{Handle, LoopEvent, StationCounters};
use serde_json::json;
use tunnel::messages::Command;

use crate::errors::{bad_argument, command_refused};

/// Counters by name.
pub(crate) type Row = BTreeMap<&'static str, u64>;

/// A running loop.
pub(crate) struct Running {
    handle: Mutex<Handle>,
    wake_socket: OwnedFd,
}

impl Running {
    pub(crate) fn new(mut handle: Handle) -> PyResult<Self> {
        let wake_socket = handle.take_wake_socket();
        let wake_socket = wake_socket.ok_or_else(|| bad_argument("the wake-up socket is gone"))?;
        Ok(Self { handle: Mutex::new(handle), wake_socket })
    }

    pub(crate) fn with_handle<T>(&self, use_it: impl FnOnce(&mut Handle) -> T) -> T {
        use_it(&mut self.handle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn command(&self, station: usize, command: Command) -> PyResult<()> {
        self.with_handle(|handle| handle.command(station, command)).map_err(command_refused)
    }

    /// All events that wait: pairs of station and JSON text.
    pub(crate) fn events(&self) -> PyResult<Vec<(usize, String)>> {
        self.with_handle(|handle| {
            handle.lower_wake_flag();
            let events = std::iter::from_fn(|| handle.poll_event());
            events.map(|event| text(event).map_err(bad_argument)).collect()
        })
    }

    pub(crate) fn wake_fd(&self) -> i32 {
        self.wake_socket.as_raw_fd()
    }

    /// What went through the devices and sockets, by name, per station.
    pub(crate) fn counters(&self) -> Vec<Row> {
        self.with_handle(|handle| {
            let counters = handle.counters();
            let turns = counters.turns.load(Relaxed);
            counters.stations.iter().map(|station| row(station, turns)).collect()
        })
    }

    pub(crate) fn stop(&self, py: Python<'_>) {
        py.detach(|| self.with_handle(Handle::stop));
    }
}

fn row(station: &StationCounters, turns: u64) -> Row {
    let named = [
        ("tun_read", &station.tun_read),
        ("tun_written", &station.tun_written),
        ("tun_refused", &station.tun_refused),
        ("tun_read_calls", &station.tun_read_calls),
        ("tun_write_calls", &station.tun_write_calls),
        ("datagrams_dropped", &station.datagrams_dropped),
        ("datagrams_sent", &station.datagrams_sent),
        ("datagrams_received", &station.datagrams_received),
        ("udp_send_calls", &station.udp_send_calls),
        ("udp_receive_calls", &station.udp_receive_calls),
    ];
    let loaded = named.into_iter().map(|(name, counter)| (name, counter.load(Relaxed)));
    loaded.chain([("poll_calls", turns)]).collect()
}

fn text(event: LoopEvent) -> serde_json::Result<(usize, String)> {
    Ok(match event {
        LoopEvent::Endpoint(station, event) => (station, serde_json::to_string(&event)?),
        LoopEvent::TunFailed { station, error } => {
            (station, json!({"type": "tun_failed", "error": error}).to_string())
        }
        LoopEvent::SendFailed { station, error } => {
            (station, json!({"type": "send_failed", "error": error}).to_string())
        }
        LoopEvent::Stopped => (0, json!({"type": "stopped"}).to_string()),
    })
}
