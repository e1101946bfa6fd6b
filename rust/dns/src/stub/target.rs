//! Where an answer is written: the caller's bytes, without an allocation.

use domain::base::Name as WireName;
use domain::base::name::ToName;
use domain::base::wire::Composer;
use domain::dep::octseq::{OctetsBuilder, ShortBuf, Truncate};

/// Offset of the question's name (RFC 1035 §4.1.1).
const QUESTION: u8 = 12;
/// The two highest bits of a compression pointer (RFC 1035 §4.1.4).
const POINTER: u8 = 0xc0;

/// A slice as a target of `domain`'s builders. A name that is the question's becomes a pointer to
/// it.
pub(super) struct Target<'a> {
    bytes: &'a mut [u8],
    len: usize,
}

impl<'a> Target<'a> {
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

impl OctetsBuilder for Target<'_> {
    type AppendError = ShortBuf;

    fn append_slice(&mut self, slice: &[u8]) -> Result<(), ShortBuf> {
        let end = self.len.checked_add(slice.len()).ok_or(ShortBuf)?;
        self.bytes.get_mut(self.len..end).ok_or(ShortBuf)?.copy_from_slice(slice);
        self.len = end;
        Ok(())
    }
}

impl Truncate for Target<'_> {
    fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl AsRef<[u8]> for Target<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Target<'_> {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl Composer for Target<'_> {
    fn append_compressed_name<N: ToName + ?Sized>(&mut self, name: &N) -> Result<(), ShortBuf> {
        let behind = self.as_ref().get(usize::from(QUESTION)..).unwrap_or_default();
        // The records of an answer bear the name as it was asked; a name ends with an empty label.
        if name.as_flat_slice().is_some_and(|name| behind.starts_with(name)) {
            return self.append_slice(&[POINTER, QUESTION]);
        }
        let question = first_name(behind);
        if question.is_some_and(|question| name.name_eq(question)) {
            return self.append_slice(&[POINTER, QUESTION]);
        }
        name.compose(self)
    }

    fn can_compress(&self) -> bool {
        true
    }
}

/// The uncompressed name at the start of `bytes`.
fn first_name(bytes: &[u8]) -> Option<&WireName<[u8]>> {
    let mut end = 0;
    loop {
        let label = usize::from(*bytes.get(end)?);
        end += 1 + label;
        if label == 0 {
            return WireName::from_slice(bytes.get(..end)?).ok();
        }
    }
}
