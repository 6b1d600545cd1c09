//! What a leader knows of one mirror, and how it feeds it (§4.1, §5.2, §5.3).

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use crate::checkpoint;
use crate::message::{Anew, MirrorMessage};
use crate::own::Own;
use crate::step::Action;
use crate::types::{Index, Member, Moment, NodeId, Offset, Position, Process, Version};

/// How far contact with a mirror has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Entries follow each other without waiting for answers.
    Streaming,
    /// The point of divergence was computed; one batch behind it, then wait.
    Comparing {
        /// The mirror should hold everything up to here.
        common: Index,
    },
    /// A checkpoint was sent whose log begins here.
    Installing {
        /// The base sent.
        base: Index,
    },
}

/// One mirror, in this epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    pub(crate) node: NodeId,
    /// By which version it was taken in: what it said of a copy before says
    /// nothing of the one that it has now (§6.6).
    pub(crate) since: Version,
    /// Which process of the node speaks; its disk is what is in sync.
    pub(crate) process: Option<Process>,
    pub(crate) linked: bool,
    pub(crate) phase: Phase,
    /// The next entry to send.
    next: Index,
    /// Reported in this epoch, by this process (§1). Never goes back.
    pub(crate) durable: Option<Index>,
    in_flight: VecDeque<(Index, usize)>,
    in_flight_bytes: usize,
    reading: Option<Index>,
    /// When something was last sent that wants an answer, or an answer came.
    asked: Moment,
    /// When more was last reported durable than before.
    pub(crate) advanced: Moment,
    /// The last entry that both logs have, as of its last answer that they part.
    common: Index,
    /// An unclean election has left it behind: it can only start anew (§5.2).
    left_behind: bool,
    /// It has nothing that it could go on from: all below this offset was there
    /// before it came. Until it counts.
    anew: Option<Offset>,
    /// A copy that it was sent in this epoch is whole with this entry (§5.3).
    pub(crate) whole: Index,
    /// The commit index last sent along.
    told: Index,
    /// The log is kept for this mirror until then (§5.3).
    kept_until: Moment,
}

impl Progress {
    /// A mirror to which nothing was said yet; optimistically it has the log up
    /// to `last`. Links are taken for up until the driver says otherwise: what
    /// is sent into a broken one is lost, and asked for again.
    pub(crate) fn new(node: NodeId, since: Version, last: Index, now: Moment) -> Self {
        Self {
            node,
            since,
            process: None,
            linked: true,
            phase: Phase::Streaming,
            next: last.next(),
            durable: None,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            reading: None,
            asked: now,
            advanced: now,
            common: Index(0),
            left_behind: false,
            anew: None,
            whole: Index(0),
            told: Index(0),
            kept_until: Moment(0),
        }
    }

    pub(crate) fn member(&self) -> Option<Member> {
        self.process.map(Process::member)
    }

    /// Whether a word of this process counts. A later boot takes over, with
    /// everything known of the earlier one forgotten; another disk only does so
    /// by a new link.
    pub(crate) fn admit(&mut self, from: Process, now: Moment) -> bool {
        match self.process {
            Some(process) if process == from => {}
            Some(process) if process.member() != from.member() || process.boot > from.boot => return false,
            _ => self.meet(from, now),
        }
        // Who is heard can be reached.
        self.linked = true;
        true
    }

    fn meet(&mut self, process: Process, now: Moment) {
        if self.process != Some(process) {
            // §1: what another process reported is not this one's word.
            self.durable = None;
            self.left_behind = false;
            self.process = Some(process);
        }
        self.asked = now;
    }

    pub(crate) fn link_up(&mut self, own: &Own, now: Moment, process: Process, out: &mut Vec<Action>) {
        let stale = self.process.is_some_and(|known| known.member() == process.member() && known.boot > process.boot);
        if stale {
            return;
        }
        self.meet(process, now);
        self.linked = true;
        self.ask(own, now, out);
    }

    pub(crate) fn link_down(&mut self) {
        self.linked = false;
    }

    /// Whether it has everything, and knows that it is committed.
    pub(crate) fn is_current(&self, last: Index) -> bool {
        self.durable == Some(last) && self.phase == Phase::Streaming
    }

    pub(crate) fn is_quiet(&self, own: &Own) -> bool {
        let (last, commit) = (own.log.last().index, own.ledger.applied().index);
        if self.linked && self.waits(own) {
            // For an operator, or for what is there to go: neither is a matter of time.
            return true;
        }
        if self.linked { self.is_current(last) && self.told == commit } else { self.durable == Some(last) }
    }

    pub(crate) fn on_durable(&mut self, now: Moment, index: Index) {
        if self.durable.is_none_or(|durable| durable < index) {
            self.durable = Some(index);
            self.advanced = now;
        }
        self.asked = now;
        while self.in_flight.front().is_some_and(|(sent, _)| *sent <= index) {
            if let Some((_, bytes)) = self.in_flight.pop_front() {
                self.in_flight_bytes -= bytes;
            }
        }
        match self.phase {
            Phase::Comparing { common } if index < common => {}
            Phase::Installing { base } if index < base => {}
            Phase::Comparing { .. } | Phase::Streaming => {
                self.phase = Phase::Streaming;
                self.next = self.next.max(index.next());
            }
            Phase::Installing { .. } => {
                self.phase = Phase::Streaming;
                self.left_behind = false;
                self.next = index.next();
            }
        }
    }

    /// The mirror does not hold what was sent; find where it parted (§5.2).
    pub(crate) fn on_diverged(
        &mut self,
        own: &Own,
        now: Moment,
        (last, left_behind, history): (Position, bool, &[Position]),
        out: &mut Vec<Action>,
    ) {
        let common = own.log.common_with(history, last).max(self.durable.unwrap_or_default());
        // One answer of several to a pipeline that broke: it is being dealt with.
        let fresh = now.micros_since(self.asked) < own.settings.resend;
        let known = match self.phase {
            Phase::Streaming => false,
            Phase::Comparing { common: found } => found == common,
            Phase::Installing { base } => common < base,
        };
        let known = known && self.left_behind == left_behind;
        if known && fresh {
            return;
        }
        self.common = common;
        self.left_behind = left_behind;
        self.forget_in_flight();
        // Nor did it take in the commit index that came along.
        self.told = Index(0);
        self.next = common.next();
        self.phase = Phase::Comparing { common };
        if common == Index(0) {
            self.starts_anew(own);
        }
        self.feed(own, now, out);
    }

    /// Its copy has to be made anew, and counts no sooner than it is whole.
    fn starts_anew(&mut self, own: &Own) {
        let counts = |member| own.assignment.as_ref().is_some_and(|assignment| assignment.counts(&member));
        if self.anew.is_none() && !self.member().is_some_and(counts) {
            self.anew = Some(own.log.next_offset());
        }
    }

    /// It counts: what it lacks from now on is news.
    pub(crate) fn counts(&mut self) {
        self.anew = None;
    }

    pub(crate) fn is_anew(&self) -> bool {
        self.anew.is_some()
    }

    /// §5.3: whether it is sent nothing before an operator says so, or nothing is
    /// left of what was there before it came.
    pub(crate) fn waits(&self, own: &Own) -> bool {
        let Some(came) = self.anew else { return false };
        let manual = own.assignment.as_ref().and_then(|assignment| assignment.manual.as_ref());
        let called = |called: &BTreeSet<Member>| self.member().is_some_and(|member| called.contains(&member));
        let oldest = own.ledger.live().first().map_or(own.ledger.next_offset(), Offset);
        manual.is_some_and(|manual| !called(manual)) && oldest < came
    }

    fn forget_in_flight(&mut self) {
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// Sends what the window allows: from memory, or by a read of the store.
    pub(crate) fn feed(&mut self, own: &Own, now: Moment, out: &mut Vec<Action>) {
        let settings = &own.settings;
        if self.next <= own.log.base().index || self.left_behind {
            self.starts_anew(own);
        }
        if self.waits(own) {
            return;
        }
        while self.linked && self.next <= own.log.last().index && self.reading.is_none() {
            let open = match self.phase {
                Phase::Streaming => self.in_flight.is_empty() || self.in_flight_bytes < settings.window_bytes,
                Phase::Comparing { .. } => self.in_flight.is_empty(),
                Phase::Installing { .. } => false,
            };
            if !open {
                return;
            }
            if self.next <= own.log.base().index || self.left_behind {
                return self.install(own, now, out);
            }
            let mut entries = Vec::new();
            let mut bytes = 0;
            let mut at = self.next;
            while let Some(entry) = own.log.pending(at).and_then(|pending| pending.bytes()) {
                if !entries.is_empty() && bytes + entry.len() > settings.batch_bytes {
                    break;
                }
                bytes += entry.len();
                entries.push(entry.clone());
                at = at.next();
            }
            if entries.is_empty() {
                // In the store: what is not there yet is still in memory.
                self.reading = Some(self.next);
                out.push(Action::Read { reader: self.node, first: self.next, max_bytes: settings.batch_bytes });
                return;
            }
            self.send(own, now, entries, out);
        }
    }

    /// What was read for this mirror, checked by the caller.
    pub(crate) fn on_read(&mut self, own: &Own, now: Moment, first: Index, entries: Vec<Bytes>, out: &mut Vec<Action>) {
        if self.reading != Some(first) {
            return;
        }
        self.reading = None;
        if self.waits(own) {
            return;
        }
        if self.next == first && !entries.is_empty() && self.linked && !matches!(self.phase, Phase::Installing { .. }) {
            self.send(own, now, entries, out);
            self.feed(own, now, out);
        } else if self.next != first || first <= own.log.base().index {
            self.feed(own, now, out);
        }
    }

    /// By which version the mirror is told that it is a replica.
    fn version(&self, own: &Own) -> Version {
        own.assignment.as_ref().map_or(self.since, |assignment| assignment.version)
    }

    /// An append of entries from `next` on, or of none.
    fn send(&mut self, own: &Own, now: Moment, entries: Vec<Bytes>, out: &mut Vec<Action>) {
        let Some(prev) = own.log.position_at(Index(self.next.0.saturating_sub(1))) else { return };
        for entry in &entries {
            self.in_flight.push_back((self.next, entry.len()));
            self.in_flight_bytes += entry.len();
            self.next = self.next.next();
        }
        self.asked = now;
        self.told = own.ledger.applied().index;
        let unclean = own.log.last_unclean();
        let version = self.version(own);
        let message = MirrorMessage::Append { epoch: own.known, version, prev, commit: self.told, unclean, entries };
        out.push(Action::Send { to: self.node, message });
    }

    /// §5.3: the log that it needs is not kept any more, it starts anew at the
    /// base. Never a member of a set that counts: that one's log cannot
    /// end before what is released, so it is left to be removed first.
    fn install(&mut self, own: &Own, now: Moment, out: &mut Vec<Action>) {
        let Some(assignment) = own.assignment.as_ref() else { return };
        let mut counted = assignment.isr.iter().chain(&assignment.eligible).chain(&assignment.trailing);
        if counted.any(|member| member.node == self.node) {
            return;
        }
        let base = own.log.base().index;
        self.forget_in_flight();
        self.phase = Phase::Installing { base };
        self.next = base.next();
        self.asked = now;
        self.kept_until = now.plus_micros(own.settings.catch_up_timeout);
        self.whole = own.ledger.applied().index;
        let checkpoint = checkpoint::encode_base(own.queue, own.known, &own.log, &own.ledger);
        let (unclean, common) = (own.log.last_unclean(), self.common);
        let anew = (unclean.index > common).then_some(Anew { unclean, common });
        let message = MirrorMessage::Install { epoch: own.known, version: self.version(own), checkpoint, anew };
        out.push(Action::Send { to: self.node, message });
    }

    /// Up to here the log may be released as far as this mirror goes.
    pub(crate) fn hold(&self, own: &Own, now: Moment) -> Index {
        if !self.linked || now >= self.kept_until || self.waits(own) {
            return Index(u64::MAX);
        }
        match self.phase {
            Phase::Installing { base } => base,
            Phase::Comparing { .. } | Phase::Streaming => self.durable.unwrap_or_default(),
        }
    }

    /// Asks for an answer in whatever phase it is.
    fn ask(&mut self, own: &Own, now: Moment, out: &mut Vec<Action>) {
        match self.phase {
            // Does it hold everything sent so far? If not it says where it parted.
            Phase::Streaming => self.send(own, now, Vec::new(), out),
            Phase::Comparing { common } => {
                self.forget_in_flight();
                self.next = common.next();
                if self.linked && self.next <= own.log.last().index && !self.waits(own) {
                    self.asked = now;
                    self.feed(own, now, out);
                } else {
                    self.send(own, now, Vec::new(), out);
                }
            }
            Phase::Installing { .. } if self.waits(own) => {}
            Phase::Installing { .. } => self.install(own, now, out),
        }
    }

    pub(crate) fn on_tick(&mut self, own: &Own, now: Moment, out: &mut Vec<Action>) {
        // A broken link is tried too, rarely: nothing depends on being told of
        // its return.
        let patience = if self.linked { own.settings.resend } else { own.settings.mirror_timeout };
        let silent = now.micros_since(self.asked) >= patience;
        if silent && !self.is_current(own.log.last().index) && !(self.linked && self.waits(own)) {
            self.ask(own, now, out);
        } else if self.linked && self.told < own.ledger.applied().index && self.phase == Phase::Streaming {
            // Nothing else told it of the commit index since the last tick.
            self.send(own, now, Vec::new(), out);
        }
        self.feed(own, now, out);
    }
}
