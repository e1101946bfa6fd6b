//! How the kernel shares the processors with the data plane's thread: short turns.
//!
//! A packet on its way waits for a processor at each program that it passes. With the kernel's usual
//! turns of about 3 ms a busy application holds the tunnel up for as long as that. A thread that asks
//! for shorter turns gets them sooner, and no larger share (Linux 6.12, `sched(7)`; before that the
//! request is taken and means nothing).
// The call has no safe form.
#![allow(unsafe_code)]

use std::io;

/// The least turn that the kernel gives.
const TURN_NANOSECONDS: u64 = 100_000;

/// `struct sched_attr`, its first version.
#[repr(C)]
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

/// Asks for short turns for the calling thread; its nice value stays.
///
/// # Errors
/// What the kernel said; nothing has changed then.
pub(crate) fn take_short_turns() -> io::Result<()> {
    let mut attributes = Attributes {
        size: size_of::<Attributes>() as u32,
        policy: 0,
        flags: 0,
        nice: 0,
        priority: 0,
        runtime: 0,
        deadline: 0,
        period: 0,
    };
    // SAFETY: the call writes at most `size` bytes behind the pointer, to what lives through it.
    let read = unsafe {
        libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, attributes.size, 0)
    };
    // Whoever gave the thread another policy knows why.
    if read < 0 || attributes.policy != libc::SCHED_OTHER as u32 {
        return Err(io::Error::last_os_error());
    }
    attributes.runtime = TURN_NANOSECONDS;
    // SAFETY: the call reads `size` bytes behind the pointer, which outlive it.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_short_turns_and_keeps_its_nice_value() {
        let nice = || {
            // SAFETY: the call takes no pointer.
            unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
        };
        let before = nice();

        take_short_turns().expect("every kernel takes the request");

        assert_eq!(nice(), before);
    }
}
