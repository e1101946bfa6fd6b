//! Flow records: who used what (R39).

use nat::flow_table::{CloseReason, FlowEvent, FlowRecord as Flow};
use packet::{Instant, Protocol};

use super::Gateway;
use super::clients::ClientSlot;
use crate::messages::{FlowRecord, GatewayEvent};

impl Gateway {
    /// Turns events of the flow table into records.
    pub(super) fn record_flows(&mut self, now: Instant) {
        while let Some(event) = self.flows.poll_event() {
            let (flow, reason) = match event {
                FlowEvent::Opened(flow) => (flow, None),
                FlowEvent::Closed(flow, reason) => (flow, Some(reason)),
            };
            let Some(flow) = self.flow_record(&flow, now) else { continue };
            self.record(match reason {
                None => GatewayEvent::FlowOpened { flow },
                Some(reason) => {
                    GatewayEvent::FlowClosed { flow, reason: close_reason(reason).to_owned() }
                }
            });
        }
    }

    /// A row of the flow table, in people's words.
    pub(super) fn flow_record(&self, flow: &Flow, now: Instant) -> Option<FlowRecord> {
        let client = self.clients.get(ClientSlot(flow.peer.0))?.id;
        let name = self.translations.name_of(client, flow.proxy);
        let ended = if now > flow.last_seen { flow.last_seen } else { now };
        Some(FlowRecord {
            client,
            resource: self.clients.tags.resource(flow.tag),
            name: name.map(|name| name.as_str().to_owned()),
            protocol: protocol(flow.protocol).to_owned(),
            client_port: flow.client_port,
            proxy: flow.proxy,
            real: flow.real,
            outside_port: flow.outside_port,
            remote_port: flow.remote_port,
            sent_bytes: flow.outbound.bytes,
            sent_packets: flow.outbound.packets,
            received_bytes: flow.inbound.bytes,
            received_packets: flow.inbound.packets,
            duration: (ended - flow.opened).as_secs_f64(),
        })
    }
}

fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Icmp => "icmp",
    }
}

fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Timeout => "timeout",
        CloseReason::Displaced => "displaced",
        CloseReason::Superseded => "superseded",
        CloseReason::ProxyMoved => "proxy_moved",
        CloseReason::Revoked => "revoked",
        CloseReason::PeerRemoved => "peer_removed",
    }
}
