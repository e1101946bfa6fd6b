//! Bytes of a state file: little-endian numbers, counts in front of what they count.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::StateError;

/// Appends to a file.
#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn u128(&mut self, value: u128) {
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(value.into());
    }

    pub(crate) fn option_u64(&mut self, value: Option<u64>) {
        self.bool(value.is_some());
        self.u64(value.unwrap_or(0));
    }

    pub(crate) fn duration(&mut self, value: Duration) {
        self.u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn address(&mut self, address: IpAddr) {
        match address {
            IpAddr::V4(address) => {
                self.u8(4);
                self.bytes.extend(address.octets());
            }
            IpAddr::V6(address) => {
                self.u8(6);
                self.bytes.extend(address.octets());
            }
        }
    }

    /// A text of at most 255 bytes.
    pub(crate) fn text(&mut self, text: &str) {
        let len = text.len().min(255);
        self.u8(len as u8);
        self.bytes.extend(&text.as_bytes()[..len]);
    }
}

/// Reads a file that is whole; what does not fit it is [`StateError::Content`].
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], StateError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(StateError::Content("ends"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StateError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, StateError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, StateError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, StateError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, StateError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, StateError> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn bool(&mut self) -> Result<bool, StateError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(StateError::Content("a truth value")),
        }
    }

    pub(crate) fn option_u64(&mut self) -> Result<Option<u64>, StateError> {
        let is_some = self.bool()?;
        let value = self.u64()?;
        Ok(is_some.then_some(value))
    }

    pub(crate) fn duration(&mut self) -> Result<Duration, StateError> {
        self.u64().map(Duration::from_nanos)
    }

    pub(crate) fn address(&mut self) -> Result<IpAddr, StateError> {
        match self.u8()? {
            4 => Ok(Ipv4Addr::from(self.array::<4>()?).into()),
            6 => Ok(Ipv6Addr::from(self.array::<16>()?).into()),
            _ => Err(StateError::Content("an address")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, StateError> {
        let len = self.u8()?;
        std::str::from_utf8(self.take(len.into())?).map_err(|_| StateError::Content("a text"))
    }

    /// As many as a count in front says; what each is `read` says.
    pub(crate) fn list<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, StateError>,
    ) -> Result<Vec<T>, StateError> {
        let count = self.u32()?;
        // Nothing is set aside for a count: only what is read takes room.
        let mut list = Vec::new();
        for _ in 0..count {
            list.push(read(self)?);
        }
        Ok(list)
    }

    /// # Errors
    /// [`StateError::Content`] if anything is left.
    pub(crate) fn finish(self) -> Result<(), StateError> {
        if self.rest.is_empty() { Ok(()) } else { Err(StateError::Content("goes on")) }
    }
}
