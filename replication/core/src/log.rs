//! The log as the core knows it: where it begins and ends, which epoch each
//! index is of, where offsets lie, and in memory what is not committed yet.
//! The entries themselves are in the store.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use crate::marks::{Mark, Marks};
use crate::ranges::RangeSet;
use crate::record::{self, Entry};
use crate::types::{Epoch, Index, Offset, Position};

/// An entry that is not applied yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pending {
    pub(crate) entry: Entry,
    pub(crate) body: Body,
    /// Bytes of log up to its end.
    end: u64,
}

/// What is kept of an unapplied entry beside its records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Body {
    /// All of it, as encoded.
    Whole(Bytes),
    /// Only what its messages weigh; the rest is in the store.
    Stored(Vec<u32>),
}

impl Pending {
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Whole(bytes) => Some(bytes),
            Body::Stored(_) => None,
        }
    }

    pub(crate) fn weights(&self) -> Vec<u32> {
        match &self.body {
            // The checksum held when it came in, so the lengths are right.
            Body::Whole(bytes) => record::weights(bytes).unwrap_or_default(),
            Body::Stored(weights) => weights.clone(),
        }
    }
}

/// Offsets that an unclean leader leaves out for each log that it may lack: more
/// than any has given out beyond what this one has (§6.3).
const GAP: u64 = 1 << 32;

/// What a copy that started anew has to reach (§5.3): its sessions were those of
/// another log further on. All 0 if it was made of nothing but its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Whole {
    /// With this entry it is whole.
    pub(crate) at: Position,
    /// The epoch of the leader that it came from.
    pub(crate) from: Epoch,
}

/// A part of the log between two marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Its last entry.
    pub(crate) last: Index,
    pub(crate) offsets: Range<u64>,
    pub(crate) bytes: u64,
}

impl Section {
    /// About how many of its bytes are of messages in this set.
    pub(crate) fn share(&self, live: &RangeSet) -> u64 {
        let within = |range: Range<u64>| range.end.min(self.offsets.end).saturating_sub(range.start);
        let here = live.iter_from(self.offsets.start).take_while(|range| range.start < self.offsets.end);
        let messages: u64 = here.map(within).sum();
        let share = u128::from(self.bytes) * u128::from(messages);
        // No more than `bytes`, which is a u64.
        (share / u128::from((self.offsets.end - self.offsets.start).max(1))) as u64
    }
}

/// A log from its base (exclusive) to its last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    base: Position,
    base_offset: Offset,
    last: Position,
    /// The offset after the last entry's last message.
    next_offset: Offset,
    /// The latest time of an entry.
    time: u64,
    /// Bytes of all entries up to the last, and up to the last one applied; from
    /// some point on, only differences mean anything.
    bytes: u64,
    applied_bytes: u64,
    /// The first position of each epoch that has entries, from index 1 on.
    history: Vec<Position>,
    /// Those of them whose leader may have lacked what was committed (§6.3).
    unclean: Vec<Position>,
    whole: Whole,
    marks: Marks,
    /// Unapplied entries, dense up to `last`.
    pending: VecDeque<Pending>,
    /// Bytes held by `pending`, and how many of its front entries hold none.
    held: usize,
    dropped: usize,
    /// Bytes and entries since the last checkpoint.
    pub(crate) grown_bytes: u64,
    pub(crate) grown_entries: u64,
}

impl Log {
    pub(crate) fn from_checkpoint(
        base: Position,
        base_offset: Offset,
        (history, unclean, whole): (Vec<Position>, Vec<Position>, Whole),
        marks: Marks,
        (last, next_offset, time): (Position, Offset, u64),
        bytes: u64,
    ) -> Self {
        let (applied_bytes, default) = (bytes, Self::default());
        Self {
            base,
            base_offset,
            last,
            next_offset,
            time,
            bytes,
            applied_bytes,
            history,
            unclean,
            whole,
            marks,
            ..default
        }
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    /// The offset of the first message after the base.
    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn last(&self) -> Position {
        self.last
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The latest time of any entry that was ever in it: no later one is earlier.
    pub(crate) fn time(&self) -> u64 {
        self.time
    }

    /// Bytes of the entries up to the last one applied.
    pub(crate) fn applied_bytes(&self) -> u64 {
        self.applied_bytes
    }

    pub(crate) fn history(&self) -> &[Position] {
        &self.history
    }

    /// The starts of epochs that are marked unclean, oldest first.
    pub(crate) fn unclean(&self) -> &[Position] {
        &self.unclean
    }

    /// The last of them, 0 if there is none.
    pub(crate) fn last_unclean(&self) -> Position {
        self.unclean.last().copied().unwrap_or_default()
    }

    pub(crate) fn whole(&self) -> Whole {
        self.whole
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.holds(self.whole.at)
    }

    /// The next offset behind a gap of numbers that other logs may have given to
    /// messages that are missing here (§6.3): one for each of so many unclean
    /// elections that is not in this log.
    pub(crate) fn behind_gap(&self, elections: u64) -> Offset {
        let missing = elections.saturating_sub(self.unclean.len() as u64).max(1);
        Offset(self.next_offset.0.saturating_add(missing.saturating_mul(GAP)))
    }

    /// Leaves that gap.
    pub(crate) fn leave_gap(&mut self, elections: u64) {
        self.next_offset = self.behind_gap(elections);
    }

    pub(crate) fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The position at this index, `None` beyond the last entry. The history
    /// reaches below the base, so this does too.
    pub(crate) fn position_at(&self, index: Index) -> Option<Position> {
        if index > self.last.index {
            return None;
        }
        Some(position_in(&self.history, index))
    }

    /// Whether the log has, or had before its base, exactly this entry (§5.2).
    pub(crate) fn holds(&self, position: Position) -> bool {
        self.position_at(position.index) == Some(position)
    }

    /// The highest index at which this log and one of that history and length
    /// have the same entry, and so all before it (§5.2).
    pub(crate) fn common_with(&self, history: &[Position], last: Position) -> Index {
        let mut index = self.last.index.min(last.index);
        while index > Index(0) {
            let (ours, theirs) = (segment(&self.history, index), segment(history, index));
            if ours.epoch == theirs.epoch {
                return index;
            }
            // Neither segment's entries from the later of the two starts on are
            // shared: an entry belongs to one epoch.
            // (A peer's history may be nonsense: it must end all the same.)
            index = Index(ours.index.max(theirs.index).min(index).0.saturating_sub(1));
        }
        Index(0)
    }

    /// Appends an entry; the caller has seen to it that it follows the last.
    pub(crate) fn push(&mut self, entry: Entry, bytes: Bytes) {
        if self.history.last().is_none_or(|last| last.epoch < entry.position.epoch) {
            self.history.push(entry.position);
        }
        if entry.is_unclean_start() {
            self.unclean.push(entry.position);
        }
        self.last = entry.position;
        self.time = self.time.max(entry.time);
        if entry.messages > 0 {
            // By its own time, not the log's: that may be of an entry since truncated.
            let (offset, index) = (entry.first_offset, entry.position.index);
            self.marks.push(Mark { offset, index, bytes: self.bytes, time: entry.time });
        }
        self.next_offset = self.next_offset.max(Offset(entry.offsets().end));
        self.grown_bytes += bytes.len() as u64;
        self.grown_entries += 1;
        self.held += bytes.len();
        self.bytes += bytes.len() as u64;
        self.pending.push_back(Pending { entry, body: Body::Whole(bytes), end: self.bytes });
    }

    /// Drops the entries from this index on; they are all unapplied.
    pub(crate) fn truncate(&mut self, from: Index, applied_next_offset: Offset) {
        while self.pending.back().is_some_and(|pending| pending.entry.position.index >= from) {
            if let Some(pending) = self.pending.pop_back() {
                self.held -= pending.bytes().map_or(0, Bytes::len);
            }
        }
        self.dropped = self.dropped.min(self.pending.len());
        while self.history.last().is_some_and(|first| first.index >= from) {
            self.history.pop();
        }
        while self.unclean.last().is_some_and(|start| start.index >= from) {
            self.unclean.pop();
        }
        self.last = match from.0.saturating_sub(1) {
            0 => Position::default(),
            index => position_in(&self.history, Index(index)),
        };
        self.marks.truncate(from);
        self.bytes = self.pending.back().map_or(self.applied_bytes, |pending| pending.end);
        self.next_offset =
            self.pending.back().map_or(applied_next_offset, |pending| Offset(pending.entry.offsets().end));
    }

    /// The unapplied entry at this index.
    pub(crate) fn pending(&self, index: Index) -> Option<&Pending> {
        let first = self.pending.front()?.entry.position.index;
        self.pending.get(usize::try_from(index.0.checked_sub(first.0)?).ok()?)
    }

    /// All unapplied entries.
    pub(crate) fn all_pending(&self) -> impl Iterator<Item = &Pending> {
        self.pending.iter()
    }

    /// Takes the first unapplied entry out: it is being applied.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.held -= pending.bytes().map_or(0, Bytes::len);
        self.dropped = self.dropped.saturating_sub(1);
        self.applied_bytes = pending.end;
        Some(pending)
    }

    /// Lets go of the bytes of the oldest unapplied entries, as long as there
    /// are more than `bound` and the entries can be read back.
    pub(crate) fn trim(&mut self, bound: usize, durable: Index) {
        while self.held > bound {
            let Some(pending) = self.pending.get_mut(self.dropped) else { return };
            if pending.entry.position.index > durable {
                return;
            }
            self.held -= pending.bytes().map_or(0, Bytes::len);
            pending.body = Body::Stored(pending.weights());
            self.dropped += 1;
        }
    }

    /// An entry at or before the one that holds the offset, after the base.
    pub(crate) fn locate(&self, offset: Offset) -> Index {
        self.marks.locate(offset).map_or(Index(0), |mark| mark.index).max(self.base.index.next())
    }

    /// The log from the part on that holds the offset, in parts: the first offset
    /// of each, bytes from there to the end, and when it begins.
    pub(crate) fn parts(&self, from: Offset) -> impl Iterator<Item = (Offset, u64, u64)> {
        let first = self.marks.marks.partition_point(|mark| mark.offset <= from).saturating_sub(1);
        self.marks.marks.range(first..).map(|mark| (mark.offset, self.bytes - mark.bytes, mark.time))
    }

    /// About how many bytes of entries that are applied it holds.
    pub(crate) fn span(&self) -> u64 {
        self.marks.marks.front().map_or(0, |mark| self.applied_bytes.saturating_sub(mark.bytes))
    }

    /// The log from this entry, or a little before it, to the last one applied, as
    /// far as it has messages.
    pub(crate) fn sections(&self, from: Index, applied: Index, end: Offset) -> impl Iterator<Item = Section> {
        let marks = &self.marks.marks;
        let first = marks.partition_point(|mark| mark.index <= from).saturating_sub(1);
        let behind = marks.partition_point(|mark| mark.index <= applied).max(first);
        let bytes = self.applied_bytes;
        (first..behind).map(move |nth| {
            let mark = marks[nth];
            let next = if nth + 1 < behind { marks.get(nth + 1) } else { None };
            let (last, offset, bytes) =
                next.map_or((applied, end, bytes), |next| (next.index.before(), next.offset, next.bytes));
            let offsets = mark.offset.0..offset.0.max(mark.offset.0);
            Section { last, offsets, bytes: bytes.saturating_sub(mark.bytes) }
        })
    }

    /// Applied entries take so many bytes less: ascending.
    pub(crate) fn shrink(&mut self, saved: &[(Index, u64)]) {
        let mut before = saved.iter().peekable();
        let mut less = 0;
        for mark in &mut self.marks.marks {
            while let Some((_, bytes)) = before.next_if(|(index, _)| *index < mark.index) {
                less += bytes;
            }
            mark.bytes = mark.bytes.saturating_sub(less);
        }
        less += before.map(|(_, bytes)| bytes).sum::<u64>();
        let pending = self.pending.iter_mut().map(|pending| &mut pending.end);
        for bytes in pending.chain([&mut self.bytes, &mut self.applied_bytes]) {
            *bytes = bytes.saturating_sub(less);
        }
    }

    /// The entries among which that of the offset is, if it is in the log.
    pub(crate) fn around(&self, offset: Offset) -> Range<Index> {
        self.between(self.marks.marks.partition_point(|mark| mark.offset <= offset))
    }

    /// The entries among which is the last one that is earlier than this, if one is.
    pub(crate) fn around_time(&self, time: u64) -> Range<Index> {
        self.between(self.marks.marks.partition_point(|mark| mark.time < time))
    }

    /// The entries before the nth mark, from the mark before it on.
    fn between(&self, nth: usize) -> Range<Index> {
        let index = |nth: usize| self.marks.marks.get(nth).map(|mark| mark.index);
        let first = nth.checked_sub(1).and_then(index).unwrap_or_default().max(self.base.index.next());
        first..index(nth).unwrap_or(self.last.index.next()).max(first)
    }

    /// Moves the base up to just before a mark at or before `offset`, but not
    /// beyond `limit`; returns the last index released, if any.
    pub(crate) fn release_before(&mut self, offset: Offset, limit: Index) -> Option<Index> {
        let mark = self.marks.release_point(offset, limit)?;
        self.release_to(Index(mark.index.0 - 1), mark.offset)
    }

    /// Moves the base up to `index`, after which messages begin at `next_offset`.
    pub(crate) fn release_to(&mut self, index: Index, next_offset: Offset) -> Option<Index> {
        if index <= self.base.index {
            return None;
        }
        self.base = position_in(&self.history, index);
        self.base_offset = next_offset;
        self.marks.release(index);
        Some(index)
    }
}

/// The segment of the history that the index lies in.
fn segment(history: &[Position], index: Index) -> Position {
    let after = history.partition_point(|first| first.index <= index);
    after.checked_sub(1).and_then(|nth| history.get(nth)).copied().unwrap_or_default()
}

/// The position at this index, which the history reaches.
pub(crate) fn position_in(history: &[Position], index: Index) -> Position {
    if index == Index(0) {
        return Position::default();
    }
    Position { epoch: segment(history, index).epoch, index }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::codec::Reader;
    use crate::marks::MARKS;
    use crate::types::Epoch;

    fn at(epoch: u64, index: u64) -> Position {
        Position { epoch: Epoch(epoch), index: Index(index) }
    }

    fn log(positions: &[Position]) -> Log {
        let mut log = Log::default();
        for position in positions {
            let entry = Entry {
                position: *position,
                first_offset: Offset(position.index.0 * 10),
                time: 0,
                messages: 10,
                expiring: false,
                records: Vec::new(),
            };
            log.push(entry, Bytes::from_static(b"entry"));
        }
        log
    }

    #[test]
    fn an_entry_is_held_only_with_its_own_epoch() {
        let log = log(&[at(1, 1), at(1, 2), at(3, 3)]);
        assert!(log.holds(at(1, 2)) && log.holds(at(3, 3)) && log.holds(Position::default()));
        assert!(!log.holds(at(1, 3)) && !log.holds(at(3, 4)) && !log.holds(at(2, 2)));
    }

    /// §5.2: the point of divergence of logs with several unshared epochs.
    #[test]
    fn the_common_point_is_found_across_unshared_epochs() {
        let leader = log(&[at(1, 1), at(1, 2), at(3, 3), at(5, 4), at(5, 5)]);
        let common = |positions: &[Position]| {
            let mirror = log(positions);
            leader.common_with(mirror.history(), mirror.last())
        };
        assert_eq!(common(&[at(1, 1), at(1, 2), at(1, 3), at(4, 4), at(4, 5), at(4, 6)]), Index(2));
        assert_eq!(common(&[at(1, 1), at(1, 2), at(3, 3), at(3, 4)]), Index(3));
        assert_eq!(common(&[at(2, 1), at(2, 2)]), Index(0));
        assert_eq!(common(&[at(1, 1), at(1, 2), at(3, 3), at(5, 4), at(5, 5)]), Index(5));
        assert_eq!(common(&[]), Index(0));
        let nonsense = [at(9, 7), at(8, u64::MAX), at(2, 3)];
        assert!(leader.common_with(&nonsense, at(9, u64::MAX)) <= Index(5));
    }

    #[test]
    fn truncation_takes_epochs_marks_and_offsets_along() {
        let mut log = log(&[at(1, 1), at(2, 2), at(3, 3)]);
        log.truncate(Index(2), Offset(0));
        assert_eq!((log.last(), log.next_offset(), log.history().len()), (at(1, 1), Offset(20), 1));
        log.truncate(Index(1), Offset(0));
        assert_eq!((log.last(), log.next_offset(), log.locate(Offset(50))), (at(0, 0), Offset(0), Index(1)));
    }

    #[test]
    fn marks_stay_bounded_and_never_point_behind_the_offset() {
        let positions: Vec<_> = (1..=10_000).map(|index| at(1, index)).collect();
        let mut log = log(&positions);
        assert!(log.marks.marks.len() <= MARKS);
        for offset in [10, 11, 5_000, 77_777, 100_009] {
            let index = log.locate(Offset(offset));
            assert!(index.0 * 10 <= offset && index.0 * 10 + 200 > offset, "{offset} at {index}");
        }
        let released = log.release_before(Offset(50_000), Index(9_000)).map(|index| index.0);
        assert!(released.is_some_and(|index| index < 5_000 && index > 4_900), "{released:?}");
        assert_eq!(log.base().index.0, released.unwrap_or(0));
        assert!(log.locate(Offset(0)) > log.base().index);
        assert_eq!(log.base_offset().0, (log.base().index.0 + 1) * 10);
    }

    /// What a stream's retention and its readers go by.
    #[test]
    fn parts_know_bytes_and_times_also_after_a_checkpoint_and_a_truncation() {
        let entry = |index: u64| Entry {
            position: at(1, index),
            first_offset: Offset(index * 10),
            time: 1_000 * (index / 2),
            messages: 10,
            expiring: false,
            records: Vec::new(),
        };
        let mut log = Log::default();
        for index in 1..=6 {
            log.push(entry(index), Bytes::from(vec![0; 100]));
        }
        log.truncate(Index(6), Offset(0));
        assert_eq!(
            log.parts(Offset(35)).collect::<Vec<_>>(),
            [(Offset(30), 300, 1_000), (Offset(40), 200, 2_000), (Offset(50), 100, 2_000)]
        );
        assert_eq!((log.around(Offset(35)), log.around(Offset(500))), (Index(3)..Index(4), Index(5)..Index(6)));
        assert_eq!(log.around_time(1_500), Index(3)..Index(4));
        assert_eq!((log.around_time(0), log.around_time(9_999)), (Index(1)..Index(1), Index(5)..Index(6)));
        for _ in 0..3 {
            log.pop();
        }
        // What was truncated leaves no trace in the times of what follows.
        let mut other = Log::default();
        other.push(entry(1), Bytes::from(vec![0; 100]));
        other.push(Entry { time: 9_000, ..entry(2) }, Bytes::from(vec![0; 100]));
        other.truncate(Index(2), Offset(0));
        other.push(entry(2), Bytes::from(vec![0; 50]));
        assert_eq!(other.parts(Offset(20)).collect::<Vec<_>>(), [(Offset(20), 50, 1_000)]);
        let mut out = BytesMut::new();
        log.marks().up_to(Index(3)).encode(&mut out);
        let marks = Marks::decode(&mut Reader::new(&out)).unwrap_or_default();
        let end = (at(1, 3), Offset(40), 1_000);
        let history = log.history().to_vec();
        let mut again = Log::from_checkpoint(
            Position::default(),
            Offset(0),
            (history, Vec::new(), Whole::default()),
            marks,
            end,
            log.applied_bytes(),
        );
        for index in 4..=5 {
            again.push(entry(index), Bytes::from(vec![0; 100]));
        }
        assert_eq!(again.parts(Offset(0)).collect::<Vec<_>>(), log.parts(Offset(0)).collect::<Vec<_>>());
    }

    #[test]
    fn trimming_keeps_what_is_not_durable() {
        let mut log = log(&[at(1, 1), at(1, 2), at(1, 3)]);
        log.trim(0, Index(2));
        let whole: Vec<bool> = log.all_pending().map(|pending| pending.bytes().is_some()).collect();
        assert_eq!(whole, [false, false, true]);
    }
}
