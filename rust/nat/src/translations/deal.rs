//! Which real address stands behind which proxy address (R22): a pure function without memory, so
//! that a restarted Gateway, and another one, deal the same.

use std::cmp::Reverse;
use std::net::IpAddr;

use blake2::Blake2sMac256;
use blake2::digest::{FixedOutput, KeyInit, Update};
use dns::Name;
use smallvec::SmallVec;

use crate::control::ClientId;

/// Fixed for ever: another key deals every name anew (R22).
const KEY: [u8; 32] = *b"firezone: proxy to real address\0";
/// Addresses of an answer beyond this number are left aside: a resolver that lies must not cost
/// hashes without bound.
pub(super) const MAX_ADDRESSES: usize = 64;

/// What each proxy address gets, in the order of the proxies.
pub(super) type Dealt = SmallVec<[Option<IpAddr>; 8]>;

/// Which real address each of `proxies` gets (R22); both lists of one family, without duplicates,
/// in any order.
///
/// Each address gets ⌊k/n⌋ of the k proxies, and the heaviest k mod n one more. Pairs are taken by
/// falling weight while the proxy is free and the address has room; weights are BLAKE2s of client,
/// name and pair.
pub fn deal(
    client: ClientId,
    name: &Name,
    proxies: &[IpAddr],
    real: &[IpAddr],
) -> Vec<Option<IpAddr>> {
    dealt(client, name, proxies, real).into_vec()
}

pub(super) fn dealt(client: ClientId, name: &Name, proxies: &[IpAddr], real: &[IpAddr]) -> Dealt {
    let mut dealt: Dealt = proxies.iter().map(|_| None).collect();
    if real.is_empty() {
        return dealt;
    }
    let hash = prefix(client, name);
    let mut room = shares(&hash, proxies.len(), real);
    let mut pairs: SmallVec<[_; 32]> = SmallVec::new();
    for (at, &proxy) in proxies.iter().enumerate() {
        for (which, &address) in real.iter().enumerate() {
            if room[which] > 0 {
                pairs.push((Reverse(weigh(&hash, &[proxy, address])), proxy, address, at, which));
            }
        }
    }
    pairs.sort_unstable();
    for (_, _, address, at, which) in pairs {
        if dealt[at].is_none() && room[which] > 0 {
            dealt[at] = Some(address);
            room[which] -= 1;
        }
    }
    dealt
}

/// How many proxies each address takes.
fn shares(hash: &Blake2sMac256, proxies: usize, real: &[IpAddr]) -> SmallVec<[usize; 8]> {
    let mut room: SmallVec<[usize; 8]> = SmallVec::from_elem(proxies / real.len(), real.len());
    let more = proxies % real.len();
    let mut weights: SmallVec<[_; 8]> = SmallVec::new();
    weights.extend(
        real.iter()
            .enumerate()
            .map(|(which, &address)| (Reverse(weigh(hash, &[address])), address, which)),
    );
    weights.sort_unstable();
    for (_, _, which) in weights.into_iter().take(more) {
        room[which] += 1;
    }
    room
}

/// The part of every weight that is the same: client and name.
fn prefix(client: ClientId, name: &Name) -> Blake2sMac256 {
    let mut hash = Blake2sMac256::new(&KEY.into());
    hash.update(&client.0.to_be_bytes());
    hash.update(name.as_str().as_bytes());
    hash.update(&[0]);
    hash
}

fn weigh(prefix: &Blake2sMac256, addresses: &[IpAddr]) -> u64 {
    let mut hash = prefix.clone();
    for address in addresses {
        match address {
            IpAddr::V4(v4) => hash.update(&v4.octets()),
            IpAddr::V6(v6) => hash.update(&v6.octets()),
        }
    }
    let output = hash.finalize_fixed();
    output.iter().take(8).fold(0, |weight, &byte| weight << 8 | u64::from(byte))
}

/// At most [`MAX_ADDRESSES`] of an answer, ascending and without duplicates; which ones depends on
/// the set alone.
pub(super) fn bounded(mut addresses: SmallVec<[IpAddr; 4]>) -> SmallVec<[IpAddr; 4]> {
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.len() > MAX_ADDRESSES {
        let hash = Blake2sMac256::new(&KEY.into());
        addresses.sort_by_cached_key(|&address| (Reverse(weigh(&hash, &[address])), address));
        addresses.truncate(MAX_ADDRESSES);
        addresses.sort_unstable();
    }
    addresses
}
