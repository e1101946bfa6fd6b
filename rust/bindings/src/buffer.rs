//! The packet buffer, by hand.

use std::sync::{Mutex, PoisonError};

use nat::buffer::{Behaviour, Limits, PacketBuffer as Core, PushError, QueueId, Stored};
use pyo3::prelude::*;

use crate::batch::PacketBatch;
use crate::convert::{duration, instant, seconds};
use crate::dataclasses::counters;
use crate::errors::bad_argument;
use crate::memory::Memory;

/// Packets that wait: bounded, fair between flows and queues, the first ones kept.
#[pyclass(frozen, module = "firezone._core")]
pub(crate) struct PacketBuffer {
    state: Mutex<State>,
}

struct State {
    buffer: Core,
    /// Python's handle of a queue is its place here.
    queues: Vec<Option<QueueId>>,
}

#[pymethods]
impl PacketBuffer {
    #[new]
    #[pyo3(signature = (*, seed = 0, queue_bytes = 1 << 20, queue_packets = 1024,
        total_bytes = 64 << 20, max_age = 60.0))]
    fn new(
        seed: u64,
        queue_bytes: usize,
        queue_packets: usize,
        total_bytes: usize,
        max_age: f64,
    ) -> PyResult<Self> {
        let limits = Limits {
            entry_bytes: queue_bytes,
            entry_packets: queue_packets,
            total_bytes,
            max_age: duration(max_age)?,
            ..Limits::default()
        };
        let state = State { buffer: Core::new(limits, seed), queues: Vec::new() };
        Ok(Self { state: Mutex::new(state) })
    }

    /// Open a queue; returns its handle. With `overwrite`, a ring of so many packets that forgets the
    /// oldest (the `halt` policy's).
    #[pyo3(signature = (*, now, overwrite = None))]
    fn open(&self, now: f64, overwrite: Option<usize>) -> PyResult<usize> {
        let now = instant(now)?;
        let behaviour = match overwrite {
            None => Behaviour::KeepFirst,
            Some(slots) => Behaviour::Overwrite { slots },
        };
        Ok(self.with_state(|state| {
            let queue = state.buffer.open_with(behaviour, now);
            state.queues.push(Some(queue));
            state.queues.len() - 1
        }))
    }

    /// Put packets into a queue; returns for each what became of it.
    #[pyo3(signature = (queue, batch, *, now))]
    fn push(
        &self,
        queue: usize,
        batch: &Bound<'_, PacketBatch>,
        now: f64,
    ) -> PyResult<Vec<&'static str>> {
        let now = instant(now)?;
        let packets = batch.get().packets();
        self.with_queue(queue, |buffer, queue| {
            packets.iter().map(|packet| outcome(buffer.push(queue, packet, now))).collect()
        })
    }

    /// Take up to `most` packets out of a queue, oldest first.
    #[pyo3(signature = (queue, *, most = usize::MAX))]
    fn drain(&self, queue: usize, most: usize) -> PyResult<PacketBatch> {
        self.with_queue(queue, |buffer, queue| {
            let (mut bytes, mut ends) = (Vec::new(), Vec::new());
            while ends.len() < most {
                let Some(packet) = buffer.front(queue) else { break };
                bytes.extend_from_slice(packet);
                ends.push(bytes.len());
                buffer.pop(queue);
            }
            PacketBatch::new_at(Memory::Own(bytes), ends)
        })
    }

    /// Close a queue; what it holds is dropped and counted.
    fn close(&self, queue: usize) -> PyResult<()> {
        self.with_queue(queue, |buffer, queue| buffer.close(queue))?;
        self.with_state(|state| state.queues[queue] = None);
        Ok(())
    }

    /// What a queue holds: packets, bytes, flows, and when its oldest came (seconds).
    fn held(&self, queue: usize) -> PyResult<(usize, usize, usize, Option<f64>)> {
        self.with_queue(queue, |buffer, queue| {
            let held = buffer.held(queue);
            held.map_or((0, 0, 0, None), |held| {
                (held.packets, held.bytes, held.flows, held.oldest.map(seconds))
            })
        })
    }

    /// What happened so far: a `BufferCounters`.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let counters = self.with_state(|state| *state.buffer.counters());
        counters!(
            py,
            "BufferCounters",
            counters,
            [
                stored,
                duplicate,
                replaced,
                released,
                cleared,
                overwritten,
                refused_entry_bytes,
                refused_entry_packets,
                refused_flow_share,
                refused_entry_share,
                refused_total,
                refused_malformed,
                peak_bytes,
                peak_packets,
            ]
        )
    }
}

impl PacketBuffer {
    fn with_state<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn with_queue<T>(
        &self,
        queue: usize,
        use_it: impl FnOnce(&mut Core, QueueId) -> T,
    ) -> PyResult<T> {
        self.with_state(|state| match state.queues.get(queue) {
            Some(Some(id)) => Ok(use_it(&mut state.buffer, *id)),
            Some(None) | None => Err(bad_argument(format!("queue {queue} is not open"))),
        })
    }
}

fn outcome(pushed: Result<Stored, PushError>) -> &'static str {
    match pushed {
        Ok(Stored::New) => "stored",
        Ok(Stored::Duplicate) => "duplicate",
        Ok(Stored::Replaced) => "replaced",
        Err(PushError::Closed) => "closed",
        Err(PushError::Malformed) => "malformed",
        Err(PushError::EntryBytes) => "queue_bytes",
        Err(PushError::EntryPackets) => "queue_packets",
        Err(PushError::FlowShare) => "flow_share",
        Err(PushError::EntryShare) => "queue_share",
        Err(PushError::Total) => "total",
    }
}
