//! The verbs that a Client and a Gateway share, so that a loop can drive either.

use std::net::SocketAddr;
use std::time::Duration;

use connection::{BACK, Datagrams, Exported, FRONT, ImportError};
use nat::state::{Imported, StateError};
use packet::{Instant, MAX_PACKET, SendBuffer, Train, TrainSink};

use crate::messages::{Command, Event};

/// Least size of [`Io::send`]: the largest train (64 KiB) with its session headers, twice.
pub const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// Least number of runs of [`Io::send`].
pub const SEND_BUFFER_RUNS: usize = 128;

/// Where an endpoint writes to during one call.
pub struct Io<'a> {
    /// Datagrams for peers.
    pub send: &'a mut SendBuffer,
    /// Packets for the host, through its TUN device.
    pub host: &'a mut dyn TrainSink,
}

/// Why an endpoint wants to be woken; a help when a loop does not come to rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Held packets were released and wait for room.
    Drain,
    /// A session timer.
    Connection,
    /// A timer of the DNS resource NAT.
    Nat,
    /// A translation or a look-up.
    Translation,
    /// A flow may have expired.
    Flow,
    /// Held packets become too old.
    Buffer,
    /// An access expires.
    Access,
    /// DNS over TCP.
    Netstack,
    /// A Gateway is asked whether it is alive.
    Liveness,
    /// A name server is asked again, or has not answered.
    NameServer,
    /// A request to orchestration is repeated.
    Authorization,
}

/// How a forwarded DNS query travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DnsTransport {
    /// One datagram.
    Udp,
    /// One connection, two bytes of length in front.
    Tcp,
}

/// A DNS query for a server outside the tunnel. The socket is the caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsTransmit {
    /// Given back with the answer.
    pub id: u64,
    /// The server.
    pub server: SocketAddr,
    /// How to ask.
    pub transport: DnsTransport,
    /// The message.
    pub query: Vec<u8>,
}

/// A command for the other role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this command is for the other role")]
pub struct MisdirectedCommand;

/// Why sessions of a former process are not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InheritError {
    /// It is they.
    #[error(transparent)]
    Sessions(#[from] ImportError),
    /// It is the NAT state that belongs to them.
    #[error("sessions are of no use without their NAT state: {0}")]
    State(#[from] StateError),
    /// There is no such state.
    #[error("sessions are of no use without their NAT state; peers are greeted anew")]
    NoState,
}

/// A Client or a Gateway. The contract is in the crate's documentation.
pub trait Endpoint: Send {
    /// A train read from the host's TUN device.
    fn handle_tun(&mut self, train: Train<'_>, now: Instant, io: &mut Io<'_>);

    /// Something read from the TUN device that no train could be made of; `bytes` is the packet.
    fn handle_malformed(
        &mut self,
        bytes: &[u8],
        why: packet::Malformed,
        now: Instant,
        io: &mut Io<'_>,
    );

    /// Datagrams that arrived together; opened in place.
    fn handle_network(&mut self, datagrams: Datagrams<'_>, now: Instant, io: &mut Io<'_>);

    /// A command of orchestration.
    ///
    /// # Errors
    /// [`MisdirectedCommand`] if it is for the other role; nothing was changed.
    fn handle_command(
        &mut self,
        command: Command,
        now: Instant,
        io: &mut Io<'_>,
    ) -> Result<(), MisdirectedCommand>;

    /// The answer to a [`DnsTransmit`]; `None` if none came.
    fn handle_dns_response(
        &mut self,
        id: u64,
        response: Option<&[u8]>,
        now: Instant,
        io: &mut Io<'_>,
    );

    /// The addresses of this host, each with the port of the sockets: where peers that a portal introduces
    /// are told that this end may be reached. Given at the start, and before `NetworkChanged`.
    fn handle_host_addresses(&mut self, addresses: &[SocketAddr], now: Instant, io: &mut Io<'_>);

    /// The wall clock was set, and stands at `wall`. Time stamps of handshakes follow it forward alone,
    /// the ends of access both ways.
    fn adjust_wall(&mut self, wall: Duration, now: Instant);

    /// Lets due timers act.
    fn handle_timeout(&mut self, now: Instant, io: &mut Io<'_>);

    /// When [`Endpoint::handle_timeout`] is wanted, and why.
    fn poll_timeout(&self, now: Instant) -> Option<(Instant, Reason)>;

    /// The NAT state of a Gateway as bytes, for the process that takes its place (R38); `None` of a
    /// Client, which has none that others need. Holds no key.
    fn export_state(&self, _now: Instant) -> Option<Vec<u8>> {
        None
    }

    /// Takes over what [`Endpoint::export_state`] gave in another process, `since` ago: after the
    /// commands that tell of Clients and of their access, before the first packet.
    ///
    /// # Errors
    /// [`StateError`]; nothing has changed then.
    fn import_state(
        &mut self,
        _state: &[u8],
        _since: Duration,
        _now: Instant,
    ) -> Result<Imported, StateError> {
        Err(StateError::NotState)
    }

    /// Gives the sessions of all peers to the process that takes this one's place (R38), and stops:
    /// nothing is sealed, opened or answered from here on. `None` in a laboratory, which has none.
    ///
    /// They hold keys, and cross once; [`Endpoint::export_state`] tells the rest.
    fn export_sessions_and_stop(&mut self, now: Instant) -> Option<Exported>;

    /// Takes over what [`Endpoint::export_sessions_and_stop`] gave in another process: before the
    /// commands that tell of peers, each of which then goes on with what was left to it. Returns of how
    /// many peers there are sessions.
    ///
    /// `state` is what [`Endpoint::import_state`] will be given. A Gateway takes no sessions without: its
    /// Clients would notice nothing, and so would not tell it again what it does not know (R42).
    ///
    /// # Errors
    /// [`InheritError`]; nothing has changed then, and peers are greeted anew.
    fn inherit_sessions(
        &mut self,
        exported: &Exported,
        state: Option<&[u8]>,
        now: Instant,
    ) -> Result<usize, InheritError>;

    /// The next query for a server outside.
    fn poll_dns(&mut self) -> Option<DnsTransmit>;

    /// The next event for orchestration.
    fn poll_event(&mut self) -> Option<Event>;
}

/// Whether one more control packet fits; what does not waits where it is, and `poll_timeout` says so.
pub(crate) fn has_room(io: &Io<'_>) -> bool {
    io.send.room() >= FRONT + MAX_PACKET + BACK
}

/// The earlier of two timers.
pub(crate) fn soonest(
    a: Option<(Instant, Reason)>,
    b: Option<(Instant, Reason)>,
) -> Option<(Instant, Reason)> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}
