//! A leader's side (§4): append, feed the mirrors, commit what the slowest of
//! the maximal in-sync set has on disk, keep that set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::draft::Draft;
use crate::isr::{InSync, Members, Stamps};
use crate::keys::Keys;
use crate::message::Message;
use crate::mutation::{self, Mutation};
use crate::own::Own;
use crate::progress::{Phase, Progress};
use crate::record::{self, Entry, Record};
use crate::replica::{MirrorState, MirrorStatus};
use crate::session::{Sequence, SessionTable};
use crate::step::{Action, Origin, Proposal, Terms};
use crate::trail::Trail;
use crate::types::{
    Assignment, Epoch, Index, Lag, Member, Moment, NodeId, Offset, Position, Process, Session, Version,
};

/// The leader of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// Its last index when it took over: a mirror is in sync no earlier than
    /// there (§4.4).
    takeover: Index,
    draft: Draft,
    /// Sessions as they are once the whole log is committed (§4.8).
    appended: SessionTable,
    /// Keys of messages that were taken and are maybe not committed yet.
    keys: Keys,
    mirrors: BTreeMap<NodeId, Progress>,
    in_sync: InSync,
    stamps: Stamps,
    /// Kept under `max-lag` only.
    trail: Trail,
    /// The number of the next consignment (§4.9): above all of earlier epochs, also
    /// of those that an unclean election has left behind.
    next_consignment: u64,
}

/// Bits of a consignment's number below the epoch.
const CONSIGNMENTS: u32 = 40;

impl Terms {
    /// Whether there is no room for a message: whether it is to be kept then.
    fn refuse(&mut self, message: &Message) -> Option<bool> {
        let (messages, bytes) = self.room.as_mut()?;
        let body = message.body.len() as u64;
        if *messages > 0 && *bytes >= body {
            *messages -= 1;
            *bytes -= body;
            return None;
        }
        Some(self.keep)
    }
}

/// Places of other sites from which messages of these publishes were taken, with
/// the floor that was said with each.
#[derive(Debug, Default)]
struct Arrivals(BTreeMap<(Session, u64), u64>);

impl Arrivals {
    /// Whether the message of this place is here already.
    fn holds(&self, origin: &Origin, appended: &mut SessionTable) -> bool {
        // Order says nothing here: what was refused, or routed elsewhere, before
        // later ones were taken may still come.
        let known = appended.enter(origin.session, origin.floor).look_up(origin.sequence);
        let known = matches!(known, Sequence::Taken | Sequence::Settled);
        known || self.0.contains_key(&(origin.session, origin.sequence))
    }

    fn add(&mut self, origin: Option<Origin>) {
        self.0.extend(origin.map(|origin| ((origin.session, origin.sequence), origin.floor)));
    }
}

/// Why a leader has to stop on its own (§4.6, §5.4).
pub(crate) struct Unfit;

impl Leader {
    /// Takes over: what the log holds will be committed under this epoch (§6.4).
    pub(crate) fn begin(own: &mut Own, now: Moment, out: &mut Vec<Action>) -> Self {
        let mut appended = own.ledger.sessions().clone();
        let mut keys = Keys::default();
        if mutation::on(Mutation::ForgetSessions) {
            appended = SessionTable::default();
        } else if !mutation::on(Mutation::ForgetTailSessions) {
            for pending in own.log.all_pending() {
                for record in &pending.entry.records {
                    match record {
                        Record::Publish { session, floor, runs } | Record::Duplicate { session, floor, runs } => {
                            appended.publish(*session, *floor, runs);
                        }
                        Record::Refuse { session, floor, runs, .. } => appended.refuse(*session, *floor, runs),
                        Record::Keys { keys: taken, .. } => {
                            taken.iter().for_each(|(key, until)| keys.insert(*key, *until));
                        }
                        Record::EndSession(session) => appended.end(session),
                        _ => {}
                    }
                }
            }
        }
        let mut leader = Self {
            takeover: own.log.last().index,
            draft: Draft::default(),
            appended,
            keys,
            mirrors: BTreeMap::new(),
            in_sync: InSync::default(),
            stamps: Stamps::default(),
            trail: Trail::default(),
            next_consignment: own.known.0 << CONSIGNMENTS,
        };
        out.push(Action::Leading);
        leader.follow(own, now);
        leader.adopt(own, now, out);
        // The one that was elected so may have ended before it said so in its log.
        let said = own.log.last_unclean().epoch;
        let assignment = own.assignment.as_ref();
        let (unclean, gaps) = assignment.map_or((false, 0), |assignment| (assignment.unclean > said, assignment.gaps));
        if unclean && !mutation::on(Mutation::NoGap) {
            own.log.leave_gap(gaps);
        }
        leader.draft.epoch_start(own.me, unclean && !mutation::on(Mutation::UnmarkedStart));
        leader.seal(own, now, out);
        leader
    }

    /// The applied catalog has a newer state within this epoch.
    pub(crate) fn on_assigned(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        self.follow(own, now);
        self.adopt(own, now, out);
        self.commit(own, now, out);
        self.review(own, now, out);
    }

    /// The in-sync set is what the applied catalog says, whoever asked for it.
    fn follow(&mut self, own: &Own, now: Moment) {
        if let Some(assignment) = own.assignment.as_deref() {
            let mirrors = &self.mirrors;
            let process = |member: Member| {
                let speaks = mirrors.get(&member.node).and_then(|mirror| mirror.process);
                speaks.filter(|process| process.member() == member)
            };
            self.in_sync.on_assigned(assignment, process, &own.settings, now);
        }
    }

    /// Mirrors are all replicas and all members of the in-sync set but this one.
    fn adopt(&mut self, own: &Own, now: Moment, out: &mut Vec<Action>) {
        let Some(assignment) = own.assignment.as_deref() else { return };
        let wanted = |node: &NodeId| {
            let counts = |set: &BTreeSet<Member>| set.iter().any(|member| member.node == *node);
            *node != own.me.node
                && (assignment.replicas.contains(node) || counts(&assignment.isr) || counts(&assignment.trailing))
        };
        self.mirrors.retain(|node, _| wanted(node));
        let members = assignment.isr.iter().chain(&assignment.trailing).map(|member| member.node);
        let nodes = assignment.replicas.iter().copied().chain(members);
        for node in nodes.filter(wanted) {
            let last = own.log.last().index;
            self.mirrors.entry(node).or_insert_with(|| Progress::new(node, assignment.version, last, now));
        }
        // A removal that was just applied may be what a mirror waited for to
        // start anew.
        for mirror in self.mirrors.values_mut() {
            if mirror.member().is_some_and(|member| assignment.counts(&member)) {
                mirror.counts();
            }
            mirror.feed(own, now, out);
        }
    }

    pub(crate) fn propose(&mut self, own: &mut Own, now: Moment, proposal: Proposal, out: &mut Vec<Action>) {
        match proposal {
            Proposal::Publish { session, floor, prev, messages, terms } => {
                self.publish((session, floor, prev), messages, terms.map(|terms| *terms), own, out);
            }
            Proposal::Settle { offsets, reason } => self.draft.settle(now, offsets, reason),
            Proposal::SettleRanges { ranges, reason } => self.draft.settle_ranges(now, ranges, reason),
            Proposal::Return { offsets } => self.draft.give_back(offsets),
            Proposal::Consign { site, offsets } => {
                let first = self.next_consignment;
                self.next_consignment += offsets.len() as u64;
                self.draft.consign(site, first, &offsets);
            }
            Proposal::Reclaim { offsets } => self.draft.reclaim(&offsets),
            Proposal::Horizon(offset) => self.draft.horizon(offset),
            Proposal::EndSession(session) => {
                if self.appended.get(&session).is_some() {
                    self.appended.end(&session);
                    self.draft.end_session(session);
                }
            }
        }
        if self.draft.bytes >= own.settings.entry_bytes {
            self.seal(own, now, out);
        }
    }

    /// §4.8: each sequence is taken once, in the order in which it was sent.
    fn publish(
        &mut self,
        (session, floor, prev): (Session, u64, u64),
        messages: Vec<(u64, Message)>,
        mut terms: Option<Terms>,
        own: &Own,
        out: &mut Vec<Action>,
    ) {
        // Put back at the end: meanwhile the table is asked about origins.
        let mut taken = std::mem::take(self.appended.enter(session, floor));
        let mut prev = prev;
        let mut confirmed = Vec::new();
        let mut refused = Vec::new();
        let mut again = None;
        let mut taken_keys = Vec::new();
        let mut arrivals = Arrivals::default();
        let time = own.wall.max(own.log.time());
        for (nth, (sequence, message)) in messages.into_iter().enumerate() {
            match taken.look_up(sequence) {
                // Nobody waits for an answer.
                Sequence::Settled => {}
                Sequence::Taken => {
                    // If it is not committed, it is confirmed when it is.
                    let committed = own.ledger.sessions().get(&session);
                    if committed.is_some_and(|c| matches!(c.look_up(sequence), Sequence::Taken | Sequence::Settled)) {
                        record::push_run(&mut confirmed, sequence);
                    }
                }
                Sequence::Refused => record::push_run(&mut refused, sequence),
                Sequence::New if prev > taken.highest() && !mutation::on(Mutation::IgnorePredecessor) => {
                    again = Some(taken.highest() + 1);
                    break;
                }
                Sequence::New => {
                    let mut terms = terms.as_mut();
                    let keys = terms.as_mut().and_then(|terms| terms.keys.get_mut(nth));
                    let keys = keys.map(std::mem::take).unwrap_or_default();
                    let known =
                        |(key, _): &(_, u64)| own.ledger.keys().holds(*key, time) || self.keys.holds(*key, time);
                    let origin = terms.as_ref().and_then(|terms| terms.origins.get(nth).copied().flatten());
                    let arrived = origin.is_some_and(|origin| arrivals.holds(&origin, &mut self.appended));
                    if arrived || keys.iter().any(known) {
                        taken.take(sequence, sequence);
                        self.draft.duplicate(session, floor, sequence);
                    } else if let Some(keep) = terms.and_then(|terms| terms.refuse(&message)) {
                        taken.refuse(sequence);
                        self.draft.refuse(session, floor, sequence, keep.then_some(message));
                    } else {
                        taken.take(sequence, sequence);
                        for (key, window) in keys {
                            let until = time.saturating_add(window);
                            self.keys.insert(key, until);
                            taken_keys.push((key, until));
                        }
                        arrivals.add(origin);
                        self.draft.publish(session, floor, sequence, message);
                    }
                }
            }
            prev = sequence;
        }
        *self.appended.enter(session, floor) = taken;
        // In the entry that holds the messages: either both are kept, or neither.
        for ((session, sequence), floor) in arrivals.0 {
            self.appended.publish(session, floor, &[(sequence, sequence)]);
            self.draft.duplicate(session, floor, sequence);
        }
        if !taken_keys.is_empty() {
            let most = terms.map_or(0, |terms| terms.most_keys);
            self.draft.keys(taken_keys, most);
        }
        if !confirmed.is_empty() || !refused.is_empty() {
            out.push(Action::Repeated { session, confirmed, refused });
        }
        if let Some(from) = again {
            out.push(Action::Again { session, from });
        }
    }

    /// One entry of everything proposed: to the own store and to every mirror
    /// at once (§4.1).
    pub(crate) fn seal(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        if self.draft.is_empty() || self.draft.may_wait(now, own.settings.settle_delay) {
            return;
        }
        let Draft { records, messages, .. } = std::mem::take(&mut self.draft);
        let position = Position { epoch: own.known, index: own.log.last().index.next() };
        let reuse = mutation::on(Mutation::ReuseOffset);
        let first_offset = if reuse { own.ledger.next_offset() } else { own.log.next_offset() };
        // The age of messages goes by it, so it never goes back (§3).
        let time = own.wall.max(own.log.time());
        let bytes = Entry::encode(position, first_offset, time, &records, &messages);
        let expiring = messages.iter().any(Message::has_expiration);
        let entry = Entry { position, first_offset, time, messages: messages.len() as u32, expiring, records };
        if own.assignment.as_ref().is_some_and(|assignment| assignment.max_lag.is_some()) {
            self.trail.push(position.index, entry.messages, bytes.len(), now);
        }
        own.store_epoch(now, out);
        own.append(now, vec![(entry, bytes)], out);
        self.stamps.push(position.index, now, own.settings.mirror_timeout);
        for mirror in self.mirrors.values_mut() {
            mirror.feed(own, now, out);
        }
        own.trim();
    }

    /// A write of our own is on disk.
    pub(crate) fn on_persisted(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        self.commit(own, now, out);
        own.trim();
    }

    pub(crate) fn on_durable(
        &mut self,
        own: &mut Own,
        now: Moment,
        from: Process,
        (epoch, version, index): (Epoch, Version, Index),
        out: &mut Vec<Action>,
    ) {
        let foreign = epoch != own.known && !mutation::on(Mutation::CountForeignEpoch);
        if foreign || index > own.log.last().index {
            return;
        }
        let Some(mirror) = self.mirrors.get_mut(&from.node) else { return };
        if !mirror.admit(from, now) {
            return;
        }
        if version < mirror.since && !mutation::on(Mutation::CountOldCopy) {
            return;
        }
        mirror.on_durable(now, index);
        mirror.feed(own, now, out);
        self.commit(own, now, out);
        let settled = own.assignment.as_ref().is_none_or(|assignment| {
            let member = from.member();
            if assignment.max_lag.is_some() { &assignment.trailing } else { &assignment.isr }.contains(&member)
        });
        if !settled {
            self.review(own, now, out);
        }
    }

    pub(crate) fn on_diverged(
        &mut self,
        own: &Own,
        now: Moment,
        from: Process,
        epoch: Epoch,
        told: (Position, bool, &[Position]),
        out: &mut Vec<Action>,
    ) {
        if epoch != own.known {
            return;
        }
        let Some(mirror) = self.mirrors.get_mut(&from.node) else { return };
        if mirror.admit(from, now) {
            mirror.on_diverged(own, now, told, out);
        }
    }

    pub(crate) fn on_link_up(&mut self, own: &mut Own, now: Moment, process: Process, out: &mut Vec<Action>) {
        if let Some(mirror) = self.mirrors.get_mut(&process.node) {
            mirror.link_up(own, now, process, out);
            self.review(own, now, out);
        }
    }

    pub(crate) fn on_link_down(&mut self, own: &mut Own, now: Moment, node: NodeId, out: &mut Vec<Action>) {
        if let Some(mirror) = self.mirrors.get_mut(&node) {
            mirror.link_down();
            let member = mirror.member();
            self.in_sync.leave(member);
            self.commit(own, now, out);
            self.review(own, now, out);
        }
    }

    pub(crate) fn on_read(
        &mut self,
        own: &Own,
        now: Moment,
        node: NodeId,
        first: Index,
        entries: Vec<Bytes>,
        out: &mut Vec<Action>,
    ) -> Result<(), Unfit> {
        // §5.4: a block of our own that is not what was written.
        for bytes in &entries {
            record::check(bytes).map_err(|_| Unfit)?;
        }
        // Read before the log was changed: as good as nothing.
        let stale = entries
            .iter()
            .zip(first.0..)
            .any(|(bytes, index)| record::position(bytes).ok() != own.log.position_at(Index(index)));
        let entries = if stale { Vec::new() } else { entries };
        if let Some(mirror) = self.mirrors.get_mut(&node) {
            mirror.on_read(own, now, first, entries, out);
        }
        Ok(())
    }

    pub(crate) fn on_tick(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) -> Result<(), Unfit> {
        if own.disk.oldest_wait(now) >= own.settings.disk_stall_timeout {
            return Err(Unfit);
        }
        self.in_sync.on_tick(&own.settings, now, out);
        self.commit(own, now, out);
        for mirror in self.mirrors.values_mut() {
            mirror.on_tick(own, now, out);
        }
        self.review(own, now, out);
        Ok(())
    }

    /// §1: the minimum of the durable index over the maximal in-sync set, and
    /// only while the applied in-sync set is large enough.
    fn commit(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        let Some(assignment) = own.assignment.clone() else { return };
        if assignment.isr.len() < assignment.min_in_sync as usize && !mutation::on(Mutation::IgnoreMinInSync) {
            return;
        }
        let unsynced = mutation::on(Mutation::CommitUnsynced);
        let mut commit = if unsynced { own.log.last().index } else { own.disk.durable() };
        if !unsynced && !mutation::on(Mutation::ConfirmBeforeSlowestMirror) {
            for member in self.in_sync.maximal(&assignment) {
                if member != own.me.member() {
                    commit = commit.min(self.durable_of(member));
                }
            }
            for member in self.in_sync.maximal_trailing(&assignment) {
                commit = commit.min(self.reach_of(member, assignment.max_lag.as_ref()));
            }
        }
        if commit > own.ledger.applied().index {
            if !self.keys.is_empty() {
                // What commits now is in the ledger's.
                for pending in own.log.all_pending().take_while(|pending| pending.entry.position.index <= commit) {
                    let records = pending.entry.records.iter();
                    let keys =
                        records.filter_map(|r| if let Record::Keys { keys, .. } = r { Some(keys) } else { None });
                    keys.flatten().for_each(|(key, until)| self.keys.remove(*key, *until));
                }
            }
            own.apply(commit, Some(out));
            // What some waited for to go may be gone (§5.3).
            for mirror in self.mirrors.values_mut().filter(|mirror| mirror.is_anew()) {
                mirror.feed(own, now, out);
            }
        }
        if let Some(max_lag) = &assignment.max_lag {
            match self.in_sync.maximal_trailing(&assignment).map(|member| self.durable_of(member)).min() {
                Some(least) => self.trail.forget(least),
                None => self.trail.keep_within(commit, max_lag),
            }
        }
        let hold = self.mirrors.values().map(|mirror| mirror.hold(own, now)).min();
        own.checkpoint(now, hold.unwrap_or(Index(u64::MAX)), out);
    }

    /// Up to here commits may run ahead of a trailing member (§4.2). Without
    /// `max-lag` they do not: it is on its way into the in-sync set.
    fn reach_of(&self, member: Member, max_lag: Option<&Lag>) -> Index {
        let durable = self.durable_of(member);
        match max_lag {
            Some(_) if mutation::on(Mutation::IgnoreLag) => Index(u64::MAX),
            Some(max_lag) => self.trail.reach(durable, max_lag),
            None => durable,
        }
    }

    /// What this disk has reported in this epoch (§1), 0 before it has.
    fn durable_of(&self, member: Member) -> Index {
        let mirror = self.mirrors.get(&member.node).filter(|mirror| mirror.member() == Some(member));
        mirror.and_then(|mirror| mirror.durable).unwrap_or_default()
    }

    /// For how long (µs) the oldest entry that this mirror lacks has waited.
    fn behind(&self, mirror: &Progress, own: &Own, now: Moment) -> u64 {
        match mirror.durable {
            Some(durable) if durable >= own.log.last().index => 0,
            durable => self.stamps.behind(durable.unwrap_or_default(), now),
        }
    }

    /// Who should be in the in-sync set, or trail (§4.4).
    fn review(&mut self, own: &mut Own, now: Moment, out: &mut Vec<Action>) {
        let Some(assignment) = own.assignment.clone() else { return };
        let mut wanted = Members { isr: assignment.isr.clone(), trailing: assignment.trailing.clone() };
        for mirror in self.mirrors.values() {
            let settings = &own.settings;
            let timeout = if mirror.linked { settings.mirror_timeout } else { settings.link_timeout };
            let timeout = timeout.min(settings.mirror_timeout);
            let behind = self.behind(mirror, own, now);
            let member = mirror.member();
            // A disk that was replaced is not the one that is in sync.
            let gone = |m: &Member| m.node == mirror.node && member.is_some_and(|now_there| now_there != *m);
            let overdue = behind >= timeout;
            wanted.isr.retain(|m| !gone(m) && (m.node != mirror.node || !overdue));
            // One that trails may be behind for as long as it goes on.
            let stuck = behind.min(now.micros_since(mirror.advanced)) >= timeout;
            wanted.trailing.retain(|m| !gone(m) && (m.node != mirror.node || !stuck));
            let Some(member) = member else { continue };
            let dismissed = self.in_sync.is_dismissed(mirror.process);
            if dismissed || !mirror.linked || assignment.isr.contains(&member) {
                continue;
            }
            if !assignment.replicas.contains(&mirror.node) || mirror.waits(own) {
                continue;
            }
            let takeover = if mutation::on(Mutation::JoinBelowTakeover) { Index(0) } else { self.takeover };
            let commit = own.ledger.applied().index;
            if let Some(max_lag) = &assignment.max_lag {
                // What an earlier leader sent is whole with what was taken over.
                let needed = takeover.max(mirror.whole);
                let near = mirror
                    .durable
                    .is_some_and(|durable| durable >= needed && self.trail.reach(durable, max_lag) >= commit);
                if near && !stuck {
                    wanted.trailing.insert(member);
                }
                continue;
            }
            if overdue {
                continue;
            }
            let needed = commit.max(takeover);
            if mutation::on(Mutation::AddToIsrEarly) || mirror.durable.is_some_and(|durable| durable >= needed) {
                wanted.isr.insert(member);
            } else if mirror.durable.is_some_and(|durable| durable >= self.takeover)
                && mirror.phase == Phase::Streaming
                && behind < settings.mirror_timeout / 4
                && self.in_sync.is_idle()
            {
                self.in_sync.join(member, settings, now);
            }
        }
        if assignment.max_lag.is_some() {
            // Whoever was in sync trails from now on; the leader alone does not.
            let me = own.me.member();
            let others = wanted.isr.iter().copied().filter(|member| *member != me);
            wanted.trailing.extend(others);
            wanted.isr.retain(|member| *member == me);
        }
        wanted.trailing.retain(|member| !wanted.isr.contains(member));
        self.in_sync.propose(&assignment, wanted, now, out);
    }

    pub(crate) fn is_quiet(&self, own: &Own) -> bool {
        own.disk.is_idle()
            && self.draft.is_empty()
            && self.in_sync.is_quiet()
            && self.mirrors.values().all(|mirror| mirror.is_quiet(own))
    }

    pub(crate) fn statuses(&self, own: &Own, now: Moment) -> Vec<MirrorStatus> {
        let isr = own.assignment.as_ref().map(|assignment: &Arc<Assignment>| &assignment.isr);
        let trails =
            |member: &Member| own.assignment.as_ref().is_some_and(|assignment| assignment.trailing.contains(member));
        let last = own.log.last().index;
        let statuses = self.mirrors.values().map(|mirror| MirrorStatus {
            node: mirror.node,
            durable: mirror.durable,
            in_sync: isr.is_some_and(|isr| {
                isr.iter()
                    .any(|member| member.node == mirror.node && mirror.member().is_none_or(|known| known == *member))
            }),
            state: match mirror.phase {
                _ if !mirror.linked => MirrorState::Unreachable,
                _ if mirror.waits(own) => MirrorState::Waiting,
                Phase::Comparing { .. } => MirrorState::Comparing,
                Phase::Installing { .. } => MirrorState::Installing,
                Phase::Streaming if mirror.is_current(last) => MirrorState::Current,
                Phase::Streaming if mirror.durable.is_none() => MirrorState::Comparing,
                Phase::Streaming => MirrorState::CatchingUp,
            },
            behind: self.behind(mirror, own, now),
            lag: mirror
                .member()
                .filter(|member| trails(member))
                .map(|_| self.trail.lag(mirror.durable.unwrap_or_default(), own.ledger.applied().index, now)),
        });
        statuses.collect()
    }

    /// The offset that the next message gets, uncommitted ones counted.
    pub(crate) fn next_offset(&self, own: &Own) -> Offset {
        Offset(own.log.next_offset().0 + self.draft.messages.len() as u64)
    }
}
