//! What the packet path asks: for new flows and for flows that were never answered (R22, R23, R27).

use std::net::IpAddr;

use dns::{Family, Name, ResourceId};
use packet::Instant;
use smallvec::SmallVec;

use crate::control::ClientId;

use super::Translations;
use super::deal::dealt;
use super::table::{Binding, Proxy};
use super::types::{
    Announced, Fresh, NameView, RecordsView, Translation, TranslationState, TranslationView,
    UserView,
};

impl Translations {
    /// The translation of a proxy address, for a new flow; O(1), without allocation unless the
    /// answer has changed. Marks the name as used.
    pub fn find(&mut self, client: ClientId, proxy: IpAddr, now: Instant) -> Option<Translation> {
        let (at, binding) = self.locate(client, proxy)?;
        self.table.touch(binding);
        let own = self.table.bindings.get(binding)?;
        let (name, family) = (own.name, Family::of(proxy));
        if self.is_former(at, own) {
            return Some(Translation { name, family, real: None, state: TranslationState::Former });
        }
        self.ensure_dealt(binding, family);
        let records = &self.names.get(name)?.records[family.index()];
        let usable = !records.usable(self.config.last_good, now).is_empty();
        let real = self.table.proxies.get(at)?.real.filter(|_| usable);
        let state = records.state(self.config.last_good, now);
        Some(Translation { name, family, real, state })
    }

    /// Whether `real` is still in the last good answer that `proxy` stands for (R27); not if the
    /// proxy is not known.
    pub fn answer_contains(&self, client: ClientId, proxy: IpAddr, real: IpAddr) -> bool {
        let located = self.locate(client, proxy);
        let own = located.and_then(|(_, binding)| self.table.bindings.get(binding));
        let slot = own.and_then(|own| self.names.get(own.name));
        slot.is_some_and(|slot| slot.records[Family::of(proxy).index()].contains(real))
    }

    /// The real address for a new flow, or to wait for [`Event::Settled`](super::Event::Settled),
    /// at most 300 ms (R27). Starts a look-up if one is needed and none runs.
    pub fn want_fresh(&mut self, client: ClientId, proxy: IpAddr, now: Instant) -> Fresh {
        let Some(found) = self.find(client, proxy, now) else { return Fresh::None };
        if found.state == TranslationState::Former {
            return Fresh::None;
        }
        let Translation { name, family, real, .. } = found;
        let Some(slot) = self.names.get(name) else { return Fresh::None };
        if slot.records[family.index()].settled(now) {
            return real.map_or(Fresh::None, Fresh::Use);
        }
        self.request(name, family, now);
        Fresh::Wait { name, family }
    }

    /// Whether `proxy` stood for another name within the last 7440 s (R23).
    pub fn moved_recently(&self, client: ClientId, proxy: IpAddr, now: Instant) -> bool {
        let client = self.table.client(client);
        client.is_some_and(|client| self.table.moved_recently(client, proxy, now))
    }

    /// The resources that announced `proxy`; none for one that is not known.
    pub fn resources(&self, client: ClientId, proxy: IpAddr) -> &[ResourceId] {
        self.announced(client, proxy).resources
    }

    /// The same, with what tells apart what they were and are.
    pub fn announced(&self, client: ClientId, proxy: IpAddr) -> Announced<'_> {
        let located = self.locate(client, proxy);
        let own = located.and_then(|(_, binding)| self.table.bindings.get(binding));
        own.map_or(Announced { resources: &[], version: 0 }, Binding::announced)
    }

    /// The name that `proxy` stands for; does not mark it as used.
    pub fn name_of(&self, client: ClientId, proxy: IpAddr) -> Option<&Name> {
        let (_, binding) = self.locate(client, proxy)?;
        self.names.name(self.table.bindings.get(binding)?.name)
    }

    /// The proxy addresses from place `cursor` on, each with the cursor behind it; in a stable
    /// order (R40).
    pub fn inspect(
        &self,
        cursor: usize,
        now: Instant,
    ) -> impl Iterator<Item = (usize, TranslationView<'_>)> {
        let proxies = self.table.proxies.iter().skip_while(move |(index, _)| *index < cursor);
        proxies.filter_map(move |(index, proxy)| Some((index + 1, self.view(index, proxy, now)?)))
    }

    /// All about a name that some Client announced (R40).
    pub fn view_of_name(&self, name: &Name, now: Instant) -> Option<NameView<'_>> {
        let id = self.names.find(name)?;
        let slot = self.names.get(id)?;
        let records = Family::ALL.map(|family| {
            let records = &slot.records[family.index()];
            RecordsView {
                addresses: records.all().to_vec(),
                age: records.age(now),
                state: records.state(self.config.last_good, now),
                looking_up: records.pending.is_some(),
            }
        });
        let users = slot.users.iter().filter_map(|&binding| {
            let own = self.table.bindings.get(binding)?;
            let proxies = own.owned.iter().filter_map(|&at| {
                let view = self.view(at, self.table.proxies.get(at)?, now)?;
                Some((view.proxy, view.real, view.state))
            });
            let client = self.table.clients.get(own.client)?.id;
            Some(UserView {
                client,
                resources: own.announced().resources,
                proxies: proxies.collect(),
            })
        });
        Some(NameView { id, name: &slot.name, records, users: users.collect() })
    }

    fn view(&self, index: usize, proxy: &Proxy, now: Instant) -> Option<TranslationView<'_>> {
        let own = self.table.bindings.get(proxy.binding)?;
        let slot = self.names.get(own.name)?;
        let records = &slot.records[Family::of(proxy.address).index()];
        let former = self.is_former(index, own);
        Some(TranslationView {
            client: self.table.clients.get(proxy.client)?.id,
            proxy: proxy.address,
            name: &slot.name,
            resources: own.announced().resources,
            real: proxy.real.filter(|_| !former),
            state: match former {
                true => TranslationState::Former,
                false => records.state(self.config.last_good, now),
            },
        })
    }

    fn locate(&self, client: ClientId, proxy: IpAddr) -> Option<(usize, usize)> {
        let at = self.table.proxy(self.table.client(client)?, proxy)?;
        Some((at, self.table.proxies.get(at)?.binding))
    }

    /// Of a former run, or no more among what was announced for the name.
    fn is_former(&self, proxy: usize, binding: &Binding) -> bool {
        let current = self.table.proxies.get(proxy).is_some_and(|proxy| proxy.current);
        let client = self.table.clients.get(binding.client);
        !current || client.is_none_or(|client| client.epoch != binding.epoch)
    }

    /// Deals a family anew if its answer or its proxies have changed (R22); O(proxies of the name)
    /// (R24).
    fn ensure_dealt(&mut self, binding: usize, family: Family) {
        let Some(own) = self.table.bindings.get_mut(binding) else { return };
        let Some(slot) = self.names.get(own.name) else { return };
        let records = &slot.records[family.index()];
        if own.is_dealt(family, records.version) {
            return;
        }
        own.set_dealt(family, records.version);
        let Some(client) = self.table.clients.get(own.client) else { return };
        let proxies = &own.proxies[family.index()];
        let addresses: SmallVec<[IpAddr; 8]> =
            proxies.iter().map(|&proxy| self.table.proxies[proxy].address).collect();
        let dealt = dealt(client.id, &slot.name, &addresses, records.all());
        for (&proxy, real) in proxies.iter().zip(dealt) {
            self.table.proxies[proxy].real = real;
            self.counters.touched_proxies += 1;
        }
    }
}
