//! Translations and last good answers that cross to another process (R38).
//!
//! What crosses is what was announced and what was found; who gets which address follows from these
//! (R22). Look-ups and statuses under way do not cross: whoever waits for them asks again (R03).

use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, Name, ResourceId};
use packet::Instant;
use smallvec::SmallVec;

use crate::control::ClientId;
use crate::state::{Imported, Reader, StateError, Writer};

use super::records::SavedRecords;
use super::table::Announcement;
use super::validate::is_proxy;
use super::{Timer, Translations};

/// The names and Clients of a file.
pub(crate) struct Saved {
    names: Vec<(Name, [SavedRecords; 2])>,
    clients: Vec<SavedClient>,
}

struct SavedClient {
    id: ClientId,
    run: Option<u64>,
    former_run: Option<(u64, Duration)>,
    moved: Vec<(IpAddr, Duration)>,
    /// The longest idle first.
    bindings: Vec<SavedBinding>,
}

struct SavedBinding {
    /// Among the names of the file.
    name: u32,
    /// Of the Client's present run.
    is_current: bool,
    translated: bool,
    resources: Vec<ResourceId>,
    proxies: Vec<SavedProxy>,
    announcements: Vec<SavedAnnouncement>,
}

/// What later statuses repeat (R19).
struct SavedAnnouncement {
    resource: ResourceId,
    domain: String,
    id: Option<u64>,
    families: [bool; 2],
    at: Duration,
}

struct SavedProxy {
    address: IpAddr,
    is_current: bool,
    announced: Option<u64>,
}

impl Translations {
    /// Whether nothing was announced yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.table.clients.is_empty()
    }

    /// Whether a name may lead to an address by the settings (R18).
    pub(crate) fn permits_real(&self, real: IpAddr) -> bool {
        self.real.permits(real)
    }

    pub(crate) fn export(&self, into: &mut Writer, now: Instant) {
        let mut places = Vec::new();
        let names: Vec<_> = self.names.iter().collect();
        into.count(names.len());
        for (place, (id, slot)) in names.iter().enumerate() {
            places.resize(places.len().max(id.index() + 1), 0);
            places[id.index()] = place as u32;
            into.text(slot.name.as_str());
            for family in Family::ALL {
                slot.records[family.index()].save(now).write(into);
            }
        }
        into.count(self.table.clients.len());
        for (index, _) in &self.table.clients {
            self.export_client(index, &places, into, now);
        }
    }

    fn export_client(&self, index: usize, places: &[u32], into: &mut Writer, now: Instant) {
        let Some(client) = self.table.clients.get(index) else { return };
        into.u128(client.id.0);
        into.option_u64(client.run);
        into.option_u64(client.former_run.map(|(run, _)| run));
        into.duration(client.former_run.map_or(Duration::ZERO, |(_, ended)| now - ended));
        let moved = self.table.moves_of(index);
        into.count(moved.len());
        for (address, at) in moved {
            into.address(address);
            into.duration(now - at);
        }
        let bindings = self.table.bindings_of(index);
        into.count(bindings.len());
        for binding in bindings {
            let Some(own) = self.table.bindings.get(binding) else { continue };
            into.u32(places.get(own.name.index()).copied().unwrap_or(u32::MAX));
            into.bool(own.epoch == client.epoch);
            into.bool(own.translated);
            let resources = own.announced().resources;
            into.count(resources.len());
            resources.iter().for_each(|resource| into.u128(resource.0));
            into.count(own.owned.len());
            for proxy in own.owned.iter().filter_map(|&proxy| self.table.proxies.get(proxy)) {
                into.address(proxy.address);
                into.bool(proxy.current);
                into.option_u64(proxy.announced);
            }
            into.count(own.announcements.len());
            for announcement in &own.announcements {
                into.u128(announcement.resource.0);
                into.text(&announcement.domain);
                into.option_u64(announcement.id);
                announcement.families.iter().for_each(|family| into.bool(*family));
                into.duration(now - announcement.at);
            }
        }
    }

    /// Reads what [`Self::export`] wrote.
    ///
    /// # Errors
    /// [`StateError::Content`].
    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Saved, StateError> {
        let names = from.list(|from| {
            let name = Name::parse(from.text()?).map_err(|_| StateError::Content("a name"))?;
            let ipv4 = SavedRecords::read(from, Family::Ipv4)?;
            Ok((name, [ipv4, SavedRecords::read(from, Family::Ipv6)?]))
        })?;
        let clients = from.list(read_client)?;
        let mut bindings = clients.iter().flat_map(|client| &client.bindings);
        if bindings.any(|binding| binding.name as usize >= names.len()) {
            return Err(StateError::Content("a name's number"));
        }
        Ok(Saved { names, clients })
    }

    /// Takes over what is of Clients that `is_known` says yes to and fits the settings.
    pub(crate) fn restore(
        &mut self,
        saved: &Saved,
        since: Duration,
        is_known: impl Fn(ClientId) -> bool,
        imported: &mut Imported,
        now: Instant,
    ) {
        for client in &saved.clients {
            if !is_known(client.id) {
                imported.left_out += client.bindings.len() as u32;
                continue;
            }
            let owner = self.table.add_client(client.id);
            let own = &mut self.table.clients[owner];
            own.run = client.run;
            own.former_run = client.former_run.map(|(run, ended)| (run, now - (ended + since)));
            for (address, at) in &client.moved {
                self.table.restore_move(owner, *address, now - (*at + since));
            }
            for binding in &client.bindings {
                let (name, records) = &saved.names[binding.name as usize];
                if self.restore_binding(owner, binding, name, records, since, now) {
                    imported.names += 1;
                } else {
                    imported.left_out += 1;
                }
            }
        }
    }

    fn restore_binding(
        &mut self,
        owner: usize,
        saved: &SavedBinding,
        name: &Name,
        records: &[SavedRecords; 2],
        since: Duration,
        now: Instant,
    ) -> bool {
        let fits = |proxy: &&SavedProxy| {
            is_proxy(proxy.address, &self.config)
                && self.table.proxy(owner, proxy.address).is_none()
        };
        let proxies: Vec<_> = saved.proxies.iter().filter(fits).collect();
        let client = &self.table.clients[owner];
        let has_room = client.names < self.config.max_names
            && client.proxies + proxies.len() <= self.config.max_proxies;
        let known = self.names.find(name).and_then(|id| self.table.binding(owner, id));
        if proxies.is_empty() || !has_room || known.is_some() {
            return false;
        }
        let epoch = client.epoch;
        let binding = self.bind(owner, name);
        self.restore_records(name, records, since, now);
        self.restore_proxies(owner, binding, &proxies);
        let own = &mut self.table.bindings[binding];
        own.epoch = if saved.is_current { epoch } else { epoch.wrapping_sub(1) };
        own.translated = saved.translated;
        own.announcements =
            saved.announcements.iter().map(|own| own.restored(since, now)).collect();
        let resources = SmallVec::from_slice(&saved.resources);
        self.table.change_resources(binding, |own| *own = resources);
        true
    }

    fn restore_proxies(&mut self, owner: usize, binding: usize, proxies: &[&SavedProxy]) {
        for proxy in proxies {
            let at = self.table.add_proxy(owner, proxy.address, binding);
            let own = &mut self.table.proxies[at];
            (own.current, own.announced) = (proxy.is_current, proxy.announced);
            let own = &mut self.table.bindings[binding];
            own.owned.push(at);
            if proxy.is_current {
                own.proxies[Family::of(proxy.address).index()].push(at);
            }
        }
        self.sort_proxies(binding);
    }

    /// Current proxies are kept ascending, as they are announced.
    fn sort_proxies(&mut self, binding: usize) {
        for family in Family::ALL {
            let own = &mut self.table.bindings[binding].proxies[family.index()];
            let mut sorted = std::mem::take(own);
            sorted.sort_unstable_by_key(|&at| self.table.proxies[at].address);
            self.table.bindings[binding].proxies[family.index()] = sorted;
        }
    }

    /// What was found of a name, unless something of it is here already.
    fn restore_records(
        &mut self,
        name: &Name,
        records: &[SavedRecords; 2],
        since: Duration,
        now: Instant,
    ) {
        let (names, real) = (&mut self.names, &self.real);
        let Some(id) = names.find(name) else { return };
        let Some(slot) = names.get_mut(id) else { return };
        for family in Family::ALL {
            let own = &mut slot.records[family.index()];
            own.restore(&records[family.index()], |address| real.permits(address), since, now);
            if let Some(confirm) = own.confirm_at {
                self.timers.insert((confirm, Timer::Confirm(id, family)));
            }
        }
    }
}

impl SavedAnnouncement {
    fn restored(&self, since: Duration, now: Instant) -> Announcement {
        let mut own = Announcement::new(self.resource, now - (self.at + since));
        own.domain.clone_from(&self.domain);
        (own.id, own.families) = (self.id, self.families);
        own
    }
}

fn read_client(from: &mut Reader<'_>) -> Result<SavedClient, StateError> {
    let (id, run, former) = (ClientId(from.u128()?), from.option_u64()?, from.option_u64()?);
    let ended = from.duration()?;
    let moved = from.list(|from| Ok((from.address()?, from.duration()?)))?;
    let bindings = from.list(|from| {
        Ok(SavedBinding {
            name: from.u32()?,
            is_current: from.bool()?,
            translated: from.bool()?,
            resources: from.list(|from| from.u128().map(ResourceId))?,
            proxies: from.list(|from| {
                Ok(SavedProxy {
                    address: from.address()?,
                    is_current: from.bool()?,
                    announced: from.option_u64()?,
                })
            })?,
            announcements: from.list(|from| {
                Ok(SavedAnnouncement {
                    resource: ResourceId(from.u128()?),
                    domain: from.text()?.to_owned(),
                    id: from.option_u64()?,
                    families: [from.bool()?, from.bool()?],
                    at: from.duration()?,
                })
            })?,
        })
    })?;
    Ok(SavedClient { id, run, former_run: former.map(|run| (run, ended)), moved, bindings })
}
