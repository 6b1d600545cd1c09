//! What may not take too long: a client with a delivery, a queue with an answer.
//! Looked at as the connection ticks, so that nothing is noted for a message.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Channel, Waiting};
use crate::connection::context::Context;
use crate::connection::fault::Fault;

/// What was seen at earlier ticks.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// The last tag given by then, oldest first; as many as ticks in the timeout.
    tags: VecDeque<(Instant, u64)>,
    /// The question that waits, and since when.
    question: Option<(u64, Instant)>,
}

impl Channel {
    /// Time passed.
    ///
    /// # Errors
    /// Something took too long.
    pub(crate) fn on_tick(&mut self, ctx: &Context, now: Instant) -> Result<(), Fault> {
        self.check_deliveries(ctx, now)?;
        self.check_question(ctx, now)
    }

    /// The client must settle what it holds in time.
    fn check_deliveries(&mut self, ctx: &Context, now: Instant) -> Result<(), Fault> {
        let limit = ctx.front.settings.consumer_timeout;
        let Some(first) = self.unacked.first_held().filter(|_| !limit.is_zero()) else {
            self.patience.tags.clear();
            return Ok(());
        };
        self.patience.tags.push_back((now, self.unacked.last_tag()));
        while let Some(&(_, tag)) = self.patience.tags.front().filter(|(at, _)| now - *at >= limit) {
            if first <= tag {
                let (channel, millis) = (self.number, limit.as_millis());
                return Err(Fault::precondition_failed(format_args!(
                    "delivery acknowledgement on channel {channel} timed out. Timeout value used: {millis} ms. This \
                     timeout value can be configured, see consumers doc guide to learn more"
                )));
            }
            self.patience.tags.pop_front();
        }
        Ok(())
    }

    /// A queue that nobody leads is there, but does not answer.
    fn check_question(&mut self, ctx: &Context, now: Instant) -> Result<(), Fault> {
        let question = match &self.waiting {
            Some(Waiting::Attach { consumer: number, .. } | Waiting::Get { get: number, .. }) => Some(*number),
            Some(Waiting::Purge { request, .. } | Waiting::Count { request, .. } | Waiting::Close { request, .. }) => {
                Some(*request)
            }
            _ => None,
        };
        let since = self.patience.question.filter(|(asked, _)| Some(*asked) == question).map_or(now, |(_, at)| at);
        self.patience.question = question.map(|number| (number, since));
        if question.is_some() && now - since >= ctx.front.settings.queue_timeout {
            return Err(
                Fault::not_found("the queue has no leader: its nodes are down or inaccessible").in_method(self.method)
            );
        }
        Ok(())
    }
}
