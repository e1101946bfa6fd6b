//! One session: a key for each direction, a counter, a window.

use std::time::Duration;

use aead::{Cipher, Message};
use packet::Instant;

use crate::handshake::Keys;
use crate::kdf::Secret;
use crate::profile::Profile;
use crate::window::Window;
use crate::wire::{BACK, FRONT, KEEPALIVE, TYPE_DATA, data};

/// Messages that are sealed as one batch; a longer run is several.
const BATCH: usize = 64;

/// Who began the handshake of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

pub(crate) struct Session {
    /// Our index, which the peer writes.
    pub(crate) local: u32,
    /// The peer's, which we write.
    pub(crate) remote: u32,
    pub(crate) role: Role,
    /// Whether the peer is known to have the keys: at once for the initiator, by the first data
    /// message for the responder.
    pub(crate) confirmed: bool,
    /// When its handshake began, as far as this end knows.
    pub(crate) begun: Instant,
    /// When its keys were made.
    pub(crate) created: Instant,
    /// Whether receiving on it has begun a new handshake already.
    pub(crate) renewed: bool,
    pub(crate) send_key: Secret,
    pub(crate) receive_key: Secret,
    /// Counter of the next message.
    pub(crate) counter: u64,
    pub(crate) window: Window,
}

impl Session {
    pub(crate) fn new(
        (local, remote): (u32, u32),
        role: Role,
        keys: Keys,
        begun: Instant,
        created: Instant,
    ) -> Self {
        Self {
            local,
            remote,
            role,
            confirmed: role == Role::Initiator,
            begun,
            created,
            renewed: false,
            send_key: keys.send,
            receive_key: keys.receive,
            counter: 0,
            window: Window::from(0),
        }
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now - self.created
    }

    /// Whether `messages` more may be sealed.
    pub(crate) fn seals(&self, profile: &Profile, messages: u64, now: Instant) -> bool {
        let until = self.counter.saturating_add(messages);
        self.age(now) < profile.stop_sending_after && until <= profile.reject_after_messages
    }

    /// Whether messages of it are still opened.
    pub(crate) fn opens(&self, profile: &Profile, now: Instant) -> bool {
        self.age(now) < profile.reject_after
    }

    /// Seals the messages that `bytes` consists of, all of `len` bytes but the last. `None`: one is
    /// too short, and nothing may be sent.
    pub(crate) fn seal(&mut self, cipher: Cipher, bytes: &mut [u8], len: usize) -> Option<()> {
        let len = len.max(KEEPALIVE);
        let mut batch = [Message::default(); BATCH];
        for part in bytes.chunks_mut(len * BATCH) {
            let mut count = 0;
            for (message, place) in part.chunks_mut(len).zip(&mut batch) {
                let header = message.first_chunk_mut::<FRONT>()?;
                header[..4].copy_from_slice(&TYPE_DATA);
                header[data::RECEIVER..data::COUNTER].copy_from_slice(&self.remote.to_le_bytes());
                header[data::COUNTER..].copy_from_slice(&self.counter.to_le_bytes());
                let (start, end) = (count * len + FRONT, count * len + message.len());
                *place = Message { start, end, counter: self.counter, authentic: false };
                // A counter is used up whether its message leaves or not.
                self.counter += 1;
                count += 1;
            }
            cipher.seal_batch(&self.send_key, part, &batch[..count]).ok()?;
        }
        Some(())
    }

    /// Opens `messages`, all of them of this session.
    pub(crate) fn open(&self, cipher: Cipher, buffer: &mut [u8], messages: &mut [Message]) {
        cipher.open_batch(&self.receive_key, buffer, messages);
    }
}

const _: () = assert!(FRONT + BACK == KEEPALIVE, "a keepalive is a message without a packet");
