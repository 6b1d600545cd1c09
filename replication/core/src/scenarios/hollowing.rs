//! Old log is stored anew without the bodies of settled messages (§3).

use proptest::prelude::*;

use super::*;
use crate::keys::Key;
use crate::ledger::Ledger;
use crate::sim::QUEUE;
use crate::sim::disk::Disk;

fn long(sequence: u64) -> (u64, Message) {
    let (sequence, message) = message(sequence);
    (sequence, Message { body: message.body.repeat(20).into(), ..message })
}

/// A leader of its own, with its disk, that goes over its log early and often.
struct Node {
    bench: Bench,
    disk: Disk,
    /// What was appended, as it was.
    log: Vec<Bytes>,
    rewritten: usize,
    published: u64,
}

fn settings() -> Settings {
    Settings { checkpoint_entries: 4, hollow_bytes: 600, batch_bytes: 300, settle_delay: 0, ..Settings::default() }
}

impl Node {
    fn new() -> Self {
        let mut bench = Bench::empty();
        bench.replica = Replica::new(process(A), Recovery::empty(QUEUE), settings());
        let mut node = Self { bench, disk: Disk::default(), log: Vec::new(), rewritten: 0, published: 0 };
        let actions = node.bench.step(assigned(1, 1, process(A), &[A], 1));
        node.carry_out(actions);
        node
    }

    /// Carries out what is wanted, but answers no reads; those are left.
    fn write(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut reads = Vec::new();
        for action in actions {
            match action {
                Action::Write(write) => {
                    match &write {
                        Write::Append { entries, .. } => self.log.extend(entries.iter().cloned()),
                        Write::Rewrite { entries, .. } => self.rewritten += entries.len(),
                        _ => {}
                    }
                    self.disk.write(write);
                }
                read @ Action::Read { .. } => reads.push(read),
                _ => {}
            }
        }
        reads
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let reads = self.write(actions);
        if !self.disk.is_idle() {
            self.disk.sync(u64::MAX);
            let actions = self.bench.persist();
            self.carry_out(actions);
        }
        for read in reads {
            let Action::Read { reader, first, .. } = read else { continue };
            let entries = self.disk.read(first, 3);
            let actions = self.bench.step(Event::LogRead { reader, first, entries });
            self.carry_out(actions);
        }
    }

    fn propose(&mut self, proposal: Proposal) {
        let actions = self.bench.propose(proposal);
        self.carry_out(actions);
    }

    fn publish(&mut self) {
        self.published += 1;
        let sequence = self.published;
        let messages = vec![long(sequence)];
        self.propose(Proposal::Publish {
            session: session(),
            floor: sequence,
            prev: sequence - 1,
            messages,
            terms: None,
        });
    }

    fn settle(&mut self, offsets: std::ops::Range<u64>) {
        self.propose(Proposal::Settle { offsets: offsets.map(Offset).collect(), reason: SettleReason::Acked });
    }

    /// Everything is on disk, and time passes.
    fn tick(&mut self) {
        let actions = self.bench.persist();
        self.carry_out(actions);
        let actions = self.bench.pass(20_000);
        self.carry_out(actions);
    }

    fn gone(&self) -> Vec<u64> {
        self.disk.gone().collect()
    }
}

/// The start of the epoch: with it out of the way the log begins.
const BASE: Position = Position { epoch: Epoch(1), index: Index(1) };

fn twenty() -> Node {
    let mut node = Node::new();
    (0..20).for_each(|_| node.publish());
    node
}

/// A queue whose first message stays, and of which 19 are settled.
fn kept_by_one() -> Node {
    let mut node = twenty();
    node.settle(1..20);
    node
}

/// The same, up to the first read.
fn about_to_read() -> (Node, Action) {
    let mut node = twenty();
    let actions =
        node.bench.propose(Proposal::Settle { offsets: (1..20).map(Offset).collect(), reason: SettleReason::Acked });
    node.write(actions);
    node.disk.sync(u64::MAX);
    // It commits, and a checkpoint that knows of it is on its way to the disk.
    let actions = node.bench.persist();
    node.write(actions);
    let actions = node.bench.pass(20_000);
    assert_eq!(node.write(actions), []);
    node.disk.sync(u64::MAX);
    let actions = node.bench.persist();
    node.write(actions);
    let actions = node.bench.pass(20_000);
    let mut reads = node.write(actions);
    assert_eq!(reads.len(), 1, "{reads:?}");
    (node, reads.remove(0))
}

#[test]
fn settled_messages_leave_a_log_that_an_older_one_keeps() {
    let mut node = kept_by_one();
    assert_eq!(node.bench.replica.base(), BASE);
    (0..20).for_each(|_| node.tick());
    assert_eq!(node.gone(), (1..20).collect::<Vec<_>>());
    assert_eq!(node.disk.wrong, None);
    let more = node.bench.pass(20_000);
    assert!(!more.iter().any(|action| matches!(action, Action::Read { .. })));
    let rewritten = node.rewritten;
    // Over for now: nothing is gone over again for what little comes.
    node.publish();
    (0..20).for_each(|_| node.tick());
    assert_eq!(node.rewritten, rewritten);
    // The last one goes, and with it the log, without waiting for more of it.
    node.settle(0..21);
    assert!(node.bench.replica.ledger().live().is_empty());
}

/// Nothing goes that a restart would take for live.
#[test]
fn nothing_is_read_before_the_checkpoint_that_knows_the_settles_is_on_disk() {
    let (mut node, read) = about_to_read();
    assert!(matches!(read, Action::Read { reader: NodeId(A), .. }), "{read:?}");
    // One at a time.
    assert_eq!(node.bench.pass(20_000).iter().filter(|action| matches!(action, Action::Read { .. })).count(), 0);
}

/// A replica that is quiet hears of no time: it may be so only when there is
/// nothing more to give back.
#[test]
fn what_is_settled_during_a_pass_goes_without_more_traffic() {
    let mut node = twenty();
    node.settle(1..16);
    let read = loop {
        let actions = node.bench.pass(20_000);
        if let Some(read) = node.write(actions).pop() {
            break read;
        }
        node.disk.sync(u64::MAX);
        let actions = node.bench.persist();
        node.write(actions);
    };
    for offset in 16..20 {
        let settle = Proposal::Settle { offsets: vec![Offset(offset)], reason: SettleReason::Acked };
        let actions = node.bench.propose(settle);
        node.write(actions);
        node.disk.sync(u64::MAX);
        let actions = node.bench.persist();
        node.write(actions);
    }
    node.carry_out(vec![read]);
    assert!(node.bench.replica.is_hollowing() && !node.bench.replica.is_quiet());
    let gone = node.gone().len();
    (0..50).for_each(|_| node.tick());
    assert!(!node.bench.replica.is_hollowing() && node.gone().len() > gone, "{:?}", node.gone());
}

/// A read that comes late, after the log was gone over or replaced, does no harm.
#[test]
fn a_late_or_foreign_read_is_not_stored() {
    let mut node = kept_by_one();
    (0..20).for_each(|_| node.tick());
    let whole = node.log.clone();
    for entries in [whole.clone(), vec![entry(7, 1, 0, &[1])], Vec::new()] {
        let late = Event::LogRead { reader: NodeId(A), first: Index(1), entries };
        assert_eq!(node.bench.step(late), []);
    }
}

/// §5.4: a damaged entry of its own makes a leader resign, also here.
#[test]
fn damage_that_is_found_on_the_way_makes_a_leader_resign() {
    let (mut node, read) = about_to_read();
    let Action::Read { reader, first, .. } = read else { panic!("{read:?}") };
    let mut bytes = node.disk.read(first, 1)[0].to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let actions = node.bench.step(Event::LogRead { reader, first, entries: vec![bytes.into()] });
    assert!(actions.contains(&Action::Resign), "{actions:?}");
}

/// §5.2: hollow or not, an entry is the same, and makes the same of a mirror.
#[test]
fn a_mirror_that_is_fed_hollow_entries_comes_to_the_same_state() {
    let mut node = kept_by_one();
    (0..20).for_each(|_| node.tick());
    let stored = [&node.log[..1], &node.disk.read(Index(2), u64::MAX)].concat();
    let end = record::position(stored.last().unwrap()).unwrap();
    let mirrors = [&node.log, &stored].map(|entries| {
        let mut mirror = Bench::empty();
        mirror.append(1, at(0, 0), 0, entries.clone());
        mirror.persist();
        // What it has as the original does not conflict with what is hollow.
        let again = if *entries == stored { &node.log } else { &stored };
        let actions = mirror.append(1, at(0, 0), end.index.0, again.clone());
        assert!(!actions.iter().any(|action| matches!(action, Action::Write(Write::Truncate { .. }))));
        mirror.replica.ledger().clone()
    });
    assert_eq!(mirrors[0], mirrors[1]);
    assert_eq!(mirrors[0], *node.bench.replica.ledger());
}

/// Something for the log: what and where.
fn step() -> impl Strategy<Value = (u8, u64, u64)> {
    (0u8..12, 1u64..60, 0u64..16)
}

fn proposal(node: &mut Node, (what, at, count): (u8, u64, u64)) -> Proposal {
    let offsets = (at..=at + count).map(Offset).collect::<Vec<_>>();
    let site = Bytes::from_static(b"paris");
    let counts = |offset: &Offset| (*offset, node.bench.replica.ledger().count(*offset) + 1);
    match what {
        0..4 => {
            node.published += 1;
            let sequence = node.published;
            let keys = vec![vec![(Key::from(at), 1_000)]];
            let terms = Terms {
                room: (count == 0).then_some((0, 0)),
                keep: at % 2 == 0,
                keys: if at % 7 == 0 { keys } else { Vec::new() },
                most_keys: 3,
                ..Terms::default()
            };
            let messages = vec![long(sequence)];
            let floor = sequence.saturating_sub(at).max(1);
            Proposal::Publish { session: session(), floor, prev: sequence - 1, messages, terms: Some(Box::new(terms)) }
        }
        4..8 => Proposal::Settle { offsets, reason: SettleReason::Acked },
        8 => Proposal::Return { offsets: offsets.iter().map(counts).collect() },
        9 => Proposal::Consign { site, offsets },
        10 => Proposal::Reclaim { offsets },
        _ => Proposal::Horizon(Offset(at)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// From the base on, the log as it is stored makes at every index the same of
    /// everything that is derived as the one that was written; and all that is live
    /// has its body.
    #[test]
    fn a_hollowed_log_replays_to_the_same_state(steps in proptest::collection::vec(step(), 10..150)) {
        let mut node = Node::new();
        // This one keeps the log.
        node.publish();
        for step in steps {
            let proposal = proposal(&mut node, step);
            node.propose(proposal);
            node.tick();
        }
        prop_assert_eq!(node.disk.wrong.as_ref(), None);
        prop_assert_eq!(node.bench.replica.base(), BASE);
        let mut written = Ledger::default();
        written.apply(&Entry::decode(&node.log[0]).unwrap(), None);
        let mut stored = written.clone();
        let found = node.disk.read(Index(2), u64::MAX);
        prop_assert_eq!(found.len() + 1, node.log.len());
        for (original, found) in node.log.iter().skip(1).zip(&found) {
            written.apply(&Entry::decode(original).unwrap(), None);
            stored.apply(&Entry::decode(found).unwrap(), None);
            prop_assert_eq!(&written, &stored);
        }
        let live = node.bench.replica.ledger().live();
        prop_assert!(node.gone().into_iter().all(|offset| !live.contains(offset)));
        // A new process finds the same.
        let recovery = node.disk.recover(QUEUE, true).unwrap();
        let again = Replica::new(process(A), recovery, settings());
        prop_assert_eq!(again.last(), node.bench.replica.last());
    }
}

#[test]
fn random_histories_are_hollowed() {
    let mut node = Node::new();
    node.publish();
    for nth in 0..240 {
        let proposal = proposal(&mut node, (nth as u8 % 12, nth / 6 + 1, nth % 12 * 2));
        node.propose(proposal);
        node.tick();
    }
    let ledger = node.bench.replica.ledger();
    assert!(node.rewritten > 5, "{} {:?} {:?}", node.rewritten, ledger.live(), ledger.next_offset());
}
