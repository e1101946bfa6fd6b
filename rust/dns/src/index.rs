//! Which resources cover a name: a tree over reversed labels.
//!
//! A pattern sits at the node of its literal labels on the right. A name walks from its last label
//! to its first, so the cost depends on its labels, on what matches, and on patterns with wildcards
//! inside a label below the nodes that it passes; never on the number of resources.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashTable};

use crate::pattern::Label;
use crate::{IpStack, Name, Pattern, ResourceId};

/// A resource that covers a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Match {
    /// The resource.
    pub resource: ResourceId,
    /// The families that it offers.
    pub stack: IpStack,
    pattern: usize,
}

/// Patterns of all resources.
pub struct ResourceIndex {
    hasher: FixedState,
    nodes: Vec<Node>,
    free_nodes: Vec<usize>,
    /// Nodes by parent and label.
    children: HashTable<usize>,
    patterns: Vec<Option<Entry>>,
    free_patterns: Vec<usize>,
    by_resource: HashMap<ResourceId, Vec<usize>, FixedState>,
}

struct Entry {
    resource: ResourceId,
    pattern: Pattern,
    stack: IpStack,
    node: usize,
}

/// One suffix of labels, with the patterns whose literal part ends here.
#[derive(Default)]
struct Node {
    parent: usize,
    label: Box<str>,
    children: usize,
    lists: [Vec<usize>; 4],
}

/// What stands in front of the literal labels of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Front {
    /// Nothing.
    Exact,
    /// `*` alone.
    Any,
    /// `**` alone.
    Deep,
    /// Anything else: compared pattern by pattern.
    Glob,
}

const ROOT: usize = 0;

impl ResourceIndex {
    /// An empty index whose hash is seeded with `seed`.
    pub fn new(seed: u64) -> Self {
        let hasher = FixedState::with_seed(seed);
        Self {
            nodes: vec![Node::default()],
            free_nodes: Vec::new(),
            children: HashTable::new(),
            patterns: Vec::new(),
            free_patterns: Vec::new(),
            by_resource: HashMap::with_hasher(hasher.clone()),
            hasher,
        }
    }

    /// Adds a pattern of a resource; a resource may have several.
    pub fn insert(&mut self, resource: ResourceId, pattern: Pattern, stack: IpStack) {
        let (front, literal) = split(&pattern);
        let labels: Vec<Box<str>> = literal.iter().rev().filter_map(text).collect();
        let node = labels.iter().fold(ROOT, |node, label| self.child_or_new(node, label));
        let entry = Entry { resource, pattern, stack, node };
        let place = self.free_patterns.pop().unwrap_or_else(|| {
            self.patterns.push(None);
            self.patterns.len() - 1
        });
        self.patterns[place] = Some(entry);
        self.nodes[node].lists[front as usize].push(place);
        self.by_resource.entry(resource).or_default().push(place);
    }

    /// Takes all patterns of a resource out; tells whether there was one.
    pub fn remove(&mut self, resource: ResourceId) -> bool {
        let places = self.by_resource.remove(&resource).unwrap_or_default();
        for &place in &places {
            let Some(entry) = self.patterns[place].take() else { continue };
            for list in &mut self.nodes[entry.node].lists {
                list.retain(|&other| other != place);
            }
            self.free_patterns.push(place);
            self.prune(entry.node);
        }
        !places.is_empty()
    }

    /// Writes the resources that cover `name` into `found`: most specific pattern first, then the
    /// highest id. Returns how many nodes and patterns were looked at.
    pub fn matches(&self, name: &Name, found: &mut Vec<Match>) -> usize {
        self.matches_text(name.as_str(), found)
    }

    /// The same for the text of a name.
    pub(crate) fn matches_text(&self, name: &str, found: &mut Vec<Match>) -> usize {
        found.clear();
        let mut labels = name.split('.').rev();
        let mut left = name.split('.').count();
        let mut node = ROOT;
        let mut looked_at = 0;
        loop {
            looked_at += 1 + self.matches_at(node, left, name, found);
            let child = labels.next().and_then(|label| self.child(node, label));
            let Some(child) = child else { break };
            (node, left) = (child, left - 1);
        }
        self.sort(found);
        looked_at
    }

    /// The most specific pattern by which a resource covers `name`.
    pub fn pattern(&self, resource: ResourceId, name: &Name) -> Option<&Pattern> {
        let places = self.by_resource.get(&resource)?.iter();
        let patterns = places.filter_map(|&place| self.patterns[place].as_ref());
        patterns.map(|entry| &entry.pattern).filter(|pattern| pattern.matches(name)).min()
    }

    /// What a name with `left` labels in front of a node's finds there; returns how many patterns
    /// were looked at.
    fn matches_at(&self, node: usize, left: usize, name: &str, found: &mut Vec<Match>) -> usize {
        let mut looked_at = 0;
        for front in [Front::Exact, Front::Any, Front::Deep, Front::Glob] {
            let fits = match front {
                Front::Exact => left == 0,
                Front::Any => left <= 1,
                Front::Deep | Front::Glob => true,
            };
            let list = if fits { &self.nodes[node].lists[front as usize][..] } else { &[] };
            looked_at += list.len();
            for &place in list {
                let Some(entry) = &self.patterns[place] else { continue };
                if front != Front::Glob || entry.pattern.matches_text(name) {
                    let (resource, stack) = (entry.resource, entry.stack);
                    found.push(Match { resource, stack, pattern: place });
                }
            }
        }
        looked_at
    }

    fn sort(&self, found: &mut Vec<Match>) {
        let pattern = |found: &Match| self.patterns[found.pattern].as_ref().map(|own| &own.pattern);
        found.sort_unstable_by(|a, b| {
            a.resource.cmp(&b.resource).then_with(|| pattern(a).cmp(&pattern(b)))
        });
        found.dedup_by_key(|found| found.resource);
        found.sort_unstable_by(|a, b| {
            pattern(a).cmp(&pattern(b)).then_with(|| b.resource.cmp(&a.resource))
        });
    }

    fn child(&self, parent: usize, label: &str) -> Option<usize> {
        let same = |&node: &usize| {
            let node = &self.nodes[node];
            node.parent == parent && *node.label == *label
        };
        self.children.find(self.hasher.hash_one((parent, label)), same).copied()
    }

    fn child_or_new(&mut self, parent: usize, label: &str) -> usize {
        if let Some(child) = self.child(parent, label) {
            return child;
        }
        let node = Node { parent, label: label.into(), ..Node::default() };
        let index = self.free_nodes.pop().unwrap_or(self.nodes.len());
        if index == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[index] = node;
        }
        self.nodes[parent].children += 1;
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.children.insert_unique(hasher.hash_one((parent, label)), index, |&other| {
            hasher.hash_one((nodes[other].parent, &*nodes[other].label))
        });
        index
    }

    /// Takes nodes out that hold nothing any more, from `node` upwards.
    fn prune(&mut self, mut node: usize) {
        while node != ROOT {
            let own = &self.nodes[node];
            if own.children > 0 || own.lists.iter().any(|list| !list.is_empty()) {
                return;
            }
            let parent = own.parent;
            let hash = self.hasher.hash_one((parent, &*own.label));
            if let Ok(found) = self.children.find_entry(hash, |&other| other == node) {
                found.remove();
            }
            self.nodes[node] = Node::default();
            self.free_nodes.push(node);
            self.nodes[parent].children -= 1;
            node = parent;
        }
    }
}

/// What stands in front of the literal labels, and these.
fn split(pattern: &Pattern) -> (Front, &[Label]) {
    let labels = pattern.labels();
    let is_literal = |label: &&Label| matches!(label, Label::Exact(_));
    let literal = labels.iter().rev().take_while(is_literal).count();
    let (front, literal) = labels.split_at(labels.len() - literal);
    let front = match front {
        [] => Front::Exact,
        [Label::Any] => Front::Any,
        [Label::Deep] => Front::Deep,
        _ => Front::Glob,
    };
    (front, literal)
}

fn text(label: &Label) -> Option<Box<str>> {
    match label {
        Label::Exact(text) => Some(text.clone()),
        Label::Any | Label::Deep | Label::Glob(_) => None,
    }
}
