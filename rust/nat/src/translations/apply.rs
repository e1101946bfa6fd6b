//! What an AssignedIps changes (R23, R24, R33).

use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, Name};
use packet::Instant;

use crate::control::{AssignedIps, ClientId};

use super::Translations;
use super::table::{Binding, Client, NONE};
use super::types::{Access, Event};
use super::validate::{Valid, validate};

/// A message of the run before is not taken for a new run this long after that ended: control
/// packets overtake one another.
const FORMER_RUN: Duration = Duration::from_secs(10);
/// Names looked at, at the cap, for one without a live flow (R33); those that have one count as
/// used.
const EVICTION_STEPS: usize = 64;

/// How a message stands to the Client's process (R23).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Run {
    /// Nothing speaks of another process.
    Same,
    /// Another process: what it has not announced serves live flows only.
    Another,
    /// Sent before something that was applied already.
    Outdated,
}

impl Translations {
    /// A Client announces addresses: validates (R17), changes translations, starts look-ups. Always
    /// ends in a status (R25).
    pub fn handle_assigned_ips(
        &mut self,
        client: ClientId,
        message: &AssignedIps,
        access: &impl Access,
        now: Instant,
    ) {
        self.counters.announcements += 1;
        let valid = match validate(client, message, access, &self.config) {
            Ok(valid) => valid,
            Err(why) => return self.reject(client, message, why),
        };
        let owner = self.table.add_client(client);
        let known = self.names.find(&valid.name);
        let known = known.and_then(|name| self.table.binding(owner, name));
        let run = self.run(owner, known, message, &valid, now);
        if run == Run::Outdated {
            self.counters.outdated += 1;
            return self.answer_unapplied(client, known, message);
        }
        if !self.make_room(owner, known, &valid, access, now) {
            self.counters.capped += 1;
            return self.answer_unapplied(client, known, message);
        }
        self.begin_run(owner, run, message.run, now);
        let binding = known.unwrap_or_else(|| self.bind(owner, &valid.name));
        self.take(binding, message, &valid, now);
        self.announce(binding, message, &valid, now);
        self.start_wanted(now);
    }

    fn run(
        &self,
        owner: usize,
        known: Option<usize>,
        message: &AssignedIps,
        valid: &Valid,
        now: Instant,
    ) -> Run {
        let Some(client) = self.table.clients.get(owner) else { return Run::Same };
        let proxies = valid.proxies.iter().flatten();
        let held = proxies.filter_map(|&address| self.table.proxy(owner, address));
        let held = held.filter_map(|proxy| self.table.proxies.get(proxy));
        let mut moved = held.filter(|proxy| Some(proxy.binding) != known).peekable();
        if message.run.is_none() {
            return if moved.peek().is_some() { Run::Another } else { Run::Same };
        }
        if is_former(client, message.run, now) {
            return Run::Outdated;
        }
        if message.run != client.run {
            return Run::Another;
        }
        let id = message.id;
        let newer = |announced: Option<u64>| id.is_some() && announced > id;
        // Ids of a former run count for nothing: those of each run begin anew.
        let in_run = |binding: &&Binding| binding.epoch == client.epoch;
        let known = known.and_then(|binding| self.table.bindings.get(binding)).filter(in_run);
        let overtaken = known.is_some_and(|own| newer(latest(own, message)));
        let taken = moved.any(|proxy| {
            let holder = self.table.bindings.get(proxy.binding).filter(in_run);
            proxy.current && newer(proxy.announced) && holder.is_some()
        });
        if overtaken || taken {
            return Run::Outdated;
        }
        Run::Same
    }

    fn begin_run(&mut self, owner: usize, run: Run, number: Option<u64>, now: Instant) {
        let Some(client) = self.table.clients.get_mut(owner) else { return };
        if run == Run::Another {
            client.former_run = client.run.map(|former| (former, now));
            client.run = number;
            client.epoch = client.epoch.wrapping_add(1);
        }
    }

    /// Makes room under the caps: the name idle longest, without a live flow, gives way (R33).
    fn make_room(
        &mut self,
        owner: usize,
        known: Option<usize>,
        valid: &Valid,
        access: &impl Access,
        now: Instant,
    ) -> bool {
        let fresh = |address: &&IpAddr| self.table.proxy(owner, **address).is_none();
        let proxies = valid.proxies.iter().flatten().filter(fresh).count();
        let names = usize::from(known.is_none());
        for _ in 0..EVICTION_STEPS {
            let Some(client) = self.table.clients.get(owner) else { return false };
            let fits = client.names + names <= self.config.max_names
                && client.proxies + proxies <= self.config.max_proxies;
            if fits {
                return true;
            }
            let first = client.first;
            if first == NONE {
                return false;
            }
            if Some(first) == known || self.is_live(first, access) {
                self.table.touch(first);
            } else {
                self.answer_last(first, now);
                self.remove_binding(first);
            }
        }
        false
    }

    fn is_live(&self, binding: usize, access: &impl Access) -> bool {
        let Some(own) = self.table.bindings.get(binding) else { return false };
        let Some(client) = self.table.clients.get(own.client).map(|client| client.id) else {
            return false;
        };
        let mut proxies = own.owned.iter().filter_map(|&proxy| self.table.proxies.get(proxy));
        proxies.any(|proxy| access.has_live_flow(client, proxy.address))
    }

    pub(super) fn bind(&mut self, owner: usize, name: &Name) -> usize {
        let name = self.names.intern(name);
        let place = self.names.get(name).map_or(0, |slot| slot.users.len());
        let binding = self.table.add_binding(owner, name, place);
        if let Some(slot) = self.names.get_mut(name) {
            slot.users.push(binding);
        }
        binding
    }

    /// The announced addresses stand for the name from now on; O(addresses of the message) (R24).
    fn take(&mut self, binding: usize, message: &AssignedIps, valid: &Valid, now: Instant) {
        let Some(owner) = self.table.bindings.get(binding).map(|own| own.client) else { return };
        let Some(epoch) = self.table.clients.get(owner).map(|client| client.epoch) else { return };
        for family in Family::ALL {
            let announced = &valid.proxies[family.index()];
            if announced.is_empty() {
                continue;
            }
            let taken = announced.iter().map(|&address| {
                self.counters.touched_proxies += 1;
                self.take_proxy(owner, binding, address, message.id, now)
            });
            let taken = taken.collect();
            let own = &mut self.table.bindings[binding];
            let former = std::mem::replace(&mut own.proxies[family.index()], taken);
            if own.proxies[family.index()] != former {
                own.undo_deal(family);
                for proxy in former {
                    let current = own.proxies[family.index()].contains(&proxy);
                    self.table.proxies[proxy].current = current;
                }
            }
        }
        let own = &mut self.table.bindings[binding];
        if std::mem::replace(&mut own.epoch, epoch) != epoch {
            own.announcements.clear();
        }
        if !own.announced().resources.contains(&message.resource) {
            self.table.change_resources(binding, |resources| resources.push(message.resource));
        }
        self.table.touch(binding);
    }

    fn take_proxy(
        &mut self,
        owner: usize,
        binding: usize,
        address: IpAddr,
        id: Option<u64>,
        now: Instant,
    ) -> usize {
        let known = self.table.proxy(owner, address);
        let proxy = known.unwrap_or_else(|| {
            let proxy = self.table.add_proxy(owner, address, binding);
            self.table.bindings[binding].owned.push(proxy);
            proxy
        });
        if self.table.proxies[proxy].binding != binding {
            let client = self.table.clients[owner].id;
            self.events.push_back(Event::EndProxy { client, proxy: address });
            self.table.bindings[binding].owned.push(proxy);
            if let Some(empty) = self.table.move_proxy(proxy, binding, now) {
                self.answer_last(empty, now);
                self.remove_binding(empty);
            }
        }
        let own = &mut self.table.proxies[proxy];
        (own.announced, own.current) = (id, true);
        proxy
    }

    /// Takes a name of a Client out; the last one takes what is known about the name with it.
    pub(super) fn remove_binding(&mut self, binding: usize) {
        let Some(own) = self.table.remove_binding(binding) else { return };
        if let Some(at) = own.timer {
            self.timers.remove(&(at, super::Timer::Announce(binding)));
        }
        let Some(slot) = self.names.get_mut(own.name) else { return };
        slot.users.swap_remove(own.user_place);
        slot.waiting.retain(|&other| other != binding);
        if let Some(&moved) = slot.users.get(own.user_place) {
            self.table.bindings[moved].user_place = own.user_place;
        }
        if slot.users.is_empty()
            && let Some(slot) = self.names.remove(own.name)
        {
            for family in Family::ALL {
                self.cancel(own.name, family, &slot.records[family.index()]);
            }
        }
    }
}

fn is_former(client: &Client, run: Option<u64>, now: Instant) -> bool {
    client.former_run.is_some_and(|(former, ended)| {
        Some(former) == run && client.run != run && now - ended < FORMER_RUN
    })
}

/// The newest handshake of the message's resource.
fn latest(binding: &Binding, message: &AssignedIps) -> Option<u64> {
    let mut announcements = binding.announcements.iter();
    announcements.find(|own| own.resource == message.resource).and_then(|own| own.id)
}
