//! The entry side of a queue: what the clients of *this* node have going with
//! it, wherever it is led (§4.8, §6.8). It keeps every publish until it is
//! answered, every delivery until its settle or return is committed, and every
//! question until its answer, so that all of it can be said again to the next
//! leader, or over the next link.

mod deliveries;
mod publishers;

use std::collections::{BTreeMap, VecDeque};

use rustc_hash::FxHashMap;
use warren_replication::message::{ConsumeOutcome, ConsumerSpec, Held, SettleReason, ToEntry, ToLeader};
use warren_replication::types::{ConsumerKey, Moment, NodeId, Offset, QueueId, Session};

use crate::settings::Settings;
use crate::step::{Local, ToChannel};
use publishers::Publishers;

#[derive(Debug)]
struct Consumer {
    spec: ConsumerSpec,
    /// It does not go on with another leader than the one that attached it.
    cancel_on_failover: bool,
    /// Attach order.
    order: u64,
    /// The leader has said that it is attached.
    attached: bool,
    /// It takes no more; kept for what of a no-ack consumer is being written.
    cancelled: bool,
    /// Deliveries at the channel and not yet written: of earlier reigns (or
    /// links), which no leader counts any more, and of this one.
    unwritten_before: u64,
    unwritten: u64,
    /// Written and not yet said to the leader.
    written: u32,
    /// No-ack only: what is to be settled as it is written.
    unsettled: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HeldState {
    Held,
    Settling(SettleReason),
    Returning {
        /// As of [`ToLeader::Return`].
        unused: bool,
    },
}

#[derive(Debug)]
struct HeldMessage {
    key: ConsumerKey,
    count: u32,
    state: HeldState,
}

#[derive(Clone, Copy, Debug)]
struct Question {
    connection: u64,
    channel: u16,
    request: u64,
    asked: Asked,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Purge,
    Count,
    Close { if_unused: bool, if_empty: bool },
}

impl Asked {
    /// The word that asks it, under our own number.
    fn word(self, request: u64) -> ToLeader {
        match self {
            Self::Purge => ToLeader::Purge { request },
            Self::Count => ToLeader::Count { request },
            Self::Close { if_unused, if_empty } => ToLeader::Close { request, if_unused, if_empty },
        }
    }
}

/// Answers for the channels of this node: connection, channel, event.
pub(crate) type Replies = Vec<(u64, u16, ToChannel)>;

#[derive(Debug, Default)]
pub(crate) struct Entry {
    publishers: Publishers,
    consumers: FxHashMap<u64, Consumer>,
    next_order: u64,
    /// Consumers with something written to say in this turn.
    wrote: Vec<u64>,
    held: FxHashMap<u64, HeldMessage>,
    /// Clients here that were given a message before its present holder was, and
    /// have not been heard of since: this node was cut off, and their claim came
    /// too late (§2.7). A return does not say whose delivery it is about.
    outdated: FxHashMap<u64, Vec<ConsumerKey>>,
    gets: BTreeMap<u64, ConsumerKey>,
    questions: BTreeMap<u64, Question>,
    next_question: u64,
    /// Answered in this turn, should the lease turn out to be lost.
    just_answered: Vec<(u64, Question)>,
    just_empty: Vec<ConsumerKey>,
    /// For the leader, in order.
    pub(crate) out: Vec<ToLeader>,
    /// There is a leader within reach who has our claim.
    attached: bool,
    /// When the leader was last heard, or publishes were last sent again.
    heard: Moment,
    /// Since when an answer is due, as of the last tick.
    waiting_since: Option<Moment>,
    patience: u64,
}

impl Entry {
    /// Whether nothing is going on: it may be forgotten.
    pub(crate) fn is_idle(&self) -> bool {
        self.publishers.is_empty()
            && self.consumers.is_empty()
            && self.held.is_empty()
            && self.outdated.is_empty()
            && self.gets.is_empty()
            && self.questions.is_empty()
            && (self.publishers.none_ended() || self.attached)
            && self.out.is_empty()
            && !self.has_just_answered()
    }

    /// Whether something was answered in this turn that may have to be unsaid.
    pub(crate) fn has_just_answered(&self) -> bool {
        !(self.just_answered.is_empty() && self.just_empty.is_empty())
    }

    /// Whether it waits for an answer, or for time.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.gets.is_empty()
            || !self.questions.is_empty()
            || self.publishers.is_waiting()
            || self.consumers.values().any(|c| !c.attached && !c.cancelled)
            || self.held.values().any(|h| h.state != HeldState::Held)
    }

    /// A new turn: what the last one answered has left for good.
    pub(crate) fn begin(&mut self) {
        self.just_answered.clear();
        self.just_empty.clear();
    }

    fn say(&mut self, word: ToLeader) {
        if self.attached {
            self.out.push(word);
        }
    }

    /// Nobody leads within reach, or not in this epoch any more: nothing that
    /// was said counts (§6.8).
    pub(crate) fn detach(&mut self) {
        self.attached = false;
        self.out.clear();
        for consumer in self.consumers.values_mut() {
            consumer.unwritten_before += std::mem::take(&mut consumer.unwritten);
            consumer.written = 0;
        }
    }

    /// The queue will have another leader. Consumers that want to be told so are
    /// cancelled; what they hold goes back, so that somebody gets it again, but for
    /// what is being written out without an acknowledgement to come.
    pub(crate) fn failed_over(&mut self, replies: &mut Replies) {
        let cancelled = |consumer: &&mut Consumer| consumer.cancel_on_failover && consumer.attached;
        let mut consumers: Vec<&mut Consumer> = self.consumers.values_mut().filter(cancelled).collect();
        consumers.sort_unstable_by_key(|consumer| consumer.order);
        for consumer in consumers {
            let key = consumer.spec.key;
            if !consumer.cancelled {
                replies.push((key.connection, key.channel, ToChannel::Cancelled { consumer: key.number }));
            }
            consumer.cancelled = true;
            if !consumer.spec.no_ack {
                let held = self.held.values_mut().filter(|held| held.key == key && held.state == HeldState::Held);
                held.for_each(|held| held.state = HeldState::Returning { unused: false });
            }
        }
        self.consumers.retain(|_, consumer| !consumer.cancelled || !consumer.unsettled.is_empty());
    }

    /// A leader is within reach: the claim, and then everything unanswered again.
    pub(crate) fn attach(&mut self, node: NodeId, now: Moment, settings: &Settings) {
        self.detach();
        self.attached(now, settings);
        self.send_everything(node, settings);
    }

    /// A leader is within reach and has the claim.
    pub(crate) fn attached(&mut self, now: Moment, settings: &Settings) {
        self.attached = true;
        self.heard = now;
        self.waiting_since = None;
        self.patience = settings.resend_after;
    }

    /// Whether a turn is not over with it.
    pub(crate) fn has_more(&self) -> bool {
        !self.out.is_empty() || self.publishers.has_answers() || !self.wrote.is_empty()
    }

    fn send_everything(&mut self, node: NodeId, settings: &Settings) {
        let mut consumers: Vec<&Consumer> = self.consumers.values().filter(|c| !c.cancelled).collect();
        consumers.sort_unstable_by_key(|c| c.order);
        let (attached, asked): (Vec<_>, Vec<_>) = consumers.into_iter().partition(|c| c.attached);
        let mut held: Vec<(&u64, &HeldMessage)> = self.held.iter().collect();
        held.sort_unstable_by_key(|(offset, _)| **offset);
        self.out.push(ToLeader::Claim {
            node,
            consumers: attached.iter().map(|c| c.spec.clone()).collect(),
            held: held.iter().map(|(o, h)| Held { offset: Offset(**o), count: h.count, consumer: h.key }).collect(),
        });
        let mut settles: BTreeMap<SettleReason, Vec<Offset>> = BTreeMap::new();
        let (mut returns, mut unused) = (Vec::new(), Vec::new());
        for (offset, message) in held {
            match message.state {
                HeldState::Held => {}
                HeldState::Settling(reason) => settles.entry(reason).or_default().push(Offset(*offset)),
                HeldState::Returning { unused: false } => returns.push((Offset(*offset), message.count + 1)),
                HeldState::Returning { unused: true } => unused.push((Offset(*offset), message.count + 1)),
            }
        }
        for (reason, offsets) in settles {
            self.out.push(ToLeader::Settle { offsets, reason });
        }
        for (offsets, unused) in [(returns, false), (unused, true)] {
            if !offsets.is_empty() {
                self.out.push(ToLeader::Return { offsets, unused });
            }
        }
        for consumer in asked {
            self.out.push(ToLeader::Consume { spec: consumer.spec.clone() });
        }
        for key in self.gets.values() {
            self.out.push(ToLeader::Get { key: *key });
        }
        for (&request, question) in &self.questions {
            self.out.push(question.asked.word(request));
        }
        self.publishers.resend_all(settings, &mut self.out);
        self.publishers.say_ended(&mut self.out);
    }

    /// From a channel of this node.
    pub(crate) fn local(&mut self, now: Moment, local: Local) {
        match local {
            Local::Publish { session, messages } => {
                if let Some(word) = self.publishers.publish(now, session, messages) {
                    self.say(word);
                }
            }
            Local::ChannelClosed { session } => self.channel_closed(session),
            Local::Consume { spec, cancel_on_failover } => {
                let consumer = Consumer {
                    spec: spec.clone(),
                    cancel_on_failover,
                    order: self.next_order,
                    attached: false,
                    cancelled: false,
                    unwritten_before: 0,
                    unwritten: 0,
                    written: 0,
                    unsettled: VecDeque::new(),
                };
                self.next_order += 1;
                self.consumers.insert(spec.key.number, consumer);
                self.say(ToLeader::Consume { spec });
            }
            Local::Cancel(key) => self.cancel(key),
            Local::Written(key, messages) => self.written(key, messages),
            Local::Credit(key, messages) => self.credit(key, messages),
            Local::Settle(offsets, reason) => self.settle(offsets, reason),
            Local::Return(offsets) => self.returned(offsets),
            Local::Get(key) => {
                self.gets.insert(key.number, key);
                self.say(ToLeader::Get { key });
            }
            Local::Purge { connection, channel, request } => {
                self.ask(Question { connection, channel, request, asked: Asked::Purge });
            }
            Local::Count { connection, channel, request } => {
                self.ask(Question { connection, channel, request, asked: Asked::Count });
            }
            Local::Close { connection, channel, request, if_unused, if_empty } => {
                self.ask(Question { connection, channel, request, asked: Asked::Close { if_unused, if_empty } });
            }
        }
    }

    fn ask(&mut self, question: Question) {
        let request = self.next_question;
        self.next_question += 1;
        self.questions.insert(request, question);
        self.say(question.asked.word(request));
    }

    fn cancel(&mut self, key: ConsumerKey) {
        let Some(consumer) = self.consumers.get_mut(&key.number) else { return };
        consumer.cancelled = true;
        if consumer.unsettled.is_empty() {
            self.consumers.remove(&key.number);
        }
        self.say(ToLeader::Cancel { consumer: key });
    }

    fn channel_closed(&mut self, session: Session) {
        let (connection, channel) = (session.connection, session.channel);
        let mine = |key: &ConsumerKey| key.connection == connection && key.channel == channel;
        let mut cancelled: Vec<u64> =
            self.consumers.values().filter(|c| mine(&c.spec.key)).map(|c| c.spec.key.number).collect();
        cancelled.sort_unstable();
        for number in cancelled {
            if let Some(consumer) = self.consumers.remove(&number)
                && !consumer.cancelled
            {
                self.say(ToLeader::Cancel { consumer: consumer.spec.key });
            }
        }
        let mut held: Vec<Offset> = self
            .held
            .iter()
            .filter(|(_, h)| mine(&h.key) && h.state == HeldState::Held)
            .map(|(o, _)| Offset(*o))
            .collect();
        held.sort_unstable();
        self.give_back(held, false);
        self.outdated.retain(|_, others| {
            others.retain(|key| !mine(key));
            !others.is_empty()
        });
        self.gets.retain(|_, key| !mine(key));
        self.questions.retain(|_, q| q.connection != connection || q.channel != channel);
        self.publishers.close(session);
    }

    /// From the leader, in the epoch and over the link that we claimed on.
    /// `counted`: clients want to know how often a message was delivered.
    pub(crate) fn word(
        &mut self,
        now: Moment,
        (queue, counted): (QueueId, bool),
        word: ToEntry,
        settings: &Settings,
        replies: &mut Replies,
    ) {
        self.heard = now;
        self.patience = settings.resend_after;
        match word {
            ToEntry::Confirmed { session, ranges } => self.publishers.answer(session, &ranges, true),
            ToEntry::Refused { session, ranges } => self.publishers.answer(session, &ranges, false),
            ToEntry::Again { session, from } => {
                self.publishers.again(now, session, from, settings, &mut self.out);
            }
            ToEntry::Deliver { deliveries, floor } => {
                for delivery in deliveries {
                    self.deliver((queue, counted, floor), delivery, replies);
                }
            }
            ToEntry::Read { consumer, next, messages } => self.read(queue, consumer, next, messages, replies),
            ToEntry::Settled { offsets } => {
                for offset in offsets {
                    self.held.remove(&offset.0);
                    self.outdated.remove(&offset.0);
                }
            }
            ToEntry::Returned { offsets } => {
                for offset in offsets {
                    // It may have been delivered here again meanwhile.
                    if self.held.get(&offset.0).is_some_and(|held| matches!(held.state, HeldState::Returning { .. })) {
                        self.held.remove(&offset.0);
                    }
                }
            }
            ToEntry::Consuming { consumer: key, outcome } => {
                let Some(consumer) = self.consumers.get_mut(&key.number).filter(|c| !c.attached && !c.cancelled) else {
                    return;
                };
                consumer.attached = outcome == ConsumeOutcome::Attached;
                let event = ToChannel::Consuming { consumer: key.number, attached: consumer.attached };
                if !consumer.attached {
                    self.consumers.remove(&key.number);
                }
                replies.push((key.connection, key.channel, event));
            }
            ToEntry::Empty { key, .. } => {
                if self.gets.remove(&key.number).is_some() {
                    self.just_empty.push(key);
                    replies.push((
                        key.connection,
                        key.channel,
                        ToChannel::Got { get: key.number, queue, count: None, found: None },
                    ));
                }
            }
            ToEntry::Got { delivery, ready } => {
                let key = delivery.consumer;
                if self.gets.remove(&key.number).is_none() {
                    self.bounce(delivery);
                    return;
                }
                self.hold(&delivery);
                let count = counted.then_some(delivery.count);
                let found = Some((delivery.offset, delivery.redelivered, delivery.message, ready));
                replies.push((key.connection, key.channel, ToChannel::Got { get: key.number, queue, count, found }));
            }
            ToEntry::Purged { request, messages } => {
                self.reply(request, replies, |request| ToChannel::Purged { request, messages });
            }
            ToEntry::Counted { request, ready, consumers } => {
                self.reply(request, replies, |request| ToChannel::Counted { request, ready, consumers });
            }
            ToEntry::Closed { request, closing } => {
                self.reply(request, replies, |request| ToChannel::Closed { request, closing });
            }
        }
    }

    fn reply(&mut self, request: u64, replies: &mut Replies, event: impl Fn(u64) -> ToChannel) {
        if let Some(question) = self.questions.remove(&request) {
            self.just_answered.push((request, question));
            replies.push((question.connection, question.channel, event(question.request)));
        }
    }

    /// Time passed: publishes that waited too long are nacked (§4.5), and
    /// everything is said again to a leader that keeps silent.
    pub(crate) fn tick(&mut self, now: Moment, settings: &Settings) {
        self.publishers.tick(now, settings);
        if !self.is_waiting() {
            self.waiting_since = None;
            return;
        }
        let since = *self.waiting_since.get_or_insert(now).max(&mut self.heard);
        if self.attached && now.micros_since(since) >= self.patience {
            // Only publishes are ever dropped on their way, and only they may be
            // said twice over one link: a second claim would take back what is
            // under way to this node.
            self.heard = now;
            self.patience = self.patience.saturating_mul(2).min(settings.resend_after * 16);
            self.publishers.resend_all(settings, &mut self.out);
        }
    }

    /// The end of a turn: this turn's confirms as ranges, what was written.
    pub(crate) fn flush(&mut self, queue: QueueId, replies: &mut Replies) {
        let (attached, out) = (self.attached, &mut self.out);
        self.publishers.flush(queue, replies, |word| {
            if attached {
                out.push(word);
            }
        });
        for number in std::mem::take(&mut self.wrote) {
            let Some(consumer) = self.consumers.get_mut(&number) else { continue };
            let messages = std::mem::take(&mut consumer.written);
            let consumer = consumer.spec.key;
            if messages > 0 {
                self.say(ToLeader::Written { consumer, messages });
            }
        }
    }

    /// Forgets the oldest of what is kept for a new leader only.
    pub(crate) fn trim(&mut self, settings: &Settings) {
        self.publishers.trim(settings);
    }

    /// A reply that must not leave, for the lease is lost: the message goes
    /// back, the question is unanswered again. True if the reply is one of that
    /// kind and of this queue.
    pub(crate) fn unsay(&mut self, reply: &ToChannel) -> bool {
        match reply {
            ToChannel::Deliver { consumer, offset, .. } => {
                if let Some(consumer) = self.consumers.get_mut(consumer) {
                    consumer.unwritten = consumer.unwritten.saturating_sub(1);
                    consumer.unsettled.retain(|unsettled| *unsettled != offset.0);
                }
                self.give_back(vec![*offset], false);
                true
            }
            ToChannel::Got { found: Some((offset, ..)), .. } => {
                if let Some(held) = self.held.get(&offset.0) {
                    self.gets.insert(held.key.number, held.key);
                    self.say(ToLeader::Get { key: held.key });
                }
                self.give_back(vec![*offset], false);
                true
            }
            ToChannel::Got { get, found: None, .. } => {
                let Some(key) = self.just_empty.iter().find(|key| key.number == *get).copied() else { return false };
                self.gets.insert(key.number, key);
                self.say(ToLeader::Get { key });
                true
            }
            ToChannel::Purged { request, .. } | ToChannel::Counted { request, .. } => {
                let found = self.just_answered.iter().find(|(_, question)| question.request == *request);
                let Some(&(request, question)) = found else { return false };
                self.questions.insert(request, question);
                self.say(question.asked.word(request));
                true
            }
            _ => false,
        }
    }

    /// The queue is deleted: everybody hears of it, nothing waits (§5.6).
    pub(crate) fn deleted(mut self, queue: QueueId, replies: &mut Replies) {
        self.attached = false;
        self.publishers.refuse_all();
        self.flush(queue, replies);
        let mut consumers: Vec<&Consumer> = self.consumers.values().filter(|c| !c.cancelled).collect();
        consumers.sort_unstable_by_key(|c| c.order);
        for consumer in consumers {
            let ConsumerKey { connection, channel, number, .. } = consumer.spec.key;
            let event = if consumer.attached {
                ToChannel::Cancelled { consumer: number }
            } else {
                ToChannel::Gone { request: number }
            };
            replies.push((connection, channel, event));
        }
        for key in self.gets.values() {
            replies.push((key.connection, key.channel, ToChannel::Gone { request: key.number }));
        }
        for question in self.questions.values() {
            replies.push((question.connection, question.channel, ToChannel::Gone { request: question.request }));
        }
    }
}
