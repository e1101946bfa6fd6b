//! A Gateway's NAT state as bytes, so that another process goes on with its flows (R38).
//!
//! A file is eight bytes of mark, a version, the length of what follows, the contents, and their
//! BLAKE2s-256. It is taken whole or not at all. Times are ages. It holds no key and permits nothing:
//! access is what the importing Gateway knows of it, addresses are held against its own settings
//! (R17, R18), and each flow is checked anew at its first packet (R26).

mod codec;
mod flows;

use std::time::Duration;

use blake2::{Blake2s256, Digest};
use dns::ResourceId;
use packet::Instant;

use crate::control::ClientId;
use crate::flow_table::{FlowTable, PeerIndex};
use crate::translations::{Saved, Translations};

pub(crate) use codec::{Reader, Writer};

/// What a file begins with.
const MARK: &[u8; 8] = b"fz-nat\r\n";
/// Raised by every change of the contents' layout.
const VERSION: u16 = 1;
const HEADER: usize = MARK.len() + 2 + 8;
const CHECKSUM: usize = 32;

/// Why a file is not taken. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// It is something else.
    #[error("this is no file of NAT state; give the one that the former process wrote")]
    NotState,
    /// It was written by another version.
    #[error("NAT state of version {0} cannot be read here; start without it, flows open anew")]
    Version(u16),
    /// It is shorter or longer than it says.
    #[error("the NAT state is not whole; start without it, flows open anew")]
    Truncated,
    /// Its checksum is wrong.
    #[error("the NAT state is damaged; start without it, flows open anew")]
    Damaged,
    /// It is whole, and holds what no Gateway has: which value.
    #[error("the NAT state makes no sense ({0}); start without it, and report this")]
    Content(&'static str),
    /// The Gateway that is to take it is in use already.
    #[error("NAT state can only be taken before the first packet; import it earlier")]
    NotFresh,
}

/// What came over, and what did not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Flows.
    pub flows: u32,
    /// Ports that rest.
    pub rests: u32,
    /// Names of Clients.
    pub names: u32,
    /// Flows, ports or names of Clients that are not known any more, or that settings do not allow.
    pub left_out: u32,
}

/// What the owner of both tables knows about Clients and resources.
pub trait Owner {
    /// The number of a Client in the flow table, if it is known.
    fn peer(&self, client: ClientId) -> Option<PeerIndex>;
    /// The note of a resource, if it is known.
    fn tag(&self, resource: ResourceId) -> Option<u32>;
    /// The Client of a number.
    fn client(&self, peer: PeerIndex) -> Option<ClientId>;
    /// The resource of a note.
    fn resource(&self, tag: u32) -> Option<ResourceId>;
}

/// The state of both tables, as a file.
pub fn export(
    translations: &Translations,
    flows: &FlowTable,
    owner: &impl Owner,
    now: Instant,
) -> Vec<u8> {
    let mut contents = Writer::default();
    translations.export(&mut contents, now);
    flows::export(flows, owner, &mut contents, now);
    seal(&contents.bytes)
}

/// Takes over what [`export`] wrote `since` ago, into tables that nothing has used yet.
///
/// Clients and their access are to be known before; what is of others is left out. Flows are
/// checked at their first packet, whose epoch must not be `epoch`.
///
/// # Errors
/// [`StateError`]; nothing has changed then.
pub fn import(
    bytes: &[u8],
    since: Duration,
    (translations, flows): (&mut Translations, &mut FlowTable),
    owner: &impl Owner,
    epoch: u32,
    now: Instant,
) -> Result<Imported, StateError> {
    if !translations.is_fresh() || flows.counters().live > 0 || flows.counters().resting > 0 {
        return Err(StateError::NotFresh);
    }
    let (names, saved) = read(bytes)?;
    let mut imported = Imported::default();
    let is_known = |client| owner.peer(client).is_some();
    translations.restore(&names, since, is_known, &mut imported, now);
    for flow in saved {
        let is_allowed = flow.is_direct() || translations.permits_real(flow.state.real);
        let peer = owner.peer(flow.client).filter(|_| is_allowed);
        let tag = flow.resource.and_then(|resource| owner.tag(resource)).unwrap_or(u32::MAX);
        let state = flow.aged(since, tag);
        let is_rest = state.proxy.is_none() || !state.is_live();
        match peer.is_some_and(|peer| flows.restore(peer, &state, epoch, now)) {
            false => imported.left_out += 1,
            true if is_rest => imported.rests += 1,
            true => imported.flows += 1,
        }
    }
    Ok(imported)
}

/// Whether [`import`] would take `bytes`.
///
/// # Errors
/// [`StateError`]: what it would say.
pub fn check(bytes: &[u8]) -> Result<(), StateError> {
    read(bytes).map(drop)
}

fn read(bytes: &[u8]) -> Result<(Saved, Vec<flows::Saved>), StateError> {
    let mut reader = Reader::new(open(bytes)?);
    let names = Translations::read(&mut reader)?;
    let saved = flows::read(&mut reader)?;
    reader.finish()?;
    Ok((names, saved))
}

fn seal(contents: &[u8]) -> Vec<u8> {
    let mut file = Writer { bytes: MARK.to_vec() };
    file.u16(VERSION);
    file.u64(contents.len() as u64);
    file.bytes.extend(contents);
    let checksum = Blake2s256::digest(&file.bytes);
    file.bytes.extend(checksum.iter());
    file.bytes
}

fn open(file: &[u8]) -> Result<&[u8], StateError> {
    let rest = file.strip_prefix(MARK.as_slice()).ok_or(StateError::NotState)?;
    let (&version, rest) = rest.split_first_chunk().ok_or(StateError::Truncated)?;
    let version = u16::from_le_bytes(version);
    if version != VERSION {
        return Err(StateError::Version(version));
    }
    let (&length, rest) = rest.split_first_chunk().ok_or(StateError::Truncated)?;
    let length = usize::try_from(u64::from_le_bytes(length)).map_err(|_| StateError::Truncated)?;
    if rest.len().checked_sub(CHECKSUM) != Some(length) {
        return Err(StateError::Truncated);
    }
    let (covered, checksum) = file.split_at(HEADER + length);
    if Blake2s256::digest(covered)[..] != *checksum {
        return Err(StateError::Damaged);
    }
    Ok(&rest[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r38_a_file_opens_whole_or_says_why_not() {
        let file = seal(b"contents");
        assert_eq!(open(&file), Ok(&b"contents"[..]));
        for len in 0..file.len() {
            let why = open(&file[..len]).unwrap_err();
            assert!(matches!(why, StateError::NotState | StateError::Truncated), "{len}: {why}");
        }
        for at in 0..file.len() {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                assert!(open(&damaged).is_err(), "byte {at}");
            }
        }
        let longer = [&file[..], b"x"].concat();
        assert_eq!(open(&longer), Err(StateError::Truncated));
        let mut later = seal(b"contents");
        later[MARK.len()] = 2;
        assert_eq!(open(&later), Err(StateError::Version(2)));
    }
}
