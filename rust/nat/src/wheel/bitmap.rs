//! A set of small numbers in which the next member is found in O(1): the slots of a wheel that hold
//! entries, the ports that are free.

const WORD: usize = u64::BITS as usize;

/// Two levels of bits: a bit of the upper one is set if its word of the lower one has any.
#[derive(Clone, Debug)]
pub(crate) struct Bitmap {
    words: Box<[u64]>,
    summary: Box<[u64]>,
}

impl Bitmap {
    /// An empty set of numbers below `size`.
    pub(crate) fn new(size: usize) -> Self {
        let words = size.div_ceil(WORD);
        Self {
            words: vec![0; words].into_boxed_slice(),
            summary: vec![0; words.div_ceil(WORD)].into_boxed_slice(),
        }
    }

    pub(crate) fn set(&mut self, number: usize) {
        let word = number / WORD;
        self.words[word] |= 1 << (number % WORD);
        self.summary[word / WORD] |= 1 << (word % WORD);
    }

    pub(crate) fn clear(&mut self, number: usize) {
        let word = number / WORD;
        self.words[word] &= !(1 << (number % WORD));
        if self.words[word] == 0 {
            self.summary[word / WORD] &= !(1 << (word % WORD));
        }
    }

    /// The smallest member that is at least `start`.
    pub(crate) fn next_from(&self, start: usize) -> Option<usize> {
        let word = start / WORD;
        let rest = self.words.get(word)? & (!0 << (start % WORD));
        if rest != 0 {
            return Some(word * WORD + rest.trailing_zeros() as usize);
        }
        let word = next_bit(&self.summary, word + 1)?;
        Some(word * WORD + self.words[word].trailing_zeros() as usize)
    }
}

fn next_bit(words: &[u64], start: usize) -> Option<usize> {
    let first = start / WORD;
    let masked = words.get(first)? & (!0 << (start % WORD));
    if masked != 0 {
        return Some(first * WORD + masked.trailing_zeros() as usize);
    }
    let word = first + 1 + words[first + 1..].iter().position(|word| *word != 0)?;
    Some(word * WORD + words[word].trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_member_is_found_wherever_it_lies() {
        let mut set = Bitmap::new(65_536);
        assert_eq!(set.next_from(0), None);
        for member in [0, 1, 63, 64, 4095, 4096, 65_535] {
            set.set(member);
        }
        let mut found = Vec::new();
        let mut start = 0;
        while let Some(member) = set.next_from(start) {
            found.push(member);
            start = member + 1;
        }
        assert_eq!(found, [0, 1, 63, 64, 4095, 4096, 65_535]);
        set.clear(4095);
        assert_eq!(set.next_from(65), Some(4096));
        set.clear(65_535);
        assert_eq!(set.next_from(4097), None);
    }
}
