//! What leaves a train: single packets, or the header of all as one super-packet.

use super::segment::{self, Own};
use super::{Checksum, Train, run};
use crate::Transport;
use crate::checksum::{self, pseudo_header};
use crate::wire::{field, put_word, word};

/// Both bits of ECN (RFC 3168 §5).
const CONGESTION_EXPERIENCED: u8 = 3;

impl Train<'_> {
    /// Marks the packets *congestion experienced* if they are of a flow that can be told so
    /// (dataplane 7.5).
    pub fn mark_congested(&mut self) {
        if self.summary.ecn == 0 {
            return;
        }
        self.summary.ecn = CONGESTION_EXPERIENCED;
        let header = &mut self.buffer[self.first.clone()];
        let old = word(header, 0);
        if self.summary.source.is_ipv4() {
            let new = old | u16::from(CONGESTION_EXPERIENCED);
            put_word(header, 0, new);
            let delta = checksum::word_delta(old, new);
            checksum::update_at(header, field::IPV4_CHECKSUM, delta);
        } else {
            put_word(header, 0, old | u16::from(CONGESTION_EXPERIENCED) << 4);
        }
    }

    /// Copies packet `i` as one complete packet (lengths, identification, sequence number, flags and
    /// checksums) into `into` and returns its length, or 0 if there is no such packet or no room for
    /// it. A lone packet with a whole checksum is copied as it is: a wrong checksum stays wrong (R35).
    pub fn write_segment(&self, i: usize, into: &mut [u8]) -> usize {
        let len = self.segment_len(i);
        let Some(packet) = into.get_mut(..len).filter(|packet| !packet.is_empty()) else {
            return 0;
        };
        let (header, payload) = packet.split_at_mut(self.header_len());
        header.copy_from_slice(self.header());
        payload.copy_from_slice(self.payload(i));
        if self.segments > 1 {
            segment::put(header, &self.summary, len, &self.own(i));
        }
        if self.segments > 1 || self.checksum == Checksum::Partial {
            self.complete(packet);
        }
        len
    }

    /// Writes the header that all packets together have as one super-packet (lengths, flags, partial
    /// checksum) and returns its length, or 0 without room. A lone packet's header is copied as it
    /// is, and [`Self::checksum`] says what its checksum is.
    pub fn write_super_header(&self, into: &mut [u8]) -> usize {
        let Some(header) = into.get_mut(..self.header_len()) else { return 0 };
        header.copy_from_slice(self.header());
        if let [_, .., last] = self.packets {
            let own = Own::of(self.header(), &self.summary);
            let last = Own::of(&self.buffer[run::range(*last)], &self.summary);
            let own = Own { flags: own.flags | last.flags, ..own };
            let payload = self.total_bytes() - self.segments * self.header_len();
            let len = self.header_len() + payload;
            segment::put(header, &self.summary, len, &own);
            if let Some((place, Some(protocol))) = checksum::place(&self.summary) {
                put_word(header, place, self.pseudo_header(protocol, len));
            }
        }
        self.header_len()
    }

    /// What packet `i` has of its own, beside its length.
    fn own(&self, i: usize) -> Own {
        match self.packets.get(i) {
            Some(&packet) => Own::of(&self.buffer[run::range(packet)], &self.summary),
            None => {
                Own::of(self.header(), &self.summary).advance(i, self.segments, self.segment_size)
            }
        }
    }

    /// Completes the transport checksum of `packet`, one of this train's, its headers final.
    fn complete(&self, packet: &mut [u8]) {
        let offset = usize::from(self.summary.transport_offset);
        let Some((place, Some(protocol))) = checksum::place(&self.summary) else { return };
        let pseudo = match self.checksum {
            Checksum::Whole => self.pseudo_header(protocol, packet.len()),
            // R35: what stands in the field is gone on with, so that a wrong one stays wrong. It
            // counts the length of the super-packet.
            Checksum::Partial => {
                let (old, new) = (self.first.len() - offset, packet.len() - offset);
                checksum::add(word(packet, place), checksum::word_delta(old as u16, new as u16))
            }
        };
        let is_udp = matches!(self.summary.transport, Transport::Udp { .. });
        checksum::complete(&mut packet[offset..], place - offset, pseudo, is_udp);
    }

    /// Sum of the pseudo-header of a packet of `len` bytes with this train's addresses.
    fn pseudo_header(&self, protocol: u8, len: usize) -> u16 {
        let len = len - usize::from(self.summary.transport_offset);
        pseudo_header(self.summary.source, self.summary.destination, protocol, len)
    }
}
