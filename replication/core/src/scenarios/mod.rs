//! The rules of the protocol one by one, on one replica at a time. Each name
//! says what would go wrong; the section is of docs/REPLICATION.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod hollowing;
pub(crate) mod leading;
pub(crate) mod mirroring;
mod publishing;
mod synchronizing;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Anew, Message, MirrorMessage, SettleReason};
use crate::record::{self, Entry, Record, push_run};
use crate::replica::MirrorState;
use crate::step::{Action, Committed, Event, Origin, Proposal, Terms, Write};
use crate::types::{
    Assignment, Boot, Clock, Epoch, Incarnation, Index, Moment, NodeId, Offset, Position, Process, QueueId, Session,
    Version,
};
use crate::{Recovery, Replica, Settings};

const A: u64 = 1;
const B: u64 = 2;
const C: u64 = 3;
/// What a mirror was told that has been a replica all the time.
const TOLD: Version = Version(u64::MAX);

fn process(node: u64) -> Process {
    Process { node: NodeId(node), incarnation: Incarnation(node * 10), boot: Boot(1) }
}

fn at(epoch: u64, index: u64) -> Position {
    Position { epoch: Epoch(epoch), index: Index(index) }
}

fn assigned(epoch: u64, version: u64, leader: Process, isr: &[u64], min_in_sync: u32) -> Event {
    Event::Assigned(Arc::new(Assignment {
        epoch: Epoch(epoch),
        version: Version(version),
        leader: Some(leader),
        replicas: [A, B, C].map(NodeId).into(),
        isr: isr.iter().map(|&node| process(node).member()).collect(),
        min_in_sync,
        ..Assignment::default()
    }))
}

fn session() -> Session {
    Session { process: process(A), connection: 9, channel: 1, opened: 0 }
}

fn message(sequence: u64) -> (u64, Message) {
    (sequence, Message { body: Bytes::from(format!("message {sequence}")), ..Message::default() })
}

fn publish(floor: u64, prev: u64, sequences: &[u64]) -> Proposal {
    let messages = sequences.iter().copied().map(message).collect();
    Proposal::Publish { session: session(), floor, prev, messages, terms: None }
}

/// An entry as another leader would have sent it.
fn entry(epoch: u64, index: u64, first_offset: u64, sequences: &[u64]) -> Bytes {
    let mut runs = Vec::new();
    sequences.iter().for_each(|&sequence| push_run(&mut runs, sequence));
    let records = [Record::Publish { session: session(), floor: 1, runs }];
    let messages: Vec<_> = sequences.iter().map(|&sequence| message(sequence).1).collect();
    Entry::encode(at(epoch, index), Offset(first_offset), 1_000, &records, &messages)
}

/// A replica on node A, with a clock and a count of its writes.
struct Bench {
    replica: Replica,
    now: Moment,
    wall: u64,
    writes: u64,
}

impl Bench {
    fn new(recovery: Recovery) -> Self {
        let replica = Replica::new(process(A), recovery, Settings::default());
        Self { replica, now: Moment(1_000_000), wall: 0, writes: 0 }
    }

    fn empty() -> Self {
        Self::new(Recovery::empty(QueueId(1)))
    }

    /// Leads epoch 1; its EpochStart is on its disk, and nowhere else yet.
    fn leader(isr: &[u64], min_in_sync: u32) -> Self {
        let mut bench = Self::empty();
        bench.step(assigned(1, 1, process(A), isr, min_in_sync));
        bench.persist();
        bench
    }

    fn collect(&mut self, take: impl FnOnce(&mut Replica, Clock, &mut Vec<Action>)) -> Vec<Action> {
        let mut out = Vec::new();
        take(&mut self.replica, Clock { now: self.now, wall: self.wall }, &mut out);
        self.writes += out.iter().filter(|action| matches!(action, Action::Write(_))).count() as u64;
        out
    }

    fn step(&mut self, event: Event) -> Vec<Action> {
        self.collect(|replica, now, out| replica.step(now, event, out))
    }

    fn hear(&mut self, from: Process, message: MirrorMessage) -> Vec<Action> {
        self.step(Event::Mirror { from, message })
    }

    fn propose(&mut self, proposal: Proposal) -> Vec<Action> {
        self.collect(|replica, now, out| {
            replica.propose(now, proposal, out);
            replica.seal(now, out);
        })
    }

    /// Everything written so far is on disk.
    fn persist(&mut self) -> Vec<Action> {
        self.step(Event::Persisted(self.writes))
    }

    fn durable(&mut self, node: u64, epoch: u64, index: u64) -> Vec<Action> {
        self.hear(process(node), MirrorMessage::Durable { epoch: Epoch(epoch), version: TOLD, index: Index(index) })
    }

    fn append(&mut self, epoch: u64, prev: Position, commit: u64, entries: Vec<Bytes>) -> Vec<Action> {
        let unclean = Position::default();
        let message =
            MirrorMessage::Append { epoch: Epoch(epoch), version: TOLD, prev, commit: Index(commit), unclean, entries };
        self.hear(process(B), message)
    }

    /// Time passes, in which these mirrors answer that they have everything.
    fn pass(&mut self, micros: u64) -> Vec<Action> {
        self.now = self.now.plus_micros(micros);
        self.step(Event::Tick)
    }
}

fn committed(actions: &[Action]) -> Vec<&Committed> {
    actions.iter().filter_map(|action| if let Action::Committed(told) = action { Some(told) } else { None }).collect()
}

fn proposed(actions: &[Action]) -> Vec<Vec<u64>> {
    let proposals = actions.iter().filter_map(|action| match action {
        Action::ProposeIsr { isr, .. } => Some(isr.iter().map(|member| member.node.0).collect()),
        _ => None,
    });
    proposals.collect()
}

fn reported(actions: &[Action]) -> Vec<(u64, u64)> {
    let reports = actions.iter().filter_map(|action| match action {
        Action::Send { message: MirrorMessage::Durable { epoch, index, .. }, .. } => Some((epoch.0, index.0)),
        _ => None,
    });
    reports.collect()
}

fn diverged(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Send { message: MirrorMessage::Diverged { .. }, .. }))
}

/// A word as no replica would say it.
fn nonsense((kind, a, b, c): (u8, u64, u64, u64)) -> Event {
    // Numbers at both ends of their range.
    let number = |n: u64| if n > 12 { u64::MAX - (n - 12) } else { n };
    let (epoch, index) = (Epoch(number(a)), Index(number(b)));
    let message = match kind % 6 {
        0 => MirrorMessage::Append {
            epoch,
            version: Version(number(c)),
            prev: at(number(c), number(b)),
            commit: Index(number(c)),
            unclean: at(a, number(b)),
            entries: vec![entry(a, b + 1, number(c), &[1 + c]), Bytes::from_static(b"no entry")],
        },
        1 => MirrorMessage::Durable { epoch, version: Version(number(c)), index },
        2 => MirrorMessage::Diverged {
            epoch,
            last: at(b, number(c)),
            base: index,
            left_behind: a > c,
            history: vec![at(b, c), at(c, b)],
        },
        3 => MirrorMessage::Install {
            epoch,
            version: Version(number(c)),
            checkpoint: Bytes::from(vec![kind; 40]),
            anew: (a > b).then(|| Anew { unclean: at(b, c), common: Index(number(c)) }),
        },
        4 => return Event::LogRead { reader: NodeId(b % 4), first: index, entries: vec![entry(a, c, 0, &[1])] },
        _ => return Event::Persisted(number(c)),
    };
    Event::Mirror { from: process(c % 4), message }
}

proptest::proptest! {
    /// Whatever a peer or a disk says, a replica does not panic or hang.
    #[test]
    fn nonsense_is_survived(words in proptest::collection::vec((0u8..6, 0u64..16, 0u64..16, 0u64..16), 0..40)) {
        let mut bench = Bench::leader(&[A, B], 1);
        for (nth, word) in words.into_iter().enumerate() {
            bench.step(nonsense(word));
            bench.propose(publish(1, nth as u64, &[nth as u64 + 1]));
            bench.pass(300_000);
        }
    }
}
