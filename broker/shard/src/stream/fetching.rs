//! From a reader's place to the entries that hold it. Whoever read on from a page
//! knows the next entry; the others are found through the log's sparse map, and
//! between two of its marks by halving, one entry a read. Reads are few at a time,
//! and those who want the same share one.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_queue::stream::Readers;
use warren_replication::record;
use warren_replication::replica::Replica;
use warren_replication::types::{ConsumerKey, Index, Offset};

use super::pages::Page;
use crate::settings::Settings;

/// Reads under way for one stream.
const READS: usize = 4;
/// So few entries are read in order rather than halved.
const NEAR: u64 = 8;

/// Where a reader's next message is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Among these entries, or behind them if they are few and it is not there.
    among: Range<Index>,
    /// It is the first one of that time or later, of which the offset is not known.
    time: Option<u64>,
}

#[derive(Debug)]
struct Fetch {
    first: Index,
    /// Halving: only what the entry says of itself is of interest.
    probe: bool,
    who: Vec<ConsumerKey>,
}

#[derive(Debug, Default)]
pub(super) struct Fetching {
    places: FxHashMap<ConsumerKey, Place>,
    /// Those who want something and have not asked.
    wanting: VecDeque<ConsumerKey>,
    fetches: FxHashMap<u64, Fetch>,
}

impl Fetching {
    /// A reader is gone, or attached anew: what was asked for it is another's.
    pub(super) fn forget(&mut self, key: &ConsumerKey) {
        self.places.remove(key);
        self.wanting.retain(|other| other != key);
        for fetch in self.fetches.values_mut() {
            fetch.who.retain(|other| other != key);
        }
    }

    /// It is not known in which entry a reader's next message is.
    pub(super) fn unplace(&mut self, key: &ConsumerKey) {
        self.places.remove(key);
    }

    /// The next message of a reader is in this entry, or after it.
    pub(super) fn place(&mut self, key: ConsumerKey, index: Index) {
        self.places.insert(key, Place { among: index..index.next(), time: None });
    }

    /// A reader wants its next message.
    pub(super) fn want(&mut self, key: ConsumerKey) {
        self.wanting.push_back(key);
    }

    /// A reader wants the first message of that time or later.
    pub(super) fn seek(&mut self, key: ConsumerKey, time: u64, replica: &Replica) {
        self.places.insert(key, Place { among: replica.around_time(time), time: Some(time) });
        self.wanting.push_back(key);
    }

    /// Asks for what is wanted, as far as reads are free.
    pub(super) fn ask(
        &mut self,
        readers: &Readers<ConsumerKey>,
        kept: u64,
        replica: &Replica,
        settings: &Settings,
        mut ask: impl FnMut(Index, usize) -> u64,
    ) {
        while self.fetches.len() < READS {
            let Some(key) = self.wanting.pop_front() else { return };
            let Some(next) = readers.next(&key) else { continue };
            let place = self
                .places
                .entry(key)
                .or_insert_with(|| Place { among: replica.around(Offset(next.max(kept))), time: None });
            let span = place.among.end.0.saturating_sub(place.among.start.0);
            let probe = span > NEAR;
            let first = if probe { Index(place.among.start.0 + span / 2) } else { place.among.start };
            if let Some(fetch) = self.fetches.values_mut().find(|fetch| fetch.first == first && fetch.probe == probe) {
                fetch.who.push(key);
                continue;
            }
            // A log is read by the entry, so one byte is one entry.
            let request = ask(first, if probe { 1 } else { settings.read_bytes });
            self.fetches.insert(request, Fetch { first, probe, who: vec![key] });
        }
    }

    /// The answer: whoever finds its message in it gets another turn, the others
    /// ask on. The page that it makes. `found` hears of times that are found.
    pub(super) fn answered(
        &mut self,
        request: u64,
        entries: &[Bytes],
        readers: &mut Readers<ConsumerKey>,
        kept: u64,
        commit: Index,
        mut found: impl FnMut(ConsumerKey, u64),
    ) -> Option<Page> {
        let fetch = self.fetches.remove(&request)?;
        if fetch.probe {
            self.halved(&fetch, entries.first(), readers, kept);
            return None;
        }
        let mut messages = Vec::new();
        let mut then = fetch.first;
        // Of each entry with messages, its first one and its time.
        let mut times = Vec::new();
        for entry in entries {
            let (Ok(position), Ok(of_entry)) = (record::position(entry), record::messages(entry)) else { break };
            // What follows is in the log, and may yet be taken out of it.
            if position.index > commit {
                break;
            }
            if let (Some((first, _)), Ok(time)) = (of_entry.first(), record::time(entry)) {
                times.push((first.0, time));
            }
            messages.extend(of_entry);
            then = position.index.next();
        }
        for key in fetch.who {
            let Some(next) = readers.next(&key) else { continue };
            let time = self.places.get(&key).and_then(|place| place.time);
            let begins = match time {
                Some(time) => times.iter().find(|(_, at)| *at >= time).map(|(first, _)| (*first).max(kept)),
                None => {
                    let next = next.max(kept);
                    let nth = messages.partition_point(|(offset, _)| offset.0 < next);
                    messages.get(nth).map(|(offset, _)| offset.0)
                }
            };
            match (begins, time) {
                (Some(begins), Some(_)) => {
                    self.places.remove(&key);
                    readers.found(&key, begins);
                    found(key, begins);
                }
                (Some(begins), None) => {
                    self.places.remove(&key);
                    readers.fetched(&key, begins);
                }
                // Nothing is of that time yet.
                (None, Some(_)) if then > commit => {
                    self.places.remove(&key);
                    readers.found(&key, readers.end());
                    found(key, readers.end());
                }
                (None, _) if then > fetch.first => {
                    self.places.insert(key, Place { among: then..then.next(), time });
                    self.wanting.push_back(key);
                }
                // The log has been released meanwhile: its oldest message is next.
                (None, Some(_)) => {
                    self.places.remove(&key);
                    readers.found(&key, kept);
                    found(key, kept);
                }
                (None, None) => {
                    self.places.remove(&key);
                    readers.fetched(&key, next.max(kept));
                }
            }
        }
        Page::new(messages, then)
    }

    /// One entry in the middle says on which side of it a place is.
    fn halved(&mut self, fetch: &Fetch, entry: Option<&Bytes>, readers: &Readers<ConsumerKey>, kept: u64) {
        let said = entry.and_then(|entry| Some((record::offsets(entry).ok()?.start, record::time(entry).ok()?)));
        for key in &fetch.who {
            let (Some(next), Some(place)) = (readers.next(key), self.places.get_mut(key)) else { continue };
            match said {
                Some((first, at)) => {
                    let behind = place.time.map_or(first <= next.max(kept), |time| at < time);
                    if behind {
                        place.among.start = fetch.first;
                    } else {
                        place.among.end = fetch.first;
                    }
                }
                // Released meanwhile: what is left begins later.
                None => place.among.start = fetch.first.next(),
            }
            self.wanting.push_back(*key);
        }
    }
}
