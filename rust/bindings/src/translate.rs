//! A batch through the flow table: all flows looked up ahead, packets translated where they are to lie.

use nat::flow_table::{Binding, Direction, FlowTable as Core, Hint, Inbound, Outbound, PeerIndex};
use packet::{Instant, Malformed, Rewrite, Summary, Train};

use crate::addresses::Addresses;
use crate::batch::{PacketBatch, Packets};
use crate::memory::{Memory, Room};
use crate::verdicts::Verdict;

/// Packets that are copied and looked up at a time: what stays in the processor's nearer memory, and as
/// many as the table fetches at once.
const AT_A_TIME: usize = 64;

/// One way through the table.
pub(crate) enum Way<'a> {
    /// From a Client, with real addresses for new flows.
    Out(&'a Addresses),
    /// Back to it.
    In,
}

/// Where translated packets go: the end of what is there already.
pub(crate) struct Output {
    /// Those of this chunk; without room of the caller's, all of them.
    bytes: Vec<u8>,
    ends: Vec<usize>,
    verdicts: Vec<u8>,
    room: Option<Room>,
    /// Bytes in the caller's room.
    filled: usize,
}

impl Output {
    pub(crate) fn new(packets: usize, bytes: usize, room: Option<Room>) -> Self {
        let bytes = Vec::with_capacity(if room.is_some() { 0 } else { bytes });
        let (ends, verdicts) = (Vec::with_capacity(packets), Vec::with_capacity(packets));
        Self { bytes, ends, verdicts, room, filled: 0 }
    }

    /// The translated packets, and a code for each packet given.
    pub(crate) fn finish(self) -> (PacketBatch, Vec<u8>) {
        let memory = match self.room {
            None => Memory::Own(self.bytes),
            Some(room) => Memory::Lent { room, len: self.filled },
        };
        (PacketBatch::new_at(memory, self.ends), self.verdicts)
    }

    /// Keeps the packets of a chunk, which begins at `begin` of the bytes, that were translated.
    fn keep(&mut self, begin: usize, ends: &[usize]) {
        let verdicts = &self.verdicts[self.verdicts.len() - ends.len()..];
        let (mut from, mut to) = (begin, begin);
        for (end, verdict) in ends.iter().zip(verdicts) {
            let packet = from..begin + end;
            from = packet.end;
            if *verdict == Verdict::Translated as u8 {
                let len = packet.len();
                if packet.start != to {
                    self.bytes.copy_within(packet, to);
                }
                to += len;
                self.ends.push(self.filled + to);
            }
        }
        self.bytes.truncate(to);
        if let Some(room) = &self.room {
            room.write(self.filled, &self.bytes);
            self.filled += self.bytes.len();
            self.bytes.clear();
        }
    }
}

/// Translates packets of or to a peer into `output`.
pub(crate) fn translate(
    table: &mut Core,
    way: &Way<'_>,
    peer: PeerIndex,
    packets: &Packets<'_>,
    now: Instant,
    output: &mut Output,
) {
    for (bytes, ends) in packets.chunks(AT_A_TIME) {
        let begin = output.bytes.len();
        output.bytes.extend_from_slice(bytes);
        let chunk = &mut output.bytes[begin..];
        chunk_through(table, way, peer, split(chunk, &ends), now, &mut output.verdicts);
        output.keep(begin, &ends);
    }
}

/// The packets of a chunk, parsed.
fn split<'a>(mut rest: &'a mut [u8], ends: &[usize]) -> Vec<Result<Train<'a>, Malformed>> {
    let mut start = 0;
    let mut trains = Vec::with_capacity(ends.len());
    for end in ends {
        let (packet, behind) = rest.split_at_mut(end - start);
        trains.push(Train::single(packet));
        (rest, start) = (behind, *end);
    }
    trains
}

fn chunk_through(
    table: &mut Core,
    way: &Way<'_>,
    peer: PeerIndex,
    mut trains: Vec<Result<Train<'_>, Malformed>>,
    now: Instant,
    verdicts: &mut Vec<u8>,
) {
    let direction = match way {
        Way::Out(_) => Direction::Outbound,
        Way::In => Direction::Inbound,
    };
    let mut hints = [Hint::default(); AT_A_TIME];
    let sound = trains.iter().flatten().map(|train| (peer, train.summary()));
    table.look_ahead(direction, sound, &mut hints);
    let mut hints = hints.into_iter();
    verdicts.extend(trains.iter_mut().map(|train| {
        let Ok(train) = train else { return Verdict::Malformed as u8 };
        let hint = hints.next().unwrap_or_default();
        let bytes = train.total_bytes() as u64;
        let decided = match way {
            Way::Out(addresses) => {
                outbound(table, hint, peer, train.summary(), bytes, addresses, now)
            }
            Way::In => inbound(table, hint, peer, train.summary(), bytes, now),
        };
        match decided {
            Ok(rewrite) => {
                train.rewrite(&rewrite);
                Verdict::Translated as u8
            }
            Err(verdict) => verdict as u8,
        }
    }));
}

fn outbound(
    table: &mut Core,
    hint: Hint,
    peer: PeerIndex,
    summary: &Summary,
    bytes: u64,
    addresses: &Addresses,
    now: Instant,
) -> Result<Rewrite, Verdict> {
    match table.outbound_at(hint, peer, summary, bytes, 1, now) {
        Outbound::Hit(hit) => Ok(hit.rewrite),
        Outbound::Expired => Err(Verdict::Expired),
        Outbound::Miss => {
            let real = addresses.get(summary.destination).ok_or(Verdict::NoAddress)?;
            let binding = Binding { real, epoch: 0, tag: 0 };
            Ok(table.create(peer, summary, binding, bytes, 1, now)?.rewrite)
        }
    }
}

fn inbound(
    table: &mut Core,
    hint: Hint,
    peer: PeerIndex,
    summary: &Summary,
    bytes: u64,
    now: Instant,
) -> Result<Rewrite, Verdict> {
    match table.inbound_at(hint, peer, summary, bytes, 1, now) {
        Inbound::Hit(hit) => Ok(hit.rewrite),
        Inbound::Expired => Err(Verdict::Expired),
        Inbound::Miss => Err(Verdict::NoFlow),
    }
}
