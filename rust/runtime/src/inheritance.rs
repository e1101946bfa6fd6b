//! Secrets on their way to another process: in the buffer of a socket whose other end is closed.
//!
//! They are in no file and in no memory that a third process could map, and who reads them has taken them
//! away (R38). The socket itself can be kept for the successor by a service manager, or sent to it.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use zeroize::Zeroizing;

use crate::room;

/// What the kernel counts for a message beside its bytes, generously.
const BESIDE: usize = 1 << 16;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;

/// Returns a socket from which `secret` can be read, once.
///
/// # Errors
/// What the kernel returned: there may be no room for so much, without the right to more.
pub fn fill(secret: &[u8]) -> io::Result<OwnedFd> {
    let (mut here, there) = UnixStream::pair()?;
    // With less room than this the write may fail.
    room::to_send(&here, 2 * secret.len() + BESIDE);
    here.set_nonblocking(true)?;
    here.write_all(secret)?;
    Ok(there.into())
}

/// Reads what [`fill`] wrote; nothing is left.
///
/// # Errors
/// What the kernel returned: the descriptor is something else.
pub fn spill(socket: OwnedFd) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut socket = UnixStream::from(socket);
    // All of it is there by now: what is not will never come.
    socket.set_nonblocking(true)?;
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    let mut secret = Zeroizing::new(Vec::new());
    loop {
        match socket.read(&mut chunk) {
            Ok(0) => return Ok(secret),
            Ok(len) => append(&mut secret, &chunk[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(secret),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Grows into memory twice as large and erases what was outgrown; a vector by itself would leave copies
/// behind.
fn append(secret: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    let len = secret.len() + more.len();
    if len > secret.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * len));
        larger.extend_from_slice(secret);
        *secret = larger;
    }
    secret.extend_from_slice(more);
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn r38_a_secret_crosses_once() {
        let secret: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let socket = fill(&secret).expect("room");
        let same = socket.as_fd().try_clone_to_owned().expect("a descriptor");

        assert_eq!(*spill(socket).expect("a socket"), secret);
        assert!(spill(same).expect("a socket").is_empty(), "it was taken away");
    }

    #[test]
    fn what_is_no_socket_gives_nothing() {
        let file = std::fs::File::open("/dev/null").expect("it is everywhere");

        assert!(spill(file.into()).is_err());
    }
}
