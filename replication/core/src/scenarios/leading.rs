//! What a leader counts, confirms and asks the catalog for (§4).

use super::*;

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
