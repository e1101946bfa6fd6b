//! Two sockets on one port, among which the kernel sorts by the first byte: WireGuard's data messages,
//! and everything else.
//!
//! Whoever knows an address can send handshakes to it, as many as his line carries, and each costs more
//! than a data message. In one queue they would push data out of the way. Here a flood fills the queue
//! of handshakes alone. Linux.
// The socket option that takes a program has no safe form.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{SockRef, Socket};

/// The first byte of a data message (paper §5.4.6).
const DATA: u32 = 4;

const fn instruction(code: u32, jump_if_not: u8, value: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: jump_if_not, k: value }
}

/// Returns the number of a socket in the group: 0, the older one, for data. What is empty is data, too:
/// a program that reads too far returns 0.
const PROGRAM: [libc::sock_filter; 4] = [
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0),
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, DATA),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 1),
];

/// Binds `control` to the `address` of `data`, and lets the kernel sort.
///
/// `data` was bound alone, so a port that is another program's is still refused; only what runs as the
/// same user and asks to share it may join later.
///
/// # Errors
/// What the kernel said. Once `control` is closed everything arrives at `data` again.
pub(super) fn join(data: &UdpSocket, control: &Socket, address: SocketAddr) -> io::Result<()> {
    SockRef::from(data).set_reuse_port(true)?;
    control.set_reuse_port(true)?;
    control.bind(&address.into())?;
    let program =
        libc::sock_fprog { len: PROGRAM.len() as u16, filter: PROGRAM.as_ptr().cast_mut() };
    // SAFETY: the pointer and the length describe `program`, and its own describe PROGRAM; the kernel
    // copies both during the call and writes to neither.
    let result = unsafe {
        libc::setsockopt(
            data.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
