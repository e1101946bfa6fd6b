//! Doing something inside a given network namespace, without moving the calling thread.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

/// Moves the calling thread, for good, into the network namespace at `path`.
///
/// # Errors
/// What opening or entering it returned.
pub(crate) fn enter(path: &Path) -> io::Result<()> {
    setns(File::open(path)?, CloneFlags::CLONE_NEWNET)?;
    Ok(())
}

/// Runs `work` on a thread of its own inside the network namespace at `path` (as `ip netns` keeps
/// them: `/var/run/netns/NAME`), or right here if `path` is `None`.
///
/// A file descriptor that `work` opens stays in that namespace for good, whoever uses it later.
///
/// # Errors
/// What opening the namespace, entering it, or `work` itself returned.
pub(crate) fn inside<T: Send>(
    path: Option<&Path>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let Some(path) = path else { return work() };
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(path)?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}
