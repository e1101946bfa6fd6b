//! The UDP sockets of an endpoint, one per address family: runs of datagrams out (GSO) and in (GRO).
//!
//! A kernel or a path that does not take a run as one send gets its datagrams one by one. A full send
//! buffer is waited for, briefly: the packets behind it stay in the TUN device's queue, where their
//! senders feel it. What carries no data arrives by [sockets of its own](sorting).

mod message;
mod options;
mod sorting;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use packet::{Class, Instant, Route, Run, SendBuffer};
use smallvec::SmallVec;
use tunnel::Datagrams;

use crate::hosts::Host;
use crate::namespace;
use crate::offloads::Offloads;
use message::Inbox;
pub use options::UdpConfig;

/// Bytes that one receive call is to bring, about: few enough for the processor's caches, enough that
/// datagrams which come one by one are joined to long trains.
const BATCH_BYTES: usize = 192 * 1024;
/// Least messages that are asked for, however large those before were.
const FEWEST: usize = 4;
/// How long a full send buffer is waited for; then the datagram is lost, as on the way.
const PATIENCE_MS: u16 = 20;
/// A failure that comes again within this time is the same one, and is not told again.
const CALM: Duration = Duration::from_secs(60);
/// Of so many receive calls one asks first for what carries no data: it is neither starved by data, nor
/// can it take more than its part of the time.
const CONTROL_TURN: u8 = 4;

/// Why sockets could not be made.
#[derive(Debug, thiserror::Error)]
pub enum UdpError {
    /// The port is another program's, or below 1024 without the right to it.
    #[error("UDP port {port}: {source}; choose another one, or end the program that has it")]
    Port {
        /// Which port.
        port: u16,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused something else.
    #[error("UDP sockets: {0}")]
    Kernel(#[from] io::Error),
    /// A descriptor that another process left is not what it was said to be.
    #[error("a descriptor that was left as UDP socket is {0}")]
    Other(String),
}

/// What went through the sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams received.
    pub received: u64,
    /// Data datagrams that the kernel did not take.
    pub dropped: u64,
    /// Runs that had to be sent datagram by datagram.
    pub split: u64,
    /// System calls that sent.
    pub sends: u64,
    /// System calls that received.
    pub receives: u64,
}

/// Both families, for data and for what is none.
const SOCKETS: usize = 4;

/// A socket for IPv4 and one for IPv6; one at least is there.
type Families = (Option<UdpSocket>, Option<UdpSocket>);

/// The sockets. At least one family is there.
#[derive(Debug)]
pub struct UdpSockets {
    ipv4: Option<UdpSocket>,
    ipv6: Option<UdpSocket>,
    /// Beside each of them, where the kernel can, one for what carries no data.
    control: [Option<UdpSocket>; 2],
    inbox: Inbox,
    /// Of which sockets something may wait: both data sockets, then both for control.
    ready: [bool; SOCKETS],
    /// Messages to ask for next, after the size of the last ones.
    messages: usize,
    /// Whether sends and receives of many datagrams at once are tried.
    offloads: Offloads,
    /// Receive calls so far. Which family is asked first changes with each that asks first for the same
    /// kind, so that neither has to wait for a flood of the other.
    turn: u8,
    counters: UdpCounters,
    /// Errors of sends, and when each came last.
    failures: Vec<(Option<i32>, Instant)>,
    news: Option<io::Error>,
    host: Option<Host>,
}

impl UdpSockets {
    /// Opens the sockets inside the network namespace at `namespace`, both on one port.
    ///
    /// # Errors
    /// [`UdpError`]. A host without IPv6 gets a socket for IPv4 alone, and the other way round.
    pub fn open(config: &UdpConfig, namespace: Option<&Path>) -> Result<Self, UdpError> {
        let port = |source| UdpError::Port { port: config.port, source };
        let opened = namespace::inside(namespace, || {
            let families = config.open()?;
            let control = config.beside(&families);
            Ok((families, control))
        });
        let (families, control) = opened.map_err(port)?;
        Ok(Self::of(families, control, config.offloads))
    }

    /// Takes over sockets that another process opened as [`UdpSockets::open`] does. What arrived since
    /// it stopped to receive waits in them.
    ///
    /// # Errors
    /// [`UdpError::Other`]; all descriptors are closed then.
    pub fn adopt(config: &UdpConfig, sockets: Vec<OwnedFd>) -> Result<Self, UdpError> {
        let families = config.adopt(sockets)?;
        // Those of the former process end with it.
        let control = config.beside(&families);
        Ok(Self::of(families, control, config.offloads))
    }

    fn of((ipv4, ipv6): Families, control: [Option<UdpSocket>; 2], offloads: Offloads) -> Self {
        Self {
            ipv4,
            ipv6,
            control,
            inbox: Inbox::new(),
            ready: [true; SOCKETS],
            messages: FEWEST,
            offloads,
            turn: 0,
            counters: UdpCounters::default(),
            failures: Vec::new(),
            news: None,
            host: None,
        }
    }

    /// The descriptors alone, for another process. What waits and carries no data is lost: it comes
    /// again.
    pub fn into_fds(self) -> Vec<OwnedFd> {
        [self.ipv4, self.ipv6].into_iter().flatten().map(OwnedFd::from).collect()
    }

    /// Notes on which host the sockets are, so that peers can be told where.
    #[must_use]
    pub fn on(self, host: Host) -> Self {
        Self { host: Some(host), ..self }
    }

    /// Where the sockets may be reached, as far as this host can tell; `None` if nobody said which it is.
    pub(crate) fn host_addresses(&self) -> Option<Vec<SocketAddr>> {
        let (host, port) = (self.host.as_ref()?, self.port()?);
        let mut addresses = host.addresses(port).ok()?;
        addresses.retain(|address| match address {
            SocketAddr::V4(_) => self.ipv4.is_some(),
            SocketAddr::V6(_) => self.ipv6.is_some(),
        });
        Some(addresses)
    }

    /// The port that peers send to.
    pub fn port(&self) -> Option<u16> {
        let socket = self.ipv4.as_ref().or(self.ipv6.as_ref())?;
        socket.local_addr().ok().map(|address| address.port())
    }

    /// What went through.
    pub fn counters(&self) -> UdpCounters {
        self.counters
    }

    /// Sends every run, as many with one call as go by one socket.
    pub(crate) fn send(&mut self, send: &SendBuffer, now: Instant) {
        let mut waiting: SmallVec<[(&Run, &[u8]); message::SENDS]> = SmallVec::new();
        for (run, bytes) in send.iter() {
            let is_other = waiting.last().is_some_and(|(last, _)| family(last) != family(run));
            if is_other || waiting.len() == message::SENDS {
                self.send_all(&waiting, now);
                waiting.clear();
            }
            if run.datagrams() == 1 || self.offloads == Offloads::Auto {
                waiting.push((run, bytes));
            } else {
                self.send_all(&waiting, now);
                waiting.clear();
                self.send_singly(run, bytes, now);
            }
        }
        self.send_all(&waiting, now);
    }

    /// Sends runs of one family. One that fails is tried in other ways, and the others go on.
    fn send_all(&mut self, mut runs: &[(&Run, &[u8])], now: Instant) {
        while let Some(((run, bytes), others)) = runs.split_first() {
            match self.send_call(runs) {
                Ok(sent) => runs = &runs[sent.clamp(1, runs.len())..],
                // The path's MTU is below their size, or the device cannot cut runs up.
                Err(error) if run.datagrams() > 1 && message::is_about_runs(&error) => {
                    self.counters.split += 1;
                    self.send_singly(run, bytes, now);
                    runs = others;
                }
                Err(error) => {
                    self.send_otherwise(run, bytes, error, now);
                    runs = others;
                }
            }
        }
    }

    /// One send call; returns how many of the runs it sent.
    fn send_call(&mut self, runs: &[(&Run, &[u8])]) -> io::Result<usize> {
        let socket = match runs.first().map(|(run, _)| run.route.remote) {
            Some(SocketAddr::V6(_)) => self.ipv6.as_ref(),
            Some(SocketAddr::V4(_)) | None => self.ipv4.as_ref(),
        };
        let socket = socket.ok_or_else(|| io::Error::from_raw_os_error(libc::EAFNOSUPPORT))?;
        self.counters.sends += 1;
        let sent = patiently(socket, || message::send(socket, runs))?;
        let datagrams = runs.iter().take(sent).map(|(run, _)| run.datagrams() as u64);
        self.counters.sent += datagrams.sum::<u64>();
        Ok(sent)
    }

    /// Sends a run that failed with `error` from whichever address the kernel chooses, if that of the run
    /// may not be this host's any more. The peer learns of it by this.
    fn send_otherwise(&mut self, run: &Run, bytes: &[u8], error: io::Error, now: Instant) {
        let sent = if run.route.local.is_some() && message::is_about_address(&error) {
            let route = Route { local: None, ..run.route };
            self.send_call(&[(&Run { route, ..*run }, bytes)]).map(|_| ())
        } else {
            Err(error)
        };
        if let Err(error) = sent {
            self.note_failure(run, bytes, error, now);
        }
    }

    /// Sends a run datagram by datagram.
    fn send_singly(&mut self, run: &Run, bytes: &[u8], now: Instant) {
        for datagram in bytes.chunks(run.datagram_size) {
            let single = Run { len: datagram.len(), datagram_size: datagram.len(), ..*run };
            if let Err(error) = self.send_call(&[(&single, datagram)]) {
                self.send_otherwise(&single, datagram, error, now);
            }
        }
    }

    fn note_failure(&mut self, run: &Run, bytes: &[u8], error: io::Error, now: Instant) {
        if run.class == Class::Data {
            self.counters.dropped += bytes.len().div_ceil(run.datagram_size.max(1)) as u64;
        }
        // Between two failures there may be sends to other peers that succeed: those end nothing.
        let code = error.raw_os_error();
        if let Some((_, last)) = self.failures.iter_mut().find(|(known, _)| *known == code) {
            let since = now.saturating_duration_since(std::mem::replace(last, now));
            if since < CALM {
                return;
            }
        } else {
            self.failures.push((code, now));
        }
        self.news = Some(error);
    }

    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.news.take()
    }

    /// The next datagrams; `None` when nothing waits at a socket that [may have](Self::set_ready)
    /// something.
    pub(crate) fn receive(&mut self) -> Option<Datagrams<'_>> {
        for socket in self.order() {
            if !std::mem::take(&mut self.ready[socket]) {
                continue;
            }
            let Some(from) = socket_at(&self.ipv4, &self.ipv6, &self.control, socket) else {
                continue;
            };
            // Handshakes one by one: each may cost as much as many data messages.
            let most = if is_control(socket) { 1 } else { self.messages };
            self.counters.receives += 1;
            let came = message::receive(from, &mut self.inbox, most).unwrap_or(0);
            if came > 0 {
                self.note_received(socket, came == most);
                return Some(self.inbox.datagrams());
            }
        }
        None
    }

    /// The sockets in the order in which they are asked.
    fn order(&mut self) -> [usize; SOCKETS] {
        let mut kinds = [[0, 1], [2, 3]];
        self.turn = self.turn.wrapping_add(1);
        // Counted without the turns of the other kind: all turns of control are even.
        let of_control = self.turn / CONTROL_TURN;
        if self.turn.wrapping_add(of_control).is_multiple_of(2) {
            kinds.iter_mut().for_each(|families| families.reverse());
        }
        if self.turn.is_multiple_of(CONTROL_TURN) {
            kinds.reverse();
        }
        let [[a, b], [c, d]] = kinds;
        [a, b, c, d]
    }

    fn note_received(&mut self, socket: usize, was_full: bool) {
        self.ready[socket] = was_full;
        let arrivals = self.inbox.arrivals();
        let datagrams: u64 = arrivals.iter().map(|arrival| u64::from(arrival.count())).sum();
        self.counters.received += datagrams;
        if !is_control(socket) {
            let bytes: usize = arrivals.iter().map(|arrival| arrival.len as usize).sum();
            let each = (bytes / arrivals.len().max(1)).max(1);
            self.messages = (BATCH_BYTES / each).clamp(FEWEST, message::MESSAGES);
        }
    }

    /// Something may wait at the socket with number `socket` of [`Self::fds`].
    pub(crate) fn set_ready(&mut self, socket: usize) {
        let places = [&self.ipv4, &self.ipv6, &self.control[0], &self.control[1]];
        let mut open = (0..SOCKETS).filter(|&place| places[place].is_some());
        if let Some(place) = open.nth(socket) {
            self.ready[place] = true;
        }
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let sockets = [&self.ipv4, &self.ipv6].into_iter().chain(&self.control);
        sockets.flatten().map(AsFd::as_fd)
    }
}

fn family(run: &Run) -> bool {
    run.route.remote.is_ipv4()
}

fn is_control(socket: usize) -> bool {
    socket >= 2
}

fn socket_at<'a>(
    ipv4: &'a Option<UdpSocket>,
    ipv6: &'a Option<UdpSocket>,
    control: &'a [Option<UdpSocket>; 2],
    socket: usize,
) -> Option<&'a UdpSocket> {
    [ipv4, ipv6, &control[0], &control[1]].get(socket)?.as_ref()
}

/// Repeats a send that found the buffer full once there is room again.
fn patiently<T>(socket: &UdpSocket, mut send: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match send() {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
            let _ = poll(&mut fds, PollTimeout::from(PATIENCE_MS));
            send()
        }
        sent => sent,
    }
}

/// The wildcard address of each family.
pub(crate) const ANY: (Ipv4Addr, Ipv6Addr) = (Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED);
