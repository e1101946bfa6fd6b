//! The system's randomness.

use std::io;

/// `N` bytes that nobody can guess.
///
/// # Errors
/// What the kernel returned; there is no other source to fall back to.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
