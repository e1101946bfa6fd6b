//! ChaCha20-Poly1305 (RFC 8439) sealed and opened *across* the packets of a batch, in place.
//!
//! A message of a tunnel is short: one by one, each pays for a block of key stream that gives its
//! one-time key, for a last block in part, and for the begin and the end of Poly1305. Here the blocks
//! of a whole batch share the lanes of a vector (`chacha20`), and so do the packets themselves for
//! their tags (`poly1305`). There are three forms, for AVX-512 with and without IFMA and for AVX2;
//! which is used is found out at run time, and `ring` works where there is none, and on batches for
//! which it is faster (`cost`).
//!
//! A batch goes this way: [`Cipher::seal_batch`] cuts it into groups; `group` gets the one-time keys
//! and the key stream, then the tags. [`Cipher::open_batch`] gets keys and tags, compares, and decrypts
//! what was authentic. Nothing is allocated.
//!
//! No branch and no address depends on a key, a plaintext or a tag that was computed; lengths, places
//! and counters are public, and so is the verdict on a message. Keys and key stream are overwritten
//! after use, the stack below the calls too. What holds this, and how far, stands in
//! docs/decisions/0011-aead.md.

mod backend;
mod chacha20;
mod cipher;
mod cost;
mod group;
mod message;
mod packet;
mod poly1305;
mod secret;
mod single;
#[cfg(test)]
mod tests;

pub use cipher::{Choice, Cipher};
pub use message::{Message, Misplaced};
