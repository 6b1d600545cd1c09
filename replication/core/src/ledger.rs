//! What the committed log has made of a queue: live offsets, delivery counts,
//! horizon, sessions, what is consigned. Derived state; nothing uncommitted is ever in it (§5.2).

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use crate::codec::{Malformed, Reader, Writer};
use crate::consigned::Consigned;
use crate::keys::Keys;
use crate::mutation::{self, Mutation};
use crate::ranges::RangeSet;
use crate::record::{Entry, Record};
use crate::session::SessionTable;
use crate::step::Committed;
use crate::types::{Offset, Position};

/// A queue's state at one committed index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    applied: Position,
    /// The latest time of an entry.
    time: u64,
    next_offset: Offset,
    horizon: Offset,
    live: RangeSet,
    /// Live offsets of entries in which some message has an expiration.
    expiring: RangeSet,
    /// Live offsets of messages that were refused and are kept to be moved on.
    doomed: RangeSet,
    keys: Keys,
    counts: BTreeMap<u64, u32>,
    consigned: Consigned,
    sessions: SessionTable,
}

impl Ledger {
    /// The entry up to which everything is in here.
    #[must_use]
    pub fn applied(&self) -> Position {
        self.applied
    }

    /// The latest time of an entry that is in here ([`Entry::time`]).
    #[must_use]
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The offsets of messages that are not settled.
    #[must_use]
    pub fn live(&self) -> &RangeSet {
        &self.live
    }

    /// The live offsets among which all are that have an expiration of their own.
    #[must_use]
    pub fn expiring(&self) -> &RangeSet {
        &self.expiring
    }

    /// The live messages that were refused when they came, and only move on.
    #[must_use]
    pub fn doomed(&self) -> &RangeSet {
        &self.doomed
    }

    /// The keys of messages taken.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// How often the message was delivered and returned.
    #[must_use]
    pub fn count(&self, offset: Offset) -> u32 {
        self.counts.get(&offset.0).copied().unwrap_or(0)
    }

    /// All delivery counts that are not 0, ascending by offset.
    pub fn counts(&self) -> impl Iterator<Item = (Offset, u32)> + '_ {
        self.counts.iter().map(|(&offset, &count)| (Offset(offset), count))
    }

    /// Live messages that only links of one site may be given (§4.9).
    #[must_use]
    pub fn consigned(&self) -> &Consigned {
        &self.consigned
    }

    /// Nothing at or above this offset was ever delivered.
    #[must_use]
    pub fn horizon(&self) -> Offset {
        self.horizon
    }

    /// The offset that the next message gets.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Who published what.
    #[must_use]
    pub fn sessions(&self) -> &SessionTable {
        &self.sessions
    }

    /// A ledger as it is where a log begins: everything before is settled.
    /// Sessions and horizon may be of a later index, replay over them changes
    /// nothing (§5.3).
    pub(crate) fn at_base(&self, base: Position, next_offset: Offset) -> Self {
        Self {
            applied: base,
            time: self.time,
            next_offset,
            horizon: self.horizon,
            live: RangeSet::new(),
            expiring: RangeSet::new(),
            doomed: RangeSet::new(),
            keys: self.keys.clone(),
            counts: BTreeMap::new(),
            consigned: Consigned::default(),
            sessions: match mutation::on(Mutation::InstallWithoutSessions) {
                true => SessionTable::default(),
                false => self.sessions.clone(),
            },
        }
    }

    /// Applies the next committed entry. `told`, if given, learns what it did.
    pub(crate) fn apply(&mut self, entry: &Entry, mut told: Option<&mut Committed>) {
        let offsets = entry.offsets();
        self.applied = entry.position;
        self.next_offset = self.next_offset.max(Offset(offsets.end));
        self.time = self.time.max(entry.time);
        if entry.expiring {
            self.expiring.insert(offsets.clone());
        }
        let mut next = offsets.start;
        self.live.insert(offsets);
        for record in &entry.records {
            match record {
                Record::Publish { session, floor, runs } => {
                    next += total(runs);
                    self.sessions.publish(*session, *floor, runs);
                    if let Some(told) = told.as_deref_mut() {
                        told.confirmed.push((*session, runs.clone()));
                    }
                }
                Record::Refuse { session, floor, runs, kept } => {
                    if *kept {
                        self.doomed.insert(next..next + total(runs));
                        next += total(runs);
                    }
                    self.sessions.refuse(*session, *floor, runs);
                    if let Some(told) = told.as_deref_mut() {
                        told.refused.push((*session, runs.clone()));
                    }
                }
                Record::Duplicate { session, floor, runs } => {
                    self.sessions.publish(*session, *floor, runs);
                    // Nobody waits to hear of an origin's.
                    if let Some(told) = told.as_deref_mut().filter(|_| !session.is_origin()) {
                        told.confirmed.push((*session, runs.clone()));
                    }
                }
                Record::Keys { keys, most } => {
                    keys.iter().for_each(|(key, until)| self.keys.insert(*key, *until));
                    self.keys.trim(self.time, *most as usize);
                }
                Record::Settle { ranges, .. } => {
                    for &(first, last) in ranges {
                        self.settle(first, last, told.as_deref_mut());
                    }
                }
                Record::Return { offsets } => {
                    for &(offset, count) in offsets {
                        let counts = self.live.contains(offset.0)
                            && (count == self.count(offset) + 1 || mutation::on(Mutation::CountAnyReturn));
                        if counts {
                            self.counts.insert(offset.0, count);
                        }
                        if let Some(told) = told.as_deref_mut() {
                            if counts {
                                told.returned.push((offset, count));
                            } else {
                                told.ignored.push(offset);
                            }
                        }
                    }
                }
                Record::Consign { site, first, runs } => {
                    let offsets = runs.iter().flat_map(|&(first, last)| first..=last);
                    let mut counted = Vec::new();
                    for (offset, number) in offsets.zip(*first..) {
                        if self.live.contains(offset) && self.consigned.insert(offset, site, number) {
                            counted.push(offset);
                        }
                    }
                    if let Some(told) = told.as_deref_mut().filter(|_| !counted.is_empty()) {
                        told.consigned.push((site.clone(), counted));
                    }
                }
                Record::Reclaim { ranges } => {
                    for &(first, last) in ranges {
                        self.consigned.remove(first..last.saturating_add(1), |offset| {
                            if let Some(told) = told.as_deref_mut() {
                                told.reclaimed.push(offset);
                            }
                        });
                    }
                }
                Record::Horizon(offset) => self.horizon = self.horizon.max(*offset),
                Record::EndSession(session) => self.sessions.end(session),
                Record::EpochStart { unclean, .. } => {
                    if *unclean {
                        // The horizon that stood may be among what is missing.
                        self.horizon = self.horizon.max(entry.first_offset);
                    }
                }
            }
        }
        if let Some(told) = told {
            told.horizon = self.horizon;
        }
    }

    /// A settle is final: what is live in the inclusive range leaves for good.
    fn settle(&mut self, first: u64, last: u64, told: Option<&mut Committed>) {
        let end = last.saturating_add(1);
        if !self.counts.is_empty() {
            let counted: Vec<u64> = self.counts.range(first..end).map(|(&offset, _)| offset).collect();
            for offset in counted {
                self.counts.remove(&offset);
            }
        }
        if !self.consigned.is_empty() {
            self.consigned.remove(first..end, |_| {});
        }
        for marked in [&mut self.expiring, &mut self.doomed] {
            if !marked.is_empty() {
                marked.remove(first..end);
            }
        }
        let Some(told) = told else {
            self.live.remove(first..end);
            return;
        };
        // Offsets that were not live are named only one by one, as consumers
        // settle them: a range that reaches beyond the queue's last offset is
        // not walked.
        let mut at = first;
        self.live.take(first..end, |gone| {
            told.ignored.extend((at..gone.start).map(Offset));
            at = gone.end;
            told.settled.push(gone);
        });
        let known = end.min(self.next_offset.0.max(first.saturating_add(1)));
        if mutation::on(Mutation::SettleTwice) {
            told.settled.extend((at < known).then_some(at..known));
        }
        told.ignored.extend((at..known).map(Offset));
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_position(self.applied);
        out.put_varint(self.time);
        out.put_varint(self.next_offset.0);
        out.put_varint(self.horizon.0);
        self.live.encode(out);
        self.expiring.encode(out);
        self.doomed.encode(out);
        self.keys.encode(out);
        out.put_varint(self.counts.len() as u64);
        for (offset, count) in &self.counts {
            out.put_varint(*offset);
            out.put_u32_le(*count);
        }
        self.consigned.encode(out);
        self.sessions.encode(out);
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut ledger = Self {
            applied: from.position()?,
            time: from.varint()?,
            next_offset: Offset(from.varint()?),
            horizon: Offset(from.varint()?),
            live: RangeSet::decode(from)?,
            expiring: RangeSet::decode(from)?,
            doomed: RangeSet::decode(from)?,
            keys: Keys::decode(from)?,
            ..Self::default()
        };
        for _ in 0..from.count(5)? {
            ledger.counts.insert(from.varint()?, from.u32()?);
        }
        ledger.consigned = Consigned::decode(from)?;
        ledger.sessions = SessionTable::decode(from)?;
        Ok(ledger)
    }
}

/// How many sequences these inclusive ranges hold; the entry was checked.
fn total(runs: &[(u64, u64)]) -> u64 {
    runs.iter().map(|(first, last)| last - first + 1).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

    use super::*;
    use crate::message::SettleReason;
    use crate::types::{Boot, Epoch, Incarnation, Index, NodeId, Process, Session};

    fn session() -> Session {
        let process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
        Session { process, connection: 1, channel: 1, opened: 0 }
    }

    fn entry(index: u64, first_offset: u64, messages: u32, records: Vec<Record>) -> Entry {
        let position = Position { epoch: Epoch(1), index: Index(index) };
        let first_offset = Offset(first_offset);
        Entry { position, first_offset, time: 1_000 + index, messages, expiring: false, records }
    }

    fn publish(index: u64, first_offset: u64, messages: u32) -> Entry {
        let runs = vec![(first_offset + 1, first_offset + u64::from(messages))];
        entry(index, first_offset, messages, vec![Record::Publish { session: session(), floor: 1, runs }])
    }

    fn settle(ranges: &[(u64, u64)]) -> Record {
        Record::Settle { reason: SettleReason::Acked, ranges: ranges.to_vec() }
    }

    fn told() -> Committed {
        Committed {
            index: Index(0),
            time: 0,
            expiring: false,
            first_offset: Offset(0),
            weights: Vec::new(),
            entry: None,
            confirmed: Vec::new(),
            refused: Vec::new(),
            settled: Vec::new(),
            returned: Vec::new(),
            ignored: Vec::new(),
            consigned: Vec::new(),
            reclaimed: Vec::new(),
            horizon: Offset(0),
        }
    }

    /// §3, §6.8: settles and returns are idempotent.
    #[test]
    fn a_second_settle_and_a_stale_return_change_nothing_and_are_told() {
        let mut ledger = Ledger::default();
        ledger.apply(&publish(1, 0, 4), None);
        let returns = |offsets: &[(u64, u32)]| Record::Return {
            offsets: offsets.iter().map(|&(offset, count)| (Offset(offset), count)).collect(),
        };
        let mut first = told();
        ledger.apply(&entry(2, 4, 0, vec![settle(&[(0, 1)]), returns(&[(2, 1), (0, 1)])]), Some(&mut first));
        assert_eq!(first.settled.into_iter().flatten().collect::<Vec<_>>(), [0, 1]);
        assert_eq!(first.returned, [(Offset(2), 1)]);
        assert_eq!(first.ignored, [Offset(0)]);
        let mut second = told();
        ledger.apply(&entry(3, 4, 0, vec![settle(&[(1, 3), (9, 9)]), returns(&[(2, 1)])]), Some(&mut second));
        assert_eq!(second.settled.into_iter().flatten().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(second.returned, []);
        assert_eq!(second.ignored, [Offset(1), Offset(9), Offset(2)]);
        assert_eq!(ledger.count(Offset(2)), 0);
        assert!(ledger.live().is_empty());
    }

    #[test]
    fn a_return_counts_only_if_it_is_the_next() {
        let mut ledger = Ledger::default();
        ledger.apply(&publish(1, 0, 1), None);
        for (index, count, stored) in [(2, 2, 0), (3, 1, 1), (4, 1, 1), (5, 3, 1), (6, 2, 2)] {
            ledger.apply(&entry(index, 1, 0, vec![Record::Return { offsets: vec![(Offset(0), count)] }]), None);
            assert_eq!(ledger.count(Offset(0)), stored);
        }
    }

    /// §4.9: a consignment ends when the message is settled or reclaimed.
    #[test]
    fn a_message_is_consigned_once_until_it_is_settled_or_reclaimed() {
        let site = |name: &'static str| bytes::Bytes::from_static(name.as_bytes());
        let consign = |name, first, runs| Record::Consign { site: site(name), first, runs };
        let mut ledger = Ledger::default();
        ledger.apply(&publish(1, 0, 5), None);
        let mut first = told();
        ledger.apply(&entry(2, 5, 0, vec![consign("a", 70, vec![(3, 4), (1, 1)])]), Some(&mut first));
        assert_eq!(first.consigned, [(site("a"), vec![3, 4, 1])]);
        let mut second = told();
        let records = vec![settle(&[(4, 4)]), consign("b", 80, vec![(0, 4)]), Record::Reclaim { ranges: vec![(0, 1)] }];
        ledger.apply(&entry(3, 5, 0, records), Some(&mut second));
        assert_eq!(second.consigned, [(site("b"), vec![0, 2])]);
        assert_eq!(second.reclaimed, [0, 1]);
        let consigned: Vec<_> = ledger.consigned().iter().map(|(offset, site)| (offset, site.clone())).collect();
        assert_eq!(consigned, [(2, site("b")), (3, site("a"))]);
        assert_eq!(ledger.consigned().consignment(2).map(|consignment| consignment.number), Some(82));
        let mut bytes = BytesMut::new();
        ledger.encode(&mut bytes);
        assert_eq!(Ledger::decode(&mut Reader::new(&bytes)).unwrap(), ledger);
    }

    /// §5.3: the base's ledger with a later session table, then the log, gives
    /// the same state as the log alone.
    #[test]
    fn replay_from_the_base_gives_the_same_state() {
        let log = [
            publish(1, 0, 2),
            entry(2, 2, 0, vec![settle(&[(0, 1)])]),
            publish(3, 2, 3),
            entry(4, 5, 0, vec![Record::Return { offsets: vec![(Offset(3), 1)] }, Record::Horizon(Offset(5))]),
            entry(5, 5, 0, vec![settle(&[(2, 2)])]),
        ];
        let mut whole = Ledger::default();
        for entry in &log {
            whole.apply(entry, None);
        }
        let mut installed = whole.at_base(log[1].position, Offset(2));
        for entry in &log[2..] {
            installed.apply(entry, None);
        }
        assert_eq!(installed, whole);
    }

    #[test]
    fn a_ledger_comes_back_from_its_bytes() {
        let mut ledger = Ledger::default();
        ledger.apply(&Entry { expiring: true, ..publish(1, 0, 9) }, None);
        ledger.apply(&entry(2, 9, 0, vec![settle(&[(1, 2)]), Record::Return { offsets: vec![(Offset(5), 1)] }]), None);
        ledger.apply(&entry(3, 9, 0, vec![Record::Horizon(Offset(7))]), None);
        let mut bytes = BytesMut::new();
        ledger.encode(&mut bytes);
        assert_eq!(Ledger::decode(&mut Reader::new(&bytes)).unwrap(), ledger);
        assert_eq!((ledger.time(), ledger.expiring()), (1_003, ledger.live()));
    }
}
