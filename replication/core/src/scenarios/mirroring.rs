//! What a mirror takes, drops and reports (§5).

use super::*;

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
