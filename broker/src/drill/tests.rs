//! What a drill holds for a failure.

use super::*;
use crate::load::Stamp;

fn drill() -> KillLeader {
    KillLeader {
        queue_prefix: "drill".to_owned(),
        rate: None,
        window: 100,
        size: 100,
        prefetch: 100,
        before: Duration::ZERO,
        down: Duration::ZERO,
        after: Duration::ZERO,
        patience: Duration::from_secs(9),
        most_gap: Some(Duration::from_secs(1)),
    }
}

/// Two publishers with three confirmed messages each.
fn published() -> Vec<PublisherOutcome> {
    let publisher = |id| {
        let mut publisher = PublisherOutcome { id, attempted: 3, ..Default::default() };
        for sequence in 0..3 {
            publisher.confirmed.insert(sequence);
        }
        publisher
    };
    vec![publisher(SURVIVORS), publisher(VICTIMS)]
}

/// A consumer that saw these messages of these publishers.
fn consumed(seen: &[(u32, u64)]) -> ConsumerOutcome {
    let mut consumer = ConsumerOutcome::default();
    for (publisher, sequence) in seen {
        let stamp = Stamp { run: 0, publisher: *publisher, sequence: *sequence, intended: 0 };
        consumer.tally.deliver(&stamp, false);
    }
    consumer
}

const ALL: [(u32, u64); 6] = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)];

fn judged(published: &[PublisherOutcome], consumed: &ConsumerOutcome, change: impl FnOnce(&mut Report)) -> Report {
    let mut report = Report { killed: "node-2".to_owned(), back_in_sync_ms: Some(80), ..Report::default() };
    report.count(published, consumed);
    change(&mut report);
    drill().judge(&mut report, published);
    report
}

#[test]
fn all_there_once_and_in_order_passes() {
    let report = judged(&published(), &consumed(&ALL), |_| {});
    assert!(report.passed, "{report:?}");
    assert_eq!((report.attempted, report.confirmed, report.delivered), (6, 6, 6));
}

#[test]
fn a_confirmed_message_that_never_arrives_fails() {
    let report = judged(&published(), &consumed(&ALL[..5]), |_| {});
    assert_eq!(report.failures, ["1 confirmed messages were not delivered"]);
}

#[test]
fn only_the_publisher_that_sends_again_may_cause_duplicates() {
    let mut seen = ALL.to_vec();
    seen.push((1, 2));
    let report = judged(&published(), &consumed(&seen), |_| {});
    assert!(report.passed && report.duplicated_by_resending == 1, "{report:?}");
    seen.push((0, 2));
    assert!(!judged(&published(), &consumed(&seen), |_| {}).passed);
}

#[test]
fn disorder_lost_connections_and_missing_answers_fail() {
    let swapped = [(0, 1), (1, 0), (0, 0), (1, 1), (0, 2), (1, 2)];
    assert!(!judged(&published(), &consumed(&swapped), |_| {}).passed);

    let mut lost = published();
    lost[VICTIMS as usize].connections_lost = 1;
    assert!(judged(&lost, &consumed(&ALL), |_| {}).passed);
    lost[SURVIVORS as usize].connections_lost = 1;
    assert!(!judged(&lost, &consumed(&ALL), |_| {}).passed);

    let mut unanswered = published();
    unanswered[SURVIVORS as usize].attempted = 4;
    let report = judged(&unanswered, &consumed(&ALL), |_| {});
    assert_eq!(report.failures, ["1 messages were neither confirmed nor refused"]);
}

#[test]
fn a_mirror_that_stays_away_or_a_long_pause_fails() {
    let report = judged(&published(), &consumed(&ALL), |report| report.back_in_sync_ms = None);
    assert_eq!(report.failures, ["node-2 was not in sync again after 9 s"]);
    assert!(!judged(&published(), &consumed(&ALL), |report| report.longest_confirm_gap_ms = 1001).passed);
}
