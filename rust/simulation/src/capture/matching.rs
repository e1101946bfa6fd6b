//! Which segment that left is which that entered, and what follows from it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Fate;
use super::frame::RST;
use super::trace::{Direction, Flow, Frame, Trace};

/// How long a segment may be under way; one that entered earlier and did not leave is lost, whatever
/// came behind it.
const GRACE: u64 = 2_000_000_000;
const NONE: u32 = u32::MAX;

/// The fates of all segments of both directions.
pub(super) struct Tally<'a> {
    client: &'a Trace,
    transfer_flow: u32,
    until: u64,
    end: u64,
    /// The outside flow of each flow.
    outside: Vec<u32>,
    pub(super) transfer: Fate,
    pub(super) others: Fate,
}

impl<'a> Tally<'a> {
    pub(super) fn take(
        client: &'a Trace,
        gateway: &'a Trace,
        transfer_flow: u32,
        until: Option<u64>,
    ) -> Self {
        let mut tally = Self {
            client,
            transfer_flow,
            until: until.unwrap_or(u64::MAX),
            end: client.last.max(gateway.last),
            outside: vec![NONE; client.flows.len()],
            transfer: Fate::default(),
            others: Fate::default(),
        };
        let up = Entered::new(&client.up);
        tally.match_direction(up, &gateway.up, Direction::Up);
        let down = Entered::new(&gateway.down);
        tally.match_direction(down, &client.down, Direction::Down);
        tally
    }

    /// The outside flow of a flow, if anything of it left.
    pub(super) fn outside_of(&self, flow: u32) -> Option<u32> {
        self.outside.get(flow as usize).copied().filter(|&outside| outside != NONE)
    }

    fn match_direction(&mut self, mut entered: Entered<'_>, left: &[Frame], direction: Direction) {
        let inside = |entered: &Frame, left: &Frame| match direction {
            Direction::Up => (entered.flow, left.flow),
            Direction::Down => (left.flow, entered.flow),
        };
        let mut newest = vec![NONE; self.client.flows.len()];
        for frame in left {
            let (at, again) = entered.find(frame);
            let Some(at) = at else {
                self.unexpected(frame, direction);
                continue;
            };
            let origin = &entered.frames[at as usize];
            let (flow, outside) = inside(origin, frame);
            self.note_reset(frame, flow);
            let known = self.outside[flow as usize];
            if known == NONE {
                self.outside[flow as usize] = outside;
            }
            let newest = &mut newest[flow as usize];
            let late = !again && *newest != NONE && at < *newest;
            if !again {
                *newest = if *newest == NONE { at } else { at.max(*newest) };
            }
            if !self.is_judged(flow, origin.at) {
                continue;
            }
            let snippets = origin.snippet.zip(frame.snippet);
            let is_other = snippets.is_some_and(|(entered, left)| entered != left);
            let strayed = (known != NONE && known != outside) || is_other;
            let fate = self.fate(flow);
            fate.matched += u64::from(!again);
            fate.duplicated += u64::from(again);
            fate.reordered += u64::from(late);
            fate.misdirected += u64::from(strayed);
        }
        self.count_missing(&entered, &newest, direction);
    }

    fn count_missing(&mut self, entered: &Entered<'_>, newest: &[u32], direction: Direction) {
        let mut inside = vec![NONE; entered.flows()];
        for (flow, &outside) in self.outside.iter().enumerate() {
            if let Some(slot) = inside.get_mut(outside as usize) {
                *slot = u32::try_from(flow).unwrap_or(NONE);
            }
        }
        for (at, frame) in entered.missing() {
            let flow = match direction {
                Direction::Up => frame.flow,
                Direction::Down => inside[frame.flow as usize],
            };
            if flow == NONE || !self.is_judged(flow, frame.at) {
                continue;
            }
            let newest = newest[flow as usize];
            let overtaken = newest != NONE && newest > at;
            let under_way = !overtaken && frame.at.saturating_add(GRACE) > self.end;
            let fate = self.fate(flow);
            fate.in_flight += u64::from(under_way);
            fate.lost += u64::from(!under_way);
        }
    }

    /// A segment that nobody sent: its flow is found by its ends alone.
    fn unexpected(&mut self, frame: &Frame, direction: Direction) {
        let flow = match direction {
            Direction::Up => self.outside.iter().position(|&outside| outside == frame.flow),
            Direction::Down => Some(frame.flow as usize),
        };
        let flow = flow.and_then(|flow| u32::try_from(flow).ok()).unwrap_or(NONE);
        self.note_reset(frame, flow);
        self.fate(flow).unexpected += 1;
    }

    fn note_reset(&mut self, frame: &Frame, flow: u32) {
        let reset = frame.flags & RST != 0 && frame.at <= self.until;
        self.fate(flow).resets += u64::from(reset);
    }

    /// A flow works once it was answered; what entered before is the first set-up.
    fn is_judged(&self, flow: u32, at: u64) -> bool {
        let flow: Option<&Flow> = self.client.flows.get(flow as usize);
        flow.and_then(|flow| flow.answered).is_some_and(|answered| at >= answered)
    }

    fn fate(&mut self, flow: u32) -> &mut Fate {
        if flow == self.transfer_flow { &mut self.transfer } else { &mut self.others }
    }
}

/// Segments that entered, found by identity in the order in which they entered.
struct Entered<'a> {
    frames: &'a [Frame],
    /// Identity → the first one that has not left, and the last one.
    index: HashMap<u64, (u32, u32), FixedState>,
    /// The next one of the same identity.
    next: Vec<u32>,
    left: Vec<bool>,
}

impl<'a> Entered<'a> {
    fn new(frames: &'a [Frame]) -> Self {
        let mut index: HashMap<u64, (u32, u32), FixedState> =
            HashMap::with_capacity_and_hasher(frames.len(), FixedState::with_seed(0));
        let mut next = vec![NONE; frames.len()];
        for (at, frame) in (0..).zip(frames) {
            let (_, last) = index.entry(frame.identity).or_insert((at, at));
            if *last != at {
                next[*last as usize] = at;
                *last = at;
            }
        }
        Self { frames, index, next, left: vec![false; frames.len()] }
    }

    /// The oldest segment with this identity that has not left; otherwise the last one, and `true`.
    fn find(&mut self, frame: &Frame) -> (Option<u32>, bool) {
        let Some((first, last)) = self.index.get_mut(&frame.identity) else { return (None, false) };
        let at = *first;
        if at == NONE {
            return (Some(*last), true);
        }
        *first = self.next[at as usize];
        self.left[at as usize] = true;
        (Some(at), false)
    }

    fn missing(&self) -> impl Iterator<Item = (u32, &Frame)> {
        (0..).zip(self.frames).filter(|&(at, _)| !self.left[at as usize])
    }

    fn flows(&self) -> usize {
        self.frames.iter().map(|frame| frame.flow as usize + 1).max().unwrap_or(0)
    }
}
