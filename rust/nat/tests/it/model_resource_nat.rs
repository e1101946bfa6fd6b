//! A naive model of one entry of the Client's side, in ticks of 100 ms: what R01-R04 and R06-R08
//! say, written as a table of facts instead of timers.

/// What a packet meets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Hold,
    Pass,
    Refuse,
}

/// What a Gateway says: yes or no, counts, whether it is an older answer, `ttl`, and of which
/// handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) yes: bool,
    pub(crate) counts: [Option<u32>; 2],
    pub(crate) stale: bool,
    pub(crate) ttl: u64,
    pub(crate) id: Option<u64>,
}

pub(crate) struct Model {
    floor: u64,
    pub(crate) states: [State; 2],
    since: [u64; 2],
    counts: [Option<u32>; 2],
    id: u64,
    started: u64,
    looked: u64,
    sends: u32,
    open: bool,
    answered: bool,
    quiet_until: u64,
    retry_at: Option<u64>,
    retry_after: u64,
    tell_on_use: bool,
    used: u64,
    /// (tick, id) of each message.
    pub(crate) sent: Vec<(u64, u64)>,
    pub(crate) released: [u32; 2],
    pub(crate) given_up: [u32; 2],
}

impl Model {
    pub(crate) fn new(floor: u64, now: u64) -> Self {
        let mut model = Self {
            floor,
            states: [State::Hold; 2],
            since: [now; 2],
            counts: [None; 2],
            id: 0,
            started: now,
            looked: now,
            sends: 0,
            open: false,
            answered: false,
            quiet_until: now,
            retry_at: None,
            retry_after: 50,
            tell_on_use: false,
            used: now,
            sent: Vec::new(),
            released: [0; 2],
            given_up: [0; 2],
        };
        model.ask(now);
        model
    }

    fn ask(&mut self, now: u64) {
        self.id += 1;
        (self.started, self.looked, self.sends) = (now, now, 1);
        (self.open, self.answered, self.tell_on_use) = (true, false, false);
        self.sent.push((now, self.id));
    }

    fn works(&self) -> bool {
        self.states.contains(&State::Pass)
    }

    fn waits(&self) -> bool {
        self.open && !self.answered
    }

    fn again(&mut self, family: usize, now: u64) -> bool {
        let due = self.states[family] == State::Refuse && now >= self.since[family] + 50;
        if due {
            (self.states[family], self.since[family]) = (State::Hold, now);
        }
        due
    }

    pub(crate) fn query(&mut self, now: u64) {
        self.used = now;
        let revived = [self.again(0, now), self.again(1, now)].contains(&true);
        let fresh = self.works() && now >= self.quiet_until;
        let told = self.tell_on_use && self.states != [State::Refuse; 2];
        if told || (!self.waits() && (revived || fresh)) {
            self.ask(now);
        }
    }

    pub(crate) fn packet(&mut self, family: usize, now: u64) -> State {
        self.used = now;
        if self.tell_on_use {
            self.ask(now);
        }
        if self.again(family, now) && !self.waits() {
            self.ask(now);
        }
        self.states[family]
    }

    pub(crate) fn said(&mut self, said: Said, now: u64) {
        let older = said.id.is_some_and(|id| id < self.id);
        let echoes = said.id.is_some();
        if (older && !said.yes) || (!echoes && !said.yes && !self.waits()) {
            return;
        }
        for family in 0..2 {
            let count = said.counts[family];
            let yes = match (said.yes, echoes) {
                (false, _) => Some(false),
                (true, false) => Some(true),
                (true, true) => count.map(|count| count > 0).filter(|yes| *yes || !older),
            };
            let Some(yes) = yes else { continue };
            if !older && said.yes {
                self.counts[family] = count;
            }
            match (yes, self.states[family]) {
                (_, State::Pass) => continue,
                (true, _) => {
                    self.states[family] = State::Pass;
                    self.released[family] += 1;
                }
                (false, State::Hold) => {
                    self.states[family] = State::Refuse;
                    self.given_up[family] += 1;
                }
                (false, State::Refuse) => {}
            }
            self.since[family] = now;
        }
        if older {
            return;
        }
        self.answered = true;
        self.open = self.open && self.states.contains(&State::Hold);
        self.quiet_until = if self.floor == 0 { now } else { now + self.floor.max(said.ttl * 10) };
        let empty =
            (0..2).all(|one| self.states[one] != State::Pass || self.counts[one] == Some(0));
        if self.works() {
            if !said.yes || said.stale || empty {
                self.fail(now);
            } else {
                (self.retry_at, self.retry_after) = (None, 50);
            }
        }
    }

    fn fail(&mut self, now: u64) {
        if self.retry_at.is_none() && !self.tell_on_use {
            self.retry_at = Some(now + self.retry_after);
        }
    }

    /// Time passes to `now` with one look at the end.
    pub(crate) fn look(&mut self, now: u64) {
        if self.open {
            self.look_at_handshake(now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if now - self.used > 3000 {
                self.tell_on_use = true;
            } else {
                self.retry_after = (self.retry_after * 2).min(3000);
                if !self.waits() {
                    self.ask(now);
                }
            }
        }
        self.looked = now;
    }

    fn look_at_handshake(&mut self, now: u64) {
        let mut gave_up = false;
        for family in 0..2 {
            if self.states[family] == State::Hold && now >= self.since[family] + 600 {
                gave_up = true;
                (self.states[family], self.since[family]) = (State::Refuse, now);
                self.given_up[family] += 1;
            }
        }
        let due = |after: u64| (self.looked..=now).contains(&after) && after > self.looked;
        let times = [5, 15, 35, 75].into_iter().chain((0..100).map(|more| 155 + 80 * more));
        let missed = times.filter(|offset| due(self.started + offset)).count();
        if missed == 0 && !gave_up {
            return;
        }
        let spent = self.sends >= 5 || now - self.started >= 155;
        if !self.states.contains(&State::Hold) && spent {
            self.open = false;
            if !self.answered && self.works() {
                self.fail(now);
            }
        } else if missed > 0 {
            self.sends += u32::try_from(missed).unwrap();
            self.sent.push((now, self.id));
        }
    }
}
