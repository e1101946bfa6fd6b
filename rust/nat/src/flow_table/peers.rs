//! What is kept per peer: how many flows, which may give way (R33), and which go to which proxy
//! address (R23).

use super::index::Index;
use super::key::Hash;
use super::pool::Pool;
use super::record::{Chain, Record, Records};
use super::state::Class;
use crate::wheel::{Links, List, NONE};

#[derive(Clone, Copy, Debug)]
struct Peer {
    live: u32,
    resting: u32,
    /// By [`Class::yields`], oldest in front.
    lists: [List; 3],
    proxies: List,
}

impl Peer {
    const EMPTY: Self = Self { live: 0, resting: 0, lists: [List::EMPTY; 3], proxies: List::EMPTY };

    fn list(&mut self, class: Class) -> Option<&mut List> {
        class.yields().map(|rank| &mut self.lists[rank])
    }
}

/// A proxy address of a peer that has records; it holds a reference to the address.
struct Proxy {
    peer: u32,
    is_ipv6: bool,
    address: u32,
    records: List,
    previous: u32,
    next: u32,
}

impl Proxy {
    fn hash(&self, hash: &Hash) -> u64 {
        proxy_hash(hash, self.peer, self.is_ipv6, self.address)
    }
}

fn proxy_hash(hash: &Hash, peer: u32, is_ipv6: bool, address: u32) -> u64 {
    hash.numbers(u64::from(address) | u64::from(peer) << 32, is_ipv6.into())
}

/// The peers of the shard and their proxy addresses.
pub(super) struct Peers {
    peers: Vec<Peer>,
    proxies: Pool<Proxy>,
    index: Index,
}

impl Peers {
    pub(super) fn new() -> Self {
        Self { peers: Vec::new(), proxies: Pool::new(), index: Index::new() }
    }

    /// Numbers that peers have or had: those below this one.
    pub(super) fn len(&self) -> u32 {
        self.peers.len() as u32
    }

    pub(super) fn live(&self, peer: u32) -> u32 {
        self.peers.get(peer as usize).map_or(0, |peer| peer.live)
    }

    pub(super) fn resting(&self, peer: u32) -> u32 {
        self.peers.get(peer as usize).map_or(0, |peer| peer.resting)
    }

    /// The record of a class that has been in it longest.
    pub(super) fn oldest(&self, peer: u32, class: Class) -> Option<u32> {
        let peer = self.peers.get(peer as usize)?;
        class.yields().and_then(|rank| peer.lists[rank].front())
    }

    /// Adds a record to its peer, which is made if it is new.
    pub(super) fn enter(&mut self, records: &mut Records, place: u32) {
        let peer = records[place].peer() as usize;
        if peer >= self.peers.len() {
            self.peers.resize(peer + 1, Peer::EMPTY);
        }
        self.add(records, place, records[place].state().class());
    }

    /// Takes a record from its peer.
    pub(super) fn leave(&mut self, records: &mut Records, place: u32) {
        let record = records[place];
        let peer = &mut self.peers[record.peer() as usize];
        if let Some(list) = peer.list(record.state().class()) {
            list.remove(&mut records.chain(Chain::Peer), place);
        }
        if record.state().is_live() {
            peer.live -= 1;
        } else {
            peer.resting -= 1;
        }
    }

    /// Moves a record from the list of its class to that of `class`.
    pub(super) fn change(&mut self, records: &mut Records, place: u32, class: Class) {
        self.leave(records, place);
        self.add(records, place, class);
    }

    fn add(&mut self, records: &mut Records, place: u32, class: Class) {
        let peer = &mut self.peers[records[place].peer() as usize];
        if let Some(list) = peer.list(class) {
            list.push_back(&mut records.chain(Chain::Peer), place);
        }
        if class == Class::Resting {
            peer.resting += 1;
        } else {
            peer.live += 1;
        }
    }

    fn find_proxy(&self, hash: &Hash, peer: u32, is_ipv6: bool, address: u32) -> Option<u32> {
        self.index.find(proxy_hash(hash, peer, is_ipv6, address), |place| {
            let proxy = &self.proxies[place];
            (proxy.peer, proxy.is_ipv6, proxy.address) == (peer, is_ipv6, address)
        })
    }

    /// Adds a record to its proxy address. True if that is new: it needs a reference to the address.
    pub(super) fn enter_proxy(&mut self, hash: &Hash, records: &mut Records, place: u32) -> bool {
        let Record { ends, proxy: address, .. } = records[place];
        let (peer, is_ipv6) = (ends.peer(), ends.kind().is_ipv6());
        let found = self.find_proxy(hash, peer, is_ipv6, address);
        let at = found.unwrap_or_else(|| {
            let proxy =
                Proxy { peer, is_ipv6, address, records: List::EMPTY, previous: NONE, next: NONE };
            let key = proxy.hash(hash);
            let at = self.proxies.insert(proxy);
            let proxies = &self.proxies;
            self.index.insert(key, at, |place| proxies[place].hash(hash));
            self.peers[peer as usize].proxies.push_back(&mut ProxyLinks(&mut self.proxies), at);
            at
        });
        self.proxies[at].records.push_back(&mut records.chain(Chain::Proxy), place);
        found.is_none()
    }

    /// Takes a record from its proxy address. True if that has no other: its reference is free.
    pub(super) fn leave_proxy(&mut self, hash: &Hash, records: &mut Records, place: u32) -> bool {
        let Record { ends, proxy: address, .. } = records[place];
        let (peer, is_ipv6) = (ends.peer(), ends.kind().is_ipv6());
        let Some(at) = self.find_proxy(hash, peer, is_ipv6, address) else { return false };
        let proxy = &mut self.proxies[at];
        proxy.records.remove(&mut records.chain(Chain::Proxy), place);
        if !proxy.records.is_empty() {
            return false;
        }
        self.index.remove(proxy_hash(hash, peer, is_ipv6, address), at);
        self.peers[peer as usize].proxies.remove(&mut ProxyLinks(&mut self.proxies), at);
        self.proxies.remove(at);
        true
    }

    /// One of the records of a proxy address.
    pub(super) fn of_proxy(
        &self,
        hash: &Hash,
        peer: u32,
        is_ipv6: bool,
        address: u32,
    ) -> Option<u32> {
        self.proxies[self.find_proxy(hash, peer, is_ipv6, address)?].records.front()
    }

    /// One of the records of a peer.
    pub(super) fn of_peer(&self, peer: u32) -> Option<u32> {
        let found = self.peers.get(peer as usize)?;
        match found.proxies.front() {
            Some(proxy) => self.proxies[proxy].records.front(),
            None => self.oldest(peer, Class::Resting),
        }
    }
}

struct ProxyLinks<'a>(&'a mut Pool<Proxy>);

impl Links for ProxyLinks<'_> {
    fn previous(&self, entry: u32) -> u32 {
        self.0[entry].previous
    }

    fn next(&self, entry: u32) -> u32 {
        self.0[entry].next
    }

    fn set_previous(&mut self, entry: u32, previous: u32) {
        self.0[entry].previous = previous;
    }

    fn set_next(&mut self, entry: u32, next: u32) {
        self.0[entry].next = next;
    }
}
