//! Who published what: the table against which re-sent publishes are
//! recognized (§4.8). Per session the floor, the sender's word that nothing
//! below it will be sent again, and the exact set taken at or above it.

use std::collections::BTreeMap;

use bytes::BytesMut;

use crate::codec::{Malformed, Reader, Writer};
use crate::ranges::RangeSet;
use crate::types::Session;

/// Parts of an origin's set at most: gaps are what its messages that went
/// elsewhere leave, as long as older ones are still on their way.
const MOST_FRAGMENTS: usize = 1 << 16;

/// What a session's publisher has sent here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    floor: u64,
    taken: RangeSet,
    /// The highest that was refused.
    refused: u64,
}

/// What is known of one sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// It is in the set: confirmed once its record is committed.
    Taken,
    /// Below the highest and not in the set: it was refused.
    Refused,
    /// Below the floor: nobody waits for an answer.
    Settled,
    /// Above the highest: not seen yet.
    New,
}

impl Taken {
    /// The highest sequence that was taken, refused or given up.
    #[must_use]
    pub fn highest(&self) -> u64 {
        self.taken.last().unwrap_or(0).max(self.floor.saturating_sub(1)).max(self.refused)
    }

    /// What is known of this sequence.
    #[must_use]
    pub fn look_up(&self, sequence: u64) -> Sequence {
        if sequence < self.floor {
            Sequence::Settled
        } else if self.taken.contains(sequence) {
            Sequence::Taken
        } else if sequence <= self.highest() {
            Sequence::Refused
        } else {
            Sequence::New
        }
    }

    fn raise_floor(&mut self, floor: u64) {
        if floor > self.floor {
            self.taken.remove(self.floor..floor);
            self.floor = floor;
        }
    }
}

/// All sessions of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SessionTable {
    sessions: BTreeMap<Session, Taken>,
}

impl SessionTable {
    /// What this session has sent, if anything is remembered.
    #[must_use]
    pub fn get(&self, session: &Session) -> Option<&Taken> {
        self.sessions.get(session)
    }

    /// Sessions of the same origin's name with an earlier queue: it was deleted and
    /// made again there, and sends nothing more.
    pub fn outdated(&self, origin: &Session) -> impl Iterator<Item = &Session> {
        let first = Session { connection: 0, ..*origin };
        self.sessions.range(first..*origin).map(|(session, _)| session).filter(|session| session.is_origin())
    }

    /// How many sessions are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The sessions, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Session, &Taken)> {
        self.sessions.iter()
    }

    /// The session's state with its floor raised; made if it is new.
    pub(crate) fn enter(&mut self, session: Session, floor: u64) -> &mut Taken {
        let taken = self.sessions.entry(session).or_default();
        taken.raise_floor(floor);
        taken
    }

    /// A publish record: idempotent, also over a table that is already ahead.
    pub(crate) fn publish(&mut self, session: Session, floor: u64, runs: &[(u64, u64)]) {
        let taken = self.enter(session, floor);
        for &(first, last) in runs {
            taken.take(first, last);
        }
        if session.is_origin() {
            taken.bound();
        }
    }

    /// A record of refusals: idempotent in the same way.
    pub(crate) fn refuse(&mut self, session: Session, floor: u64, runs: &[(u64, u64)]) {
        let taken = self.enter(session, floor);
        for &(_, last) in runs {
            taken.refuse(last);
        }
    }

    /// The only way out of the table is a record (§4.8).
    pub(crate) fn end(&mut self, session: &Session) {
        self.sessions.remove(session);
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_varint(self.sessions.len() as u64);
        for (session, taken) in &self.sessions {
            out.put_session(session);
            out.put_varint(taken.floor);
            taken.taken.encode(out);
            out.put_varint(taken.refused);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut table = Self::default();
        for _ in 0..from.count(30)? {
            let session = from.session()?;
            let taken = Taken { floor: from.varint()?, taken: RangeSet::decode(from)?, refused: from.varint()? };
            table.sessions.insert(session, taken);
        }
        Ok(table)
    }
}

impl Taken {
    /// The sequence was refused: it, and what lies below and is not in the set.
    pub(crate) fn refuse(&mut self, sequence: u64) {
        self.refused = self.refused.max(sequence);
    }

    /// Keeps the set small where gaps may stay open for ever: the oldest part is
    /// forgotten, and a message of it that comes yet again counts as new.
    fn bound(&mut self) {
        while self.taken.fragments() > MOST_FRAGMENTS {
            let Some(oldest) = self.taken.iter().next() else { return };
            self.taken.remove(oldest);
        }
    }

    /// Puts the inclusive range into the set, as far as it is not given up.
    pub(crate) fn take(&mut self, first: u64, last: u64) {
        self.taken.insert(first.max(self.floor)..last.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::types::{Boot, Incarnation, NodeId, Process};

    fn session() -> Session {
        let process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
        Session { process, connection: 1, channel: 1, opened: 0 }
    }

    #[test]
    fn in_the_set_refused_settled_and_new_are_told_apart() {
        let mut table = SessionTable::default();
        table.publish(session(), 4, &[(4, 5), (8, 8)]);
        let taken = table.get(&session()).unwrap();
        assert_eq!(taken.look_up(3), Sequence::Settled);
        assert_eq!(taken.look_up(5), Sequence::Taken);
        assert_eq!(taken.look_up(6), Sequence::Refused);
        assert_eq!(taken.look_up(8), Sequence::Taken);
        assert_eq!(taken.look_up(9), Sequence::New);
        assert_eq!(taken.highest(), 8);
    }

    #[test]
    fn what_was_refused_last_stays_refused() {
        let mut table = SessionTable::default();
        table.publish(session(), 1, &[(1, 2)]);
        table.refuse(session(), 1, &[(3, 4)]);
        let taken = table.get(&session()).unwrap();
        assert_eq!((taken.look_up(4), taken.look_up(5), taken.highest()), (Sequence::Refused, Sequence::New, 4));
    }

    #[test]
    fn a_floor_above_everything_leaves_nothing_but_itself() {
        let mut table = SessionTable::default();
        table.publish(session(), 1, &[(1, 5)]);
        table.publish(session(), 20, &[]);
        let taken = table.get(&session()).unwrap();
        assert_eq!(taken.highest(), 19);
        assert_eq!(taken.look_up(19), Sequence::Settled);
        assert_eq!(taken.look_up(20), Sequence::New);
    }

    #[test]
    fn replay_over_a_later_table_changes_nothing() {
        let mut table = SessionTable::default();
        table.publish(session(), 1, &[(1, 5)]);
        table.publish(session(), 4, &[(6, 9)]);
        let later = table.clone();
        table.publish(session(), 1, &[(1, 5)]);
        assert_eq!(table, later);
    }

    #[test]
    fn an_origins_gaps_are_bounded_and_what_is_forgotten_counts_as_new() {
        let mut table = SessionTable::default();
        let origin = Session::of_origin(1, 2, crate::types::QueueId(3));
        for sequence in (2..).step_by(2).take(MOST_FRAGMENTS + 10) {
            table.publish(origin, 1, &[(sequence, sequence)]);
        }
        let taken = table.get(&origin).unwrap();
        assert_eq!(taken.taken.fragments(), MOST_FRAGMENTS);
        assert_eq!(taken.look_up(2), Sequence::Refused);
        assert_eq!(taken.look_up(22), Sequence::Taken);
    }

    #[test]
    fn the_table_comes_back_from_its_bytes() {
        let mut table = SessionTable::default();
        table.publish(session(), 2, &[(3, 5), (7, 9)]);
        table.refuse(session(), 2, &[(11, 12)]);
        let mut bytes = BytesMut::new();
        table.encode(&mut bytes);
        assert_eq!(SessionTable::decode(&mut Reader::new(&bytes)).unwrap(), table);
    }
}
