//! A mirror's side (§5): take the leader's entries where they match, drop what
//! conflicts, report what is durable, believe a commit index no further than
//! that.

use bytes::Bytes;

use crate::checkpoint::Checkpoint;
use crate::message::{Anew, MirrorMessage};
use crate::mutation::{self, Mutation};
use crate::own::Own;
use crate::record::{self, Entry};
use crate::step::Action;
use crate::types::{Epoch, Index, Moment, NodeId, Position};

/// What a mirror has agreed on with the leader of the epoch that it knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Mirror {
    /// The leader, once it has spoken.
    leader: Option<NodeId>,
    /// Up to here the log is the leader's, found in this epoch (§5.2).
    matched: Index,
    /// The highest commit index told in this epoch.
    told: Index,
    /// The last durable index reported in this epoch.
    reported: Option<Index>,
    /// The leader waits for an answer even if there is nothing new.
    owed: bool,
    /// The leader's log parts from what is applied here, across an unclean
    /// election (§5.2).
    left_behind: bool,
}

/// The entries of one append message.
pub(crate) struct Append {
    pub(crate) epoch: Epoch,
    pub(crate) prev: Position,
    pub(crate) commit: Index,
    pub(crate) unclean: Position,
    pub(crate) entries: Vec<Bytes>,
}

/// Whether what is derived from the log here reaches behind the start of an
/// unclean epoch that is not in the log (§5.2).
fn is_left_behind(own: &Own, unclean: Position) -> bool {
    let applied = own.ledger.applied();
    let parted = applied.index >= unclean.index && applied.epoch < unclean.epoch;
    // Of a copy that is being made: it may hold what the next leader lacks.
    parted || (!own.log.is_whole() && own.log.whole().from < unclean.epoch)
}

/// A broken promise, in words for the operator (§5.2).
pub(crate) struct Broken(pub(crate) String);

impl Mirror {
    /// A new epoch: nothing is agreed on with its leader yet (§5.2 †).
    pub(crate) fn forget(&mut self) {
        let matched = self.matched;
        *self = Self::default();
        if mutation::on(Mutation::CountOldDurable) {
            self.matched = matched;
        }
    }

    pub(crate) fn on_append(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: NodeId,
        append: Append,
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.leader = Some(from);
        let Append { epoch, prev, commit, unclean, entries } = append;
        if mutation::on(Mutation::TruncateToCommit) && self.matched == Index(0) {
            let from = own.ledger.applied().index.next();
            if from <= own.log.last().index {
                own.truncate(now, from, false, out);
            }
        }
        // §5.2: something else is applied here where the leader's log, or one
        // before it, began anew without it. Nothing of this log is reported.
        let applied = own.ledger.applied().index;
        self.left_behind |= is_left_behind(own, unclean);
        if self.left_behind || !own.log.holds(prev) {
            self.say_diverged(own, out);
            if mutation::on(Mutation::CountOldDurable) {
                self.settle(own, now, out);
            }
            return Ok(());
        }
        // Everything up to an entry that both have is the same (log matching).
        let mut end = prev;
        let mut cut = None;
        let mut fresh: Vec<(Entry, Bytes)> = Vec::new();
        let mut damaged = false;
        for bytes in entries {
            let position = record::position(&bytes).unwrap_or_default();
            if position.index != end.index.next() || position.epoch < end.epoch || position.epoch > epoch {
                damaged = true;
                break;
            }
            if fresh.is_empty() && own.log.holds(position) {
                end = position;
                continue;
            }
            let Ok(entry) = Entry::decode(&bytes) else {
                damaged = true;
                break;
            };
            if fresh.is_empty() && position.index <= own.log.last().index {
                if mutation::on(Mutation::SkipTruncation) {
                    end = position;
                    continue;
                }
                if position.index <= applied && position.index < unclean.index {
                    self.left_behind = true;
                    self.say_diverged(own, out);
                    return Ok(());
                }
                if position.index <= applied {
                    return Err(Broken(format!(
                        "the leader of epoch {epoch} has another entry at index {}, which is committed here",
                        position.index
                    )));
                }
                cut = Some(position.index);
            }
            end = position;
            fresh.push((entry, bytes));
        }
        own.store_epoch(now, out);
        if let Some(from) = cut {
            own.truncate(now, from, from <= unclean.index, out);
        }
        // What is new is answered once it is on disk, anything else at once.
        if fresh.is_empty() {
            self.owed = true;
        } else {
            own.append(now, fresh, out);
        }
        self.matched = self.matched.max(end.index);
        self.told = self.told.max(commit);
        if damaged {
            self.say_diverged(own, out);
        }
        self.settle(own, now, out);
        Ok(())
    }

    /// §5.3: only a replica outside in-sync and eligible set replaces its copy,
    /// and only if it lacks the base, or was left behind by an unclean election: a
    /// late duplicate must not undo what was reported since.
    pub(crate) fn on_install(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: NodeId,
        (bytes, anew): (Bytes, Option<Anew>),
        out: &mut Vec<Action>,
    ) -> Result<(), Broken> {
        self.leader = Some(from);
        let Ok(checkpoint) = Checkpoint::decode(own.queue, &bytes) else { return Ok(()) };
        if checkpoint.base != checkpoint.ledger.applied() {
            return Ok(());
        }
        let base = checkpoint.base;
        let careless = mutation::on(Mutation::InstallInSync);
        let again = mutation::on(Mutation::InstallTwice);
        let left_behind = anew.is_some_and(|anew| self.left_behind || is_left_behind(own, anew.unclean));
        if own.log.holds(base) && !left_behind && !careless && !again {
            own.store_epoch(now, out);
            self.matched = self.matched.max(base.index);
            self.owed = true;
            self.settle(own, now, out);
            return Ok(());
        }
        // An assignment that lags may still name this replica; it is obeyed
        // until the applied catalog says otherwise, and the leader asks again.
        let counted = own.assignment.as_ref().is_none_or(|assignment| assignment.counts(&own.me.member()));
        if counted && !careless {
            return Ok(());
        }
        if base.index <= own.ledger.applied().index && anew.is_none() && !careless && !again {
            return Err(Broken(format!(
                "the leader's log begins with {base:?}, which is not in what is committed here"
            )));
        }
        own.store_epoch(now, out);
        own.install(now, (bytes, checkpoint), anew.map(|anew| anew.common.next()), out);
        self.left_behind = false;
        self.matched = base.index;
        self.reported = None;
        self.owed = true;
        Ok(())
    }

    pub(crate) fn on_persisted(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        self.settle(own, now, out);
    }

    /// Applies what is committed and durable here, and reports.
    fn settle(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        let matched = if mutation::on(Mutation::TrustCommit) { own.log.last().index } else { self.matched };
        // Not ahead of the disk, so that a checkpoint can be taken at any time.
        let commit = self.told.min(matched).min(own.disk.durable());
        own.apply(commit, None);
        own.checkpoint(now, Index(u64::MAX), out);
        own.trim();
        self.report(own, out);
    }

    fn report(&mut self, own: &Own, out: &mut Vec<Action>) {
        let Some(leader) = self.leader else { return };
        let unsynced = mutation::on(Mutation::ReportUnsynced);
        if !own.disk.may_report() && !unsynced {
            return;
        }
        let durable = if unsynced { self.matched } else { self.matched.min(own.disk.durable()) };
        if self.owed || self.reported.is_none_or(|reported| reported < durable) {
            self.owed = false;
            self.reported = Some(durable);
            let message = MirrorMessage::Durable { epoch: own.known, version: own.told, index: durable };
            out.push(Action::Send { to: leader, message });
        }
    }

    fn say_diverged(&self, own: &Own, out: &mut Vec<Action>) {
        let Some(leader) = self.leader else { return };
        let message = MirrorMessage::Diverged {
            epoch: own.known,
            last: own.log.last(),
            base: own.log.base().index,
            left_behind: self.left_behind,
            history: own.log.history().to_vec(),
        };
        out.push(Action::Send { to: leader, message });
    }
}
