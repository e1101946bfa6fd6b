//! Flows as columns of numbers that others read without a copy.

use nat::flow_table::FlowRecord;
use packet::Protocol;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::columns::{Column, ICMP, ICMPV6, TCP, UDP, mapped};
use crate::convert::seconds;

/// The flows of a table as columns, a row per flow: read-only memoryviews that numpy reads without a
/// copy (`numpy.asarray(columns.sent_bytes)`). A million flows are a fraction of a second; as `Flow`
/// they are several.
///
/// >>> from firezone.nat import FlowTable, PacketBatch, udp
/// >>> table = FlowTable(seed=1)
/// >>> batch = PacketBatch([udp("100.64.0.1", 5000 + i, "100.96.0.1", 53, b"ping") for i in range(2)])
/// >>> sent = table.translate_out(batch, addresses={"100.96.0.1": "10.0.0.7"}, now=2.0)
/// >>> columns = table.columns()
/// >>> sorted(columns.client_port), columns.remote_port.tolist(), sum(columns.sent_bytes)
/// ([5000, 5001], [53, 53], 64)
/// >>> columns.real.shape, bytes(columns.real)[10:16].hex(), columns.answered.tolist()
/// ((2, 16), 'ffff0a000007', [False, False])
#[pyclass(frozen, get_all, module = "firezone._core")]
pub(crate) struct FlowColumns {
    /// Numbers of the Clients. Format `I`.
    peer: Py<PyMemoryView>,
    /// Numbers of the protocols (IANA); echo is 1 or 58. Format `B`.
    protocol: Py<PyMemoryView>,
    /// Ports at the Clients, for echo the identifiers. Format `H`.
    client_port: Py<PyMemoryView>,
    /// Addresses that the Clients know: 16 bytes each, IPv4 as IPv6 has it mapped (RFC 4291
    /// §2.5.5.2). Shape (n, 16), format `B`.
    proxy: Py<PyMemoryView>,
    /// Ports of the resources; 0 for echo. Format `H`.
    remote_port: Py<PyMemoryView>,
    /// Ports that the Gateway uses for them. Format `H`.
    outside_port: Py<PyMemoryView>,
    /// Addresses outside, as `proxy`.
    real: Py<PyMemoryView>,
    /// Whether anything ever came back. Format `?`.
    answered: Py<PyMemoryView>,
    /// From the Clients: bytes of whole packets. Format `Q`.
    sent_bytes: Py<PyMemoryView>,
    /// From the Clients: packets. Format `Q`.
    sent_packets: Py<PyMemoryView>,
    /// To the Clients: bytes of whole packets. Format `Q`.
    received_bytes: Py<PyMemoryView>,
    /// To the Clients: packets. Format `Q`.
    received_packets: Py<PyMemoryView>,
    /// When their first packets came, in monotonic seconds, to the millisecond. Format `d`.
    opened: Py<PyMemoryView>,
    /// When their latest packets came, likewise.
    last_seen: Py<PyMemoryView>,
}

impl FlowColumns {
    pub(crate) fn new(py: Python<'_>, flows: &[FlowRecord]) -> PyResult<Self> {
        let view = |column: Column| column.view(py).map(Bound::unbind);
        Ok(Self {
            peer: view(column(flows, |flow| flow.peer.0))?,
            protocol: view(column(flows, protocol))?,
            client_port: view(column(flows, |flow| flow.client_port))?,
            proxy: view(column(flows, |flow| mapped(flow.proxy)))?,
            remote_port: view(column(flows, |flow| flow.remote_port))?,
            outside_port: view(column(flows, |flow| flow.outside_port))?,
            real: view(column(flows, |flow| mapped(flow.real)))?,
            answered: view(column(flows, |flow| flow.answered))?,
            sent_bytes: view(column(flows, |flow| flow.outbound.bytes))?,
            sent_packets: view(column(flows, |flow| flow.outbound.packets))?,
            received_bytes: view(column(flows, |flow| flow.inbound.bytes))?,
            received_packets: view(column(flows, |flow| flow.inbound.packets))?,
            opened: view(column(flows, |flow| seconds(flow.opened)))?,
            last_seen: view(column(flows, |flow| seconds(flow.last_seen)))?,
        })
    }
}

fn column<T>(flows: &[FlowRecord], of: impl Fn(&FlowRecord) -> T) -> Column
where
    Column: From<Vec<T>>,
{
    flows.iter().map(of).collect::<Vec<T>>().into()
}

fn protocol(flow: &FlowRecord) -> u8 {
    match flow.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
        Protocol::Icmp => {
            if flow.proxy.is_ipv4() {
                ICMP
            } else {
                ICMPV6
            }
        }
    }
}
