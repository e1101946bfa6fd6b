//! What would become of a packet, from live state (R40). Asking marks nothing as used, establishes
//! nothing and requests nothing.

use std::net::IpAddr;

use ::dns::{Family, Name, NameId};
use packet::{Instant, Transport};
use serde_json::{Value, json};

use super::Client;
use super::routes::ResourceSlot;
use super::waiting::WaitKey;
use crate::messages::{Explain, Target};

/// What is asked about: a name with its handle, if it has one yet, or an address.
enum Asked {
    Name(Name, Option<NameId>),
    Address(IpAddr),
}

impl Client {
    pub(super) fn explain(&self, what: &Explain, now: Instant) -> Vec<Value> {
        let transport = what.transport();
        let (asked, resources) = self.covering(&what.target);
        let verdicts: Vec<_> = resources
            .iter()
            .filter_map(|&slot| {
                let entry = self.routes.get(slot)?;
                let permits = entry.permits(&transport);
                Some(json!({
                    "resource": entry.resource.id,
                    "resource_name": entry.resource.name,
                    "covers": covers(&entry.resource.target),
                    "permits": permits,
                }))
            })
            .collect();
        let chosen = resources
            .iter()
            .copied()
            .find(|&slot| self.routes.get(slot).is_some_and(|entry| entry.permits(&transport)));
        let verdict = match (chosen, resources.is_empty()) {
            (Some(_), _) => "permitted",
            (None, false) => "prohibited",
            (None, true) => "no_resource",
        };
        let mut row = json!({
            "target": what.target,
            "port": what.port,
            "protocol": what.protocol,
            "resources": verdicts,
            "verdict": verdict,
        });
        if let Some(slot) = chosen {
            self.explain_path(&mut row, slot);
        }
        self.explain_target(&mut row, &asked, chosen, now);
        vec![row]
    }

    /// The resources that cover a target, in the order in which they are chosen.
    fn covering(&self, target: &str) -> (Option<Asked>, Vec<ResourceSlot>) {
        if let Ok(address) = target.parse::<IpAddr>() {
            let name = self.stub.pool().name_of(address);
            let text = name.and_then(|name| self.stub.names().get(name));
            return match text {
                Some(text) => {
                    let resources = self.covering_name(text);
                    (Some(Asked::Address(address)), resources)
                }
                None => (Some(Asked::Address(address)), self.routes.of_address(address)),
            };
        }
        match Name::parse(&target.trim_end_matches('.').to_ascii_lowercase()) {
            Ok(name) => {
                let (known, resources) = (self.stub.names().find(&name), self.covering_name(&name));
                (Some(Asked::Name(name, known)), resources)
            }
            Err(_) => (None, Vec::new()),
        }
    }

    fn covering_name(&self, name: &Name) -> Vec<ResourceSlot> {
        let mut matches = Vec::new();
        self.stub.resources().matches(name, &mut matches);
        matches.iter().filter_map(|found| self.routes.slot(found.resource)).collect()
    }

    /// The Gateway, and whether it may be used.
    fn explain_path(&self, row: &mut Value, slot: ResourceSlot) {
        let Some(entry) = self.routes.get(slot) else { return };
        let gateway = entry.gateway.and_then(|gateway| self.routes.gateway(gateway));
        row["resource"] = json!(entry.resource.id);
        row["resource_name"] = json!(entry.resource.name);
        row["covers"] = json!(covers(&entry.resource.target));
        row["gateway"] = json!(gateway.map(|gateway| gateway.id()));
        row["gateway_alive"] = json!(gateway.map(|gateway| !gateway.liveness.is_dead()));
        row["access"] = json!(match (gateway, entry.is_requested()) {
            (Some(_), _) => "authorized",
            (None, true) => "requested",
            (None, false) => "not_requested",
        });
    }

    /// The name with its proxies and entries, and what is live or held.
    fn explain_target(
        &self,
        row: &mut Value,
        asked: &Option<Asked>,
        chosen: Option<ResourceSlot>,
        _now: Instant,
    ) {
        let name = match asked {
            Some(Asked::Name(text, known)) => {
                row["name"] = json!(text.as_str());
                *known
            }
            Some(Asked::Address(address)) => self.stub.pool().name_of(*address),
            None => None,
        };
        if let Some(name) = name {
            row["name"] = json!(self.stub.names().get(name).map(Name::as_str));
            let proxies = self.stub.pool().proxies(name);
            let listed = proxies.map(|proxies| {
                let ipv4 = proxies.ipv4.iter().map(ToString::to_string);
                ipv4.chain(proxies.ipv6.iter().map(ToString::to_string)).collect::<Vec<_>>()
            });
            row["proxies"] = json!(listed);
            let key =
                chosen.and_then(|slot| self.entry_key(slot, self.routes.get(slot)?.gateway?, name));
            for (family, member) in [(Family::Ipv4, "ipv4"), (Family::Ipv6, "ipv6")] {
                let state = key.and_then(|key| self.nat.state(&key, family));
                row[member] = json!(state.map(|state| format!("{state:?}").to_lowercase()));
            }
        }
        let mut flows = 0_u64;
        self.flows.for_each(|flow, note| {
            flows += u64::from(match (name, asked) {
                (Some(name), _) => note.key.name == Some(name),
                (None, Some(Asked::Address(address))) => flow.proxy == *address,
                (None, _) => false,
            });
        });
        row["flows"] = json!(flows);
        row["held_packets"] = json!(chosen.map_or(0, |slot| self.held_for(slot, name)));
    }

    fn held_for(&self, resource: ResourceSlot, name: Option<NameId>) -> u64 {
        let keys = Family::ALL.map(|family| WaitKey { resource, name, family });
        let queues = keys.iter().filter_map(|key| self.waiting.queue_of(key));
        queues.filter_map(|queue| self.buffer.held(queue)).map(|held| held.packets as u64).sum()
    }
}

fn covers(target: &Target) -> String {
    match target {
        Target::Dns { address, .. } => address.clone(),
        Target::Cidr { address } => address.to_string(),
        Target::Internet => "the internet".to_owned(),
    }
}

impl Explain {
    /// The transport header that is asked about.
    pub(crate) fn transport(&self) -> Transport {
        use crate::messages::FlowProtocol;
        use packet::TcpFlags;

        let (source, destination) = (0, self.port);
        match self.protocol {
            FlowProtocol::Tcp => {
                Transport::Tcp { source, destination, sequence: 0, flags: TcpFlags::SYN }
            }
            FlowProtocol::Udp => Transport::Udp { source, destination },
            FlowProtocol::Icmp => Transport::Echo { identifier: 0, request: true },
        }
    }
}
