//! The queue of packets that smoltcp takes for a network device.

use std::collections::VecDeque;

use packet::MAX_PACKET;
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;

/// Packets to and from the stack. Buffers go round: nothing is allocated once warm.
#[derive(Debug, Default)]
pub(crate) struct QueueDevice {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl QueueDevice {
    /// Queues a packet for the stack.
    pub(crate) fn push(&mut self, packet: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(packet);
        self.incoming.push_back(buffer);
    }

    /// Hands the next packet of the stack to `take`; returns whether there was one.
    pub(crate) fn pop(&mut self, take: impl FnOnce(&mut [u8])) -> bool {
        let Some(mut buffer) = self.outgoing.pop_front() else { return false };
        take(&mut buffer);
        self.spare.push(buffer);
        true
    }
}

pub(crate) struct Received {
    buffer: Vec<u8>,
}

pub(crate) struct Transmit<'a> {
    outgoing: &'a mut VecDeque<Vec<u8>>,
    spare: &'a mut Vec<Vec<u8>>,
}

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.buffer)
    }
}

impl phy::TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.resize(len, 0);
        let result = f(&mut buffer);
        self.outgoing.push_back(buffer);
        result
    }
}

impl phy::Device for QueueDevice {
    type RxToken<'a> = Received;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Transmit<'_>)> {
        let buffer = self.incoming.pop_front()?;
        let transmit = Transmit { outgoing: &mut self.outgoing, spare: &mut self.spare };
        Some((Received { buffer }, transmit))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit { outgoing: &mut self.outgoing, spare: &mut self.spare })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MAX_PACKET;
        capabilities
    }
}
