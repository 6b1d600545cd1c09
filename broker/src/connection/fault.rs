//! What goes wrong between client and broker, in RabbitMQ's codes and words.

use std::fmt::Display;

use warren_amqp::{FrameError, MethodId, ReplyCode};

/// An error that closes a channel or, if its code says so or it is not a
/// channel's, the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// AMQP reply code.
    pub code: ReplyCode,
    /// `NAME - explanation`.
    pub text: String,
    /// The method at fault, {0,0} if none.
    pub method: MethodId,
}

impl Fault {
    /// An error with RabbitMQ's usual form of text.
    #[must_use]
    pub fn new(code: ReplyCode, explanation: impl Display) -> Self {
        Self { code, text: format!("{} - {explanation}", code.name()), method: MethodId::default() }
    }

    /// Names the method at fault, unless one is named already.
    #[must_use]
    pub fn in_method(mut self, method: MethodId) -> Self {
        if self.method == MethodId::default() {
            self.method = method;
        }
        self
    }

    /// 404.
    #[must_use]
    pub fn not_found(explanation: impl Display) -> Self {
        Self::new(ReplyCode::NotFound, explanation)
    }

    /// 403.
    #[must_use]
    pub fn access_refused(explanation: impl Display) -> Self {
        Self::new(ReplyCode::AccessRefused, explanation)
    }

    /// 405.
    #[must_use]
    pub fn resource_locked(explanation: impl Display) -> Self {
        Self::new(ReplyCode::ResourceLocked, explanation)
    }

    /// 406.
    #[must_use]
    pub fn precondition_failed(explanation: impl Display) -> Self {
        Self::new(ReplyCode::PreconditionFailed, explanation)
    }

    /// 501.
    #[must_use]
    pub fn frame_error(explanation: impl Display) -> Self {
        Self::new(ReplyCode::FrameError, explanation)
    }

    /// 503.
    #[must_use]
    pub fn command_invalid(explanation: impl Display) -> Self {
        Self::new(ReplyCode::CommandInvalid, explanation)
    }

    /// 504.
    #[must_use]
    pub fn channel_error(explanation: impl Display) -> Self {
        Self::new(ReplyCode::ChannelError, explanation)
    }

    /// 505.
    #[must_use]
    pub fn unexpected_frame(explanation: impl Display) -> Self {
        Self::new(ReplyCode::UnexpectedFrame, explanation)
    }

    /// 530.
    #[must_use]
    pub fn not_allowed(explanation: impl Display) -> Self {
        Self::new(ReplyCode::NotAllowed, explanation)
    }

    /// 540.
    #[must_use]
    pub fn not_implemented(explanation: impl Display) -> Self {
        Self::new(ReplyCode::NotImplemented, explanation)
    }

    /// 541 in the words of a connection of RabbitMQ that crashed: what it answers to
    /// content properties that nobody can read.
    #[must_use]
    pub fn crash() -> Self {
        let code = ReplyCode::InternalError;
        Self { code, text: code.name().to_owned(), method: MethodId::default() }
    }

    /// 541.
    #[must_use]
    pub fn internal_error(explanation: impl Display) -> Self {
        Self::new(ReplyCode::InternalError, explanation)
    }
}

impl From<FrameError> for Fault {
    fn from(error: FrameError) -> Self {
        Self::new(error.reply_code(), error).in_method(error.method())
    }
}
