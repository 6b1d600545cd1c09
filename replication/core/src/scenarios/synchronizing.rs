//! Manual synchronization (§5.3): who is given a copy, and when.

use super::*;

/// A leads, B is in sync; copies are made for these only.
fn manual(version: u64, isr: &[u64], called: Option<&[u64]>) -> Event {
    match assigned(1, version, process(A), isr, 1) {
        Event::Assigned(mut assignment) => {
            let called = called.map(|nodes| nodes.iter().map(|&node| process(node).member()).collect());
            Arc::make_mut(&mut assignment).manual = called;
            Event::Assigned(assignment)
        }
        other => other,
    }
}

fn leader(settings: Settings) -> Bench {
    let mut bench = Bench::empty();
    bench.replica = Replica::new(process(A), Recovery::empty(QueueId(1)), settings);
    bench.step(manual(1, &[A], Some(&[])));
    bench.persist();
    bench
}

/// What this mirror's log holds: it has no entry of the leader's behind that.
fn ends_at(bench: &mut Bench, node: u64, last: Position) -> Vec<Action> {
    let history = if last.index == Index(0) { Vec::new() } else { vec![last] };
    let word = MirrorMessage::Diverged { epoch: Epoch(1), last, base: Index(0), left_behind: false, history };
    bench.hear(process(node), word)
}

/// Entries or copies that are sent to this node.
fn fed(actions: &[Action], node: u64) -> usize {
    let sent = actions.iter().filter(|action| match action {
        Action::Send { to, message: MirrorMessage::Append { entries, .. } } => {
            *to == NodeId(node) && !entries.is_empty()
        }
        Action::Send { to, message: MirrorMessage::Install { .. } } => *to == NodeId(node),
        Action::Read { reader, .. } => *reader == NodeId(node),
        _ => false,
    });
    sent.count()
}

fn settle(offsets: &[u64]) -> Proposal {
    Proposal::Settle { offsets: offsets.iter().copied().map(Offset).collect(), reason: SettleReason::Purged }
}

fn state(bench: &Bench, node: u64) -> MirrorState {
    let mirrors = bench.replica.mirrors(bench.now);
    mirrors.into_iter().find(|mirror| mirror.node == NodeId(node)).map(|mirror| mirror.state).unwrap()
}

#[test]
fn a_new_copy_waits_for_the_word_and_nothing_else_waits_for_it() {
    let mut bench = leader(Settings::default());
    bench.propose(publish(1, 0, &[1, 2]));
    assert!(!committed(&bench.persist()).is_empty());
    assert_eq!(fed(&ends_at(&mut bench, C, at(0, 0)), C), 0);
    assert_eq!(state(&bench, C), MirrorState::Waiting);
    // It is told of nothing, asked for nothing, and the queue goes on.
    assert_eq!(fed(&bench.propose(publish(1, 2, &[3])), C), 0);
    assert!(!committed(&bench.persist()).is_empty());
    assert_eq!(fed(&bench.pass(Settings::default().resend), C), 0);
    let word = bench.step(manual(2, &[A], Some(&[C])));
    assert_eq!(fed(&word, C), 1);
    assert_ne!(state(&bench, C), MirrorState::Waiting);
    let last = bench.replica.last().index.0;
    assert_eq!(proposed(&bench.durable(C, 1, last)), [[A, C]]);
}

#[test]
fn a_word_that_is_taken_back_stops_a_copy_half_way() {
    let settings = Settings { window_bytes: 1, batch_bytes: 1, ..Settings::default() };
    let mut bench = Bench::empty();
    bench.replica = Replica::new(process(A), Recovery::empty(QueueId(1)), settings);
    // (What is not committed is fed from memory.)
    bench.step(manual(1, &[A, B], Some(&[])));
    for sequence in 1..=5 {
        bench.propose(publish(1, sequence - 1, &[sequence]));
    }
    bench.persist();
    ends_at(&mut bench, C, at(0, 0));
    assert_eq!(fed(&bench.step(manual(3, &[A, B], Some(&[C]))), C), 1);
    assert_eq!(fed(&bench.durable(C, 1, 1), C), 1);
    bench.step(manual(4, &[A, B], Some(&[])));
    assert_eq!((fed(&bench.durable(C, 1, 2), C), state(&bench, C)), (0, MirrorState::Waiting));
    assert_eq!(fed(&bench.step(manual(5, &[A, B], Some(&[C]))), C), 1, "it goes on where it was");
    // Where a copy is needed, nobody waits for a word.
    bench.step(manual(6, &[A, B], Some(&[])));
    assert_ne!(fed(&bench.step(manual(7, &[A, B], None)), C) + fed(&bench.durable(C, 1, 3), C), 0);
}

#[test]
fn a_copy_is_made_when_nothing_is_left_of_what_was_there_before() {
    let mut bench = leader(Settings::default());
    bench.propose(publish(1, 0, &[1, 2]));
    bench.persist();
    ends_at(&mut bench, C, at(0, 0));
    bench.propose(publish(1, 2, &[3]));
    bench.persist();
    bench.propose(settle(&[0]));
    assert_eq!(fed(&bench.persist(), C), 0);
    bench.propose(settle(&[1]));
    assert_eq!(fed(&bench.persist(), C), 1, "the last one is news to both");
}

/// What the leader took over and has yet to commit is old, too.
#[test]
fn a_new_leader_does_not_take_what_it_has_not_committed_for_nothing() {
    let mut bench = Bench::empty();
    bench.append(1, at(0, 0), 0, vec![entry(1, 1, 0, &[1]), entry(1, 2, 1, &[2])]);
    bench.persist();
    let Event::Assigned(mut next) = manual(2, &[A, B], Some(&[])) else { panic!("assigned") };
    Arc::make_mut(&mut next).epoch = Epoch(2);
    bench.step(Event::Assigned(next));
    bench.persist();
    let word = MirrorMessage::Diverged {
        epoch: Epoch(2),
        last: at(0, 0),
        base: Index(0),
        left_behind: false,
        history: Vec::new(),
    };
    assert_eq!(fed(&bench.hear(process(C), word), C), 0);
    assert_eq!(state(&bench, C), MirrorState::Waiting);
}

/// A short absence costs what was missed, and needs no word; one that outlasted
/// the log does.
#[test]
fn a_mirror_that_can_go_on_from_what_it_has_does() {
    let mut bench = leader(Settings { checkpoint_entries: 3, ..Settings::default() });
    bench.propose(publish(1, 0, &[1]));
    bench.propose(publish(1, 1, &[2]));
    bench.persist();
    assert_eq!(fed(&ends_at(&mut bench, C, at(1, 2)), C), 1);
    bench.step(Event::LinkDown(NodeId(C)));
    // The log up to there is released, and the next message stays.
    bench.propose(settle(&[0, 1]));
    bench.persist();
    for sequence in 3..=6 {
        bench.propose(publish(1, sequence - 1, &[sequence]));
        bench.persist();
    }
    assert!(bench.replica.base().index >= Index(3), "{:?}", bench.replica.base());
    let back = Process { boot: Boot(2), ..process(C) };
    bench.step(Event::LinkUp(back));
    let word = MirrorMessage::Diverged {
        epoch: Epoch(1),
        last: at(1, 2),
        base: Index(0),
        left_behind: false,
        history: vec![at(1, 2)],
    };
    assert_eq!((fed(&bench.hear(back, word), C), state(&bench, C)), (0, MirrorState::Waiting));
}

/// A leader that waits for an operator needs no ticks (docs/ARCHITECTURE.md: an
/// idle queue costs nothing).
#[test]
fn whoever_waits_for_an_operator_waits_quietly() {
    let mut bench = leader(Settings::default());
    bench.propose(publish(1, 0, &[1]));
    bench.persist();
    bench.step(Event::LinkDown(NodeId(B)));
    let replicas = |version: u64| match manual(version, &[A], Some(&[])) {
        Event::Assigned(mut assignment) => {
            Arc::make_mut(&mut assignment).replicas = [A, C].map(NodeId).into();
            Event::Assigned(assignment)
        }
        other => other,
    };
    bench.step(replicas(2));
    ends_at(&mut bench, C, at(0, 0));
    assert!(bench.replica.is_quiet());
}
