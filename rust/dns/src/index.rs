//! Which resources cover a name: patterns by their reversed labels.

use crate::{IpStack, Name, Pattern, ResourceId};

/// A resource that covers a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// The resource.
    pub resource: ResourceId,
    /// The families that it offers.
    pub stack: IpStack,
}

/// Patterns of all resources.
pub struct ResourceIndex {}

impl ResourceIndex {
    /// An empty index whose hash is seeded with `seed`.
    pub fn new(_seed: u64) -> Self {
        Self {}
    }

    /// Adds a pattern of a resource; a resource may have several.
    pub fn insert(&mut self, _resource: ResourceId, _pattern: Pattern, _stack: IpStack) {}

    /// Takes all patterns of a resource out; tells whether there was one.
    pub fn remove(&mut self, _resource: ResourceId) -> bool {
        false
    }

    /// Writes the resources that cover `name` into `found`: most specific pattern first, then the
    /// highest id.
    pub fn matches(&mut self, _name: &Name, found: &mut Vec<Match>) {
        found.clear();
    }
}
