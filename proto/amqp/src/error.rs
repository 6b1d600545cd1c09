//! What can be wrong with input, and which reply code says so.

use thiserror::Error;

use crate::generated::ReplyCode;
use crate::method::MethodId;
use crate::wire::WireError;

/// Input that cannot be a frame, or a frame whose inside cannot be read. The
/// connection is closed with [`FrameError::reply_code`]; reading on makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("channel {channel}: {kind}")]
pub struct FrameError {
    /// Which channel the frame was for, as far as it was read.
    pub channel: u16,
    /// What is wrong.
    #[source]
    pub kind: ErrorKind,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ErrorKind {
    /// A frame type that nobody knows: probably not AMQP, or out of step.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// The length field says more than was agreed; nothing of it was buffered.
    #[error("frame of {size} octets is larger than the agreed {max}")]
    TooLarge {
        /// Payload and the eight octets around it.
        size: u64,
        /// The agreed limit, with the same eight octets.
        max: u32,
    },
    /// A frame does not end in 206.
    #[error("invalid frame end marker {0:#04x}")]
    End(u8),
    /// A heartbeat frame with a payload.
    #[error("heartbeat frame with a payload")]
    Heartbeat,
    /// No method has these numbers.
    #[error("unknown method {0}")]
    UnknownMethod(MethodId),
    /// A method's arguments cannot be read.
    #[error("cannot decode method {method}: {error}")]
    Payload {
        /// Which method.
        method: MethodId,
        /// What is wrong with it.
        error: WireError,
    },
    /// A content header cannot be read.
    #[error("cannot decode content header: {0}")]
    Header(WireError),
}

impl FrameError {
    /// The code to close the connection with.
    pub fn reply_code(&self) -> ReplyCode {
        self.kind.reply_code()
    }

    /// The method at fault, for `connection.close`; {0,0} if it is none's.
    pub fn method(&self) -> MethodId {
        match self.kind {
            ErrorKind::UnknownMethod(method) | ErrorKind::Payload { method, .. } => method,
            _ => MethodId::default(),
        }
    }
}

impl ErrorKind {
    /// The code to close the connection with.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            ErrorKind::UnknownMethod(_) => ReplyCode::CommandInvalid,
            ErrorKind::Payload { error, .. } | ErrorKind::Header(error) => error.reply_code(),
            _ => ReplyCode::FrameError,
        }
    }
}

impl WireError {
    /// The code to close the connection with: 501 for fields that do not fit
    /// their frame, 502 for values that do but mean nothing.
    pub fn reply_code(&self) -> ReplyCode {
        match self {
            WireError::FieldType(_) | WireError::TooDeep => ReplyCode::SyntaxError,
            _ => ReplyCode::FrameError,
        }
    }
}
