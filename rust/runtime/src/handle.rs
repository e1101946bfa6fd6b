//! The ends of a running loop's queues: commands in, events out, counters, stop.
//!
//! A loop that was started held takes commands alone until [`Handle::begin`]: what an endpoint has to
//! know before its first packet is known by then.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread::JoinHandle;

use packet::Instant;
use tunnel::messages::{Command, Event};
use tunnel::{Endpoint, Imported, StateError};

use crate::event_loop::Station;
use crate::wake::{WakeFlag, Waker};
use crate::wire::Wire;

/// Commands that may wait; more are refused, which tells their sender to slow down.
pub(crate) const COMMANDS: usize = 4096;
/// Events that may wait. When these are not taken, requests stay in the endpoints as state.
pub(crate) const EVENTS: usize = 4096;

/// Something for orchestration.
#[derive(Clone, Debug, PartialEq)]
pub enum LoopEvent {
    /// Of the endpoint with this number.
    Endpoint(usize, Event),
    /// A TUN device failed; its endpoint gets no more packets from the host.
    TunFailed {
        /// Number of the endpoint.
        station: usize,
        /// What the kernel said.
        error: String,
    },
    /// The kernel does not take datagrams, for a reason that was not told in the last minute.
    SendFailed {
        /// Number of the endpoint.
        station: usize,
        /// What the kernel said.
        error: String,
    },
    /// The loop ended and sends nothing more.
    Stopped,
}

/// Why a command was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandRefused {
    /// Too many wait: come again when events have been taken.
    #[error("the command queue is full; take events, then come again")]
    Full,
    /// The loop has ended.
    #[error("the data plane has stopped")]
    Stopped,
}

/// Figures of one station, read at any time from any thread.
#[derive(Debug, Default)]
pub struct StationCounters {
    /// Packets read from its TUN device.
    pub tun_read: AtomicU64,
    /// Packets written to it.
    pub tun_written: AtomicU64,
    /// Packets that the kernel did not take.
    pub tun_refused: AtomicU64,
    /// System calls that read from it; one may bring many packets.
    pub tun_read_calls: AtomicU64,
    /// System calls that wrote to it.
    pub tun_write_calls: AtomicU64,
    /// Datagrams lost on its link, cut off by the link's queue, or not taken by the kernel.
    pub datagrams_dropped: AtomicU64,
    /// Datagrams sent by its sockets.
    pub datagrams_sent: AtomicU64,
    /// Datagrams received by them.
    pub datagrams_received: AtomicU64,
    /// System calls that sent; one may take many datagrams.
    pub udp_send_calls: AtomicU64,
    /// System calls that received.
    pub udp_receive_calls: AtomicU64,
}

/// Figures of a loop.
#[derive(Debug, Default)]
pub struct LoopCounters {
    /// Per station.
    pub stations: Vec<StationCounters>,
    /// Turns of the loop: each asks the kernel once what has arrived.
    pub turns: AtomicU64,
    /// Commands that were meant for the other role.
    pub misdirected: AtomicU64,
}

impl LoopCounters {
    pub(crate) fn of(stations: usize) -> Self {
        let stations = (0..stations).map(|_| StationCounters::default()).collect();
        Self { stations, ..Self::default() }
    }
}

/// What can be asked of the loop about one station.
pub(crate) enum Order {
    /// Hand this to the endpoint.
    Command(Box<Command>),
    /// Put this endpoint into the place of the one that is there.
    Replace(Box<dyn Endpoint>),
    /// Take packets from now on, with this state.
    Begin(Option<State>, SyncSender<Begun>),
}

/// NAT state of a former process.
#[derive(Debug)]
pub struct State {
    /// As it was exported.
    pub bytes: Vec<u8>,
    /// When.
    pub exported: Instant,
}

/// What became of the state that a loop began with.
pub(crate) type Begun = Option<Result<Imported, StateError>>;

/// What is left of a loop that ended: nothing is closed.
pub struct Remains {
    /// Its stations.
    pub stations: Vec<Station>,
    /// Its wire.
    pub wire: Wire,
}

/// The orchestration's side of a running [`crate::EventLoop`].
#[derive(Debug)]
pub struct Handle {
    pub(crate) commands: SyncSender<(usize, Order)>,
    pub(crate) events: Receiver<LoopEvent>,
    pub(crate) waker: Waker,
    pub(crate) wake_flag: WakeFlag,
    pub(crate) wake_socket: Option<OwnedFd>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) counters: Arc<LoopCounters>,
    pub(crate) thread: Option<JoinHandle<Remains>>,
}

impl Handle {
    /// Queues a command for an endpoint; it is applied between two batches.
    ///
    /// # Errors
    /// [`CommandRefused`]; the command was not queued.
    pub fn command(&self, station: usize, command: Command) -> Result<(), CommandRefused> {
        self.order(station, Order::Command(Box::new(command)))
    }

    /// Puts `endpoint` into the place of a station's: what a restarted process would be. What the
    /// former one knew is gone; the device stays.
    ///
    /// # Errors
    /// [`CommandRefused`]; nothing was replaced.
    pub fn replace(
        &self,
        station: usize,
        endpoint: Box<dyn Endpoint>,
    ) -> Result<(), CommandRefused> {
        self.order(station, Order::Replace(endpoint))
    }

    /// Lets a loop that was started held take packets, after all commands that were queued before;
    /// `state` is what a former process of the endpoint knew.
    ///
    /// Returns what became of the state. One that is not taken changes nothing.
    ///
    /// # Errors
    /// [`CommandRefused::Stopped`].
    pub fn begin(
        &self,
        station: usize,
        state: Option<State>,
    ) -> Result<Option<Result<Imported, StateError>>, CommandRefused> {
        let (told, begun) = mpsc::sync_channel(1);
        // Commands may fill the queue: they come first, and whoever begins waits anyway.
        let sent = self.commands.send((station, Order::Begin(state, told)));
        self.waker.wake();
        sent.map_err(|_| CommandRefused::Stopped)?;
        begun.recv().map_err(|_| CommandRefused::Stopped)
    }

    fn order(&self, station: usize, order: Order) -> Result<(), CommandRefused> {
        let result = self.commands.try_send((station, order));
        self.waker.wake();
        result.map_err(|refused| match refused {
            TrySendError::Full(_) => CommandRefused::Full,
            TrySendError::Disconnected(_) => CommandRefused::Stopped,
        })
    }

    /// The socket that becomes readable when events wait; can be taken once.
    pub fn take_wake_socket(&mut self) -> Option<OwnedFd> {
        self.wake_socket.take()
    }

    /// The next event. Call [`Handle::lower_wake_flag`] first, after reading the socket.
    pub fn poll_event(&self) -> Option<LoopEvent> {
        let event = self.events.try_recv().ok();
        if event.is_some() {
            // The loop may be holding events back for want of room.
            self.waker.wake();
        }
        event
    }

    /// From now on a new event writes a byte to the socket again.
    pub fn lower_wake_flag(&self) {
        self.wake_flag.lower();
    }

    /// Figures of the loop.
    pub fn counters(&self) -> &LoopCounters {
        &self.counters
    }

    /// Ends the loop and waits for its thread; what it held is closed.
    pub fn stop(&mut self) {
        drop(self.take_apart());
    }

    /// Ends the loop, waits for its thread, and gives what it held; `None` the second time. Packets that
    /// arrive from now on wait in the kernel's queues.
    pub fn take_apart(&mut self) -> Option<Remains> {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        self.thread.take()?.join().ok()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}
