//! Links between nodes: ordered both ways, in sessions. A session that breaks
//! loses any suffix of what is under way, and both ends hear of it, each in its
//! own time; a new one begins only then.

use std::collections::BTreeMap;

#[derive(Debug, Default, Clone)]
pub(crate) struct Link {
    pub(crate) session: u64,
    /// The session is good.
    pub(crate) whole: bool,
    /// Each end's view: it has been told that the link is up.
    pub(crate) up: [bool; 2],
    /// When each end is told.
    pub(crate) up_at: [u64; 2],
    /// When each end was last told that it is down.
    pub(crate) down_at: [u64; 2],
    /// From then on nothing from this end arrives any more.
    pub(crate) cut_at: [Option<u64>; 2],
    pub(crate) last_arrival: [u64; 2],
}

#[derive(Debug)]
pub(crate) struct Net {
    links: BTreeMap<(usize, usize), Link>,
    /// Nothing gets from the one to the other, until then.
    blocked: BTreeMap<(usize, usize), u64>,
}

/// The pair in its order, and which end of it the first one is.
fn pair(from: usize, to: usize) -> ((usize, usize), usize) {
    if from < to { ((from, to), 0) } else { ((to, from), 1) }
}

impl Net {
    pub(crate) fn new(nodes: usize) -> Self {
        let links = (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| ((a, b), Link::default()))).collect();
        Self { links, blocked: BTreeMap::new() }
    }

    pub(crate) fn pairs(&self) -> Vec<(usize, usize)> {
        self.links.keys().copied().collect()
    }

    /// The link and which of its ends `from` is.
    pub(crate) fn link(&mut self, from: usize, to: usize) -> (&mut Link, usize) {
        let (pair, end) = pair(from, to);
        (self.links.entry(pair).or_default(), end)
    }

    pub(crate) fn block(&mut self, from: usize, to: usize, until: u64) {
        let at = self.blocked.entry((from, to)).or_default();
        *at = until.max(*at);
    }

    pub(crate) fn heal(&mut self) {
        self.blocked.clear();
    }

    pub(crate) fn flows(&self, from: usize, to: usize, now: u64) -> bool {
        self.blocked.get(&(from, to)).is_none_or(|until| *until <= now)
    }

    pub(crate) fn flows_both(&self, a: usize, b: usize, now: u64) -> bool {
        self.flows(a, b, now) && self.flows(b, a, now)
    }
}
