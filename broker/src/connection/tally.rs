//! What a node's clients have done since it runs. A connection counts for itself
//! and hands in what a turn came to, so that nothing shared is touched by the
//! message.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts of messages and of what carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Connections that came to an open vhost.
    pub connections: u64,
    /// Connections that ended after that.
    pub connections_closed: u64,
    /// Channels opened.
    pub channels: u64,
    /// Channels closed.
    pub channels_closed: u64,
    /// Consumers that were made.
    pub consumers: u64,
    /// Messages published.
    pub published: u64,
    /// Publishes confirmed to clients that asked for it.
    pub confirmed: u64,
    /// The same, refused (`basic.nack`).
    pub nacked: u64,
    /// Mandatory messages that reached no queue.
    pub returned: u64,
    /// Messages handed to consumers or to a `basic.get`.
    pub delivered: u64,
    /// Those among them that may have been delivered before.
    pub redelivered: u64,
    /// Messages acknowledged, or rejected for good.
    pub acked: u64,
    /// Messages given back to their queues.
    pub requeued: u64,
}

/// The tallies of all connections, ended ones included.
#[derive(Debug, Default)]
pub struct Tallies([AtomicU64; 13]);

impl Tally {
    fn fields(&mut self) -> [&mut u64; 13] {
        let Self {
            connections,
            connections_closed,
            channels,
            channels_closed,
            consumers,
            published,
            confirmed,
            nacked,
            returned,
            delivered,
            redelivered,
            acked,
            requeued,
        } = self;
        [
            connections,
            connections_closed,
            channels,
            channels_closed,
            consumers,
            published,
            confirmed,
            nacked,
            returned,
            delivered,
            redelivered,
            acked,
            requeued,
        ]
    }
}

impl Tallies {
    /// Takes what a connection counted, which starts again from nothing.
    pub fn take(&self, tally: &mut Tally) {
        for (sum, count) in self.0.iter().zip(tally.fields()) {
            if *count > 0 {
                sum.fetch_add(*count, Relaxed);
                *count = 0;
            }
        }
    }

    /// The sums.
    #[must_use]
    pub fn sum(&self) -> Tally {
        let mut tally = Tally::default();
        for (sum, count) in self.0.iter().zip(tally.fields()) {
            *count = sum.load(Relaxed);
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_summed_once() {
        let tallies = Tallies::default();
        let mut mine = Tally { published: 3, requeued: 1, ..Tally::default() };
        tallies.take(&mut mine);
        assert_eq!(mine, Tally::default());
        mine.published = 2;
        tallies.take(&mut mine);
        assert_eq!(tallies.sum(), Tally { published: 5, requeued: 1, ..Tally::default() });
    }
}
