//! What a message of the load generator carries at the beginning of its body:
//! enough to tell, at the consumer, order, loss, duplicates and age.

use bytes::{BufMut, Bytes, BytesMut};

/// Octets of a stamp, and so the least that a message has.
pub const STAMP_SIZE: usize = 28;

const MAGIC: u32 = 0x5741_5252;

/// Who sent a message, which of theirs it is, and when it should have been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Of this run of the generator, so that leftovers of another are not counted.
    pub run: u32,
    /// Which publisher.
    pub publisher: u32,
    /// Its how-manieth message, from 0.
    pub sequence: u64,
    /// When it was to be sent, in nanoseconds since the run's beginning.
    pub intended: u64,
}

impl Stamp {
    /// Reads the stamp of a body; `None` if it has none.
    #[must_use]
    pub fn read(body: &[u8]) -> Option<Self> {
        let (magic, rest) = body.split_first_chunk::<4>()?;
        let (run, rest) = rest.split_first_chunk::<4>()?;
        let (publisher, rest) = rest.split_first_chunk::<4>()?;
        let (sequence, rest) = rest.split_first_chunk::<8>()?;
        let (intended, _) = rest.split_first_chunk::<8>()?;
        (u32::from_be_bytes(*magic) == MAGIC).then_some(Self {
            run: u32::from_be_bytes(*run),
            publisher: u32::from_be_bytes(*publisher),
            sequence: u64::from_be_bytes(*sequence),
            intended: u64::from_be_bytes(*intended),
        })
    }
}

/// Makes bodies of one size.
#[derive(Debug)]
pub struct Bodies {
    filling: Bytes,
    buffer: BytesMut,
}

impl Bodies {
    /// Of `size` octets, at least [`STAMP_SIZE`].
    #[must_use]
    pub fn new(size: usize) -> Self {
        let filling = (0..size.saturating_sub(STAMP_SIZE)).map(|i| (i % 251) as u8).collect();
        Self { filling, buffer: BytesMut::new() }
    }

    /// A body with this stamp.
    pub fn stamped(&mut self, stamp: &Stamp) -> Bytes {
        let size = STAMP_SIZE + self.filling.len();
        if self.buffer.capacity() < size {
            self.buffer.reserve(size.max(64 * 1024));
        }
        self.buffer.put_u32(MAGIC);
        self.buffer.put_u32(stamp.run);
        self.buffer.put_u32(stamp.publisher);
        self.buffer.put_u64(stamp.sequence);
        self.buffer.put_u64(stamp.intended);
        self.buffer.put_slice(&self.filling);
        self.buffer.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_written() {
        let stamp = Stamp { run: 7, publisher: 2, sequence: 1 << 40, intended: 99 };
        let mut bodies = Bodies::new(100);
        for _ in 0..3 {
            let body = bodies.stamped(&stamp);
            assert_eq!((body.len(), Stamp::read(&body)), (100, Some(stamp)));
        }
        assert_eq!(Stamp::read(&[0; 100]), None);
        assert_eq!(Stamp::read(&bodies.stamped(&stamp)[..27]), None);
    }
}
