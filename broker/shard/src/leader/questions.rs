//! What entry nodes have asked of a leader and wait to hear: gets, purges,
//! counts. Whoever gives a message back or publishes one and then asks finds it at
//! its place, so a question waits until the returns and publishes that its process
//! said before it are committed; a get only if nothing older is there. Settles need no such wait: what they take is gone at once.

use std::collections::{BTreeMap, VecDeque};

use warren_queue::Ready;
use warren_replication::message::ToEntry;
use warren_replication::types::{ConsumerKey, Index, Process};

/// One question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Get(ConsumerKey),
    /// The request to echo.
    Purge(u64),
    /// The request to echo.
    Count(u64),
    /// Let nothing in any more, if that is so.
    Close {
        /// To echo.
        request: u64,
        if_unused: bool,
        if_empty: bool,
    },
}

/// A question, and the entry that has to be committed before.
#[derive(Debug)]
struct Behind {
    from: Process,
    question: Question,
    until: Index,
}

#[derive(Debug)]
struct Purge {
    from: Process,
    request: u64,
    messages: u64,
    /// Not committed yet.
    rest: Ready,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    committed: Index,
    /// The last entry with returns of each process, until it is committed.
    returns: BTreeMap<Process, Index>,
    /// The same with publishes.
    publishes: BTreeMap<Process, Index>,
    /// As many as the entry nodes have unanswered: each is said once.
    behind: VecDeque<Behind>,
    /// May be served.
    gets: VecDeque<ConsumerKey>,
    /// Begun.
    purges: VecDeque<Purge>,
}

impl Questions {
    /// Whether anything here may go on as time passes.
    pub(super) fn wants_ticks(&self) -> bool {
        !self.gets.is_empty() || !self.behind.is_empty()
    }

    /// Returns of this process are in this entry.
    pub(super) fn returning(&mut self, by: Process, entry: Index) {
        self.returns.insert(by, entry);
    }

    /// Publishes of this process are in this entry.
    pub(super) fn publishing(&mut self, by: Process, entry: Index) {
        self.publishes.insert(by, entry);
    }

    /// Everything up to this entry is committed.
    pub(super) fn committed(&mut self, index: Index) {
        self.committed = index;
        self.returns.retain(|_, entry| *entry > index);
        self.publishes.retain(|_, entry| *entry > index);
    }

    /// The turn's entries are sealed, up to this one. What would have been in a
    /// later one was found to be in the log already.
    pub(super) fn sealed(&mut self, last: Index) {
        let entries = self.returns.values_mut().chain(self.publishes.values_mut());
        for entry in entries.chain(self.behind.iter_mut().map(|behind| &mut behind.until)) {
            *entry = last.min(*entry);
        }
    }

    /// The question if it may be taken now; else it is kept. `is_empty`: nothing
    /// is ready.
    pub(super) fn ask(&mut self, from: Process, question: Question, is_empty: bool) -> Option<Question> {
        let publishes = self.publishes.get(&from).filter(|_| is_empty || !matches!(question, Question::Get(_)));
        let until = self.returns.get(&from).max(publishes).filter(|until| **until > self.committed);
        let Some(&until) = until else { return Some(question) };
        self.behind.push_back(Behind { from, question, until });
        None
    }

    /// A question that has waited long enough.
    pub(super) fn due(&mut self) -> Option<(Process, Question)> {
        let at = self.behind.iter().position(|behind| behind.until <= self.committed)?;
        self.behind.remove(at).map(|behind| (behind.from, behind.question))
    }

    /// Nobody waits for answers to these processes any more.
    pub(super) fn forget(&mut self, whose: impl Fn(Process) -> bool) {
        self.behind.retain(|behind| !whose(behind.from));
        self.gets.retain(|key| !whose(key.process));
        self.purges.retain(|purge| !whose(purge.from));
    }

    pub(super) fn get(&mut self, key: ConsumerKey) {
        if !self.gets.contains(&key) {
            self.gets.push_back(key);
        }
    }

    pub(super) fn has_gets(&self) -> bool {
        !self.gets.is_empty()
    }

    /// The get whose turn it is.
    pub(super) fn first_get(&self) -> Option<ConsumerKey> {
        self.gets.front().copied()
    }

    pub(super) fn got(&mut self) {
        self.gets.pop_front();
    }

    pub(super) fn is_purging(&self, from: Process, request: u64) -> bool {
        self.purges.iter().any(|purge| purge.from == from && purge.request == request)
    }

    /// These messages are about to be settled for it.
    pub(super) fn purge(&mut self, from: Process, request: u64, rest: Ready) {
        self.purges.push_back(Purge { from, request, messages: rest.len(), rest });
    }

    /// A message that nobody held is settled.
    pub(super) fn settled(&mut self, offset: u64) {
        for purge in &mut self.purges {
            if purge.rest.remove(offset) {
                break;
            }
        }
    }

    /// The answer to the first purge, once all of it is settled.
    pub(super) fn purged(&mut self) -> Option<(Process, ToEntry)> {
        let purge = self.purges.pop_front_if(|purge| purge.rest.is_empty())?;
        Some((purge.from, ToEntry::Purged { request: purge.request, messages: purge.messages }))
    }
}
