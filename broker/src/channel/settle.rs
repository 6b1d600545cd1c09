//! What clients do with what they hold: acknowledge, reject, recover; and the
//! prefetch that settling makes room in.

use warren_amqp::basic;
use warren_replication::message::SettleReason;

use super::Channel;
use super::unacked::{Held, UnknownTag};
use crate::connection::batch::Batch;
use crate::connection::context::Context;
use crate::connection::fault::Fault;

/// What becomes of a message that a client gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It leaves its queue.
    Acked,
    /// It leaves its queue, for a dead-letter exchange if there is one.
    Rejected,
    /// It goes back to its place.
    Requeued,
}

impl Fate {
    pub(super) fn rejected(requeue: bool) -> Self {
        if requeue { Self::Requeued } else { Self::Rejected }
    }

    pub(super) fn meet(self, batch: &mut Batch, held: Held) {
        match self {
            _ if held.gone => {}
            Self::Acked => batch.settle(held.queue, held.offset, SettleReason::Acked),
            Self::Rejected => batch.settle(held.queue, held.offset, SettleReason::Rejected),
            Self::Requeued => batch.give_back(held.queue, held.offset),
        }
    }
}

impl From<UnknownTag> for Fault {
    fn from(unknown: UnknownTag) -> Self {
        Self::precondition_failed(format_args!("unknown delivery tag {}", unknown.0))
    }
}

impl Channel {
    pub(super) fn settle(&mut self, ctx: &mut Context, tag: u64, multiple: bool, fate: Fate) -> Result<(), Fault> {
        if let Some(transaction) = &mut self.transaction {
            // Counted as held until the commit: no room is made yet.
            self.unacked.take(tag, multiple, |tag, held| transaction.settle(tag, held, fate))?;
            return Ok(());
        }
        let before = self.unacked.len();
        if self.streams.is_empty() {
            self.unacked.take(tag, multiple, |_, held| fate.meet(&mut ctx.batch, held))?;
        } else {
            self.settle_among_streams(ctx, tag, multiple, fate)?;
        }
        let given_up = (before - self.unacked.len()) as u64;
        match fate {
            Fate::Requeued => ctx.tally.requeued += given_up,
            _ => ctx.tally.acked += given_up,
        }
        self.release_parked(ctx);
        Ok(())
    }

    pub(super) fn recover(&mut self, ctx: &mut Context, requeue: bool, wants_answer: bool) -> Result<(), Fault> {
        if !requeue {
            return Err(Fault::not_implemented("requeue=false"));
        }
        self.refuse_to_recover(ctx)?;
        ctx.tally.requeued += self.unacked.len() as u64;
        self.unacked.take_all(|_, held| Fate::Requeued.meet(&mut ctx.batch, held));
        ctx.reply(self.number, !wants_answer, &basic::RecoverOk);
        self.release_parked(ctx);
        Ok(())
    }

    pub(super) fn qos(&mut self, ctx: &mut Context, qos: &basic::Qos) -> Result<(), Fault> {
        if qos.prefetch_size != 0 {
            return Err(Fault::not_implemented(format_args!("prefetch_size!=0 ({})", qos.prefetch_size)));
        }
        if qos.global {
            self.channel_prefetch = u32::from(qos.prefetch_count);
        } else {
            self.prefetch = u32::from(qos.prefetch_count);
            // As in RabbitMQ, a limit for consumers to come lifts the channel's.
            self.channel_prefetch = 0;
        }
        ctx.reply(self.number, false, &basic::QosOk);
        self.release_parked(ctx);
        Ok(())
    }

    /// Whether the client may hold another message on this channel. As in
    /// RabbitMQ, what it has got by `basic.get` does not count.
    pub(super) fn has_room(&self) -> bool {
        let settling = self.transaction.as_ref().map_or(0, |transaction| transaction.of_consumers());
        self.channel_prefetch == 0 || self.unacked.of_consumers() + settling < self.channel_prefetch as usize
    }

    /// Sends parked deliveries while there is room for them.
    pub(super) fn release_parked(&mut self, ctx: &mut Context) {
        while self.has_room() {
            let Some(parked) = self.parked.pop_front() else { break };
            self.deliver(ctx, parked);
        }
    }
}
