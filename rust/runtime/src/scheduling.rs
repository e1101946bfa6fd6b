//! How the kernel shares the processors with the data plane's thread.
//!
//! A packet on its way waits for a processor at each program that it passes, and a program that is busy
//! keeps its own for some milliseconds. A thread that needs little gets one at once; one that carries an
//! upload has used its share, and whatever stands behind the upload waits with it. So while the thread
//! is busy and somebody sends little through it, it goes before other programs (`SCHED_RR`, `sched(7)`).
//! It does not when nobody would notice: for an upload alone, long turns take fewer system calls. Nor
//! when it needs nearly all of a processor, by a flood from outside for instance: others are there, too.
// The call has no safe form.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

use packet::Instant;

use crate::clock;

/// Whether the data plane's thread goes before other programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduling {
    /// It does while it matters, where the kernel allows it (`CAP_SYS_NICE` or `RLIMIT_RTPRIO`).
    #[default]
    RealTime,
    /// It takes its turns like any other thread, short ones.
    Fair,
}

/// The least turn that the kernel gives (Linux 6.12; before that the request means nothing).
const TURN_NANOSECONDS: u64 = 100_000;
/// The least of the real-time priorities: whatever else has one is more urgent.
const PRIORITY: u32 = 1;
/// How often is looked at what the thread has used.
const WINDOW: Duration = Duration::from_millis(10);
/// Of 100 parts of a window, how many it has used when it goes ahead: fewer need no help, and more are
/// too many.
const BUSY: std::ops::RangeInclusive<u128> = 10..=90;
/// So long after somebody sent little he is taken to be there.
const MEMORY: Duration = Duration::from_secs(1);

/// The calling thread's share of the processors.
#[derive(Debug)]
pub(crate) struct Share {
    /// Whether the kernel lets it go ahead.
    may_go_ahead: bool,
    is_ahead: bool,
    /// When the window began, and what the thread had used by then.
    since: Instant,
    used: Duration,
    /// When somebody sent little last.
    little: Option<Instant>,
}

impl Share {
    /// For the calling thread. What the kernel refuses is done without.
    pub(crate) fn take(scheduling: Scheduling, now: Instant) -> Self {
        let may_go_ahead = scheduling == Scheduling::RealTime && go_ahead().is_ok();
        // Without it packets wait a little longer on a busy host.
        let _ = take_short_turns();
        let used = clock::thread_time();
        Self { may_go_ahead, is_ahead: false, since: now, used, little: None }
    }

    /// Whether it is time for a [review](Self::review).
    pub(crate) fn window_is_over(&self, now: Instant) -> bool {
        self.may_go_ahead && now.saturating_duration_since(self.since) >= WINDOW
    }

    /// Ends a window, in which somebody sent `little` or nobody did, and chooses how the next one goes.
    pub(crate) fn review(&mut self, little: bool, now: Instant) {
        let used = clock::thread_time();
        let window = now.saturating_duration_since(self.since);
        let part = percent(used.saturating_sub(self.used), window);
        (self.since, self.used) = (now, used);
        let ahead = self.should_go_ahead(little, part, now);
        if ahead != self.is_ahead {
            self.is_ahead = ahead;
            let _ = if ahead { go_ahead() } else { take_short_turns() };
        }
    }

    /// After a window of which the thread used so many hundredths.
    fn should_go_ahead(&mut self, little: bool, part: u128, now: Instant) -> bool {
        if little {
            self.little = Some(now);
        }
        let is_noticed = self.little.is_some_and(|at| now.saturating_duration_since(at) < MEMORY);
        is_noticed && BUSY.contains(&part)
    }
}

/// How many hundredths of `whole` a part is.
fn percent(part: Duration, whole: Duration) -> u128 {
    part.as_nanos() * 100 / whole.as_nanos().max(1)
}

/// `struct sched_attr`, its first version.
#[repr(C)]
#[derive(Default)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Puts the calling thread ahead of all that has no real-time priority.
fn go_ahead() -> io::Result<()> {
    change(|attributes| {
        attributes.policy = libc::SCHED_RR as u32;
        attributes.priority = PRIORITY;
    })
}

/// Asks for short turns for the calling thread; its nice value stays.
fn take_short_turns() -> io::Result<()> {
    change(|attributes| {
        attributes.policy = libc::SCHED_OTHER as u32;
        attributes.priority = 0;
        attributes.runtime = TURN_NANOSECONDS;
    })
}

/// Changes the calling thread's attributes; nothing has changed if there is an error.
fn change(edit: impl FnOnce(&mut Attributes)) -> io::Result<()> {
    let mut attributes =
        Attributes { size: size_of::<Attributes>() as u32, ..Attributes::default() };
    // SAFETY: the call writes at most `size` bytes behind the pointer, to what lives through it.
    let read = unsafe {
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, attributes.size, 0)
    };
    if read < 0 {
        return Err(io::Error::last_os_error());
    }
    let known = [libc::SCHED_OTHER as u32, libc::SCHED_RR as u32];
    if !known.contains(&attributes.policy) {
        // Whoever gave the thread another policy knows why.
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    attributes.flags |= libc::SCHED_FLAG_RESET_ON_FORK as u64;
    edit(&mut attributes);
    // SAFETY: the call reads `size` bytes behind the pointer, which outlive it.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy and nice value of the calling thread.
    fn policy() -> (i32, i32) {
        // SAFETY: neither call takes a pointer.
        unsafe {
            (libc::sched_getscheduler(0) & libc::SCHED_RR, libc::getpriority(libc::PRIO_PROCESS, 0))
        }
    }

    #[test]
    fn a_thread_keeps_its_nice_value_and_is_not_ahead_at_first() {
        let before = policy();

        let share = Share::take(Scheduling::RealTime, clock::now());

        assert!(!share.is_ahead);
        assert_eq!(policy(), before);
    }

    #[test]
    fn a_busy_thread_goes_ahead_while_somebody_sends_little_through_it() {
        let now = clock::now();
        let mut share = Share::take(Scheduling::RealTime, now);
        let mut after = |part, little, now| share.should_go_ahead(little, part, now);

        assert!(!after(50, false, now), "nobody would notice");
        assert!(after(50, true, now));
        assert!(after(50, false, now), "he is remembered");
        assert!(!after(97, true, now), "others are there, too");
        assert!(after(50, true, now));
        assert!(!after(3, true, now), "it needs no help");
        assert!(!after(50, false, now + MEMORY), "he is gone");
    }

    #[test]
    fn one_that_is_to_be_fair_has_no_windows() {
        let now = clock::now();

        let share = Share::take(Scheduling::Fair, now);

        assert!(!share.window_is_over(now + MEMORY));
    }
}
