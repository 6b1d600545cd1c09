//! What is published: the log, sessions, keys and origins (§3, §4.8).

use super::*;

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
