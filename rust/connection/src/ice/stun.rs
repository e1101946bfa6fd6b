//! Binding requests and responses that arrive: whose they are, and what nobody asked for.

use is::Protocol;
use is::stun::{StunMessage, StunPacket};
use packet::{Instant, Route};

use crate::connections::Connections;

/// Every message of RFC 8489 has it at the same place (§5).
const MAGIC: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Whether a datagram looks like STUN. WireGuard has no message of which the first byte is 0; its
/// initiations begin with 1 0, which is no message of STUN that we know.
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 4)
        && datagram.get(4..8).is_some_and(|cookie| cookie == MAGIC)
}

impl Connections {
    pub(crate) fn receive_stun(&mut self, route: Route, datagram: &[u8], now: Instant) {
        let accepted = StunMessage::parse(datagram)
            .ok()
            .is_some_and(|message| self.accept_stun(route, datagram, message, now));
        self.counters.stun_refused += u64::from(!accepted);
    }

    /// A request is told by its user name, a response by its transaction. Nothing else counts: an error
    /// response could only ask us to change roles, which are given.
    fn accept_stun(
        &mut self,
        route: Route,
        datagram: &[u8],
        message: StunMessage<'_>,
        now: Instant,
    ) -> bool {
        let Some(destination) = self.ice.local_of(route) else { return false };
        let owner = if message.is_binding_request() {
            let slots = message.username().and_then(|name| self.ice.by_username.get(name));
            let accepts = |slot: &&u32| {
                self.ice.agents.get(*slot).is_some_and(|agent| agent.accepts(&message))
            };
            slots.and_then(|slots| slots.iter().find(accepts)).copied()
        } else if message.is_successful_binding_response() {
            let owner = self.ice.in_flight.owner(datagram);
            let agent = owner.and_then(|slot| self.ice.agents.get(&slot));
            owner.filter(|_| agent.is_some_and(|agent| agent.accepts(&message)))
        } else {
            None
        };
        let Some(owner) = owner else { return false };
        let source = route.remote;
        let packet = StunPacket { proto: Protocol::Udp, source, destination, message };
        self.run_agent(owner, now, |agent, at| agent.handle(packet, at));
        true
    }
}
