//! The clients: publishers that count their confirms, consumers that
//! acknowledge, give back, hold, get, purge, and close their channels.

use std::collections::{BTreeMap, BTreeSet};

use warren_replication::message::{ConsumerSpec, Message, SettleReason};
use warren_replication::types::{ConsumerKey, Offset, Process, QueueId, Session};
use warren_shard::step::{Local, ToChannel};

use crate::oracle::{Holder, Oracle};
use crate::rng::Rng;
use crate::sites::Link;
use crate::streams::Reader;

/// One channel of one connection on one node.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) node: usize,
    pub(crate) process: Process,
    connection: u64,
    opened: u32,
    queue: QueueId,
    /// Publishers have a second queue now and then.
    other: QueueId,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Publisher {
        sequence: u64,
        pending: BTreeMap<(QueueId, u64), Message>,
        window: usize,
    },
    Consumer(Consumer),
    Reader(Reader),
    /// Of another site.
    Link(Link),
}

#[derive(Debug, Default)]
pub(crate) struct Consumer {
    prefetch: u32,
    no_ack: bool,
    /// It wants to be told of another leader, and then comes anew.
    cancel_on_failover: bool,
    /// Our number, and whether it is attached.
    number: Option<(u64, bool)>,
    /// What we have, and when it came.
    pub(crate) held: Vec<u64>,
    /// Deliveries that the socket has not taken yet.
    unwritten: u32,
    unwritten_offsets: Vec<u64>,
    get: Option<u64>,
    /// Unique on the process, since the connection is.
    next_number: u64,
    purge: Option<u64>,
    count: Option<u64>,
}

impl Consumer {
    /// Whether it has asked something, and waits to hear.
    fn asks(&self) -> bool {
        self.get.is_some() || self.purge.is_some() || self.count.is_some()
    }

    /// A number never used before.
    fn number(&mut self, session: Session) -> u64 {
        self.next_number += 1;
        session.connection * 1_000_000 + self.next_number
    }
}

/// What a client wants next, and of which queue.
pub(crate) type Wants = Vec<(QueueId, Local)>;

impl Client {
    pub(crate) fn new(
        index: usize,
        node: usize,
        process: Process,
        (queues, delayed): (&[QueueId], &BTreeSet<QueueId>),
        rng: &mut Rng,
        publisher: bool,
    ) -> Option<Self> {
        let queue = rng.pick(queues).filter(|queue| publisher || !delayed.contains(queue))?;
        let other = if rng.percent(30) { rng.pick(queues)? } else { queue };
        let kind = if publisher {
            let window = rng.between(1, 30) as usize;
            Kind::Publisher { sequence: 0, pending: BTreeMap::new(), window }
        } else {
            let no_ack = rng.percent(15);
            let prefetch = rng.pick(&[0, 1, 2, 5, 20]).unwrap_or(0);
            let cancel_on_failover = !no_ack && rng.percent(20);
            Kind::Consumer(Consumer { prefetch, no_ack, cancel_on_failover, ..Consumer::default() })
        };
        Some(Self { node, process, connection: index as u64 + 1, opened: 0, queue, other, kind })
    }

    /// A consumer of this queue that takes everything.
    pub(crate) fn drain(index: usize, node: usize, process: Process, queue: QueueId) -> Self {
        let kind = Kind::Consumer(Consumer { prefetch: 50, ..Consumer::default() });
        Self { node, process, connection: index as u64 + 1, opened: 0, queue, other: queue, kind }
    }

    /// A link of another site that shares this queue.
    pub(crate) fn link(index: usize, node: usize, process: Process, queue: QueueId, link: Link) -> Self {
        Self { kind: Kind::Link(link), ..Self::drain(index, node, process, queue) }
    }

    pub(crate) fn queue(&self) -> QueueId {
        self.queue
    }

    fn session(&self) -> Session {
        Session { process: self.process, connection: self.connection, channel: 1, opened: self.opened }
    }

    fn key(&self, number: u64) -> ConsumerKey {
        ConsumerKey { process: self.process, connection: self.connection, channel: 1, number }
    }

    /// Whether it waits for nothing and has nothing.
    pub(crate) fn is_done(&self) -> bool {
        match &self.kind {
            Kind::Publisher { pending, .. } => pending.is_empty(),
            Kind::Consumer(consumer) => consumer.held.is_empty() && !consumer.asks(),
            // It has read everything when everything is there to read.
            Kind::Reader(_) => true,
            Kind::Link(link) => link.is_done(),
        }
    }

    /// It does something, or not. `calm`: no more publishing, nothing is given
    /// back, everything is acknowledged.
    pub(crate) fn act(&mut self, me: usize, calm: bool, rng: &mut Rng, oracle: &mut Oracle) -> Wants {
        let mut wants = Wants::new();
        let session = self.session();
        let queue = self.queue;
        let target = if rng.percent(25) { self.other } else { queue };
        let key = |number| ConsumerKey { process: session.process, connection: session.connection, channel: 1, number };
        match &mut self.kind {
            Kind::Publisher { sequence, pending, window } => {
                if calm {
                    return wants;
                }
                if rng.percent(1) && pending.is_empty() {
                    wants.push((queue, Local::ChannelClosed { session }));
                    if self.other != queue {
                        wants.push((self.other, Local::ChannelClosed { session }));
                    }
                    self.opened += 1;
                    *sequence = 0;
                    return wants;
                }
                let mut messages = Vec::new();
                for _ in 0..rng.between(1, 5) {
                    if pending.len() >= *window {
                        break;
                    }
                    *sequence += 1;
                    let padding = rng.below(60) as usize;
                    let message = oracle.publish(target, session, *sequence, padding, rng);
                    pending.insert((target, *sequence), message.clone());
                    messages.push((*sequence, message));
                }
                if !messages.is_empty() {
                    wants.push((target, Local::Publish { session, messages }));
                }
            }
            Kind::Reader(reader) => return reader.act(queue, key, calm, rng),
            Kind::Link(link) => {
                self.opened += u32::from(link.act((queue, session, me), calm, rng, oracle, &mut wants));
            }
            Kind::Consumer(consumer) => {
                if consumer.unwritten > 0 && (calm || rng.percent(70)) {
                    let count =
                        if calm { consumer.unwritten } else { rng.between(1, u64::from(consumer.unwritten)) as u32 };
                    consumer.unwritten -= count;
                    if let Some((number, _)) = consumer.number {
                        wants.push((queue, Local::Written(key(number), count)));
                    }
                    if consumer.no_ack {
                        consumer.unwritten_offsets.drain(..count as usize);
                    }
                }
                if consumer.number.is_none() && consumer.get.is_none() {
                    let number = consumer.number(session);
                    if !calm && rng.percent(20) {
                        consumer.get = Some(number);
                        wants.push((queue, Local::Get(key(number))));
                    } else {
                        consumer.number = Some((number, false));
                        let spec = ConsumerSpec {
                            key: key(number),
                            tag: bytes::Bytes::new(),
                            prefetch: consumer.prefetch,
                            no_ack: consumer.no_ack,
                            exclusive: false,
                            priority: rng.below(2) as i32,
                            reading: None,
                            site: None,
                        };
                        wants.push((queue, Local::Consume { spec, cancel_on_failover: consumer.cancel_on_failover }));
                    }
                }
                if !consumer.held.is_empty() && (calm || rng.percent(80)) {
                    let all = consumer.held.len() as u64;
                    let count = if calm { all } else { rng.between(1, all) } as usize;
                    let some: Vec<u64> = consumer.held.drain(..count).collect();
                    let offsets = some.iter().copied().map(Offset).collect();
                    if !calm && rng.percent(15) {
                        some.iter().for_each(|offset| oracle.returned(queue, *offset, me));
                        wants.push((queue, Local::Return(offsets)));
                        // What is asked next has to wait for it.
                        if !consumer.asks() {
                            let number = consumer.number(session);
                            if rng.percent(50) {
                                consumer.get = Some(number);
                                wants.push((queue, Local::Get(key(number))));
                            } else {
                                consumer.count = Some(number);
                                let connection = session.connection;
                                wants.push((queue, Local::Count { connection, channel: 1, request: number }));
                            }
                        }
                    } else if !calm && rng.percent(10) {
                        wants.push((queue, Local::Settle(offsets, SettleReason::Rejected)));
                    } else {
                        wants.push((queue, Local::Settle(offsets, SettleReason::Acked)));
                    }
                }
                if !calm && rng.percent(2) && !consumer.asks() {
                    // Its channel closes: what it holds goes back.
                    consumer.held.drain(..).for_each(|offset| oracle.returned(queue, offset, me));
                    consumer.unwritten_offsets.drain(..).for_each(|offset| oracle.returned(queue, offset, me));
                    consumer.unwritten = 0;
                    consumer.number = None;
                    wants.push((queue, Local::ChannelClosed { session }));
                    self.opened += 1;
                } else if !calm && rng.percent(1) && consumer.purge.is_none() && queue.0.is_multiple_of(3) {
                    let request = consumer.number(session);
                    consumer.purge = Some(request);
                    oracle.purged(queue);
                    wants.push((queue, Local::Purge { connection: session.connection, channel: 1, request }));
                } else if !calm
                    && rng.percent(2)
                    && consumer.held.is_empty()
                    && consumer.unwritten == 0
                    && let Some((number, _)) = consumer.number.take_if(|(_, attached)| *attached)
                {
                    wants.push((queue, Local::Cancel(key(number))));
                }
            }
        }
        wants
    }

    /// The broker answered.
    pub(crate) fn hear(
        &mut self,
        me: usize,
        event: ToChannel,
        now: u64,
        oracle: &mut Oracle,
        alive: impl Fn(Process) -> bool,
    ) -> Wants {
        let mut wants = Wants::new();
        let holder = Holder { process: self.process, client: me, since: now, site: None };
        let queue_of_mine = self.queue;
        let key = self.key(0);
        match (&mut self.kind, event) {
            (Kind::Publisher { pending, .. }, ToChannel::Confirmed(queue, ranges)) => {
                for sequence in ranges.into_iter().flat_map(|(first, last)| first..=last) {
                    match pending.remove(&(queue, sequence)) {
                        Some(message) => oracle.confirmed(&message),
                        None => oracle.fail(|| format!("{queue:?}: {sequence} was confirmed twice, or never sent")),
                    }
                }
            }
            (Kind::Publisher { pending, .. }, ToChannel::Refused(queue, ranges)) => {
                for sequence in ranges.into_iter().flat_map(|(first, last)| first..=last) {
                    if pending.remove(&(queue, sequence)).is_none() {
                        oracle.fail(|| format!("{queue:?}: {sequence} was refused after it was answered"));
                    }
                }
            }
            (
                Kind::Consumer(consumer),
                ToChannel::Deliver { queue, consumer: number, offset, redelivered, message, .. },
            ) => {
                if consumer.number.map(|(number, _)| number) != Some(number) {
                    // It crossed with the end of its consumer.
                    wants.push((queue, Local::Return(vec![offset])));
                    return wants;
                }
                oracle.delivered(queue, offset.0, redelivered, &message, holder, alive);
                consumer.unwritten += 1;
                if consumer.no_ack {
                    consumer.unwritten_offsets.push(offset.0);
                } else {
                    consumer.held.push(offset.0);
                }
            }
            (Kind::Consumer(consumer), ToChannel::Consuming { consumer: number, attached }) => {
                if consumer.number == Some((number, false)) && attached {
                    consumer.number = Some((number, true));
                } else if consumer.number.is_some_and(|(mine, _)| mine == number) {
                    oracle.fail(|| format!("consume was answered {attached} the second time, or refused"));
                }
            }
            (Kind::Consumer(consumer), ToChannel::Got { get, queue, found, .. }) => {
                if consumer.get.take_if(|mine| *mine == get).is_none() {
                    oracle.fail(|| format!("{queue:?}: a get was answered twice"));
                }
                if let Some((offset, redelivered, message, _)) = found {
                    oracle.delivered(queue, offset.0, redelivered, &message, holder, alive);
                    if consumer.no_ack {
                        wants.push((queue, Local::Settle(vec![offset], SettleReason::Acked)));
                    } else {
                        consumer.held.push(offset.0);
                    }
                }
            }
            (Kind::Consumer(consumer), ToChannel::Purged { request, .. }) => {
                if consumer.purge.take_if(|mine| *mine == request).is_none() {
                    oracle.fail(|| "a purge was answered twice".to_owned());
                }
            }
            (Kind::Consumer(consumer), ToChannel::Counted { request, .. }) => {
                if consumer.count.take_if(|mine| *mine == request).is_none() {
                    oracle.fail(|| "a count was answered twice".to_owned());
                }
            }
            (Kind::Consumer(consumer), ToChannel::Cancelled { .. }) if consumer.cancel_on_failover => {
                // What it was given goes to somebody else, even if its acknowledgement
                // crossed with the word, and what else it has, too.
                oracle.gave_up(queue_of_mine, me);
                wants.push((queue_of_mine, Local::Return(consumer.held.drain(..).map(Offset).collect())));
                consumer.unwritten = 0;
                consumer.number = None;
            }
            (Kind::Consumer(consumer), ToChannel::Cancelled { .. } | ToChannel::Gone { .. }) => {
                *consumer =
                    Consumer { next_number: consumer.next_number, number: Some((0, true)), ..Consumer::default() };
            }
            (Kind::Link(link), event) => {
                let said = format!("{event:?}");
                if !link.hear(event, holder, oracle, alive, &mut wants) {
                    oracle.fail(|| format!("a link of {queue_of_mine:?} heard {said}"));
                }
            }
            (Kind::Reader(reader), event) => {
                if !reader.hear(&event, oracle) {
                    oracle.fail(|| format!("a reader of {queue_of_mine:?} heard {event:?}"));
                }
            }
            (_, event) => oracle.fail(|| format!("{key:?} of {queue_of_mine:?} heard {event:?}")),
        }
        wants
    }
}
