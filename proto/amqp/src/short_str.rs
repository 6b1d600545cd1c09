//! [`ShortStr`]: a string of at most 255 octets, shared with the buffer that it
//! was read from.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};

use bytes::Bytes;
use thiserror::Error;

use crate::wire::WireError;

/// A short string: at most [`ShortStr::MAX`] octets. A clone is a reference
/// count, not a copy; [`ShortStr::detached`] copies, for what outlives its read
/// buffer.
///
/// It is UTF-8 where RabbitMQ asks for it: in all methods but those with
/// content, whose exchange and routing key may be any octets. So look names up
/// and route by [`ShortStr::as_bytes`], and show them by [`ShortStr::as_str`].
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ShortStr(Bytes);

/// More than [`ShortStr::MAX`] octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} octets are more than the 255 of a short string")]
pub struct TooLong(pub usize);

impl ShortStr {
    /// The most octets that a short string has.
    pub const MAX: usize = 255;

    /// The empty string.
    pub const EMPTY: ShortStr = ShortStr(Bytes::new());

    /// From a literal; use it in a `const`, where one that is too long does not compile.
    ///
    /// # Panics
    /// Outside of a `const`, when `text` is longer than [`ShortStr::MAX`].
    pub const fn from_static(text: &'static str) -> Self {
        assert!(text.len() <= Self::MAX);
        ShortStr(Bytes::from_static(text.as_bytes()))
    }

    /// From octets of the wire: at most 255 by their length octet.
    #[inline]
    pub(crate) fn from_octets(octets: Bytes) -> Self {
        ShortStr(octets)
    }

    /// From octets of the wire: at most 255 by their length octet.
    #[inline]
    pub(crate) fn from_utf8(octets: Bytes) -> Result<Self, WireError> {
        match std::str::from_utf8(&octets) {
            Ok(_) => Ok(ShortStr(octets)),
            Err(_) => Err(WireError::Utf8),
        }
    }

    /// The text, up to the first octet that is not UTF-8.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.0.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }

    /// The octets: what hot paths hash and compare.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The octets, shared.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// A copy that does not keep the read buffer alive.
    pub fn detached(&self) -> Self {
        ShortStr(Bytes::copy_from_slice(&self.0))
    }

    /// Length in octets.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing in it.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The longest beginning of `text` that fits: for reply texts.
    pub fn truncated(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        ShortStr(Bytes::copy_from_slice(text.as_bytes().get(..end).unwrap_or_default()))
    }
}

impl TryFrom<&str> for ShortStr {
    type Error = TooLong;

    fn try_from(text: &str) -> Result<Self, TooLong> {
        if text.len() > Self::MAX {
            return Err(TooLong(text.len()));
        }
        Ok(ShortStr(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl TryFrom<String> for ShortStr {
    type Error = TooLong;

    fn try_from(text: String) -> Result<Self, TooLong> {
        if text.len() > Self::MAX {
            return Err(TooLong(text.len()));
        }
        Ok(ShortStr(Bytes::from(text)))
    }
}

impl TryFrom<Bytes> for ShortStr {
    type Error = WireError;

    fn try_from(octets: Bytes) -> Result<Self, WireError> {
        if octets.len() > Self::MAX {
            return Err(WireError::Truncated);
        }
        ShortStr::from_utf8(octets)
    }
}

impl Hash for ShortStr {
    // As `[u8]`, so that maps can be asked by octets.
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl Borrow<[u8]> for ShortStr {
    #[inline]
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl AsRef<str> for ShortStr {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for ShortStr {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for ShortStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl fmt::Display for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ShortStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}
