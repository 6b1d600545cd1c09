//! The rules of the protocol one by one, on one replica at a time. Each name
//! says what would go wrong; the section is of docs/REPLICATION.md.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::message::{Anew, Message, MirrorMessage, SettleReason};
use crate::record::{self, Entry, Record, push_run};
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

/// §4.1: acknowledgements wait a little for something to share an fsync with;
/// nothing else does, and they do not wait for ever.
#[test]
fn acknowledgements_alone_wait_for_company_and_nothing_else_waits() {
    let appended = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Write(_)));
    let settle = |reason| Proposal::Settle { offsets: vec![Offset(0)], reason };
    let mut bench = Bench::leader(&[A], 1);
    assert!(appended(&bench.propose(publish(1, 0, &[1, 2]))));
    assert!(!appended(&bench.propose(settle(SettleReason::Acked))));
    assert!(!bench.replica.is_quiet(), "the driver's ticks seal it");
    assert!(appended(&bench.propose(publish(1, 2, &[3]))), "taken along");
    assert!(!appended(&bench.propose(settle(SettleReason::Acked))));
    bench.now = bench.now.plus_micros(Settings::default().settle_delay);
    assert!(appended(&bench.collect(|replica, now, out| replica.seal(now, out))), "waited long enough");
    assert!(appended(&bench.propose(settle(SettleReason::Purged))), "a client waits for this one");
}

/// §4.3 †: a dead mirror's removal is committed before anything it lacks is.
#[test]
fn nothing_is_confirmed_before_the_removal_of_a_silent_mirror_is_applied() {
    let mut leader = Bench::leader(&[A, B, C], 1);
    leader.propose(publish(1, 0, &[1]));
    leader.persist();
    assert_eq!(committed(&leader.durable(B, 1, 2)).len(), 0);
    leader.now = leader.now.plus_micros(Settings::default().mirror_timeout);
    let asked = leader.step(Event::Tick);
    assert_eq!(proposed(&asked), [[A, B]]);
    assert_eq!((committed(&asked).len(), leader.replica.commit()), (0, Index(0)));
    let told = leader.step(assigned(1, 2, process(A), &[A, B], 1));
    assert_eq!(committed(&told).len(), 2);
}

/// §4.3: an addition counts from the moment it is proposed.
#[test]
fn commits_wait_for_a_mirror_as_soon_as_it_is_proposed() {
    let mut leader = Bench::leader(&[A], 1);
    assert_eq!(proposed(&leader.durable(B, 1, 1)), [[A, B]]);
    leader.propose(publish(1, 0, &[1]));
    assert_eq!(committed(&leader.persist()).len(), 0);
    assert_eq!(committed(&leader.durable(B, 1, 2)).len(), 1);
}

/// §6.5: a member that others took out may be about to end, and commits would
/// wait for it from the moment it is proposed again.
#[test]
fn a_member_that_others_took_out_is_not_asked_for_at_once() {
    let mut leader = Bench::leader(&[A, B], 1);
    leader.durable(B, 1, 1);
    assert_eq!(proposed(&leader.step(assigned(1, 2, process(A), &[A], 1))).len(), 0);
    assert_eq!(proposed(&leader.durable(B, 1, 1)).len(), 0);
    let half = Settings::default().mirror_timeout / 2;
    assert_eq!(proposed(&leader.pass(half - 1)).len(), 0);
    assert_eq!(proposed(&leader.pass(1)), [[A, B]]);
}

/// §4.3 †: only a higher (epoch, version) ends a proposal; it is repeated until then.
#[test]
fn a_proposal_is_repeated_until_a_higher_version_is_applied() {
    let mut leader = Bench::leader(&[A], 1);
    assert_eq!(proposed(&leader.durable(B, 1, 1)).len(), 1);
    for _ in 0..5 {
        assert_eq!(proposed(&leader.pass(Settings::default().proposal_retry)), [[A, B]]);
    }
    assert_eq!(proposed(&leader.step(assigned(1, 1, process(A), &[A], 1))).len(), 0);
    // Refused, with a higher version: it may ask anew.
    assert_eq!(proposed(&leader.step(assigned(1, 2, process(A), &[A], 1))), [[A, B]]);
    leader.step(assigned(1, 3, process(A), &[A, B], 1));
    assert_eq!(proposed(&leader.pass(Settings::default().proposal_retry)).len(), 0);
}

/// §4.4 †: below `min-in-sync` EpochStart cannot be committed, and must not be
/// needed for the mirrors' return.
#[test]
fn a_mirror_is_added_although_nothing_can_be_committed() {
    let mut leader = Bench::leader(&[A], 2);
    leader.propose(publish(1, 0, &[1]));
    assert_eq!(committed(&leader.persist()).len(), 0);
    assert_eq!(proposed(&leader.durable(B, 1, 2)), [[A, B]]);
    // §1 †: the set that counts for the minimum is the applied one.
    assert_eq!(leader.replica.commit(), Index(0));
    assert_eq!(committed(&leader.step(assigned(1, 2, process(A), &[A, B], 2))).len(), 2);
}

/// §4.4 †: the last index at takeover is needed, or an inherited tail that was
/// committed before would be missing on the new member.
#[test]
fn a_mirror_is_not_added_before_it_has_what_the_leader_took_over() {
    let mut bench = Bench::empty();
    bench.append(1, at(0, 0), 0, vec![entry(1, 1, 0, &[1]), entry(1, 2, 1, &[2])]);
    bench.persist();
    bench.step(assigned(2, 2, process(A), &[A], 2));
    bench.persist();
    assert_eq!(proposed(&bench.durable(B, 2, 1)).len(), 0);
    assert_eq!(proposed(&bench.durable(B, 2, 2)), [[A, B]]);
}

/// §1: durable indices count in the epoch in which they were reported only.
#[test]
pub(crate) fn a_durable_index_of_an_older_epoch_does_not_count() {
    let mut bench = Bench::leader(&[A, B], 1);
    bench.durable(B, 1, 1);
    bench.step(assigned(2, 2, process(A), &[A, B], 1));
    bench.persist();
    assert_eq!(committed(&bench.durable(B, 1, 2)).len(), 0);
    assert_eq!(bench.replica.commit(), Index(1));
    assert_eq!(committed(&bench.durable(B, 2, 2)).len(), 1);
}

/// §6.6: what a mirror reported of a copy that it may have dropped since does not
/// count for the one that it has.
#[test]
pub(crate) fn a_report_of_an_earlier_copy_does_not_count() {
    let replicas = |version, nodes: &[u64]| match assigned(1, version, process(A), &[A, B], 1) {
        Event::Assigned(mut assignment) => {
            Arc::make_mut(&mut assignment).replicas = nodes.iter().copied().map(NodeId).collect();
            Event::Assigned(assignment)
        }
        other => other,
    };
    let mut leader = Bench::leader(&[A, B], 1);
    leader.durable(B, 1, 1);
    leader.step(replicas(2, &[A, B]));
    leader.step(replicas(3, &[A, B, C]));
    let durable = |version| MirrorMessage::Durable { epoch: Epoch(1), version: Version(version), index: Index(1) };
    assert_eq!(proposed(&leader.hear(process(C), durable(1))).len(), 0);
    assert_eq!(proposed(&leader.hear(process(C), durable(3))), [[A, B, C]]);
}

/// §1, §4.4: another disk of the same node is not in sync.
#[test]
fn a_replaced_disk_does_not_count_and_is_taken_out() {
    let mut leader = Bench::leader(&[A, B], 1);
    leader.durable(B, 1, 1);
    let replaced = Process { incarnation: Incarnation(99), boot: Boot(2), ..process(B) };
    assert_eq!(proposed(&leader.step(Event::LinkUp(replaced))), [[A]]);
    leader.propose(publish(1, 0, &[1]));
    leader.persist();
    let word = MirrorMessage::Durable { epoch: Epoch(1), version: TOLD, index: Index(2) };
    assert_eq!(committed(&leader.hear(replaced, word)).len(), 0);
}

/// §4.0 †: the epoch of another run of this node is not led.
#[test]
fn an_epoch_that_names_another_boot_is_not_led() {
    let mut bench = Bench::empty();
    bench.step(assigned(1, 1, Process { boot: Boot(7), ..process(A) }, &[A], 1));
    assert!(!bench.replica.is_leading());
}

/// §4.0 †, §4.6: a stalled leader resigns, asks until it is heard, and does not
/// come back to its epoch.
#[test]
pub(crate) fn a_leader_whose_disk_stalls_resigns_for_good() {
    let mut leader = Bench::leader(&[A], 1);
    leader.propose(publish(1, 0, &[1]));
    let actions = leader.pass(Settings::default().disk_stall_timeout);
    assert!(actions.contains(&Action::Resign) && actions.contains(&Action::Stepped));
    assert!(leader.pass(Settings::default().proposal_retry).contains(&Action::Resign));
    leader.step(assigned(1, 2, process(A), &[A, B], 1));
    assert!(!leader.replica.is_leading());
    leader.step(assigned(2, 3, process(A), &[A, B], 1));
    assert!(leader.replica.is_leading());
}

/// §5.1: fencing, both ways.
#[test]
fn an_older_leader_is_fenced_and_a_fenced_leader_stops() {
    let mut mirror = Bench::empty();
    mirror.step(assigned(3, 1, process(C), &[A, C], 1));
    let actions = mirror.append(2, at(0, 0), 0, vec![entry(2, 1, 0, &[1])]);
    assert_eq!(actions, [Action::Send { to: NodeId(B), message: MirrorMessage::Fenced { epoch: Epoch(3) } }]);

    let mut leader = Bench::leader(&[A], 1);
    leader.propose(publish(1, 0, &[1]));
    assert_eq!(leader.hear(process(B), MirrorMessage::Fenced { epoch: Epoch(2) }), [Action::Stepped]);
    assert_eq!(leader.persist(), []);
    assert_eq!(leader.propose(publish(1, 1, &[2])), []);
}

/// §5.1: the epoch is durable no later than the first acknowledgement in it.
#[test]
pub(crate) fn the_epoch_goes_to_disk_before_anything_is_acknowledged_in_it() {
    let mut mirror = Bench::empty();
    let bytes = entry(4, 1, 0, &[1]);
    let actions = mirror.append(4, at(0, 0), 0, vec![bytes.clone()]);
    let append = Write::Append { first: Index(1), entries: vec![bytes] };
    assert_eq!(actions, [Action::Write(Write::Epoch(Epoch(4))), Action::Write(append)]);
    assert_eq!(reported(&mirror.persist()), [(4, 1)]);
    // Also where there is nothing to append.
    let actions = mirror.append(5, at(4, 1), 0, Vec::new());
    assert_eq!(actions, [Action::Write(Write::Epoch(Epoch(5)))]);
    assert_eq!(reported(&mirror.persist()), [(5, 1)]);
}

/// §1 †: a restart vouches for what it found only after syncing it itself.
#[test]
fn what_was_found_at_start_counts_only_after_it_is_synced_again() {
    let mut recovery = Recovery::new(QueueId(1), Epoch(1), None).unwrap();
    recovery.push(entry(1, 1, 0, &[1])).unwrap();
    let mut mirror = Bench::new(recovery);
    let actions = mirror.append(1, at(1, 1), 1, Vec::new());
    assert_eq!((reported(&actions), mirror.replica.durable()), (vec![(1, 0)], Index(0)));
    assert_eq!(reported(&mirror.persist()), [(1, 1)]);
}

/// §5.2 †: no commit index is believed beyond what is known to match.
#[test]
fn a_commit_index_is_believed_no_further_than_the_logs_match() {
    let mut mirror = Bench::empty();
    mirror.append(1, at(0, 0), 0, vec![entry(1, 1, 0, &[1]), entry(1, 2, 1, &[2])]);
    mirror.persist();
    mirror.append(2, at(1, 1), 2, Vec::new());
    mirror.persist();
    assert_eq!(mirror.replica.commit(), Index(1));
}

/// §5.2: only what conflicts is dropped, and (§1 †) the cut is durable before
/// anything is reported.
#[test]
pub(crate) fn a_conflicting_tail_is_dropped_and_nothing_is_reported_before_that_is_durable() {
    let mut mirror = Bench::empty();
    mirror.append(1, at(0, 0), 1, vec![entry(1, 1, 0, &[1]), entry(1, 2, 1, &[2]), entry(1, 3, 2, &[3])]);
    mirror.persist();
    let actions = mirror.append(2, at(1, 1), 1, vec![entry(2, 2, 1, &[9])]);
    assert!(actions.contains(&Action::Write(Write::Truncate { from: Index(2), aside: false })));
    assert_eq!(reported(&actions), []);
    assert_eq!(mirror.replica.last(), at(2, 2));
    // The epoch's write alone is not enough.
    assert_eq!(reported(&mirror.step(Event::Persisted(3))), []);
    assert_eq!(reported(&mirror.persist()), [(2, 2)]);
}

/// §5.2: an entry of a late, reordered append must not cut off what follows it.
#[test]
fn a_late_append_cuts_nothing_off() {
    let mut mirror = Bench::empty();
    let entries = [entry(1, 1, 0, &[1]), entry(1, 2, 1, &[2])];
    mirror.append(1, at(0, 0), 0, entries.to_vec());
    mirror.persist();
    assert_eq!(reported(&mirror.append(1, at(0, 0), 0, entries[..1].to_vec())), [(1, 2)]);
    assert_eq!(mirror.replica.last(), at(1, 2));
}

/// §5.2: what is applied cannot be unmade; a leader that has it otherwise is a
/// broken promise, and the copy is left alone.
#[test]
fn a_conflict_with_what_is_committed_stops_the_replica() {
    let mut mirror = Bench::empty();
    mirror.append(1, at(0, 0), 1, vec![entry(1, 1, 0, &[1])]);
    mirror.persist();
    mirror.append(1, at(1, 1), 1, Vec::new());
    let actions = mirror.append(2, at(0, 0), 1, vec![entry(2, 1, 0, &[9])]);
    assert!(matches!(actions[..], [Action::Broken(_)]));
    assert_eq!(mirror.append(2, at(1, 1), 1, Vec::new()), []);
}

/// §5.4: an entry that fails its checksum is not stored but asked for again.
#[test]
fn a_damaged_entry_is_asked_for_again() {
    let mut mirror = Bench::empty();
    let mut bytes = entry(1, 2, 1, &[2]).to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let actions = mirror.append(1, at(0, 0), 0, vec![entry(1, 1, 0, &[1]), bytes.into()]);
    assert!(diverged(&actions));
    assert_eq!(mirror.replica.last(), at(1, 1));
    assert_eq!(reported(&mirror.persist()), [(1, 1)]);
}

/// What a leader with a released log sends to a mirror that ends before it.
fn install() -> MirrorMessage {
    let settings = Settings { checkpoint_entries: 2, ..Settings::default() };
    let mut leader = Bench::empty();
    leader.replica = Replica::new(process(A), Recovery::empty(QueueId(1)), settings);
    leader.step(assigned(1, 1, process(A), &[A], 1));
    leader.propose(publish(1, 0, &[1, 2]));
    leader.persist();
    leader.propose(Proposal::Settle { offsets: vec![Offset(0), Offset(1)], reason: SettleReason::Acked });
    leader.persist();
    leader.propose(publish(3, 2, &[3]));
    leader.persist();
    leader.propose(publish(3, 3, &[4]));
    leader.persist();
    let empty = MirrorMessage::Diverged {
        epoch: Epoch(1),
        last: at(0, 0),
        base: Index(0),
        left_behind: false,
        history: Vec::new(),
    };
    let actions = leader.hear(process(C), empty);
    let sent = actions.into_iter().find_map(|action| match action {
        Action::Send { message: message @ MirrorMessage::Install { .. }, .. } => Some(message),
        _ => None,
    });
    sent.expect("the log that the mirror needs is released")
}

/// §5.3: only a replica outside in-sync and eligible set replaces its copy.
#[test]
fn a_member_of_the_in_sync_set_keeps_its_copy() {
    let message = install();
    let mut member = Bench::empty();
    member.step(assigned(1, 1, process(B), &[A, B], 1));
    assert_eq!(member.hear(process(B), message.clone()), []);

    let mut outsider = Bench::empty();
    outsider.step(assigned(1, 1, process(B), &[B], 1));
    let actions = outsider.hear(process(B), message.clone());
    assert!(actions.iter().any(|action| matches!(action, Action::Write(Write::Install { .. }))));
    assert_eq!(reported(&actions), []);
    let base = outsider.replica.last().index.0;
    assert!(base > 0);
    assert_eq!(reported(&outsider.persist()), [(1, base)]);
    // It arrives again after the mirror has gone on: nothing is undone.
    outsider.append(1, at(1, base), 0, vec![entry(1, base + 1, 9, &[9])]);
    let actions = outsider.hear(process(B), message);
    assert!(!actions.iter().any(|action| matches!(action, Action::Write(_))));
    assert_eq!(outsider.replica.last().index.0, base + 1);
}

/// §4.1: in the steady state every mirror and the store get the very bytes that
/// were encoded once, in one message an entry.
#[test]
fn store_and_mirrors_share_one_encoding() {
    let mut leader = Bench::leader(&[A, B, C], 1);
    let actions = leader.propose(publish(1, 0, &[1, 2, 3]));
    let places: BTreeSet<_> = actions
        .iter()
        .map(|action| match action {
            Action::Write(Write::Append { entries, .. })
            | Action::Send { message: MirrorMessage::Append { entries, .. }, .. } => {
                assert_eq!(entries.len(), 1);
                entries[0].as_ptr()
            }
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!((actions.len(), places.len()), (3, 1));
}

/// §4.8: each sequence is answered as it stands.
#[test]
fn repeated_publishes_are_recognized() {
    let mut leader = Bench::leader(&[A], 1);
    leader.propose(publish(1, 0, &[1, 2]));
    // Not committed yet: answered when it is, and not appended again.
    assert_eq!(leader.propose(publish(1, 0, &[1, 2])), []);
    let told = leader.persist();
    assert_eq!(committed(&told)[0].confirmed, [(session(), vec![(1, 2)])]);
    let confirmed = Action::Repeated { session: session(), confirmed: vec![(1, 2)], refused: Vec::new() };
    assert_eq!(leader.propose(publish(1, 0, &[1, 2])), [confirmed]);
    // Below the floor nobody waits for an answer.
    assert_eq!(leader.propose(publish(3, 0, &[1, 2])), []);
}

/// §4.8: a publish whose predecessor was lost is not taken before it.
#[test]
fn a_publish_waits_for_its_predecessor() {
    let mut leader = Bench::leader(&[A], 1);
    leader.propose(publish(1, 0, &[1]));
    assert_eq!(leader.propose(publish(1, 4, &[7])), [Action::Again { session: session(), from: 2 }]);
    leader.propose(publish(1, 1, &[4, 7]));
    assert_eq!(leader.replica.next_offset(), Offset(3));
    // A number that was skipped was refused: 5 and 6 never come.
    let refused = Action::Repeated { session: session(), confirmed: Vec::new(), refused: vec![(5, 5)] };
    assert_eq!(leader.propose(publish(1, 4, &[5])), [refused]);
}

/// §4.8 †, §6.4: a publish in the inherited tail is known before it is committed,
/// and confirmed when it is, under the new epoch.
#[test]
fn the_inherited_tail_confirms_its_sessions_under_the_new_epoch() {
    let mut bench = Bench::empty();
    bench.append(1, at(0, 0), 0, vec![entry(1, 1, 0, &[1, 2])]);
    bench.persist();
    let actions = bench.step(assigned(2, 2, process(A), &[A, B], 2));
    assert!(actions.contains(&Action::Leading));
    assert_eq!(bench.propose(publish(1, 0, &[1, 2])), []);
    bench.persist();
    let told = bench.durable(B, 2, 2);
    let told = committed(&told);
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].confirmed, [(session(), vec![(1, 2)])]);
    assert!(told[0].entry.is_some());
    assert_eq!(told[0].weights, [9, 9]);
}

/// §3: the age of messages goes by it, whoever leads and whatever the clocks say.
#[test]
fn an_entry_is_never_earlier_than_the_one_before() {
    let times = |actions: &[Action]| -> Vec<u64> {
        let written = actions.iter().filter_map(|action| match action {
            Action::Write(Write::Append { entries, .. }) => Some(entries),
            _ => None,
        });
        written.flatten().map(|entry| record::time(entry).unwrap()).collect()
    };
    let mut bench = Bench::empty();
    bench.wall = 400;
    bench.append(1, Position::default(), 0, vec![entry(1, 1, 0, &[1])]);
    bench.persist();
    assert_eq!(times(&bench.step(assigned(2, 2, process(A), &[A], 1))), [1_000], "the last leader's clock was ahead");
    bench.wall = 1_700;
    assert_eq!(times(&bench.propose(publish(1, 1, &[2]))), [1_700]);
    bench.wall = 1_600;
    assert_eq!(times(&bench.propose(publish(1, 2, &[3]))), [1_700], "the clock was set back");
    let told = bench.persist();
    assert_eq!(committed(&told).iter().map(|told| told.time).collect::<Vec<_>>(), [1_000, 1_000, 1_700, 1_700]);
    assert_eq!(bench.replica.ledger().time(), 1_700);
}

/// §4.8: what was refused stays refused, by the next leader too.
#[test]
fn what_there_was_no_room_for_stays_refused() {
    let mut leader = Bench::leader(&[A], 1);
    let on_terms = |proposal: Proposal, keep: bool| match proposal {
        Proposal::Publish { session, floor, prev, messages, .. } => {
            let terms = Some(Box::new(Terms { room: Some((1, 100)), keep, ..Terms::default() }));
            Proposal::Publish { session, floor, prev, messages, terms }
        }
        other => other,
    };
    leader.propose(on_terms(publish(1, 0, &[1, 2]), false));
    let told = leader.persist();
    let told = committed(&told);
    assert_eq!(told[0].confirmed, [(session(), vec![(1, 1)])]);
    assert_eq!(told[0].refused, [(session(), vec![(2, 2)])]);
    // Elected again, it knows: room or not.
    leader.step(assigned(2, 2, process(A), &[A], 1));
    leader.persist();
    let answers = leader.propose(publish(1, 0, &[1, 2, 3]));
    let repeated = Action::Repeated { session: session(), confirmed: vec![(1, 1)], refused: vec![(2, 2)] };
    assert!(answers.contains(&repeated), "{answers:?}");
    leader.persist();
    // One that is kept is a message, but not of the queue's.
    leader.propose(on_terms(publish(1, 3, &[4, 5]), true));
    leader.persist();
    let ledger = leader.replica.ledger();
    assert_eq!((ledger.live().len(), ledger.doomed().len(), ledger.doomed().first()), (4, 1, Some(3)));
}

/// A key keeps others out while it holds, before its message is committed and
/// after it is gone, and says so to their publishers as if they were taken.
#[test]
fn what_is_known_by_its_key_is_confirmed_and_not_taken() {
    let mut leader = Bench::leader(&[A], 1);
    let mut sequence = 0;
    let mut publish_key = |leader: &mut Bench, key: u128| {
        sequence += 1;
        let terms = Terms { keys: vec![vec![(key, 500)]], most_keys: 9, ..Terms::default() };
        leader.propose(Proposal::Publish {
            session: session(),
            floor: 1,
            prev: sequence - 1,
            messages: vec![message(sequence)],
            terms: Some(Box::new(terms)),
        });
    };
    publish_key(&mut leader, 7);
    publish_key(&mut leader, 7);
    publish_key(&mut leader, 8);
    let told = leader.persist();
    assert_eq!(committed(&told).iter().map(|told| told.confirmed.len()).sum::<usize>(), 3, "all are confirmed");
    assert_eq!(leader.replica.ledger().live().len(), 2, "and one was known");
    leader.propose(Proposal::Settle { offsets: vec![Offset(0)], reason: SettleReason::Purged });
    leader.persist();
    publish_key(&mut leader, 7);
    leader.persist();
    assert_eq!(leader.replica.ledger().live().len(), 1, "it outlives its message");
    leader.wall += 500;
    publish_key(&mut leader, 7);
    leader.persist();
    assert_eq!(leader.replica.ledger().live().len(), 2, "and not its time");
}

/// Publishes of a link that bring the places which they had at another site.
fn brought(channel: u16, floor: u64, places: &[u64]) -> Proposal {
    let session = Session { channel, ..session() };
    let origin = Session::of_origin(77, 1, QueueId(5));
    let origins = places.iter().map(|place| Some(Origin { session: origin, sequence: *place, floor })).collect();
    let messages = places.iter().zip(1..).map(|(place, sequence)| (sequence, message(*place).1)).collect();
    let terms = Some(Box::new(Terms { origins, ..Terms::default() }));
    Proposal::Publish { session, floor: 1, prev: 0, messages, terms }
}

/// §4.8: a link that lost its connection sends again what it had no answer for,
/// in another session, maybe to another leader: what is here is confirmed, and
/// not there twice; what had not come, because of a refusal or another route,
/// may come late.
#[test]
fn what_a_link_brings_again_is_confirmed_and_not_taken() {
    let mut leader = Bench::leader(&[A], 1);
    leader.propose(brought(1, 1, &[1, 2, 4]));
    // The tail that is not committed counts as well.
    leader.propose(brought(2, 1, &[2, 3, 3]));
    let told = leader.persist();
    let confirmed: u64 = committed(&told)
        .iter()
        .flat_map(|told| &told.confirmed)
        .flat_map(|(_, runs)| runs)
        .map(|r| r.1 - r.0 + 1)
        .sum();
    assert_eq!(confirmed, 6, "each publisher is answered, and nobody else");
    assert_eq!(leader.replica.ledger().live().len(), 4);
    leader.step(assigned(2, 2, process(A), &[A], 1));
    leader.persist();
    leader.propose(brought(3, 3, &[2, 4, 5]));
    leader.persist();
    assert_eq!(leader.replica.ledger().live().len(), 5, "known to the next leader");
    // The queue there was deleted and made again: its places mean others.
    let Proposal::Publish { session, floor, prev, messages, terms } = brought(4, 1, &[1]) else { unreachable!() };
    let mut terms = terms.unwrap();
    let earlier = terms.origins[0].unwrap().session;
    let again = Session::of_origin(77, 1, QueueId(9));
    terms.origins[0].as_mut().unwrap().session = again;
    leader.propose(Proposal::Publish { session, floor, prev, messages, terms: Some(terms) });
    leader.persist();
    assert_eq!(leader.replica.ledger().live().len(), 6);
    let outdated: Vec<Session> = leader.replica.ledger().sessions().outdated(&again).copied().collect();
    assert_eq!(outdated, [earlier]);
}

/// §4.8 †: a session leaves the table by a record only.
#[test]
fn a_session_is_forgotten_by_its_record() {
    let mut leader = Bench::leader(&[A], 1);
    leader.propose(publish(1, 0, &[1]));
    leader.persist();
    leader.propose(Proposal::EndSession(session()));
    assert!(leader.replica.ledger().sessions().get(&session()).is_some());
    leader.persist();
    assert!(leader.replica.ledger().sessions().is_empty());
}

/// A mirror near the commit index gets in although the load never pauses.
#[test]
fn commits_wait_a_little_for_a_mirror_that_chases_them() {
    let mut leader = Bench::leader(&[A, B], 1);
    leader.durable(B, 1, 1);
    leader.propose(publish(1, 0, &[1]));
    leader.persist();
    leader.durable(B, 1, 2);
    assert_eq!(proposed(&leader.durable(C, 1, 1)).len(), 0);
    let mut asked = Vec::new();
    for index in 3..50 {
        leader.now = leader.now.plus_micros(1_000);
        leader.propose(publish(1, index - 2, &[index - 1]));
        leader.persist();
        leader.durable(B, 1, index);
        // Always one entry late.
        asked = proposed(&leader.durable(C, 1, index - 1));
        if !asked.is_empty() {
            break;
        }
    }
    assert_eq!(asked, [[A, B, C]]);
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
        4 => return Event::LogRead { mirror: NodeId(b % 4), first: index, entries: vec![entry(a, c, 0, &[1])] },
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
