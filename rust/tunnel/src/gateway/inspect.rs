//! Pages of the Gateway's state for orchestration.

use packet::Instant;
use serde_json::{Value, json};

use super::Gateway;
use crate::messages::{GatewayEvent, InspectGateway};
use crate::peering;

/// Rows of a page (design §4).
const PAGE: usize = 256;

impl Gateway {
    pub(super) fn inspect(&mut self, id: u64, what: InspectGateway, cursor: u64, now: Instant) {
        let (rows, cursor) = match what {
            InspectGateway::Explain(what) => (self.explain(&what, now), None),
            InspectGateway::Counters => (vec![self.counters_row()], None),
            InspectGateway::Peers => self.peer_rows(cursor, now),
            InspectGateway::Flows => self.flow_rows(cursor, now),
            InspectGateway::Translations => self.translation_rows(cursor, now),
        };
        self.events.push_back(GatewayEvent::Inspected { id, rows, cursor });
    }

    fn peer_rows(&self, cursor: u64, now: Instant) -> (Vec<Value>, Option<u64>) {
        let from = usize::try_from(cursor).unwrap_or(usize::MAX);
        let mut rows = Vec::new();
        for (place, client) in self.clients.iter_from(from) {
            if rows.len() == PAGE {
                return (rows, Some(place as u64));
            }
            let mut row = peering::row(&self.connections, client.peer, &client.endpoint, now);
            row["client"] = json!(client.id);
            row["ipv4"] = json!(client.ipv4);
            row["ipv6"] = json!(client.ipv6);
            rows.push(row);
        }
        (rows, None)
    }

    fn flow_rows(&self, cursor: u64, now: Instant) -> (Vec<Value>, Option<u64>) {
        let mut flows = Vec::new();
        let cursor = u32::try_from(cursor).unwrap_or(u32::MAX);
        let next = self.flows.flows(cursor, PAGE, &mut flows);
        let rows = flows.iter().filter_map(|flow| {
            let record = self.flow_record(flow, now)?;
            let mut row = serde_json::to_value(record).ok()?;
            row["answered"] = flow.answered.into();
            row["idle"] = (now - flow.last_seen).as_secs_f64().into();
            Some(row)
        });
        (rows.collect(), next.map(u64::from))
    }

    fn translation_rows(&self, cursor: u64, now: Instant) -> (Vec<Value>, Option<u64>) {
        let mut rows = Vec::new();
        let cursor = usize::try_from(cursor).unwrap_or(usize::MAX);
        for (next, row) in self.translations.inspect(cursor, now) {
            rows.push(json!({
                "client": row.client,
                "proxy": row.proxy,
                "name": row.name.as_str(),
                "resources": row.resources,
                "real": row.real,
                "state": format!("{:?}", row.state).to_lowercase(),
            }));
            if rows.len() == PAGE {
                return (rows, Some(next as u64));
            }
        }
        (rows, None)
    }

    /// Every counter, by the state machine that keeps it.
    fn counters_row(&self) -> Value {
        let (flows, translations) = (self.flows.counters(), self.translations.counters());
        let (buffer, opened) = (self.buffer.counters(), self.connections.counters());
        json!({
            "to_site": self.counters.to_site,
            "to_clients": self.counters.to_clients,
            "held": self.counters.held,
            "released": self.counters.released,
            "errors_translated": self.counters.errors_translated,
            "resets_sent": self.counters.resets_sent,
            "control_received": self.counters.control_received,
            "control_ignored": self.counters.control_ignored,
            "records_dropped": self.records_dropped,
            "refused": self.refuser.counters(),
            "dns": {
                "forwarded": self.dns.counters.forwarded,
                "answered": self.dns.counters.answered,
                "failed": self.dns.counters.failed,
                "malformed": self.dns.counters.malformed,
                "echoes": self.dns.counters.echoes,
            },
            "flows": {
                "live": flows.live,
                "resting": flows.resting,
                "opened": flows.opened,
                "timed_out": flows.timed_out,
                "displaced": flows.displaced,
                "superseded": flows.superseded,
                "proxy_moved": flows.proxy_moved,
                "revoked": flows.revoked,
                "rebound": flows.rebound,
                "port_collisions": flows.port_collisions,
                "refused_exhausted": flows.refused_exhausted,
                "refused_cap": flows.refused_cap,
                "late_outbound": flows.late_outbound,
                "late_inbound": flows.late_inbound,
                "events_dropped": flows.events_dropped,
            },
            "translations": {
                "announcements": translations.announcements,
                "rejected": translations.rejected,
                "touched_proxies": translations.touched_proxies,
                "lookups": translations.lookups,
                "results": translations.results,
                "results_ignored": translations.results_ignored,
                "forbidden_addresses": translations.forbidden_addresses,
                "statuses": translations.statuses,
            },
            "buffer": {
                "stored": buffer.stored,
                "released": buffer.released,
                "peak_bytes": buffer.peak_bytes,
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
}
