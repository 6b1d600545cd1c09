//! Parts of a stream's log in memory, decoded once and shared by all readers:
//! its newest entries as they commit, and what was fetched for those who are
//! behind. What was not used for longest goes first.

use std::collections::BTreeMap;

use bytes::Bytes;
use warren_replication::message::Message;
use warren_replication::record;
use warren_replication::types::{Index, Offset};

use crate::bodies::Budget;
use crate::settings::Settings;

/// What a decoded message takes beside its bytes.
const OVERHEAD: usize = size_of::<(Offset, Message)>();

/// Messages of consecutive entries.
#[derive(Debug)]
pub(super) struct Page {
    /// Ascending, at least one.
    pub(super) messages: Vec<(Offset, Message)>,
    /// The entry after the last one in it.
    pub(super) then: Index,
    bytes: usize,
    used: u64,
}

impl Page {
    /// A page of these messages, up to the entry before `then`; none if there are none.
    pub(super) fn new(messages: Vec<(Offset, Message)>, then: Index) -> Option<Self> {
        let bytes = messages.iter().map(|(_, message)| message.weight() + OVERHEAD).sum();
        (!messages.is_empty()).then_some(Self { messages, then, bytes, used: 0 })
    }

    fn first(&self) -> u64 {
        self.messages.first().map_or(0, |(offset, _)| offset.0)
    }

    fn end(&self) -> u64 {
        self.messages.last().map_or(0, |(offset, _)| offset.0 + 1)
    }
}

/// What a reader gets of a page.
pub(super) struct Taken {
    pub(super) messages: Vec<(Offset, Message)>,
    /// Where the reader goes on.
    pub(super) next: u64,
    /// The entry to go on with, if the page ends here.
    pub(super) then: Option<Index>,
}

#[derive(Debug, Default)]
pub(super) struct Pages {
    /// By first message; none overlaps another.
    pages: BTreeMap<u64, Page>,
    bytes: usize,
    clock: u64,
}

impl Pages {
    /// Messages from this one on, as many as a page holds of them and these bounds
    /// allow; nothing if it is not here.
    pub(super) fn take(&mut self, next: u64, most: usize, bytes: u64) -> Option<Taken> {
        let (_, page) = self.pages.range_mut(..=next).next_back().filter(|(_, page)| next < page.end())?;
        self.clock += 1;
        page.used = self.clock;
        let begin = page.messages.partition_point(|(offset, _)| offset.0 < next);
        let mut weight = 0;
        let messages: Vec<_> = page.messages[begin..]
            .iter()
            .take(most)
            .take_while(|(_, message)| {
                let goes = weight < bytes;
                weight += message.weight() as u64;
                goes
            })
            .cloned()
            .collect();
        let next = messages.last().map_or(next, |(offset, _)| offset.0 + 1);
        Some(Taken { then: (next >= page.end()).then_some(page.then), messages, next })
    }

    /// A committed entry, which follows all that were before.
    pub(super) fn append(&mut self, index: Index, entry: &Bytes, budget: &mut Budget, settings: &Settings) {
        let Ok(messages) = record::messages(entry) else { return };
        let Some(mut page) = Page::new(messages, index.next()) else { return };
        if let Some(mut last) = self.pages.last_entry()
            && last.get().then == index
            && last.get().bytes < settings.read_bytes
        {
            let last = last.get_mut();
            self.bytes += page.bytes;
            budget.used += page.bytes;
            self.clock += 1;
            last.used = self.clock;
            last.bytes += page.bytes;
            last.messages.append(&mut page.messages);
            last.then = page.then;
            self.evict(last_key(&self.pages), budget, settings);
        } else {
            self.insert(page, budget, settings);
        }
    }

    /// A page that was fetched. What of it is here already stays as it is. It is
    /// kept whatever the bounds say, or a full shard would never deliver.
    pub(super) fn insert(&mut self, mut page: Page, budget: &mut Budget, settings: &Settings) {
        let (first, end) = (page.first(), page.end());
        let overlapping: Vec<u64> =
            self.pages.range(..end).rev().take_while(|(_, known)| known.end() > first).map(|(key, _)| *key).collect();
        for key in overlapping {
            if let Some(known) = self.pages.remove(&key) {
                self.bytes -= known.bytes;
                budget.used -= known.bytes;
            }
        }
        self.clock += 1;
        page.used = self.clock;
        self.bytes += page.bytes;
        budget.used += page.bytes;
        self.pages.insert(first, page);
        self.evict(first, budget, settings);
    }

    /// Lets go of the pages not used for longest while there is too much, but of
    /// the newest.
    fn evict(&mut self, newest: u64, budget: &mut Budget, settings: &Settings) {
        while self.pages.len() > 1 && (self.bytes > settings.queue_cache || budget.used > settings.shard_cache) {
            let oldest = self.pages.iter().filter(|(key, _)| **key != newest).min_by_key(|(_, page)| page.used);
            let Some(key) = oldest.map(|(key, _)| *key) else { return };
            if let Some(page) = self.pages.remove(&key) {
                self.bytes -= page.bytes;
                budget.used -= page.bytes;
            }
        }
    }

    /// Gives everything up.
    pub(super) fn clear(&mut self, budget: &mut Budget) {
        budget.used -= self.bytes;
        self.bytes = 0;
        self.pages.clear();
    }
}

fn last_key(pages: &BTreeMap<u64, Page>) -> u64 {
    pages.last_key_value().map_or(0, |(key, _)| *key)
}
