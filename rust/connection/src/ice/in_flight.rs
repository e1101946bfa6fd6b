//! Requests that a response may come to: by their transaction, whose they are.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use packet::Instant;

/// A response that takes longer is none (dataplane 5.5.1).
const LIFE: Duration = Duration::from_secs(10);
/// Where the transaction id stands (RFC 8489 §5).
const ID: std::ops::Range<usize> = 8..20;
/// First byte and a half of a Binding request; a response has a class bit set.
const REQUEST: [u8; 2] = [0, 1];

type TransactionId = [u8; 12];

#[derive(Debug, Default)]
pub(super) struct InFlight {
    owners: BTreeMap<TransactionId, u32>,
    sent: VecDeque<(Instant, TransactionId)>,
}

impl InFlight {
    /// Takes note of `message` of the peer in `slot`, if it is a request.
    pub(super) fn note(&mut self, slot: u32, message: &[u8], now: Instant) {
        if let Some(id) = id_of(message).filter(|_| message.starts_with(&REQUEST)) {
            self.owners.insert(id, slot);
            self.sent.push_back((now, id));
        }
    }

    /// Whose request a response answers.
    pub(super) fn owner(&self, response: &[u8]) -> Option<u32> {
        self.owners.get(&id_of(response)?).copied()
    }

    pub(super) fn forget_old(&mut self, now: Instant) {
        while let Some((_, id)) = self.sent.pop_front_if(|(sent, _)| *sent + LIFE <= now) {
            self.owners.remove(&id);
        }
    }
}

fn id_of(message: &[u8]) -> Option<TransactionId> {
    message.get(ID)?.try_into().ok()
}
