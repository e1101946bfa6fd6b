//! Pages of the Client's state for orchestration.

use ::dns::{Family, NameId};
use packet::Instant;
use serde_json::{Value, json};

use super::Client;
use super::routes::ResourceSlot;
use crate::messages::{ClientEvent, InspectClient};
use crate::peering;

/// Rows of a page (design §4).
const PAGE: usize = 256;

impl Client {
    pub(super) fn inspect(&mut self, id: u64, what: InspectClient, cursor: u64, now: Instant) {
        let (rows, cursor) = match what {
            InspectClient::Flows => self.flow_rows(cursor, now),
            InspectClient::Explain(what) => (self.explain(&what, now), None),
            InspectClient::Peers => (self.peer_rows(now), None),
            InspectClient::Counters => (vec![self.counters_row()], None),
            InspectClient::Resources => self.resource_rows(cursor, now),
        };
        self.events.push_back(ClientEvent::Inspected { id, rows, cursor });
    }

    /// Every counter, by the state machine that keeps it.
    fn counters_row(&self) -> Value {
        let (nat, buffer, dns) = (self.nat.counters(), self.buffer.counters(), &self.dns.counters);
        let opened = self.connections.counters();
        json!({
            "forwarded": self.counters.forwarded,
            "delivered": self.counters.delivered,
            "held": self.counters.held,
            "drained": self.counters.drained,
            "control_received": self.counters.control_received,
            "control_ignored": self.counters.control_ignored,
            "records_dropped": self.records_dropped,
            "refused": self.refuser.counters(),
            "nat": {
                "queries": nat.queries,
                "touched_entries": nat.touched_entries,
                "handshakes": nat.handshakes,
                "transmissions": nat.transmissions,
                "refreshes_completed": nat.refreshes_completed,
                "refreshes_stale": nat.refreshes_stale,
                "statuses_ignored": nat.statuses_ignored,
            },
            "buffer": {
                "stored": buffer.stored,
                "duplicate": buffer.duplicate,
                "replaced": buffer.replaced,
                "released": buffer.released,
                "expired": buffer.expired,
                "cleared": buffer.cleared,
                "overwritten": buffer.overwritten,
                "peak_bytes": buffer.peak_bytes,
                "peak_packets": buffer.peak_packets,
            },
            "dns": {
                "answered": dns.answered,
                "forwarded": dns.forwarded,
                "unanswered": dns.unanswered,
                "malformed": dns.malformed,
                "refused": dns.refused,
            },
            "flows": {
                "live": self.flows.live(),
                "lost": self.flows.counters.lost,
                "resets_sent": self.flows.counters.resets_sent,
                "errors_sent": self.flows.counters.errors_sent,
            },
            "site": {
                "asked": self.site.counters.asked,
                "answered": self.site.counters.answered,
                "failed": self.site.counters.failed,
            },
            "datagrams": {
                "malformed": opened.malformed,
                "unknown_index": opened.unknown_index,
                "refused": opened.refused,
                "replayed": opened.replayed,
                "unknown_key": opened.unknown_key,
                "handshakes_refused": opened.handshakes_refused,
                "cookie_replies": opened.cookie_replies,
                "roamed": opened.roamed,
            },
        })
    }

    /// The Gateways, of which there are never many.
    fn peer_rows(&self, now: Instant) -> Vec<Value> {
        let rows = self.routes.gateways().map(|gateway| {
            let endpoint = &gateway.known.endpoint;
            let mut row = peering::row(&self.connections, gateway.peer, endpoint, now);
            row["gateway"] = json!(gateway.known.id);
            row["ipv4"] = json!(gateway.known.ipv4);
            row["ipv6"] = json!(gateway.known.ipv6);
            if let Some(site) = gateway.known.site {
                row["site"] = json!(site);
            }
            row
        });
        rows.collect()
    }

    fn flow_rows(&self, cursor: u64, now: Instant) -> (Vec<Value>, Option<u64>) {
        let (flows, next) = self.flows.page(cursor, PAGE);
        let rows = flows.into_iter().map(|(flow, note)| {
            let name = note.key.name.and_then(|name| self.stub.names().get(name));
            let resource = self.routes.get(note.key.resource).map(|entry| entry.resource.id);
            json!({
                "protocol": format!("{:?}", flow.protocol).to_lowercase(),
                "port": flow.client_port,
                "address": flow.proxy,
                "remote_port": flow.remote_port,
                "name": name.map(|name| name.as_str()),
                "resource": resource,
                "gateway": note.gateway_id,
                "answered": flow.answered,
                "lost": note.lost,
                "sent_bytes": flow.outbound.bytes,
                "sent_packets": flow.outbound.packets,
                "received_bytes": flow.inbound.bytes,
                "received_packets": flow.inbound.packets,
                "duration": (now - flow.opened).as_secs_f64(),
                "idle": (now - flow.last_seen).as_secs_f64(),
            })
        });
        (rows.collect(), next)
    }

    /// Names with proxy addresses, their resources and the state of each family.
    fn resource_rows(&mut self, cursor: u64, _now: Instant) -> (Vec<Value>, Option<u64>) {
        let names = self.dns.announced_from(cursor, PAGE + 1);
        let next = (names.len() > PAGE).then(|| u64::from(names[PAGE].0));
        let mut rows = Vec::new();
        for name in names.into_iter().take(PAGE) {
            let slots = self.routes.of_name(&mut self.stub, name).to_vec();
            for slot in slots {
                rows.extend(self.resource_row(slot, name));
            }
        }
        (rows, next)
    }

    fn resource_row(&self, slot: ResourceSlot, name: NameId) -> Option<Value> {
        let entry = self.routes.get(slot)?;
        let domain = self.stub.names().get(name)?;
        let proxies = self.stub.pool().proxies(name)?;
        let gateway = entry.gateway.and_then(|slot| self.routes.gateway(slot));
        let key = entry.gateway.and_then(|gateway| self.entry_key(slot, gateway, name));
        let state = |family| {
            let state = key.and_then(|key| self.nat.state(&key, family));
            state.map(|state| format!("{state:?}").to_lowercase())
        };
        Some(json!({
            "name": domain.as_str(),
            "resource": entry.resource.id,
            "resource_name": entry.resource.name,
            "gateway": gateway.map(|gateway| gateway.id()),
            "ipv4": state(Family::Ipv4),
            "ipv6": state(Family::Ipv6),
            "proxies": proxies.ipv4.iter().map(ToString::to_string)
                .chain(proxies.ipv6.iter().map(ToString::to_string)).collect::<Vec<_>>(),
        }))
    }
}
