//! Transactions (class `tx`) of one channel. As in RabbitMQ they are atomic as far
//! as nothing of one is sent before its commit: publishes are checked and routed
//! when they come and go to their queues together, acknowledgements follow them,
//! and the commit is answered when all queues have confirmed. Queues may still
//! differ in what a crash between them leaves. A rollback leaves deliveries in the
//! client's hands; a channel that closes rolls back.

use warren_amqp::tx;

use super::publish::Routed;
use super::settle::Fate;
use super::unacked::Held;
use super::{Channel, Waiting};
use crate::connection::context::Context;
use crate::connection::fault::Fault;

/// What the next commit does.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    publishes: Vec<Routed>,
    /// What `publishes` keeps alive, in octets.
    weight: usize,
    /// Deliveries given up, by tag, in the order in which they were.
    settles: Vec<(u64, Held, Fate)>,
    /// Those of them that consumers were given.
    of_consumers: usize,
}

impl Transaction {
    /// A publish is to be sent by the commit.
    ///
    /// # Errors
    /// They are more than may be kept for it.
    pub(super) fn publish(&mut self, routed: Routed, budget: usize) -> Result<(), Fault> {
        self.weight += size_of::<Routed>() + routed.publish.properties.len() + routed.publish.body.len();
        if self.weight > budget {
            return Err(Fault::precondition_failed(format_args!("transaction is larger than {budget} bytes")));
        }
        self.publishes.push(routed);
        Ok(())
    }

    /// A delivery is to be given up by the commit.
    pub(super) fn settle(&mut self, tag: u64, held: Held, fate: Fate) {
        self.of_consumers += usize::from(held.consumer.is_some());
        self.settles.push((tag, held, fate));
    }

    /// Consumers' deliveries that count as held until the commit.
    pub(super) fn of_consumers(&self) -> usize {
        self.of_consumers
    }
}

impl Channel {
    pub(super) fn select_transactions(&mut self, ctx: &mut Context) -> Result<(), Fault> {
        if self.confirms.is_selected() {
            return Err(Fault::precondition_failed("cannot switch from confirm to tx mode"));
        }
        self.transaction.get_or_insert_default();
        ctx.reply(self.number, false, &tx::SelectOk);
        Ok(())
    }

    pub(super) fn commit(&mut self, ctx: &mut Context) -> Result<(), Fault> {
        let Transaction { publishes, settles, .. } = self.take_transaction()?;
        for routed in publishes {
            self.send(ctx, routed);
        }
        self.settle_of_transaction(ctx, settles.into_iter().map(|(_, held, fate)| (held, fate)))?;
        self.committed(ctx, false)?;
        self.release_parked(ctx);
        Ok(())
    }

    /// Answers a commit whose publishes are all answered; else waits.
    pub(super) fn committed(&mut self, ctx: &mut Context, refused: bool) -> Result<(), Fault> {
        if self.confirms.waiting() > 0 {
            self.waiting = Some(Waiting::Commit { refused });
            return Ok(());
        }
        self.waiting = None;
        if refused {
            return Err(Fault::precondition_failed("partial tx completion"));
        }
        ctx.reply(self.number, false, &tx::CommitOk);
        Ok(())
    }

    pub(super) fn roll_back(&mut self, ctx: &mut Context) -> Result<(), Fault> {
        let transaction = self.take_transaction()?;
        self.unacked.put_back(transaction.settles.into_iter().map(|(tag, held, _)| (tag, held)));
        ctx.reply(self.number, false, &tx::RollbackOk);
        Ok(())
    }

    /// The transaction so far; the next one begins.
    fn take_transaction(&mut self) -> Result<Transaction, Fault> {
        let transaction = self.transaction.as_mut().map(|transaction| std::mem::take(&mut **transaction));
        transaction.ok_or_else(|| Fault::precondition_failed("channel is not transactional"))
    }
}
