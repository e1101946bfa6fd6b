//! The Gateway's flow table, by hand.

use std::sync::{Mutex, PoisonError, TryLockError};

use nat::flow_table::{CloseReason, Config, FlowEvent, FlowRecord, FlowTable as Core, PeerIndex};
use packet::Instant;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{Value, json};

use crate::addresses::{Addresses, address};
use crate::batch::PacketBatch;
use crate::convert::{duration, instant, json as to_json, seconds};
use crate::errors::bad_argument;
use crate::flow_state;
use crate::memory::Room;
use crate::translate::{Output, Way, translate};
use crate::verdicts::Verdicts;

/// Batches above this let other Python threads run. Giving the interpreter away and taking it again
/// costs nothing while nobody wants it, and a wait of up to its switch interval (5 ms) if somebody
/// does: not worth it for less than about 20 µs of work, and a packet is 100 to 250 ns of it.
const DETACH_ABOVE: usize = 128;

/// Peers are numbered below this, as the table's keys have them.
pub(crate) const PEERS: u32 = 1 << 24;

/// The NAT of a Gateway: proxy address to real address and back, flow by flow.
///
/// Safe to share between threads; each call holds the table for itself.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct FlowTable {
    table: Mutex<Core>,
}

#[pymethods]
impl FlowTable {
    #[new]
    #[pyo3(signature = (*, seed = 0, flows_per_peer = 65_536))]
    fn new(seed: u64, flows_per_peer: u32) -> Self {
        let config = Config { flows_per_peer, ..Config::default() };
        Self { table: Mutex::new(Core::new(config, seed)) }
    }

    /// Translate packets of a Client: returns those that were translated, and a verdict for each.
    #[pyo3(signature = (batch, *, peer, addresses, now, into = None))]
    fn translate_out(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, PacketBatch>,
        peer: u32,
        addresses: &Bound<'_, PyAny>,
        now: f64,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(PacketBatch, Verdicts)> {
        let addresses = Addresses::new(addresses)?;
        self.translate(py, batch.get(), &Way::Out(&addresses), peer, now, into)
    }

    /// Translate packets of the site back: returns those that belong to a flow, and a verdict for each.
    #[pyo3(signature = (batch, *, peer, now, into = None))]
    fn translate_in(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, PacketBatch>,
        peer: u32,
        now: f64,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(PacketBatch, Verdicts)> {
        self.translate(py, batch.get(), &Way::In, peer, now, into)
    }

    /// End flows that are due.
    fn advance(&self, py: Python<'_>, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        self.with_table(py, true, |table| {
            // Bounded work a call; time does not move on before all that is due is done.
            while table.poll_timeout().is_some_and(|(at, _)| at <= now) {
                table.handle_timeout(now);
            }
        });
        Ok(())
    }

    /// End exactly the flows of a peer to a proxy address; returns how many.
    #[pyo3(signature = (proxy, *, peer, now))]
    fn end_proxy(
        &self,
        py: Python<'_>,
        proxy: &Bound<'_, PyAny>,
        peer: u32,
        now: f64,
    ) -> PyResult<usize> {
        let (proxy, peer, now) = (address(proxy)?, peer_index(peer)?, instant(now)?);
        Ok(self.with_table(py, false, |table| table.end_proxy(peer, proxy, now)))
    }

    /// The state of all flows and resting ports, as bytes that `import_state` takes (R38).
    fn export_state<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyBytes>> {
        let now = instant(now)?;
        let state = self.with_table(py, true, |table| flow_state::export(table, now));
        Ok(PyBytes::new(py, &state))
    }

    /// Take over what another table exported `since` seconds ago; how many flows, ports that rest, and
    /// of both were left out.
    fn import_state(
        &self,
        py: Python<'_>,
        state: &Bound<'_, PyAny>,
        since: f64,
        now: f64,
    ) -> PyResult<(u32, u32, u32)> {
        let state = PyBuffer::<u8>::get(state)?.to_vec(py)?;
        let (since, now) = (duration(since)?, instant(now)?);
        let imported = self
            .with_table(py, true, |table| flow_state::import(table, &state, since, now))
            .map_err(bad_argument)?;
        Ok((imported.flows, imported.rests, imported.left_out))
    }

    /// All flows, as JSON text.
    fn flows(&self, py: Python<'_>) -> PyResult<String> {
        let mut rows = Vec::new();
        self.with_table(py, true, |table| {
            let mut cursor = Some(0);
            while let Some(at) = cursor {
                cursor = table.flows(at, usize::MAX, &mut rows);
            }
        });
        to_json(&rows.iter().map(|flow| row(flow, None)).collect::<Vec<_>>())
    }

    /// Flows that were opened or closed since the last call, as JSON text.
    fn events(&self, py: Python<'_>) -> PyResult<String> {
        let mut rows = Vec::new();
        self.with_table(py, true, |table| {
            while let Some(event) = table.poll_event() {
                rows.push(match event {
                    FlowEvent::Opened(flow) => row(&flow, Some(("opened", None))),
                    FlowEvent::Closed(flow, reason) => {
                        row(&flow, Some(("closed", Some(why_closed(reason)))))
                    }
                });
            }
        });
        to_json(&rows)
    }

    /// Counters by name, as JSON text.
    fn counters(&self, py: Python<'_>) -> PyResult<String> {
        let counters = self.with_table(py, false, |table| *table.counters());
        to_json(&json!({
            "live": counters.live,
            "resting": counters.resting,
            "opened": counters.opened,
            "timed_out": counters.timed_out,
            "displaced": counters.displaced,
            "superseded": counters.superseded,
            "proxy_moved": counters.proxy_moved,
            "revoked": counters.revoked,
            "peer_removed": counters.peer_removed,
            "rebound": counters.rebound,
            "port_collisions": counters.port_collisions,
            "rests_cut_short": counters.rests_cut_short,
            "refused_exhausted": counters.refused_exhausted,
            "refused_cap": counters.refused_cap,
            "late_outbound": counters.late_outbound,
            "late_inbound": counters.late_inbound,
            "events_dropped": counters.events_dropped,
        }))
    }
}

impl FlowTable {
    /// Does some work on the table: with the interpreter in hand if it is short and nobody else has
    /// the table, else without it, so that other Python threads run meanwhile.
    fn with_table<T: Send>(
        &self,
        py: Python<'_>,
        is_long: bool,
        work: impl FnOnce(&mut Core) -> T + Send,
    ) -> T {
        if !is_long {
            match self.table.try_lock() {
                Ok(mut table) => return work(&mut table),
                Err(TryLockError::Poisoned(table)) => return work(&mut table.into_inner()),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        py.detach(|| work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn translate(
        &self,
        py: Python<'_>,
        batch: &PacketBatch,
        way: &Way<'_>,
        peer: u32,
        now: f64,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<(PacketBatch, Verdicts)> {
        let (peer, now): (_, Instant) = (peer_index(peer)?, instant(now)?);
        let room = into.map(|into| Room::new(into, batch.total_bytes())).transpose()?;
        let mut output = Output::new(batch.len(), batch.total_bytes(), room);
        if batch.len() > 0 {
            let output = &mut output;
            self.with_table(py, batch.len() > DETACH_ABOVE, |table| {
                translate(table, way, peer, &batch.packets(), now, output);
            });
        }
        let (translated, codes) = output.finish();
        Ok((translated, Verdicts::new(codes)))
    }
}

fn peer_index(peer: u32) -> PyResult<PeerIndex> {
    if peer >= PEERS {
        return Err(bad_argument(format!(
            "peers are numbered from 0 and below {PEERS}, not {peer}"
        )));
    }
    Ok(PeerIndex(peer))
}

fn row(flow: &FlowRecord, event: Option<(&str, Option<&str>)>) -> Value {
    let mut row = json!({
        "peer": flow.peer.0,
        "protocol": format!("{:?}", flow.protocol).to_lowercase(),
        "client_port": flow.client_port,
        "proxy": flow.proxy,
        "remote_port": flow.remote_port,
        "outside_port": flow.outside_port,
        "real": flow.real,
        "answered": flow.answered,
        "sent_bytes": flow.outbound.bytes,
        "sent_packets": flow.outbound.packets,
        "received_bytes": flow.inbound.bytes,
        "received_packets": flow.inbound.packets,
        "opened": seconds(flow.opened),
        "last_seen": seconds(flow.last_seen),
    });
    if let Some((event, reason)) = event {
        row["event"] = event.into();
        row["reason"] = reason.into();
    }
    row
}

fn why_closed(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Timeout => "timeout",
        CloseReason::Displaced => "displaced",
        CloseReason::Superseded => "superseded",
        CloseReason::ProxyMoved => "proxy_moved",
        CloseReason::Revoked => "revoked",
        CloseReason::PeerRemoved => "peer_removed",
    }
}
