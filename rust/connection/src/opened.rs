//! What opening a buffer of datagrams gave: ranges of packets, grouped by peer.

use crate::PeerIndex;

/// Start and length of something inside a buffer.
pub type PacketRange = (u32, u32);

/// Consecutive packets of one peer, from one address, with one mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose packets these are.
    pub peer: PeerIndex,
    /// ECN bits that the datagrams were marked with on their way.
    pub ecn: u8,
    /// Where they begin in [`Opened::packets`].
    pub start: usize,
    /// How many they are.
    pub len: usize,
}

/// Scratch of one call, kept by the caller so that nothing is allocated once warm.
#[derive(Debug, Default)]
pub struct Opened {
    pub(crate) packets: Vec<PacketRange>,
    pub(crate) groups: Vec<Group>,
    pub(crate) datagrams: Vec<PacketRange>,
}

impl Opened {
    /// The groups in order of arrival.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The packets of one group, in order of arrival, as ranges into the buffer that was opened.
    pub fn packets(&self, group: Group) -> &[PacketRange] {
        &self.packets[group.start..group.start + group.len]
    }

    pub(crate) fn clear(&mut self) {
        self.packets.clear();
        self.groups.clear();
    }
}
