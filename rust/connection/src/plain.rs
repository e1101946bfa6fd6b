//! The laboratory's session: WireGuard's layout, and nothing but a copy.
//!
//! It protects nothing. It exists so that simulation, the laboratory and the scripting API run the
//! path of a packet without cryptography; no setting of a real endpoint can choose it.

use packet::{Instant, OpenRun};

use crate::session::{Accepted, BACK, FRONT, NotReady, Session, SessionEvent};
use crate::{PacketRange, ReceiverIndex};

const TYPE_DATA: [u8; 4] = [4, 0, 0, 0];

/// A session that only copies. Ready from a given instant on.
#[derive(Debug)]
pub struct Plain {
    remote: ReceiverIndex,
    counter: u64,
    ready_at: Instant,
    announced: bool,
    event: Option<SessionEvent>,
}

impl Plain {
    /// Creates a session that writes `remote` as receiver index and is ready at `ready_at`, which
    /// stands for the time a handshake takes.
    pub fn new(remote: ReceiverIndex, ready_at: Instant) -> Self {
        Self { remote, counter: 0, ready_at, announced: false, event: None }
    }
}

impl Session for Plain {
    fn seal_batch(&mut self, run: &mut OpenRun<'_>, now: Instant) -> Result<(), NotReady> {
        if !self.is_ready(now) {
            return Err(NotReady);
        }
        for i in 0..run.slots() {
            let slot = run.slot(i);
            let Some(tag) = slot.len().checked_sub(BACK) else { continue };
            slot[..4].copy_from_slice(&TYPE_DATA);
            slot[4..8].copy_from_slice(&self.remote.get().to_le_bytes());
            slot[8..FRONT].copy_from_slice(&self.counter.to_le_bytes());
            slot[tag..].fill(0);
            self.counter += 1;
        }
        Ok(())
    }

    fn open_batch(
        &mut self,
        buffer: &mut [u8],
        datagrams: &[PacketRange],
        packets: &mut Vec<PacketRange>,
        _now: Instant,
    ) -> Accepted {
        let mut came = Accepted::default();
        for &(start, len) in datagrams {
            let (from, to) = (start as usize, (start + len) as usize);
            let whole = to - from >= FRONT + BACK;
            if whole && buffer[to - BACK..to].iter().all(|&byte| byte == 0) {
                came.accepted += 1;
                packets.push((start + FRONT as u32, len - (FRONT + BACK) as u32));
            } else {
                came.refused += 1;
            }
        }
        came
    }

    fn is_ready(&self, now: Instant) -> bool {
        now >= self.ready_at
    }

    fn handle_timeout(&mut self, now: Instant) {
        if !self.announced && self.is_ready(now) {
            (self.announced, self.event) = (true, Some(SessionEvent::Established));
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (!self.announced).then_some(self.ready_at)
    }

    fn poll_event(&mut self) -> Option<SessionEvent> {
        self.event.take()
    }
}
