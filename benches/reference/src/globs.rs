//! Resources found by trying one pattern after the other, over all of them: the most specific that
//! matches counts, so that none can be left out.

use dns::{Name, Pattern};

/// The patterns, in the order of their resources.
#[derive(Default)]
pub struct Globs(Vec<Pattern>);

impl Globs {
    /// Adds the pattern of a resource.
    pub fn push(&mut self, pattern: Pattern) {
        self.0.push(pattern);
    }

    /// The number of the most specific pattern that covers `name`.
    pub fn find(&self, name: &Name) -> Option<usize> {
        let all = self.0.iter().enumerate().filter(|(_, pattern)| pattern.matches(name));
        all.min_by_key(|(_, pattern)| *pattern).map(|(at, _)| at)
    }
}
