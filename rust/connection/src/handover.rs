//! How all sessions of an endpoint cross to the process that takes its place (R38).
//!
//! | part | bytes |
//! |---|---|
//! | head | `fzconn` 6, version 2, length of everything 4 |
//! | when | nanoseconds of the clock that both processes have 8 |
//! | whose | own public key 32 |
//! | peers | their number 4, then each |
//! | end | BLAKE2s of everything before 32 |
//!
//! A peer: public key 32, when it was heard of last 8 (all ones: never), the connection number that it
//! chose 4 (all ones: none), where it is reached 23, where commands said that it is 23, length of its
//! tunnel 4, its [tunnel](wireguard::Exported). An address: family 1 (0: none), address 16, scope 4,
//! port 2.
//! Numbers are little-endian.
//!
//! The peers themselves, and what they may, are not part of it: they come from commands, and each takes
//! what was left to it when it is added. What nobody claims is erased when it could not be used any more.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use blake2::{Blake2s256, Digest};
use packet::Instant;
use wireguard::{Exported as Tunnel, PublicKey};
use zeroize::Zeroizing;

use crate::connections::{Connections, Peer};

const MAGIC: [u8; 6] = *b"fzconn";
const VERSION: u16 = 1;
const HEAD: usize = 12;
const BODY: usize = 8 + 32 + 4;
const PEER: usize = 32 + 8 + 4 + 2 * ADDRESS + 4;
const ADDRESS: usize = 23;
const END: usize = 32;
const NEVER: u64 = u64::MAX;
const NONE: u32 = u32::MAX;
/// No session of any profile is open for longer.
const UNCLAIMED: Duration = Duration::from_secs(180);

/// All sessions of an endpoint on their way to a successor: secret, and worth nothing once used.
///
/// They cross once, over a descriptor that nobody else has; they are never written to a file.
pub struct Exported(Zeroizing<Vec<u8>>);

/// Why sessions were not taken over. Nothing of them is used then; handshakes take their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// It is something else.
    #[error("these are no sessions of a former process; peers are greeted anew")]
    NotSessions,
    /// They were written by another version.
    #[error("sessions of version {0} cannot be read here; peers are greeted anew")]
    Version(u16),
    /// Too short, too long, or changed.
    #[error("the sessions of the former process are damaged; peers are greeted anew")]
    Damaged,
    /// They were exported with another private key.
    #[error("the sessions belong to another private key; peers are greeted anew")]
    OtherKey,
    /// These connections are in use already, or a laboratory's.
    #[error("sessions can only be taken before the first peer; import them earlier")]
    NotFresh,
}

impl Exported {
    /// Takes bytes that [`Exported::as_bytes`] gave in another process.
    ///
    /// # Errors
    /// [`ImportError`], if they are not whole.
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, ImportError> {
        let mut reader = Reader(&bytes);
        if reader.take() != Ok(MAGIC) {
            return Err(ImportError::NotSessions);
        }
        let version = u16::from_le_bytes(reader.take()?);
        if version != VERSION {
            return Err(ImportError::Version(version));
        }
        let whole = reader.u32()? as usize == bytes.len();
        let end = bytes.len().checked_sub(END).filter(|end| *end >= HEAD + BODY);
        let (content, sum) = bytes.split_at(end.ok_or(ImportError::Damaged)?);
        if !whole || Blake2s256::digest(content)[..] != *sum {
            return Err(ImportError::Damaged);
        }
        Ok(Self(bytes))
    }

    /// The bytes, for the successor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported(***)")
    }
}

/// What a former process left to one peer.
pub(crate) struct Legacy {
    pub(crate) tunnel: Tunnel,
    /// When it was exported, by the clock that both processes have.
    pub(crate) exported: Instant,
    pub(crate) heard: Option<Instant>,
    pub(crate) remote_connection: Option<u32>,
    remote: Option<SocketAddr>,
    told: Option<SocketAddr>,
}

impl Legacy {
    /// Where the peer is reached: where the former process heard of it, unless commands say something
    /// else by now than they said to that.
    pub(crate) fn remote(&self, told: Option<SocketAddr>) -> Option<SocketAddr> {
        let is_news = told.is_some() && told != self.told;
        if is_news { told } else { self.remote.or(told) }
    }
}

impl Connections {
    /// Gives the sessions of all peers, and stops: from here on nothing is sealed, opened or answered,
    /// no peer can be added, and the private key is erased. `None` of a laboratory, which has none.
    pub fn export_and_stop(&mut self, now: Instant) -> Option<Exported> {
        let own = self.public_key()?;
        let tunnels: Vec<(u32, Tunnel)> = self
            .peers
            .iter_mut()
            .filter_map(|(slot, peer)| Some((slot as u32, peer.session.export_and_stop(now)?)))
            .collect();
        let tunnel_bytes: usize = tunnels.iter().map(|(_, tunnel)| tunnel.as_bytes().len()).sum();
        let len = HEAD + BODY + PEER * tunnels.len() + tunnel_bytes + END;
        // With the whole capacity at once: growing would leave copies of keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(len as u32).to_le_bytes());
        out.extend_from_slice(&now.as_nanos().to_le_bytes());
        out.extend_from_slice(own.as_bytes());
        out.extend_from_slice(&(tunnels.len() as u32).to_le_bytes());
        for (slot, tunnel) in &tunnels {
            if let Some(peer) = self.peers.get(*slot as usize) {
                write_peer(&mut out, peer, tunnel);
            }
        }
        let sum = Blake2s256::digest(&out[..]);
        out.extend_from_slice(&sum);
        self.senders.clear();
        self.events.clear();
        self.keyed = None;
        Some(Exported(out))
    }

    /// Sets the sessions of a former process aside for the peers that are added from now on; returns of
    /// how many peers there are some.
    ///
    /// # Errors
    /// [`ImportError`]; nothing has changed then.
    pub fn inherit(&mut self, exported: &Exported, now: Instant) -> Result<usize, ImportError> {
        let is_fresh = self.peers.is_empty();
        let keyed = self.keyed.as_mut().filter(|_| is_fresh).ok_or(ImportError::NotFresh)?;
        let end = exported.0.len().checked_sub(END).ok_or(ImportError::Damaged)?;
        let mut reader = Reader(exported.0.get(HEAD..end).ok_or(ImportError::Damaged)?);
        let at = Instant::from_nanos(reader.u64()?);
        let own: [u8; 32] = reader.take()?;
        if own != *keyed.node.public_key().as_bytes() {
            return Err(ImportError::OtherKey);
        }
        let count = reader.u32()?;
        // Of a later moment than now: of another clock, by which no age can be told.
        let is_past = at <= now;
        let mut peers = Vec::new();
        for _ in 0..count {
            peers.push(reader.peer(at)?);
        }
        if !reader.0.is_empty() || !is_past {
            return Err(ImportError::Damaged);
        }
        keyed.unclaimed_until = at + UNCLAIMED;
        keyed.legacies = peers.into_iter().collect();
        Ok(keyed.legacies.len())
    }

    /// When what no peer has claimed is to be erased.
    pub(crate) fn unclaimed_until(&self) -> Option<Instant> {
        let keyed = self.keyed.as_ref().filter(|keyed| !keyed.legacies.is_empty())?;
        Some(keyed.unclaimed_until)
    }

    /// Erases what no peer has claimed while it could be used.
    pub(crate) fn erase_unclaimed(&mut self, now: Instant) {
        if let Some(keyed) = &mut self.keyed
            && keyed.unclaimed_until <= now
        {
            keyed.legacies.clear();
        }
    }
}

fn write_peer(out: &mut Vec<u8>, peer: &Peer, tunnel: &Tunnel) {
    out.extend_from_slice(&peer.key.unwrap_or_default());
    out.extend_from_slice(&peer.heard.map_or(NEVER, |at| at.as_nanos()).to_le_bytes());
    out.extend_from_slice(&peer.remote_connection.unwrap_or(NONE).to_le_bytes());
    write_address(out, peer.remote);
    write_address(out, peer.told);
    out.extend_from_slice(&(tunnel.as_bytes().len() as u32).to_le_bytes());
    out.extend_from_slice(tunnel.as_bytes());
}

fn write_address(out: &mut Vec<u8>, address: Option<SocketAddr>) {
    let (family, ip, scope) = match address {
        None => (0, Ipv6Addr::UNSPECIFIED, 0),
        Some(SocketAddr::V4(at)) => (4, at.ip().to_ipv6_mapped(), 0),
        Some(SocketAddr::V6(at)) => (6, *at.ip(), at.scope_id()),
    };
    out.push(family);
    out.extend_from_slice(&ip.octets());
    out.extend_from_slice(&scope.to_le_bytes());
    out.extend_from_slice(&address.map_or(0, |address| address.port()).to_le_bytes());
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], ImportError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(ImportError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, ImportError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ImportError> {
        self.take().map(u64::from_le_bytes)
    }

    fn address(&mut self) -> Result<Option<SocketAddr>, ImportError> {
        let [family] = self.take()?;
        let ip = Ipv6Addr::from(self.take::<16>()?);
        let scope = self.u32()?;
        let port = u16::from_le_bytes(self.take()?);
        match family {
            0 => Ok(None),
            4 => {
                let ip = ip.to_ipv4_mapped().ok_or(ImportError::Damaged)?;
                Ok(Some(SocketAddr::from((ip, port))))
            }
            6 => Ok(Some(SocketAddrV6::new(ip, port, 0, scope).into())),
            _ => Err(ImportError::Damaged),
        }
    }

    fn peer(&mut self, exported: Instant) -> Result<([u8; 32], Legacy), ImportError> {
        let key = PublicKey::from_bytes(self.take()?);
        let heard = self.u64()?;
        let connection = self.u32()?;
        let (remote, told) = (self.address()?, self.address()?);
        let len = self.u32()? as usize;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(ImportError::Damaged)?;
        self.0 = rest;
        let tunnel = Tunnel::from_bytes(Zeroizing::new(bytes.to_vec()));
        let legacy = Legacy {
            tunnel: tunnel.map_err(|_| ImportError::Damaged)?,
            exported,
            heard: (heard != NEVER).then(|| Instant::from_nanos(heard)),
            remote_connection: (connection != NONE).then_some(connection),
            remote,
            told,
        };
        Ok((*key.as_bytes(), legacy))
    }
}
