//! The packet buffer against lists that are searched from end to end, and its promise of fairness.

use std::collections::BTreeMap;
use std::time::Duration;

use nat::buffer::{Limits, PacketBuffer, PushError, QueueId, Stored};
use packet::{Instant, TcpFlags};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::buffer::{drain, tcp, udp};

const LIMITS: Limits = Limits {
    entry_bytes: 4000,
    entry_packets: 24,
    total_bytes: 9000,
    total_packets: 60,
    max_age: Duration::from_secs(60),
};

#[derive(Clone, Debug)]
enum Packet {
    Udp(u16, usize),
    Segment(u16, u32),
    Syn(u16, u32, u16, usize),
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Udp(port, len) => udp(port, len),
            Self::Segment(port, sequence) => tcp(port, sequence, TcpFlags::ACK, 9, b"segment"),
            Self::Syn(port, sequence, window, len) => {
                tcp(port, sequence, TcpFlags::SYN, window, &vec![1; len])
            }
        }
    }

    fn flow(&self) -> (u8, u16) {
        match self {
            Self::Udp(port, _) => (17, *port),
            Self::Segment(port, _) | Self::Syn(port, ..) => (6, *port),
        }
    }

    /// Whether this one, coming later, is held with `first`.
    fn is_again(&self, first: &Self) -> bool {
        match (self, first) {
            (Self::Syn(port, sequence, ..), Self::Syn(other, held, ..)) => {
                (port, sequence) == (other, held)
            }
            (Self::Segment(..), Self::Segment(..)) => self.bytes() == first.bytes(),
            _ => false,
        }
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (0..4_u16, prop_oneof![28..200_usize, Just(1280)]).prop_map(|(p, len)| Packet::Udp(p, len)),
        (0..3_u16, 0..4_u32).prop_map(|(port, sequence)| Packet::Segment(port, sequence)),
        (0..3_u16, 0..2_u32, 0..3_u16, prop_oneof![Just(0_usize), 0..600_usize])
            .prop_map(|(port, seq, window, len)| Packet::Syn(port, seq, window, len)),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Push(usize, Packet),
    Pop(usize),
    Clear(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0..4_usize, packet()).prop_map(|(queue, packet)| Step::Push(queue, packet)),
        6 => (0..4_usize).prop_map(Step::Pop),
        1 => (0..4_usize).prop_map(Step::Clear),
        2 => (1..30_u64).prop_map(Step::Wait),
    ]
}

type Held = Vec<(Packet, Instant)>;

#[derive(Default)]
struct Model(BTreeMap<usize, Held>);

impl Model {
    fn sum(&self, is: impl Fn(usize, &Packet) -> bool) -> (usize, usize) {
        let all =
            self.0.iter().flat_map(|(queue, held)| held.iter().map(move |(p, _)| (*queue, p)));
        let held = all.filter(|(queue, packet)| is(*queue, packet));
        held.fold((0, 0), |(bytes, n), (_, packet)| (bytes + packet.bytes().len(), n + 1))
    }

    fn admit(&self, queue: usize, packet: &Packet, more: (usize, usize)) -> Result<(), PushError> {
        let of_queue = self.sum(|of, _| of == queue);
        let of_flow = self.sum(|of, held| of == queue && held.flow() == packet.flow());
        let total = self.sum(|_, _| true);
        let over = |held: &[(usize, usize)], bytes, packets| {
            let after = held.iter().map(|share| (share.0 + more.0, share.1 + more.1));
            let sum = after.fold((0, 0), |sum, share| (sum.0 + share.0, sum.1 + share.1));
            (sum.0 > bytes, sum.1 > packets)
        };
        let fair = over(&[of_flow, of_queue], LIMITS.entry_bytes, LIMITS.entry_packets);
        let fits = of_queue.0 + more.0 <= LIMITS.entry_bytes;
        match (fair, of_flow.1 == 0 || !fits) {
            ((true, _), true) => return Err(PushError::EntryBytes),
            ((_, true), true) if of_flow.1 == 0 => return Err(PushError::EntryPackets),
            ((true, _) | (_, true), _) => return Err(PushError::FlowShare),
            _ => {}
        }
        let all = over(&[total], LIMITS.total_bytes, LIMITS.total_packets);
        let fair = over(&[of_queue, total], LIMITS.total_bytes, LIMITS.total_packets);
        match (all, fair) {
            ((true, _) | (_, true), _) => Err(PushError::Total),
            (_, (true, _) | (_, true)) if of_queue.1 == 0 => Err(PushError::Total),
            (_, (true, _) | (_, true)) => Err(PushError::EntryShare),
            _ => Ok(()),
        }
    }

    fn push(&mut self, queue: usize, packet: &Packet, now: Instant) -> Result<Stored, PushError> {
        let held = self.0.entry(queue).or_default();
        let found = held.iter().position(|(first, _)| packet.is_again(first));
        if let Some(at) = found {
            let (old, new) = (held[at].0.bytes(), packet.bytes());
            let longer = new.len().saturating_sub(old.len());
            let fits = longer == 0 || self.admit(queue, packet, (longer, 0)).is_ok();
            if old == new || !fits {
                return Ok(Stored::Duplicate);
            }
            self.0.entry(queue).or_default()[at].0 = packet.clone();
            return Ok(Stored::Replaced);
        }
        self.admit(queue, packet, (packet.bytes().len(), 1))?;
        self.0.entry(queue).or_default().push((packet.clone(), now));
        Ok(Stored::New)
    }
}

/// Drops what is too old from both, and compares what is told of it.
fn expire(buffer: &mut PacketBuffer, model: &mut Model, queues: &[QueueId], now: Instant) {
    while buffer.poll_timeout().is_some_and(|(when, _)| when <= now) {
        buffer.handle_timeout(now);
    }
    while let Some(queue) = buffer.poll_expired() {
        let mut told = 0;
        buffer.drop_expired(queue, now, |_| told += 1);
        let of = queues.iter().position(|other| *other == queue).expect("a queue");
        let held = model.0.entry(of).or_default();
        let before = held.len();
        held.retain(|(_, arrival)| *arrival + LIMITS.max_age > now);
        assert!(before > held.len() && told <= before - held.len());
    }
    assert!(model.0.values().flatten().all(|(_, arrival)| *arrival + LIMITS.max_age > now));
}

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig {
        cases: 200,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(6))]

    #[test]
    fn r09_r11_r13_r14_the_buffer_does_as_the_model(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let (mut buffer, mut model) = (PacketBuffer::new(LIMITS, 1), Model::default());
        let mut now = Instant::ZERO;
        let queues: Vec<QueueId> = (0..4).map(|_| buffer.open(now)).collect();
        for step in steps {
            match step {
                Step::Push(queue, packet) => {
                    let expected = model.push(queue, &packet, now);
                    prop_assert_eq!(buffer.push(queues[queue], &packet.bytes(), now), expected);
                }
                Step::Pop(queue) => {
                    let held = model.0.entry(queue).or_default();
                    let first = (!held.is_empty()).then(|| held.remove(0).0.bytes());
                    let front = buffer.front(queues[queue]).map(|packet| packet.to_vec());
                    prop_assert_eq!(front, first);
                    buffer.pop(queues[queue]);
                }
                Step::Clear(queue) => {
                    buffer.clear(queues[queue]);
                    model.0.remove(&queue);
                }
                Step::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    expire(&mut buffer, &mut model, &queues, now);
                }
            }
            for (of, queue) in queues.iter().enumerate() {
                let held = buffer.held(*queue).unwrap();
                prop_assert_eq!((held.bytes, held.packets), model.sum(|other, _| other == of));
                prop_assert_eq!(buffer.flows(*queue).count(), held.flows);
            }
        }
        for (of, queue) in queues.iter().enumerate() {
            let held = model.0.entry(of).or_default();
            let expected: Vec<_> = held.iter().map(|(packet, _)| packet.bytes()).collect();
            prop_assert_eq!(drain(&mut buffer, *queue), expected);
        }
    }
}

proptest! {
    #![proptest_config(config(7))]

    /// The bound that the documentation of `PacketBuffer` proves, for flows of one queue that take all
    /// they can get in any order.
    #[test]
    fn r13_greedy_flows_leave_the_promised_rest(
        lens in prop::collection::vec((0..5_u16, 28..1281_usize), 1..60),
    ) {
        let limits = Limits { entry_bytes: 20_000, entry_packets: 1000, ..Limits::default() };
        let mut buffer = PacketBuffer::new(limits, 1);
        let queue = buffer.open(Instant::ZERO);
        for (port, len) in &lens {
            let _ = buffer.push(queue, &udp(*port, *len), Instant::ZERO);
        }
        let held = buffer.held(queue).unwrap();
        let rest = limits.entry_bytes - held.bytes;
        prop_assert!(rest >= limits.entry_bytes >> held.flows, "{rest} left by {held:?}");
        let newcomer = (rest / 2).clamp(28, 1280);
        let taken = buffer.push(queue, &udp(99, newcomer), Instant::ZERO);
        prop_assert_eq!(taken.is_ok(), newcomer <= rest / 2);
    }

    /// However the packets of one flow come, a SYN of another finds room behind them.
    #[test]
    fn r13_no_burst_of_one_flow_keeps_a_syn_out(
        lens in prop::collection::vec(28..1281_usize, 1..200),
        entry_bytes in 240..30_000_usize,
        entry_packets in 4..100_usize,
    ) {
        let limits = Limits { entry_bytes, entry_packets, ..Limits::default() };
        let mut buffer = PacketBuffer::new(limits, 1);
        let queue = buffer.open(Instant::ZERO);
        for len in lens {
            let _ = buffer.push(queue, &udp(1, len), Instant::ZERO);
        }
        let syn = tcp(2, 7, TcpFlags::SYN, 9, &[0; 20]);
        prop_assert_eq!(buffer.push(queue, &syn, Instant::ZERO), Ok(Stored::New));
    }
}
