//! The in-sync set: who is in it, who is proposed, and when (§4.3, §4.4).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::mutation::{self, Mutation};
use crate::settings::Settings;
use crate::step::Action;
use crate::types::{Assignment, Index, Member, Moment, Process};

/// A change asked of the catalog and not seen ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Proposed {
    from: Arc<Assignment>,
    wanted: Members,
    sent: Moment,
}

/// The sets that a leader keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    /// In sync.
    pub(crate) isr: BTreeSet<Member>,
    /// Trailing by no more than `max-lag`.
    pub(crate) trailing: BTreeSet<Member>,
}

impl Proposed {
    fn action(&self) -> Action {
        let Members { isr, trailing } = self.wanted.clone();
        Action::ProposeIsr { from: Arc::clone(&self.from), isr, trailing }
    }
}

/// The leader's part of keeping the in-sync set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct InSync {
    proposal: Option<Proposed>,
    /// A mirror that commits wait for although it is not proposed yet: it is so
    /// near that under steady load it would otherwise chase the commit index
    /// for ever. Until when it may take.
    joining: Option<(Member, Moment)>,
    /// No other joins before this moment.
    rest_until: Moment,
    /// The set as last applied.
    members: BTreeSet<Member>,
    /// Processes that were taken out of the set by others than this leader, and
    /// until when it does not ask for them: they may be about to end, and commits
    /// would wait for them until the catalog had refused (§4.3).
    dismissed: BTreeMap<Process, Moment>,
}

impl InSync {
    /// The members whose durable index a commit waits for: the *maximal* set
    /// (§4.3), and whoever is joining.
    pub(crate) fn maximal<'a>(&'a self, assignment: &'a Assignment) -> impl Iterator<Item = Member> + 'a {
        let proposed = self.proposal.as_ref().map(|proposal| &proposal.wanted.isr);
        let shrunk = proposed.filter(|_| mutation::on(Mutation::ShrinkAtOnce));
        let added = proposed.filter(|_| !mutation::on(Mutation::AddLate));
        let kept = assignment.isr.iter().filter(move |member| shrunk.is_none_or(|isr| isr.contains(member)));
        kept.chain(added.into_iter().flatten()).copied().chain(self.joining())
    }

    /// The members that a commit may run ahead of, by `max-lag` (§4.2): by the
    /// same rule.
    pub(crate) fn maximal_trailing<'a>(&'a self, assignment: &'a Assignment) -> impl Iterator<Item = Member> + 'a {
        let proposed = self.proposal.as_ref().map(|proposal| &proposal.wanted.trailing);
        let shrunk = proposed.filter(|_| mutation::on(Mutation::ShrinkAtOnce));
        let kept = assignment.trailing.iter().filter(move |member| shrunk.is_none_or(|set| set.contains(member)));
        kept.chain(proposed.into_iter().flatten()).copied()
    }

    /// §4.3 †: a proposal ends only when a state with a higher (epoch, version)
    /// than the one that it compares with is applied.
    pub(crate) fn on_assigned(
        &mut self,
        assignment: &Assignment,
        process: impl Fn(Member) -> Option<Process>,
        settings: &Settings,
        now: Moment,
    ) {
        for member in self.members.difference(&assignment.isr) {
            let asked = self.proposal.as_ref().is_some_and(|proposal| !proposal.wanted.isr.contains(member));
            if let Some(process) = process(*member).filter(|_| !asked) {
                self.dismissed.insert(process, now.plus_micros(settings.mirror_timeout / 2));
            }
        }
        self.members.clone_from(&assignment.isr);
        let ended = self.proposal.as_ref().is_some_and(|proposal| {
            (assignment.epoch, assignment.version) > (proposal.from.epoch, proposal.from.version)
        });
        if ended {
            self.proposal = None;
        }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.proposal.is_none() && self.joining.is_none()
    }

    /// Whether it has to hear of the time.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_idle() && self.dismissed.is_empty()
    }

    /// Whether this process is not asked for yet.
    pub(crate) fn is_dismissed(&self, process: Option<Process>) -> bool {
        process.is_some_and(|process| self.dismissed.contains_key(&process))
    }

    /// Whether commits wait for this member before it is in sync.
    pub(crate) fn joining(&self) -> Option<Member> {
        self.joining.map(|(member, _)| member)
    }

    /// Asks for `wanted`, if that is a change and nothing is in flight.
    pub(crate) fn propose(
        &mut self,
        assignment: &Arc<Assignment>,
        wanted: Members,
        now: Moment,
        out: &mut Vec<Action>,
    ) {
        if self.proposal.is_none() && (wanted.isr != assignment.isr || wanted.trailing != assignment.trailing) {
            if self.joining.is_some_and(|(member, _)| wanted.isr.contains(&member)) {
                self.joining = None;
            }
            let proposal = Proposed { from: Arc::clone(assignment), wanted, sent: now };
            out.push(proposal.action());
            self.proposal = Some(proposal);
        }
    }

    /// Repeats the proposal in flight (§4.3: no silence and no error ends it).
    pub(crate) fn on_tick(&mut self, settings: &Settings, now: Moment, out: &mut Vec<Action>) {
        let asked = |proposal: &Proposed| now.micros_since(proposal.sent) >= settings.proposal_retry;
        if mutation::on(Mutation::ForgetProposal) && self.proposal.as_ref().is_some_and(asked) {
            self.proposal = None;
        }
        if let Some(proposal) = &mut self.proposal
            && now.micros_since(proposal.sent) >= settings.proposal_retry
        {
            proposal.sent = now;
            out.push(proposal.action());
        }
        self.dismissed.retain(|_, until| *until > now);
        if self.joining.is_some_and(|(_, until)| now >= until) {
            self.joining = None;
            self.rest_until = now.plus_micros(settings.mirror_timeout);
        }
    }

    /// Lets commits wait a little for a mirror that is near.
    pub(crate) fn join(&mut self, member: Member, settings: &Settings, now: Moment) {
        if self.joining.is_none() && now >= self.rest_until {
            self.joining = Some((member, now.plus_micros(settings.mirror_timeout / 4)));
        }
    }

    /// A mirror that was lost joins no more.
    pub(crate) fn leave(&mut self, member: Option<Member>) {
        if member.is_some() && self.joining() == member {
            self.joining = None;
        }
    }
}

/// When entries were appended, coarsely: how long a mirror has been behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stamps {
    /// The first index appended at or after each moment.
    stamps: VecDeque<(Index, Moment)>,
}

impl Stamps {
    /// A stamp at most every so many parts of the time-out.
    const PARTS: u64 = 32;

    pub(crate) fn push(&mut self, index: Index, now: Moment, timeout: u64) {
        let due = self.stamps.back().is_none_or(|(_, last)| now.micros_since(*last) > timeout / Self::PARTS);
        if due {
            self.stamps.push_back((index, now));
        }
        // One that is older than any time-out says enough.
        while self.stamps.get(1).is_some_and(|(_, moment)| now.micros_since(*moment) > timeout * 2) {
            self.stamps.pop_front();
        }
    }

    /// For how long (µs) the entry after `durable` has been waiting.
    pub(crate) fn behind(&self, durable: Index, now: Moment) -> u64 {
        let after = self.stamps.partition_point(|(index, _)| *index <= durable.next());
        self.stamps.get(after.saturating_sub(1)).map_or(0, |(_, moment)| now.micros_since(*moment))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_a_mirror_is_behind_is_the_age_of_its_oldest_missing_entry() {
        let mut stamps = Stamps::default();
        for index in 1..=100 {
            stamps.push(Index(index), Moment(index * 10_000), 320_000);
        }
        assert_eq!(stamps.behind(Index(99), Moment(1_000_000)), 10_000);
        let behind = stamps.behind(Index(79), Moment(1_000_000));
        assert!((200_000..=220_000).contains(&behind), "{behind}");
        assert!(stamps.behind(Index(0), Moment(1_000_000)) >= 320_000);
        assert!(stamps.stamps.len() < 70);
    }
}
