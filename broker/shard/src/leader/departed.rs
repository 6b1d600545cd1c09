//! Processes whose clients are gone, and what becomes of what they leave:
//! consumers, deliveries, sessions (§4.8, §6.8).

use std::collections::{BTreeMap, BTreeSet};

use warren_queue::Queue;
use warren_replication::mutation::{self, Mutation};
use warren_replication::step::Proposal;
use warren_replication::types::{ConsumerKey, Moment, Offset, Process, Session};

use super::Log;
use crate::world::World;

#[derive(Debug)]
struct Absence {
    since: Moment,
    /// It had consumers here.
    consumed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Departed {
    /// Until they claim anew, or have been away for long enough.
    absent: BTreeMap<Process, Absence>,
    sessions_looked_at: Option<Moment>,
}

impl Departed {
    /// Whether nobody is missed.
    pub(super) fn is_empty(&self) -> bool {
        self.absent.is_empty()
    }

    /// Who is gone consumes nothing more from now on; what it holds stays held.
    pub(super) fn look(&mut self, queue: &mut Queue<ConsumerKey>, world: &World<'_>) {
        let absent = &mut self.absent;
        let mut miss = |process, consumed| {
            let absence = absent.entry(process).or_insert(Absence { since: world.now, consumed });
            absence.consumed |= consumed;
        };
        for key in queue.consumers() {
            if world.is_gone(key.process) {
                // A queue is not left by other sites' links.
                let consumed = queue.detach(&key);
                miss(key.process, consumed);
            }
        }
        for (offset, _) in queue.held_by(|key| world.is_gone(key.process)) {
            if let Some(holder) = queue.holder(offset) {
                miss(holder.key.process, false);
            }
        }
    }

    /// It is here again, and has said what it has.
    pub(super) fn claimed(&mut self, process: Process) {
        self.absent.remove(&process);
    }

    /// What is on its way to a process may still be handed out by it while its
    /// lease runs: only then, or when it is certainly over, may others have it,
    /// and have its consumers left. Whether any did, and the messages that came back
    /// more often than `limit`: those have left the queue.
    pub(super) fn give_back(
        &mut self,
        queue: &mut Queue<ConsumerKey>,
        limit: Option<u32>,
        log: &mut Log<'_>,
        world: &World<'_>,
    ) -> (bool, Vec<u64>) {
        if self.absent.is_empty() {
            return (false, Vec::new());
        }
        let wait = world.settings.lease_wait();
        let mut left = BTreeSet::new();
        let mut consumed = false;
        self.absent.retain(|process, absence| {
            if !world.is_gone(*process) {
                // It has come back meanwhile: its claim will say the rest.
                absence.since = world.now;
                return true;
            }
            let waits = !world.is_over(*process)
                && world.now.micros_since(absence.since) < wait
                && !mutation::on(Mutation::GiveBackAtOnce);
            if !waits {
                consumed |= absence.consumed;
                left.insert(*process);
            }
            waits
        });
        let (mut offsets, mut dead) = (Vec::new(), Vec::new());
        for (offset, count) in queue.held_by(|key| left.contains(&key.process)) {
            if limit.is_some_and(|limit| count >= limit) && !queue.is_consigned(offset) {
                if queue.doom(offset) {
                    dead.push(offset);
                }
            } else if queue.give_back(offset) {
                offsets.push((Offset(offset), count + 1));
            }
        }
        if !offsets.is_empty() {
            log.propose(Proposal::Return { offsets });
        }
        (consumed, dead)
    }

    /// A later boot is known: its node's old sessions may end at once.
    pub(crate) fn registered(&mut self) {
        self.sessions_looked_at = None;
    }

    /// Sessions whose process is over leave the table by a record (§4.8).
    pub(crate) fn end_sessions(&mut self, log: &mut Log<'_>, world: &World<'_>) {
        let linger = world.settings.session_linger;
        if self.sessions_looked_at.is_some_and(|at| world.now.micros_since(at) < linger / 16) {
            return;
        }
        self.sessions_looked_at = Some(world.now);
        let long_gone = |process: Process| {
            world.is_gone(process)
                && world.left.get(&process).is_some_and(|since| world.now.micros_since(*since) >= linger)
        };
        let dead: Vec<Session> = log
            .ledger()
            .sessions()
            .iter()
            .map(|(session, _)| *session)
            // One that stands for another site's queue has no process.
            .filter(|session| !session.is_origin())
            .filter(|session| world.is_over(session.process) || long_gone(session.process))
            .collect();
        for session in dead {
            log.propose(Proposal::EndSession(session));
        }
    }
}
