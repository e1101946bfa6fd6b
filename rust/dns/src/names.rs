//! The interner: names in, small handles out, and back.
//!
//! A handle stays valid until its name is removed; then it may be given to another name. Whoever
//! removes a name has made sure that nobody holds the handle.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::Name;

/// Handle of a name in one [`Names`].
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct NameId(pub u32);

impl NameId {
    /// The handle as an index into a table beside the interner.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names by handle and handles by name; each costs O(1).
pub struct Names {
    hasher: FixedState,
    table: HashTable<u32>,
    names: Vec<Option<Name>>,
    free: Vec<u32>,
}

impl Names {
    /// An empty interner whose hash is seeded with `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            table: HashTable::new(),
            names: Vec::new(),
            free: Vec::new(),
        }
    }

    /// The handle of `name`, a new one if it has none.
    pub fn intern(&mut self, name: &Name) -> NameId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.names.push(None);
            u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.names.get_mut(index as usize) {
            *place = Some(name.clone());
        }
        let (names, hasher) = (&self.names, &self.hasher);
        self.table.insert_unique(hasher.hash_one(name.as_str()), index, |&other| {
            hasher.hash_one(text(names, other))
        });
        NameId(index)
    }

    /// The handle of `name`, if it has one.
    pub fn find(&self, name: &Name) -> Option<NameId> {
        self.find_text(name.as_str())
    }

    /// The same for the text of a name.
    pub(crate) fn find_text(&self, name: &str) -> Option<NameId> {
        let hash = self.hasher.hash_one(name);
        let found = self.table.find(hash, |&index| text(&self.names, index) == name);
        found.map(|&index| NameId(index))
    }

    /// The name of a handle; `None` once it was removed.
    pub fn get(&self, id: NameId) -> Option<&Name> {
        self.names.get(id.index())?.as_ref()
    }

    /// Takes a name out; its handle may be given to another name from now on.
    pub fn remove(&mut self, id: NameId) -> Option<Name> {
        let name = self.names.get_mut(id.index())?.take()?;
        let hash = self.hasher.hash_one(name.as_str());
        if let Ok(entry) = self.table.find_entry(hash, |&index| index == id.0) {
            entry.remove();
        }
        self.free.push(id.0);
        Some(name)
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no name.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

/// The text at `index`, empty if none.
fn text(names: &[Option<Name>], index: u32) -> &str {
    names.get(index as usize).and_then(Option::as_ref).map_or("", Name::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_name_keeps_its_handle_until_it_is_removed() {
        let mut names = Names::new(1);
        let a = names.intern(&name("a.example"));
        let b = names.intern(&name("b.example"));
        assert_eq!(names.intern(&name("A.Example.")), a);
        assert_ne!(a, b);
        assert_eq!(names.get(b).map(Name::as_str), Some("b.example"));
        assert_eq!(names.remove(a), Some(name("a.example")));
        assert_eq!((names.find(&name("a.example")), names.get(a), names.len()), (None, None, 1));
        assert_eq!(names.intern(&name("c.example")), a, "a handle is used again");
        assert_eq!(names.find(&name("b.example")), Some(b));
    }
}
