//! Who waits for whom: messages under way, and the queues that have yet to
//! answer for them. No task, no clock of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tracing::warn;
use warren_amqp::Properties;
use warren_membership::catalog::State;
use warren_queue::{DeadLetter, Reason};
use warren_replication::message::Message;
use warren_replication::types::{Epoch, Offset, QueueId, Session};
use warren_shard::step::{Local, ToChannel, Transfer, Transfers};

use super::{Moves, death};
use crate::connection::batch::Batch;
use crate::connection::ports::Routing;
use crate::routing::{copies, no_longer_delayed};

/// When what was refused is tried again: at first, and at most.
const FIRST_RETRY: Duration = Duration::from_millis(250);
const LAST_RETRY: Duration = Duration::from_secs(30);
/// How often the same complaint is logged at most.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// A message on its way from one queue to others.
#[derive(Debug)]
struct Moving {
    source: QueueId,
    epoch: Epoch,
    dead_letter: Option<Arc<DeadLetter>>,
    transfer: Transfer,
    /// Queues that have yet to answer, that have it, and whether one refused it.
    waits: SmallVec<[QueueId; 2]>,
    kept: SmallVec<[QueueId; 2]>,
    refused: bool,
    attempts: u32,
}

/// What a step leads to.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// For the queues.
    pub(super) publishes: Vec<(QueueId, Local)>,
    /// For the leaders.
    pub(super) arrived: Vec<(QueueId, Epoch, Vec<Offset>)>,
}

/// All messages that this node's leaders have under way.
pub(super) struct Mover {
    session: Session,
    routing: Arc<dyn Routing>,
    /// The last sequence used (§4.8).
    sequence: u64,
    /// Who leads here; what is under way for another reign is nobody's.
    leading: FxHashMap<QueueId, Epoch>,
    moving: FxHashMap<u64, Moving>,
    /// Refused; tried again from then on. The number tells equal times apart.
    retries: BTreeMap<(Instant, u64), Moving>,
    batch: Batch,
    arrived: FxHashMap<(QueueId, Epoch), Vec<Offset>>,
    complaints: FxHashMap<&'static str, Instant>,
}

impl Mover {
    pub(super) fn new(session: Session, routing: Arc<dyn Routing>) -> Self {
        Self {
            session,
            routing,
            sequence: 0,
            leading: FxHashMap::default(),
            moving: FxHashMap::default(),
            retries: BTreeMap::new(),
            batch: Batch::default(),
            arrived: FxHashMap::default(),
            complaints: FxHashMap::default(),
        }
    }

    /// What leaders say.
    pub(super) fn moves(&mut self, catalog: &State, now: Instant, moves: Vec<Moves>) {
        for Moves { queue, dead_letter, transfers } in moves {
            let (epoch, transfers) = match transfers {
                Transfers::Move(epoch, transfers) => (epoch, transfers),
                Transfers::Over => {
                    self.leading.remove(&queue);
                    self.retries.retain(|_, moving| moving.source != queue);
                    continue;
                }
            };
            self.leading.insert(queue, epoch);
            let dead_letter = dead_letter.map(Arc::new);
            for transfer in transfers {
                let moving = Moving {
                    source: queue,
                    epoch,
                    dead_letter: dead_letter.clone(),
                    transfer,
                    waits: SmallVec::new(),
                    kept: SmallVec::new(),
                    refused: false,
                    attempts: 0,
                };
                self.start(catalog, now, moving);
            }
        }
    }

    /// What queues answer.
    pub(super) fn answers(&mut self, catalog: &State, now: Instant, answers: Vec<(u16, ToChannel)>) {
        for (_, answer) in answers {
            let (queue, ranges, kept) = match answer {
                ToChannel::Confirmed(queue, ranges) => (queue, ranges, true),
                ToChannel::Refused(queue, ranges) => (queue, ranges, false),
                _ => continue,
            };
            // A queue that was deleted refuses what it had not yet answered: it
            // needs it no more.
            let refused = !kept && catalog.queue(queue).is_some();
            for sequence in ranges.into_iter().flat_map(|(first, last)| first..=last) {
                self.answered(sequence, queue, refused, now);
            }
        }
    }

    /// When [`Mover::retry`] has something to do.
    pub(super) fn next_retry(&self) -> Option<Instant> {
        self.retries.first_key_value().map(|((due, _), _)| *due)
    }

    /// Tries again what was refused and is due.
    pub(super) fn retry(&mut self, catalog: &State, now: Instant) {
        while let Some(retry) = self.retries.first_entry().filter(|retry| retry.key().0 <= now) {
            let moving = retry.remove();
            if self.is_wanted(&moving) {
                self.start(catalog, now, moving);
            }
        }
    }

    /// What came of it all since the last time.
    pub(super) fn take(&mut self) -> Outgoing {
        let arrived = self.arrived.drain().map(|((queue, epoch), offsets)| (queue, epoch, offsets));
        Outgoing { arrived: arrived.collect(), publishes: self.batch.take() }
    }

    fn is_wanted(&self, moving: &Moving) -> bool {
        self.leading.get(&moving.source) == Some(&moving.epoch)
    }

    /// Sends a message on its way; it has arrived at once if it has none.
    fn start(&mut self, catalog: &State, now: Instant, mut moving: Moving) {
        let Some((message, mut targets)) = self.route(catalog, now, &moving) else {
            return self.arrive(&moving);
        };
        targets.retain(|target| !moving.kept.contains(target));
        let Some((last, others)) = targets.split_last() else { return self.arrive(&moving) };
        self.sequence += 1;
        for target in others {
            self.batch.publish(*target, self.session, self.sequence, message.clone());
        }
        self.batch.publish(*last, self.session, self.sequence, message);
        moving.refused = false;
        moving.waits = targets.into();
        self.moving.insert(self.sequence, moving);
    }

    /// The message as it goes on, and to which queues. `None`: nobody wants it.
    fn route(&mut self, catalog: &State, now: Instant, moving: &Moving) -> Option<(Message, Vec<QueueId>)> {
        let queue = catalog.queue(moving.source)?;
        let Transfer { reason, message, .. } = &moving.transfer;
        let (exchange, message) = match (reason, &queue.waiting_room_of, &moving.dead_letter) {
            (Reason::Due, Some(exchange), _) => (exchange.as_str(), due(message)),
            (Reason::Due, None, _) | (_, _, None) => return None,
            (_, _, Some(to)) => {
                (std::str::from_utf8(&to.exchange).ok()?, death::of(message, &queue.name, *reason, to, seconds()))
            }
        };
        let properties = Properties::parse(&message.properties).ok();
        let headers = properties.as_ref().and_then(Properties::headers);
        let selected = headers.and_then(|headers| copies::keys(&headers).ok()).unwrap_or_default();
        let keys = std::iter::once(&message.routing_key).chain(&selected);
        let keys: SmallVec<[&str; 2]> = keys.filter_map(|key| std::str::from_utf8(key).ok()).collect();
        let Some(mut targets) = self.routing.route(&queue.vhost, exchange, &keys, properties.as_ref()) else {
            self.complain(now, "dead messages are dropped: their exchange does not exist", || {
                format!("{} to exchange '{exchange}'", queue.resource())
            });
            return None;
        };
        drop(keys);
        if !matches!(reason, Reason::Due | Reason::Rejected) {
            let deaths = properties.as_ref().map(death::deaths).unwrap_or_default();
            targets.retain(|target| {
                let cycle = catalog.queue(*target).is_some_and(|to| death::is_cycle(&to.name, &deaths));
                if cycle {
                    self.complain(now, "dead messages are dropped: they would go round for ever", || {
                        format!(
                            "{} to {}",
                            queue.resource(),
                            catalog.queue(*target).map(|to| to.resource().to_string()).unwrap_or_default()
                        )
                    });
                }
                !cycle
            });
        }
        Some((message, targets))
    }

    fn answered(&mut self, sequence: u64, queue: QueueId, refused: bool, now: Instant) {
        let Some(moving) = self.moving.get_mut(&sequence) else { return };
        let Some(place) = moving.waits.iter().position(|waited| *waited == queue) else { return };
        moving.waits.swap_remove(place);
        moving.refused |= refused;
        if !refused {
            moving.kept.push(queue);
        }
        if !moving.waits.is_empty() {
            return;
        }
        let Some(mut moving) = self.moving.remove(&sequence) else { return };
        if !moving.refused {
            return self.arrive(&moving);
        }
        if self.is_wanted(&moving) {
            let wait = FIRST_RETRY.saturating_mul(1 << moving.attempts.min(10)).min(LAST_RETRY);
            moving.attempts += 1;
            self.retries.insert((now + wait, sequence), moving);
        }
    }

    fn arrive(&mut self, moving: &Moving) {
        if self.is_wanted(moving) {
            self.arrived.entry((moving.source, moving.epoch)).or_default().push(moving.transfer.offset);
        }
    }

    /// Logs, but not the same over and over again.
    fn complain(&mut self, now: Instant, what: &'static str, which: impl FnOnce() -> String) {
        let lately = |at: &Instant| now.duration_since(*at) < COMPLAIN_EVERY;
        if !self.complaints.get(what).is_some_and(lately) {
            self.complaints.insert(what, now);
            warn!(example = which(), "{what}");
        }
    }
}

/// A message whose delay is over.
fn due(message: &Message) -> Message {
    let properties = Properties::parse(&message.properties).ok();
    let properties = properties.as_ref().and_then(no_longer_delayed);
    Message { properties: properties.unwrap_or_else(|| message.properties.clone()), ..message.clone() }
}

/// Since 1970.
fn seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
