//! What waits to be written to one client, and who is told once it is: a
//! delivery counts as written when the socket has taken its last octet.

use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use warren_amqp::OutBuffer;
use warren_replication::types::{ConsumerKey, QueueId};

use super::batch::Batch;

/// Frames to be written and deliveries among them.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Frames are put here.
    pub frames: OutBuffer,
    /// Octets that the socket has taken, ever.
    written: u64,
    /// Deliveries of this turn by consumer; consumers are few a turn.
    turn: Vec<Delivered>,
    marks: VecDeque<Mark>,
}

/// So many deliveries of a consumer.
#[derive(Debug)]
struct Delivered {
    queue: QueueId,
    consumer: ConsumerKey,
    messages: u32,
}

/// The deliveries that are written when the socket has taken `end` octets.
#[derive(Debug)]
struct Mark {
    end: u64,
    delivered: Vec<Delivered>,
}

impl Outbox {
    /// Octets that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Octets that the socket has taken, ever.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// A delivery was put into the frames.
    pub fn delivered(&mut self, queue: QueueId, consumer: ConsumerKey) {
        match self.turn.iter_mut().rev().find(|known| known.consumer.number == consumer.number) {
            Some(known) => known.messages += 1,
            None => self.turn.push(Delivered { queue, consumer, messages: 1 }),
        }
    }

    /// Ends a turn: what it delivered is written when the frames so far are.
    pub fn mark(&mut self) {
        if !self.turn.is_empty() {
            let end = self.written + self.frames.len() as u64;
            self.marks.push_back(Mark { end, delivered: std::mem::take(&mut self.turn) });
        }
    }

    /// Writes some; may be given up between octets without loss.
    ///
    /// # Errors
    /// The socket's.
    pub async fn write(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match to.write_buf(&mut self.frames).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            octets => {
                self.written += octets as u64;
                Ok(())
            }
        }
    }

    /// Tells queues which deliveries are written by now.
    pub fn tell_written(&mut self, batch: &mut Batch) {
        while self.marks.front().is_some_and(|mark| mark.end <= self.written) {
            for told in self.marks.pop_front().into_iter().flat_map(|mark| mark.delivered) {
                batch.written(told.queue, told.consumer, told.messages);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_replication::types::Process;
    use warren_shard::step::Local;

    use super::*;

    fn consumer(number: u64) -> ConsumerKey {
        let process = Process { node: Default::default(), incarnation: Default::default(), boot: Default::default() };
        ConsumerKey { process, connection: 1, channel: 1, number }
    }

    #[tokio::test]
    async fn deliveries_are_told_only_when_their_last_octet_is_taken() {
        let mut outbox = Outbox::default();
        for number in [1, 2, 1] {
            outbox.frames.heartbeat();
            outbox.delivered(QueueId(7), consumer(number));
        }
        outbox.mark();
        let (mut near, mut far) = tokio::io::duplex(20);
        outbox.write(&mut near).await.unwrap();
        let mut batch = Batch::default();
        outbox.tell_written(&mut batch);
        assert!(batch.is_empty(), "20 of 24 octets are written");
        tokio::io::AsyncReadExt::read_exact(&mut far, &mut [0; 20]).await.unwrap();
        outbox.write(&mut near).await.unwrap();
        outbox.tell_written(&mut batch);
        let told: Vec<(u64, u32)> = batch
            .take()
            .into_iter()
            .map(|(_, word)| match word {
                Local::Written(key, messages) => (key.number, messages),
                other => panic!("unexpected {other:?}"),
            })
            .collect();
        assert_eq!(told, [(1, 2), (2, 1)]);
        assert!(outbox.is_empty());
    }
}
