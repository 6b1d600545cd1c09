//! Messages that are *consigned* to another site (§4.9): only that site's links
//! may be given them, until it settles them or gives them back. Derived state of
//! the log, part of the ledger.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::{Malformed, Reader, Writer};

/// The number under which a message is consigned, which no other consignment of
/// the queue ever has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consignment {
    /// The number.
    pub number: u64,
    /// The lowest of those that the site has not settled: nothing below it will be
    /// handed out again.
    pub floor: u64,
}

/// What is consigned, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Consigned {
    /// By offset: the site and the number.
    of: BTreeMap<u64, (Bytes, u64)>,
    /// By site: its numbers, each with the offset. As many as its links had room for.
    sites: BTreeMap<Bytes, BTreeMap<u64, u64>>,
}

impl Consigned {
    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The site that a message is consigned to.
    #[must_use]
    pub fn site(&self, offset: u64) -> Option<&Bytes> {
        self.of.get(&offset).map(|(site, _)| site)
    }

    /// The number under which a message is consigned, and its site's floor.
    #[must_use]
    pub fn consignment(&self, offset: u64) -> Option<Consignment> {
        let (site, number) = self.of.get(&offset)?;
        let (floor, _) = self.sites.get(site)?.first_key_value()?;
        Some(Consignment { number: *number, floor: *floor })
    }

    /// Offsets and sites, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Bytes)> {
        self.of.iter().map(|(offset, (site, _))| (*offset, site))
    }

    /// How many messages are consigned to this site.
    #[must_use]
    pub fn count(&self, site: &Bytes) -> u64 {
        self.sites.get(site).map_or(0, |numbers| numbers.len() as u64)
    }

    /// False if it is consigned already.
    pub(crate) fn insert(&mut self, offset: u64, site: &Bytes, number: u64) -> bool {
        if self.of.contains_key(&offset) {
            return false;
        }
        self.of.insert(offset, (site.clone(), number));
        self.sites.entry(site.clone()).or_default().insert(number, offset);
        true
    }

    /// What of this range was consigned is so no more.
    pub(crate) fn remove(&mut self, range: std::ops::Range<u64>, mut removed: impl FnMut(u64)) {
        while let Some((&offset, _)) = self.of.range(range.clone()).next() {
            let Some((site, number)) = self.of.remove(&offset) else { return };
            if let Some(numbers) = self.sites.get_mut(&site) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.sites.remove(&site);
                }
            }
            removed(offset);
        }
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_varint(self.sites.len() as u64);
        for (site, numbers) in &self.sites {
            put_site(out, site);
            out.put_varint(numbers.len() as u64);
            for (number, offset) in numbers {
                out.put_varint(*number);
                out.put_varint(*offset);
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut consigned = Self::default();
        for _ in 0..from.count(2)? {
            let site = site(from)?;
            for _ in 0..from.count(2)? {
                let number = from.varint()?;
                consigned.insert(from.varint()?, &site, number);
            }
        }
        Ok(consigned)
    }
}

/// A site's name; policies allow none of more than 64 octets.
pub(crate) fn put_site(out: &mut BytesMut, site: &Bytes) {
    let name = &site[..site.len().min(255)];
    out.put_u8(name.len() as u8);
    out.put_slice(name);
}

pub(crate) fn site(from: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    let length = usize::from(from.u8()?);
    from.bytes(length).map(Bytes::copy_from_slice)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_floor_is_the_lowest_number_of_the_site() {
        let (a, b) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"));
        let mut consigned = Consigned::default();
        assert!(consigned.insert(10, &a, 100) && consigned.insert(5, &a, 101) && consigned.insert(7, &b, 102));
        assert!(!consigned.insert(5, &b, 103));
        assert_eq!(consigned.consignment(5), Some(Consignment { number: 101, floor: 100 }));
        assert_eq!(consigned.consignment(7), Some(Consignment { number: 102, floor: 102 }));
        let mut bytes = BytesMut::new();
        consigned.encode(&mut bytes);
        assert_eq!(Consigned::decode(&mut Reader::new(&bytes)).unwrap(), consigned);
        let mut gone = Vec::new();
        consigned.remove(6..11, |offset| gone.push(offset));
        assert_eq!(gone, [7, 10]);
        assert_eq!(consigned.consignment(5), Some(Consignment { number: 101, floor: 101 }));
        assert_eq!((consigned.count(&a), consigned.count(&b)), (1, 0));
    }
}
