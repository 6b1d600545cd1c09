//! Readers of streams: each takes everything from where it begins, whoever leads,
//! and the oracle sees that nothing is missing, doubled or out of order (§6.8).

use std::sync::Arc;

use warren_queue::{Kind, Rules};
use warren_replication::message::{ConsumerSpec, Message, ReadFrom, Reading};
use warren_replication::types::{ConsumerKey, Offset, QueueId};
use warren_shard::step::{Local, ToChannel};

use crate::clients::Wants;
use crate::oracle::Oracle;
use crate::rng::Rng;

/// A consumer of a stream.
#[derive(Debug)]
pub(crate) struct Reader {
    prefetch: u32,
    from: ReadFrom,
    /// Our number, and whether it is attached.
    number: Option<(u64, bool)>,
    numbers: u64,
    unwritten: u32,
    unacked: u32,
    /// The offset after the last message that it was given.
    next: Option<u64>,
}

impl Reader {
    pub(crate) fn new(prefetch: u32, from: ReadFrom) -> Self {
        Self { prefetch, from, number: None, numbers: 0, unwritten: 0, unacked: 0, next: None }
    }

    /// One that begins anywhere.
    pub(crate) fn any(rng: &mut Rng) -> Self {
        let prefetch = rng.pick(&[1, 2, 5, 20]).unwrap_or(1);
        Self::new(prefetch, anywhere(rng))
    }

    /// Whether it has read everything below this, or will not.
    pub(crate) fn has_read(&self, end: u64) -> bool {
        let begins = match self.from {
            ReadFrom::First => 0,
            ReadFrom::Offset(offset) => offset.0,
            // Nothing is published any more.
            ReadFrom::Next | ReadFrom::Last | ReadFrom::Time(_) => end,
        };
        self.next.unwrap_or(begins) >= end && self.unacked == 0
    }

    /// It writes, acknowledges, leaves, and begins again, where it was or elsewhere.
    pub(crate) fn act(&mut self, queue: QueueId, key: impl Fn(u64) -> ConsumerKey, calm: bool, rng: &mut Rng) -> Wants {
        let mut wants = Wants::new();
        let some = |all: u32, rng: &mut Rng| if calm { all } else { rng.between(1, u64::from(all)) as u32 };
        let Some((number, attached)) = self.number else {
            self.numbers += 1;
            let number = key(0).connection * 1_000_000 + self.numbers;
            self.number = Some((number, false));
            let spec = ConsumerSpec {
                key: key(number),
                tag: bytes::Bytes::new(),
                prefetch: self.prefetch,
                no_ack: false,
                exclusive: false,
                priority: 0,
                reading: Some(Reading { from: self.from, unacked: 0 }),
                site: None,
            };
            wants.push((queue, Local::Consume { spec, cancel_on_failover: false }));
            return wants;
        };
        if self.unwritten > 0 && (calm || rng.percent(70)) {
            let count = some(self.unwritten, rng);
            self.unwritten -= count;
            wants.push((queue, Local::Written(key(number), count)));
        }
        if self.unacked > 0 && (calm || rng.percent(80)) {
            let count = some(self.unacked, rng);
            self.unacked -= count;
            wants.push((queue, Local::Credit(key(number), count)));
        }
        // One that takes them one by one would not come to an end.
        let slow = calm && self.prefetch < 20 && self.next.is_some();
        if attached && (slow || !calm && rng.percent(2)) {
            let prefetch = if slow { 20 } else { self.prefetch };
            wants.push((queue, Local::Cancel(key(number))));
            let from = match self.next {
                Some(next) if slow || rng.percent(70) => ReadFrom::Offset(Offset(next)),
                _ => anywhere(rng),
            };
            *self = Self { numbers: self.numbers, ..Self::new(prefetch, from) };
        }
        wants
    }

    /// The broker answered. False if it cannot have.
    pub(crate) fn hear(&mut self, event: &ToChannel, oracle: &mut Oracle) -> bool {
        match event {
            ToChannel::Read { queue, consumer, messages } => {
                if self.number.is_some_and(|(number, _)| number == *consumer) {
                    for (offset, message) in messages {
                        self.read(*queue, offset.0, message, oracle);
                    }
                    self.unwritten += messages.len() as u32;
                    self.unacked += messages.len() as u32;
                    let prefetch = self.prefetch;
                    if self.unacked > prefetch {
                        oracle.fail(|| format!("{queue:?}: a reader of {prefetch} has {}", self.unacked));
                    }
                }
                true
            }
            ToChannel::Consuming { consumer, attached: true } => {
                if let Some((number, attached)) = &mut self.number
                    && number == consumer
                {
                    return !std::mem::replace(attached, true);
                }
                true
            }
            ToChannel::Cancelled { .. } | ToChannel::Gone { .. } => {
                // The queue is deleted: it asks for nothing any more.
                *self = Self { number: Some((0, false)), next: Some(u64::MAX), ..Self::new(1, ReadFrom::Next) };
                true
            }
            _ => false,
        }
    }

    fn read(&mut self, queue: QueueId, offset: u64, message: &Message, oracle: &mut Oracle) {
        let begins = match (self.next, self.from) {
            (Some(next), _) => Some(next),
            (None, ReadFrom::First) => Some(0),
            (None, ReadFrom::Offset(offset)) => Some(offset.0),
            (None, ReadFrom::Next | ReadFrom::Last | ReadFrom::Time(_)) => None,
        };
        oracle.read(queue, begins, offset, message);
        self.next = Some(offset + 1);
    }
}

/// The rules of a stream: it keeps everything, or not.
pub(crate) fn rules(rng: &mut Rng) -> Arc<Rules> {
    let max_age = rng.pick(&[None, None, Some(500), Some(2_000)]).flatten();
    let max_bytes = rng.pick(&[None, None, Some(500), Some(5_000)]).flatten();
    Arc::new(Rules { kind: Kind::Stream { max_age }, max_bytes, ..Rules::default() })
}

fn anywhere(rng: &mut Rng) -> ReadFrom {
    let offset = Offset(rng.below(100));
    let time = 1_700_000_000_000 + rng.below(5_000);
    rng.pick(&[ReadFrom::First, ReadFrom::Last, ReadFrom::Next, ReadFrom::Offset(offset), ReadFrom::Time(time)])
        .unwrap_or(ReadFrom::First)
}
