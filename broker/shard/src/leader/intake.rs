//! What the rules of a queue want to know of its messages: their priority, when
//! they are due, what their bodies weigh. It is learned from entries as they
//! commit; of what was inherited, and of what commits after it has left memory,
//! by reading the log in order. Messages become ready in order, so whatever comes
//! behind one that is not known yet waits for it.
//!
//! A queue that asks nothing, and whose messages have no expiration of their own,
//! passes through here by a look at one flag an entry.

use std::sync::Arc;

use bytes::Bytes;
use warren_amqp::{Properties, Value};
use warren_queue::{Arrival, Kind, Queue, Ready, Rules};
use warren_replication::ledger::Ledger;
use warren_replication::message::Message;
use warren_replication::record;
use warren_replication::types::ConsumerKey;

use crate::seek::{Seek, Wanted};

#[derive(Debug)]
pub(super) struct Intake {
    rules: Arc<Rules>,
    /// Committed, and not taken in yet.
    todo: Ready,
    /// Nothing is served before everything below it is taken in.
    inherited: u64,
    pub(super) seek: Seek,
}

/// Whether these rules ask something of every message.
fn asks(rules: &Rules) -> bool {
    rules.max_priority > 0 || rules.message_ttl.is_some() || rules.max_bytes.is_some() || rules.kind == Kind::Delayed
}

/// What must be known alike for nothing to be learned anew.
fn asked(rules: &Rules) -> (Option<u64>, bool) {
    (rules.message_ttl, rules.max_bytes.is_some())
}

impl Intake {
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self { rules, todo: Ready::default(), inherited: 0, seek: Seek::default() }
    }

    /// Other rules: what is there is learned anew if they ask something else.
    pub(super) fn adopt(&mut self, rules: Arc<Rules>, queue: Option<&mut Queue<ConsumerKey>>, ledger: &Ledger) {
        let before = std::mem::replace(&mut self.rules, rules);
        if let Some(queue) = queue
            && asked(&before) != asked(&self.rules)
        {
            queue.forget_times();
            self.learn_later(ledger);
        }
    }

    fn learn_later(&mut self, ledger: &Ledger) {
        let later = if asks(&self.rules) { ledger.live() } else { ledger.expiring() };
        later.iter().for_each(|range| self.todo.insert_range(range));
    }

    /// A takeover: what is ready without a look at it; the rest is read first.
    pub(super) fn inherit(&mut self, ledger: &Ledger) -> Vec<std::ops::Range<u64>> {
        self.inherited = ledger.next_offset().0;
        self.learn_later(ledger);
        let mut known = ledger.live().clone();
        self.todo.ranges().for_each(|range| known.remove(range));
        known.iter().collect()
    }

    /// Whether something inherited is not taken in yet.
    pub(super) fn is_inheriting(&self) -> bool {
        self.todo.first().is_some_and(|first| first < self.inherited)
    }

    /// Whether anything is not taken in yet.
    pub(super) fn has_more(&self) -> bool {
        !self.todo.is_empty()
    }

    /// Whether this message is not taken in yet.
    pub(super) fn awaits(&self, offset: u64) -> bool {
        self.todo.contains(offset)
    }

    /// Messages of a committed entry.
    pub(super) fn committed(
        &mut self,
        queue: &mut Queue<ConsumerKey>,
        first: u64,
        weights: &[u32],
        expiring: bool,
        entry: Option<&Bytes>,
    ) {
        let offsets = first..first + weights.len() as u64;
        match entry {
            _ if !self.todo.is_empty() => self.todo.insert_range(offsets),
            _ if !expiring && !asks(&self.rules) => queue.published(first, weights),
            Some(entry) => {
                each(entry, |time, offset, message| queue.arrived(arrival(&self.rules, time, offset, message)))
            }
            None => self.todo.insert_range(offsets),
        }
    }

    /// A message is gone.
    pub(super) fn settled(&mut self, offset: u64) {
        if !self.todo.is_empty() {
            self.todo.remove(offset);
        }
    }

    /// What to read next.
    pub(super) fn wanted(&mut self) -> Option<Wanted> {
        if self.seek.is_reading() {
            return None;
        }
        let next = self.seek.next();
        self.todo.first().map(|first| next.unwrap_or(Wanted::Offset(first)))
    }

    /// The answer to a read.
    pub(super) fn read(&mut self, request: u64, entries: &[Bytes], queue: &mut Queue<ConsumerKey>) {
        let Some(want) = self.seek.answered(request) else { return };
        let mut last = None;
        for entry in entries {
            let (rules, todo) = (&self.rules, &mut self.todo);
            each(entry, |time, offset, message| {
                // Behind what is committed nothing is known for good.
                if todo.remove(offset) {
                    queue.arrived(arrival(rules, time, offset, message));
                }
            });
            last = record::position(entry).ok().map(|position| position.index);
        }
        if self.todo.first() == Some(want) {
            self.seek.fell_short(last, want);
        }
    }
}

/// All messages of an entry that is in memory or was read, in order.
fn each(entry: &Bytes, mut take: impl FnMut(u64, u64, &Message)) {
    let (Ok(time), Ok(messages)) = (record::time(entry), record::messages(entry)) else { return };
    for (offset, message) in &messages {
        take(time, offset.0, message);
    }
}

fn arrival(rules: &Rules, time: u64, offset: u64, message: &Message) -> Arrival {
    let properties = Properties::parse(&message.properties).ok();
    let properties = properties.as_ref();
    let priority = properties.filter(|_| rules.max_priority > 0).and_then(Properties::priority).unwrap_or(0);
    let wait = if rules.kind == Kind::Delayed {
        Some(properties.map_or(0, delay))
    } else {
        let own = properties.filter(|_| message.has_expiration()).and_then(expiration);
        own.into_iter().chain(rules.message_ttl).min()
    };
    Arrival {
        offset,
        priority: priority.min(rules.max_priority),
        due: wait.map(|wait| time.saturating_add(wait)),
        weight: super::weight(message),
        body: u32::try_from(message.body.len()).unwrap_or(u32::MAX),
    }
}

/// The property `expiration`: the channel has refused what is no number.
fn expiration(properties: &Properties) -> Option<u64> {
    std::str::from_utf8(&properties.expiration()?).ok()?.parse().ok()
}

/// The header `x-delay`, in milliseconds.
fn delay(properties: &Properties) -> u64 {
    let header = properties.headers().and_then(|headers| headers.get("x-delay"));
    let delay = header.and_then(|value| match &value {
        Value::LongStr(_) => value.as_str().and_then(|text| text.parse().ok()),
        number => number.as_i64(),
    });
    delay.and_then(|delay: i64| u64::try_from(delay).ok()).unwrap_or(0)
}
