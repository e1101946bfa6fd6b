//! The Gateway's flow table, by hand.

use std::sync::{Mutex, PoisonError, TryLockError};

use nat::flow_table::{Config, FlowRecord, FlowTable as Core, PeerIndex};
use packet::Instant;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::addresses::{Latest, address};
use crate::batch::PacketBatch;
use crate::convert::{duration, instant};
use crate::dataclasses;
use crate::errors::bad_argument;
use crate::flow_columns::FlowColumns;
use crate::memory::Room;
use crate::translate::{Output, Way, translate};
use crate::translated::Translated;
use crate::verdicts::Verdicts;
use crate::{flow_rows, flow_state};

/// Batches above this let other Python threads run. Giving the interpreter away and taking it again
/// costs nothing while nobody wants it, and a wait of up to its switch interval (5 ms) if somebody
/// does: not worth it for less than about 20 µs of work, and a packet is 100 to 250 ns of it.
const DETACH_ABOVE: usize = 128;

/// Peers are numbered below this, as the table's keys have them.
pub(crate) const PEERS: u32 = 1 << 24;

/// The NAT of a Gateway: proxy address to real address and back, flow by flow.
///
/// Safe to share between threads; each call holds the table for itself.
#[pyclass(frozen, subclass, module = "firezone._core")]
pub(crate) struct FlowTable {
    table: Mutex<Core>,
    addresses: Latest,
}

#[pymethods]
impl FlowTable {
    #[new]
    #[pyo3(signature = (*, seed = 0, flows_per_peer = 65_536))]
    fn new(seed: u64, flows_per_peer: u32) -> Self {
        let config = Config { flows_per_peer, ..Config::default() };
        Self { table: Mutex::new(Core::new(config, seed)), addresses: Latest::default() }
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
    fn translate_out(
        &self,
        batch: &Bound<'_, PacketBatch>,
        addresses: &Bound<'_, PyAny>,
        now: f64,
        peer: u32,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Translated> {
        let addresses = self.addresses.addresses(addresses)?;
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
    fn translate_in(
        &self,
        batch: &Bound<'_, PacketBatch>,
        now: f64,
        peer: u32,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Translated> {
        self.translate(batch, &Way::In, peer, now, into)
    }

    /// End the flows that are due by `now`, in monotonic seconds (R30, R31).
    ///
    /// Raises:
    ///     InvalidArgument: `now` is negative.
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
    ///
    /// Args:
    ///     proxy: The proxy address.
    ///     now: Monotonic seconds.
    ///     peer: Number of the Client.
    ///
    /// Raises:
    ///     InvalidArgument: `proxy` is no address, `peer` too high, or `now` negative.
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
    /// Args:
    ///     now: Monotonic seconds.
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
        let kind = py.import("firezone.nat.imported")?.getattr("Imported")?;
        kind.call1((imported.flows, imported.rests, imported.left_out))
    }

    /// Return a row per flow, in no particular order (R40).
    ///
    /// >>> from firezone.nat import FlowTable, PacketBatch, udp
    /// >>> table = FlowTable(seed=1)
    /// >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
    /// >>> table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0).verdicts
    /// ['translated']
    /// >>> [flow] = table.flows()
    /// >>> flow.real, flow.remote_port, flow.sent_bytes, flow.opened
    /// ('10.0.0.7', 53, 32, 2.0)
    fn flows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        flow_rows::flows(py, &self.records(py))
    }

    /// Return all flows as columns, a row per flow, in no particular order (R40).
    fn columns(&self, py: Python<'_>) -> PyResult<FlowColumns> {
        FlowColumns::new(py, &self.records(py))
    }

    /// Take what was opened and closed since the last call, oldest first (R39).
    ///
    /// At most 16,384 wait; those that were dropped are counted (`events_dropped`).
    ///
    /// >>> from firezone.nat import FlowTable, PacketBatch, udp
    /// >>> table = FlowTable(seed=1)
    /// >>> batch = PacketBatch([udp("100.64.0.1", 5000, "100.96.0.1", 53, b"ping")])
    /// >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0)
    /// >>> table.advance(400.0)
    /// >>> [(event.event, event.reason, event.flow.client_port) for event in table.events()]
    /// [('opened', None, 5000), ('closed', 'timeout', 5000)]
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut events = Vec::new();
        self.with_table(py, true, |table| {
            events.extend(std::iter::from_fn(|| table.poll_event()));
        });
        flow_rows::events(py, &events)
    }

    /// Return what happened so far, and what is there now (R39).
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counters = self.with_table(py, false, |table| *table.counters());
        dataclasses::counters!(
            py,
            "FlowCounters",
            counters,
            [
                live,
                resting,
                opened,
                timed_out,
                displaced,
                superseded,
                proxy_moved,
                revoked,
                peer_removed,
                rebound,
                port_collisions,
                rests_cut_short,
                refused_exhausted,
                refused_cap,
                late_outbound,
                late_inbound,
                events_dropped,
            ]
        )
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

    /// All about each flow.
    fn records(&self, py: Python<'_>) -> Vec<FlowRecord> {
        let mut records = Vec::new();
        self.with_table(py, true, |table| {
            let mut cursor = Some(0);
            while let Some(at) = cursor {
                cursor = table.flows(at, usize::MAX, &mut records);
            }
        });
        records
    }

    fn translate(
        &self,
        batch: &Bound<'_, PacketBatch>,
        way: &Way<'_>,
        peer: u32,
        now: f64,
        into: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Translated> {
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
        Ok(Translated::new(packets, Verdicts::new(codes)))
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
