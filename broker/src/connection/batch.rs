//! What one connection has to say to the queues, gathered over one read and
//! handed to the shards at once.

use rustc_hash::FxHashMap;
use warren_replication::message::{Message, SettleReason};
use warren_replication::types::{ConsumerKey, Offset, QueueId, Session};
use warren_shard::step::Local;

/// Words to queues in order; those that can share one are put together.
#[derive(Debug, Default)]
pub struct Batch {
    words: Vec<(QueueId, Local)>,
    /// Where the word is that more of the same kind may join.
    open: FxHashMap<(QueueId, Kind), usize>,
    /// The last place looked up: most of a read goes to one queue.
    last: Option<((QueueId, Kind), usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Publish(u16),
    Settle(SettleReason),
    Return,
    Written(u64),
    Credit(u64),
}

impl Batch {
    /// A publish of this session. `session` is fixed for its channel number
    /// within one batch, except across [`Batch::push`].
    pub fn publish(&mut self, queue: QueueId, session: Session, sequence: u64, message: Message) {
        let word =
            self.joined(queue, Kind::Publish(session.channel), || Local::Publish { session, messages: Vec::new() });
        if let Local::Publish { messages, .. } = word {
            messages.push((sequence, message));
        }
    }

    /// A message is done with.
    pub fn settle(&mut self, queue: QueueId, offset: Offset, reason: SettleReason) {
        let word = self.joined(queue, Kind::Settle(reason), || Local::Settle(Vec::new(), reason));
        if let Local::Settle(offsets, _) = word {
            offsets.push(offset);
        }
    }

    /// A message goes back to its queue.
    pub fn give_back(&mut self, queue: QueueId, offset: Offset) {
        let word = self.joined(queue, Kind::Return, || Local::Return(Vec::new()));
        if let Local::Return(offsets) = word {
            offsets.push(offset);
        }
    }

    /// Deliveries of a consumer have left for the client.
    pub fn written(&mut self, queue: QueueId, consumer: ConsumerKey, messages: u32) {
        let word = self.joined(queue, Kind::Written(consumer.number), || Local::Written(consumer, 0));
        if let Local::Written(_, sum) = word {
            *sum += messages;
        }
    }

    /// A delivery of a consumer of a stream was acknowledged.
    pub fn credit(&mut self, queue: QueueId, consumer: ConsumerKey) {
        let word = self.joined(queue, Kind::Credit(consumer.number), || Local::Credit(consumer, 0));
        if let Local::Credit(_, sum) = word {
            *sum += 1;
        }
    }

    /// Any other word; nothing later is put before it.
    pub fn push(&mut self, queue: QueueId, word: Local) {
        self.open.clear();
        self.last = None;
        self.words.push((queue, word));
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Everything gathered; the batch is empty afterwards.
    pub fn take(&mut self) -> Vec<(QueueId, Local)> {
        self.open.clear();
        self.last = None;
        std::mem::take(&mut self.words)
    }

    fn joined(&mut self, queue: QueueId, kind: Kind, new: impl FnOnce() -> Local) -> &mut Local {
        let key = (queue, kind);
        let place = match self.last {
            Some((last, place)) if last == key => place,
            _ => *self.open.entry(key).or_insert_with(|| {
                self.words.push((queue, new()));
                self.words.len() - 1
            }),
        };
        self.last = Some((key, place));
        &mut self.words[place].1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_replication::types::{Boot, Incarnation, NodeId, Process};

    use super::*;

    fn session(channel: u16) -> Session {
        let process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
        Session { process, connection: 1, channel, opened: 0 }
    }

    #[test]
    fn publishes_of_a_channel_to_a_queue_share_a_word_and_keep_their_order() {
        let mut batch = Batch::default();
        for (queue, channel, sequence) in [(1, 1, 1), (2, 1, 2), (1, 1, 3), (1, 2, 1), (1, 1, 4)] {
            batch.publish(QueueId(queue), session(channel), sequence, Message::default());
        }
        let words: Vec<(u64, u16, Vec<u64>)> = batch
            .take()
            .into_iter()
            .map(|(queue, word)| match word {
                Local::Publish { session, messages } => {
                    (queue.0, session.channel, messages.iter().map(|(sequence, _)| *sequence).collect())
                }
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(words, [(1, 1, vec![1, 3, 4]), (2, 1, vec![2]), (1, 2, vec![1])]);
        assert!(batch.is_empty());
    }

    #[test]
    fn nothing_moves_before_another_word() {
        let mut batch = Batch::default();
        batch.settle(QueueId(1), Offset(1), SettleReason::Acked);
        batch.push(QueueId(1), Local::Count { connection: 1, channel: 1, request: 9 });
        batch.settle(QueueId(1), Offset(2), SettleReason::Acked);
        batch.give_back(QueueId(1), Offset(3));
        batch.settle(QueueId(1), Offset(3), SettleReason::Rejected);
        batch.settle(QueueId(1), Offset(4), SettleReason::Acked);
        let words = batch.take();
        assert_eq!(words.len(), 5);
        assert!(matches!(&words[2].1, Local::Settle(offsets, _) if offsets == &[Offset(2), Offset(4)]));
        assert!(matches!(&words[4].1, Local::Settle(offsets, SettleReason::Rejected) if offsets == &[Offset(3)]));
    }
}
