//! One capture: its frames in order, and the flows they belong to.

use std::io::Read;
use std::num::NonZero;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use pcap_file::pcap::PcapReader;
use pcap_file::{DataLink, PcapError, TsResolution};

use super::frame::{self, End, Segment};

/// Why captures cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Not a pcap file, or one that breaks off.
    #[error("the capture cannot be read: {0}")]
    Pcap(#[from] PcapError),
    /// Taken on something else than a TUN device.
    #[error("the capture has link type {0:?}; frames of a TUN device (RAW) are needed")]
    LinkType(DataLink),
    /// There is nothing to judge.
    #[error("no connection with payload in this direction is in both captures")]
    NoTransfer,
}

/// From the one who opened the connection, or to him.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the application to the site.
    Up,
    /// From the site to the application.
    Down,
}

/// A frame of a [`Trace`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// Nanoseconds since the epoch.
    pub(super) at: u64,
    pub(super) identity: u64,
    pub(super) snippet: Option<NonZero<u64>>,
    pub(super) sequence: u32,
    pub(super) payload: u32,
    /// Index into [`Trace::flows`].
    pub(super) flow: u32,
    pub(super) flags: u8,
}

/// A connection as one capture shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) opener: End,
    pub(super) remote: End,
    opening: Option<u32>,
    /// Payload bytes up and down.
    pub(super) payload: [u64; 2],
    /// When the first frame down was seen.
    pub(super) answered: Option<u64>,
}

/// All of one capture, frames apart by direction.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) flows: Vec<Flow>,
    pub(super) up: Vec<Frame>,
    pub(super) down: Vec<Frame>,
    pub(super) last: u64,
}

impl Trace {
    /// Reads a capture to its end.
    pub(super) fn read(source: impl Read) -> Result<Self, CaptureError> {
        let mut reader = PcapReader::new(source)?;
        let header = reader.header();
        if header.datalink != DataLink::RAW {
            return Err(CaptureError::LinkType(header.datalink));
        }
        let fraction = match header.ts_resolution {
            TsResolution::MicroSecond => 1_000,
            TsResolution::NanoSecond => 1,
        };
        let mut trace = Self::default();
        let mut index = HashMap::with_hasher(FixedState::with_seed(0));
        // Raw, because the parsed form refuses frames that were cut to the snapshot length.
        while let Some(packet) = reader.next_raw_packet() {
            let packet = packet?;
            let at = u64::from(packet.ts_sec) * 1_000_000_000;
            let at = at + u64::from(packet.ts_frac) * fraction;
            trace.last = trace.last.max(at);
            for segment in frame::read(&packet.data).into_iter().flatten() {
                trace.add(&segment, at, &mut index);
            }
        }
        Ok(trace)
    }

    pub(super) fn frames(&self, direction: Direction) -> &[Frame] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn add(&mut self, segment: &Segment, at: u64, index: &mut FlowIndex) {
        let (flow, direction) = self.flow_of(segment, index);
        let record = &mut self.flows[flow as usize];
        record.payload[direction as usize] += u64::from(segment.payload);
        let Segment { sequence, flags, payload, identity, snippet, .. } = *segment;
        let frame = Frame { at, identity, snippet, sequence, payload, flow, flags };
        match direction {
            Direction::Up => self.up.push(frame),
            Direction::Down => {
                record.answered.get_or_insert(at);
                self.down.push(frame);
            }
        }
    }

    /// The flow of a segment and its direction. A new SYN on known ends is another flow.
    fn flow_of(&mut self, segment: &Segment, index: &mut FlowIndex) -> (u32, Direction) {
        let (from, to) = (segment.source, segment.destination);
        let opening = segment.is_opening().then_some(segment.sequence);
        if let Some(&flow) = index.get(&(from, to)) {
            let known = self.flows[flow as usize].opening;
            if opening.is_none() || opening == known {
                return (flow, Direction::Up);
            }
        } else if let Some(&flow) = index.get(&(to, from)) {
            return (flow, Direction::Down);
        }
        // Without its SYN, whoever uses the smaller port is the one who was called.
        let direction =
            if opening.is_some() || from.1 >= to.1 { Direction::Up } else { Direction::Down };
        let (opener, remote) = match direction {
            Direction::Up => (from, to),
            Direction::Down => (to, from),
        };
        let flow = u32::try_from(self.flows.len()).unwrap_or(u32::MAX);
        self.flows.push(Flow { opener, remote, opening, payload: [0; 2], answered: None });
        index.insert((opener, remote), flow);
        (flow, direction)
    }
}

type FlowIndex = HashMap<(End, End), u32, FixedState>;
