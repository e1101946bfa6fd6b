//! Two tunnels in virtual time, and what lies between them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aead::{Choice, Cipher};
use packet::{Class, Instant, SendBuffer};
use wireguard::{
    BACK, Checked, Entropy, Event, FRONT, INITIATION, Kind, Node, NotReady, Opened, PresharedKey,
    PrivateKey, Profile, Tunnel,
};

pub(crate) const START: Instant = Instant::from_nanos(1_000_000_000_000);
pub(crate) const WALL: Duration = Duration::from_secs(1_700_000_000);
pub(crate) const SOURCE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 51820);

/// Numbers that repeat with their seed (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A profile without jitter, so that every row acts at an exact instant.
pub(crate) const fn exact(profile: Profile) -> Profile {
    Profile { rekey_jitter: Duration::ZERO, ..profile }
}

pub(crate) fn private(of: u8) -> PrivateKey {
    PrivateKey::clamped([of; 32])
}

/// One end: a node with a single peer, and what it has seen.
pub(crate) struct End {
    pub(crate) node: Node,
    pub(crate) tunnel: Tunnel,
    pub(crate) events: Vec<Event>,
    /// Packets that came out, padding included.
    pub(crate) packets: Vec<Vec<u8>>,
    /// Messages sent, by type: 1 to 4 at their own place.
    pub(crate) sent: [u32; 5],
    pub(crate) opened: Opened,
}

impl End {
    pub(crate) fn new(own: u8, peer: u8, psk: Option<[u8; 32]>, profile: Profile) -> Self {
        Self::with_cipher(own, peer, psk, profile, Cipher::new(Choice::Auto))
    }

    pub(crate) fn with_cipher(
        own: u8,
        peer: u8,
        psk: Option<[u8; 32]>,
        profile: Profile,
        cipher: Cipher,
    ) -> Self {
        let node =
            Node::new(private(own), Entropy::new([own; 32]), WALL, START).with_cipher(cipher);
        let psk = psk.map(PresharedKey::from_bytes);
        let entropy = Entropy::new([own ^ 0x80; 32]);
        let peer = private(peer).public_key();
        let connection = 0x10_0000 + u32::from(own);
        let tunnel = Tunnel::new(&node, peer, psk, profile, connection, entropy).unwrap();
        Self {
            node,
            tunnel,
            events: Vec::new(),
            packets: Vec::new(),
            sent: [0; 5],
            opened: Opened::default(),
        }
    }

    /// Everything that has to be sent now; notes events.
    pub(crate) fn drain(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut messages = Vec::new();
        loop {
            while let Some(event) = self.tunnel.poll_event() {
                self.events.push(event);
            }
            let mut out = [0; INITIATION];
            let Some(len) = self.tunnel.poll_transmit(&mut out, now) else { return messages };
            self.sent[usize::from(out[0])] += 1;
            messages.push(out[..len].to_vec());
        }
    }

    /// Seals packets of equal length as one run.
    pub(crate) fn seal(
        &mut self,
        packets: &[&[u8]],
        now: Instant,
    ) -> Result<Vec<Vec<u8>>, NotReady> {
        let padded = self.tunnel.padded_len(packets[0].len());
        let len = FRONT + padded + BACK;
        let mut buffer = SendBuffer::new(len * packets.len(), 1);
        let mut run =
            buffer.open_run(SOURCE, 0, Class::Data, packets.len(), len, len).expect("room");
        for (i, packet) in packets.iter().enumerate() {
            let slot = run.slot(i);
            slot.fill(0);
            slot[FRONT..FRONT + packet.len()].copy_from_slice(packet);
        }
        self.tunnel.seal_batch(&mut run, now)?;
        run.commit();
        self.sent[4] += packets.len() as u32;
        let sealed: Vec<u8> = buffer.iter().flat_map(|(_, bytes)| bytes.to_vec()).collect();
        Ok(sealed.chunks(len).map(<[u8]>::to_vec).collect())
    }

    /// Gives a datagram the way that `connection` gives it; `Err` has what it was refused for.
    pub(crate) fn receive(&mut self, datagram: &[u8], now: Instant) -> Result<(), String> {
        let mut reply = [0; 64];
        match self.node.check(SOURCE, datagram, now, &mut reply) {
            Checked::Pass => {}
            other => return Err(format!("{other:?}")),
        }
        match wireguard::classify(datagram) {
            None => Err("no message".into()),
            Some(Kind::Initiation) => {
                let initiation =
                    self.node.read_initiation(datagram).map_err(|e| format!("{e:?}"))?;
                self.tunnel.handle_initiation(initiation, now).map_err(|e| format!("{e:?}"))
            }
            Some(Kind::Response(_)) => {
                self.tunnel.handle_response(datagram, now).map_err(|e| format!("{e:?}"))
            }
            Some(Kind::CookieReply(_)) => {
                self.tunnel.handle_cookie_reply(datagram, now).map_err(|e| format!("{e:?}"))
            }
            Some(Kind::Data(_)) => self.open(datagram, now),
        }
    }

    fn open(&mut self, datagram: &[u8], now: Instant) -> Result<(), String> {
        let mut buffer = datagram.to_vec();
        let mut ranges = Vec::new();
        let whole = [(0, buffer.len() as u32)];
        let opened = self.tunnel.open_batch(&mut buffer, &whole, &mut ranges, now);
        self.opened.accepted += opened.accepted;
        self.opened.refused += opened.refused;
        self.opened.replayed += opened.replayed;
        for (start, len) in ranges {
            self.packets.push(buffer[start as usize..(start + len) as usize].to_vec());
        }
        if opened.accepted == 1 { Ok(()) } else { Err(format!("{opened:?}")) }
    }

    pub(crate) fn is_ready(&self, now: Instant) -> bool {
        self.tunnel.is_ready(now)
    }
}

/// What the path does with a datagram: the delays of its copies; none: it is lost.
pub(crate) type Path = dyn FnMut(usize, &[u8]) -> Vec<Duration>;

/// A path that delivers everything 10 ms later.
pub(crate) fn good() -> Box<Path> {
    Box::new(|_, _| vec![Duration::from_millis(10)])
}

/// Two ends, a path and the time.
pub(crate) struct Pair {
    pub(crate) ends: [End; 2],
    pub(crate) now: Instant,
    pub(crate) path: Box<Path>,
    /// On their way: when, to whom, in which order sent, what.
    flying: Vec<(Instant, usize, u64, Vec<u8>)>,
    number: u64,
}

impl Pair {
    pub(crate) fn new(profile: Profile) -> Self {
        Self::with(profile, profile, Some([7; 32]), Some([7; 32]))
    }

    pub(crate) fn with(
        a: Profile,
        b: Profile,
        psk_a: Option<[u8; 32]>,
        psk_b: Option<[u8; 32]>,
    ) -> Self {
        let ends = [End::new(1, 2, psk_a, a), End::new(2, 1, psk_b, b)];
        Self { ends, now: START, path: good(), flying: Vec::new(), number: 0 }
    }

    /// A pair with a session that end 0 began, confirmed at both ends.
    pub(crate) fn established(profile: Profile) -> Self {
        Self::new(profile).establish()
    }

    /// The same, each end with a cipher of its own.
    pub(crate) fn with_ciphers(profile: Profile, [a, b]: [Cipher; 2]) -> Self {
        let ends =
            [End::with_cipher(1, 2, None, profile, a), End::with_cipher(2, 1, None, profile, b)];
        Self { ends, ..Self::new(profile) }.establish()
    }

    fn establish(self) -> Self {
        let mut pair = self;
        pair.ends[0].tunnel.initiate(pair.now);
        pair.run(Duration::from_millis(100));
        assert!(pair.ends[0].is_ready(pair.now) && pair.ends[1].is_ready(pair.now));
        pair
    }

    /// Puts a datagram of `from` on the path.
    pub(crate) fn send(&mut self, from: usize, datagram: &[u8]) {
        for delay in (self.path)(from, datagram) {
            self.number += 1;
            self.flying.push((self.now + delay, 1 - from, self.number, datagram.to_vec()));
        }
    }

    /// Sends one packet if there is a session, and says so if there is none.
    pub(crate) fn say(&mut self, from: usize, packet: &[u8]) -> bool {
        self.flush();
        match self.ends[from].seal(&[packet], self.now) {
            Ok(sealed) => {
                self.send(from, &sealed[0]);
                self.flush();
                true
            }
            Err(NotReady) => {
                self.ends[from].tunnel.want_session(self.now);
                self.flush();
                false
            }
        }
    }

    /// Sends what the tunnels want to send.
    pub(crate) fn flush(&mut self) {
        for from in 0..2 {
            for message in self.ends[from].drain(self.now) {
                self.send(from, &message);
            }
        }
    }

    /// Lets time pass, with everything that happens meanwhile.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        self.flush();
        loop {
            let arrival = self.flying.iter().map(|of| (of.0, of.2)).min();
            let timer = |end: &End| end.tunnel.poll_timeout().map(|(at, _)| at);
            let timers = self.ends.iter().filter_map(timer);
            let next = timers.chain(arrival.map(|of| of.0)).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            for end in &mut self.ends {
                end.tunnel.handle_timeout(self.now);
            }
            if let Some(due) = arrival.filter(|of| of.0 <= self.now) {
                let at = self.flying.iter().position(|of| (of.0, of.2) == due).unwrap();
                let (_, to, _, datagram) = self.flying.swap_remove(at);
                let _ = self.ends[to].receive(&datagram, self.now);
            }
            self.flush();
        }
        self.now = until;
    }

    /// Checks that packets pass both ways right now.
    pub(crate) fn talk(&mut self) {
        for from in [0, 1] {
            let packet = vec![from as u8 + 1; 100];
            assert!(self.say(from, &packet), "end {from} has a session");
            self.run(Duration::from_millis(20));
            let got = self.ends[1 - from].packets.last().expect("the packet arrived");
            assert_eq!(got[..100], packet);
        }
    }
}
