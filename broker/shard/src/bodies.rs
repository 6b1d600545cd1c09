//! The bodies of the messages that go out next: a bounded run of them ahead of
//! the consumers, filled from entries as they commit while the queue is short,
//! and by reads of the log when it is long.

use std::collections::VecDeque;

use bytes::Bytes;
use warren_queue::Queue;
use warren_replication::message::Message;
use warren_replication::record;
use warren_replication::types::ConsumerKey;

use crate::seek::{Seek, Wanted};
use crate::settings::Settings;

/// Bytes of bodies that all queues of the shard keep together.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    pub(crate) used: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// Ascending offsets.
    cached: VecDeque<(u64, Message)>,
    bytes: usize,
    /// Every ready message below it is cached or was cached once.
    filled_to: u64,
    /// The message that a delivery is waiting for.
    missing: Option<u64>,
    pub(crate) seek: Seek,
}

impl Bodies {
    /// The body of this message, if it is here; it is not kept.
    pub(crate) fn take(&mut self, offset: u64, budget: &mut Budget) -> Option<Message> {
        let at = match self.cached.front() {
            Some((first, _)) if *first == offset => 0,
            _ => self.cached.binary_search_by_key(&offset, |(o, _)| *o).ok()?,
        };
        let (_, message) = if at == 0 { self.cached.pop_front() } else { self.cached.remove(at) }?;
        self.bytes -= message.weight();
        budget.used -= message.weight();
        Some(message)
    }

    /// A delivery waits for this one.
    pub(crate) fn miss(&mut self, offset: u64) {
        self.missing = Some(offset);
    }

    /// A committed entry whose messages begin at `first`, before the queue knows
    /// of them: they are kept while the queue is short enough.
    pub(crate) fn committed(
        &mut self,
        entry: &Bytes,
        first: u64,
        queue: &Queue<ConsumerKey>,
        budget: &mut Budget,
        settings: &Settings,
    ) {
        let idle = !queue.has_room();
        let shard_limit = if idle { settings.shard_cache / 2 } else { settings.shard_cache };
        if self.bytes >= settings.queue_cache
            || budget.used >= shard_limit
            || self.filled_to > first
            || queue.first_ready_from(self.filled_to).is_some()
        {
            return;
        }
        let Ok(messages) = record::messages(entry) else { return };
        for (offset, message) in messages {
            self.push_back(offset.0, message, budget);
        }
    }

    fn push_back(&mut self, offset: u64, message: Message, budget: &mut Budget) {
        self.bytes += message.weight();
        budget.used += message.weight();
        self.cached.push_back((offset, message));
        self.filled_to = offset + 1;
    }

    /// A ready message is gone: purged, or settled by one who held it once.
    pub(crate) fn forget(&mut self, offset: u64, budget: &mut Budget) {
        self.take(offset, budget);
    }

    /// What to read next, if anything.
    pub(crate) fn wanted(&mut self, queue: &Queue<ConsumerKey>, settings: &Settings) -> Option<Wanted> {
        if self.seek.is_reading() {
            return None;
        }
        if let Some(wanted) = self.seek.next() {
            return Some(wanted);
        }
        if let Some(offset) = self.missing.take() {
            return Some(Wanted::Offset(offset));
        }
        // Ahead of the consumers, before they have to wait.
        if queue.counts().consumers == 0 || self.bytes * 2 >= settings.queue_cache {
            return None;
        }
        queue.first_ready_from(self.filled_to).map(Wanted::Offset)
    }

    /// The answer to a read.
    pub(crate) fn read(
        &mut self,
        request: u64,
        entries: &[Bytes],
        queue: &Queue<ConsumerKey>,
        budget: &mut Budget,
        settings: &Settings,
    ) {
        let Some(want) = self.seek.answered(request) else { return };
        let mut end = None;
        let mut reached = false;
        let mut full = false;
        for entry in entries {
            let Ok(messages) = record::messages(entry) else { break };
            for (offset, message) in messages {
                // One read's worth is kept whatever the budgets say, or a full
                // shard would never deliver.
                full |= self.bytes >= settings.queue_cache
                    || (budget.used >= settings.shard_cache && self.bytes >= settings.read_bytes);
                if full && offset.0 > want {
                    break;
                }
                // Of a queue with priorities what lies before may not be next for long.
                if (!full || offset.0 == want) && queue.is_to_go_out(offset.0) {
                    self.insert(offset.0, message, budget);
                }
                self.filled_to = self.filled_to.max(offset.0 + 1);
                reached |= offset.0 >= want;
            }
            if full {
                break;
            }
            end = record::position(entry).ok().map(|position| position.index);
        }
        if !reached && queue.is_to_go_out(want) {
            self.seek.fell_short(end, want);
        }
    }

    fn insert(&mut self, offset: u64, message: Message, budget: &mut Budget) {
        let at = match self.cached.back() {
            Some((last, _)) if *last >= offset => match self.cached.binary_search_by_key(&offset, |(o, _)| *o) {
                Ok(_) => return,
                Err(at) => at,
            },
            _ => self.cached.len(),
        };
        self.bytes += message.weight();
        budget.used += message.weight();
        self.cached.insert(at, (offset, message));
    }

    /// Gives everything up.
    pub(crate) fn clear(&mut self, budget: &mut Budget) {
        budget.used -= self.bytes;
        *self = Self::default();
    }
}
