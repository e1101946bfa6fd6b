//! Payload where it is received: bytes, gaps, and the rate over time.

use std::time::Duration;

use super::trace::Frame;

/// When the transfer is watched, in nanoseconds since the epoch; open where `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Gaps that end before it do not count: a transfer begins with some.
    pub begin: Option<u64>,
    /// When it was ended on purpose: resets and gaps behind it are nobody's fault, and waiting for it
    /// in silence is a gap.
    pub end: Option<u64>,
}

/// Length of a step of the rate.
pub const BUCKET: Duration = Duration::from_millis(10);

/// What arrived of one connection, and when. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// New payload bytes; retransmitted ones count once.
    pub bytes: u64,
    /// The first payload, since the epoch.
    pub start: u64,
    /// Gaps between frames with new payload: a retransmission of what has arrived ends none.
    pub gaps: u64,
    /// The longest gap.
    pub longest_gap: u64,
    /// The gap that 99.99 % do not pass, by nearest rank.
    pub gap_p9999: u64,
    /// New payload bytes in each [`BUCKET`] from `start` on.
    pub series: Vec<u64>,
}

impl Rate {
    /// Of the frames of `flow` up to the end of the window; silence before it is a gap. Gaps that end
    /// before the window begins do not count.
    pub(super) fn of(frames: &[Frame], flow: u32, window: &Window) -> Self {
        let (begin, end) = (window.begin.unwrap_or(0), window.end.unwrap_or(u64::MAX));
        let data = frames.iter();
        let mut data = data.filter(|f| f.flow == flow && f.payload > 0 && f.at <= end);
        let Some(first) = data.next() else { return Self::default() };
        let mut rate = Self { start: first.at, ..Self::default() };
        let mut next = first.sequence;
        let mut gaps = Vec::new();
        let mut last = first.at;
        rate.add(first, &mut next);
        for frame in data {
            if rate.add(frame, &mut next) == 0 {
                continue;
            }
            if frame.at >= begin {
                gaps.push(frame.at.saturating_sub(last));
            }
            last = frame.at;
        }
        if window.end.is_some() {
            gaps.push(end.saturating_sub(last));
        }
        rate.judge(gaps);
        rate
    }

    /// Counts a frame; returns how many of its bytes are new.
    fn add(&mut self, frame: &Frame, next: &mut u32) -> u32 {
        let end = frame.sequence.wrapping_add(frame.payload);
        // Sequence numbers compare within half of their space (RFC 9293 §3.4).
        let ahead = end.wrapping_sub(*next);
        let new = if ahead > u32::MAX / 2 { 0 } else { ahead.min(frame.payload) };
        if ahead <= u32::MAX / 2 {
            *next = end;
        }
        let bucket = u128::from(frame.at.saturating_sub(self.start)) / BUCKET.as_nanos();
        let bucket = usize::try_from(bucket).unwrap_or(0);
        if self.series.len() <= bucket {
            self.series.resize(bucket + 1, 0);
        }
        self.series[bucket] += u64::from(new);
        self.bytes += u64::from(new);
        new
    }

    fn judge(&mut self, mut gaps: Vec<u64>) {
        gaps.sort_unstable();
        self.gaps = gaps.len() as u64;
        self.longest_gap = gaps.last().copied().unwrap_or(0);
        let rank = (gaps.len() * 9999).div_ceil(10_000);
        self.gap_p9999 = rank.checked_sub(1).map_or(0, |at| gaps[at]);
    }
}
