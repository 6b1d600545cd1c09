//! A read of a queue's own log on its way to one message: where it is asked for
//! next, if the entries read do not get there.

use warren_replication::types::Index;

/// What is asked of the store next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The entry that holds this offset.
    Offset(u64),
    /// The entries from here on: the offset was not among those before.
    Index(Index, u64),
}

#[derive(Debug, Default)]
pub(crate) struct Seek {
    /// The request under way, and the message that it is about.
    reading: Option<(u64, u64)>,
    next: Option<(Index, u64)>,
}

impl Seek {
    /// Whether an answer is awaited.
    pub(crate) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }

    /// Where a search that fell short goes on; said once.
    pub(crate) fn next(&mut self) -> Option<Wanted> {
        self.next.take().map(|(index, offset)| Wanted::Index(index, offset))
    }

    /// The read was asked for under this number.
    pub(crate) fn asked(&mut self, request: u64, wanted: Wanted) {
        let (Wanted::Offset(want) | Wanted::Index(_, want)) = wanted;
        self.reading = Some((request, want));
    }

    /// The answer is here: which message it is about, if it is the one awaited.
    pub(crate) fn answered(&mut self, request: u64) -> Option<u64> {
        self.reading.take_if(|(asked, _)| *asked == request).map(|(_, want)| want)
    }

    /// The entries began before the message wanted and ended here without it.
    pub(crate) fn fell_short(&mut self, last: Option<Index>, want: u64) {
        self.next = last.map(|index| (index.next(), want));
    }
}
