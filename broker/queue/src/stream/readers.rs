//! Readers of a stream: where each is, how much room it has, and whose turn it
//! is. A turn gives one reader a run of messages; it costs by the reader that has
//! something to get, never by those that wait for room or for the log to grow.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::consumers::Window;

/// What a reader is given next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<K> {
    /// Whose turn it is.
    pub key: K,
    /// The first message that it has not been given.
    pub next: u64,
    /// At most so many messages, never 0.
    pub messages: usize,
    /// About so many bytes; the message that crosses it still goes.
    pub bytes: u64,
}

/// What a reader waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// Its turn.
    Turn,
    /// Room: acknowledgements, or its socket.
    Room,
    /// The log to grow.
    End,
    /// Its messages to be fetched.
    Fetch,
    /// Its place to be found.
    Place,
}

#[derive(Debug)]
struct Reader {
    /// The first message that it has not been given.
    next: u64,
    /// Unacknowledged messages that it may have.
    prefetch: u32,
    unacked: u32,
    /// Weights of the messages not yet written, oldest first.
    unwritten: VecDeque<u32>,
    unwritten_bytes: u64,
    waits: Waits,
}

impl Reader {
    /// Messages and bytes that it has room for.
    fn room(&self, window: Window) -> (usize, u64) {
        let credit = self.prefetch.saturating_sub(self.unacked) as usize;
        let messages = credit.min(window.messages.saturating_sub(self.unwritten.len()));
        (messages, window.bytes.saturating_sub(self.unwritten_bytes))
    }

    fn has_room(&self, window: Window) -> bool {
        let (messages, bytes) = self.room(window);
        messages > 0 && bytes > 0
    }
}

/// The readers of one stream.
#[derive(Debug)]
pub struct Readers<K> {
    window: Window,
    readers: FxHashMap<K, Reader>,
    /// Attach order, for those who look at all of them.
    order: Vec<K>,
    /// Those that wait for a turn; some may have left or wait for something else.
    turns: VecDeque<K>,
    /// Those that wait for the log to grow, likewise.
    at_end: Vec<K>,
    /// The offset after the last message that may be read.
    end: u64,
}

impl<K: Copy + Eq + Hash> Readers<K> {
    /// None yet; messages below `end` may be read.
    #[must_use]
    pub fn new(window: Window, end: u64) -> Self {
        Self {
            window,
            readers: FxHashMap::default(),
            order: Vec::new(),
            turns: VecDeque::new(),
            at_end: Vec::new(),
            end,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// All of them in attach order.
    #[must_use]
    pub fn keys(&self) -> Vec<K> {
        self.order.clone()
    }

    /// Whether this one is here.
    #[must_use]
    pub fn contains(&self, key: &K) -> bool {
        self.readers.contains_key(key)
    }

    /// The first message that this reader has not been given; 0 while its place is
    /// being found.
    #[must_use]
    pub fn next(&self, key: &K) -> Option<u64> {
        self.readers.get(key).map(|reader| reader.next)
    }

    /// Messages given and not acknowledged, of all readers.
    #[must_use]
    pub fn unacked(&self) -> u64 {
        self.readers.values().map(|reader| u64::from(reader.unacked)).sum()
    }

    /// Whether one of them has, or will have as soon as something is published,
    /// nothing more to read.
    #[must_use]
    pub fn is_one_at_the_end(&self) -> bool {
        !self.at_end.is_empty()
    }

    /// The offset after the last message that may be read.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Attaches a reader, or one anew: nothing is on its way to it. It goes on at
    /// `next`, or as soon as [`Self::found`] says where.
    pub fn attach(&mut self, key: K, next: Option<u64>, prefetch: u32, unacked: u32) {
        let reader = Reader {
            next: next.unwrap_or(0),
            prefetch,
            unacked,
            unwritten: VecDeque::new(),
            unwritten_bytes: 0,
            waits: Waits::Place,
        };
        if self.readers.insert(key, reader).is_none() {
            self.order.push(key);
        }
        if let Some(next) = next {
            self.found(&key, next);
        }
    }

    /// The place of a reader is found. False if it has one, or is gone.
    pub fn found(&mut self, key: &K, next: u64) -> bool {
        let Some(reader) = self.readers.get_mut(key).filter(|reader| reader.waits == Waits::Place) else {
            return false;
        };
        reader.next = next;
        reader.waits = Waits::Room;
        self.wait(*key);
        true
    }

    /// Takes a reader away; false if there was none.
    pub fn detach(&mut self, key: &K) -> bool {
        if self.readers.remove(key).is_none() {
            return false;
        }
        self.order.retain(|other| other != key);
        self.at_end.retain(|other| other != key);
        self.turns.retain(|other| other != key);
        true
    }

    /// So many of its messages reached the socket.
    pub fn written(&mut self, key: &K, messages: u32) {
        let Some(reader) = self.readers.get_mut(key) else { return };
        let count = (messages as usize).min(reader.unwritten.len());
        for weight in reader.unwritten.drain(..count) {
            reader.unwritten_bytes -= u64::from(weight);
        }
        self.wait_for_turn(*key);
    }

    /// So many of its messages were acknowledged.
    pub fn acked(&mut self, key: &K, messages: u32) {
        let Some(reader) = self.readers.get_mut(key) else { return };
        reader.unacked = reader.unacked.saturating_sub(messages);
        self.wait_for_turn(*key);
    }

    /// Messages below this may be read now.
    pub fn extend(&mut self, end: u64) {
        if end <= self.end {
            return;
        }
        self.end = end;
        for key in std::mem::take(&mut self.at_end) {
            if let Some(reader) = self.readers.get_mut(&key).filter(|reader| reader.waits == Waits::End) {
                reader.waits = Waits::Room;
                self.wait(key);
            }
        }
    }

    /// The next turn, to be answered by [`Self::gave`].
    pub fn turn(&mut self) -> Option<Turn<K>> {
        while let Some(key) = self.turns.pop_front() {
            let Some(reader) = self.readers.get_mut(&key).filter(|reader| reader.waits == Waits::Turn) else {
                continue;
            };
            reader.waits = Waits::Fetch;
            let (messages, bytes) = reader.room(self.window);
            return Some(Turn { key, next: reader.next, messages, bytes });
        }
        None
    }

    /// It was given messages of these weights, in its turn or since, and goes on
    /// at `next`; with `starved`, only once they were [fetched](Self::fetched).
    pub fn gave(&mut self, key: &K, weights: impl Iterator<Item = u32>, next: u64, starved: bool) {
        let Some(reader) = self.readers.get_mut(key) else { return };
        for weight in weights {
            reader.unwritten.push_back(weight);
            reader.unwritten_bytes += u64::from(weight);
            reader.unacked = reader.unacked.saturating_add(1);
        }
        reader.next = next;
        if starved && next < self.end {
            reader.waits = Waits::Fetch;
        } else {
            reader.waits = Waits::Room;
            self.wait(*key);
        }
    }

    /// What it waits for is here: it gets another turn. Between its place and
    /// `next` there is nothing.
    pub fn fetched(&mut self, key: &K, next: u64) {
        if let Some(reader) = self.readers.get_mut(key).filter(|reader| reader.waits == Waits::Fetch) {
            reader.next = reader.next.max(next);
            reader.waits = Waits::Room;
            self.wait(*key);
        }
    }

    fn wait_for_turn(&mut self, key: K) {
        if self.readers.get(&key).is_some_and(|reader| reader.waits == Waits::Room) {
            self.wait(key);
        }
    }

    /// Finds out what a reader waits for, and lets it wait there.
    fn wait(&mut self, key: K) {
        let (window, end) = (self.window, self.end);
        let Some(reader) = self.readers.get_mut(&key) else { return };
        if reader.next >= end {
            reader.waits = Waits::End;
            self.at_end.push(key);
        } else if reader.has_room(window) {
            reader.waits = Waits::Turn;
            self.turns.push_back(key);
        } else {
            reader.waits = Waits::Room;
        }
    }
}
