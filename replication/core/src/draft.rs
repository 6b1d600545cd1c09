//! The entry that a leader is gathering in this turn.

use std::ops::Range;

use bytes::Bytes;

use crate::keys::Key;
use crate::message::{Message, SettleReason};
use crate::record::{Record, push_run};
use crate::types::{Moment, Offset, Process, Session};

/// Records and messages of the next entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Draft {
    pub(crate) records: Vec<Record>,
    pub(crate) messages: Vec<Message>,
    /// About how large the entry gets.
    pub(crate) bytes: usize,
    /// Since when there are only acknowledgements in it.
    acknowledged: Option<Moment>,
}

impl Draft {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether nobody waits for it before this much time (µs) has passed: it
    /// holds nothing but acknowledgements, which free their consumer's room
    /// already, and which their entry nodes repeat until they are told (§6.8).
    pub(crate) fn may_wait(&self, now: Moment, micros: u64) -> bool {
        let acknowledgement = |record: &Record| matches!(record, Record::Settle { reason: SettleReason::Acked, .. });
        self.acknowledged.is_some_and(|since| now.micros_since(since) < micros)
            && self.records.iter().all(acknowledgement)
    }

    pub(crate) fn epoch_start(&mut self, leader: Process, unclean: bool) {
        self.records.push(Record::EpochStart { leader, unclean });
    }

    pub(crate) fn publish(&mut self, session: Session, floor: u64, sequence: u64, message: Message) {
        self.bytes += message.weight() + 16;
        self.messages.push(message);
        if let Some(Record::Publish { session: last, floor: known, runs }) = self.records.last_mut()
            && *last == session
        {
            *known = floor.max(*known);
            push_run(runs, sequence);
            return;
        }
        self.records.push(Record::Publish { session, floor, runs: vec![(sequence, sequence)] });
    }

    /// One that was refused; its message if it is kept.
    pub(crate) fn refuse(&mut self, session: Session, floor: u64, sequence: u64, message: Option<Message>) {
        self.bytes += 16;
        let keep = message.is_some();
        if let Some(message) = message {
            self.bytes += message.weight();
            self.messages.push(message);
        }
        if let Some(Record::Refuse { session: last, floor: known, runs, kept }) = self.records.last_mut()
            && *last == session
            && *kept == keep
        {
            *known = floor.max(*known);
            push_run(runs, sequence);
            return;
        }
        self.records.push(Record::Refuse { session, floor, runs: vec![(sequence, sequence)], kept: keep });
    }

    pub(crate) fn duplicate(&mut self, session: Session, floor: u64, sequence: u64) {
        self.bytes += 16;
        if let Some(Record::Duplicate { session: last, floor: known, runs }) = self.records.last_mut()
            && *last == session
        {
            *known = floor.max(*known);
            push_run(runs, sequence);
            return;
        }
        self.records.push(Record::Duplicate { session, floor, runs: vec![(sequence, sequence)] });
    }

    pub(crate) fn keys(&mut self, keys: Vec<(Key, u64)>, most: u32) {
        if !keys.is_empty() {
            self.bytes += keys.len() * 24;
            self.records.push(Record::Keys { keys, most });
        }
    }

    pub(crate) fn settle(&mut self, now: Moment, offsets: Vec<Offset>, why: SettleReason) {
        if offsets.is_empty() {
            return;
        }
        self.bytes += offsets.len();
        self.settling(now, why, |ranges| {
            for offset in offsets {
                // The last number of all is no offset, so that ranges can end before it.
                if offset.0 < u64::MAX {
                    push_run(ranges, offset.0);
                }
            }
        });
    }

    pub(crate) fn settle_ranges(&mut self, now: Moment, mut offsets: Vec<Range<u64>>, why: SettleReason) {
        offsets.retain(|range| !range.is_empty());
        if offsets.is_empty() {
            return;
        }
        self.bytes += offsets.len() * 16;
        self.settling(now, why, |ranges| ranges.extend(offsets.iter().map(|range| (range.start, range.end - 1))));
    }

    /// Adds to the settle that is the last record, or to a new one.
    fn settling(&mut self, now: Moment, why: SettleReason, add: impl FnOnce(&mut Vec<(u64, u64)>)) {
        self.acknowledged.get_or_insert(now);
        let same = matches!(self.records.last(), Some(Record::Settle { reason, .. }) if *reason == why);
        if !same {
            self.records.push(Record::Settle { reason: why, ranges: Vec::new() });
        }
        if let Some(Record::Settle { ranges, .. }) = self.records.last_mut() {
            add(ranges);
        }
    }

    pub(crate) fn give_back(&mut self, offsets: Vec<(Offset, u32)>) {
        if !offsets.is_empty() {
            self.bytes += offsets.len() * 8;
            self.records.push(Record::Return { offsets });
        }
    }

    pub(crate) fn consign(&mut self, site: Bytes, first: u64, offsets: &[Offset]) {
        self.bytes += site.len() + offsets.len() * 8;
        self.records.push(Record::Consign { site, first, runs: runs(offsets) });
    }

    pub(crate) fn reclaim(&mut self, offsets: &[Offset]) {
        self.bytes += offsets.len() * 8;
        self.records.push(Record::Reclaim { ranges: runs(offsets) });
    }

    pub(crate) fn horizon(&mut self, offset: Offset) {
        self.records.push(Record::Horizon(offset));
    }

    pub(crate) fn end_session(&mut self, session: Session) {
        self.records.push(Record::EndSession(session));
    }
}

fn runs(offsets: &[Offset]) -> Vec<(u64, u64)> {
    let mut runs = Vec::new();
    offsets.iter().for_each(|offset| push_run(&mut runs, offset.0));
    runs
}
