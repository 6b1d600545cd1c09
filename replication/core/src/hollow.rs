//! Giving back the space of settled messages that an older live one keeps in the
//! log (§3). Each replica goes by itself over its old log, a read at a time, and
//! stores entries anew without the messages that are settled ([`record::hollow`]).
//!
//! Only what a checkpoint on the disk knows as settled goes: so whatever a restart
//! finds live has its body. The checkpoint's
//! index is committed, so what is gone is settled for every later leader too; but
//! for one that an unclean election lets lead without that settle, which then
//! settles what it has no body of (§6.3).
//!
//! A *pass* goes over a part of the log of which at most a quarter is live, and over
//! that part again only when at most a quarter of what it left is live. So what is
//! read and written for it is bounded by what was published.

use bytes::Bytes;

use crate::ledger::Ledger;
use crate::log::Log;
use crate::mutation::{self, Mutation};
use crate::own::Own;
use crate::ranges::RangeSet;
use crate::record::{self, Record};
use crate::step::{Action, Write};
use crate::types::{Index, Moment, Offset};

/// Live messages in more ranges than this are not "a few that keep the log".
const FRAGMENTS: usize = 16 << 10;
/// A pass goes over about so many times the least that is worth one.
const PARTS: u64 = 8;

/// What a replica remembers of its passes, in memory only: after a restart it goes
/// over the log once more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Hollow {
    pass: Option<Pass>,
    done: Done,
    /// With fewer live messages than this the log is to be looked at again; if none
    /// is said, in any case.
    again_below: Option<u64>,
}

/// A pass under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pass {
    /// The write of the checkpoint ahead of it. With that one, what earlier passes
    /// wrote is on disk too, so that nothing is read as it was before them.
    checkpoint: u64,
    first: Index,
    next: Index,
    last: Index,
    /// The offset behind its messages.
    until: Offset,
    /// What the checkpoint has as live below it.
    live: RangeSet,
    /// Bytes of the entries as they are afterwards.
    left: u64,
    reading: bool,
    rewritten: bool,
}

/// The part of the log that passes have gone over, up to `end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Done {
    end: Index,
    until: Offset,
    /// What they left there: live messages and bytes.
    messages: u64,
    bytes: u64,
}

/// A damaged entry in the own store (§5.4).
pub(crate) struct Damaged;

impl Hollow {
    /// Whether it waits for time, or for a read.
    pub(crate) fn is_busy(&self) -> bool {
        self.pass.is_some()
    }

    /// Whether enough was settled for a checkpoint that gives space back, although
    /// the log has not grown.
    pub(crate) fn is_due(&self, log: &Log, ledger: &Ledger, least: u64) -> bool {
        let fewer = |below| ledger.live().len() < below;
        log.span() >= least && self.pass.is_none() && self.again_below.is_none_or(fewer)
    }

    /// A checkpoint of this ledger was just given to the store, by this write: a
    /// pass begins, if one is worth it.
    pub(crate) fn consider(&mut self, log: &Log, ledger: &Ledger, checkpoint: u64, least: u64) {
        let live = ledger.live();
        self.again_below = Some(live.len() - live.len() / 8);
        if self.pass.is_some() || log.span() < least || live.fragments() > FRAGMENTS {
            return;
        }
        let Some(first) = live.first().map(|first| log.locate(Offset(first))) else { return };
        let applied = ledger.applied().index;
        let fresh = first.max(self.done.end.next());
        let (mut bytes, mut kept, mut worth) = (0, 0, None);
        for part in log.sections(fresh, applied, ledger.next_offset()) {
            bytes += part.bytes;
            kept += part.share(live);
            if bytes >= least && kept.saturating_mul(4) <= bytes {
                worth = Some((part.last, part.offsets.end));
            }
            if bytes >= least.saturating_mul(PARTS) && worth.is_some() {
                break;
            }
        }
        let done = &self.done;
        let (first, (last, until)) = if let Some(fresh_part) = worth {
            (fresh, fresh_part)
        } else {
            // What passes left before may have been settled since.
            let left: u64 = live.iter().map(|range| done.until.0.min(range.end).saturating_sub(range.start)).sum();
            let saved = u128::from(done.bytes) * u128::from(done.messages.saturating_sub(left));
            let saved = saved / u128::from(done.messages.max(1));
            if first > done.end || left.saturating_mul(4) > done.messages || saved < u128::from(least) {
                return;
            }
            (first, (done.end, done.until.0))
        };
        let live = live.iter().take_while(|range| range.start < until).map(|range| range.start..range.end.min(until));
        self.pass = Some(Pass {
            checkpoint,
            first,
            next: first,
            last,
            until: Offset(until),
            live: live.collect(),
            left: 0,
            reading: false,
            rewritten: false,
        });
    }
}

impl Own {
    /// The next part of a pass is read: one at a time, each with a tick.
    pub(crate) fn hollow_on(&mut self, out: &mut Vec<Action>) {
        let base = self.log.base().index;
        if let Some(pass) = self.hollow.pass.as_mut().filter(|pass| !pass.reading && self.disk.has(pass.checkpoint)) {
            pass.next = pass.next.max(base.next());
            pass.reading = true;
            let max_bytes = self.settings.batch_bytes;
            out.push(Action::Read { reader: self.me.node, first: pass.next, max_bytes });
        }
    }

    /// What was read for a pass is stored anew, where that pays.
    pub(crate) fn on_own_read(
        &mut self,
        now: Moment,
        first: Index,
        entries: &[Bytes],
        out: &mut Vec<Action>,
    ) -> Result<(), Damaged> {
        let Some(mut pass) = self.hollow.pass.take_if(|pass| pass.reading && pass.next == first) else {
            return Ok(());
        };
        pass.reading = false;
        // Released meanwhile: there is less to do, if anything.
        if entries.is_empty() && first > self.log.base().index {
            return Ok(());
        }
        let knows = self.settled_for(&pass);
        let live = knows.as_ref().unwrap_or(&pass.live);
        let mut anew = Vec::new();
        let mut saved = Vec::new();
        for (index, entry) in (first.0..=pass.last.0).map(Index).zip(entries) {
            record::check(entry).map_err(|_| Damaged)?;
            // Of another log, that was here before this one.
            if record::position(entry).ok() != self.log.position_at(index) {
                return Ok(());
            }
            pass.next = index.next();
            let hollow = record::hollow(entry, live).map_err(|_| Damaged)?;
            let hollow = hollow.filter(|_| index > self.log.base().index);
            pass.left += hollow.as_ref().unwrap_or(entry).len() as u64;
            if let Some(hollow) = hollow {
                saved.push((index, (entry.len() - hollow.len()) as u64));
                anew.push((index, hollow));
            }
        }
        pass.rewritten |= !anew.is_empty();
        let over = pass.next > pass.last || pass.last <= self.log.base().index;
        self.log.shrink(&saved);
        let last = pass.last;
        let part = (over && pass.rewritten).then_some((pass.first, last));
        if !anew.is_empty() || part.is_some() {
            self.write(now, Write::Rewrite { entries: anew, over: part }, out);
        }
        if !over {
            self.hollow.pass = Some(pass);
            return Ok(());
        }
        let mut done = std::mem::take(&mut self.hollow.done);
        if pass.first != done.end.next() {
            done = Done::default();
        }
        let messages: u64 = pass.live.iter_from(done.until.0).map(|range| range.end - range.start).sum();
        let (messages, bytes) = (done.messages + messages, done.bytes + pass.left);
        self.hollow.done = Done { end: last, until: pass.until, messages, bytes };
        // There may be more, and much may have been settled since it began.
        self.hollow.again_below = None;
        Ok(())
    }

    /// What a broken rule takes for live instead of what the checkpoint does.
    fn settled_for(&self, pass: &Pass) -> Option<RangeSet> {
        if mutation::on(Mutation::HollowAboveCheckpoint) {
            return Some(self.ledger.live().clone());
        }
        if !mutation::on(Mutation::HollowUncommitted) {
            return None;
        }
        let mut live = pass.live.clone();
        for record in self.log.all_pending().flat_map(|pending| &pending.entry.records) {
            if let Record::Settle { ranges, .. } = record {
                ranges.iter().for_each(|(first, last)| live.remove(*first..last.saturating_add(1)));
            }
        }
        Some(live)
    }
}
