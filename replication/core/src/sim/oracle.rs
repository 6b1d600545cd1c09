//! What must hold whatever happens, kept outside of all replicas: the promises
//! of §2 that a replica can keep (1, 2, 4, 5 and exactly-once confirms).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::ledger::Ledger;
use crate::record::{self, Entry};
use crate::replica::Replica;
use crate::step::Committed;
use crate::types::{Epoch, Index, Position, Process, Session};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    /// Every entry that any leader committed, dense from index 1.
    log: Vec<Bytes>,
    /// What that log makes of the queue.
    pub(crate) ledger: Ledger,
    leaders: BTreeMap<Epoch, Process>,
    /// (session, sequence) of every message committed, in log order.
    committed: BTreeMap<(Session, u64), u64>,
    highest: BTreeMap<Session, u64>,
    confirmed: BTreeSet<(Session, u64)>,
    /// What was settled, and how often what is not was returned, kept apart
    /// from the ledger that is under test.
    settled: BTreeSet<u64>,
    returned: BTreeMap<u64, u32>,
}

impl Oracle {
    /// Everything committed so far.
    pub(crate) fn log(&self) -> &[Bytes] {
        &self.log
    }

    pub(crate) fn head(&self) -> Index {
        Index(self.log.len() as u64)
    }

    fn position(&self, index: Index) -> Option<Position> {
        let entry = self.log.get(index.0.checked_sub(1)? as usize)?;
        record::position(entry).ok()
    }

    /// Promise 2: one leader an epoch, and it has everything ever committed.
    pub(crate) fn on_leading(&mut self, process: Process, replica: &Replica) -> Result<(), String> {
        let epoch = replica.known_epoch();
        let leader = *self.leaders.entry(epoch).or_insert(process);
        if leader != process {
            return Err(format!("{leader:?} and {process:?} both lead epoch {epoch}"));
        }
        let head = self.head();
        if let Some(position) = self.position(head)
            && !replica.holds(position)
        {
            return Err(format!(
                "the leader of epoch {epoch} lacks {position:?}, its log ends at {:?}",
                replica.last()
            ));
        }
        Ok(())
    }

    /// Promises 2, 4, 5: what is committed at an index is the same for all time;
    /// sequences of a session come in order and once.
    pub(crate) fn on_committed(&mut self, told: &Committed, stored: Option<Bytes>) -> Result<(), String> {
        let index = told.index;
        let bytes = told.entry.clone().or(stored).ok_or(format!("entry {index} is neither in memory nor stored"))?;
        if let Some(known) = self.log.get(index.0 as usize - 1) {
            let same = *known == bytes;
            return if same { Ok(()) } else { Err(format!("index {index} was committed twice, differently")) };
        }
        if index != self.head().next() {
            return Err(format!("index {index} is committed after {}", self.head()));
        }
        let entry = Entry::decode(&bytes).map_err(|error| error.to_string())?;
        let mut expected = told.clone();
        (expected.settled, expected.returned, expected.ignored) = Default::default();
        expected.confirmed.clear();
        self.ledger.apply(&entry, Some(&mut expected));
        if expected != *told {
            return Err(format!("entry {index} did {told:?} but should have done {expected:?}"));
        }
        let messages = record::messages(&bytes).map_err(|error| error.to_string())?;
        if told.weights != record::weights(&bytes).map_err(|error| error.to_string())? {
            return Err(format!("entry {index} is told with other weights"));
        }
        let sessions = told.confirmed.iter().flat_map(|(session, runs)| {
            runs.iter().flat_map(|&(first, last)| first..=last).map(|sequence| (*session, sequence))
        });
        for ((session, sequence), (offset, message)) in sessions.zip(messages) {
            if message.body != super::publisher::body(&session, sequence) {
                return Err(format!("{session:?} {sequence} is stored with another message"));
            }
            if self.committed.insert((session, sequence), offset.0).is_some() {
                return Err(format!("{session:?} {sequence} is in the queue twice"));
            }
            let highest = self.highest.entry(session).or_default();
            if *highest >= sequence {
                return Err(format!("{session:?} {sequence} comes after {highest}"));
            }
            *highest = sequence;
        }
        self.count(told)?;
        self.log.push(bytes);
        Ok(())
    }

    /// Promises 4 and 6: a settle is once and for good, a return counts one.
    fn count(&mut self, told: &Committed) -> Result<(), String> {
        let index = told.index;
        for (offset, count) in &told.returned {
            let before = self.returned.insert(offset.0, *count).unwrap_or(0);
            if *count != before + 1 {
                return Err(format!("entry {index} returns {offset} with count {count} after {before}"));
            }
        }
        for offset in told.settled.iter().cloned().flatten() {
            if offset >= self.ledger.next_offset().0 || !self.settled.insert(offset) {
                return Err(format!("entry {index} settles {offset}, which is not live"));
            }
        }
        let now = |offset: u64| told.settled.iter().any(|gone| gone.contains(&offset));
        let revived = told.returned.iter().find(|(offset, _)| self.settled.contains(&offset.0) && !now(offset.0));
        revived.map_or(Ok(()), |(offset, _)| Err(format!("entry {index} returns {offset}, which is settled")))
    }

    pub(crate) fn has_committed(&self, session: Session, sequence: u64) -> bool {
        self.committed.contains_key(&(session, sequence))
    }

    /// Promise 1: confirmed means committed, for all time.
    pub(crate) fn on_confirmed(&mut self, session: Session, sequence: u64) -> Result<(), String> {
        if !self.committed.contains_key(&(session, sequence)) {
            return Err(format!("{session:?} {sequence} is confirmed and in no committed entry"));
        }
        if !self.confirmed.insert((session, sequence)) {
            return Err(format!("{session:?} {sequence} is confirmed twice"));
        }
        Ok(())
    }

    /// Whatever a replica has applied is what was committed; at the head its
    /// state is the state, however it came by it.
    pub(crate) fn check(&self, who: Process, replica: &Replica) -> Result<(), String> {
        let applied = replica.ledger().applied();
        if applied.index > Index(0) && self.position(applied.index) != Some(applied) {
            return Err(format!("{who:?} has applied {applied:?}, committed is {:?}", self.position(applied.index)));
        }
        if applied.index == self.head() && *replica.ledger() != self.ledger {
            return Err(format!("{who:?} is at the head with {:?} instead of {:?}", replica.ledger(), self.ledger));
        }
        if replica.durable() > replica.last().index {
            return Err(format!("{who:?} is durable to {} of {:?}", replica.durable(), replica.last()));
        }
        Ok(())
    }
}
