//! How the kernel shares the processors with the data plane's thread.
//!
//! A packet on its way waits for a processor at each program that it passes, and a program that is busy
//! keeps its own for some milliseconds. A thread that needs little gets one at once; one that carries an
//! upload has used its share, and whatever stands behind the upload waits with it. So while the thread
//! is busy and somebody sends little through it, it goes before other programs (`SCHED_RR`, `sched(7)`).
//! It does not when nobody would notice: for an upload alone, long turns take fewer system calls. Nor
//! when it used nearly all of a processor for a while, by a flood from outside for instance: others are
//! there, too.
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
/// Of 100 parts of a window, how many it uses when it goes ahead: fewer need no help, and more, for long,
/// are a flood.
const BUSY: std::ops::RangeInclusive<u128> = 10..=90;
/// So long after somebody sent little he is taken to be there.
const MEMORY: Duration = Duration::from_secs(1);
/// So many windows on end of too much are a flood; fewer are an upload, and whoever waits behind it would
/// wait for other programs as well.
const FLOOD: u32 = 5;
/// So long after a flood the thread stays behind: for three windows of every eight it is one program
/// among others.
const PENANCE: Duration = Duration::from_millis(25);

/// The calling thread's share of the processors.
#[derive(Debug)]
pub(crate) struct Share {
    /// What the thread goes back to; `None` if it is not to be changed at all.
    own: Option<Own>,
    /// Whether the kernel lets it go ahead.
    may_go_ahead: bool,
    is_ahead: bool,
    /// When the window began, and what the thread had used by then.
    since: Instant,
    used: Duration,
    /// When somebody sent little last.
    little: Option<Instant>,
    /// How many of the last windows were too much, without one between that was not.
    too_much: u32,
    /// When they were a flood.
    flooded: Option<Instant>,
}

impl Share {
    /// For the calling thread. What the kernel refuses is done without; a thread to which somebody gave
    /// another policy keeps that.
    pub(crate) fn take(scheduling: Scheduling, now: Instant) -> Self {
        let own = Own::of_this_thread();
        // Whether it can go back is asked first: this one changes nothing but the length of turns.
        let goes_back = own.is_some_and(|own| own.take_short_turns().is_ok());
        let may_go_ahead = goes_back
            && scheduling == Scheduling::RealTime
            && go_ahead().is_ok()
            && own.is_some_and(|own| own.take_short_turns().is_ok());
        let used = clock::thread_time();
        let (little, too_much, flooded) = (None, 0, None);
        Self { own, may_go_ahead, is_ahead: false, since: now, used, little, too_much, flooded }
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
        let Some(own) = self.own.filter(|_| ahead != self.is_ahead) else { return };
        let changed = if ahead { go_ahead() } else { own.take_short_turns() };
        // What failed is tried again after the next window.
        self.is_ahead = if changed.is_ok() { ahead } else { self.is_ahead };
    }

    /// After a window of which the thread used so many hundredths.
    fn should_go_ahead(&mut self, little: bool, part: u128, now: Instant) -> bool {
        if little {
            self.little = Some(now);
        }
        self.too_much = if part > *BUSY.end() { self.too_much.saturating_add(1) } else { 0 };
        if self.too_much >= FLOOD {
            self.flooded = Some(now);
        }
        let lately = |at: Option<Instant>, within: Duration| {
            at.is_some_and(|at| now.saturating_duration_since(at) < within)
        };
        let is_noticed = lately(self.little, MEMORY);
        is_noticed && !lately(self.flooded, PENANCE) && part >= *BUSY.start()
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

impl Attributes {
    /// Of a policy, which no program started by the thread has.
    fn new(policy: i32) -> Self {
        Self {
            size: size_of::<Self>() as u32,
            policy: policy as u32,
            flags: libc::SCHED_FLAG_RESET_ON_FORK as u64,
            ..Self::default()
        }
    }
}

/// What the calling thread was before it was changed: one like any other, of this nice value.
#[derive(Clone, Copy, Debug)]
struct Own {
    nice: i32,
}

impl Own {
    /// `None` if it has another policy, or the kernel does not tell: whoever gave it that knows why.
    fn of_this_thread() -> Option<Self> {
        let mut attributes = Attributes::new(libc::SCHED_OTHER);
        // SAFETY: the call writes at most `size` bytes behind the pointer, to what lives through it.
        let read = unsafe {
            libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, attributes.size, 0)
        };
        let is_usual = attributes.policy == libc::SCHED_OTHER as u32;
        (read >= 0 && is_usual).then_some(Self { nice: attributes.nice })
    }

    /// Asks for short turns for the calling thread, and for no more than its share.
    fn take_short_turns(self) -> io::Result<()> {
        let usual = Attributes::new(libc::SCHED_OTHER);
        set(&Attributes { nice: self.nice, runtime: TURN_NANOSECONDS, ..usual })
    }
}

/// Puts the calling thread ahead of all that has no real-time priority.
fn go_ahead() -> io::Result<()> {
    set(&Attributes { priority: PRIORITY, ..Attributes::new(libc::SCHED_RR) })
}

/// Changes the calling thread's attributes; nothing has changed if there is an error.
fn set(attributes: &Attributes) -> io::Result<()> {
    // SAFETY: the call reads `size` bytes behind the pointer, which outlive it.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *attributes, 0) };
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
        // Threads that this one starts inherit nothing of it, and no other one is changed.
        // SAFETY: the call takes no pointer.
        assert_eq!(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) }, 0);

        let share = Share::take(Scheduling::RealTime, clock::now());

        assert!(!share.is_ahead);
        assert_eq!(policy(), (0, 5));
        if go_ahead().is_ok() {
            assert_eq!(policy().0, libc::SCHED_RR);
            share.own.expect("it was as others are").take_short_turns().expect("it may go back");
            assert_eq!(policy(), (0, 5));
        }
    }

    #[test]
    fn a_busy_thread_goes_ahead_while_somebody_sends_little_through_it() {
        let now = clock::now();
        let mut share = Share::take(Scheduling::RealTime, now);
        let mut after = |part, little, now| share.should_go_ahead(little, part, now);

        assert!(!after(50, false, now), "nobody would notice");
        assert!(after(50, true, now));
        assert!(after(50, false, now), "he is remembered");
        assert!(!after(3, true, now), "it needs no help");
        assert!(!after(50, false, now + MEMORY), "he is gone");
        assert!(after(50, true, now + MEMORY));
    }

    #[test]
    fn one_that_uses_a_whole_processor_for_long_lets_others_have_it_for_a_while() {
        let now = clock::now();
        let mut share = Share::take(Scheduling::RealTime, now);
        let mut after = |part, now| share.should_go_ahead(true, part, now);

        for _ in 1..FLOOD {
            assert!(after(97, now), "an upload does that, too");
        }
        assert!(after(50, now), "and stops");
        for _ in 1..FLOOD {
            assert!(after(97, now));
        }
        assert!(!after(97, now), "that is a flood");
        assert!(!after(50, now + WINDOW), "beside another program it gets half");
        assert!(after(50, now + PENANCE));
    }

    #[test]
    fn one_that_is_to_be_fair_has_no_windows() {
        let now = clock::now();

        let share = Share::take(Scheduling::Fair, now);

        assert!(!share.window_is_over(now + MEMORY));
    }
}
