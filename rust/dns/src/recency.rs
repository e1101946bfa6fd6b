//! Small numbers in the order of their last use: each step costs O(1).

/// No number.
pub(crate) const NONE: usize = u32::MAX as usize;

/// A list through a table: who was used before and after.
pub(crate) struct Recency {
    links: Vec<(u32, u32)>,
    first: u32,
    last: u32,
}

const END: u32 = u32::MAX;

impl Recency {
    pub(crate) fn new() -> Self {
        Self { links: Vec::new(), first: END, last: END }
    }

    /// The one used longest ago.
    pub(crate) fn first(&self) -> Option<usize> {
        (self.first != END).then_some(self.first as usize)
    }

    /// Puts in a number that is not in the list, as the one used last.
    pub(crate) fn push(&mut self, number: usize) {
        let Ok(index) = u32::try_from(number) else { return };
        if self.links.len() <= number {
            self.links.resize(number + 1, (END, END));
        }
        let before = std::mem::replace(&mut self.last, index);
        self.links[number] = (before, END);
        match self.links.get_mut(before as usize) {
            Some(link) => link.1 = index,
            None => self.first = index,
        }
    }

    /// Takes out a number that is in the list.
    pub(crate) fn remove(&mut self, number: usize) {
        let Some(&(before, after)) = self.links.get(number) else { return };
        match self.links.get_mut(before as usize) {
            Some(link) => link.1 = after,
            None => self.first = after,
        }
        match self.links.get_mut(after as usize) {
            Some(link) => link.0 = before,
            None => self.last = before,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_use() {
        let mut list = Recency::new();
        for number in [3, 1, 4, 0] {
            list.push(number);
        }
        list.remove(3);
        list.push(3);
        list.remove(4);
        let mut order = Vec::new();
        while let Some(first) = list.first() {
            order.push(first);
            list.remove(first);
        }
        assert_eq!(order, [1, 0, 3]);
        list.push(4);
        assert_eq!(list.first(), Some(4));
    }
}
