//! What a leader has to say to one entry node in this turn, gathered so that a
//! turn costs a word of each kind and not one a message.

use std::collections::BTreeMap;

use warren_replication::message::{Delivery, Message, ToEntry};
use warren_replication::types::{ConsumerKey, Offset, Process, Session};

/// One for each process that there is something to say to.
#[derive(Debug, Default)]
pub(crate) struct Outboxes(BTreeMap<Process, Outbox>);

impl Outboxes {
    /// What is gathered for this process.
    pub(crate) fn to(&mut self, process: Process) -> &mut Outbox {
        self.0.entry(process).or_default()
    }

    /// Hands out what was gathered for processes within reach; the others ask
    /// again. True if anything of it needs the lease.
    pub(crate) fn flush(
        &mut self,
        within_reach: impl Fn(Process) -> bool,
        mut say: impl FnMut(Process, ToEntry),
    ) -> bool {
        let mut leased = false;
        self.0.retain(|process, outbox| {
            if !within_reach(*process) {
                return false;
            }
            leased |= outbox.is_leased();
            outbox.drain(|word| say(*process, word));
            true
        });
        leased
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbox {
    confirmed: Vec<(Session, Vec<(u64, u64)>)>,
    refused: Vec<(Session, Vec<(u64, u64)>)>,
    again: Vec<(Session, u64)>,
    pub(crate) settled: Vec<Offset>,
    pub(crate) returned: Vec<Offset>,
    /// Before the deliveries: how a `basic.consume` ended.
    pub(crate) consuming: Vec<ToEntry>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Said with the deliveries: below it nothing is left in the queue.
    pub(crate) floor: Offset,
    /// What readers of a stream read.
    reads: Vec<ToEntry>,
    /// Answers to get, purge and count.
    pub(crate) answers: Vec<ToEntry>,
}

fn merge(into: &mut Vec<(Session, Vec<(u64, u64)>)>, session: Session, ranges: Vec<(u64, u64)>) {
    if ranges.is_empty() {
        return;
    }
    let Some((last, known)) = into.last_mut().filter(|(last, _)| *last == session) else {
        into.push((session, ranges));
        return;
    };
    debug_assert_eq!(*last, session);
    for (first, end) in ranges {
        match known.last_mut() {
            Some((_, upto)) if *upto + 1 == first => *upto = end,
            _ => known.push((first, end)),
        }
    }
}

impl Outbox {
    pub(crate) fn confirm(&mut self, session: Session, ranges: Vec<(u64, u64)>) {
        merge(&mut self.confirmed, session, ranges);
    }

    pub(crate) fn refuse(&mut self, session: Session, ranges: Vec<(u64, u64)>) {
        merge(&mut self.refused, session, ranges);
    }

    pub(crate) fn again(&mut self, session: Session, from: u64) {
        self.again.push((session, from));
    }

    /// A reader of a stream gets these messages and goes on at `next`.
    pub(crate) fn read(&mut self, consumer: ConsumerKey, next: u64, mut messages: Vec<(Offset, Message)>) {
        if let Some(ToEntry::Read { consumer: last, next: place, messages: known }) = self.reads.last_mut()
            && *last == consumer
        {
            known.append(&mut messages);
            *place = Offset(next);
            return;
        }
        self.reads.push(ToEntry::Read { consumer, next: Offset(next), messages });
    }

    /// Whether anything in it needs the lease (§6.7).
    fn is_leased(&self) -> bool {
        !self.deliveries.is_empty() || !self.answers.is_empty()
    }

    /// Everything, in causal order: what ends a hold before what begins one.
    fn drain(&mut self, mut say: impl FnMut(ToEntry)) {
        for (session, ranges) in self.confirmed.drain(..) {
            say(ToEntry::Confirmed { session, ranges });
        }
        for (session, ranges) in self.refused.drain(..) {
            say(ToEntry::Refused { session, ranges });
        }
        for (session, from) in self.again.drain(..) {
            say(ToEntry::Again { session, from });
        }
        if !self.settled.is_empty() {
            say(ToEntry::Settled { offsets: std::mem::take(&mut self.settled) });
        }
        if !self.returned.is_empty() {
            say(ToEntry::Returned { offsets: std::mem::take(&mut self.returned) });
        }
        self.consuming.drain(..).for_each(&mut say);
        self.reads.drain(..).for_each(&mut say);
        if !self.deliveries.is_empty() {
            say(ToEntry::Deliver { deliveries: std::mem::take(&mut self.deliveries), floor: self.floor });
        }
        self.answers.drain(..).for_each(&mut say);
    }
}
