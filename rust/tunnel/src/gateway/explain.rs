//! What would become of a Client's packet, from live state: a row for each Client that the target means
//! something to (R40). Asking changes nothing.

use std::net::IpAddr;

use dns::{Family, Name};
use nat::translations::NameView;
use packet::Instant;
use serde_json::{Value, json};

use super::Gateway;
use super::clients::{ClientEntry, ClientSlot};
use crate::messages::Explain;

/// Rows at most (design §4).
const PAGE: usize = 256;

impl Gateway {
    pub(super) fn explain(&self, what: &Explain, now: Instant) -> Vec<Value> {
        if let Ok(address) = what.target.parse::<IpAddr>() {
            return self.explain_address(what, address, now);
        }
        let name = Name::parse(&what.target.trim_end_matches('.').to_ascii_lowercase()).ok();
        let view = name.and_then(|name| self.translations.view_of_name(&name, now));
        let Some(view) = view else { return Vec::new() };
        self.explain_name(what, &view, None)
    }

    fn explain_address(&self, what: &Explain, address: IpAddr, now: Instant) -> Vec<Value> {
        let mut rows = Vec::new();
        for (slot, entry) in self.clients.iter() {
            if rows.len() == PAGE {
                break;
            }
            match self.translations.name_of(entry.id, address) {
                Some(name) => {
                    let view = self.translations.view_of_name(name, now);
                    rows.extend(
                        view.into_iter()
                            .flat_map(|view| self.explain_name(what, &view, Some(entry.id))),
                    );
                }
                None if entry.grants.covers(self.place(address)) => {
                    let mut row = self.row(what, slot, entry, address);
                    row["address"] = json!(address);
                    row["flows"] = json!(self.flows_of(slot, |proxy| proxy == address));
                    rows.push(row);
                }
                None => {}
            }
        }
        rows
    }

    /// The row of each Client, or of one, that announced a name.
    fn explain_name(
        &self,
        what: &Explain,
        view: &NameView<'_>,
        only: Option<nat::control::ClientId>,
    ) -> Vec<Value> {
        let users = view.users.iter().filter(|user| only.is_none_or(|id| id == user.client));
        let rows = users.take(PAGE).filter_map(|user| {
            let slot = self.clients.slot(user.client)?;
            let entry = self.clients.get(slot)?;
            let (first, ..) = *user.proxies.first()?;
            let mut row = self.row(what, slot, entry, first);
            row["name"] = json!(view.name.as_str());
            row["announced_for"] = json!(user.resources);
            let proxies = user.proxies.iter().map(|(proxy, real, state)| {
                let state = format!("{state:?}").to_lowercase();
                json!({ "proxy": proxy, "real": real, "state": state })
            });
            row["proxies"] = proxies.collect();
            for (family, member) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
                let records = &view.records[family.index()];
                row[member] = json!({
                    "addresses": records.addresses,
                    "age": records.age.map(|age| age.as_secs_f64()),
                    "state": format!("{:?}", records.state).to_lowercase(),
                    "looking_up": records.looking_up,
                });
            }
            let own = |proxy| user.proxies.iter().any(|(known, ..)| *known == proxy);
            row["flows"] = json!(self.flows_of(slot, own));
            row["held_packets"] = json!(self.held_for(slot, view.id));
            Some(row)
        });
        rows.collect()
    }

    /// Which resource lets the packet pass to an address that the Client knows.
    fn row(&self, what: &Explain, slot: ClientSlot, entry: &ClientEntry, to: IpAddr) -> Value {
        let transport = what.transport();
        let tag = self.permit(slot, to, &transport).ok();
        let resource = tag.and_then(|tag| self.clients.tags.resource(tag));
        json!({
            "target": what.target,
            "port": what.port,
            "protocol": what.protocol,
            "client": entry.id,
            "resource": resource,
            "verdict": if tag.is_some() { "permitted" } else { "prohibited" },
        })
    }

    fn flows_of(&self, slot: ClientSlot, wanted: impl Fn(IpAddr) -> bool) -> u64 {
        let (mut count, mut cursor, mut rows) = (0, Some(0), Vec::new());
        while let Some(at) = cursor {
            rows.clear();
            cursor = self.flows.flows(at, PAGE, &mut rows);
            let own = rows.iter().filter(|f| f.peer == slot.flow_peer() && wanted(f.proxy));
            count += own.count() as u64;
        }
        count
    }
}
