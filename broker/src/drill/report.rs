//! What a drill found, and what of it is a failure.

use std::time::Duration;

use serde::Serialize;

use super::load::{Done, HURT};
use super::plan::Roles;
use super::watch::Watch;
use crate::load::{PublisherOutcome, Tally};

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The drill's name.
    pub drill: String,
    /// Nothing was found wrong.
    pub passed: bool,
    /// What was, in sentences.
    pub failures: Vec<String>,
    /// The queue.
    pub queue: String,
    /// Who was what when it began.
    pub roles: Roles,
    /// Whether there were nodes that nothing was done to, whose clients must
    /// notice nothing but a pause.
    pub steady: bool,
    /// Who leads the queue at the end.
    pub leader: Option<String>,
    /// The queue's epoch before.
    pub epoch_before: u64,
    /// And at the end.
    pub epoch_after: u64,
    /// Messages sent.
    pub attempted: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Messages refused by a nack.
    pub refused: u64,
    /// Different messages delivered.
    pub delivered: u64,
    /// Confirmed and never delivered.
    pub lost: u64,
    /// Delivered more than once, of publishers that kept their connection.
    pub duplicated: u64,
    /// Delivered more than once, because a client lost its connection: it had
    /// to send again, or its acknowledgements were lost with it.
    pub duplicated_by_reconnect: u64,
    /// Delivered behind a later one of the same publisher.
    pub out_of_order: u64,
    /// Delivered with the mark of a redelivery.
    pub redelivered: u64,
    /// Connections lost by clients of nodes that nothing was done to.
    pub steady_connections_lost: u64,
    /// Connections lost by the others.
    pub hurt_connections_lost: u64,
    /// Longest time without a confirm, in milliseconds, of a client of a node
    /// that nothing was done to if there is one.
    pub longest_confirm_gap_ms: u64,
    /// The same of a client of a node that was hurt.
    pub longest_confirm_gap_of_hurt_client_ms: u64,
    /// Longest time without a delivery, in milliseconds.
    pub longest_delivery_gap_ms: u64,
    /// From the last repair to all replicas being in sync, in milliseconds.
    pub back_in_sync_ms: Option<u64>,
    /// From the first fault to the same.
    pub back_in_sync_since_fault_ms: Option<u64>,
    /// The load while it ran.
    #[serde(skip)]
    pub watch: Watch,
}

impl Report {
    pub(super) fn count(&mut self, done: &Done) {
        let tally: &Tally = &done.consumed.tally;
        let published = &done.published;
        self.attempted = published.iter().map(|publisher| publisher.attempted).sum();
        self.confirmed = published.iter().map(|publisher| publisher.confirmed.len()).sum();
        self.refused = published.iter().map(|publisher| publisher.refused).sum();
        self.lost = published.iter().map(|publisher| tally.lost(publisher.id, &publisher.confirmed)).sum();
        self.delivered = tally.delivered();
        self.out_of_order = tally.out_of_order();
        self.redelivered = tally.redelivered;
        for publisher in published {
            let duplicated = tally.publisher(publisher.id).map_or(0, |seen| seen.duplicated);
            if publisher.connections_lost + done.consumed.connections_lost > 0 {
                self.duplicated_by_reconnect += duplicated;
            } else {
                self.duplicated += duplicated;
            }
            if publisher.id == HURT || !self.steady {
                self.hurt_connections_lost += publisher.connections_lost;
            } else {
                self.steady_connections_lost += publisher.connections_lost;
            }
        }
        if self.steady {
            self.steady_connections_lost += done.consumed.connections_lost;
        } else {
            self.hurt_connections_lost += done.consumed.connections_lost;
        }
    }

    pub(super) fn judge(&mut self, published: &[PublisherOutcome], patience: Duration, most_gap: Option<Duration>) {
        let mut failures = Vec::new();
        let mut none = |count: u64, what: &str| {
            if count > 0 {
                failures.push(format!("{count} {what}"));
            }
        };
        none(self.lost, "confirmed messages were not delivered");
        none(self.duplicated, "deliveries were duplicates though no client had lost its connection");
        none(self.out_of_order, "messages were delivered out of order");
        none(self.steady_connections_lost, "connections to nodes that nothing was done to were lost");
        let unanswered = |publisher: &PublisherOutcome| {
            publisher.attempted.saturating_sub(publisher.confirmed.len() + publisher.refused)
        };
        none(published.iter().map(unanswered).sum(), "messages were neither confirmed nor refused");
        none(self.refused, "messages were refused");
        if self.back_in_sync_ms.is_none() {
            failures.push(format!("not all replicas were in sync after {} s", patience.as_secs()));
        }
        if let Some(most) = most_gap.map(millis).filter(|most| *most < self.longest_confirm_gap_ms) {
            failures.push(format!("{} ms passed without a confirm, more than {most} ms", self.longest_confirm_gap_ms));
        }
        self.passed = failures.is_empty();
        self.failures = failures;
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    //! What a drill holds for a failure.

    use super::super::load::STEADY;
    use super::*;
    use crate::load::{ConsumerOutcome, Stamp};

    /// Two publishers with three confirmed messages each.
    fn published() -> Vec<PublisherOutcome> {
        let publisher = |id| {
            let mut publisher = PublisherOutcome { id, attempted: 3, ..Default::default() };
            for sequence in 0..3 {
                publisher.confirmed.insert(sequence);
            }
            publisher
        };
        vec![publisher(STEADY), publisher(HURT)]
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

    fn judged(published: Vec<PublisherOutcome>, seen: &[(u32, u64)], change: impl FnOnce(&mut Report)) -> Report {
        let mut report = Report { steady: true, back_in_sync_ms: Some(80), ..Report::default() };
        let done = Done { published, consumed: consumed(seen) };
        report.count(&done);
        change(&mut report);
        report.judge(&done.published, Duration::from_secs(9), Some(Duration::from_secs(1)));
        report
    }

    #[test]
    fn all_there_once_and_in_order_passes() {
        let report = judged(published(), &ALL, |_| {});
        assert!(report.passed, "{report:?}");
        assert_eq!((report.attempted, report.confirmed, report.delivered), (6, 6, 6));
    }

    #[test]
    fn a_confirmed_message_that_never_arrives_fails() {
        let report = judged(published(), &ALL[..5], |_| {});
        assert_eq!(report.failures, ["1 confirmed messages were not delivered"]);
    }

    #[test]
    fn only_a_client_that_lost_its_connection_may_cause_duplicates() {
        let mut seen = ALL.to_vec();
        seen.push((1, 2));
        assert!(!judged(published(), &seen, |_| {}).passed);
        let mut lost = published();
        lost[HURT as usize].connections_lost = 1;
        let report = judged(lost, &seen, |_| {});
        assert!(report.passed && report.duplicated_by_reconnect == 1, "{report:?}");
        let mut lost = published();
        lost[HURT as usize].connections_lost = 1;
        seen.push((0, 2));
        assert!(!judged(lost, &seen, |_| {}).passed);
    }

    #[test]
    fn disorder_lost_connections_and_missing_answers_fail() {
        let swapped = [(0, 1), (1, 0), (0, 0), (1, 1), (0, 2), (1, 2)];
        assert!(!judged(published(), &swapped, |_| {}).passed);

        let mut lost = published();
        lost[STEADY as usize].connections_lost = 1;
        assert!(!judged(lost, &ALL, |_| {}).passed);

        let mut unanswered = published();
        unanswered[STEADY as usize].attempted = 4;
        let report = judged(unanswered, &ALL, |_| {});
        assert_eq!(report.failures, ["1 messages were neither confirmed nor refused"]);
    }

    #[test]
    fn a_mirror_that_stays_away_or_a_long_pause_fails() {
        let report = judged(published(), &ALL, |report| report.back_in_sync_ms = None);
        assert_eq!(report.failures, ["not all replicas were in sync after 9 s"]);
        assert!(!judged(published(), &ALL, |report| report.longest_confirm_gap_ms = 1001).passed);
    }
}
