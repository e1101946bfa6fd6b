//! How datagrams leave and arrive: by sockets, or in a laboratory by links inside the process.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use packet::{Instant, SendBuffer};
use tunnel::Datagrams;

use crate::links::Links;
use crate::udp::{UdpCounters, UdpSockets};

/// The way between endpoints.
#[derive(Debug)]
pub enum Wire {
    /// A laboratory's: any number of stations.
    Links(Links),
    /// The network, for one station.
    Udp(UdpSockets),
}

impl Wire {
    /// Sends everything that `station` wrote.
    pub(crate) fn send(&mut self, station: usize, send: &SendBuffer, now: Instant) {
        match self {
            Self::Links(links) => links.send(station, send, now),
            Self::Udp(sockets) => sockets.send(send, now),
        }
    }

    /// The next datagrams for `station`.
    pub(crate) fn receive(&mut self, station: usize, now: Instant) -> Option<Datagrams<'_>> {
        match self {
            Self::Links(links) => links.receive(station, now),
            Self::Udp(sockets) => sockets.receive(),
        }
    }

    /// When the next datagram is due, where that is known.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Links(links) => links.poll_timeout(),
            Self::Udp(_) => None,
        }
    }

    /// What went through the sockets; nothing in a laboratory.
    pub(crate) fn counters(&self) -> UdpCounters {
        match self {
            Self::Links(_) => UdpCounters::default(),
            Self::Udp(sockets) => sockets.counters(),
        }
    }

    /// Data datagrams of `station` that were lost on this side of the network.
    pub(crate) fn dropped(&self, station: usize) -> u64 {
        match self {
            Self::Links(links) => links.dropped(station),
            Self::Udp(sockets) => sockets.counters().dropped,
        }
    }

    /// Why a send failed, if that was not told in the last minute.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        match self {
            Self::Links(_) => None,
            Self::Udp(sockets) => sockets.take_error(),
        }
    }

    /// Something arrived at the descriptor with this number among [`Self::fds`].
    pub(crate) fn set_ready(&mut self, socket: usize) {
        match self {
            Self::Links(_) => {}
            Self::Udp(sockets) => sockets.set_ready(socket),
        }
    }

    /// Where the sockets may be reached; `None` in a laboratory.
    pub(crate) fn host_addresses(&self) -> Option<Vec<SocketAddr>> {
        match self {
            Self::Links(_) => None,
            Self::Udp(sockets) => sockets.host_addresses(),
        }
    }

    /// What to wait on.
    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sockets = match self {
            Self::Links(_) => None,
            Self::Udp(sockets) => Some(sockets),
        };
        sockets.into_iter().flat_map(UdpSockets::fds)
    }
}
