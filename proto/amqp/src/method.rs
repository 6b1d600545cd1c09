//! What all methods have in common; the methods themselves are in
//! `generated.rs`.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::ErrorKind;
use crate::generated::Method;
use crate::wire::{Cursor, WireError};

/// Class and method number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MethodId {
    /// Of the class.
    pub class: u16,
    /// Of the method in its class.
    pub method: u16,
}

impl fmt::Display for MethodId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{},{}}}", self.class, self.method)
    }
}

/// A method's arguments.
pub trait Arguments: Sized {
    /// Class and method number.
    const ID: MethodId;
    /// As in `basic.publish`.
    const NAME: &'static str;
    /// Whether a header and body follow.
    const CONTENT: bool;
    /// Whether the sender waits for an answer.
    const SYNCHRONOUS: bool;

    /// Reads them.
    fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError>;

    /// Writes them.
    fn encode(&self, to: &mut BytesMut);

    /// [`Arguments::ID`].
    fn id(&self) -> MethodId {
        Self::ID
    }

    /// [`Arguments::NAME`].
    fn name(&self) -> &'static str {
        Self::NAME
    }

    /// [`Arguments::CONTENT`].
    fn has_content(&self) -> bool {
        Self::CONTENT
    }

    /// [`Arguments::SYNCHRONOUS`].
    fn is_synchronous(&self) -> bool {
        Self::SYNCHRONOUS
    }
}

impl Method {
    /// A method frame's payload, to its last octet.
    #[inline]
    pub fn decode(payload: &Bytes) -> Result<Self, ErrorKind> {
        Method::read(&mut Cursor::new(payload))
    }

    #[inline]
    pub(crate) fn read(from: &mut Cursor<'_>) -> Result<Self, ErrorKind> {
        let method = match (from.u16(), from.u16()) {
            (Ok(class), Ok(method)) => MethodId { class, method },
            _ => {
                return Err(ErrorKind::Payload { method: MethodId::default(), error: WireError::Truncated });
            }
        };
        let malformed = |error| ErrorKind::Payload { method, error };
        let Some(decoded) = Method::decode_arguments(method, from).map_err(malformed)? else {
            return Err(ErrorKind::UnknownMethod(method));
        };
        from.finish().map_err(malformed)?;
        Ok(decoded)
    }

    /// The payload of a method frame.
    pub fn encode(&self, to: &mut BytesMut) {
        let id = self.id();
        to.put_u16(id.class);
        to.put_u16(id.method);
        self.encode_arguments(to);
    }
}
