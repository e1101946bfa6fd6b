//! Room for what waits in a socket: beyond the host's limits where we have the right to it (Linux,
//! CAP_NET_ADMIN), else as much as they leave of it.

use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};

/// Room for `bytes` to be sent, or less.
pub(crate) fn to_send(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, sockopt::SndBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::SndBuf, &bytes));
}

/// Room for `bytes` that were received, or less.
pub(crate) fn to_receive(socket: &impl AsFd, bytes: usize) {
    let _ = setsockopt(socket, sockopt::RcvBufForce, &bytes)
        .or_else(|_| setsockopt(socket, sockopt::RcvBuf, &bytes));
}
