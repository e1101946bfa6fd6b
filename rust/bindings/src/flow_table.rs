//! The Gateway's flow table, by hand.

use std::sync::{Mutex, PoisonError, TryLockError};

use nat::flow_table::{CloseReason, Config, FlowEvent, FlowRecord, FlowTable as Core, PeerIndex};
use packet::Instant;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};
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
/// Safe to share between threads; each call holds the table for itself. `firezone.nat.FlowTable` is
/// this with rows instead of JSON.
#[pyclass(frozen, subclass, module = "firezone._core")]
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

    /// Translate packets of a Client towards real addresses (R26-R29).
    ///
    /// A batch of more than 128 packets, about 20 µs of work, lets other threads of Python run
    /// meanwhile.
    ///
    /// Args:
    ///     batch: The packets; their destinations are proxy addresses.
    ///     addresses: Proxy to real address, for new flows. A live flow keeps its own (R26).
    ///     now: Monotonic seconds.
    ///     peer: Number of the Client, below 2^24. Count from 0: the table grows with it.
    ///     into: Memory of yours for the translated packets (bytearray, array of bytes), with room for
    ///         all of the batch. The batch returned lies in it: writing to it changes that.
    ///
    /// Returns:
    ///     The translated packets and a verdict for each packet given (`Translated`).
    ///
    /// Raises:
    ///     InvalidArgument: `now` is negative, `peer` too high, an address is none, or `into` is
    ///         read-only or too small; nothing was translated then. The text says what is needed.
    ///
    /// >>> from firezone.nat import FlowTable, PacketBatch, udp
    /// >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
    /// >>> memory = bytearray(batch.nbytes)
    /// >>> sent = FlowTable().translate_out(
    /// ...     batch, addresses={"100.96.0.1": "10.0.0.7"}, now=0.0, into=memory
    /// ... )
    /// >>> sent.verdicts, memory[16:20].hex(), sent.packets[0] == memory
    /// (['translated'], '0a000007', True)
    #[pyo3(signature = (batch, *, addresses, now, peer = 0, into = None))]
    fn translate_out<'py>(
        &self,
        batch: &Bound<'py, PacketBatch>,
        addresses: &Bound<'py, PyAny>,
        now: f64,
        peer: u32,
        into: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let addresses = Addresses::new(addresses)?;
        self.translate(batch, &Way::Out(&addresses), peer, now, into)
    }

    /// Translate packets of real hosts back to proxy addresses (R26, R34).
    ///
    /// Args:
    ///     batch: The packets; their destination is the Client's tunnel address.
    ///     now: Monotonic seconds.
    ///     peer: Number of the Client.
    ///     into: As for `translate_out`.
    ///
    /// Returns:
    ///     The translated packets and a verdict for each packet given (`Translated`).
    ///
    /// Raises:
    ///     InvalidArgument: As for `translate_out`.
    #[pyo3(signature = (batch, *, now, peer = 0, into = None))]
    fn translate_in<'py>(
        &self,
        batch: &Bound<'py, PacketBatch>,
        now: f64,
        peer: u32,
        into: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.translate(batch, &Way::In, peer, now, into)
    }

    /// End the flows that are due by `now`, in monotonic seconds (R30, R31).
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

    /// End exactly the flows of a Client to a proxy address (R23); return how many.
    #[pyo3(signature = (proxy, *, now, peer = 0))]
    fn end_proxy(
        &self,
        py: Python<'_>,
        proxy: &Bound<'_, PyAny>,
        now: f64,
        peer: u32,
    ) -> PyResult<usize> {
        let (proxy, peer, now) = (address(proxy)?, peer_index(peer)?, instant(now)?);
        Ok(self.with_table(py, false, |table| table.end_proxy(peer, proxy, now)))
    }

    /// Return all flows, and the ports that rest after some, as bytes (R38).
    ///
    /// Times are ages in there, so another table may count its time from elsewhere. No packets, no
    /// keys and no counters are in it, but the bytes and packets of each flow are.
    ///
    /// Raises:
    ///     InvalidArgument: `now` is negative.
    #[pyo3(signature = (*, now))]
    fn export_state<'py>(&self, py: Python<'py>, now: f64) -> PyResult<Bound<'py, PyBytes>> {
        let now = instant(now)?;
        let state = self.with_table(py, true, |table| flow_state::export(table, now));
        Ok(PyBytes::new(py, &state))
    }

    /// Take over the flows of another table; this one must have none yet (R38).
    ///
    /// Args:
    ///     state: What `export_state` returned.
    ///     now: Monotonic seconds of this table.
    ///     since: Seconds since it was exported.
    ///
    /// Returns:
    ///     How many came over and how many did not (`Imported`), for want of room or because their
    ///     Client's number is no peer's.
    ///
    /// Raises:
    ///     InvalidArgument: It is no such state, is damaged or of another version, or this table is in
    ///         use; nothing has changed then.
    ///
    /// >>> from firezone.nat import FlowTable, PacketBatch, udp
    /// >>> table, other = FlowTable(seed=1), FlowTable(seed=2)
    /// >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
    /// >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=50.0)
    /// >>> other.import_state(table.export_state(now=51.0), now=0.0).flows
    /// 1
    /// >>> other.translate_out(batch, addresses={}, now=1.0).packets[0] == sent.packets[0]
    /// True
    #[pyo3(signature = (state, *, now, since = 0.0))]
    fn import_state<'py>(
        &self,
        state: &Bound<'py, PyAny>,
        now: f64,
        since: f64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = state.py();
        let state = PyBuffer::<u8>::get(state)?.to_vec(py)?;
        let (since, now) = (duration(since)?, instant(now)?);
        let imported = self
            .with_table(py, true, |table| flow_state::import(table, &state, since, now))
            .map_err(bad_argument)?;
        let kind = py.import("firezone.nat.translated")?.getattr("Imported")?;
        kind.call1((imported.flows, imported.rests, imported.left_out))
    }

    /// All flows, as JSON text.
    fn flows_json(&self, py: Python<'_>) -> PyResult<String> {
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
    fn events_json(&self, py: Python<'_>) -> PyResult<String> {
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
    fn counters_json(&self, py: Python<'_>) -> PyResult<String> {
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

    fn translate<'py>(
        &self,
        batch: &Bound<'py, PacketBatch>,
        way: &Way<'_>,
        peer: u32,
        now: f64,
        into: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, batch) = (batch.py(), batch.get());
        let (peer, now): (_, Instant) = (peer_index(peer)?, instant(now)?);
        let room = into.map(|into| Room::new(into, batch.total_bytes())).transpose()?;
        let mut output = Output::new(batch.len(), batch.total_bytes(), room);
        if batch.len() > 0 {
            let output = &mut output;
            self.with_table(py, batch.len() > DETACH_ABOVE, |table| {
                translate(table, way, peer, &batch.packets(), now, output);
            });
        }
        let (packets, codes) = output.finish();
        translated(py, packets, Verdicts::new(codes))
    }
}

/// A `Translated`. Python's own way of making one takes as long as the rest of a short call.
fn translated(
    py: Python<'_>,
    packets: PacketBatch,
    verdicts: Verdicts,
) -> PyResult<Bound<'_, PyAny>> {
    static MAKE: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    let (new, kind) = MAKE.get_or_try_init(py, || {
        let kind = py.import("firezone.nat.translated")?.getattr("Translated")?;
        let new = py.get_type::<PyTuple>().getattr("__new__")?;
        Ok::<_, PyErr>((new.unbind(), kind.unbind()))
    })?;
    new.bind(py).call1((kind, (packets, verdicts)))
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
