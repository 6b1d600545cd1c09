//! The ready messages: a lane for each priority, the higher one first, and first
//! in, first out within each. A plain queue has one lane.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::ready::Ready;

#[derive(Debug)]
pub(crate) struct Lanes {
    /// By priority; at least one.
    lanes: Vec<Ready>,
    len: u64,
    bodies: Option<Bodies>,
}

/// What bodies weigh, where a limit counts them.
#[derive(Debug, Default)]
struct Bodies {
    /// Of messages in whatever place.
    sizes: FxHashMap<u64, u32>,
    /// The sum of the ready ones.
    ready: u64,
}

impl Bodies {
    fn size(&self, offset: u64) -> u64 {
        self.sizes.get(&offset).copied().unwrap_or(0).into()
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self { lanes: vec![Ready::default()], len: 0, bodies: None }
    }
}

impl Lanes {
    /// Makes room for priorities up to this one; a message is never moved.
    pub(crate) fn up_to(&mut self, priority: u8) {
        let lanes = usize::from(priority) + 1;
        if self.lanes.len() < lanes {
            self.lanes.resize_with(lanes, Ready::default);
        }
    }

    /// Counts bytes of bodies from now on, or no more.
    pub(crate) fn count_bodies(&mut self, count: bool) {
        if count != self.bodies.is_some() {
            self.bodies = count.then(Bodies::default);
        }
    }

    /// What a message's body weighs; told before it is ready.
    pub(crate) fn weigh(&mut self, offset: u64, body: u32) {
        let ready = self.contains(offset);
        if let Some(bodies) = &mut self.bodies
            && bodies.sizes.insert(offset, body).is_none()
            && ready
        {
            bodies.ready += u64::from(body);
        }
    }

    /// The message is gone for good.
    pub(crate) fn forget(&mut self, offset: u64) {
        if let Some(bodies) = &mut self.bodies {
            bodies.sizes.remove(&offset);
        }
    }

    /// Bytes of the bodies of ready messages, if they are counted.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.bodies.as_ref().map_or(0, |bodies| bodies.ready)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn len_below(&self, offset: u64) -> u64 {
        self.lanes.iter().map(|lane| lane.len_below(offset)).sum()
    }

    /// The message that is next, whatever its offset.
    pub(crate) fn head(&self) -> Option<u64> {
        self.lanes.iter().rev().find_map(Ready::first)
    }

    /// The lowest offset.
    pub(crate) fn first(&self) -> Option<u64> {
        self.lanes.iter().filter_map(Ready::first).min()
    }

    /// The lowest offset that is not below this one.
    pub(crate) fn first_from(&self, offset: u64) -> Option<u64> {
        self.lanes.iter().filter_map(|lane| lane.first_from(offset)).min()
    }

    pub(crate) fn contains(&self, offset: u64) -> bool {
        self.lanes.iter().any(|lane| lane.contains(offset))
    }

    /// Takes the next message out, and says its lane.
    pub(crate) fn pop(&mut self) -> Option<(u64, u8)> {
        let (priority, lane) = self.lanes.iter_mut().enumerate().rev().find(|(_, lane)| !lane.is_empty())?;
        let offset = lane.pop_first()?;
        self.left(offset);
        Some((offset, priority as u8))
    }

    /// Adds one message.
    pub(crate) fn insert(&mut self, offset: u64, lane: u8) {
        let last = self.lanes.len() - 1;
        if self.lanes[usize::from(lane).min(last)].insert(offset) {
            self.len += 1;
            if let Some(bodies) = &mut self.bodies {
                bodies.ready += bodies.size(offset);
            }
        }
    }

    /// Adds messages without priority, of which nothing else is to be known.
    pub(crate) fn insert_range(&mut self, range: Range<u64>) {
        let before = self.lanes[0].len();
        self.lanes[0].insert_range(range);
        self.len += self.lanes[0].len() - before;
    }

    /// Takes one message out; its lane, if it was there.
    pub(crate) fn remove(&mut self, offset: u64) -> Option<u8> {
        let lane = self.lanes.iter_mut().position(|lane| lane.remove(offset))?;
        self.left(offset);
        Some(lane as u8)
    }

    fn left(&mut self, offset: u64) {
        self.len -= 1;
        if let Some(bodies) = &mut self.bodies {
            bodies.ready -= bodies.size(offset);
        }
    }

    /// Takes everything out: the ranges, ascending.
    pub(crate) fn take_all(&mut self) -> Vec<Range<u64>> {
        let mut all = Ready::default();
        for lane in &mut self.lanes {
            for range in std::mem::take(lane).ranges() {
                all.insert_range(range);
            }
        }
        self.len = 0;
        if let Some(bodies) = &mut self.bodies {
            bodies.ready = 0;
        }
        all.ranges().collect()
    }
}
