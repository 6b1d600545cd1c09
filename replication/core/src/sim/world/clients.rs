//! The world's clients: publishers behind their entry nodes, and consumers.

use super::{MILLI, Offset, Process, Proposal, SettleReason, Verdict, What, World};
use crate::types::{Epoch, Session};

impl World {
    pub(super) fn publish(&mut self, nth: usize) -> Verdict {
        if !self.faults && self.publishers[nth].is_idle() {
            return Ok(());
        }
        self.later(5, 60, What::Publish(nth));
        // The entry node's own view of who leads.
        let via = self.rng.below(self.nodes.len() as u64) as usize;
        let seen = self.nodes[via].applied.saturating_sub(1);
        let assignment = self.catalog.history[seen].clone();
        let publisher = &mut self.publishers[nth];
        let Some(leader) = assignment.leader.filter(|_| assignment.epoch >= publisher.epoch) else { return Ok(()) };
        let lost_touch = self.rng.permille(150);
        if assignment.epoch > publisher.epoch || lost_touch {
            publisher.epoch = assignment.epoch;
            if let Some(proposal) = publisher.again(0) {
                self.send_to_leader(nth, leader, assignment.epoch, proposal);
            }
        }
        let publisher = &mut self.publishers[nth];
        if self.faults {
            if publisher.is_idle() && self.rng.permille(20) {
                let over = publisher.reopen();
                self.send_to_leader(nth, leader, assignment.epoch, Proposal::EndSession(over));
            }
            let proposal = self.publishers[nth].publish(&mut self.rng);
            self.send_to_leader(nth, leader, assignment.epoch, proposal);
        }
        Ok(())
    }

    /// In order; a link that breaks loses what is in flight.
    fn send_to_leader(&mut self, nth: usize, to: Process, epoch: Epoch, proposal: Proposal) {
        if self.lost() {
            return;
        }
        let at = self.sent_until[nth].max(self.now + self.rng.between(0, 10 * MILLI));
        self.sent_until[nth] = at;
        self.ordinal += 1;
        self.agenda.insert((at, self.ordinal), What::Send { to, epoch, proposal });
    }

    pub(super) fn receive(&mut self, to: Process, epoch: Epoch, proposal: Proposal) -> Verdict {
        let node = to.node.0 as usize;
        let now = self.clock(node);
        let mut out = Vec::new();
        if self.nodes[node].process != to {
            return Ok(());
        }
        match self.nodes[node].replica.as_mut() {
            Some(replica) if replica.is_leading() && replica.known_epoch() == epoch => {
                replica.propose(now, proposal, &mut out);
                if self.rng.permille(700) {
                    replica.seal(now, &mut out);
                }
            }
            _ => {}
        }
        self.carry_out(node, out)
    }

    pub(super) fn tell(&mut self, epoch: Epoch, session: Session, confirmed: Vec<u64>, again: Option<u64>) {
        if !self.lost() {
            self.later(0, 10, What::Answer { epoch, session, confirmed, again });
        }
    }

    pub(super) fn answer(&mut self, epoch: Epoch, session: Session, confirmed: &[u64], again: Option<u64>) -> Verdict {
        let nth = session.connection as usize;
        let publisher = &mut self.publishers[nth];
        if publisher.session != session || publisher.epoch != epoch {
            return Ok(());
        }
        for &sequence in confirmed {
            if publisher.on_confirmed(sequence) {
                self.tally.confirmed += 1;
                self.oracle.on_confirmed(session, sequence)?;
            }
        }
        let leader = self.catalog.history.iter().find(|a| a.epoch == epoch).and_then(|a| a.leader);
        if let (Some(from), Some(leader)) = (again, leader)
            && let Some(proposal) = self.publishers[nth].again(from)
        {
            self.send_to_leader(nth, leader, epoch, proposal);
        }
        Ok(())
    }

    /// Consumers settle and return what any leader holds for live.
    pub(super) fn consume(&mut self) -> Verdict {
        if self.faults {
            self.later(5, 40, What::Consume);
        }
        let node = self.rng.below(self.nodes.len() as u64) as usize;
        let now = self.clock(node);
        let Some(replica) = self.nodes[node].replica.as_mut() else { return Ok(()) };
        let live: Vec<u64> = replica.ledger().live().iter().flatten().take(40).collect();
        let greedy = self.rng.permille(500);
        let mut offsets = Vec::new();
        for offset in live {
            if self.rng.permille(if greedy { 800 } else { 200 }) {
                offsets.push(offset);
            }
        }
        let proposal = match self.rng.below(6) {
            0 => {
                let returned = offsets.iter().map(|&offset| {
                    let stale = u32::from(self.rng.permille(200));
                    (Offset(offset), replica.ledger().count(Offset(offset)) + 1 + stale)
                });
                Proposal::Return { offsets: returned.collect() }
            }
            1 => Proposal::Horizon(replica.next_offset()),
            // One that was settled long ago, or does not exist yet.
            2 => Proposal::Settle { offsets: vec![Offset(self.rng.below(200))], reason: SettleReason::Acked },
            _ => Proposal::Settle { offsets: offsets.into_iter().map(Offset).collect(), reason: SettleReason::Acked },
        };
        let mut out = Vec::new();
        replica.propose(now, proposal, &mut out);
        self.carry_out(node, out)
    }
}
