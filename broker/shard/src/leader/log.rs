//! The log as a leader uses it in a turn.

use warren_replication::ledger::Ledger;
use warren_replication::replica::Replica;
use warren_replication::step::{Action, Proposal};
use warren_replication::types::{Clock, Index};

/// The replica as its leader uses it.
pub(crate) struct Log<'a> {
    pub(crate) clock: Clock,
    pub(crate) replica: &'a mut Replica,
    pub(crate) actions: &'a mut Vec<Action>,
}

impl Log<'_> {
    /// Puts something into the log; the index of the entry that holds it.
    pub(crate) fn propose(&mut self, proposal: Proposal) -> Index {
        let before = self.replica.last();
        self.replica.propose(self.clock, proposal, self.actions);
        let last = self.replica.last();
        // It may have filled the entry, which is sealed then.
        if last == before { last.index.next() } else { last.index }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.replica.ledger()
    }
}
