//! Where translations are kept: Clients, the names of each (bindings), and their proxy addresses.
//!
//! A binding joins one Client and one name. Indices into the slabs are small numbers; ids of
//! Clients are looked up at the edge alone. The names of a Client form a list by last use (R33).

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Duration;

use dns::{Family, NameId, ResourceId};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};
use packet::Instant;
use slab::Slab;
use smallvec::SmallVec;

use crate::control::ClientId;

use super::types::Announced;

/// An address that moved to another name is remembered as long as a TCP flow may live (R23, R30).
const MOVED_MEMORY: Duration = Duration::from_secs(7440);
/// End of a list.
pub(super) const NONE: usize = usize::MAX;
/// Version of a deal that was never made.
const NOT_DEALT: u32 = u32::MAX;

pub(super) struct Client {
    pub(super) id: ClientId,
    /// Never given to another Client, unlike its index.
    serial: u64,
    pub(super) run: Option<u64>,
    /// The run before, and when it ended.
    pub(super) former_run: Option<(u64, Instant)>,
    /// Bindings of another epoch are of a former run: they serve live flows only (R23).
    pub(super) epoch: u32,
    pub(super) names: usize,
    pub(super) proxies: usize,
    /// Its bindings by last use, the longest idle first.
    pub(super) first: usize,
    last: usize,
}

/// One Client's use of one name.
pub(super) struct Binding {
    pub(super) client: usize,
    pub(super) name: NameId,
    pub(super) epoch: u32,
    /// Current proxies of each family, as announced last, ascending.
    pub(super) proxies: [SmallVec<[usize; 4]>; 2],
    /// All its proxies, those of a former run included.
    pub(super) owned: SmallVec<[usize; 8]>,
    /// Which version of the records each family was dealt from.
    dealt: [u32; 2],
    /// It had a real address once (R25).
    pub(super) translated: bool,
    /// The resources that announced it.
    resources: SmallVec<[ResourceId; 1]>,
    /// Another after each change of them, see [`Table::change_resources`].
    version: u64,
    pub(super) announcements: SmallVec<[Announcement; 1]>,
    /// It is in the list of those that wait for a look-up of the name.
    pub(super) waiting: bool,
    /// Its timer.
    pub(super) timer: Option<Instant>,
    /// Its place in the list of the name's bindings.
    pub(super) user_place: usize,
    pub(super) previous: usize,
    pub(super) next: usize,
}

/// The newest AssignedIps of one resource for a binding, and what of it is still to be told (R19).
pub(super) struct Announcement {
    pub(super) resource: ResourceId,
    /// The name as the Client wrote it.
    pub(super) domain: String,
    pub(super) id: Option<u64>,
    pub(super) at: Instant,
    pub(super) families: [bool; 2],
    /// Look-ups whose result is one more status.
    pub(super) awaiting: [bool; 2],
    /// Messages without a status yet: their ids.
    pub(super) unanswered: SmallVec<[Option<u64>; 2]>,
    pub(super) deadline: Option<Instant>,
}

pub(super) struct Proxy {
    pub(super) client: usize,
    pub(super) address: IpAddr,
    pub(super) binding: usize,
    /// In what was announced last for the name.
    pub(super) current: bool,
    /// What it was dealt.
    pub(super) real: Option<IpAddr>,
    /// The handshake that announced it last.
    pub(super) announced: Option<u64>,
}

impl Announcement {
    pub(super) fn new(resource: ResourceId, at: Instant) -> Self {
        Self {
            resource,
            domain: String::new(),
            id: None,
            at,
            families: [false; 2],
            awaiting: [false; 2],
            unanswered: SmallVec::new(),
            deadline: None,
        }
    }
}

impl Binding {
    pub(super) fn announced(&self) -> Announced<'_> {
        Announced { resources: &self.resources, version: self.version }
    }

    pub(super) fn is_dealt(&self, family: Family, version: u32) -> bool {
        self.dealt[family.index()] == version
    }

    pub(super) fn set_dealt(&mut self, family: Family, version: u32) {
        self.dealt[family.index()] = version;
    }

    /// The proxies of a family have changed.
    pub(super) fn undo_deal(&mut self, family: Family) {
        self.dealt[family.index()] = NOT_DEALT;
    }
}

pub(super) struct Table {
    hasher: FixedState,
    by_id: HashMap<ClientId, usize, FixedState>,
    pub(super) clients: Slab<Client>,
    pub(super) bindings: Slab<Binding>,
    by_name: HashTable<usize>,
    pub(super) proxies: Slab<Proxy>,
    by_address: HashTable<usize>,
    moved: HashMap<(u64, IpAddr), Instant, FixedState>,
    moves: VecDeque<(Instant, u64, IpAddr)>,
    serial: u64,
    versions: u64,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            by_id: HashMap::with_hasher(hasher.clone()),
            clients: Slab::new(),
            bindings: Slab::new(),
            by_name: HashTable::new(),
            proxies: Slab::new(),
            by_address: HashTable::new(),
            moved: HashMap::with_hasher(hasher.clone()),
            moves: VecDeque::new(),
            serial: 0,
            versions: 0,
            hasher,
        }
    }

    pub(super) fn client(&self, id: ClientId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn add_client(&mut self, id: ClientId) -> usize {
        if let Some(index) = self.client(id) {
            return index;
        }
        self.serial += 1;
        let index = self.clients.insert(Client {
            id,
            serial: self.serial,
            run: None,
            former_run: None,
            epoch: 0,
            names: 0,
            proxies: 0,
            first: NONE,
            last: NONE,
        });
        self.by_id.insert(id, index);
        index
    }

    pub(super) fn remove_client(&mut self, id: ClientId) {
        if let Some(index) = self.by_id.remove(&id) {
            self.clients.try_remove(index);
        }
    }

    /// The binding of a Client's name; O(1).
    pub(super) fn binding(&self, client: usize, name: NameId) -> Option<usize> {
        let same = |&index: &usize| {
            self.bindings.get(index).is_some_and(|own| own.client == client && own.name == name)
        };
        self.by_name.find(self.hasher.hash_one((client, name)), same).copied()
    }

    pub(super) fn add_binding(&mut self, client: usize, name: NameId, user_place: usize) -> usize {
        let version = self.next_version();
        let index = self.bindings.insert(Binding {
            client,
            name,
            epoch: 0,
            proxies: [SmallVec::new(), SmallVec::new()],
            owned: SmallVec::new(),
            dealt: [NOT_DEALT; 2],
            translated: false,
            resources: SmallVec::new(),
            version,
            announcements: SmallVec::new(),
            waiting: false,
            timer: None,
            user_place,
            previous: NONE,
            next: NONE,
        });
        let (bindings, hasher) = (&self.bindings, &self.hasher);
        self.by_name.insert_unique(hasher.hash_one((client, name)), index, |&other| {
            bindings.get(other).map_or(0, |own| hasher.hash_one((own.client, own.name)))
        });
        self.clients[client].names += 1;
        self.link(index);
        index
    }

    /// A number that no list of resources had.
    fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }

    /// Changes by which resources a binding was announced. The only way to: what others keep of a list
    /// goes by its version.
    pub(super) fn change_resources(
        &mut self,
        index: usize,
        change: impl FnOnce(&mut SmallVec<[ResourceId; 1]>),
    ) {
        let version = self.next_version();
        if let Some(own) = self.bindings.get_mut(index) {
            change(&mut own.resources);
            own.version = version;
        }
    }

    /// Takes a binding and all its proxies out.
    pub(super) fn remove_binding(&mut self, index: usize) -> Option<Binding> {
        self.unlink(index);
        let binding = self.bindings.try_remove(index)?;
        let hash = self.hasher.hash_one((binding.client, binding.name));
        if let Ok(found) = self.by_name.find_entry(hash, |&other| other == index) {
            found.remove();
        }
        for &proxy in &binding.owned {
            self.remove_proxy(proxy);
        }
        if let Some(client) = self.clients.get_mut(binding.client) {
            client.names -= 1;
        }
        Some(binding)
    }

    /// The proxy address of a Client; O(1).
    pub(super) fn proxy(&self, client: usize, address: IpAddr) -> Option<usize> {
        let same = |&index: &usize| {
            self.proxies
                .get(index)
                .is_some_and(|own| own.client == client && own.address == address)
        };
        self.by_address.find(self.hasher.hash_one((client, address)), same).copied()
    }

    pub(super) fn add_proxy(&mut self, client: usize, address: IpAddr, binding: usize) -> usize {
        let proxy = Proxy { client, address, binding, current: true, real: None, announced: None };
        let index = self.proxies.insert(proxy);
        let (proxies, hasher) = (&self.proxies, &self.hasher);
        self.by_address.insert_unique(hasher.hash_one((client, address)), index, |&other| {
            proxies.get(other).map_or(0, |own| hasher.hash_one((own.client, own.address)))
        });
        self.clients[client].proxies += 1;
        index
    }

    fn remove_proxy(&mut self, index: usize) {
        let Some(proxy) = self.proxies.try_remove(index) else { return };
        let hash = self.hasher.hash_one((proxy.client, proxy.address));
        if let Ok(found) = self.by_address.find_entry(hash, |&other| other == index) {
            found.remove();
        }
        if let Some(client) = self.clients.get_mut(proxy.client) {
            client.proxies -= 1;
        }
    }

    /// Gives a proxy to another binding and remembers that it moved; returns the binding it had if
    /// that has no proxy left.
    pub(super) fn move_proxy(&mut self, index: usize, to: usize, now: Instant) -> Option<usize> {
        let proxy = &mut self.proxies[index];
        let from = std::mem::replace(&mut proxy.binding, to);
        (proxy.real, proxy.current) = (None, true);
        let (client, address) = (proxy.client, proxy.address);
        self.remember_move(client, address, now);
        let binding = self.bindings.get_mut(from)?;
        binding.owned.retain(|&mut other| other != index);
        let family = Family::of(address);
        binding.proxies[family.index()].retain(|&mut other| other != index);
        binding.undo_deal(family);
        binding.owned.is_empty().then_some(from)
    }

    fn remember_move(&mut self, client: usize, address: IpAddr, now: Instant) {
        while let Some(&(at, serial, address)) = self.moves.front() {
            if now - at < MOVED_MEMORY {
                break;
            }
            self.moves.pop_front();
            if self.moved.get(&(serial, address)) == Some(&at) {
                self.moved.remove(&(serial, address));
            }
        }
        let serial = self.clients[client].serial;
        self.moved.insert((serial, address), now);
        self.moves.push_back((now, serial, address));
    }

    /// The addresses of a Client that moved, and when; the oldest first.
    pub(super) fn moves_of(&self, client: usize) -> Vec<(IpAddr, Instant)> {
        let serial = self.clients.get(client).map(|client| client.serial);
        let moves = self.moves.iter().filter(|(at, owner, address)| {
            Some(*owner) == serial && self.moved.get(&(*owner, *address)) == Some(at)
        });
        moves.map(|(at, _, address)| (*address, *at)).collect()
    }

    /// Remembers a move of a former process. To be called before any other move is noted.
    pub(super) fn restore_move(&mut self, client: usize, address: IpAddr, at: Instant) {
        let serial = self.clients[client].serial;
        self.moved.insert((serial, address), at);
        let place = self.moves.partition_point(|(other, ..)| *other <= at);
        self.moves.insert(place, (at, serial, address));
    }

    pub(super) fn moved_recently(&self, client: usize, address: IpAddr, now: Instant) -> bool {
        let serial = self.clients.get(client).map(|client| client.serial);
        let moved = serial.and_then(|serial| self.moved.get(&(serial, address)));
        moved.is_some_and(|&at| now - at < MOVED_MEMORY)
    }

    /// Makes a binding the one that was used last.
    pub(super) fn touch(&mut self, index: usize) {
        self.unlink(index);
        self.link(index);
    }

    fn link(&mut self, index: usize) {
        let Some(client) = self.bindings.get(index).map(|binding| binding.client) else { return };
        let Some(client) = self.clients.get_mut(client) else { return };
        let previous = std::mem::replace(&mut client.last, index);
        match self.bindings.get_mut(previous) {
            Some(before) => before.next = index,
            None => client.first = index,
        }
        let binding = &mut self.bindings[index];
        (binding.previous, binding.next) = (previous, NONE);
    }

    fn unlink(&mut self, index: usize) {
        let Some(binding) = self.bindings.get(index) else { return };
        let (client, previous, next) = (binding.client, binding.previous, binding.next);
        let Some(client) = self.clients.get_mut(client) else { return };
        match self.bindings.get_mut(previous) {
            Some(before) => before.next = next,
            None => client.first = next,
        }
        match self.bindings.get_mut(next) {
            Some(after) => after.previous = previous,
            None => client.last = previous,
        }
    }

    /// The bindings of a Client, the longest idle first.
    pub(super) fn bindings_of(&self, client: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut at = self.clients.get(client).map_or(NONE, |client| client.first);
        while let Some(binding) = self.bindings.get(at) {
            found.push(at);
            at = binding.next;
        }
        found
    }
}
