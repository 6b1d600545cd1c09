//! What the replica wants done, and what follows from that for the other parts of
//! the queue; and what leaves for entry nodes and for whoever moves messages on.

use std::sync::Arc;

use warren_replication::message::QueueWord;
use warren_replication::step::Action;
use warren_replication::types::Process;

use super::{Cell, Reader, Turn, needs_lease};
use crate::leader::Leader;
use crate::step::{ReadRequest, Transfers, Wish};
use crate::stream::Stream;

impl Cell {
    /// Carries out what the replica wants, and what follows from that.
    pub(crate) fn absorb(&mut self, turn: &mut Turn<'_>) {
        while !turn.actions.is_empty() {
            let actions = std::mem::take(turn.actions);
            for action in actions {
                self.act(action, turn);
            }
        }
    }

    fn act(&mut self, action: Action, turn: &mut Turn<'_>) {
        let Some(copy) = &mut self.copy else { return };
        match action {
            Action::Write(write) => {
                copy.written += 1;
                turn.effects.writes.push((self.queue, Some(write)));
            }
            Action::Send { to, message } => {
                turn.effects.words.push((to, self.queue, QueueWord::Mirror(message)));
            }
            Action::Read { reader, first, max_bytes } => {
                let request = turn.reads.ask(self.queue, copy.life, Reader::Replica(reader, first));
                let read = ReadRequest { request, queue: self.queue, first, max_bytes };
                if reader == turn.world.me.node {
                    turn.effects.reads.extend(turn.reads.in_turn(read));
                } else {
                    turn.effects.reads.push(read);
                }
            }
            Action::ProposeIsr { from, isr, trailing } => {
                turn.effects.wishes.push((self.queue, Wish::Isr { from, isr, trailing }));
            }
            Action::Offer { to, end } => turn.effects.wishes.push((self.queue, Wish::Offer { to, end })),
            Action::Leading => {
                let inherited = copy.replica.last().index;
                let epoch = self.assignment.as_ref().map(|assignment| assignment.epoch).unwrap_or_default();
                self.stream = Stream::new(epoch, inherited, &self.rules).map(Box::new);
                if let Some(assignment) = self.assignment.as_ref().filter(|_| self.stream.is_none()) {
                    let next = copy.replica.next_offset().0;
                    let leader = Leader::new(assignment, Arc::clone(&self.rules), &turn.world, inherited, next);
                    self.leader = Some(Box::new(leader));
                }
                self.attach(turn);
            }
            Action::Stepped => {
                self.end_reign(turn);
                // A reign of this process is over; its entry side waits for the next.
                if self.attached.is_some_and(|(_, leader)| leader == turn.world.me) {
                    self.detach();
                }
            }
            Action::Committed(committed) => {
                if let Some(leader) = &mut self.leader {
                    leader.committed(committed, copy.replica.ledger(), turn.budget, &turn.world);
                } else if let Some(stream) = &mut self.stream {
                    stream.committed(committed, copy.replica.ledger(), turn.budget, turn.world.settings);
                }
            }
            Action::Repeated { session, confirmed, refused } => {
                if let Some(leader) = &mut self.leader {
                    leader.repeated(session, confirmed, refused);
                } else if let Some(stream) = &mut self.stream {
                    stream.repeated(session, confirmed, refused);
                }
            }
            Action::Again { session, from } => {
                if let Some(leader) = &mut self.leader {
                    leader.again(session, from);
                } else if let Some(stream) = &mut self.stream {
                    stream.again(session, from);
                }
            }
            Action::Resign => {
                if let Some(assignment) = &self.assignment {
                    turn.effects.wishes.push((self.queue, Wish::Resign(Arc::clone(assignment))));
                }
            }
            Action::Broken(what) => turn.effects.alarms.push((self.queue, what)),
        }
    }

    /// The leader's words to entry nodes; those to this one arrive at once.
    pub(super) fn hand_out(&mut self, turn: &mut Turn<'_>) {
        let epoch = match (&self.leader, &self.stream) {
            (Some(leader), _) => leader.epoch,
            (None, Some(stream)) => stream.epoch,
            (None, None) => return,
        };
        let me = turn.world.me;
        let mut here = Vec::new();
        let mut kept = Vec::new();
        let released = self.leader.as_ref().is_some_and(|leader| leader.released);
        let words = &mut turn.effects.words;
        let queue = self.queue;
        let say = |to: Process, word| {
            if released && needs_lease(&word) {
                // It goes if this leader goes on after all (§6.5).
                kept.push((to.node, word));
            } else if to == me {
                here.push(word);
            } else {
                words.push((to.node, queue, QueueWord::ToEntry(epoch, word)));
            }
        };
        let leased = match (&mut self.leader, &mut self.stream) {
            (Some(leader), _) => leader.flush(&turn.world, say),
            (None, Some(stream)) => stream.flush(&turn.world, say),
            (None, None) => false,
        };
        turn.effects.leased |= leased && !released;
        for (to, word) in kept {
            self.hold_back(to, word);
        }
        if self.attached == Some((epoch, me)) {
            for word in here {
                self.entry_word(word, turn);
            }
        }
    }

    /// Messages that whoever moves them may have now.
    pub(super) fn move_on(&mut self, turn: &mut Turn<'_>) {
        let Some(leader) = &mut self.leader else { return };
        let moving = leader.moves.take();
        if !moving.is_empty() {
            turn.effects.transfers.push((self.queue, Transfers::Move(leader.epoch, moving)));
        }
    }
}
