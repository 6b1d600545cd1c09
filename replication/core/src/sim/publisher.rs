//! A publisher as its entry node behaves (§4.8, §6.8): in order, re-sending
//! all that is pending on every new epoch and whenever it is told or has lost
//! touch; deaf to lower epochs once it has re-sent.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::rng::Rng;
use crate::message::Message;
use crate::step::Proposal;
use crate::types::{Boot, Epoch, Incarnation, NodeId, Process, Session};

pub(super) struct Publisher {
    pub(super) session: Session,
    /// The epoch that it has re-sent to.
    pub(super) epoch: Epoch,
    pending: BTreeMap<u64, Message>,
    next: u64,
    /// The last sequence sent to this queue.
    last: u64,
}

pub(crate) fn body(session: &Session, sequence: u64) -> Bytes {
    let text = format!("{}/{}/{sequence};", session.connection, session.opened);
    Bytes::from(text.repeat(1 + (sequence % 3) as usize))
}

impl Publisher {
    pub(super) fn new(connection: u64) -> Self {
        let process = Process { node: NodeId(77), incarnation: Incarnation(1), boot: Boot(1) };
        let session = Session { process, connection, channel: 1, opened: 0 };
        Self { session, epoch: Epoch(0), pending: BTreeMap::new(), next: 1, last: 0 }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    fn message(&self, sequence: u64) -> Message {
        Message { body: body(&self.session, sequence), ..Message::default() }
    }

    fn floor(&self) -> u64 {
        self.pending.first_key_value().map_or(self.next, |(sequence, _)| *sequence)
    }

    /// A few new messages; other queues get some of the numbers.
    pub(super) fn publish(&mut self, rng: &mut Rng) -> Proposal {
        let prev = self.last;
        let mut messages = Vec::new();
        for _ in 0..rng.between(1, 4) {
            self.next += rng.below(3);
            let sequence = self.next;
            self.next += 1;
            self.last = sequence;
            let message = self.message(sequence);
            self.pending.insert(sequence, message.clone());
            messages.push((sequence, message));
        }
        Proposal::Publish { session: self.session, floor: self.floor(), prev, messages, terms: None }
    }

    /// Everything from there on that nobody has answered.
    pub(super) fn again(&self, from: u64) -> Option<Proposal> {
        let messages: Vec<_> = self.pending.range(from..).map(|(seq, message)| (*seq, message.clone())).collect();
        let first = messages.first()?.0;
        let before = self.pending.range(..first).next_back();
        let prev = before.map_or(first - 1, |(sequence, _)| *sequence);
        Some(Proposal::Publish { session: self.session, floor: self.floor(), prev, messages, terms: None })
    }

    /// Whether this is news.
    pub(super) fn on_confirmed(&mut self, sequence: u64) -> bool {
        self.pending.remove(&sequence).is_some()
    }

    /// Nothing is pending: another use of the channel begins.
    pub(super) fn reopen(&mut self) -> Session {
        let over = self.session;
        self.session.opened += 1;
        (self.next, self.last) = (1, 0);
        over
    }
}
