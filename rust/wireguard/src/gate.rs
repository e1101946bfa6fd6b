//! What a handshake message has to pass before anything costly is done for it: MAC1 always, and
//! under load a proof that its source address is real (paper §5.3).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use packet::Instant;
use packet::icmp::TokenBucket;
use subtle::ConstantTimeEq;

use crate::cookie::{COOKIE_LIFE, cookie_key, cookie_of, mac1_key, seal_reply};
use crate::entropy::Entropy;
use crate::kdf::{Secret, mac};
use crate::key::PublicKey;
use crate::wire::{COOKIE_REPLY, Kind, MAC, MACS, classify, read_u32};

/// Handshake messages a second that pass without a proof of their address (dataplane 5.7).
const PER_SECOND: u32 = 100;
/// Interval at which the messages of one proven address pass under load, and how many may come at
/// once.
const SOURCE_INTERVAL: Duration = Duration::from_millis(50);
const SOURCE_BURST: u64 = 5;
/// Sources that are told apart; those that share a place share its rate.
const SOURCES: usize = 1024;

/// What is to be done with a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// Go on with it.
    Pass,
    /// Send this many bytes of the reply to where it came from, and forget it.
    CookieReply(usize),
    /// Forget it.
    Drop(DropReason),
}

/// Why a datagram is forgotten; each is counted, none is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Type or length are none of WireGuard's.
    Malformed,
    /// Whoever sent it does not know this node's public key.
    Mac1,
    /// Under load, and its address has had its share.
    RateLimited,
}

/// How many handshake messages came, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Went on to the costly part.
    pub passed: u64,
    /// Were answered by a cookie.
    pub cookie_replies: u64,
    /// Of no known type or length.
    pub malformed: u64,
    /// Without the right MAC1.
    pub mac1: u64,
    /// Beyond the share of their address.
    pub rate_limited: u64,
}

pub(crate) struct Gate {
    mac1_key: [u8; 32],
    cookie_key: [u8; 32],
    /// Behind the cookies of now, and of the time before: a cookie is good for 120 s at least.
    secrets: [Secret; 2],
    changed: Instant,
    unproven: TokenBucket,
    /// Decides which place a network has, so that nobody can aim at another's.
    places: Secret,
    /// For each place the instant up to which its rate is used up, in nanoseconds.
    sources: Box<[u64; SOURCES]>,
    entropy: Entropy,
    counters: Counters,
}

impl Gate {
    pub(crate) fn new(own: &PublicKey, mut entropy: Entropy, now: Instant) -> Self {
        Self {
            mac1_key: mac1_key(own),
            cookie_key: cookie_key(own),
            secrets: [entropy.draw(), entropy.draw()],
            changed: now,
            unproven: TokenBucket::new(PER_SECOND, PER_SECOND),
            places: entropy.draw(),
            sources: Box::new([0; SOURCES]),
            entropy,
            counters: Counters::default(),
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn check(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        reply: &mut [u8; COOKIE_REPLY],
    ) -> Checked {
        let checked = match classify(datagram) {
            None => Checked::Drop(DropReason::Malformed),
            // Neither has MACs; what they cost is one look-up and one tag.
            Some(Kind::CookieReply(_) | Kind::Data(_)) => return Checked::Pass,
            Some(Kind::Initiation | Kind::Response(_)) => {
                self.check_macs(from, datagram, now, reply)
            }
        };
        *match checked {
            Checked::Pass => &mut self.counters.passed,
            Checked::CookieReply(_) => &mut self.counters.cookie_replies,
            Checked::Drop(DropReason::Malformed) => &mut self.counters.malformed,
            Checked::Drop(DropReason::Mac1) => &mut self.counters.mac1,
            Checked::Drop(DropReason::RateLimited) => &mut self.counters.rate_limited,
        } += 1;
        checked
    }

    fn check_macs(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        now: Instant,
        reply: &mut [u8; COOKIE_REPLY],
    ) -> Checked {
        let body = datagram.len().saturating_sub(MACS);
        let (signed, mac2) = datagram.split_at(datagram.len().saturating_sub(MAC));
        let (body, mac1) = signed.split_at(body.min(signed.len()));
        let expected = mac(&self.mac1_key, &[body]);
        if !bool::from(expected.ct_eq(mac1)) {
            return Checked::Drop(DropReason::Mac1);
        }
        if self.unproven.take(now) {
            return Checked::Pass;
        }
        self.change_secret(now);
        let source = source_bytes(from);
        let proven = self.secrets.each_ref().map(|secret| {
            let cookie = cookie_of(secret, &source);
            mac(&cookie, &[signed]).ct_eq(mac2)
        });
        if bool::from(proven[0] | proven[1]) {
            let share = self.take_share(from.ip(), now);
            return if share { Checked::Pass } else { Checked::Drop(DropReason::RateLimited) };
        }
        let cookie = cookie_of(&self.secrets[0], &source);
        let nonce = self.entropy.draw();
        let receiver = read_u32(datagram, 4);
        let sealed = seal_reply(&self.cookie_key, &nonce, receiver, &expected, &cookie, reply);
        sealed.map_or(Checked::Drop(DropReason::RateLimited), Checked::CookieReply)
    }

    /// Changes the secret every two minutes (paper §5.4.7), when it is next used.
    fn change_secret(&mut self, now: Instant) {
        let age = now - self.changed;
        if age < COOKIE_LIFE {
            return;
        }
        let fresh = self.entropy.draw();
        let before = std::mem::replace(&mut self.secrets[0], fresh);
        self.secrets[1] = if age < COOKIE_LIFE * 2 { before } else { self.entropy.draw() };
        self.changed = now;
    }

    /// Takes from the rate of a proven address; of IPv6 the network of 64 bits counts, which is
    /// what one host has.
    fn take_share(&mut self, from: IpAddr, now: Instant) -> bool {
        let network = match from {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        let place = mac(&self.places, &[&network.to_le_bytes()]);
        let place = usize::from(u16::from_le_bytes([place[0], place[1]])) % SOURCES;
        let (interval, now) = (SOURCE_INTERVAL.as_nanos() as u64, now.as_nanos());
        let used = self.sources[place].max(now);
        if used - now > interval * (SOURCE_BURST - 1) {
            return false;
        }
        self.sources[place] = used.saturating_add(interval);
        true
    }
}

/// The bytes a cookie is bound to: address and port.
fn source_bytes(from: SocketAddr) -> [u8; 18] {
    let mut bytes = [0; 18];
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&from.port().to_be_bytes());
    bytes
}
