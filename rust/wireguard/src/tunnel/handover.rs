//! How a successor process takes a tunnel over (R38), and what that looks like in bytes.
//!
//! | part | bytes |
//! |---|---|
//! | head | `fzwg` 4, version 2, length of everything 4 |
//! | whose | own public key 32, peer's 32 |
//! | indices | connection 4, last index 1, index in use 4 (0: none) |
//! | stamps | greatest of the peer 12, last of our own 12 |
//! | counts | age of the last handshake 8 (all ones: none), bytes sent 8, messages sent 8, bytes received 8, messages received 8 |
//! | sessions | their number 1, each 107 |
//! | end | BLAKE2s of everything before 32 |
//!
//! A session: our index 4, the peer's 4, role 1 (1 initiator), confirmed 1, renewed 1, age 8, age of
//! its handshake 8, keys 32 and 32, next counter 8, next counter of the window 8. Numbers are
//! little-endian, ages are nanoseconds.

use std::fmt;
use std::time::Duration;

use packet::Instant;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::ImportError;
use crate::handshake::Keys;
use crate::kdf::hash;
use crate::session::{Role, Session};
use crate::sessions::Sessions;
use crate::tai64n::Timestamp;
use crate::timers::Reason;
use crate::tunnel::{Statistics, Tunnel};
use crate::window::Window;

const MAGIC: [u8; 4] = *b"fzwg";
const VERSION: u16 = 1;
const HEAD: usize = 10;
const BODY: usize = 64 + 9 + 24 + 40 + 1;
const SESSION: usize = 107;
const END: usize = 32;
/// Counters that a successor leaves out, so that a nonce is never used twice (R38).
const LEAP: u64 = 1 << 20;
const NONE: u64 = u64::MAX;

/// A tunnel's sessions on their way to a successor: secret, and worth nothing once used.
///
/// Crosses once, over a descriptor that nobody else has; it is never written to a file.
pub struct Exported(Zeroizing<Vec<u8>>);

impl Exported {
    /// Takes bytes that [`Exported::as_bytes`] gave in another process.
    ///
    /// # Errors
    /// [`ImportError::Damaged`] or [`ImportError::Version`].
    pub fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Result<Self, ImportError> {
        let mut reader = Reader(&bytes);
        if reader.take()? != MAGIC {
            return Err(ImportError::Damaged);
        }
        let version = u16::from_le_bytes(reader.take()?);
        if version != VERSION {
            return Err(ImportError::Version(version));
        }
        let end = bytes.len().checked_sub(END).ok_or(ImportError::Damaged)?;
        let (content, sum) = bytes.split_at(end);
        let whole = u32::from_le_bytes(reader.take()?) as usize == bytes.len();
        if !whole || !bool::from(hash(&[content]).ct_eq(sum)) {
            return Err(ImportError::Damaged);
        }
        Ok(Self(bytes))
    }

    /// The bytes, for the successor.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The upper 24 bits of its receiver indices, which the successor has to go on with.
    pub fn connection(&self) -> u32 {
        let bytes = self.0.get(HEAD + 64..).and_then(|rest| rest.first_chunk());
        bytes.map_or(u32::MAX, |bytes| u32::from_le_bytes(*bytes))
    }
}

impl fmt::Debug for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported(***)")
    }
}

impl Tunnel {
    /// Gives everything that a successor needs, and stops: from here on this tunnel seals nothing,
    /// opens nothing, and has neither timers nor keys of sessions.
    pub fn export_and_stop(&mut self, now: Instant) -> Exported {
        let len = HEAD + BODY + SESSION * self.sessions.iter().count() + END;
        // With the whole capacity at once: growing would leave copies of keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(len));
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&(len as u32).to_le_bytes());
        self.write_body(&mut out, now);
        for session in self.sessions.iter() {
            write_session(&mut out, session, now);
        }
        let sum = hash(&[&out]);
        out.extend_from_slice(&sum);
        self.stop();
        Exported(out)
    }

    /// Takes over what another process exported, in a tunnel that was just made with
    /// [`Exported::connection`]: sessions go on where they were, 2^20 counters later and with windows
    /// that have seen everything before.
    ///
    /// The key, the preshared key and the profile are not part of it, they come from the
    /// configuration. Both processes must have the same clock.
    ///
    /// # Errors
    /// [`ImportError`]; nothing has changed then.
    pub fn inherit(&mut self, exported: &Exported, now: Instant) -> Result<(), ImportError> {
        let mut reader = Reader(exported.0.get(HEAD..).ok_or(ImportError::Damaged)?);
        let (own, theirs): ([u8; 32], [u8; 32]) = (reader.take()?, reader.take()?);
        let parties = &self.parties;
        if own != *parties.own.public.as_bytes() || theirs != *parties.peer.as_bytes() {
            return Err(ImportError::OtherKeys);
        }
        let connection = reader.u32()?;
        let [last_index] = reader.take()?;
        let current = reader.u32()?;
        let stamps = (Timestamp(reader.take()?), Timestamp(reader.take()?));
        let statistics = reader.statistics(now)?;
        let [count] = reader.take()?;
        let mut sessions = Sessions::default();
        for _ in 0..count {
            let session = reader.session(now)?;
            if session.local >> 8 != connection || sessions.find(session.local).is_some() {
                return Err(ImportError::Damaged);
            }
            sessions.insert(session, &self.profile);
        }
        if reader.0.len() != END || connection != self.connection {
            return Err(ImportError::Damaged);
        }
        sessions.restore_current(Some(current));
        (self.last_index, self.sessions, self.statistics) = (last_index, sessions, statistics);
        (self.peer_timestamp, self.own_timestamp) = stamps;
        self.restore_timers(now);
        Ok(())
    }

    fn write_body(&self, out: &mut Vec<u8>, now: Instant) {
        let current = self.sessions.current().map_or(0, |session| session.local);
        out.extend_from_slice(self.parties.own.public.as_bytes());
        out.extend_from_slice(self.parties.peer.as_bytes());
        out.extend_from_slice(&self.connection.to_le_bytes());
        out.push(self.last_index);
        out.extend_from_slice(&current.to_le_bytes());
        out.extend_from_slice(&self.peer_timestamp.0);
        out.extend_from_slice(&self.own_timestamp.0);
        let statistics = &self.statistics;
        for number in [
            statistics.last_handshake.map_or(NONE, |at| age(at, now)),
            statistics.sent_bytes,
            statistics.sent_packets,
            statistics.received_bytes,
            statistics.received_packets,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.push(self.sessions.iter().count() as u8);
    }

    fn stop(&mut self) {
        self.stopped = true;
        self.sessions.clear();
        self.forget_attempt();
        self.response_due = None;
        self.keepalive_due = false;
        self.timers.clear();
    }

    /// The clocks that the ages of the sessions tell; the others start with what happens next.
    fn restore_timers(&mut self, now: Instant) {
        self.sessions.remove_ended(&self.profile, now);
        self.set_session_end();
        let last = self.sessions.iter().map(|session| session.created).max();
        self.timers.set(Reason::Expiry, last.map(|last| last + self.profile.expire_after));
        let own = self.sessions.current().filter(|session| session.role == Role::Initiator);
        let renew = own.filter(|_| self.profile.keep_session).map(|session| {
            session.created
                + self.profile.stop_sending_after.saturating_sub(self.profile.rekey_timeout)
        });
        self.timers.set(Reason::Renew, renew);
    }
}

fn age(since: Instant, now: Instant) -> u64 {
    (now - since).as_nanos() as u64
}

fn write_session(out: &mut Vec<u8>, session: &Session, now: Instant) {
    out.extend_from_slice(&session.local.to_le_bytes());
    out.extend_from_slice(&session.remote.to_le_bytes());
    out.push(u8::from(session.role == Role::Initiator));
    out.push(u8::from(session.confirmed));
    out.push(u8::from(session.renewed));
    out.extend_from_slice(&age(session.created, now).to_le_bytes());
    out.extend_from_slice(&age(session.begun, now).to_le_bytes());
    out.extend_from_slice(&session.send_key[..]);
    out.extend_from_slice(&session.receive_key[..]);
    out.extend_from_slice(&session.counter.to_le_bytes());
    out.extend_from_slice(&session.window.next().to_le_bytes());
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

    fn bool(&mut self) -> Result<bool, ImportError> {
        match self.take()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(ImportError::Damaged),
        }
    }

    /// The instant that is so old now. One before the clock began would make a session younger than
    /// it is.
    fn instant(&mut self, now: Instant) -> Result<Instant, ImportError> {
        let age = self.u64()?;
        if age > now.as_nanos() {
            return Err(ImportError::Damaged);
        }
        Ok(now - Duration::from_nanos(age))
    }

    fn statistics(&mut self, now: Instant) -> Result<Statistics, ImportError> {
        let last = self.u64()?;
        Ok(Statistics {
            last_handshake: (last != NONE).then(|| now - Duration::from_nanos(last)),
            session_age: None,
            sent_bytes: self.u64()?,
            sent_packets: self.u64()?,
            received_bytes: self.u64()?,
            received_packets: self.u64()?,
        })
    }

    fn session(&mut self, now: Instant) -> Result<Session, ImportError> {
        let indices = (self.u32()?, self.u32()?);
        let role = if self.bool()? { Role::Initiator } else { Role::Responder };
        let (confirmed, renewed) = (self.bool()?, self.bool()?);
        let (created, begun) = (self.instant(now)?, self.instant(now)?);
        let (send, receive) = (Zeroizing::new(self.take()?), Zeroizing::new(self.take()?));
        let session = Session::new(indices, role, Keys { send, receive }, begun, created);
        let counter = self.u64()?.saturating_add(LEAP);
        let window = Window::from(self.u64()?);
        Ok(Session { confirmed, renewed, counter, window, ..session })
    }
}
