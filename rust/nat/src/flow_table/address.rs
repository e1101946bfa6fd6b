//! Addresses in four bytes: IPv4 as it is, IPv6 as its place among the interned ones. Proxy and real
//! addresses are few beside the flows that share them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::index::Index;
use super::key::Hash;
use super::pool::Pool;

struct Interned {
    address: Ipv6Addr,
    references: u32,
}

/// The interned addresses. Whoever keeps a place holds a reference to it.
pub(super) struct Addresses {
    pool: Pool<Interned>,
    index: Index,
}

impl Addresses {
    pub(super) fn new() -> Self {
        Self { pool: Pool::new(), index: Index::new() }
    }

    /// The address in four bytes, if it is interned or need not be.
    pub(super) fn find(&self, hash: &Hash, address: IpAddr) -> Option<u32> {
        match address {
            IpAddr::V4(address) => Some(address.to_bits()),
            IpAddr::V6(address) => self
                .index
                .find(hash.address(address.into()), |place| self.pool[place].address == address),
        }
    }

    /// As [`Self::find`], and adds a reference.
    pub(super) fn intern(&mut self, hash: &Hash, address: IpAddr) -> u32 {
        if let Some(found) = self.find(hash, address) {
            if address.is_ipv6() {
                self.pool[found].references += 1;
            }
            return found;
        }
        let IpAddr::V6(address) = address else { return 0 };
        let place = self.pool.insert(Interned { address, references: 1 });
        let pool = &self.pool;
        let rehash = |place| hash.address(pool[place].address.into());
        self.index.insert(hash.address(address.into()), place, rehash);
        place
    }

    /// Gives one reference back.
    pub(super) fn release(&mut self, hash: &Hash, is_ipv6: bool, address: u32) {
        if !is_ipv6 {
            return;
        }
        let interned = &mut self.pool[address];
        interned.references -= 1;
        if interned.references == 0 {
            self.index.remove(hash.address(interned.address.into()), address);
            self.pool.remove(address);
        }
    }

    /// An interned address.
    #[inline]
    pub(super) fn ipv6(&self, address: u32) -> Ipv6Addr {
        self.pool[address].address
    }

    /// The address as a number.
    #[inline]
    pub(super) fn bits(&self, is_ipv6: bool, address: u32) -> u128 {
        if is_ipv6 { self.pool[address].address.to_bits() } else { address.into() }
    }

    #[inline]
    pub(super) fn get(&self, is_ipv6: bool, address: u32) -> IpAddr {
        if is_ipv6 {
            self.pool[address].address.into()
        } else {
            Ipv4Addr::from_bits(address).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lives_as_long_as_its_references() {
        let (mut addresses, hash) = (Addresses::new(), Hash::new(1));
        let address: IpAddr = "2001:db8::7".parse().unwrap();
        assert_eq!(addresses.find(&hash, address), None);
        let place = addresses.intern(&hash, address);
        assert_eq!(addresses.intern(&hash, address), place);
        assert_eq!(addresses.get(true, place), address);
        addresses.release(&hash, true, place);
        assert_eq!(addresses.find(&hash, address), Some(place));
        addresses.release(&hash, true, place);
        assert_eq!(addresses.find(&hash, address), None);
        assert_eq!(addresses.pool.len(), 0);
    }

    #[test]
    fn ipv4_needs_no_place() {
        let (mut addresses, hash) = (Addresses::new(), Hash::new(1));
        let address: IpAddr = "10.1.2.3".parse().unwrap();
        let bits = addresses.intern(&hash, address);
        assert_eq!((addresses.get(false, bits), addresses.pool.len()), (address, 0));
    }
}
