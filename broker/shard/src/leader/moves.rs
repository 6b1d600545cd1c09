//! Messages that move on to an exchange: dead ones, where the queue has a dead
//! letter exchange, and delayed ones whose time has come. Nobody gets them any
//! more; each stays in the queue until whoever moves it says that it has arrived,
//! and then leaves by a record. A new leader finds them where they were and comes
//! to the same end, so a message may move twice, and none is lost.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use warren_queue::{Ready, Reason};
use warren_replication::ledger::Ledger;
use warren_replication::message::Message;
use warren_replication::record;
use warren_replication::types::Offset;

use crate::bodies::{Bodies, Budget};
use crate::seek::{Seek, Wanted};
use crate::settings::Settings;
use crate::step::Transfer;

#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Not handed out yet.
    waiting: BTreeMap<Reason, Ready>,
    /// Handed out, with what each weighs.
    moving: FxHashMap<u64, usize>,
    moving_bytes: usize,
    /// To be handed out with this turn.
    out: Vec<Transfer>,
    pub(super) seek: Seek,
    /// Somebody has been told of some.
    begun: bool,
}

impl Moves {
    /// These are to move on.
    pub(super) fn add(&mut self, reason: Reason, offsets: impl IntoIterator<Item = u64>) {
        let waiting = self.waiting.entry(reason).or_default();
        offsets.into_iter().for_each(|offset| {
            waiting.insert(offset);
        });
    }

    /// Those that are dead and not handed out: nobody wants them any more.
    pub(super) fn give_up(&mut self) -> Vec<(Reason, Vec<Range<u64>>)> {
        let due = self.waiting.remove(&Reason::Due);
        let dead = std::mem::take(&mut self.waiting);
        self.waiting.extend(due.map(|due| (Reason::Due, due)));
        dead.into_iter().map(|(reason, offsets)| (reason, offsets.ranges().collect())).collect()
    }

    /// They have arrived, or their settle is committed: there is room for others.
    pub(super) fn over(&mut self, offset: u64) {
        if let Some(weight) = self.moving.remove(&offset) {
            self.moving_bytes -= weight;
        } else {
            self.waiting.values_mut().any(|waiting| waiting.remove(offset));
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.waiting.values().all(Ready::is_empty) && self.moving.is_empty()
    }

    fn first(&self) -> Option<(u64, Reason)> {
        self.waiting.iter().filter_map(|(reason, waiting)| Some((waiting.first()?, *reason))).min()
    }

    fn has_room(&self, settings: &Settings) -> bool {
        self.moving.len() < settings.transfer_messages && self.moving_bytes < settings.transfer_bytes
    }

    fn hand_out(&mut self, offset: u64, reason: Reason, message: Message, ledger: &Ledger) {
        self.waiting.get_mut(&reason).map(|waiting| waiting.remove(offset));
        self.moving.insert(offset, message.weight());
        self.moving_bytes += message.weight();
        let offset = Offset(offset);
        self.out.push(Transfer { offset, reason, count: ledger.count(offset), message });
    }

    /// Hands out what is in memory anyway.
    pub(super) fn fill(&mut self, bodies: &mut Bodies, budget: &mut Budget, ledger: &Ledger, settings: &Settings) {
        while self.has_room(settings)
            && let Some((offset, reason)) = self.first()
            && let Some(message) = bodies.take(offset, budget)
        {
            self.hand_out(offset, reason, message, ledger);
        }
    }

    /// What to read next.
    pub(super) fn wanted(&mut self, settings: &Settings) -> Option<Wanted> {
        if self.seek.is_reading() || !self.has_room(settings) {
            return None;
        }
        let next = self.seek.next();
        self.first().map(|(offset, _)| next.unwrap_or(Wanted::Offset(offset)))
    }

    /// The answer to a read.
    pub(super) fn read(&mut self, request: u64, entries: &[Bytes], ledger: &Ledger, settings: &Settings) {
        let Some(want) = self.seek.answered(request) else { return };
        let mut last = None;
        for entry in entries {
            let Ok(messages) = record::messages(entry) else { break };
            for (offset, message) in messages {
                let reason =
                    self.waiting.iter().find(|(_, waiting)| waiting.contains(offset.0)).map(|(reason, _)| *reason);
                if let Some(reason) = reason
                    && self.has_room(settings)
                {
                    self.hand_out(offset.0, reason, message, ledger);
                }
            }
            last = record::position(entry).ok().map(|position| position.index);
        }
        if self.has_room(settings) && self.first().is_some_and(|(first, _)| first == want) {
            self.seek.fell_short(last, want);
        }
    }

    /// What is handed out with this turn.
    pub(crate) fn take(&mut self) -> Vec<Transfer> {
        self.begun |= !self.out.is_empty();
        std::mem::take(&mut self.out)
    }

    /// Whether somebody has to be told that this reign is over.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }
}
