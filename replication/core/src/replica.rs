//! One replica of one queue: gives each event to the role that it has, and
//! changes the role as the applied catalog and the epochs heard of demand.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::hollow::Damaged;
use crate::leader::{Leader, Unfit};
use crate::ledger::Ledger;
use crate::message::MirrorMessage;
use crate::mirror::{Append, Broken, Mirror};
use crate::mutation::{self, Mutation};
use crate::own::Own;
use crate::recovery::Recovery;
use crate::settings::Settings;
use crate::step::{Action, Event, Proposal};
use crate::types::{Assignment, Clock, Epoch, Index, Lag, LogEnd, Moment, NodeId, Offset, Position, Process, Version};

/// What a mirror is doing, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MirrorState {
    /// Not in contact.
    Unreachable,
    /// Its copy is to be made anew, on an operator's word (§5.3).
    Waiting,
    /// The point of divergence is being found.
    Comparing,
    /// It starts anew from a checkpoint.
    Installing,
    /// It gets entries that it lacks.
    CatchingUp,
    /// It has everything.
    Current,
}

/// A mirror as its leader sees it, for status.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MirrorStatus {
    /// Which node.
    pub node: NodeId,
    /// Its durable index as reported in this epoch.
    pub durable: Option<Index>,
    /// Whether the applied catalog has it in the in-sync set.
    pub in_sync: bool,
    /// What it is doing.
    pub state: MirrorState,
    /// For how long (µs) the oldest entry that it has not reported durable has been waiting.
    pub behind: u64,
    /// What it may lack of what is confirmed, if it trails (§4.2).
    pub lag: Option<Lag>,
}

/// A replica: leader or mirror, as the applied catalog says. What it is given
/// and gives is in [`crate::step`], with what its driver owes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    own: Own,
    role: Role,
    /// When it last asked to be relieved (§4.6).
    resigned: Option<Moment>,
    /// When it last said what it would lead with (§6.3).
    offered: Option<Moment>,
    /// It found a broken promise (§5.2) and does nothing any more.
    stopped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role {
    Mirror(Mirror),
    Leader(Box<Leader>),
}

impl Replica {
    /// A replica of what was recovered, run by this process.
    #[must_use]
    pub fn new(me: Process, recovery: Recovery, settings: Settings) -> Self {
        let own = Own::new(me, recovery, settings);
        Self { own, role: Role::Mirror(Mirror::default()), resigned: None, offered: None, stopped: false }
    }

    /// Takes one event; what is to be done about it is added to `out`, in order.
    pub fn step(&mut self, clock: Clock, event: Event, out: &mut Vec<Action>) {
        if self.stopped {
            return;
        }
        let now = self.at(clock);
        self.own.vouch_again(now, out);
        match event {
            Event::Assigned(assignment) => self.on_assigned(now, assignment, out),
            Event::Mirror { from, message } => self.on_message(now, from, message, out),
            Event::Persisted(ordinal) => {
                self.own.disk.persisted(ordinal);
                match &mut self.role {
                    Role::Mirror(mirror) => mirror.on_persisted(&mut self.own, now, out),
                    Role::Leader(leader) => leader.on_persisted(&mut self.own, now, out),
                }
                self.offer(now, out);
            }
            Event::LinkUp(process) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_link_up(&mut self.own, now, process, out);
                }
            }
            Event::LinkDown(node) => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_link_down(&mut self.own, now, node, out);
                }
            }
            Event::LogRead { reader, first, entries } => self.on_read(now, reader, first, entries, out),
            Event::Tick => self.on_tick(now, out),
        }
    }

    /// Puts something into the next entry. Leader only, else dropped: a leader
    /// that stepped down answers nobody.
    pub fn propose(&mut self, clock: Clock, proposal: Proposal, out: &mut Vec<Action>) {
        let now = self.at(clock);
        if let Role::Leader(leader) = &mut self.role {
            leader.propose(&mut self.own, now, proposal, out);
        }
    }

    /// Appends one entry of all that was proposed since the last, if anything
    /// was. Called once at the end of a turn.
    pub fn seal(&mut self, clock: Clock, out: &mut Vec<Action>) {
        let now = self.at(clock);
        if let Role::Leader(leader) = &mut self.role {
            leader.seal(&mut self.own, now, out);
        }
    }

    fn at(&mut self, clock: Clock) -> Moment {
        self.own.wall = clock.wall;
        clock.now
    }

    fn on_assigned(&mut self, now: Moment, assignment: Arc<Assignment>, out: &mut Vec<Action>) {
        let order = |assignment: &Assignment| (assignment.epoch, assignment.version);
        if self.own.assignment.as_deref().is_some_and(|known| order(known) >= order(&assignment)) {
            return;
        }
        self.learn(assignment.epoch, out);
        // §4.3: in-sync set, eligible set, minimum and replicas all at once.
        self.own.assignment = Some(Arc::clone(&assignment));
        self.offered = None;
        self.offer(now, out);
        let me = self.own.me;
        let named = match assignment.leader {
            Some(leader) if mutation::on(Mutation::IgnoreBoot) => leader.node == me.node,
            leader => leader == Some(me),
        };
        let reigning = named && assignment.epoch == self.own.known;
        match &mut self.role {
            Role::Leader(leader) if reigning => leader.on_assigned(&mut self.own, now, out),
            Role::Leader(_) => self.step_down(out),
            // §4.0: never an epoch led before, or one that is already surpassed.
            Role::Mirror(_) => {
                let again = assignment.epoch <= self.own.led && !mutation::on(Mutation::LeadAgain);
                if reigning && !again && assignment.isr.contains(&me.member()) {
                    self.own.led = assignment.epoch;
                    self.resigned = None;
                    self.role = Role::Leader(Box::new(Leader::begin(&mut self.own, now, out)));
                }
            }
        }
    }

    fn on_message(&mut self, now: Moment, from: Process, message: MirrorMessage, out: &mut Vec<Action>) {
        match message {
            MirrorMessage::Append { epoch, version, prev, commit, unclean, entries } => {
                let append = Append { epoch, prev, commit, unclean, entries };
                self.obey(now, from, (epoch, version), out, |mirror, own, out| {
                    mirror.on_append(own, now, from.node, append, out)
                });
            }
            MirrorMessage::Install { epoch, version, checkpoint, anew } => {
                self.obey(now, from, (epoch, version), out, |mirror, own, out| {
                    mirror.on_install(own, now, from.node, (checkpoint, anew), out)
                });
            }
            MirrorMessage::Durable { epoch, version, index } => {
                self.learn(epoch, out);
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_durable(&mut self.own, now, from, (epoch, version, index), out);
                }
            }
            MirrorMessage::Diverged { epoch, last, left_behind, history, .. } => {
                self.learn(epoch, out);
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_diverged(&self.own, now, from, epoch, (last, left_behind, &history), out);
                }
            }
            MirrorMessage::Fenced { epoch } => self.learn(epoch, out),
        }
    }

    /// A leader's word: taken from the epoch known, or a newer one (§5.1).
    fn obey(
        &mut self,
        now: Moment,
        from: Process,
        (epoch, version): (Epoch, Version),
        out: &mut Vec<Action>,
        take: impl FnOnce(&mut Mirror, &mut Own, &mut Vec<Action>) -> Result<(), Broken>,
    ) {
        if epoch < self.own.known {
            if !mutation::on(Mutation::AcceptOlderEpoch) {
                let message = MirrorMessage::Fenced { epoch: self.own.known };
                out.push(Action::Send { to: from.node, message });
                return;
            }
            self.step_down(out);
            self.own.known = epoch;
            self.role = Role::Mirror(Mirror::default());
        }
        self.learn(epoch, out);
        // Whom the catalog names, where it is known here yet.
        let assignment = self.own.assignment.as_deref();
        if assignment.is_some_and(|assignment| assignment.epoch == epoch && assignment.leader != Some(from)) {
            return;
        }
        let Role::Mirror(mirror) = &mut self.role else { return };
        self.own.told = self.own.told.max(version);
        if let Err(Broken(what)) = take(mirror, &mut self.own, out) {
            self.stopped = true;
            let queue = self.own.queue;
            let text = format!("queue {queue}: a promise is broken at {now:?}: {what}");
            out.push(Action::Broken(text));
        }
    }

    /// A higher epoch ends everything of the lower one (§5.1).
    fn learn(&mut self, epoch: Epoch, out: &mut Vec<Action>) {
        if epoch > self.own.known {
            self.own.known = epoch;
            self.step_down(out);
            if let Role::Mirror(mirror) = &mut self.role {
                mirror.forget();
            }
        }
    }

    fn step_down(&mut self, out: &mut Vec<Action>) {
        if self.is_leading() {
            self.role = Role::Mirror(Mirror::default());
            out.push(Action::Stepped);
        }
    }

    /// §4.6: it never leads this epoch again; the catalog is asked to elect.
    fn resign(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.step_down(out);
        self.resigned = Some(now);
        out.push(Action::Resign);
    }

    /// What it would lead with, while nobody leads and it may only uncleanly
    /// (§6.3). It has left every earlier epoch by then, so its log stays as it is.
    fn wants_to_offer(&self) -> bool {
        self.own.assignment.as_deref().is_some_and(|assignment| {
            let me = self.own.me;
            let last_resort = assignment.last_resort && assignment.replicas.contains(&me.node);
            assignment.leader.is_none()
                && assignment.epoch == self.own.known
                && (last_resort || assignment.trailing.contains(&me.member()))
                && !assignment.offers.contains_key(&me)
        })
    }

    fn offer(&mut self, now: Moment, out: &mut Vec<Action>) {
        let due = self.offered.is_none_or(|at| now.micros_since(at) >= self.own.settings.proposal_retry);
        let last = self.own.log.last();
        if !due
            || !self.wants_to_offer()
            || !self.own.log.is_whole()
            || self.own.disk.durable() < last.index
            || !self.own.disk.may_report()
        {
            return;
        }
        if let Some(to) = self.own.assignment.clone() {
            self.offered = Some(now);
            // What trails is the beginning of the leader's log. Else only what is
            // applied is known to be in that one too, and not even that if an
            // unclean election lies between.
            let kept = if to.trailing.contains(&self.own.me.member()) {
                self.own.log.next_offset()
            } else if self.own.log.last_unclean().epoch >= to.unclean {
                self.own.ledger.next_offset()
            } else {
                Offset(0)
            };
            let next = self.own.log.behind_gap(to.gaps + 1);
            out.push(Action::Offer { to, end: LogEnd { last, kept, next } });
        }
    }

    fn on_read(&mut self, now: Moment, reader: NodeId, first: Index, entries: Vec<Bytes>, out: &mut Vec<Action>) {
        let own = reader == self.own.me.node;
        let read = match &mut self.role {
            Role::Leader(leader) if !own => leader.on_read(&self.own, now, reader, first, entries, out),
            Role::Mirror(_) if !own => Ok(()),
            // A mirror that finds damage leaves it to whoever needs the entry.
            Role::Mirror(_) => self.own.on_own_read(now, first, &entries, out).or(Ok(())),
            Role::Leader(_) => self.own.on_own_read(now, first, &entries, out).map_err(|Damaged| Unfit),
        };
        if let Err(Unfit) = read {
            self.resign(now, out);
        }
    }

    fn on_tick(&mut self, now: Moment, out: &mut Vec<Action>) {
        self.offer(now, out);
        self.own.hollow_on(out);
        match &mut self.role {
            Role::Leader(leader) => {
                if let Err(Unfit) = leader.on_tick(&mut self.own, now, out) {
                    self.resign(now, out);
                }
            }
            Role::Mirror(_) => {
                self.own.checkpoint(now, Index(u64::MAX), out);
                let retry = self.own.settings.proposal_retry;
                let due = self.resigned.is_some_and(|asked| now.micros_since(asked) >= retry);
                if due && self.own.known == self.own.led {
                    self.resigned = Some(now);
                    out.push(Action::Resign);
                } else if self.own.known > self.own.led {
                    self.resigned = None;
                }
            }
        }
    }

    /// Whether this process leads the queue.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// What the applied catalog last said.
    #[must_use]
    pub fn assignment(&self) -> Option<&Arc<Assignment>> {
        self.own.assignment.as_ref()
    }

    /// The committed state. On a mirror it may trail the leader's.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.own.ledger
    }

    /// The highest version by which a leader has told this copy that it is a
    /// replica's: what the catalog said before is history (§6.6).
    #[must_use]
    pub fn told(&self) -> Version {
        self.own.told
    }

    /// The highest epoch heard of.
    #[must_use]
    pub fn known_epoch(&self) -> Epoch {
        self.own.known
    }

    /// The last entry of the log.
    #[must_use]
    pub fn last(&self) -> Position {
        self.own.log.last()
    }

    /// The entry before the first one that the log holds.
    #[must_use]
    pub fn base(&self) -> Position {
        self.own.log.base()
    }

    /// Up to here the own log has been fsynced by this process.
    #[must_use]
    pub fn durable(&self) -> Index {
        self.own.disk.durable()
    }

    /// The commit index, as far as this replica knows and has it.
    #[must_use]
    pub fn commit(&self) -> Index {
        self.own.ledger.applied().index
    }

    /// The offset that the next message proposed gets, uncommitted and unsealed
    /// ones counted: what a new horizon is set to.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match &self.role {
            Role::Leader(leader) => leader.next_offset(&self.own),
            Role::Mirror(_) => self.own.log.next_offset(),
        }
    }

    /// An entry at or before the one that holds the offset, and in the log.
    #[must_use]
    pub fn locate(&self, offset: Offset) -> Index {
        self.own.log.locate(offset)
    }

    /// The log from the part on that holds the offset, in parts: the first offset
    /// of each, bytes of log from there to the end, and when it begins. They are a
    /// couple of thousand at most, however long the log.
    pub fn parts(&self, from: Offset) -> impl Iterator<Item = (Offset, u64, u64)> {
        self.own.log.parts(from)
    }

    /// The entries among which that of the offset is, if it is in the log.
    #[must_use]
    pub fn around(&self, offset: Offset) -> Range<Index> {
        self.own.log.around(offset)
    }

    /// The entries among which is the last one that is earlier than this time
    /// (milliseconds since 1970), if one is; all behind them are not.
    #[must_use]
    pub fn around_time(&self, time: u64) -> Range<Index> {
        self.own.log.around_time(time)
    }

    /// The mirrors as their leader sees them; empty on a mirror.
    #[must_use]
    pub fn mirrors(&self, now: Moment) -> Vec<MirrorStatus> {
        match &self.role {
            Role::Leader(leader) => leader.statuses(&self.own, now),
            Role::Mirror(_) => Vec::new(),
        }
    }

    /// Whether there is space to give back (§3), and time brings it on.
    pub(crate) fn is_hollowing(&self) -> bool {
        self.own.is_hollowing()
    }

    /// Whether nothing here waits for time: no [`Event::Tick`] is needed until
    /// another event or proposal comes.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        match &self.role {
            _ if self.is_hollowing() => false,
            Role::Leader(leader) => leader.is_quiet(&self.own),
            Role::Mirror(_) => self.resigned.is_none() && !self.wants_to_offer(),
        }
    }
}

#[cfg(test)]
impl Replica {
    /// Whether the log has, or had before its base, exactly this entry.
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.own.log.holds(position)
    }

    /// The entry at this index, if the log has it.
    pub(crate) fn position_at(&self, index: Index) -> Option<Position> {
        self.own.log.position_at(index).filter(|_| index <= self.own.log.last().index)
    }

    /// Whether its derived state is that of its log alone (§5.3).
    pub(crate) fn is_whole(&self) -> bool {
        self.own.log.is_whole()
    }
}
