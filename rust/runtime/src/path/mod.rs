//! A laboratory's underlay: two devices of two hosts, and what one sends comes out of the other after
//! the time that a link takes, if the link does not lose it.
//!
//! The packets are whatever the hosts send, so that nothing tells control messages from others: all of
//! them are of one class of the link, and wait in one queue.

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use link::Link;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;
use packet::{Class, Instant};

use crate::clock;
use crate::tun::{READ_BUFFER, Tun};
use crate::wake::{self, Sleeper, Waker};

/// Packets taken from one device, or given to it, in a turn: what is due does not wait for a flood.
const BATCH: usize = 64;
/// Longest sleep, so that counters stay fresh.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// Nanoseconds by which the kernel may wake the thread too late for its own convenience: 50,000 are
/// usual, which is the time of a packet at 200 Mbit/s.
const TIMER_SLACK: u64 = 1;

/// The class of everything: the path cannot look into what it carries.
const CLASS: Class = Class::Data;

/// One host's end: its device, and the link that what it sends takes.
#[derive(Debug)]
pub struct PathEnd {
    /// The device.
    pub tun: Tun,
    /// What lies between this end and the other; its line for data is the one that counts.
    pub link: Link,
}

/// What became of what one end sent, read at any time from any thread.
#[derive(Debug, Default)]
pub struct PathCounters {
    /// Packets that it sent.
    pub entered: AtomicU64,
    /// Packets that came out at the other end, copies included.
    pub delivered: AtomicU64,
    /// Packets that the link lost.
    pub lost: AtomicU64,
    /// Packets that found the link's queue full.
    pub cut_off: AtomicU64,
    /// Packets that the other end's kernel did not take.
    pub refused: AtomicU64,
}

/// The two ends on a thread of their own; it ends with this, or when a device goes.
#[derive(Debug)]
pub struct Path {
    counters: Arc<[PathCounters; 2]>,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Path {
    /// Joins two ends by the thread `fz-path`.
    ///
    /// # Errors
    /// What the kernel returned for a socket or a thread.
    pub fn start(ends: [PathEnd; 2]) -> io::Result<Self> {
        let (waker, sleeper) = wake::pair()?;
        let counters = Arc::new(<[PathCounters; 2]>::default());
        let stop = Arc::new(AtomicBool::new(false));
        let carrier = Carrier {
            ends,
            read: vec![0; READ_BUFFER],
            packet: Vec::new(),
            sleeper,
            counters: Arc::clone(&counters),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new().name("fz-path".to_owned());
        let thread = Some(thread.spawn(move || carrier.run())?);
        Ok(Self { counters, stop, waker, thread })
    }

    /// What became of what each end sent.
    pub fn counters(&self) -> &[PathCounters; 2] {
        &self.counters
    }

    /// Ends the thread and waits for it. What is under way is gone.
    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread owns.
struct Carrier {
    ends: [PathEnd; 2],
    read: Vec<u8>,
    packet: Vec<u8>,
    sleeper: Sleeper,
    counters: Arc<[PathCounters; 2]>,
    stop: Arc<AtomicBool>,
}

impl Carrier {
    fn run(mut self) {
        // Without it packets come a little later; the path works all the same.
        let _ = prctl::set_timerslack(TIMER_SLACK);
        while !self.stop.load(Ordering::Acquire) {
            let now = clock::now();
            self.sleeper.clear();
            let mut more = false;
            for end in 0..self.ends.len() {
                match self.take(end, now) {
                    Ok(may_be) => more |= may_be,
                    // The device was deleted, with its host most likely.
                    Err(_) => return,
                }
                more |= self.deliver(end, now);
            }
            self.publish();
            if !more {
                self.sleep();
            }
        }
    }

    /// Puts what an end sent on its link; returns whether there may be more.
    fn take(&mut self, end: usize, now: Instant) -> io::Result<bool> {
        let PathEnd { tun, link } = &mut self.ends[end];
        for _ in 0..BATCH {
            let Some(taken) = tun.read(&mut self.read)? else { return Ok(false) };
            link.send(&self.read[..taken.len], CLASS, now);
        }
        Ok(true)
    }

    /// Gives the other end what is due; returns whether there may be more.
    fn deliver(&mut self, end: usize, now: Instant) -> bool {
        for _ in 0..BATCH {
            if self.ends[end].link.receive(now, &mut self.packet).is_none() {
                return false;
            }
            self.ends[1 - end].tun.write(&self.packet);
        }
        true
    }

    fn publish(&self) {
        for (end, counters) in self.counters.iter().enumerate() {
            let link = self.ends[end].link.counters(CLASS);
            counters.entered.store(link.sent, Ordering::Relaxed);
            counters.delivered.store(link.delivered, Ordering::Relaxed);
            counters.lost.store(link.lost, Ordering::Relaxed);
            counters.cut_off.store(link.tail_dropped, Ordering::Relaxed);
            let refused = self.ends[1 - end].tun.counters().refused;
            counters.refused.store(refused, Ordering::Relaxed);
        }
    }

    fn sleep(&mut self) {
        let due = self.ends.iter().filter_map(|end| end.link.poll_timeout()).min();
        let wait = due.map_or(LONGEST_SLEEP, |at| at.saturating_duration_since(clock::now()));
        let [here, there] = &self.ends;
        let mut fds = [self.sleeper.as_fd(), here.tun.as_fd(), there.tun.as_fd()].map(readable);
        // An interrupted wait is a short one.
        let _ = ppoll(&mut fds, Some(TimeSpec::from_duration(wait.min(LONGEST_SLEEP))), None);
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}
