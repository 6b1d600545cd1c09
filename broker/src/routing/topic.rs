//! Topic exchanges: keys are words with dots between them; in a binding key `*`
//! stands for one word and `#` for any number of them, none included. An empty
//! key has no words.
//!
//! Binding keys form a trie. A routing key is matched by walking it with the set
//! of all nodes that its words so far can lead to, each once, so that the cost
//! is at most words times nodes whatever patterns are bound.

use rustc_hash::FxHashMap;
use slab::Slab;
use smallvec::SmallVec;
use warren_membership::catalog::Destination;

use super::targets::{Found, Targets};

/// A trie of binding keys.
#[derive(Debug)]
pub(super) struct Topic {
    nodes: Slab<Node>,
    root: usize,
}

/// What may follow the words that lead here.
#[derive(Debug, Default)]
struct Node {
    words: FxHashMap<Box<str>, usize>,
    /// `*`
    any: Option<usize>,
    /// `#`
    rest: Option<usize>,
    /// Reached by a `#`: further words lead from here to here.
    repeats: bool,
    targets: Targets,
}

type Active = SmallVec<[usize; 8]>;

impl Default for Topic {
    fn default() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        Self { nodes, root }
    }
}

/// The words of a key.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(|_| !key.is_empty())
}

/// The words of a binding key; several `#` in a row are as good as one.
fn pattern(key: &str) -> impl Iterator<Item = &str> {
    let mut before = "";
    words(key).filter(move |word| (std::mem::replace(&mut before, word), *word) != ("#", "#"))
}

impl Topic {
    pub(super) fn insert(&mut self, key: &str, destination: Destination) {
        let mut at = self.root;
        for word in pattern(key) {
            at = self.child(at, word).unwrap_or_else(|| self.grow(at, word));
        }
        self.nodes[at].targets.insert(destination);
    }

    pub(super) fn remove(&mut self, key: &str, destination: &Destination) {
        let mut path = vec![];
        let mut at = self.root;
        for word in pattern(key) {
            path.push((at, word));
            let Some(child) = self.child(at, word) else { return };
            at = child;
        }
        self.nodes[at].targets.remove(destination);
        while let Some((parent, word)) = path.pop() {
            if !self.nodes[at].is_unused() {
                return;
            }
            self.nodes.remove(at);
            let node = &mut self.nodes[parent];
            match word {
                "*" => node.any = None,
                "#" => node.rest = None,
                word => drop(node.words.remove(word)),
            }
            at = parent;
        }
    }

    pub(super) fn route<'a>(&'a self, key: &str, found: &mut Found<'a>) {
        let mut active = Active::from_slice(&[self.root]);
        self.with_none(&mut active);
        for word in words(key) {
            let mut next = Active::new();
            for &at in &active {
                let node = &self.nodes[at];
                next.extend(node.words.get(word).copied());
                next.extend(node.any);
                if node.repeats {
                    next.push(at);
                }
            }
            self.with_none(&mut next);
            active = next;
            if active.is_empty() {
                return;
            }
        }
        for at in active {
            self.nodes[at].targets.add_to(found);
        }
    }

    /// Adds where a `#` leads without a word, and keeps each node once. (A `#`
    /// never follows a `#`, so one round is enough.)
    fn with_none(&self, active: &mut Active) {
        let further: Active = active.iter().filter_map(|&at| self.nodes[at].rest).collect();
        active.extend(further);
        active.sort_unstable();
        active.dedup();
    }

    fn child(&self, at: usize, word: &str) -> Option<usize> {
        let node = &self.nodes[at];
        match word {
            "*" => node.any,
            "#" => node.rest,
            word => node.words.get(word).copied(),
        }
    }

    fn grow(&mut self, at: usize, word: &str) -> usize {
        let child = self.nodes.insert(Node { repeats: word == "#", ..Node::default() });
        let node = &mut self.nodes[at];
        match word {
            "*" => node.any = Some(child),
            "#" => node.rest = Some(child),
            word => drop(node.words.insert(word.into(), child)),
        }
        child
    }
}

impl Node {
    fn is_unused(&self) -> bool {
        self.targets.is_empty() && self.words.is_empty() && self.any.is_none() && self.rest.is_none()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use warren_replication::types::QueueId;

    fn of(patterns: &[&str]) -> Topic {
        let mut topic = Topic::default();
        for (pattern, id) in patterns.iter().zip(0..) {
            topic.insert(pattern, Destination::Queue(QueueId(id)));
        }
        topic
    }

    fn route(topic: &Topic, key: &str) -> Vec<u64> {
        let mut found = Found::default();
        topic.route(key, &mut found);
        let mut ids: Vec<u64> = found.queues.iter().map(|id| id.0).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The definition, word by word.
    fn matches(pattern: &[&str], key: &[&str]) -> bool {
        match (pattern, key) {
            ([], []) => true,
            (["#", rest @ ..], _) => matches(rest, key) || (!key.is_empty() && matches(pattern, &key[1..])),
            (["*", pattern @ ..], [_, key @ ..]) => matches(pattern, key),
            ([word, pattern @ ..], [same, key @ ..]) if word == same => matches(pattern, key),
            _ => false,
        }
    }

    #[test]
    fn stars_are_words_and_hashes_any_number_of_them() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*", "", false),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b", false),
            ("a.#.#.c", "a.x.c", true),
            ("*.#.*", "a.b", true),
            ("*.#.*", "a", false),
            ("", "", true),
            ("", "a", false),
            ("a..b", "a..b", true),
            ("a.*.b", "a..b", true),
            ("*.*", ".", true),
            ("a#", "a#", true),
            ("a#", "ab", false),
        ];
        for (pattern, key, expected) in cases {
            assert_eq!(!route(&of(&[pattern]), key).is_empty(), expected, "{pattern:?} {key:?}");
        }
    }

    #[test]
    fn hostile_patterns_cost_no_more_than_words_times_nodes() {
        let hostile = format!("{}x", "#.*.".repeat(62));
        let topic = of(&[&hostile]);
        let key = "a.".repeat(120) + "a";
        assert!(route(&topic, &key).is_empty());
    }

    #[test]
    fn what_is_unbound_leaves_no_nodes() {
        let mut topic = of(&["a.*.#.b", "a.*", "#", "a.*"]);
        for (pattern, id) in [("a.*.#.b", 0), ("nothing", 0), ("a.*", 1), ("#", 2), ("a.*", 9), ("a.*", 3)] {
            topic.remove(pattern, &Destination::Queue(QueueId(id)));
        }
        assert_eq!(topic.nodes.len(), 1);
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_the_definition(
            patterns in prop::collection::vec("([ab*#]|ab)?(\\.([ab*#]|)){0,5}", 1..8),
            removed in any::<u8>(),
            keys in prop::collection::vec("[ab]?(\\.[ab]?){0,6}", 1..8),
        ) {
            let mut topic = of(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
            let stays = |id: usize| removed >> id & 1 == 0;
            for (id, pattern) in patterns.iter().enumerate().filter(|(id, _)| !stays(*id)) {
                topic.remove(pattern, &Destination::Queue(QueueId(id as u64)));
            }
            fn split(key: &str) -> Vec<&str> {
                if key.is_empty() { vec![] } else { key.split('.').collect() }
            }
            for key in &keys {
                let expected: Vec<u64> = patterns.iter().enumerate()
                    .filter(|(id, pattern)| stays(*id) && matches(&split(pattern), &split(key)))
                    .map(|(id, _)| id as u64)
                    .collect();
                prop_assert_eq!(route(&topic, key), expected, "{:?} {:?}", patterns, key);
            }
        }
    }
}
