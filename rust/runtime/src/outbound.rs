//! What one host sends: read from its TUN device ahead of time, handed to its endpoint flow by flow.

use std::io;

use packet::{Instant, SendBuffer, Train};
use tunnel::{Io, SEND_BUFFER_RUNS};

use crate::event_loop::Station;
use crate::queue::TrainQueue;
use crate::tun::{Left, Tun};

/// Most packets or trains read from the device in a turn.
const READS: usize = 16;
/// Turns in a row that found all they tried to read before more is tried.
const TURNS: u8 = 4;
/// After a write that the host did not answer at once, so many others are taken to be like it.
const DOUBT: u8 = 7;
/// Bytes handed over in a turn, so that what arrives meanwhile does not wait long: some 100 to 200 µs.
pub(crate) const TURN_BYTES: usize = 192 * 1024;
/// Bytes of datagrams that wait for others to be sent with, as long as more packets are there.
pub(crate) const FLUSH_BYTES: usize = 160 * 1024;
/// Runs of datagrams that wait so: packets to many peers take one each.
pub(crate) const FLUSH_RUNS: usize = 64;

/// The way of one station's packets from its device to its endpoint.
#[derive(Debug)]
pub(crate) struct Outbound {
    queue: TrainQueue,
    readable: bool,
    failed: bool,
    /// Packets or trains to be read in this turn.
    reads: usize,
    /// Turns in a row that read as many as they tried.
    full_turns: u8,
    /// Writes after which no answer is looked for, since there was none the last time.
    doubt: u8,
}

impl Outbound {
    pub(crate) fn new() -> Self {
        Self {
            queue: TrainQueue::new(),
            readable: true,
            failed: false,
            reads: 1,
            full_turns: 0,
            doubt: 0,
        }
    }

    /// Whether the device failed, and gives nothing any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether there is something to do without asking the kernel.
    pub(crate) fn has_more(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What the kernel says of the device.
    pub(crate) fn set_readable(&mut self, readable: bool) {
        self.readable = readable;
        if !readable {
            self.full_turns = 0;
        }
    }

    /// A packet was given to the host, which may have answered it by now: the kernel does so before the
    /// write returns, if the answer is its own.
    pub(crate) fn expect_answer(&mut self) {
        if self.readable {
            return;
        }
        (self.readable, self.doubt) = match self.doubt {
            0 => (true, DOUBT),
            doubt => (false, doubt - 1),
        };
    }

    /// Whether a flow sent something since the last call, and no more than a little.
    pub(crate) fn end_window(&mut self) -> bool {
        self.queue.end_window()
    }

    /// Reads what waits in the device, as far as there is room; returns an error the first time.
    ///
    /// To ask a device that has nothing costs as much as to read a packet. So no more is read in a turn
    /// than was there in the last ones, and more is tried only once several turns in a row found all
    /// that they tried. What was left is told of by the next turn's question.
    pub(crate) fn read(&mut self, tun: &mut Tun) -> Option<io::Error> {
        if !self.readable || self.failed {
            return None;
        }
        for read in 0..self.reads {
            let room = self.queue.room()?;
            match tun.read(room) {
                Ok(Some(taken)) => {
                    self.doubt = 0;
                    self.queue.push(taken);
                }
                Ok(None) => {
                    (self.readable, self.reads, self.full_turns) = (false, read.max(1), 0);
                    return None;
                }
                Err(error) => {
                    self.failed = true;
                    return Some(error);
                }
            }
        }
        self.full_turns += 1;
        if self.full_turns == TURNS {
            (self.reads, self.full_turns) = ((2 * self.reads).min(READS), 0);
        }
        None
    }

    /// Hands packets to the endpoint, at most `budget` bytes, until what it wrote is to be sent; returns whether there was
    /// anything to hand over.
    pub(crate) fn serve(
        &mut self,
        station: &mut Station,
        send: &mut SendBuffer,
        budget: &mut usize,
        now: Instant,
    ) -> bool {
        let mut served_any = false;
        while *budget > 0 && may_wait(send) {
            let Some(served) = self.queue.pop() else { break };
            served_any = true;
            *budget = budget.saturating_sub(served.taken.len.max(1));
            let bytes = self.queue.bytes(served);
            hand_over(station, bytes, served.taken.left, send, now);
            self.queue.release(served);
        }
        served_any
    }
}

/// Whether what was written may wait for more: an input needs as much room as an empty buffer of the
/// least size has, in bytes and in runs.
fn may_wait(send: &SendBuffer) -> bool {
    send.used() < FLUSH_BYTES && send.free_runs() >= SEND_BUFFER_RUNS
}

/// Hands over what was read as one packet.
fn hand_over(
    station: &mut Station,
    bytes: &mut [u8],
    left: Left,
    send: &mut SendBuffer,
    now: Instant,
) {
    let Station { endpoint, tun } = station;
    let train = match left {
        Left::Nothing => Train::single(&mut *bytes),
        Left::Checksum => Train::super_packet(&mut *bytes, 0),
        Left::Segments(size) => Train::super_packet(&mut *bytes, size),
    };
    match train {
        Ok(train) => {
            tun.count_segments(train.segments());
            endpoint.handle_tun(train, now, &mut Io { send, host: tun });
        }
        Err(why) => {
            endpoint.handle_malformed(bytes, why, now, &mut Io { send, host: tun });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use packet::Class;
    use tunnel::SEND_BUFFER_BYTES;

    use super::*;

    /// Lone packets of one size to peers of their own, or all to one, for as long as they may wait.
    fn filled(size: usize, peers: u16) -> SendBuffer {
        let bytes = SEND_BUFFER_BYTES + FLUSH_BYTES;
        let mut send = SendBuffer::new(bytes, SEND_BUFFER_RUNS + FLUSH_RUNS);
        let mut port = 0;
        while may_wait(&send) {
            let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1 + port % peers));
            let run = send.open_run(remote, 0, Class::Data, 1, size, size);
            run.expect("an input finds room").commit();
            port += 1;
        }
        send
    }

    /// The way of packets from something that stands in for a device, and its host's end.
    fn begun() -> (Outbound, Tun, UnixDatagram) {
        let (host, device) = UnixDatagram::pair().expect("sockets");
        device.set_nonblocking(true).expect("a mode");
        (Outbound::new(), Tun::plain(File::from(OwnedFd::from(device))), host)
    }

    #[test]
    fn an_answer_that_the_host_gave_within_a_write_is_read_without_another_question() {
        let (mut outbound, mut tun, host) = begun();
        let mut after_a_write = |answers: usize| {
            outbound.set_readable(false);
            for _ in 0..answers {
                host.send(&[0; 60]).expect("room");
            }
            outbound.expect_answer();
            let reads = tun.counters().reads;
            assert!(outbound.read(&mut tun).is_none());
            (outbound.queue.pop().is_some(), tun.counters().reads - reads)
        };

        assert_eq!(after_a_write(1), (true, 1));
        assert_eq!(after_a_write(0), (false, 1));
        for _ in 0..DOUBT {
            assert_eq!(after_a_write(0), (false, 0), "the last one was not answered at once");
        }
        assert_eq!(after_a_write(1), (true, 1));
        assert_eq!(after_a_write(1), (true, 1), "it answers again");
    }

    #[test]
    fn no_more_is_read_in_a_turn_than_was_there_in_the_last_ones() {
        let (mut outbound, mut tun, host) = begun();
        let mut found = |packets: usize| {
            for _ in 0..packets {
                host.send(&[0; 60]).expect("room");
            }
            outbound.set_readable(packets > 0);
            let reads = tun.counters().reads;
            assert!(outbound.read(&mut tun).is_none());
            std::iter::from_fn(|| outbound.queue.pop().map(|it| outbound.queue.release(it)))
                .count();
            tun.counters().reads - reads
        };

        let lone: u64 = (0..20).map(|_| found(1)).sum();
        assert!(lone <= 25, "{lone} reads for 20 packets that came alone");
        let mut pairs = (0..20).map(|_| found(2));
        assert!(pairs.by_ref().take(10).last() >= Some(2), "both of a pair");
    }

    #[test]
    fn an_input_finds_room_whomever_the_packets_before_it_were_for() {
        for (size, peers) in [(96, 1), (96, 1000), (1312, 1), (1312, 1000)] {
            let send = filled(size, peers);

            assert!(send.room() + size >= SEND_BUFFER_BYTES, "{size} bytes to {peers}");
            assert!(send.free_runs() + 1 >= SEND_BUFFER_RUNS, "{size} bytes to {peers}");
        }
    }
}
