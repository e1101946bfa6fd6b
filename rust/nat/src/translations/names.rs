//! The names that some Client has announced, with what is known about each: shared by all Clients
//! (R20).

use dns::{Name, NameId, Names};

use super::records::Records;

pub(super) struct NameSlot {
    pub(super) name: Name,
    /// Never given to another name, unlike the handle.
    pub(super) serial: u64,
    pub(super) records: [Records; 2],
    /// The bindings of the name; each knows its place.
    pub(super) users: Vec<usize>,
    /// Those of them that wait for a look-up.
    pub(super) waiting: Vec<usize>,
}

pub(super) struct NameTable {
    names: Names,
    slots: Vec<Option<NameSlot>>,
    serial: u64,
}

impl NameTable {
    pub(super) fn new(seed: u64) -> Self {
        Self { names: Names::new(seed), slots: Vec::new(), serial: 0 }
    }

    pub(super) fn find(&self, name: &Name) -> Option<NameId> {
        self.names.find(name)
    }

    pub(super) fn name(&self, id: NameId) -> Option<&Name> {
        self.names.get(id)
    }

    /// All names, by their handles.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NameId, &NameSlot)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(id, slot)| Some((NameId(id as u32), slot.as_ref()?)))
    }

    pub(super) fn get(&self, id: NameId) -> Option<&NameSlot> {
        self.slots.get(id.index())?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: NameId) -> Option<&mut NameSlot> {
        self.slots.get_mut(id.index())?.as_mut()
    }

    pub(super) fn intern(&mut self, name: &Name) -> NameId {
        let id = self.names.intern(name);
        if self.slots.len() <= id.index() {
            self.slots.resize_with(id.index() + 1, || None);
        }
        let slot = &mut self.slots[id.index()];
        if slot.is_none() {
            self.serial += 1;
            *slot = Some(NameSlot {
                name: name.clone(),
                serial: self.serial,
                records: [Records::new(), Records::new()],
                users: Vec::new(),
                waiting: Vec::new(),
            });
        }
        id
    }

    pub(super) fn remove(&mut self, id: NameId) -> Option<NameSlot> {
        self.names.remove(id)?;
        self.slots.get_mut(id.index())?.take()
    }
}
