//! The data-plane thread: the one caller of the endpoints' verbs outside tests.
//!
//! Each turn asks the kernel once what is there, waiting if nothing else is to be done, and reads the clock
//! once. Then it takes what is due: timers, datagrams, packets of the TUN devices, commands, DNS answers,
//! as much of each as lets no other wait long. After each input the endpoint is drained as the contract of
//! the `tunnel` crate says. Once a second it looks at the wall clock, whose steps forward it follows.

use std::collections::VecDeque;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use packet::{Instant, SendBuffer};
use smallvec::SmallVec;
use tunnel::{Endpoint, Io, SEND_BUFFER_BYTES, SEND_BUFFER_RUNS};

use crate::clock;
use crate::dns::DnsForwarder;
use crate::handle::{
    Begun, COMMANDS, EVENTS, Handle, LoopCounters, LoopEvent, Order, Remains, State,
};
use crate::outbound::{self, Outbound};
use crate::scheduling::{Scheduling, Share};
use crate::tun::Tun;
use crate::wake::{self, Sleeper, Waker};
use crate::wire::Wire;

/// Batches of datagrams handed to one endpoint in a turn.
const WIRE_BATCHES: usize = 2;
/// Commands applied in a turn (design §4).
const COMMANDS_A_TURN: usize = 64;
/// Longest sleep, so that counters stay fresh.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often the wall clock is looked at.
const WALL_CHECK: Duration = Duration::from_secs(1);

/// An endpoint and its way to the host.
pub struct Station {
    /// The state machine.
    pub endpoint: Box<dyn Endpoint>,
    /// Its device.
    pub tun: Tun,
}

/// Stations on one thread, joined by a wire.
pub struct EventLoop {
    stations: Vec<Station>,
    /// What each station's host sends, by station.
    outbound: Vec<Outbound>,
    wire: Wire,
    dns: DnsForwarder,
    send: SendBuffer,
    commands: Receiver<(usize, Order)>,
    events: SyncSender<LoopEvent>,
    /// Events that found the queue full.
    held_events: VecDeque<LoopEvent>,
    sleeper: Sleeper,
    orchestration: Waker,
    stop: Arc<AtomicBool>,
    /// Takes commands alone, until it is told to begin.
    held: bool,
    scheduling: Scheduling,
    counters: Arc<LoopCounters>,
    /// By how much the wall clock is ahead of ours as far as stations know, and when it was looked at.
    wall_ahead: Duration,
    wall_checked: Instant,
}

impl EventLoop {
    /// Starts the thread `fz-data-plane`. Sockets for forwarded DNS live in `dns_namespace`. One that is
    /// `held` takes commands alone until [`Handle::begin`].
    ///
    /// # Errors
    /// What the kernel returned for sockets or threads.
    pub fn start(
        stations: Vec<Station>,
        wire: Wire,
        dns_namespace: Option<PathBuf>,
        held: bool,
        scheduling: Scheduling,
    ) -> io::Result<Handle> {
        let (commands, commanded) = mpsc::sync_channel(COMMANDS);
        let (events, happened) = mpsc::sync_channel(EVENTS);
        let (waker, sleeper) = wake::pair()?;
        let (orchestration, asleep) = wake::pair()?;
        let (wake_socket, wake_flag) = asleep.into_parts();
        let stop = Arc::new(AtomicBool::new(false));
        let counters = Arc::new(LoopCounters::of(stations.len()));
        let event_loop = Self {
            outbound: stations.iter().map(|_| Outbound::new()).collect(),
            stations,
            wire,
            dns: DnsForwarder::start(dns_namespace, waker.clone())?,
            send: SendBuffer::new(
                SEND_BUFFER_BYTES + outbound::FLUSH_BYTES,
                SEND_BUFFER_RUNS + outbound::FLUSH_RUNS,
            ),
            commands: commanded,
            events,
            held_events: VecDeque::new(),
            sleeper,
            orchestration,
            stop: Arc::clone(&stop),
            held,
            scheduling,
            counters: Arc::clone(&counters),
            wall_ahead: clock::wall_ahead(clock::now()),
            wall_checked: clock::now(),
        };
        let thread = std::thread::Builder::new().name("fz-data-plane".to_owned());
        let thread = Some(thread.spawn(move || event_loop.run())?);
        let wake_socket = Some(wake_socket);
        let events = happened;
        Ok(Handle { commands, events, waker, wake_flag, wake_socket, stop, counters, thread })
    }

    fn run(mut self) -> Remains {
        let mut now = clock::now();
        let mut share = Share::take(self.scheduling, now);
        let (mut packets, mut commands) = (true, true);
        (0..self.stations.len()).for_each(|station| self.tell_addresses(station, now));
        while !self.stop.load(Ordering::Acquire) {
            let woken = self.wait(packets || commands, now);
            now = clock::now();
            self.review(&mut share, now);
            packets = self.take_packets(now);
            if woken {
                self.sleeper.clear();
            }
            if woken || commands {
                commands = self.apply_commands(now);
                self.read_dns(now);
            }
            self.follow_wall(now);
            self.hand_up_events();
            self.publish_counters();
        }
        // What happened last is told, too.
        self.hand_up_events();
        // The queue may be full: then the receiver sees the end by the closed channel.
        let _ = self.events.try_send(LoopEvent::Stopped);
        self.orchestration.wake();
        Remains { stations: self.stations, wire: self.wire }
    }

    /// Looks at the time that the thread used, and at who was served, when a window ends.
    fn review(&mut self, share: &mut Share, now: Instant) {
        if share.window_is_over(now) {
            // Each has its window: all are asked.
            let little = self.outbound.iter_mut().fold(false, |any, of| of.end_window() | any);
            share.review(little, now);
        }
    }

    /// Takes what is due and what has arrived; returns whether there may be more.
    fn take_packets(&mut self, now: Instant) -> bool {
        if self.held {
            return false;
        }
        self.run_timers(now);
        self.read_wire(now) | self.read_tuns(now)
    }

    /// Tells of a step of the wall clock: access ends by it, and time stamps follow it forward.
    fn follow_wall(&mut self, now: Instant) {
        if now.saturating_duration_since(self.wall_checked) < WALL_CHECK {
            return;
        }
        self.wall_checked = now;
        let ahead = clock::wall_ahead(now);
        if clock::was_set(self.wall_ahead, ahead) {
            self.wall_ahead = ahead;
            let wall = ahead + now.saturating_duration_since(Instant::ZERO);
            for station in &mut self.stations {
                station.endpoint.adjust_wall(wall, now);
            }
        }
    }

    fn run_timers(&mut self, now: Instant) {
        for station in 0..self.stations.len() {
            let due = self.stations[station].endpoint.poll_timeout(now);
            if due.is_some_and(|(at, _)| at <= now) {
                self.input(station, now, |endpoint, io| endpoint.handle_timeout(now, io));
            }
        }
    }

    /// Hands over datagrams that are due; returns whether there may be more.
    fn read_wire(&mut self, now: Instant) -> bool {
        let mut more = false;
        for station in 0..self.stations.len() {
            for turn in 1..=WIRE_BATCHES {
                let Some(batch) = self.wire.receive(station, now) else { break };
                let Station { endpoint, tun } = &mut self.stations[station];
                let written = tun.counters().writes;
                let mut io = Io { send: &mut self.send, host: tun };
                endpoint.handle_network(batch, now, &mut io);
                if tun.counters().writes > written {
                    self.outbound[station].expect_answer();
                }
                self.drain(station, now);
                more |= turn == WIRE_BATCHES;
            }
        }
        more
    }

    /// Sends on what the hosts send; returns whether there is more.
    fn read_tuns(&mut self, now: Instant) -> bool {
        let mut more = false;
        for number in 0..self.stations.len() {
            let failed = self.outbound[number].read(&mut self.stations[number].tun);
            if let Some(error) = failed {
                let error = error.to_string();
                self.held_events.push_back(LoopEvent::TunFailed { station: number, error });
            }
            let mut budget = outbound::TURN_BYTES;
            loop {
                let (outbound, station) = (&mut self.outbound[number], &mut self.stations[number]);
                if !outbound.serve(station, &mut self.send, &mut budget, now) {
                    break;
                }
                self.drain(number, now);
            }
            more |= self.outbound[number].has_more();
        }
        more
    }

    /// Applies commands; returns whether there may be more.
    fn apply_commands(&mut self, now: Instant) -> bool {
        for _ in 0..COMMANDS_A_TURN {
            let Ok((station, order)) = self.commands.try_recv() else { return false };
            let known = station < self.stations.len();
            let misdirected = !known || !self.follow(station, order, now);
            self.counters.misdirected.fetch_add(u64::from(misdirected), Ordering::Relaxed);
        }
        true
    }

    /// Returns whether the endpoint knows the command.
    fn follow(&mut self, station: usize, order: Order, now: Instant) -> bool {
        let mut known = true;
        match order {
            Order::Command(command) => {
                if command.is_network_change() {
                    self.tell_addresses(station, now);
                }
                self.input(station, now, |endpoint, io| {
                    known = endpoint.handle_command(*command, now, io).is_ok();
                });
            }
            Order::Replace(endpoint) => self.stations[station].endpoint = endpoint,
            Order::Begin(state, told) => {
                let begun = self.begin(station, state, now);
                // Whoever asked may have given up.
                let _ = told.try_send(begun);
            }
        }
        known
    }

    fn begin(&mut self, station: usize, state: Option<State>, now: Instant) -> Begun {
        self.held = false;
        let State { bytes, exported } = state?;
        let since = now.saturating_duration_since(exported);
        Some(self.stations[station].endpoint.import_state(&bytes, since, now))
    }

    /// Tells an endpoint where this host may be reached. One that cannot be asked has no addresses that
    /// anybody could be told.
    fn tell_addresses(&mut self, station: usize, now: Instant) {
        if let Some(addresses) = self.wire.host_addresses() {
            self.input(station, now, |endpoint, io| {
                endpoint.handle_host_addresses(&addresses, now, io);
            });
        }
    }

    fn read_dns(&mut self, now: Instant) {
        while let Some(answer) = self.dns.poll() {
            let response = answer.response.as_deref();
            self.input(answer.station, now, |endpoint, io| {
                endpoint.handle_dns_response(answer.id, response, now, io);
            });
        }
    }

    /// Gives one input to an endpoint, then drains it.
    fn input(
        &mut self,
        station: usize,
        now: Instant,
        give: impl FnOnce(&mut dyn Endpoint, &mut Io<'_>),
    ) {
        let Station { endpoint, tun } = &mut self.stations[station];
        give(endpoint.as_mut(), &mut Io { send: &mut self.send, host: tun });
        self.drain(station, now);
    }

    fn drain(&mut self, station: usize, now: Instant) {
        if !self.send.is_empty() {
            self.wire.send(station, &self.send, now);
            self.send.clear();
            if let Some(error) = self.wire.take_error() {
                let event = LoopEvent::SendFailed { station, error: error.to_string() };
                self.held_events.push_back(event);
            }
        }
        while let Some(query) = self.stations[station].endpoint.poll_dns() {
            self.dns.ask(station, query);
        }
    }

    /// Moves events up while the queue has room. What does not fit stays in the endpoints.
    fn hand_up_events(&mut self) {
        let mut woken = false;
        for station in 0..self.stations.len() {
            loop {
                let endpoint = &mut self.stations[station].endpoint;
                let next = self.held_events.pop_front();
                let next =
                    next.or_else(|| endpoint.poll_event().map(|e| LoopEvent::Endpoint(station, e)));
                let Some(event) = next else { break };
                match self.events.try_send(event) {
                    Ok(()) => woken = true,
                    Err(TrySendError::Full(event)) => {
                        self.held_events.push_front(event);
                        break;
                    }
                    Err(TrySendError::Disconnected(_)) => break,
                }
            }
        }
        if woken {
            self.orchestration.wake();
        }
    }

    fn publish_counters(&mut self) {
        for (station, counters) in self.counters.stations.iter().enumerate() {
            let tun = self.stations[station].tun.counters();
            let udp = self.wire.counters();
            let dropped = self.wire.dropped(station);
            for (counter, value) in [
                (&counters.tun_read, tun.read),
                (&counters.tun_written, tun.written),
                (&counters.tun_refused, tun.refused),
                (&counters.tun_read_calls, tun.reads),
                (&counters.tun_write_calls, tun.writes),
                (&counters.datagrams_dropped, dropped),
                (&counters.datagrams_sent, udp.sent),
                (&counters.datagrams_received, udp.received),
                (&counters.udp_send_calls, udp.sends),
                (&counters.udp_receive_calls, udp.receives),
            ] {
                counter.store(value, Ordering::Relaxed);
            }
        }
        self.counters.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Asks what has arrived, and waits for it unless there is `more` to do; returns whether somebody
    /// woke the thread.
    fn wait(&mut self, more: bool, now: Instant) -> bool {
        let wait = if more { Duration::ZERO } else { self.time_left(now) };
        let sleeper = self.sleeper.as_fd();
        // Room for a laboratory's stations: nothing is allocated on the way to sleep.
        let mut fds: SmallVec<[PollFd<'_>; 8]> = SmallVec::new();
        fds.push(readable(sleeper));
        if !self.held {
            let tuns = self.stations.iter().zip(&self.outbound);
            // A device that failed would wake the thread for ever; its place is taken by the sleeper.
            let tuns = tuns.map(
                |(of, outbound)| {
                    if outbound.has_failed() { sleeper } else { of.tun.as_fd() }
                },
            );
            fds.extend(tuns.map(readable));
            fds.extend(self.wire.fds().map(readable));
        }
        // An interrupted wait is a short one.
        let _ = ppoll(&mut fds, Some(TimeSpec::from_duration(wait)), None);
        let ready: SmallVec<[bool; 8]> =
            fds.iter().map(|fd| fd.revents().is_some_and(|of| !of.is_empty())).collect();
        drop(fds);
        for (outbound, is_ready) in self.outbound.iter_mut().zip(ready.iter().skip(1)) {
            outbound.set_readable(*is_ready);
        }
        for (socket, is_ready) in ready.iter().skip(1 + self.stations.len()).enumerate() {
            if *is_ready {
                self.wire.set_ready(socket);
            }
        }
        ready[0]
    }

    /// How long nothing falls due.
    fn time_left(&self, now: Instant) -> Duration {
        if self.held {
            return LONGEST_SLEEP;
        }
        let endpoints = self.stations.iter().filter_map(|s| s.endpoint.poll_timeout(now));
        let due = endpoints.map(|(at, _)| at).chain(self.wire.poll_timeout()).min();
        let wait = due.map_or(LONGEST_SLEEP, |at| at.saturating_duration_since(now));
        wait.min(LONGEST_SLEEP)
    }
}

fn readable(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::new(fd, PollFlags::POLLIN)
}
