//! The alarm of queues whose backups trail as far as `max-lag` allows (§4.2):
//! their publishers wait for the backup, or nobody would take over. It holds back
//! nobody else. One text a node, however many queues there are.

use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};
use warren_membership::Membership;
use warren_membership::catalog::State;
use warren_replication::types::Assignment;
use warren_shard::step::QueueStatus;

use crate::shard::Shards;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// A queue at its limit for so many looks raises it, so many looks without one
/// lift it: a backup that keeps up only just would have it come and go.
const RAISED_AFTER: u32 = 2;
const LIFTED_AFTER: u32 = 5;

/// What the alarm is called, wherever alarms are told.
const NAME: &str = "max-lag";

/// Watches until the task is dropped.
pub(super) async fn watch(membership: Membership, shards: Shards, told: watch::Sender<Option<String>>) {
    let mut alarm = Alarm::default();
    loop {
        tokio::time::sleep(LOOK).await;
        let me = Some(membership.process());
        let led_with_lag = |assignment: &Assignment| assignment.leader == me && assignment.max_lag.is_some();
        let may_lag = membership.state().queues().any(|(_, queue)| led_with_lag(&queue.assignment));
        let statuses = if may_lag { shards.statuses().await } else { Vec::new() };
        let held = held(&membership.state(), &statuses);
        let before = alarm.raised.is_some();
        alarm.look(held);
        match (&alarm.raised, before) {
            (Some(text), false) => warn!(alarm = text, "publishers wait for backups"),
            (None, true) => info!("backups are within max-lag again"),
            _ => {}
        }
        told.send_if_modified(|told| {
            let changed = *told != alarm.raised;
            told.clone_from(&alarm.raised);
            changed
        });
    }
}

/// The queues led here that are held by their backups, and the one whose backup
/// lacks most: messages, and its name.
fn held(catalog: &State, statuses: &[QueueStatus]) -> Option<(usize, u64, String)> {
    let mut count = 0;
    let mut worst: Option<(u64, String)> = None;
    for status in statuses.iter().filter(|status| status.leading) {
        let Some(queue) = catalog.queue(status.queue) else { continue };
        let Some(most) = &queue.assignment.max_lag else { continue };
        let at_limit = status.lags.iter().filter(|(_, lag)| lag.is_near(most));
        let lacking = at_limit.map(|(_, lag)| lag.messages).max();
        if let Some(lacking) = lacking.or(queue.assignment.lacks_backup().then_some(0)) {
            count += 1;
            if worst.as_ref().is_none_or(|(most, _)| lacking > *most) {
                worst = Some((lacking, queue.name.clone()));
            }
        }
    }
    worst.map(|(lacking, name)| (count, lacking, name))
}

/// The alarm, which neither comes nor goes at once.
#[derive(Debug, Default)]
struct Alarm {
    raised: Option<String>,
    /// Looks in a row that speak against what is.
    against: u32,
}

impl Alarm {
    fn look(&mut self, held: Option<(usize, u64, String)>) {
        match held {
            Some((count, lacking, name)) => {
                self.against = if self.raised.is_none() { self.against + 1 } else { 0 };
                if self.raised.is_some() || self.against >= RAISED_AFTER {
                    let queues = if count == 1 { "1 queue".to_owned() } else { format!("{count} queues") };
                    self.raised = Some(format!("{NAME}: {queues}, '{name}' by {lacking} messages"));
                    self.against = 0;
                }
            }
            None => {
                self.against = if self.raised.is_some() { self.against + 1 } else { 0 };
                if self.against >= LIFTED_AFTER {
                    *self = Self::default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_more_than_a_moment_to_raise_or_lift_it() {
        let mut alarm = Alarm::default();
        let one = || Some((1, 500, "orders".to_owned()));
        alarm.look(one());
        alarm.look(None);
        alarm.look(one());
        assert_eq!(alarm.raised, None);
        alarm.look(one());
        assert_eq!(alarm.raised.as_deref(), Some("max-lag: 1 queue, 'orders' by 500 messages"));
        for _ in 1..LIFTED_AFTER {
            alarm.look(None);
        }
        alarm.look(Some((2, 700, "bills".to_owned())));
        assert_eq!(alarm.raised.as_deref(), Some("max-lag: 2 queues, 'bills' by 700 messages"));
        for _ in 0..LIFTED_AFTER {
            alarm.look(None);
        }
        assert_eq!(alarm.raised, None);
    }
}
