//! Rules that tests can break on purpose, to show that the simulation notices.
//! Outside of tests and the `mutations` feature none of this is compiled in:
//! [`on`] is a constant.

/// A rule to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// §1: commit what the leader alone has on disk.
    ConfirmBeforeSlowestMirror,
    /// §1: commit below `min-in-sync`.
    IgnoreMinInSync,
    /// §4.3: a proposed removal counts before the catalog has committed it.
    ShrinkAtOnce,
    /// §4.3: a proposed addition counts only once the catalog has committed it.
    AddLate,
    /// §4.4: propose mirrors that have not caught up.
    AddToIsrEarly,
    /// §1, §5.2: a mirror takes what matched an older leader's log for matching.
    CountOldDurable,
    /// §1: a mirror reports what it has not synced yet.
    ReportUnsynced,
    /// §4.0: lead an epoch whose entry names another boot of this node.
    IgnoreBoot,
    /// §5.1: a mirror takes entries of older epochs.
    AcceptOlderEpoch,
    /// §5.2: a mirror keeps entries that conflict with the leader's.
    SkipTruncation,
    /// §5.2: a mirror believes a commit index beyond what is matched.
    TrustCommit,
    /// §5.2: a mirror drops everything behind its commit index at first contact.
    TruncateToCommit,
    /// §5.3: a member of the in-sync set replaces its copy.
    InstallInSync,
    /// §4.8: a new leader does not look at its uncommitted log.
    ForgetTailSessions,
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

    pub(crate) fn on(mutation: Mutation) -> bool {
        ACTIVE.with(|active| active.get() == Some(mutation))
    }
}

#[cfg(any(test, feature = "mutations"))]
pub(crate) use active::on;
#[cfg(any(test, feature = "mutations"))]
pub use active::set;

#[cfg(not(any(test, feature = "mutations")))]
pub(crate) const fn on(_: Mutation) -> bool {
    false
}
