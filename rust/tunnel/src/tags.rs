//! Small numbers of resources, which flow records note instead of ids of 16 bytes.
//!
//! A number belongs to its resource as long as anybody may use that, and afterwards until a thousand
//! others have gone the same way. Then it is given out anew, in another generation: a record that
//! still notes the old one names no resource, and never a wrong one.

use std::collections::{BTreeMap, VecDeque};

use dns::ResourceId;

/// Numbers out of use that keep their resource.
const KEPT: usize = 1024;
/// Bits of a tag that are the number; the others are its generation.
const NUMBER_BITS: u32 = 24;
const NUMBERS: u32 = (1 << NUMBER_BITS) - 1;

struct Slot {
    resource: ResourceId,
    generation: u8,
    /// How many may use the resource.
    holders: u32,
    /// It is in the list of those out of use.
    is_listed: bool,
}

/// The numbers.
#[derive(Default)]
pub(crate) struct Tags {
    slots: Vec<Slot>,
    by_resource: BTreeMap<ResourceId, u32>,
    unused: VecDeque<u32>,
}

impl Tags {
    /// The tag of a resource that one more may use from now on.
    pub(crate) fn hold(&mut self, resource: ResourceId) -> u32 {
        let number = match self.by_resource.get(&resource) {
            Some(number) => *number,
            None => self.give(resource),
        };
        let slot = &mut self.slots[number as usize];
        slot.holders += 1;
        tag(number, slot.generation)
    }

    /// One fewer may use a resource.
    pub(crate) fn release(&mut self, resource: ResourceId) {
        let Some(&number) = self.by_resource.get(&resource) else { return };
        let slot = &mut self.slots[number as usize];
        slot.holders = slot.holders.saturating_sub(1);
        if slot.holders == 0 && !std::mem::replace(&mut slot.is_listed, true) {
            self.unused.push_back(number);
        }
    }

    /// The tag of a resource that somebody may use.
    pub(crate) fn of(&self, resource: ResourceId) -> Option<u32> {
        let number = *self.by_resource.get(&resource)?;
        Some(tag(number, self.slots.get(number as usize)?.generation))
    }

    /// The resource of a tag, while its number is not another's.
    pub(crate) fn resource(&self, tag: u32) -> Option<ResourceId> {
        let slot = self.slots.get((tag & NUMBERS) as usize)?;
        (u32::from(slot.generation) == tag >> NUMBER_BITS).then_some(slot.resource)
    }

    /// A number for a resource that has none.
    fn give(&mut self, resource: ResourceId) -> u32 {
        while self.unused.len() > KEPT
            && let Some(number) = self.unused.pop_front()
        {
            let slot = &mut self.slots[number as usize];
            slot.is_listed = false;
            if slot.holders > 0 {
                continue;
            }
            self.by_resource.remove(&slot.resource);
            let generation = slot.generation.wrapping_add(1);
            *slot = Slot { resource, generation, holders: 0, is_listed: false };
            self.by_resource.insert(resource, number);
            return number;
        }
        let number = self.slots.len() as u32;
        self.slots.push(Slot { resource, generation: 0, holders: 0, is_listed: false });
        self.by_resource.insert(resource, number);
        number
    }
}

fn tag(number: u32, generation: u8) -> u32 {
    number & NUMBERS | u32::from(generation) << NUMBER_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_keeps_its_tag_and_memory_does_not_grow_with_resources_that_were() {
        let mut tags = Tags::default();
        let first = tags.hold(ResourceId(0));
        for id in 1..100_000 {
            let tag = tags.hold(ResourceId(id));
            assert_eq!(tags.resource(tag), Some(ResourceId(id)));
            assert_eq!(tags.of(ResourceId(id)), Some(tag));
            tags.release(ResourceId(id));
        }

        assert_eq!((tags.resource(first), tags.hold(ResourceId(0))), (Some(ResourceId(0)), first));
        assert!(tags.slots.len() <= KEPT + 2, "{}", tags.slots.len());
        assert!(tags.by_resource.len() <= KEPT + 2 && tags.unused.len() <= KEPT + 2);
    }

    #[test]
    fn a_tag_whose_number_is_anothers_names_nobody() {
        let mut tags = Tags::default();
        let old = tags.hold(ResourceId(0));
        tags.release(ResourceId(0));
        assert_eq!(tags.resource(old), Some(ResourceId(0)), "its last flows are still named");
        for id in 1..=KEPT as u128 + 2 {
            tags.hold(ResourceId(id));
            tags.release(ResourceId(id));
        }

        assert_eq!(tags.resource(old), None);
        assert_ne!(tags.hold(ResourceId(0)), old);
    }

    #[test]
    fn who_is_used_again_while_out_of_use_is_not_forgotten() {
        let mut tags = Tags::default();
        let tag = tags.hold(ResourceId(7));
        tags.release(ResourceId(7));
        assert_eq!(tags.hold(ResourceId(7)), tag);
        for id in 100..100 + 3 * KEPT as u128 {
            tags.hold(ResourceId(id));
            tags.release(ResourceId(id));
        }
        assert_eq!(tags.resource(tag), Some(ResourceId(7)));
        tags.release(ResourceId(1_000_000));
    }
}
