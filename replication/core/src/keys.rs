//! The keys by which a queue knows messages that it has taken already, for as
//! long as they keep others with the same key out. Derived from records, so that
//! a new leader knows them; they outlive the messages that brought them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, BytesMut};

use crate::codec::{Malformed, Reader, Writer};

/// A hash of what a message is known by.
pub type Key = u128;

/// Keys with the time until which each holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Keys {
    until: BTreeMap<Key, u64>,
    ends: BTreeSet<(u64, Key)>,
}

impl Keys {
    /// Whether this key keeps others out at this time.
    #[must_use]
    pub fn holds(&self, key: Key, time: u64) -> bool {
        self.until.get(&key).is_some_and(|until| time < *until)
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    pub(crate) fn insert(&mut self, key: Key, until: u64) {
        if let Some(before) = self.until.insert(key, until) {
            self.ends.remove(&(before, key));
        }
        self.ends.insert((until, key));
    }

    /// Forgets a key that holds until then, unless it was taken anew.
    pub(crate) fn remove(&mut self, key: Key, until: u64) {
        if self.ends.remove(&(until, key)) {
            self.until.remove(&key);
        }
    }

    /// Forgets those whose time is over, and of more than `most` the ones that
    /// would go first.
    pub(crate) fn trim(&mut self, time: u64, most: usize) {
        while let Some(&(until, key)) = self.ends.first()
            && (until <= time || self.ends.len() > most)
        {
            self.ends.pop_first();
            self.until.remove(&key);
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_varint(self.ends.len() as u64);
        for (until, key) in &self.ends {
            out.put_varint(*until);
            out.put_u128_le(*key);
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut keys = Self::default();
        for _ in 0..from.count(17)? {
            let until = from.varint()?;
            keys.insert(from.u128()?, until);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_hold_for_their_time_and_the_oldest_make_room() {
        let mut keys = Keys::default();
        for (key, until) in [(1, 10), (2, 20), (3, 30), (1, 25)] {
            keys.insert(key, until);
        }
        assert!(keys.holds(1, 24) && !keys.holds(1, 25) && !keys.holds(4, 0));
        let mut bytes = BytesMut::new();
        keys.encode(&mut bytes);
        assert_eq!(Keys::decode(&mut Reader::new(&bytes)).unwrap(), keys);
        keys.remove(1, 10);
        assert!(keys.holds(1, 24), "it was taken anew");
        keys.trim(20, 9);
        assert_eq!((keys.len(), keys.holds(2, 0)), (2, false));
        keys.trim(20, 1);
        assert!(keys.holds(3, 0) && !keys.holds(1, 0));
    }
}
