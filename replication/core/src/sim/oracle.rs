//! What must hold whatever happens, kept outside of all replicas: the promises
//! of §2 that a replica can keep (1, 2, 4, 5 and exactly-once confirms).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::disk::Disk;
use crate::ledger::Ledger;
use crate::record::{self, Entry, Record};
use crate::replica::Replica;
use crate::step::Committed;
use crate::types::{Epoch, Index, Lag, Offset, Position, Process, Session};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Oracle {
    /// Every entry that any leader committed, dense from index 1.
    log: Vec<Bytes>,
    /// What that log makes of the queue.
    pub(crate) ledger: Ledger,
    leaders: BTreeMap<Epoch, Process>,
    /// How far the leader of each epoch got.
    reigns: BTreeMap<Epoch, Index>,
    /// (session, sequence) of every message committed, in log order.
    committed: BTreeMap<(Session, u64), u64>,
    highest: BTreeMap<Session, u64>,
    confirmed: BTreeSet<(Session, u64)>,
    /// What was settled, and how often what is not was returned, kept apart
    /// from the ledger that is under test.
    settled: BTreeSet<u64>,
    returned: BTreeMap<u64, u32>,
    /// What was settled once, also if an unclean election left the settle behind.
    gone: BTreeSet<u64>,
    /// What was committed once, also if an unclean election left it behind.
    ever: BTreeSet<(Session, u64)>,
    /// When its leader appended each entry.
    appended: BTreeMap<Position, u64>,
    forks: Vec<Fork>,
}

/// Whether an entry has a message at or above this offset.
fn gives(entry: &Bytes, offset: Offset) -> bool {
    record::offsets(entry).is_ok_and(|offsets| !offsets.is_empty() && offsets.end > offset.0)
}

/// What an unclean election left behind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fork {
    /// Of the unclean leader.
    epoch: Epoch,
    /// The last entry that it has of what was committed.
    kept: Index,
    /// What else it has and took over, dense behind that.
    inherited: Vec<Position>,
    /// How much of that an earlier leader has committed after it took over.
    early: usize,
    allowed: Allowed,
    /// Committed by earlier leaders behind all that, some maybe not yet when it took
    /// over: dense.
    lost: Vec<Bytes>,
}

impl Fork {
    fn holds(&self, position: Position) -> bool {
        if self.inherited.iter().take(self.early).any(|inherited| *inherited == position) {
            return true;
        }
        let nth = position.index.0.checked_sub(self.kept.0 + 1);
        let entry = nth.and_then(|nth| self.lost.get(nth as usize));
        entry.is_some_and(|entry| record::position(entry).ok() == Some(position))
    }
}

/// What a plan lets an unclean election cost, and what was reported of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Allowed {
    pub(crate) max_lag: Option<Lag>,
    /// No message below it is missing.
    pub(crate) kept: Offset,
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

    pub(crate) fn on_appended(&mut self, position: Position, now: u64) {
        self.appended.entry(position).or_insert(now);
    }

    /// §6.3: what the log of an unclean leader lacks is gone: never more than the
    /// plan allows, and what was reported. How many messages that is.
    pub(crate) fn on_unclean(&mut self, epoch: Epoch, replica: &Replica, allowed: Allowed) -> Result<u64, String> {
        let mut kept = self.head();
        while self.position(kept).is_some_and(|position| !replica.holds(position)) {
            kept = kept.before();
        }
        let lost = self.log.split_off(kept.0 as usize);
        let inherited = std::iter::successors(Some(kept.next()), |index| Some(index.next()));
        let inherited = inherited.map_while(|index| replica.position_at(index)).collect();
        let fork = Fork { epoch, kept, inherited, early: 0, allowed, lost };
        let cost = self.cost(&fork)?;
        let kept = std::mem::take(&mut self.log);
        let Self { leaders, confirmed, gone, ever, appended, mut forks, .. } = std::mem::take(self);
        forks.push(fork);
        *self = Self { leaders, confirmed, gone, ever, appended, forks, ..Self::default() };
        for bytes in kept {
            self.take(bytes, None)?;
        }
        self.revive(replica)?;
        self.reigns.insert(epoch, self.head());
        Ok(cost.messages)
    }

    /// A leader may have been left behind earlier: what it has applied is back.
    fn revive(&mut self, replica: &Replica) -> Result<(), String> {
        while self.head() < replica.commit()
            && let Some(bytes) = self.revived(replica)
        {
            self.take(bytes, None)?;
        }
        Ok(())
    }

    fn revived(&self, replica: &Replica) -> Option<Bytes> {
        let index = self.head().next();
        let lost = self.forks.iter().filter_map(|fork| fork.lost.get(index.0.checked_sub(fork.kept.0 + 1)? as usize));
        let mut held = lost.filter(|bytes| record::position(bytes).is_ok_and(|position| replica.holds(position)));
        held.next().cloned()
    }

    /// What was lost, if it is no more than is allowed.
    fn cost(&self, fork: &Fork) -> Result<Lag, String> {
        let allowed = fork.allowed;
        let mut cost = Lag::default();
        let mut times: Vec<u64> = Vec::new();
        for bytes in &fork.lost {
            let entry = Entry::decode(bytes).map_err(|error| error.to_string())?;
            cost.messages += u64::from(entry.messages);
            cost.bytes += bytes.len() as u64;
            times.extend(self.appended.get(&entry.position));
            if entry.messages > 0 && entry.first_offset < allowed.kept {
                return Err(format!("{} is lost, kept is said to be all below {}", entry.first_offset, allowed.kept));
            }
        }
        cost.micros = times.last().zip(times.first()).map_or(0, |(last, first)| last - first);
        if let Some(max) = allowed.max_lag
            && (cost.messages > max.messages || cost.bytes > max.bytes || cost.micros > max.micros)
        {
            return Err(format!("{cost:?} is lost, allowed is {max:?}"));
        }
        Ok(cost)
    }

    /// A leader that was left behind and does not know yet: what it commits is
    /// lost too, and within what is allowed (§6.3).
    fn on_left_behind(&mut self, nth: usize, index: Index, bytes: Bytes) -> Result<(), String> {
        let Some(mut fork) = self.forks.get(nth).cloned() else { return Ok(()) };
        let Some(at) = index.0.checked_sub(fork.kept.0 + 1) else { return Ok(()) };
        let entry = Entry::decode(&bytes).map_err(|error| error.to_string())?;
        let taken_over = fork.inherited.get(at as usize) == Some(&entry.position) && fork.lost.is_empty();
        if taken_over {
            // The next leader has it, and will commit it, too.
            fork.early = fork.early.max(at as usize + 1);
        } else if fork.lost.is_empty() && fork.early > 0 {
            fork.kept = Index(fork.kept.0 + fork.early as u64);
            fork.inherited.drain(..fork.early);
            fork.early = 0;
        }
        let at = index.0 - (fork.kept.0 + 1);
        match fork.lost.get(at as usize) {
            Some(known) if record::is_same(known, &bytes) => return Ok(()),
            Some(_) => return Err(format!("index {index} was committed twice, differently, and lost")),
            None if taken_over || at as usize == fork.lost.len() => {}
            None => return Err(format!("index {index} is committed far behind what was kept, {}", fork.kept)),
        }
        for record in &entry.records {
            if let Record::Publish { session, runs, .. } = record {
                let sequences = runs.iter().flat_map(|&(first, last)| first..=last);
                self.ever.extend(sequences.map(|sequence| (*session, sequence)));
            }
            if let Record::Settle { ranges, .. } = record {
                self.gone.extend(ranges.iter().flat_map(|(first, last)| *first..=*last));
            }
        }
        if !taken_over {
            fork.lost.push(bytes);
            self.cost(&fork)?;
        }
        self.forks[nth] = fork;
        Ok(())
    }

    /// Promise 2: one leader an epoch, and it has everything that was committed in
    /// lower ones. (It may be late to begin: higher ones may have gone on without it.)
    pub(crate) fn on_leading(&mut self, process: Process, replica: &Replica) -> Result<(), String> {
        let epoch = replica.known_epoch();
        let leader = *self.leaders.entry(epoch).or_insert(process);
        if leader != process {
            return Err(format!("{leader:?} and {process:?} both lead epoch {epoch}"));
        }
        let current = self.forks.last().is_none_or(|fork| fork.epoch <= epoch);
        if current && !self.forks.is_empty() {
            self.revive(replica)?;
        }
        let head = self.reigns.range(..epoch).map(|(_, head)| *head).max();
        if let Some(position) = head.and_then(|head| self.position(head))
            && current
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
    pub(crate) fn on_committed(&mut self, epoch: Epoch, told: &Committed, stored: Option<Bytes>) -> Result<(), String> {
        let index = told.index;
        let bytes = told.entry.clone().or(stored).ok_or(format!("entry {index} is neither in memory nor stored"))?;
        if let Some(nth) = self.forks.iter().position(|fork| fork.epoch > epoch) {
            return self.on_left_behind(nth, index, bytes);
        }
        if let Some(known) = self.log.get(index.0 as usize - 1) {
            let same = record::is_same(known, &bytes);
            return if same { Ok(()) } else { Err(format!("index {index} was committed twice, differently")) };
        }
        if index != self.head().next() {
            return Err(format!("index {index} is committed after {}", self.head()));
        }
        self.take(bytes, Some(told))?;
        self.reigns.insert(epoch, self.head());
        Ok(())
    }

    /// The next entry of the log, and what it is said to have done.
    fn take(&mut self, bytes: Bytes, told: Option<&Committed>) -> Result<(), String> {
        let entry = Entry::decode(&bytes).map_err(|error| error.to_string())?;
        let index = entry.position.index;
        // Whoever holds a message that is lost must not come to mean another one.
        let again = self.forks.iter().filter(|fork| fork.epoch <= entry.position.epoch && entry.messages > 0);
        if let Some(fork) = again.clone().find(|fork| fork.lost.iter().any(|lost| gives(lost, entry.first_offset))) {
            return Err(format!("{} is given out again after epoch {}", entry.first_offset, fork.epoch));
        }
        let mut expected = Committed {
            index,
            time: entry.time,
            expiring: entry.expiring,
            first_offset: entry.first_offset,
            weights: record::weights(&bytes).map_err(|error| error.to_string())?,
            entry: told.and_then(|told| told.entry.clone()),
            confirmed: Vec::new(),
            refused: Vec::new(),
            settled: Vec::new(),
            returned: Vec::new(),
            ignored: Vec::new(),
            consigned: Vec::new(),
            reclaimed: Vec::new(),
            horizon: Offset(0),
        };
        self.ledger.apply(&entry, Some(&mut expected));
        let told = told.unwrap_or(&expected);
        if expected != *told {
            return Err(format!("entry {index} did {told:?} but should have done {expected:?}"));
        }
        let messages = record::messages(&bytes).map_err(|error| error.to_string())?;
        let sessions = told.confirmed.iter().flat_map(|(session, runs)| {
            runs.iter().flat_map(|&(first, last)| first..=last).map(|sequence| (*session, sequence))
        });
        for ((session, sequence), (offset, message)) in sessions.zip(messages) {
            if message.body != super::publisher::body(&session, sequence) {
                return Err(format!("{session:?} {sequence} is stored with another message"));
            }
            self.ever.insert((session, sequence));
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
            self.gone.insert(offset);
        }
        let now = |offset: u64| told.settled.iter().any(|gone| gone.contains(&offset));
        let revived = told.returned.iter().find(|(offset, _)| self.settled.contains(&offset.0) && !now(offset.0));
        revived.map_or(Ok(()), |(offset, _)| Err(format!("entry {index} returns {offset}, which is settled")))
    }

    /// Whether it was committed once, also if an unclean election left it behind.
    pub(crate) fn has_committed(&self, session: Session, sequence: u64) -> bool {
        self.ever.contains(&(session, sequence))
    }

    /// Promise 1: confirmed means committed, for all time.
    pub(crate) fn on_confirmed(&mut self, session: Session, sequence: u64) -> Result<(), String> {
        if !self.ever.contains(&(session, sequence)) {
            return Err(format!("{session:?} {sequence} is confirmed and in no committed entry"));
        }
        if !self.confirmed.insert((session, sequence)) {
            return Err(format!("{session:?} {sequence} is confirmed twice"));
        }
        Ok(())
    }

    /// Whatever a replica has applied is what was committed; at the head its
    /// state is the state, however it came by it.
    pub(crate) fn check(&self, who: Process, replica: &Replica, disk: &Disk) -> Result<(), String> {
        // §3: nobody ever misses a body, but of what was settled for good.
        let live = replica.ledger().live();
        if let Some(lost) = disk.gone().find(|offset| live.contains(*offset) && !self.gone.contains(offset)) {
            return Err(format!("{who:?} has {lost} live, and without its body"));
        }
        let applied = replica.ledger().applied();
        if applied.index > Index(0) && self.position(applied.index) != Some(applied) {
            if self.forks.iter().any(|fork| fork.holds(applied)) {
                return Ok(());
            }
            return Err(format!("{who:?} has applied {applied:?}, committed is {:?}", self.position(applied.index)));
        }
        if applied.index == self.head() && *replica.ledger() != self.ledger && replica.is_whole() {
            return Err(format!("{who:?} is at the head with {:?} instead of {:?}", replica.ledger(), self.ledger));
        }
        if replica.durable() > replica.last().index {
            return Err(format!("{who:?} is durable to {} of {:?}", replica.durable(), replica.last()));
        }
        Ok(())
    }
}
