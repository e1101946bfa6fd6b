//! Waking a sleeper by a socket: one byte is written when there was none before.
//!
//! Used both ways: the data-plane thread sleeps in `ppoll` on one, an asyncio loop awaits the other
//! by `loop.sock_recv`, which works on every loop.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The end that wakes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Waker {
    socket: Arc<UnixStream>,
    pending: Arc<AtomicBool>,
}

/// The end that sleeps.
#[derive(Debug)]
pub struct Sleeper {
    socket: UnixStream,
    pending: Arc<AtomicBool>,
}

/// Makes a pair.
///
/// # Errors
/// What the kernel returned for `socketpair`.
pub fn pair() -> io::Result<(Waker, Sleeper)> {
    let (write, read) = UnixStream::pair()?;
    write.set_nonblocking(true)?;
    read.set_nonblocking(true)?;
    let pending = Arc::new(AtomicBool::new(false));
    let waker = Waker { socket: Arc::new(write), pending: Arc::clone(&pending) };
    Ok((waker, Sleeper { socket: read, pending }))
}

impl Waker {
    /// Wakes the sleeper, unless it was woken already and did not look yet.
    pub fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // Full or closed: then a byte is there, or nobody sleeps any more.
            let _ = (&*self.socket).write(&[1]);
        }
    }
}

impl Sleeper {
    /// Takes the wake-up; call it before looking at what one was woken for.
    pub fn clear(&mut self) {
        let mut bytes = [0; 64];
        while matches!(self.socket.read(&mut bytes), Ok(n) if n == bytes.len()) {}
        // In this order: a wake-up between the two is seen by whoever looks now, one after them
        // writes a byte. The other way round a byte could be taken whose flag stays raised.
        self.pending.store(false, Ordering::Release);
    }

    /// The descriptor to wait on.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Splits into the descriptor, for somebody who waits on and reads it by own means, and the flag
    /// to lower before looking.
    pub fn into_parts(self) -> (OwnedFd, WakeFlag) {
        (self.socket.into(), WakeFlag(self.pending))
    }
}

/// Lowers the "was woken" flag for a sleeper that reads its socket itself.
#[derive(Clone, Debug)]
pub struct WakeFlag(Arc<AtomicBool>);

impl WakeFlag {
    /// From now on the next wake-up writes a byte again.
    pub fn lower(&self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wake_ups_are_one_byte_until_the_sleeper_looks() {
        let (waker, mut sleeper) = pair().expect("a socket pair");
        for _ in 0..1000 {
            waker.wake();
        }
        let mut bytes = [0; 64];
        assert_eq!(sleeper.socket.read(&mut bytes).expect("a byte"), 1);

        sleeper.clear();
        waker.wake();

        assert_eq!(sleeper.socket.read(&mut bytes).expect("a byte"), 1);
    }
}
