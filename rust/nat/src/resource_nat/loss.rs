//! What ends an entry, or makes it begin anew: lost resources, Gateways and names, new connections, and
//! Gateways that have forgotten (R42).

use dns::{Family, NameId, ResourceId};
use packet::Instant;

use crate::control::GatewayId;

use super::entry::Prohibited;
use super::schedule::{PROHIBITED_FIRST, PROHIBITED_LIMIT, RECENT};
use super::{EntryKey, Event, FamilyState, RefreshPolicy, ResourceNat};

impl ResourceNat {
    /// The resource is lost: its entries end, what they hold is given up.
    pub fn remove_resource(&mut self, resource: ResourceId) {
        self.remove_where(|key| key.resource == resource);
    }

    /// The Gateway is lost: its entries end, what they hold is given up.
    pub fn remove_gateway(&mut self, gateway: GatewayId) {
        self.remove_where(|key| key.gateway == gateway);
    }

    /// The addresses of the name stand for another one now: its entries end.
    pub fn remove_name(&mut self, name: NameId) {
        for index in self.table.of_name(name) {
            self.end(index);
        }
    }

    fn remove_where(&mut self, gone: impl Fn(&EntryKey) -> bool) {
        let mut indices = Vec::new();
        let found = self.table.iter().filter(|(_, entry)| gone(&entry.key));
        indices.extend(found.map(|(index, _)| index));
        for index in indices {
            self.end(index);
        }
    }

    /// A connection to `gateway` was made (R42): with the key it had, or with another.
    pub fn connection_made(&mut self, gateway: GatewayId, same_key: bool, now: Instant) {
        let of_gateway = self.table.iter().filter(|(_, entry)| entry.key.gateway == gateway);
        let indices: Vec<usize> = of_gateway.map(|(index, _)| index).collect();
        for index in indices {
            let Some(entry) = self.table.get_mut(index) else { continue };
            let recent = now - entry.last_used <= RECENT;
            if !same_key && !recent {
                // Nothing is held by it: its next packet makes it anew.
                self.end(index);
                continue;
            }
            if !same_key {
                entry.restart(now);
            }
            if recent {
                self.begin(index, now);
            } else {
                entry.announce_on_use = true;
            }
        }
    }

    /// ICMP *prohibited* came from a proxy address of an active entry, quoting a packet of ours
    /// (R42).
    pub fn handle_prohibited(
        &mut self,
        gateway: GatewayId,
        resource: ResourceId,
        name: NameId,
        now: Instant,
    ) {
        let Some(index) = self.table.find(&EntryKey { gateway, name, resource }) else { return };
        let Some(entry) = self.table.get_mut(index).filter(|entry| entry.active()) else { return };
        let known = entry.prohibited.filter(|seen| now - seen.last < PROHIBITED_LIMIT);
        let fresh = Prohibited { last: now, next: now, delay: PROHIBITED_FIRST };
        let mut seen = known.unwrap_or(fresh);
        seen.last = now;
        let due = now >= seen.next;
        if due {
            seen.next = now + seen.delay;
            seen.delay = (seen.delay * 2).min(PROHIBITED_LIMIT);
        }
        entry.prohibited = Some(seen);
        if due {
            self.begin(index, now);
        }
    }

    /// The entry ends; what it holds is given up.
    pub(super) fn end(&mut self, index: usize) {
        let Some(entry) = self.table.remove(index) else { return };
        let silent = self.policy == RefreshPolicy::Halt;
        let held = Family::ALL.into_iter();
        let held = held.filter(|&family| entry.family(family).state == FamilyState::Establishing);
        let entry = entry.id;
        self.events.extend(held.map(|family| Event::GiveUp { entry, family, silent }));
    }
}
