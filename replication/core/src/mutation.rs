//! Rules that tests can break on purpose, to show that the simulations notice:
//! those of the replicas here, and those of the shard that the replicas serve.
//! Outside of tests and the `mutations` feature none of this is compiled in:
//! [`on`] is a constant.

/// Declares the rules, with where docs/REPLICATION.md states each and what is
/// done instead.
macro_rules! rules {
    ($($(#[$about:meta])* $list:ident { $($name:ident $section:literal $instead:literal,)* })*) => {
        /// A rule to break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutation {
            $($(#[doc = concat!($section, ": ", $instead)] $name,)*)*
        }

        impl Mutation {
            $($(#[$about])* pub const $list: &[Self] = &[$(Self::$name),*];)*

            /// The section of docs/REPLICATION.md that is broken, and how.
            #[must_use]
            pub const fn about(self) -> (&'static str, &'static str) {
                match self {
                    $($(Self::$name => ($section, $instead),)*)*
                }
            }
        }
    };
}

rules! {
    /// Those of the replicas.
    REPLICA {
        ConfirmBeforeSlowestMirror "§1" "commit what the leader alone has on disk",
        CommitUnsynced "§1" "commit what nobody has on disk yet, the leader included",
        IgnoreMinInSync "§1" "commit below `min-in-sync`",
        ReportUnsynced "§1" "a mirror reports what it has not synced yet",
        TrustFoundLog "§1" "what a new process finds on its disk counts before it has synced it again",
        KeepEligible "§1" "the catalog leaves members eligible although the in-sync set is large enough again",
        ChangeWithoutCompare "§1" "the catalog takes a change of the in-sync set without comparing (epoch, version)",
        IgnoreBoot "§4.0" "lead an epoch whose entry names another boot of this node",
        LeadAgain "§4.0" "lead an epoch again after resigning from it",
        ShrinkAtOnce "§4.3" "a proposed removal counts before the catalog has committed it",
        CountOldCopy "§6.6" "a leader counts what a mirror reported of a copy before it was taken in again",
        AddLate "§4.3" "a proposed addition counts only once the catalog has committed it",
        ForgetProposal "§4.3" "silence ends a proposal",
        AddToIsrEarly "§4.4" "propose mirrors that have not caught up",
        JoinBelowTakeover "§4.4" "propose mirrors that lack what the leader took over",
        ReuseOffset "§4.1" "a new leader gives out the offsets of its uncommitted log again",
        ForgetTailSessions "§4.8" "a new leader does not look at its uncommitted log for what was published",
        ForgetSessions "§4.8" "a new leader knows no session",
        IgnorePredecessor "§4.8" "a publish is taken although its predecessor is missing",
        CountForeignEpoch "§1" "a leader counts what a mirror reported in another epoch",
        ForgetEpoch "§5.1" "the epoch does not go to disk",
        AcceptOlderEpoch "§5.1" "a mirror takes entries of older epochs",
        CountOldDurable "§5.2" "a mirror takes what matched an older leader's log for matching",
        SkipTruncation "§5.2" "a mirror keeps entries that conflict with the leader's",
        KeepDivergedTail "§5.2" "a diverged tail is dropped in memory and stays on the disk",
        ReportBeforeTruncated "§1" "a mirror reports before the truncation that settled divergence is on disk",
        TrustCommit "§5.2" "a mirror believes a commit index beyond what is matched",
        TruncateToCommit "§5.2" "a mirror drops everything behind its commit index at first contact",
        InstallInSync "§5.3" "a member of the in-sync set replaces its copy",
        InstallTwice "§5.3" "a late install undoes what was reported since",
        InstallWithoutSessions "§5.3" "a mirror starts anew without the session table",
        CutHistory "§3" "a checkpoint keeps the last epoch of the history only",
        IgnoreLag "§4.2" "commit further ahead of a trailing mirror than `max-lag` allows",
        NoGap "§6.3" "an unclean leader gives out the offsets again that what is missing may have had",
        UnmarkedStart "§6.3" "an unclean leader does not mark the start of its epoch",
        CountAnyReturn "§3" "a return counts whatever count it names",
        HollowUncommitted "§3" "settled messages lose their bodies before the settle is committed",
        HollowAboveCheckpoint "§3" "messages lose their bodies by settles that the checkpoint on disk does not know",
        SettleTwice "§3" "a settle of what is no longer live is told as one that counted",
    }
    /// Those of the shards.
    SHARD {
        ServeBeforeInherited "§6.4" "a new leader serves before what it took over is committed",
        SettleUncommitted "§4.2" "an entry node hears that a message is settled before that is committed",
        DeliverAboveHorizon "§6.8" "messages go out before the horizon above them is committed",
        SayAgainAsNew "§2" "what may have been delivered before goes out without a word of it",
        ForgetClaims "§6.8" "a new leader does not take over who holds what",
        ClaimAnyDelivery "§6.8" "a claim of an earlier delivery vouches for a later one that was lost",
        CountForeignReturn "§6.8" "a return counts whoever says it",
        HearOldReign "§6.8" "an entry node hears a leader of another epoch than it claimed in",
        LeadOldWords "§6.8" "a leader takes words that were said to an earlier one",
        HandOutUnleased "§6.7" "an entry node hands out deliveries while its own lease is over",
        GiveBackAtOnce "§6.7" "deliveries of a lost node go to others before its lease is over",
        SettleBeforeArrival "§4.7" "a dead letter is settled before it has arrived",
        ConsignUncommitted "§4.9" "a link is given messages before it is committed that they are its site's",
        ForgetConsigned "§4.9" "a new leader gives anybody what was consigned to a site",
        TakeBackReturned "§4.9" "what a link has when it breaks off is anybody's again",
        TrustLaterLink "§4.9" "a link gives back unused what an earlier one was given",
    }
}

#[cfg(any(test, feature = "mutations"))]
mod active {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Breaks this rule, or none, on this thread from now on.
    pub fn set(mutation: Option<Mutation>) {
        ACTIVE.with(|active| active.set(mutation));
    }

    /// Whether this rule is broken.
    #[must_use]
    pub fn on(mutation: Mutation) -> bool {
        ACTIVE.with(|active| active.get() == Some(mutation))
    }
}

#[cfg(any(test, feature = "mutations"))]
pub use active::{on, set};

/// Whether this rule is broken: never.
#[must_use]
#[cfg(not(any(test, feature = "mutations")))]
pub const fn on(_: Mutation) -> bool {
    false
}
