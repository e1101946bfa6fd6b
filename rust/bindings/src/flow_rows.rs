//! Flows and what happened to them, as the dataclasses of `firezone.nat`.

use std::collections::HashMap;
use std::net::IpAddr;

use nat::flow_table::{CloseReason, FlowEvent, FlowRecord};
use packet::Protocol;
use pyo3::IntoPyObjectExt;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::convert::seconds;
use crate::dataclasses::Dataclass;

static FLOW: Dataclass = Dataclass::new(
    "firezone.nat.flow_table",
    "Flow",
    &[
        "peer",
        "protocol",
        "client_port",
        "proxy",
        "remote_port",
        "outside_port",
        "real",
        "answered",
        "sent_bytes",
        "sent_packets",
        "received_bytes",
        "received_packets",
        "opened",
        "last_seen",
    ],
);

static FLOW_EVENT: Dataclass =
    Dataclass::new("firezone.nat.flow_table", "FlowEvent", &["event", "reason", "flow"]);

/// A list of `Flow`.
pub(crate) fn flows<'py>(py: Python<'py>, records: &[FlowRecord]) -> PyResult<Bound<'py, PyList>> {
    let mut rows = Rows::new(py);
    let list = PyList::empty(py);
    for record in records {
        list.append(rows.flow(record)?)?;
    }
    Ok(list)
}

/// A list of `FlowEvent`.
pub(crate) fn events<'py>(py: Python<'py>, events: &[FlowEvent]) -> PyResult<Bound<'py, PyList>> {
    let mut rows = Rows::new(py);
    let list = PyList::empty(py);
    for event in events {
        list.append(rows.event(event)?)?;
    }
    Ok(list)
}

struct Rows<'py> {
    py: Python<'py>,
    /// Many flows have the same addresses: a text of each is enough.
    addresses: HashMap<IpAddr, Bound<'py, PyString>>,
}

impl<'py> Rows<'py> {
    fn new(py: Python<'py>) -> Self {
        Self { py, addresses: HashMap::new() }
    }

    fn flow(&mut self, flow: &FlowRecord) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let values = [
            flow.peer.0.into_bound_py_any(py)?,
            protocol(py, flow.protocol).into_bound_py_any(py)?,
            flow.client_port.into_bound_py_any(py)?,
            self.address(flow.proxy),
            flow.remote_port.into_bound_py_any(py)?,
            flow.outside_port.into_bound_py_any(py)?,
            self.address(flow.real),
            flow.answered.into_bound_py_any(py)?,
            flow.outbound.bytes.into_bound_py_any(py)?,
            flow.outbound.packets.into_bound_py_any(py)?,
            flow.inbound.bytes.into_bound_py_any(py)?,
            flow.inbound.packets.into_bound_py_any(py)?,
            seconds(flow.opened).into_bound_py_any(py)?,
            seconds(flow.last_seen).into_bound_py_any(py)?,
        ];
        FLOW.make(py, values)
    }

    fn event(&mut self, event: &FlowEvent) -> PyResult<Bound<'py, PyAny>> {
        let py = self.py;
        let (what, reason, flow) = match event {
            FlowEvent::Opened(flow) => (intern!(py, "opened"), None, flow),
            FlowEvent::Closed(flow, reason) => {
                (intern!(py, "closed"), Some(why_closed(py, *reason)), flow)
            }
        };
        let flow = self.flow(flow)?;
        FLOW_EVENT.make(py, [what.into_bound_py_any(py)?, reason.into_bound_py_any(py)?, flow])
    }

    fn address(&mut self, address: IpAddr) -> Bound<'py, PyAny> {
        let text = || PyString::new(self.py, &address.to_string());
        self.addresses.entry(address).or_insert_with(text).clone().into_any()
    }
}

fn protocol(py: Python<'_>, protocol: Protocol) -> &Bound<'_, PyString> {
    match protocol {
        Protocol::Tcp => intern!(py, "tcp"),
        Protocol::Udp => intern!(py, "udp"),
        Protocol::Icmp => intern!(py, "icmp"),
    }
}

fn why_closed(py: Python<'_>, reason: CloseReason) -> &Bound<'_, PyString> {
    match reason {
        CloseReason::Timeout => intern!(py, "timeout"),
        CloseReason::Displaced => intern!(py, "displaced"),
        CloseReason::Superseded => intern!(py, "superseded"),
        CloseReason::ProxyMoved => intern!(py, "proxy_moved"),
        CloseReason::Revoked => intern!(py, "revoked"),
        CloseReason::PeerRemoved => intern!(py, "peer_removed"),
    }
}
