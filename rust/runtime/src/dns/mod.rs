//! Sockets for forwarded DNS, on a thread of their own: a slow server delays no packet.
//!
//! Owns one [`exchange::Exchange`] per query under way. UDP: a fresh socket and so a random port per
//! query. TCP: one connection per query. Each gives up after [`TIMEOUT`]; more than [`OUTSTANDING`]
//! at once are answered "none" (dataplane §3.3).

mod exchange;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use polling::{Event, Events, PollMode, Poller};
use tunnel::DnsTransmit;

use crate::namespace;
use crate::wake::Waker;
use exchange::{Exchange, Progress};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Queries under way at once.
const OUTSTANDING: usize = 1000;

/// An answer, or that there was none.
#[derive(Debug)]
pub(crate) struct DnsAnswer {
    /// Which endpoint asked.
    pub(crate) station: usize,
    /// [`DnsTransmit::id`].
    pub(crate) id: u64,
    /// The message.
    pub(crate) response: Option<Vec<u8>>,
}

type Question = (usize, DnsTransmit);

/// The handle of the thread.
#[derive(Debug)]
pub(crate) struct DnsForwarder {
    questions: SyncSender<Question>,
    answers: Receiver<DnsAnswer>,
    refused: Sender<DnsAnswer>,
    poller: Arc<Poller>,
    waker: Waker,
}

impl DnsForwarder {
    /// Starts the thread, whose sockets live in the network namespace at `namespace`. `waker` is
    /// woken whenever an answer waits. The thread ends with this handle.
    ///
    /// # Errors
    /// What the kernel returned for the poller or the thread.
    pub(crate) fn start(namespace: Option<PathBuf>, waker: Waker) -> io::Result<Self> {
        let (questions, asked) = mpsc::sync_channel(OUTSTANDING);
        let (answered, answers) = mpsc::channel();
        // Told to the caller at once, not to the first query.
        namespace::inside(namespace.as_deref(), || Ok(()))?;
        let poller = Arc::new(Poller::new()?);
        let forwarding = Forwarding {
            asked,
            answered: answered.clone(),
            poller: Arc::clone(&poller),
            waker: waker.clone(),
            under_way: Vec::new(),
        };
        let thread = thread::Builder::new().name("fz-dns".to_owned());
        thread.spawn(move || forwarding.run(namespace))?;
        Ok(Self { questions, answers, refused: answered, poller, waker })
    }

    /// Asks; with too many queries under way the answer is "none" at once.
    pub(crate) fn ask(&self, station: usize, query: DnsTransmit) {
        let id = query.id;
        if self.questions.try_send((station, query)).is_err() {
            let _ = self.refused.send(DnsAnswer { station, id, response: None });
            self.waker.wake();
        }
        let _ = self.poller.notify();
    }

    /// The next answer.
    pub(crate) fn poll(&self) -> Option<DnsAnswer> {
        self.answers.try_recv().ok()
    }
}

struct UnderWay {
    station: usize,
    id: u64,
    deadline: Instant,
    exchange: Exchange,
}

struct Forwarding {
    asked: Receiver<Question>,
    answered: Sender<DnsAnswer>,
    poller: Arc<Poller>,
    waker: Waker,
    under_way: Vec<Option<UnderWay>>,
}

impl Forwarding {
    fn run(mut self, namespace: Option<PathBuf>) {
        if namespace.is_some_and(|path| namespace::enter(&path).is_err()) {
            return;
        }
        let mut events = Events::new();
        loop {
            let wait = self.next_deadline().map(|at| at.saturating_duration_since(Instant::now()));
            events.clear();
            if self.poller.wait(&mut events, wait).is_err() {
                return;
            }
            for event in events.iter() {
                self.advance(event.key);
            }
            self.expire();
            loop {
                match self.asked.try_recv() {
                    Ok(question) => self.begin(question),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.under_way.iter().flatten().map(|entry| entry.deadline).min()
    }

    fn begin(&mut self, (station, query): Question) {
        let id = query.id;
        let Ok(exchange) = Exchange::begin(&query) else {
            return self.answer(station, id, None);
        };
        let entry = UnderWay { station, id, deadline: Instant::now() + TIMEOUT, exchange };
        let key = match self.under_way.iter().position(Option::is_none) {
            Some(free) => free,
            None if self.under_way.len() < OUTSTANDING => {
                self.under_way.push(None);
                self.under_way.len() - 1
            }
            None => return self.answer(station, id, None),
        };
        let interest = Event::all(key);
        if entry.exchange.register(&self.poller, interest).is_err() {
            return self.answer(station, id, None);
        }
        self.under_way[key] = Some(entry);
    }

    fn advance(&mut self, key: usize) {
        let Some(Some(entry)) = self.under_way.get_mut(key) else { return };
        match entry.exchange.advance() {
            Ok(Progress::Wait { write }) => {
                let interest = Event::new(key, true, write);
                let _ = entry.exchange.rearm(&self.poller, interest);
            }
            Ok(Progress::Done(response)) => self.finish(key, Some(response)),
            Err(_) => self.finish(key, None),
        }
    }

    fn expire(&mut self) {
        let now = Instant::now();
        for key in 0..self.under_way.len() {
            if self.under_way[key].as_ref().is_some_and(|entry| entry.deadline <= now) {
                self.finish(key, None);
            }
        }
    }

    fn finish(&mut self, key: usize, response: Option<Vec<u8>>) {
        if let Some(entry) = self.under_way[key].take() {
            entry.exchange.deregister(&self.poller);
            self.answer(entry.station, entry.id, response);
        }
    }

    fn answer(&mut self, station: usize, id: u64, response: Option<Vec<u8>>) {
        let _ = self.answered.send(DnsAnswer { station, id, response });
        self.waker.wake();
    }
}

/// Registration mode: one report, then armed again.
const MODE: PollMode = PollMode::Oneshot;
