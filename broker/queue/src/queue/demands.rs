//! What the rules demand of single messages: that they are told apart, leave when
//! their time is over, make room, or die.

use std::hash::Hash;

use super::{Arrival, Queue, Stage};
use crate::rules::Rules;

impl<K: Copy + Eq + Hash> Queue<K> {
    /// A committed message; of one that is there already the rest is learned.
    pub fn arrived(&mut self, arrival: Arrival) {
        let Arrival { offset, priority, due, weight, body } = arrival;
        self.ready.weigh(offset, body);
        if let Some(due) = due {
            self.timetable.put(offset, due);
        }
        self.consigned.learn(offset, priority);
        if !self.contains(offset) {
            self.ready_bytes += u64::from(weight);
            self.ready.insert(offset, priority);
        }
        self.next = self.next.max(offset + 1);
    }

    /// Forgets when messages are due: they are about to be learned anew.
    pub fn forget_times(&mut self) {
        self.timetable.clear();
    }

    /// When the next message is due, if one may be: it may be gone.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        if self.overdue.is_empty() { self.timetable.next() } else { Some(0) }
    }

    /// The ready messages that are due now, in the order of their times: they are
    /// leaving. What is held is due when it comes back, and what is not below
    /// `fresh` the next time: it has yet to be offered to those who wait.
    pub fn take_due(&mut self, now: u64, fresh: u64) -> Vec<u64> {
        let mut due = std::mem::take(&mut self.overdue);
        let mut later = Vec::new();
        while let Some(run) = self.timetable.take(now) {
            for offset in run {
                if offset >= fresh {
                    later.push(offset);
                } else if self.ready.remove(offset).is_some() {
                    self.leaving.insert(offset);
                    due.push(offset);
                } else if let Some(hold) = self.holds.get_mut(&offset) {
                    hold.overdue = true;
                } else {
                    self.consigned.is_due(offset);
                }
            }
        }
        later.into_iter().for_each(|offset| self.timetable.put(offset, now));
        let (ready, holds, consigned) = (&self.ready, &self.holds, &self.consigned);
        let stays = |offset| ready.contains(offset) || holds.contains_key(&offset) || consigned.contains(offset);
        self.timetable.sweep(stays);
        due
    }

    /// Makes the queue as short as its limits demand: the next messages leave.
    pub fn take_excess(&mut self, rules: &Rules) -> Vec<u64> {
        let mut excess = Vec::new();
        while rules.max_length.is_some_and(|max| self.ready.len() > max)
            || rules.max_bytes.is_some_and(|max| self.ready.body_bytes() > max)
        {
            let Some((offset, _)) = self.ready.pop() else { break };
            self.leaving.insert(offset);
            excess.push(offset);
        }
        excess
    }

    /// Bytes of the bodies of ready messages, if a rule counts them.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.ready.body_bytes()
    }

    /// This message leaves, whoever holds it: he has no more to do with it. False
    /// if it leaves already, or is not there.
    pub fn doom(&mut self, offset: u64) -> bool {
        if let Some(hold) = self.holds.get(&offset) {
            if hold.stage == Stage::Settling {
                return false;
            }
            self.ready_bytes += u64::from(hold.weight);
            if let Some(hold) = self.holds.remove(&offset) {
                self.untie(hold);
            }
            self.consigned.forget(offset);
            return self.leaving.insert(offset);
        }
        (self.ready.remove(offset).is_some() || self.consigned.forget(offset)) && self.leaving.insert(offset)
    }
}
