//! Deliveries on their way through an entry node: from the leader to a channel,
//! into the client's hands, and back as written, settled or returned.

use warren_replication::message::{Delivery, Message, ReadFrom, SettleReason, ToLeader};
use warren_replication::types::{ConsumerKey, Offset, QueueId};

use super::{Entry, HeldMessage, HeldState, Replies};
use crate::step::ToChannel;

impl Entry {
    pub(super) fn written(&mut self, key: ConsumerKey, messages: u32) {
        let Some(consumer) = self.consumers.get_mut(&key.number) else { return };
        let before = u64::from(messages).min(consumer.unwritten_before);
        consumer.unwritten_before -= before;
        let now = (u64::from(messages) - before).min(consumer.unwritten);
        consumer.unwritten -= now;
        if consumer.written == 0 && now > 0 {
            self.wrote.push(key.number);
        }
        consumer.written += now as u32;
        let count = (messages as usize).min(consumer.unsettled.len());
        let settled: Vec<Offset> = consumer.unsettled.drain(..count).map(Offset).collect();
        if consumer.cancelled && consumer.unsettled.is_empty() {
            self.consumers.remove(&key.number);
        }
        if !settled.is_empty() {
            self.settle(settled, SettleReason::Acked);
        }
    }

    /// A stream's consumer acknowledged messages: it holds nothing, and may be
    /// given as many more.
    pub(super) fn credit(&mut self, key: ConsumerKey, messages: u32) {
        let Some(consumer) = self.consumers.get_mut(&key.number) else { return };
        let Some(reading) = &mut consumer.spec.reading else { return };
        reading.unacked = reading.unacked.saturating_sub(messages);
        self.say(ToLeader::Credit { consumer: key, messages });
    }

    pub(super) fn settle(&mut self, mut offsets: Vec<Offset>, reason: SettleReason) {
        offsets.retain(|offset| {
            let held = self.held.get_mut(&offset.0).filter(|held| held.state == HeldState::Held);
            held.map(|held| held.state = HeldState::Settling(reason)).is_some()
        });
        if offsets.is_empty() || !self.attached {
            return;
        }
        // A turn's acknowledgements are one word.
        if let Some(ToLeader::Settle { offsets: before, reason: other }) = self.out.last_mut()
            && *other == reason
        {
            before.append(&mut offsets);
            return;
        }
        self.out.push(ToLeader::Settle { offsets, reason });
    }

    /// A client gives messages back. One that several here believe to have goes
    /// only with the last of them: else its holder's would be taken from him.
    pub(super) fn returned(&mut self, mut offsets: Vec<Offset>) {
        if !self.outdated.is_empty() {
            offsets.retain(|offset| {
                let Some(others) = self.outdated.get_mut(&offset.0) else { return true };
                others.pop();
                if others.is_empty() {
                    self.outdated.remove(&offset.0);
                }
                false
            });
        }
        self.give_back(offsets, true);
    }

    pub(super) fn give_back(&mut self, offsets: Vec<Offset>, unused: bool) {
        let mut returns = Vec::with_capacity(offsets.len());
        for offset in offsets {
            if let Some(held) = self.held.get_mut(&offset.0).filter(|held| held.state == HeldState::Held) {
                held.state = HeldState::Returning { unused };
                returns.push((offset, held.count + 1));
            }
        }
        if !returns.is_empty() {
            self.say(ToLeader::Return { offsets: returns, unused });
        }
    }

    pub(super) fn hold(&mut self, delivery: &Delivery) {
        let held = HeldMessage { key: delivery.consumer, count: delivery.count, state: HeldState::Held };
        if let Some(before) = self.held.insert(delivery.offset.0, held)
            && before.state == HeldState::Held
        {
            self.outdated.entry(delivery.offset.0).or_default().push(before.key);
        }
    }

    /// A delivery that nobody here waits for any more goes back.
    pub(super) fn bounce(&mut self, delivery: Delivery) {
        self.hold(&delivery);
        self.give_back(vec![delivery.offset], false);
    }

    pub(super) fn deliver(
        &mut self,
        (queue, counted, floor): (QueueId, bool, Offset),
        delivery: Delivery,
        replies: &mut Replies,
    ) {
        let key = delivery.consumer;
        let Some(consumer) = self.consumers.get_mut(&key.number).filter(|c| !c.cancelled) else {
            return self.bounce(delivery);
        };
        consumer.unwritten += 1;
        if consumer.spec.no_ack {
            consumer.unsettled.push_back(delivery.offset.0);
        }
        self.hold(&delivery);
        let Delivery { offset, redelivered, consignment, count, message, .. } = delivery;
        let count = counted.then_some(count);
        let consumer = key.number;
        let event = ToChannel::Deliver { queue, consumer, offset, floor, redelivered, consignment, count, message };
        replies.push((key.connection, key.channel, event));
    }

    /// A stream's consumer reads on. What it was given is not held: all that the
    /// next leader has to know is where it goes on, and with how much room (§6.8).
    pub(super) fn read(
        &mut self,
        queue: QueueId,
        key: ConsumerKey,
        next: Offset,
        messages: Vec<(Offset, Message)>,
        replies: &mut Replies,
    ) {
        let Some(consumer) = self.consumers.get_mut(&key.number).filter(|c| !c.cancelled) else { return };
        let Some(reading) = &mut consumer.spec.reading else { return };
        reading.from = ReadFrom::Offset(next);
        if messages.is_empty() {
            return;
        }
        reading.unacked = reading.unacked.saturating_add(messages.len() as u32);
        consumer.unwritten += messages.len() as u64;
        let event = ToChannel::Read { queue, consumer: key.number, messages };
        replies.push((key.connection, key.channel, event));
    }
}
