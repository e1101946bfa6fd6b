//! What a processor can do.
// A call of code for a processor that has more is safe only once that has been found out.
#![allow(unsafe_code)]

use crate::chacha20::{Blocks, OneTimeKeys};
use crate::packet::Packet;
use crate::poly1305::Tags;

/// A way of sealing and opening. A value is made by detection alone: that there is one says that the
/// processor has what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vectored(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 16 lanes for the key stream, 8 lanes of 52-bit products for the tags.
    Avx512Ifma,
    /// 16 lanes for the key stream, the tags as [`Kind::Avx2`] has them.
    Avx512,
    /// 8 lanes for the key stream, 4 for the tags.
    Avx2,
}

#[cfg(target_arch = "x86_64")]
impl Vectored {
    /// `kind`, if the processor and the system have it.
    pub(crate) fn detect(kind: Kind) -> Option<Self> {
        let avx2 = is_x86_feature_detected!("avx2");
        let avx512 = avx2
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        let there = match kind {
            Kind::Avx512Ifma => avx512 && is_x86_feature_detected!("avx512ifma"),
            Kind::Avx512 => avx512,
            Kind::Avx2 => avx2,
        };
        there.then_some(Self(kind))
    }

    pub(crate) fn stream(
        self,
        key: &[u32; 8],
        blocks: Blocks<'_>,
        buffer: &mut [u8],
        keys: &mut OneTimeKeys,
    ) {
        match self.0 {
            // SAFETY: `detect` has found avx512f, avx512bw and avx512vl for both kinds.
            Kind::Avx512Ifma | Kind::Avx512 => unsafe {
                crate::chacha20::avx512::apply(key, blocks, buffer, keys);
            },
            // SAFETY: `detect` has found avx2.
            Kind::Avx2 => unsafe { crate::chacha20::avx2::apply(key, blocks, buffer, keys) },
        }
    }

    pub(crate) fn tags(
        self,
        buffer: &[u8],
        packets: &[Packet],
        order: &[u8],
        keys: &OneTimeKeys,
        tags: &mut Tags,
    ) {
        match self.0 {
            // SAFETY: `detect` has found avx512f, avx512bw, avx512vl and avx512ifma.
            Kind::Avx512Ifma => unsafe {
                crate::poly1305::ifma::tags(buffer, packets, order, keys, tags);
            },
            // SAFETY: `detect` has found avx2 for both kinds.
            Kind::Avx512 | Kind::Avx2 => unsafe {
                crate::poly1305::avx2::tags(buffer, packets, order, keys, tags);
            },
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Vectored {
    pub(crate) fn detect(_kind: Kind) -> Option<Self> {
        None
    }

    pub(crate) fn stream(self, _: &[u32; 8], _: Blocks<'_>, _: &mut [u8], _: &mut OneTimeKeys) {}

    pub(crate) fn tags(self, _: &[u8], _: &[Packet], _: &[u8], _: &OneTimeKeys, _: &mut Tags) {}
}

impl Vectored {
    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}
