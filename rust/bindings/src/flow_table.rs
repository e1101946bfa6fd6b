//! The Gateway's flow table, by hand.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use nat::flow_table::{
    Binding, Config, FlowEvent, FlowRecord, FlowTable as Core, Inbound, NatError, Outbound,
    PeerIndex,
};
use packet::{Instant, Rewrite, Summary, Train};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::batch::PacketBatch;
use crate::convert::{instant, json as to_json, seconds};

/// Batches above this let other Python threads run.
const DETACH_ABOVE: usize = 16;

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
    #[pyo3(signature = (batch, *, peer, addresses, now))]
    fn translate_out(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, PacketBatch>,
        peer: u32,
        addresses: HashMap<IpAddr, IpAddr>,
        now: f64,
    ) -> PyResult<(PacketBatch, Vec<&'static str>)> {
        let now = instant(now)?;
        let batch = batch.get();
        Ok(self.translate(py, batch, |table, summary, bytes| {
            outbound(table, PeerIndex(peer), summary, bytes, &addresses, now)
        }))
    }

    /// Translate packets of the site back: returns those that belong to a flow, and a verdict for each.
    #[pyo3(signature = (batch, *, peer, now))]
    fn translate_in(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, PacketBatch>,
        peer: u32,
        now: f64,
    ) -> PyResult<(PacketBatch, Vec<&'static str>)> {
        let now = instant(now)?;
        let batch = batch.get();
        Ok(self.translate(py, batch, |table, summary, bytes| {
            match table.inbound(PeerIndex(peer), summary, bytes, 1, now) {
                Inbound::Hit(hit) => Ok(hit.rewrite),
                Inbound::Expired => Err("expired"),
                Inbound::Miss => Err("no_flow"),
            }
        }))
    }

    /// End flows that are due.
    fn advance(&self, now: f64) -> PyResult<()> {
        let now = instant(now)?;
        self.with_table(|table| {
            // Bounded work a call; time does not move on before all that is due is done.
            while table.poll_timeout().is_some_and(|(at, _)| at <= now) {
                table.handle_timeout(now);
            }
        });
        Ok(())
    }

    /// End exactly the flows of a peer to a proxy address; returns how many.
    #[pyo3(signature = (proxy, *, peer, now))]
    fn end_proxy(&self, proxy: IpAddr, peer: u32, now: f64) -> PyResult<usize> {
        let now = instant(now)?;
        Ok(self.with_table(|table| table.end_proxy(PeerIndex(peer), proxy, now)))
    }

    /// All flows, as JSON text.
    fn flows(&self) -> PyResult<String> {
        let mut rows = Vec::new();
        self.with_table(|table| {
            let mut cursor = Some(0);
            while let Some(at) = cursor {
                cursor = table.flows(at, usize::MAX, &mut rows);
            }
        });
        to_json(&rows.iter().map(|flow| row(flow, None)).collect::<Vec<_>>())
    }

    /// Flows that were opened or closed since the last call, as JSON text.
    fn events(&self) -> PyResult<String> {
        let mut rows = Vec::new();
        self.with_table(|table| {
            while let Some(event) = table.poll_event() {
                rows.push(match event {
                    FlowEvent::Opened(flow) => row(&flow, Some(("opened", None))),
                    FlowEvent::Closed(flow, reason) => {
                        row(&flow, Some(("closed", Some(format!("{reason:?}").to_lowercase()))))
                    }
                });
            }
        });
        to_json(&rows)
    }

    /// Counters by name, as JSON text.
    fn counters(&self) -> PyResult<String> {
        self.with_table(|table| {
            let counters = table.counters();
            to_json(&json!({
                "live": counters.live,
                "resting": counters.resting,
                "opened": counters.opened,
                "timed_out": counters.timed_out,
                "displaced": counters.displaced,
                "superseded": counters.superseded,
                "proxy_moved": counters.proxy_moved,
                "port_collisions": counters.port_collisions,
                "refused_exhausted": counters.refused_exhausted,
                "refused_cap": counters.refused_cap,
                "late_outbound": counters.late_outbound,
                "late_inbound": counters.late_inbound,
            }))
        })
    }
}

impl FlowTable {
    fn with_table<T>(&self, use_it: impl FnOnce(&mut Core) -> T) -> T {
        use_it(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn translate(
        &self,
        py: Python<'_>,
        batch: &PacketBatch,
        mut decide: impl FnMut(&mut Core, &Summary, u64) -> Result<Rewrite, &'static str> + Send,
    ) -> (PacketBatch, Vec<&'static str>) {
        let mut work = || {
            let mut translated = PacketBatch::with_capacity(batch.total_bytes(), batch.len());
            let mut verdicts = Vec::with_capacity(batch.len());
            let mut packet = Vec::new();
            self.with_table(|table| {
                for original in batch.iter() {
                    packet.clear();
                    packet.extend_from_slice(original);
                    verdicts.push(match Train::single(&mut packet) {
                        Err(_) => "malformed",
                        Ok(mut train) => {
                            let bytes = train.total_bytes() as u64;
                            match decide(table, train.summary(), bytes) {
                                Err(verdict) => verdict,
                                Ok(rewrite) => {
                                    train.rewrite(&rewrite);
                                    translated.push(&packet);
                                    "translated"
                                }
                            }
                        }
                    });
                }
            });
            (translated, verdicts)
        };
        if batch.len() > DETACH_ABOVE { py.detach(work) } else { work() }
    }
}

fn outbound(
    table: &mut Core,
    peer: PeerIndex,
    summary: &Summary,
    bytes: u64,
    addresses: &HashMap<IpAddr, IpAddr>,
    now: Instant,
) -> Result<Rewrite, &'static str> {
    match table.outbound(peer, summary, bytes, 1, now) {
        Outbound::Hit(hit) => Ok(hit.rewrite),
        Outbound::Expired => Err("expired"),
        Outbound::Miss => {
            let real = *addresses.get(&summary.destination).ok_or("no_address")?;
            let binding = Binding { real, epoch: 0, tag: 0 };
            match table.create(peer, summary, binding, bytes, 1, now) {
                Ok(hit) => Ok(hit.rewrite),
                Err(NatError::Exhausted) => Err("exhausted"),
                Err(NatError::Cap) => Err("capped"),
                Err(NatError::Unsupported) => Err("unsupported"),
            }
        }
    }
}

fn row(flow: &FlowRecord, event: Option<(&str, Option<String>)>) -> Value {
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
