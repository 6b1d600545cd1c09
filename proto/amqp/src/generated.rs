//! The protocol's constants, reply codes and methods.
//!
//! Generated from `spec/amqp-0-9-1.json` by
//! `cargo run --release -p warren-amqp --example generate`; not edited by hand.

use bytes::{BufMut, Bytes, BytesMut};

use crate::method::{Arguments, MethodId};
use crate::short_str::ShortStr;
use crate::table::FieldTable;
use crate::wire::{self, Cursor, WireError};

/// `frame-method`.
pub const FRAME_METHOD: u8 = 1;
/// `frame-header`.
pub const FRAME_HEADER: u8 = 2;
/// `frame-body`.
pub const FRAME_BODY: u8 = 3;
/// `frame-heartbeat`.
pub const FRAME_HEARTBEAT: u8 = 8;
/// `frame-min-size`.
pub const FRAME_MIN_SIZE: u32 = 8192;
/// `frame-end`.
pub const FRAME_END: u8 = 206;

/// Why a channel or a connection was closed, or a message returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum ReplyCode {
    /// 200 `REPLY_SUCCESS`.
    ReplySuccess = 200,
    /// 311 `CONTENT_TOO_LARGE`.
    ContentTooLarge = 311,
    /// 312 `NO_ROUTE`.
    NoRoute = 312,
    /// 313 `NO_CONSUMERS`.
    NoConsumers = 313,
    /// 403 `ACCESS_REFUSED`.
    AccessRefused = 403,
    /// 404 `NOT_FOUND`.
    NotFound = 404,
    /// 405 `RESOURCE_LOCKED`.
    ResourceLocked = 405,
    /// 406 `PRECONDITION_FAILED`.
    PreconditionFailed = 406,
    /// 320 `CONNECTION_FORCED` (closes the connection).
    ConnectionForced = 320,
    /// 402 `INVALID_PATH` (closes the connection).
    InvalidPath = 402,
    /// 501 `FRAME_ERROR` (closes the connection).
    FrameError = 501,
    /// 502 `SYNTAX_ERROR` (closes the connection).
    SyntaxError = 502,
    /// 503 `COMMAND_INVALID` (closes the connection).
    CommandInvalid = 503,
    /// 504 `CHANNEL_ERROR` (closes the connection).
    ChannelError = 504,
    /// 505 `UNEXPECTED_FRAME` (closes the connection).
    UnexpectedFrame = 505,
    /// 506 `RESOURCE_ERROR` (closes the connection).
    ResourceError = 506,
    /// 530 `NOT_ALLOWED` (closes the connection).
    NotAllowed = 530,
    /// 540 `NOT_IMPLEMENTED` (closes the connection).
    NotImplemented = 540,
    /// 541 `INTERNAL_ERROR` (closes the connection).
    InternalError = 541,
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The name that RabbitMQ's reply texts begin with.
    pub const fn name(self) -> &'static str {
        match self {
            ReplyCode::ReplySuccess => "REPLY_SUCCESS",
            ReplyCode::ContentTooLarge => "CONTENT_TOO_LARGE",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::NoConsumers => "NO_CONSUMERS",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::InvalidPath => "INVALID_PATH",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// Whether it closes the connection, not only the channel.
    pub const fn is_hard(self) -> bool {
        matches!(self, ReplyCode::ConnectionForced | ReplyCode::InvalidPath | ReplyCode::FrameError | ReplyCode::SyntaxError | ReplyCode::CommandInvalid | ReplyCode::ChannelError | ReplyCode::UnexpectedFrame | ReplyCode::ResourceError | ReplyCode::NotAllowed | ReplyCode::NotImplemented | ReplyCode::InternalError)
    }

    /// The code with this number.
    pub const fn from_code(code: u16) -> Option<Self> {
        Some(match code {
            200 => ReplyCode::ReplySuccess,
            311 => ReplyCode::ContentTooLarge,
            312 => ReplyCode::NoRoute,
            313 => ReplyCode::NoConsumers,
            403 => ReplyCode::AccessRefused,
            404 => ReplyCode::NotFound,
            405 => ReplyCode::ResourceLocked,
            406 => ReplyCode::PreconditionFailed,
            320 => ReplyCode::ConnectionForced,
            402 => ReplyCode::InvalidPath,
            501 => ReplyCode::FrameError,
            502 => ReplyCode::SyntaxError,
            503 => ReplyCode::CommandInvalid,
            504 => ReplyCode::ChannelError,
            505 => ReplyCode::UnexpectedFrame,
            506 => ReplyCode::ResourceError,
            530 => ReplyCode::NotAllowed,
            540 => ReplyCode::NotImplemented,
            541 => ReplyCode::InternalError,
            _ => return None,
        })
    }
}

/// Any method, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `connection.start`.
    ConnectionStart(connection::Start),
    /// `connection.start-ok`.
    ConnectionStartOk(connection::StartOk),
    /// `connection.secure`.
    ConnectionSecure(connection::Secure),
    /// `connection.secure-ok`.
    ConnectionSecureOk(connection::SecureOk),
    /// `connection.tune`.
    ConnectionTune(connection::Tune),
    /// `connection.tune-ok`.
    ConnectionTuneOk(connection::TuneOk),
    /// `connection.open`.
    ConnectionOpen(connection::Open),
    /// `connection.open-ok`.
    ConnectionOpenOk(connection::OpenOk),
    /// `connection.close`.
    ConnectionClose(connection::Close),
    /// `connection.close-ok`.
    ConnectionCloseOk(connection::CloseOk),
    /// `connection.blocked`.
    ConnectionBlocked(connection::Blocked),
    /// `connection.unblocked`.
    ConnectionUnblocked(connection::Unblocked),
    /// `connection.update-secret`.
    ConnectionUpdateSecret(connection::UpdateSecret),
    /// `connection.update-secret-ok`.
    ConnectionUpdateSecretOk(connection::UpdateSecretOk),
    /// `channel.open`.
    ChannelOpen(channel::Open),
    /// `channel.open-ok`.
    ChannelOpenOk(channel::OpenOk),
    /// `channel.flow`.
    ChannelFlow(channel::Flow),
    /// `channel.flow-ok`.
    ChannelFlowOk(channel::FlowOk),
    /// `channel.close`.
    ChannelClose(channel::Close),
    /// `channel.close-ok`.
    ChannelCloseOk(channel::CloseOk),
    /// `access.request`.
    AccessRequest(access::Request),
    /// `access.request-ok`.
    AccessRequestOk(access::RequestOk),
    /// `exchange.declare`.
    ExchangeDeclare(exchange::Declare),
    /// `exchange.declare-ok`.
    ExchangeDeclareOk(exchange::DeclareOk),
    /// `exchange.delete`.
    ExchangeDelete(exchange::Delete),
    /// `exchange.delete-ok`.
    ExchangeDeleteOk(exchange::DeleteOk),
    /// `exchange.bind`.
    ExchangeBind(exchange::Bind),
    /// `exchange.bind-ok`.
    ExchangeBindOk(exchange::BindOk),
    /// `exchange.unbind`.
    ExchangeUnbind(exchange::Unbind),
    /// `exchange.unbind-ok`.
    ExchangeUnbindOk(exchange::UnbindOk),
    /// `queue.declare`.
    QueueDeclare(queue::Declare),
    /// `queue.declare-ok`.
    QueueDeclareOk(queue::DeclareOk),
    /// `queue.bind`.
    QueueBind(queue::Bind),
    /// `queue.bind-ok`.
    QueueBindOk(queue::BindOk),
    /// `queue.purge`.
    QueuePurge(queue::Purge),
    /// `queue.purge-ok`.
    QueuePurgeOk(queue::PurgeOk),
    /// `queue.delete`.
    QueueDelete(queue::Delete),
    /// `queue.delete-ok`.
    QueueDeleteOk(queue::DeleteOk),
    /// `queue.unbind`.
    QueueUnbind(queue::Unbind),
    /// `queue.unbind-ok`.
    QueueUnbindOk(queue::UnbindOk),
    /// `basic.qos`.
    BasicQos(basic::Qos),
    /// `basic.qos-ok`.
    BasicQosOk(basic::QosOk),
    /// `basic.consume`.
    BasicConsume(basic::Consume),
    /// `basic.consume-ok`.
    BasicConsumeOk(basic::ConsumeOk),
    /// `basic.cancel`.
    BasicCancel(basic::Cancel),
    /// `basic.cancel-ok`.
    BasicCancelOk(basic::CancelOk),
    /// `basic.publish`.
    BasicPublish(basic::Publish),
    /// `basic.return`.
    BasicReturn(basic::Return),
    /// `basic.deliver`.
    BasicDeliver(basic::Deliver),
    /// `basic.get`.
    BasicGet(basic::Get),
    /// `basic.get-ok`.
    BasicGetOk(basic::GetOk),
    /// `basic.get-empty`.
    BasicGetEmpty(basic::GetEmpty),
    /// `basic.ack`.
    BasicAck(basic::Ack),
    /// `basic.reject`.
    BasicReject(basic::Reject),
    /// `basic.recover-async`.
    BasicRecoverAsync(basic::RecoverAsync),
    /// `basic.recover`.
    BasicRecover(basic::Recover),
    /// `basic.recover-ok`.
    BasicRecoverOk(basic::RecoverOk),
    /// `basic.nack`.
    BasicNack(basic::Nack),
    /// `confirm.select`.
    ConfirmSelect(confirm::Select),
    /// `confirm.select-ok`.
    ConfirmSelectOk(confirm::SelectOk),
    /// `tx.select`.
    TxSelect(tx::Select),
    /// `tx.select-ok`.
    TxSelectOk(tx::SelectOk),
    /// `tx.commit`.
    TxCommit(tx::Commit),
    /// `tx.commit-ok`.
    TxCommitOk(tx::CommitOk),
    /// `tx.rollback`.
    TxRollback(tx::Rollback),
    /// `tx.rollback-ok`.
    TxRollbackOk(tx::RollbackOk),
}

impl Method {
    /// Reads the arguments of the method with this id, to the end of `from`.
    #[inline]
    pub(crate) fn decode_arguments(id: MethodId, from: &mut Cursor<'_>) -> Result<Option<Self>, WireError> {
        Ok(Some(match (id.class, id.method) {
            (10, 10) => Method::ConnectionStart(Arguments::decode(from)?),
            (10, 11) => Method::ConnectionStartOk(Arguments::decode(from)?),
            (10, 20) => Method::ConnectionSecure(Arguments::decode(from)?),
            (10, 21) => Method::ConnectionSecureOk(Arguments::decode(from)?),
            (10, 30) => Method::ConnectionTune(Arguments::decode(from)?),
            (10, 31) => Method::ConnectionTuneOk(Arguments::decode(from)?),
            (10, 40) => Method::ConnectionOpen(Arguments::decode(from)?),
            (10, 41) => Method::ConnectionOpenOk(Arguments::decode(from)?),
            (10, 50) => Method::ConnectionClose(Arguments::decode(from)?),
            (10, 51) => Method::ConnectionCloseOk(Arguments::decode(from)?),
            (10, 60) => Method::ConnectionBlocked(Arguments::decode(from)?),
            (10, 61) => Method::ConnectionUnblocked(Arguments::decode(from)?),
            (10, 70) => Method::ConnectionUpdateSecret(Arguments::decode(from)?),
            (10, 71) => Method::ConnectionUpdateSecretOk(Arguments::decode(from)?),
            (20, 10) => Method::ChannelOpen(Arguments::decode(from)?),
            (20, 11) => Method::ChannelOpenOk(Arguments::decode(from)?),
            (20, 20) => Method::ChannelFlow(Arguments::decode(from)?),
            (20, 21) => Method::ChannelFlowOk(Arguments::decode(from)?),
            (20, 40) => Method::ChannelClose(Arguments::decode(from)?),
            (20, 41) => Method::ChannelCloseOk(Arguments::decode(from)?),
            (30, 10) => Method::AccessRequest(Arguments::decode(from)?),
            (30, 11) => Method::AccessRequestOk(Arguments::decode(from)?),
            (40, 10) => Method::ExchangeDeclare(Arguments::decode(from)?),
            (40, 11) => Method::ExchangeDeclareOk(Arguments::decode(from)?),
            (40, 20) => Method::ExchangeDelete(Arguments::decode(from)?),
            (40, 21) => Method::ExchangeDeleteOk(Arguments::decode(from)?),
            (40, 30) => Method::ExchangeBind(Arguments::decode(from)?),
            (40, 31) => Method::ExchangeBindOk(Arguments::decode(from)?),
            (40, 40) => Method::ExchangeUnbind(Arguments::decode(from)?),
            (40, 51) => Method::ExchangeUnbindOk(Arguments::decode(from)?),
            (50, 10) => Method::QueueDeclare(Arguments::decode(from)?),
            (50, 11) => Method::QueueDeclareOk(Arguments::decode(from)?),
            (50, 20) => Method::QueueBind(Arguments::decode(from)?),
            (50, 21) => Method::QueueBindOk(Arguments::decode(from)?),
            (50, 30) => Method::QueuePurge(Arguments::decode(from)?),
            (50, 31) => Method::QueuePurgeOk(Arguments::decode(from)?),
            (50, 40) => Method::QueueDelete(Arguments::decode(from)?),
            (50, 41) => Method::QueueDeleteOk(Arguments::decode(from)?),
            (50, 50) => Method::QueueUnbind(Arguments::decode(from)?),
            (50, 51) => Method::QueueUnbindOk(Arguments::decode(from)?),
            (60, 10) => Method::BasicQos(Arguments::decode(from)?),
            (60, 11) => Method::BasicQosOk(Arguments::decode(from)?),
            (60, 20) => Method::BasicConsume(Arguments::decode(from)?),
            (60, 21) => Method::BasicConsumeOk(Arguments::decode(from)?),
            (60, 30) => Method::BasicCancel(Arguments::decode(from)?),
            (60, 31) => Method::BasicCancelOk(Arguments::decode(from)?),
            (60, 40) => Method::BasicPublish(Arguments::decode(from)?),
            (60, 50) => Method::BasicReturn(Arguments::decode(from)?),
            (60, 60) => Method::BasicDeliver(Arguments::decode(from)?),
            (60, 70) => Method::BasicGet(Arguments::decode(from)?),
            (60, 71) => Method::BasicGetOk(Arguments::decode(from)?),
            (60, 72) => Method::BasicGetEmpty(Arguments::decode(from)?),
            (60, 80) => Method::BasicAck(Arguments::decode(from)?),
            (60, 90) => Method::BasicReject(Arguments::decode(from)?),
            (60, 100) => Method::BasicRecoverAsync(Arguments::decode(from)?),
            (60, 110) => Method::BasicRecover(Arguments::decode(from)?),
            (60, 111) => Method::BasicRecoverOk(Arguments::decode(from)?),
            (60, 120) => Method::BasicNack(Arguments::decode(from)?),
            (85, 10) => Method::ConfirmSelect(Arguments::decode(from)?),
            (85, 11) => Method::ConfirmSelectOk(Arguments::decode(from)?),
            (90, 10) => Method::TxSelect(Arguments::decode(from)?),
            (90, 11) => Method::TxSelectOk(Arguments::decode(from)?),
            (90, 20) => Method::TxCommit(Arguments::decode(from)?),
            (90, 21) => Method::TxCommitOk(Arguments::decode(from)?),
            (90, 30) => Method::TxRollback(Arguments::decode(from)?),
            (90, 31) => Method::TxRollbackOk(Arguments::decode(from)?),
            _ => return Ok(None),
        }))
    }

    /// Writes the arguments.
    pub fn encode_arguments(&self, to: &mut BytesMut) {
        match self {
            Method::ConnectionStart(m) => m.encode(to),
            Method::ConnectionStartOk(m) => m.encode(to),
            Method::ConnectionSecure(m) => m.encode(to),
            Method::ConnectionSecureOk(m) => m.encode(to),
            Method::ConnectionTune(m) => m.encode(to),
            Method::ConnectionTuneOk(m) => m.encode(to),
            Method::ConnectionOpen(m) => m.encode(to),
            Method::ConnectionOpenOk(m) => m.encode(to),
            Method::ConnectionClose(m) => m.encode(to),
            Method::ConnectionCloseOk(m) => m.encode(to),
            Method::ConnectionBlocked(m) => m.encode(to),
            Method::ConnectionUnblocked(m) => m.encode(to),
            Method::ConnectionUpdateSecret(m) => m.encode(to),
            Method::ConnectionUpdateSecretOk(m) => m.encode(to),
            Method::ChannelOpen(m) => m.encode(to),
            Method::ChannelOpenOk(m) => m.encode(to),
            Method::ChannelFlow(m) => m.encode(to),
            Method::ChannelFlowOk(m) => m.encode(to),
            Method::ChannelClose(m) => m.encode(to),
            Method::ChannelCloseOk(m) => m.encode(to),
            Method::AccessRequest(m) => m.encode(to),
            Method::AccessRequestOk(m) => m.encode(to),
            Method::ExchangeDeclare(m) => m.encode(to),
            Method::ExchangeDeclareOk(m) => m.encode(to),
            Method::ExchangeDelete(m) => m.encode(to),
            Method::ExchangeDeleteOk(m) => m.encode(to),
            Method::ExchangeBind(m) => m.encode(to),
            Method::ExchangeBindOk(m) => m.encode(to),
            Method::ExchangeUnbind(m) => m.encode(to),
            Method::ExchangeUnbindOk(m) => m.encode(to),
            Method::QueueDeclare(m) => m.encode(to),
            Method::QueueDeclareOk(m) => m.encode(to),
            Method::QueueBind(m) => m.encode(to),
            Method::QueueBindOk(m) => m.encode(to),
            Method::QueuePurge(m) => m.encode(to),
            Method::QueuePurgeOk(m) => m.encode(to),
            Method::QueueDelete(m) => m.encode(to),
            Method::QueueDeleteOk(m) => m.encode(to),
            Method::QueueUnbind(m) => m.encode(to),
            Method::QueueUnbindOk(m) => m.encode(to),
            Method::BasicQos(m) => m.encode(to),
            Method::BasicQosOk(m) => m.encode(to),
            Method::BasicConsume(m) => m.encode(to),
            Method::BasicConsumeOk(m) => m.encode(to),
            Method::BasicCancel(m) => m.encode(to),
            Method::BasicCancelOk(m) => m.encode(to),
            Method::BasicPublish(m) => m.encode(to),
            Method::BasicReturn(m) => m.encode(to),
            Method::BasicDeliver(m) => m.encode(to),
            Method::BasicGet(m) => m.encode(to),
            Method::BasicGetOk(m) => m.encode(to),
            Method::BasicGetEmpty(m) => m.encode(to),
            Method::BasicAck(m) => m.encode(to),
            Method::BasicReject(m) => m.encode(to),
            Method::BasicRecoverAsync(m) => m.encode(to),
            Method::BasicRecover(m) => m.encode(to),
            Method::BasicRecoverOk(m) => m.encode(to),
            Method::BasicNack(m) => m.encode(to),
            Method::ConfirmSelect(m) => m.encode(to),
            Method::ConfirmSelectOk(m) => m.encode(to),
            Method::TxSelect(m) => m.encode(to),
            Method::TxSelectOk(m) => m.encode(to),
            Method::TxCommit(m) => m.encode(to),
            Method::TxCommitOk(m) => m.encode(to),
            Method::TxRollback(m) => m.encode(to),
            Method::TxRollbackOk(m) => m.encode(to),
        }
    }

    /// Class and method number.
    pub fn id(&self) -> MethodId {
        match self {
            Method::ConnectionStart(m) => m.id(),
            Method::ConnectionStartOk(m) => m.id(),
            Method::ConnectionSecure(m) => m.id(),
            Method::ConnectionSecureOk(m) => m.id(),
            Method::ConnectionTune(m) => m.id(),
            Method::ConnectionTuneOk(m) => m.id(),
            Method::ConnectionOpen(m) => m.id(),
            Method::ConnectionOpenOk(m) => m.id(),
            Method::ConnectionClose(m) => m.id(),
            Method::ConnectionCloseOk(m) => m.id(),
            Method::ConnectionBlocked(m) => m.id(),
            Method::ConnectionUnblocked(m) => m.id(),
            Method::ConnectionUpdateSecret(m) => m.id(),
            Method::ConnectionUpdateSecretOk(m) => m.id(),
            Method::ChannelOpen(m) => m.id(),
            Method::ChannelOpenOk(m) => m.id(),
            Method::ChannelFlow(m) => m.id(),
            Method::ChannelFlowOk(m) => m.id(),
            Method::ChannelClose(m) => m.id(),
            Method::ChannelCloseOk(m) => m.id(),
            Method::AccessRequest(m) => m.id(),
            Method::AccessRequestOk(m) => m.id(),
            Method::ExchangeDeclare(m) => m.id(),
            Method::ExchangeDeclareOk(m) => m.id(),
            Method::ExchangeDelete(m) => m.id(),
            Method::ExchangeDeleteOk(m) => m.id(),
            Method::ExchangeBind(m) => m.id(),
            Method::ExchangeBindOk(m) => m.id(),
            Method::ExchangeUnbind(m) => m.id(),
            Method::ExchangeUnbindOk(m) => m.id(),
            Method::QueueDeclare(m) => m.id(),
            Method::QueueDeclareOk(m) => m.id(),
            Method::QueueBind(m) => m.id(),
            Method::QueueBindOk(m) => m.id(),
            Method::QueuePurge(m) => m.id(),
            Method::QueuePurgeOk(m) => m.id(),
            Method::QueueDelete(m) => m.id(),
            Method::QueueDeleteOk(m) => m.id(),
            Method::QueueUnbind(m) => m.id(),
            Method::QueueUnbindOk(m) => m.id(),
            Method::BasicQos(m) => m.id(),
            Method::BasicQosOk(m) => m.id(),
            Method::BasicConsume(m) => m.id(),
            Method::BasicConsumeOk(m) => m.id(),
            Method::BasicCancel(m) => m.id(),
            Method::BasicCancelOk(m) => m.id(),
            Method::BasicPublish(m) => m.id(),
            Method::BasicReturn(m) => m.id(),
            Method::BasicDeliver(m) => m.id(),
            Method::BasicGet(m) => m.id(),
            Method::BasicGetOk(m) => m.id(),
            Method::BasicGetEmpty(m) => m.id(),
            Method::BasicAck(m) => m.id(),
            Method::BasicReject(m) => m.id(),
            Method::BasicRecoverAsync(m) => m.id(),
            Method::BasicRecover(m) => m.id(),
            Method::BasicRecoverOk(m) => m.id(),
            Method::BasicNack(m) => m.id(),
            Method::ConfirmSelect(m) => m.id(),
            Method::ConfirmSelectOk(m) => m.id(),
            Method::TxSelect(m) => m.id(),
            Method::TxSelectOk(m) => m.id(),
            Method::TxCommit(m) => m.id(),
            Method::TxCommitOk(m) => m.id(),
            Method::TxRollback(m) => m.id(),
            Method::TxRollbackOk(m) => m.id(),
        }
    }

    /// As in `basic.publish`.
    pub fn name(&self) -> &'static str {
        match self {
            Method::ConnectionStart(m) => m.name(),
            Method::ConnectionStartOk(m) => m.name(),
            Method::ConnectionSecure(m) => m.name(),
            Method::ConnectionSecureOk(m) => m.name(),
            Method::ConnectionTune(m) => m.name(),
            Method::ConnectionTuneOk(m) => m.name(),
            Method::ConnectionOpen(m) => m.name(),
            Method::ConnectionOpenOk(m) => m.name(),
            Method::ConnectionClose(m) => m.name(),
            Method::ConnectionCloseOk(m) => m.name(),
            Method::ConnectionBlocked(m) => m.name(),
            Method::ConnectionUnblocked(m) => m.name(),
            Method::ConnectionUpdateSecret(m) => m.name(),
            Method::ConnectionUpdateSecretOk(m) => m.name(),
            Method::ChannelOpen(m) => m.name(),
            Method::ChannelOpenOk(m) => m.name(),
            Method::ChannelFlow(m) => m.name(),
            Method::ChannelFlowOk(m) => m.name(),
            Method::ChannelClose(m) => m.name(),
            Method::ChannelCloseOk(m) => m.name(),
            Method::AccessRequest(m) => m.name(),
            Method::AccessRequestOk(m) => m.name(),
            Method::ExchangeDeclare(m) => m.name(),
            Method::ExchangeDeclareOk(m) => m.name(),
            Method::ExchangeDelete(m) => m.name(),
            Method::ExchangeDeleteOk(m) => m.name(),
            Method::ExchangeBind(m) => m.name(),
            Method::ExchangeBindOk(m) => m.name(),
            Method::ExchangeUnbind(m) => m.name(),
            Method::ExchangeUnbindOk(m) => m.name(),
            Method::QueueDeclare(m) => m.name(),
            Method::QueueDeclareOk(m) => m.name(),
            Method::QueueBind(m) => m.name(),
            Method::QueueBindOk(m) => m.name(),
            Method::QueuePurge(m) => m.name(),
            Method::QueuePurgeOk(m) => m.name(),
            Method::QueueDelete(m) => m.name(),
            Method::QueueDeleteOk(m) => m.name(),
            Method::QueueUnbind(m) => m.name(),
            Method::QueueUnbindOk(m) => m.name(),
            Method::BasicQos(m) => m.name(),
            Method::BasicQosOk(m) => m.name(),
            Method::BasicConsume(m) => m.name(),
            Method::BasicConsumeOk(m) => m.name(),
            Method::BasicCancel(m) => m.name(),
            Method::BasicCancelOk(m) => m.name(),
            Method::BasicPublish(m) => m.name(),
            Method::BasicReturn(m) => m.name(),
            Method::BasicDeliver(m) => m.name(),
            Method::BasicGet(m) => m.name(),
            Method::BasicGetOk(m) => m.name(),
            Method::BasicGetEmpty(m) => m.name(),
            Method::BasicAck(m) => m.name(),
            Method::BasicReject(m) => m.name(),
            Method::BasicRecoverAsync(m) => m.name(),
            Method::BasicRecover(m) => m.name(),
            Method::BasicRecoverOk(m) => m.name(),
            Method::BasicNack(m) => m.name(),
            Method::ConfirmSelect(m) => m.name(),
            Method::ConfirmSelectOk(m) => m.name(),
            Method::TxSelect(m) => m.name(),
            Method::TxSelectOk(m) => m.name(),
            Method::TxCommit(m) => m.name(),
            Method::TxCommitOk(m) => m.name(),
            Method::TxRollback(m) => m.name(),
            Method::TxRollbackOk(m) => m.name(),
        }
    }

    /// Whether a header and body follow.
    pub fn has_content(&self) -> bool {
        match self {
            Method::ConnectionStart(m) => m.has_content(),
            Method::ConnectionStartOk(m) => m.has_content(),
            Method::ConnectionSecure(m) => m.has_content(),
            Method::ConnectionSecureOk(m) => m.has_content(),
            Method::ConnectionTune(m) => m.has_content(),
            Method::ConnectionTuneOk(m) => m.has_content(),
            Method::ConnectionOpen(m) => m.has_content(),
            Method::ConnectionOpenOk(m) => m.has_content(),
            Method::ConnectionClose(m) => m.has_content(),
            Method::ConnectionCloseOk(m) => m.has_content(),
            Method::ConnectionBlocked(m) => m.has_content(),
            Method::ConnectionUnblocked(m) => m.has_content(),
            Method::ConnectionUpdateSecret(m) => m.has_content(),
            Method::ConnectionUpdateSecretOk(m) => m.has_content(),
            Method::ChannelOpen(m) => m.has_content(),
            Method::ChannelOpenOk(m) => m.has_content(),
            Method::ChannelFlow(m) => m.has_content(),
            Method::ChannelFlowOk(m) => m.has_content(),
            Method::ChannelClose(m) => m.has_content(),
            Method::ChannelCloseOk(m) => m.has_content(),
            Method::AccessRequest(m) => m.has_content(),
            Method::AccessRequestOk(m) => m.has_content(),
            Method::ExchangeDeclare(m) => m.has_content(),
            Method::ExchangeDeclareOk(m) => m.has_content(),
            Method::ExchangeDelete(m) => m.has_content(),
            Method::ExchangeDeleteOk(m) => m.has_content(),
            Method::ExchangeBind(m) => m.has_content(),
            Method::ExchangeBindOk(m) => m.has_content(),
            Method::ExchangeUnbind(m) => m.has_content(),
            Method::ExchangeUnbindOk(m) => m.has_content(),
            Method::QueueDeclare(m) => m.has_content(),
            Method::QueueDeclareOk(m) => m.has_content(),
            Method::QueueBind(m) => m.has_content(),
            Method::QueueBindOk(m) => m.has_content(),
            Method::QueuePurge(m) => m.has_content(),
            Method::QueuePurgeOk(m) => m.has_content(),
            Method::QueueDelete(m) => m.has_content(),
            Method::QueueDeleteOk(m) => m.has_content(),
            Method::QueueUnbind(m) => m.has_content(),
            Method::QueueUnbindOk(m) => m.has_content(),
            Method::BasicQos(m) => m.has_content(),
            Method::BasicQosOk(m) => m.has_content(),
            Method::BasicConsume(m) => m.has_content(),
            Method::BasicConsumeOk(m) => m.has_content(),
            Method::BasicCancel(m) => m.has_content(),
            Method::BasicCancelOk(m) => m.has_content(),
            Method::BasicPublish(m) => m.has_content(),
            Method::BasicReturn(m) => m.has_content(),
            Method::BasicDeliver(m) => m.has_content(),
            Method::BasicGet(m) => m.has_content(),
            Method::BasicGetOk(m) => m.has_content(),
            Method::BasicGetEmpty(m) => m.has_content(),
            Method::BasicAck(m) => m.has_content(),
            Method::BasicReject(m) => m.has_content(),
            Method::BasicRecoverAsync(m) => m.has_content(),
            Method::BasicRecover(m) => m.has_content(),
            Method::BasicRecoverOk(m) => m.has_content(),
            Method::BasicNack(m) => m.has_content(),
            Method::ConfirmSelect(m) => m.has_content(),
            Method::ConfirmSelectOk(m) => m.has_content(),
            Method::TxSelect(m) => m.has_content(),
            Method::TxSelectOk(m) => m.has_content(),
            Method::TxCommit(m) => m.has_content(),
            Method::TxCommitOk(m) => m.has_content(),
            Method::TxRollback(m) => m.has_content(),
            Method::TxRollbackOk(m) => m.has_content(),
        }
    }

    /// Whether the sender waits for an answer.
    pub fn is_synchronous(&self) -> bool {
        match self {
            Method::ConnectionStart(m) => m.is_synchronous(),
            Method::ConnectionStartOk(m) => m.is_synchronous(),
            Method::ConnectionSecure(m) => m.is_synchronous(),
            Method::ConnectionSecureOk(m) => m.is_synchronous(),
            Method::ConnectionTune(m) => m.is_synchronous(),
            Method::ConnectionTuneOk(m) => m.is_synchronous(),
            Method::ConnectionOpen(m) => m.is_synchronous(),
            Method::ConnectionOpenOk(m) => m.is_synchronous(),
            Method::ConnectionClose(m) => m.is_synchronous(),
            Method::ConnectionCloseOk(m) => m.is_synchronous(),
            Method::ConnectionBlocked(m) => m.is_synchronous(),
            Method::ConnectionUnblocked(m) => m.is_synchronous(),
            Method::ConnectionUpdateSecret(m) => m.is_synchronous(),
            Method::ConnectionUpdateSecretOk(m) => m.is_synchronous(),
            Method::ChannelOpen(m) => m.is_synchronous(),
            Method::ChannelOpenOk(m) => m.is_synchronous(),
            Method::ChannelFlow(m) => m.is_synchronous(),
            Method::ChannelFlowOk(m) => m.is_synchronous(),
            Method::ChannelClose(m) => m.is_synchronous(),
            Method::ChannelCloseOk(m) => m.is_synchronous(),
            Method::AccessRequest(m) => m.is_synchronous(),
            Method::AccessRequestOk(m) => m.is_synchronous(),
            Method::ExchangeDeclare(m) => m.is_synchronous(),
            Method::ExchangeDeclareOk(m) => m.is_synchronous(),
            Method::ExchangeDelete(m) => m.is_synchronous(),
            Method::ExchangeDeleteOk(m) => m.is_synchronous(),
            Method::ExchangeBind(m) => m.is_synchronous(),
            Method::ExchangeBindOk(m) => m.is_synchronous(),
            Method::ExchangeUnbind(m) => m.is_synchronous(),
            Method::ExchangeUnbindOk(m) => m.is_synchronous(),
            Method::QueueDeclare(m) => m.is_synchronous(),
            Method::QueueDeclareOk(m) => m.is_synchronous(),
            Method::QueueBind(m) => m.is_synchronous(),
            Method::QueueBindOk(m) => m.is_synchronous(),
            Method::QueuePurge(m) => m.is_synchronous(),
            Method::QueuePurgeOk(m) => m.is_synchronous(),
            Method::QueueDelete(m) => m.is_synchronous(),
            Method::QueueDeleteOk(m) => m.is_synchronous(),
            Method::QueueUnbind(m) => m.is_synchronous(),
            Method::QueueUnbindOk(m) => m.is_synchronous(),
            Method::BasicQos(m) => m.is_synchronous(),
            Method::BasicQosOk(m) => m.is_synchronous(),
            Method::BasicConsume(m) => m.is_synchronous(),
            Method::BasicConsumeOk(m) => m.is_synchronous(),
            Method::BasicCancel(m) => m.is_synchronous(),
            Method::BasicCancelOk(m) => m.is_synchronous(),
            Method::BasicPublish(m) => m.is_synchronous(),
            Method::BasicReturn(m) => m.is_synchronous(),
            Method::BasicDeliver(m) => m.is_synchronous(),
            Method::BasicGet(m) => m.is_synchronous(),
            Method::BasicGetOk(m) => m.is_synchronous(),
            Method::BasicGetEmpty(m) => m.is_synchronous(),
            Method::BasicAck(m) => m.is_synchronous(),
            Method::BasicReject(m) => m.is_synchronous(),
            Method::BasicRecoverAsync(m) => m.is_synchronous(),
            Method::BasicRecover(m) => m.is_synchronous(),
            Method::BasicRecoverOk(m) => m.is_synchronous(),
            Method::BasicNack(m) => m.is_synchronous(),
            Method::ConfirmSelect(m) => m.is_synchronous(),
            Method::ConfirmSelectOk(m) => m.is_synchronous(),
            Method::TxSelect(m) => m.is_synchronous(),
            Method::TxSelectOk(m) => m.is_synchronous(),
            Method::TxCommit(m) => m.is_synchronous(),
            Method::TxCommitOk(m) => m.is_synchronous(),
            Method::TxRollback(m) => m.is_synchronous(),
            Method::TxRollbackOk(m) => m.is_synchronous(),
        }
    }
}

impl From<connection::Start> for Method {
    fn from(method: connection::Start) -> Self {
        Method::ConnectionStart(method)
    }
}

impl From<connection::StartOk> for Method {
    fn from(method: connection::StartOk) -> Self {
        Method::ConnectionStartOk(method)
    }
}

impl From<connection::Secure> for Method {
    fn from(method: connection::Secure) -> Self {
        Method::ConnectionSecure(method)
    }
}

impl From<connection::SecureOk> for Method {
    fn from(method: connection::SecureOk) -> Self {
        Method::ConnectionSecureOk(method)
    }
}

impl From<connection::Tune> for Method {
    fn from(method: connection::Tune) -> Self {
        Method::ConnectionTune(method)
    }
}

impl From<connection::TuneOk> for Method {
    fn from(method: connection::TuneOk) -> Self {
        Method::ConnectionTuneOk(method)
    }
}

impl From<connection::Open> for Method {
    fn from(method: connection::Open) -> Self {
        Method::ConnectionOpen(method)
    }
}

impl From<connection::OpenOk> for Method {
    fn from(method: connection::OpenOk) -> Self {
        Method::ConnectionOpenOk(method)
    }
}

impl From<connection::Close> for Method {
    fn from(method: connection::Close) -> Self {
        Method::ConnectionClose(method)
    }
}

impl From<connection::CloseOk> for Method {
    fn from(method: connection::CloseOk) -> Self {
        Method::ConnectionCloseOk(method)
    }
}

impl From<connection::Blocked> for Method {
    fn from(method: connection::Blocked) -> Self {
        Method::ConnectionBlocked(method)
    }
}

impl From<connection::Unblocked> for Method {
    fn from(method: connection::Unblocked) -> Self {
        Method::ConnectionUnblocked(method)
    }
}

impl From<connection::UpdateSecret> for Method {
    fn from(method: connection::UpdateSecret) -> Self {
        Method::ConnectionUpdateSecret(method)
    }
}

impl From<connection::UpdateSecretOk> for Method {
    fn from(method: connection::UpdateSecretOk) -> Self {
        Method::ConnectionUpdateSecretOk(method)
    }
}

impl From<channel::Open> for Method {
    fn from(method: channel::Open) -> Self {
        Method::ChannelOpen(method)
    }
}

impl From<channel::OpenOk> for Method {
    fn from(method: channel::OpenOk) -> Self {
        Method::ChannelOpenOk(method)
    }
}

impl From<channel::Flow> for Method {
    fn from(method: channel::Flow) -> Self {
        Method::ChannelFlow(method)
    }
}

impl From<channel::FlowOk> for Method {
    fn from(method: channel::FlowOk) -> Self {
        Method::ChannelFlowOk(method)
    }
}

impl From<channel::Close> for Method {
    fn from(method: channel::Close) -> Self {
        Method::ChannelClose(method)
    }
}

impl From<channel::CloseOk> for Method {
    fn from(method: channel::CloseOk) -> Self {
        Method::ChannelCloseOk(method)
    }
}

impl From<access::Request> for Method {
    fn from(method: access::Request) -> Self {
        Method::AccessRequest(method)
    }
}

impl From<access::RequestOk> for Method {
    fn from(method: access::RequestOk) -> Self {
        Method::AccessRequestOk(method)
    }
}

impl From<exchange::Declare> for Method {
    fn from(method: exchange::Declare) -> Self {
        Method::ExchangeDeclare(method)
    }
}

impl From<exchange::DeclareOk> for Method {
    fn from(method: exchange::DeclareOk) -> Self {
        Method::ExchangeDeclareOk(method)
    }
}

impl From<exchange::Delete> for Method {
    fn from(method: exchange::Delete) -> Self {
        Method::ExchangeDelete(method)
    }
}

impl From<exchange::DeleteOk> for Method {
    fn from(method: exchange::DeleteOk) -> Self {
        Method::ExchangeDeleteOk(method)
    }
}

impl From<exchange::Bind> for Method {
    fn from(method: exchange::Bind) -> Self {
        Method::ExchangeBind(method)
    }
}

impl From<exchange::BindOk> for Method {
    fn from(method: exchange::BindOk) -> Self {
        Method::ExchangeBindOk(method)
    }
}

impl From<exchange::Unbind> for Method {
    fn from(method: exchange::Unbind) -> Self {
        Method::ExchangeUnbind(method)
    }
}

impl From<exchange::UnbindOk> for Method {
    fn from(method: exchange::UnbindOk) -> Self {
        Method::ExchangeUnbindOk(method)
    }
}

impl From<queue::Declare> for Method {
    fn from(method: queue::Declare) -> Self {
        Method::QueueDeclare(method)
    }
}

impl From<queue::DeclareOk> for Method {
    fn from(method: queue::DeclareOk) -> Self {
        Method::QueueDeclareOk(method)
    }
}

impl From<queue::Bind> for Method {
    fn from(method: queue::Bind) -> Self {
        Method::QueueBind(method)
    }
}

impl From<queue::BindOk> for Method {
    fn from(method: queue::BindOk) -> Self {
        Method::QueueBindOk(method)
    }
}

impl From<queue::Purge> for Method {
    fn from(method: queue::Purge) -> Self {
        Method::QueuePurge(method)
    }
}

impl From<queue::PurgeOk> for Method {
    fn from(method: queue::PurgeOk) -> Self {
        Method::QueuePurgeOk(method)
    }
}

impl From<queue::Delete> for Method {
    fn from(method: queue::Delete) -> Self {
        Method::QueueDelete(method)
    }
}

impl From<queue::DeleteOk> for Method {
    fn from(method: queue::DeleteOk) -> Self {
        Method::QueueDeleteOk(method)
    }
}

impl From<queue::Unbind> for Method {
    fn from(method: queue::Unbind) -> Self {
        Method::QueueUnbind(method)
    }
}

impl From<queue::UnbindOk> for Method {
    fn from(method: queue::UnbindOk) -> Self {
        Method::QueueUnbindOk(method)
    }
}

impl From<basic::Qos> for Method {
    fn from(method: basic::Qos) -> Self {
        Method::BasicQos(method)
    }
}

impl From<basic::QosOk> for Method {
    fn from(method: basic::QosOk) -> Self {
        Method::BasicQosOk(method)
    }
}

impl From<basic::Consume> for Method {
    fn from(method: basic::Consume) -> Self {
        Method::BasicConsume(method)
    }
}

impl From<basic::ConsumeOk> for Method {
    fn from(method: basic::ConsumeOk) -> Self {
        Method::BasicConsumeOk(method)
    }
}

impl From<basic::Cancel> for Method {
    fn from(method: basic::Cancel) -> Self {
        Method::BasicCancel(method)
    }
}

impl From<basic::CancelOk> for Method {
    fn from(method: basic::CancelOk) -> Self {
        Method::BasicCancelOk(method)
    }
}

impl From<basic::Publish> for Method {
    fn from(method: basic::Publish) -> Self {
        Method::BasicPublish(method)
    }
}

impl From<basic::Return> for Method {
    fn from(method: basic::Return) -> Self {
        Method::BasicReturn(method)
    }
}

impl From<basic::Deliver> for Method {
    fn from(method: basic::Deliver) -> Self {
        Method::BasicDeliver(method)
    }
}

impl From<basic::Get> for Method {
    fn from(method: basic::Get) -> Self {
        Method::BasicGet(method)
    }
}

impl From<basic::GetOk> for Method {
    fn from(method: basic::GetOk) -> Self {
        Method::BasicGetOk(method)
    }
}

impl From<basic::GetEmpty> for Method {
    fn from(method: basic::GetEmpty) -> Self {
        Method::BasicGetEmpty(method)
    }
}

impl From<basic::Ack> for Method {
    fn from(method: basic::Ack) -> Self {
        Method::BasicAck(method)
    }
}

impl From<basic::Reject> for Method {
    fn from(method: basic::Reject) -> Self {
        Method::BasicReject(method)
    }
}

impl From<basic::RecoverAsync> for Method {
    fn from(method: basic::RecoverAsync) -> Self {
        Method::BasicRecoverAsync(method)
    }
}

impl From<basic::Recover> for Method {
    fn from(method: basic::Recover) -> Self {
        Method::BasicRecover(method)
    }
}

impl From<basic::RecoverOk> for Method {
    fn from(method: basic::RecoverOk) -> Self {
        Method::BasicRecoverOk(method)
    }
}

impl From<basic::Nack> for Method {
    fn from(method: basic::Nack) -> Self {
        Method::BasicNack(method)
    }
}

impl From<confirm::Select> for Method {
    fn from(method: confirm::Select) -> Self {
        Method::ConfirmSelect(method)
    }
}

impl From<confirm::SelectOk> for Method {
    fn from(method: confirm::SelectOk) -> Self {
        Method::ConfirmSelectOk(method)
    }
}

impl From<tx::Select> for Method {
    fn from(method: tx::Select) -> Self {
        Method::TxSelect(method)
    }
}

impl From<tx::SelectOk> for Method {
    fn from(method: tx::SelectOk) -> Self {
        Method::TxSelectOk(method)
    }
}

impl From<tx::Commit> for Method {
    fn from(method: tx::Commit) -> Self {
        Method::TxCommit(method)
    }
}

impl From<tx::CommitOk> for Method {
    fn from(method: tx::CommitOk) -> Self {
        Method::TxCommitOk(method)
    }
}

impl From<tx::Rollback> for Method {
    fn from(method: tx::Rollback) -> Self {
        Method::TxRollback(method)
    }
}

impl From<tx::RollbackOk> for Method {
    fn from(method: tx::RollbackOk) -> Self {
        Method::TxRollbackOk(method)
    }
}

/// Class 10, `connection`.
pub mod connection {
    use super::*;

    /// `connection.start`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Start {
        /// `version-major`.
        pub version_major: u8,
        /// `version-minor`.
        pub version_minor: u8,
        /// `server-properties`.
        pub server_properties: FieldTable,
        /// `mechanisms`.
        pub mechanisms: Bytes,
        /// `locales`.
        pub locales: Bytes,
    }

    impl Default for Start {
        fn default() -> Self {
            Start {
                version_major: Default::default(),
                version_minor: 9,
                server_properties: Default::default(),
                mechanisms: Bytes::from_static(b"PLAIN"),
                locales: Bytes::from_static(b"en_US"),
            }
        }
    }

    impl Arguments for Start {
        const ID: MethodId = MethodId { class: 10, method: 10 };
        const NAME: &'static str = "connection.start";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let version_major = from.u8()?;
            let version_minor = from.u8()?;
            let server_properties = from.table()?;
            let mechanisms = from.long_str()?;
            let locales = from.long_str()?;
            Ok(Start { version_major, version_minor, server_properties, mechanisms, locales })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(self.version_major);
            to.put_u8(self.version_minor);
            wire::put_long_str(to, self.server_properties.as_bytes());
            wire::put_long_str(to, &self.mechanisms);
            wire::put_long_str(to, &self.locales);
        }
    }

    /// `connection.start-ok`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct StartOk {
        /// `client-properties`.
        pub client_properties: FieldTable,
        /// `mechanism`.
        pub mechanism: ShortStr,
        /// `response`.
        pub response: Bytes,
        /// `locale`.
        pub locale: ShortStr,
    }

    impl Default for StartOk {
        fn default() -> Self {
            StartOk {
                client_properties: Default::default(),
                mechanism: ShortStr::from_static("PLAIN"),
                response: Default::default(),
                locale: ShortStr::from_static("en_US"),
            }
        }
    }

    impl Arguments for StartOk {
        const ID: MethodId = MethodId { class: 10, method: 11 };
        const NAME: &'static str = "connection.start-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let client_properties = from.table()?;
            let mechanism = from.short_str()?;
            let response = from.long_str()?;
            let locale = from.short_str()?;
            Ok(StartOk { client_properties, mechanism, response, locale })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_long_str(to, self.client_properties.as_bytes());
            wire::put_short_str(to, &self.mechanism);
            wire::put_long_str(to, &self.response);
            wire::put_short_str(to, &self.locale);
        }
    }

    /// `connection.secure`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Secure {
        /// `challenge`.
        pub challenge: Bytes,
    }

    impl Arguments for Secure {
        const ID: MethodId = MethodId { class: 10, method: 20 };
        const NAME: &'static str = "connection.secure";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let challenge = from.long_str()?;
            Ok(Secure { challenge })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_long_str(to, &self.challenge);
        }
    }

    /// `connection.secure-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct SecureOk {
        /// `response`.
        pub response: Bytes,
    }

    impl Arguments for SecureOk {
        const ID: MethodId = MethodId { class: 10, method: 21 };
        const NAME: &'static str = "connection.secure-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let response = from.long_str()?;
            Ok(SecureOk { response })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_long_str(to, &self.response);
        }
    }

    /// `connection.tune`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Tune {
        /// `channel-max`.
        pub channel_max: u16,
        /// `frame-max`.
        pub frame_max: u32,
        /// `heartbeat`.
        pub heartbeat: u16,
    }

    impl Arguments for Tune {
        const ID: MethodId = MethodId { class: 10, method: 30 };
        const NAME: &'static str = "connection.tune";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let channel_max = from.u16()?;
            let frame_max = from.u32()?;
            let heartbeat = from.u16()?;
            Ok(Tune { channel_max, frame_max, heartbeat })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.channel_max);
            to.put_u32(self.frame_max);
            to.put_u16(self.heartbeat);
        }
    }

    /// `connection.tune-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct TuneOk {
        /// `channel-max`.
        pub channel_max: u16,
        /// `frame-max`.
        pub frame_max: u32,
        /// `heartbeat`.
        pub heartbeat: u16,
    }

    impl Arguments for TuneOk {
        const ID: MethodId = MethodId { class: 10, method: 31 };
        const NAME: &'static str = "connection.tune-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let channel_max = from.u16()?;
            let frame_max = from.u32()?;
            let heartbeat = from.u16()?;
            Ok(TuneOk { channel_max, frame_max, heartbeat })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.channel_max);
            to.put_u32(self.frame_max);
            to.put_u16(self.heartbeat);
        }
    }

    /// `connection.open`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Open {
        /// `virtual-host`.
        pub virtual_host: ShortStr,
        /// `capabilities`.
        pub capabilities: ShortStr,
        /// `insist`.
        pub insist: bool,
    }

    impl Default for Open {
        fn default() -> Self {
            Open {
                virtual_host: ShortStr::from_static("/"),
                capabilities: Default::default(),
                insist: Default::default(),
            }
        }
    }

    impl Arguments for Open {
        const ID: MethodId = MethodId { class: 10, method: 40 };
        const NAME: &'static str = "connection.open";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let virtual_host = from.short_str()?;
            let capabilities = from.short_str()?;
            let insist_bits = from.u8()?;
            let insist = insist_bits & 0x01 != 0;
            Ok(Open { virtual_host, capabilities, insist })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.virtual_host);
            wire::put_short_str(to, &self.capabilities);
            to.put_u8(u8::from(self.insist));
        }
    }

    /// `connection.open-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct OpenOk {
        /// `known-hosts`.
        pub known_hosts: ShortStr,
    }

    impl Arguments for OpenOk {
        const ID: MethodId = MethodId { class: 10, method: 41 };
        const NAME: &'static str = "connection.open-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let known_hosts = from.short_str()?;
            Ok(OpenOk { known_hosts })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.known_hosts);
        }
    }

    /// `connection.close`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Close {
        /// `reply-code`.
        pub reply_code: u16,
        /// `reply-text`.
        pub reply_text: ShortStr,
        /// `class-id`.
        pub class_id: u16,
        /// `method-id`.
        pub method_id: u16,
    }

    impl Arguments for Close {
        const ID: MethodId = MethodId { class: 10, method: 50 };
        const NAME: &'static str = "connection.close";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let reply_code = from.u16()?;
            let reply_text = from.short_str()?;
            let class_id = from.u16()?;
            let method_id = from.u16()?;
            Ok(Close { reply_code, reply_text, class_id, method_id })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.reply_code);
            wire::put_short_str(to, &self.reply_text);
            to.put_u16(self.class_id);
            to.put_u16(self.method_id);
        }
    }

    /// `connection.close-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct CloseOk;

    impl Arguments for CloseOk {
        const ID: MethodId = MethodId { class: 10, method: 51 };
        const NAME: &'static str = "connection.close-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(CloseOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `connection.blocked`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Blocked {
        /// `reason`.
        pub reason: ShortStr,
    }

    impl Arguments for Blocked {
        const ID: MethodId = MethodId { class: 10, method: 60 };
        const NAME: &'static str = "connection.blocked";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let reason = from.short_str()?;
            Ok(Blocked { reason })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.reason);
        }
    }

    /// `connection.unblocked`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Unblocked;

    impl Arguments for Unblocked {
        const ID: MethodId = MethodId { class: 10, method: 61 };
        const NAME: &'static str = "connection.unblocked";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(Unblocked)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `connection.update-secret`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct UpdateSecret {
        /// `new-secret`.
        pub new_secret: Bytes,
        /// `reason`.
        pub reason: ShortStr,
    }

    impl Arguments for UpdateSecret {
        const ID: MethodId = MethodId { class: 10, method: 70 };
        const NAME: &'static str = "connection.update-secret";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let new_secret = from.long_str()?;
            let reason = from.short_str()?;
            Ok(UpdateSecret { new_secret, reason })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_long_str(to, &self.new_secret);
            wire::put_short_str(to, &self.reason);
        }
    }

    /// `connection.update-secret-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct UpdateSecretOk;

    impl Arguments for UpdateSecretOk {
        const ID: MethodId = MethodId { class: 10, method: 71 };
        const NAME: &'static str = "connection.update-secret-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(UpdateSecretOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}

/// Class 20, `channel`.
pub mod channel {
    use super::*;

    /// `channel.open`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Open {
        /// `out-of-band`.
        pub out_of_band: ShortStr,
    }

    impl Arguments for Open {
        const ID: MethodId = MethodId { class: 20, method: 10 };
        const NAME: &'static str = "channel.open";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let out_of_band = from.short_str()?;
            Ok(Open { out_of_band })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.out_of_band);
        }
    }

    /// `channel.open-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct OpenOk {
        /// `channel-id`.
        pub channel_id: Bytes,
    }

    impl Arguments for OpenOk {
        const ID: MethodId = MethodId { class: 20, method: 11 };
        const NAME: &'static str = "channel.open-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let channel_id = from.long_str()?;
            Ok(OpenOk { channel_id })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_long_str(to, &self.channel_id);
        }
    }

    /// `channel.flow`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Flow {
        /// `active`.
        pub active: bool,
    }

    impl Arguments for Flow {
        const ID: MethodId = MethodId { class: 20, method: 20 };
        const NAME: &'static str = "channel.flow";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let active_bits = from.u8()?;
            let active = active_bits & 0x01 != 0;
            Ok(Flow { active })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(u8::from(self.active));
        }
    }

    /// `channel.flow-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct FlowOk {
        /// `active`.
        pub active: bool,
    }

    impl Arguments for FlowOk {
        const ID: MethodId = MethodId { class: 20, method: 21 };
        const NAME: &'static str = "channel.flow-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let active_bits = from.u8()?;
            let active = active_bits & 0x01 != 0;
            Ok(FlowOk { active })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(u8::from(self.active));
        }
    }

    /// `channel.close`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Close {
        /// `reply-code`.
        pub reply_code: u16,
        /// `reply-text`.
        pub reply_text: ShortStr,
        /// `class-id`.
        pub class_id: u16,
        /// `method-id`.
        pub method_id: u16,
    }

    impl Arguments for Close {
        const ID: MethodId = MethodId { class: 20, method: 40 };
        const NAME: &'static str = "channel.close";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let reply_code = from.u16()?;
            let reply_text = from.short_str()?;
            let class_id = from.u16()?;
            let method_id = from.u16()?;
            Ok(Close { reply_code, reply_text, class_id, method_id })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.reply_code);
            wire::put_short_str(to, &self.reply_text);
            to.put_u16(self.class_id);
            to.put_u16(self.method_id);
        }
    }

    /// `channel.close-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct CloseOk;

    impl Arguments for CloseOk {
        const ID: MethodId = MethodId { class: 20, method: 41 };
        const NAME: &'static str = "channel.close-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(CloseOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}

/// Class 30, `access`.
pub mod access {
    use super::*;

    /// `access.request`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Request {
        /// `realm`.
        pub realm: ShortStr,
        /// `exclusive`.
        pub exclusive: bool,
        /// `passive`.
        pub passive: bool,
        /// `active`.
        pub active: bool,
        /// `write`.
        pub write: bool,
        /// `read`.
        pub read: bool,
    }

    impl Default for Request {
        fn default() -> Self {
            Request {
                realm: ShortStr::from_static("/data"),
                exclusive: Default::default(),
                passive: true,
                active: true,
                write: true,
                read: true,
            }
        }
    }

    impl Arguments for Request {
        const ID: MethodId = MethodId { class: 30, method: 10 };
        const NAME: &'static str = "access.request";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let realm = from.short_str()?;
            let exclusive_bits = from.u8()?;
            let exclusive = exclusive_bits & 0x01 != 0;
            let passive = exclusive_bits & 0x02 != 0;
            let active = exclusive_bits & 0x04 != 0;
            let write = exclusive_bits & 0x08 != 0;
            let read = exclusive_bits & 0x10 != 0;
            Ok(Request { realm, exclusive, passive, active, write, read })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.realm);
            to.put_u8(u8::from(self.exclusive) | u8::from(self.passive) << 1 | u8::from(self.active) << 2 | u8::from(self.write) << 3 | u8::from(self.read) << 4);
        }
    }

    /// `access.request-ok`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct RequestOk {
        /// `ticket`.
        pub ticket: u16,
    }

    impl Default for RequestOk {
        fn default() -> Self {
            RequestOk {
                ticket: 1,
            }
        }
    }

    impl Arguments for RequestOk {
        const ID: MethodId = MethodId { class: 30, method: 11 };
        const NAME: &'static str = "access.request-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            Ok(RequestOk { ticket })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
        }
    }
}

/// Class 40, `exchange`.
pub mod exchange {
    use super::*;

    /// `exchange.declare`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Declare {
        /// `ticket`.
        pub ticket: u16,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `type`.
        pub kind: ShortStr,
        /// `passive`.
        pub passive: bool,
        /// `durable`.
        pub durable: bool,
        /// `auto-delete`.
        pub auto_delete: bool,
        /// `internal`.
        pub internal: bool,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Default for Declare {
        fn default() -> Self {
            Declare {
                ticket: Default::default(),
                exchange: Default::default(),
                kind: ShortStr::from_static("direct"),
                passive: Default::default(),
                durable: Default::default(),
                auto_delete: Default::default(),
                internal: Default::default(),
                nowait: Default::default(),
                arguments: Default::default(),
            }
        }
    }

    impl Arguments for Declare {
        const ID: MethodId = MethodId { class: 40, method: 10 };
        const NAME: &'static str = "exchange.declare";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let exchange = from.short_str()?;
            let kind = from.short_str()?;
            let passive_bits = from.u8()?;
            let passive = passive_bits & 0x01 != 0;
            let durable = passive_bits & 0x02 != 0;
            let auto_delete = passive_bits & 0x04 != 0;
            let internal = passive_bits & 0x08 != 0;
            let nowait = passive_bits & 0x10 != 0;
            let arguments = from.table()?;
            Ok(Declare { ticket, exchange, kind, passive, durable, auto_delete, internal, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.kind);
            to.put_u8(u8::from(self.passive) | u8::from(self.durable) << 1 | u8::from(self.auto_delete) << 2 | u8::from(self.internal) << 3 | u8::from(self.nowait) << 4);
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `exchange.declare-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct DeclareOk;

    impl Arguments for DeclareOk {
        const ID: MethodId = MethodId { class: 40, method: 11 };
        const NAME: &'static str = "exchange.declare-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(DeclareOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `exchange.delete`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Delete {
        /// `ticket`.
        pub ticket: u16,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `if-unused`.
        pub if_unused: bool,
        /// `nowait`.
        pub nowait: bool,
    }

    impl Arguments for Delete {
        const ID: MethodId = MethodId { class: 40, method: 20 };
        const NAME: &'static str = "exchange.delete";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let exchange = from.short_str()?;
            let if_unused_bits = from.u8()?;
            let if_unused = if_unused_bits & 0x01 != 0;
            let nowait = if_unused_bits & 0x02 != 0;
            Ok(Delete { ticket, exchange, if_unused, nowait })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.exchange);
            to.put_u8(u8::from(self.if_unused) | u8::from(self.nowait) << 1);
        }
    }

    /// `exchange.delete-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct DeleteOk;

    impl Arguments for DeleteOk {
        const ID: MethodId = MethodId { class: 40, method: 21 };
        const NAME: &'static str = "exchange.delete-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(DeleteOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `exchange.bind`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Bind {
        /// `ticket`.
        pub ticket: u16,
        /// `destination`.
        pub destination: ShortStr,
        /// `source`.
        pub source: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Bind {
        const ID: MethodId = MethodId { class: 40, method: 30 };
        const NAME: &'static str = "exchange.bind";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let destination = from.short_str()?;
            let source = from.short_str()?;
            let routing_key = from.short_str()?;
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            let arguments = from.table()?;
            Ok(Bind { ticket, destination, source, routing_key, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.destination);
            wire::put_short_str(to, &self.source);
            wire::put_short_str(to, &self.routing_key);
            to.put_u8(u8::from(self.nowait));
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `exchange.bind-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct BindOk;

    impl Arguments for BindOk {
        const ID: MethodId = MethodId { class: 40, method: 31 };
        const NAME: &'static str = "exchange.bind-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(BindOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `exchange.unbind`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Unbind {
        /// `ticket`.
        pub ticket: u16,
        /// `destination`.
        pub destination: ShortStr,
        /// `source`.
        pub source: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Unbind {
        const ID: MethodId = MethodId { class: 40, method: 40 };
        const NAME: &'static str = "exchange.unbind";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let destination = from.short_str()?;
            let source = from.short_str()?;
            let routing_key = from.short_str()?;
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            let arguments = from.table()?;
            Ok(Unbind { ticket, destination, source, routing_key, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.destination);
            wire::put_short_str(to, &self.source);
            wire::put_short_str(to, &self.routing_key);
            to.put_u8(u8::from(self.nowait));
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `exchange.unbind-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct UnbindOk;

    impl Arguments for UnbindOk {
        const ID: MethodId = MethodId { class: 40, method: 51 };
        const NAME: &'static str = "exchange.unbind-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(UnbindOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}

/// Class 50, `queue`.
pub mod queue {
    use super::*;

    /// `queue.declare`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Declare {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `passive`.
        pub passive: bool,
        /// `durable`.
        pub durable: bool,
        /// `exclusive`.
        pub exclusive: bool,
        /// `auto-delete`.
        pub auto_delete: bool,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Declare {
        const ID: MethodId = MethodId { class: 50, method: 10 };
        const NAME: &'static str = "queue.declare";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let passive_bits = from.u8()?;
            let passive = passive_bits & 0x01 != 0;
            let durable = passive_bits & 0x02 != 0;
            let exclusive = passive_bits & 0x04 != 0;
            let auto_delete = passive_bits & 0x08 != 0;
            let nowait = passive_bits & 0x10 != 0;
            let arguments = from.table()?;
            Ok(Declare { ticket, queue, passive, durable, exclusive, auto_delete, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            to.put_u8(u8::from(self.passive) | u8::from(self.durable) << 1 | u8::from(self.exclusive) << 2 | u8::from(self.auto_delete) << 3 | u8::from(self.nowait) << 4);
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `queue.declare-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct DeclareOk {
        /// `queue`.
        pub queue: ShortStr,
        /// `message-count`.
        pub message_count: u32,
        /// `consumer-count`.
        pub consumer_count: u32,
    }

    impl Arguments for DeclareOk {
        const ID: MethodId = MethodId { class: 50, method: 11 };
        const NAME: &'static str = "queue.declare-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let queue = from.short_str()?;
            let message_count = from.u32()?;
            let consumer_count = from.u32()?;
            Ok(DeclareOk { queue, message_count, consumer_count })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.queue);
            to.put_u32(self.message_count);
            to.put_u32(self.consumer_count);
        }
    }

    /// `queue.bind`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Bind {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Bind {
        const ID: MethodId = MethodId { class: 50, method: 20 };
        const NAME: &'static str = "queue.bind";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let exchange = from.short_str()?;
            let routing_key = from.short_str()?;
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            let arguments = from.table()?;
            Ok(Bind { ticket, queue, exchange, routing_key, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
            to.put_u8(u8::from(self.nowait));
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `queue.bind-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct BindOk;

    impl Arguments for BindOk {
        const ID: MethodId = MethodId { class: 50, method: 21 };
        const NAME: &'static str = "queue.bind-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(BindOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `queue.purge`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Purge {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `nowait`.
        pub nowait: bool,
    }

    impl Arguments for Purge {
        const ID: MethodId = MethodId { class: 50, method: 30 };
        const NAME: &'static str = "queue.purge";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            Ok(Purge { ticket, queue, nowait })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            to.put_u8(u8::from(self.nowait));
        }
    }

    /// `queue.purge-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct PurgeOk {
        /// `message-count`.
        pub message_count: u32,
    }

    impl Arguments for PurgeOk {
        const ID: MethodId = MethodId { class: 50, method: 31 };
        const NAME: &'static str = "queue.purge-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let message_count = from.u32()?;
            Ok(PurgeOk { message_count })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u32(self.message_count);
        }
    }

    /// `queue.delete`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Delete {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `if-unused`.
        pub if_unused: bool,
        /// `if-empty`.
        pub if_empty: bool,
        /// `nowait`.
        pub nowait: bool,
    }

    impl Arguments for Delete {
        const ID: MethodId = MethodId { class: 50, method: 40 };
        const NAME: &'static str = "queue.delete";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let if_unused_bits = from.u8()?;
            let if_unused = if_unused_bits & 0x01 != 0;
            let if_empty = if_unused_bits & 0x02 != 0;
            let nowait = if_unused_bits & 0x04 != 0;
            Ok(Delete { ticket, queue, if_unused, if_empty, nowait })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            to.put_u8(u8::from(self.if_unused) | u8::from(self.if_empty) << 1 | u8::from(self.nowait) << 2);
        }
    }

    /// `queue.delete-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct DeleteOk {
        /// `message-count`.
        pub message_count: u32,
    }

    impl Arguments for DeleteOk {
        const ID: MethodId = MethodId { class: 50, method: 41 };
        const NAME: &'static str = "queue.delete-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let message_count = from.u32()?;
            Ok(DeleteOk { message_count })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u32(self.message_count);
        }
    }

    /// `queue.unbind`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Unbind {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Unbind {
        const ID: MethodId = MethodId { class: 50, method: 50 };
        const NAME: &'static str = "queue.unbind";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let exchange = from.short_str()?;
            let routing_key = from.short_str()?;
            let arguments = from.table()?;
            Ok(Unbind { ticket, queue, exchange, routing_key, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `queue.unbind-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct UnbindOk;

    impl Arguments for UnbindOk {
        const ID: MethodId = MethodId { class: 50, method: 51 };
        const NAME: &'static str = "queue.unbind-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(UnbindOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}

/// Class 60, `basic`.
pub mod basic {
    use super::*;

    /// `basic.qos`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Qos {
        /// `prefetch-size`.
        pub prefetch_size: u32,
        /// `prefetch-count`.
        pub prefetch_count: u16,
        /// `global`.
        pub global: bool,
    }

    impl Arguments for Qos {
        const ID: MethodId = MethodId { class: 60, method: 10 };
        const NAME: &'static str = "basic.qos";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let prefetch_size = from.u32()?;
            let prefetch_count = from.u16()?;
            let global_bits = from.u8()?;
            let global = global_bits & 0x01 != 0;
            Ok(Qos { prefetch_size, prefetch_count, global })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u32(self.prefetch_size);
            to.put_u16(self.prefetch_count);
            to.put_u8(u8::from(self.global));
        }
    }

    /// `basic.qos-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct QosOk;

    impl Arguments for QosOk {
        const ID: MethodId = MethodId { class: 60, method: 11 };
        const NAME: &'static str = "basic.qos-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(QosOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `basic.consume`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Consume {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `consumer-tag`.
        pub consumer_tag: ShortStr,
        /// `no-local`.
        pub no_local: bool,
        /// `no-ack`.
        pub no_ack: bool,
        /// `exclusive`.
        pub exclusive: bool,
        /// `nowait`.
        pub nowait: bool,
        /// `arguments`.
        pub arguments: FieldTable,
    }

    impl Arguments for Consume {
        const ID: MethodId = MethodId { class: 60, method: 20 };
        const NAME: &'static str = "basic.consume";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let consumer_tag = from.short_str()?;
            let no_local_bits = from.u8()?;
            let no_local = no_local_bits & 0x01 != 0;
            let no_ack = no_local_bits & 0x02 != 0;
            let exclusive = no_local_bits & 0x04 != 0;
            let nowait = no_local_bits & 0x08 != 0;
            let arguments = from.table()?;
            Ok(Consume { ticket, queue, consumer_tag, no_local, no_ack, exclusive, nowait, arguments })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            wire::put_short_str(to, &self.consumer_tag);
            to.put_u8(u8::from(self.no_local) | u8::from(self.no_ack) << 1 | u8::from(self.exclusive) << 2 | u8::from(self.nowait) << 3);
            wire::put_long_str(to, self.arguments.as_bytes());
        }
    }

    /// `basic.consume-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct ConsumeOk {
        /// `consumer-tag`.
        pub consumer_tag: ShortStr,
    }

    impl Arguments for ConsumeOk {
        const ID: MethodId = MethodId { class: 60, method: 21 };
        const NAME: &'static str = "basic.consume-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let consumer_tag = from.short_str()?;
            Ok(ConsumeOk { consumer_tag })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.consumer_tag);
        }
    }

    /// `basic.cancel`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Cancel {
        /// `consumer-tag`.
        pub consumer_tag: ShortStr,
        /// `nowait`.
        pub nowait: bool,
    }

    impl Arguments for Cancel {
        const ID: MethodId = MethodId { class: 60, method: 30 };
        const NAME: &'static str = "basic.cancel";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let consumer_tag = from.short_str()?;
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            Ok(Cancel { consumer_tag, nowait })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.consumer_tag);
            to.put_u8(u8::from(self.nowait));
        }
    }

    /// `basic.cancel-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct CancelOk {
        /// `consumer-tag`.
        pub consumer_tag: ShortStr,
    }

    impl Arguments for CancelOk {
        const ID: MethodId = MethodId { class: 60, method: 31 };
        const NAME: &'static str = "basic.cancel-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let consumer_tag = from.short_str()?;
            Ok(CancelOk { consumer_tag })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.consumer_tag);
        }
    }

    /// `basic.publish`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Publish {
        /// `ticket`.
        pub ticket: u16,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `mandatory`.
        pub mandatory: bool,
        /// `immediate`.
        pub immediate: bool,
    }

    impl Arguments for Publish {
        const ID: MethodId = MethodId { class: 60, method: 40 };
        const NAME: &'static str = "basic.publish";
        const CONTENT: bool = true;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let exchange = from.short_octets()?;
            let routing_key = from.short_octets()?;
            let mandatory_bits = from.u8()?;
            let mandatory = mandatory_bits & 0x01 != 0;
            let immediate = mandatory_bits & 0x02 != 0;
            Ok(Publish { ticket, exchange, routing_key, mandatory, immediate })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
            to.put_u8(u8::from(self.mandatory) | u8::from(self.immediate) << 1);
        }
    }

    /// `basic.return`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Return {
        /// `reply-code`.
        pub reply_code: u16,
        /// `reply-text`.
        pub reply_text: ShortStr,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
    }

    impl Arguments for Return {
        const ID: MethodId = MethodId { class: 60, method: 50 };
        const NAME: &'static str = "basic.return";
        const CONTENT: bool = true;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let reply_code = from.u16()?;
            let reply_text = from.short_octets()?;
            let exchange = from.short_octets()?;
            let routing_key = from.short_octets()?;
            Ok(Return { reply_code, reply_text, exchange, routing_key })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.reply_code);
            wire::put_short_str(to, &self.reply_text);
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
        }
    }

    /// `basic.deliver`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Deliver {
        /// `consumer-tag`.
        pub consumer_tag: ShortStr,
        /// `delivery-tag`.
        pub delivery_tag: u64,
        /// `redelivered`.
        pub redelivered: bool,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
    }

    impl Arguments for Deliver {
        const ID: MethodId = MethodId { class: 60, method: 60 };
        const NAME: &'static str = "basic.deliver";
        const CONTENT: bool = true;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let consumer_tag = from.short_octets()?;
            let delivery_tag = from.u64()?;
            let redelivered_bits = from.u8()?;
            let redelivered = redelivered_bits & 0x01 != 0;
            let exchange = from.short_octets()?;
            let routing_key = from.short_octets()?;
            Ok(Deliver { consumer_tag, delivery_tag, redelivered, exchange, routing_key })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.consumer_tag);
            to.put_u64(self.delivery_tag);
            to.put_u8(u8::from(self.redelivered));
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
        }
    }

    /// `basic.get`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Get {
        /// `ticket`.
        pub ticket: u16,
        /// `queue`.
        pub queue: ShortStr,
        /// `no-ack`.
        pub no_ack: bool,
    }

    impl Arguments for Get {
        const ID: MethodId = MethodId { class: 60, method: 70 };
        const NAME: &'static str = "basic.get";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let ticket = from.u16()?;
            let queue = from.short_str()?;
            let no_ack_bits = from.u8()?;
            let no_ack = no_ack_bits & 0x01 != 0;
            Ok(Get { ticket, queue, no_ack })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u16(self.ticket);
            wire::put_short_str(to, &self.queue);
            to.put_u8(u8::from(self.no_ack));
        }
    }

    /// `basic.get-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct GetOk {
        /// `delivery-tag`.
        pub delivery_tag: u64,
        /// `redelivered`.
        pub redelivered: bool,
        /// `exchange`.
        pub exchange: ShortStr,
        /// `routing-key`.
        pub routing_key: ShortStr,
        /// `message-count`.
        pub message_count: u32,
    }

    impl Arguments for GetOk {
        const ID: MethodId = MethodId { class: 60, method: 71 };
        const NAME: &'static str = "basic.get-ok";
        const CONTENT: bool = true;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let delivery_tag = from.u64()?;
            let redelivered_bits = from.u8()?;
            let redelivered = redelivered_bits & 0x01 != 0;
            let exchange = from.short_octets()?;
            let routing_key = from.short_octets()?;
            let message_count = from.u32()?;
            Ok(GetOk { delivery_tag, redelivered, exchange, routing_key, message_count })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u64(self.delivery_tag);
            to.put_u8(u8::from(self.redelivered));
            wire::put_short_str(to, &self.exchange);
            wire::put_short_str(to, &self.routing_key);
            to.put_u32(self.message_count);
        }
    }

    /// `basic.get-empty`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct GetEmpty {
        /// `cluster-id`.
        pub cluster_id: ShortStr,
    }

    impl Arguments for GetEmpty {
        const ID: MethodId = MethodId { class: 60, method: 72 };
        const NAME: &'static str = "basic.get-empty";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let cluster_id = from.short_str()?;
            Ok(GetEmpty { cluster_id })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            wire::put_short_str(to, &self.cluster_id);
        }
    }

    /// `basic.ack`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Ack {
        /// `delivery-tag`.
        pub delivery_tag: u64,
        /// `multiple`.
        pub multiple: bool,
    }

    impl Arguments for Ack {
        const ID: MethodId = MethodId { class: 60, method: 80 };
        const NAME: &'static str = "basic.ack";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let delivery_tag = from.u64()?;
            let multiple_bits = from.u8()?;
            let multiple = multiple_bits & 0x01 != 0;
            Ok(Ack { delivery_tag, multiple })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u64(self.delivery_tag);
            to.put_u8(u8::from(self.multiple));
        }
    }

    /// `basic.reject`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Reject {
        /// `delivery-tag`.
        pub delivery_tag: u64,
        /// `requeue`.
        pub requeue: bool,
    }

    impl Default for Reject {
        fn default() -> Self {
            Reject {
                delivery_tag: Default::default(),
                requeue: true,
            }
        }
    }

    impl Arguments for Reject {
        const ID: MethodId = MethodId { class: 60, method: 90 };
        const NAME: &'static str = "basic.reject";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let delivery_tag = from.u64()?;
            let requeue_bits = from.u8()?;
            let requeue = requeue_bits & 0x01 != 0;
            Ok(Reject { delivery_tag, requeue })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u64(self.delivery_tag);
            to.put_u8(u8::from(self.requeue));
        }
    }

    /// `basic.recover-async`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct RecoverAsync {
        /// `requeue`.
        pub requeue: bool,
    }

    impl Arguments for RecoverAsync {
        const ID: MethodId = MethodId { class: 60, method: 100 };
        const NAME: &'static str = "basic.recover-async";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let requeue_bits = from.u8()?;
            let requeue = requeue_bits & 0x01 != 0;
            Ok(RecoverAsync { requeue })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(u8::from(self.requeue));
        }
    }

    /// `basic.recover`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Recover {
        /// `requeue`.
        pub requeue: bool,
    }

    impl Arguments for Recover {
        const ID: MethodId = MethodId { class: 60, method: 110 };
        const NAME: &'static str = "basic.recover";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let requeue_bits = from.u8()?;
            let requeue = requeue_bits & 0x01 != 0;
            Ok(Recover { requeue })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(u8::from(self.requeue));
        }
    }

    /// `basic.recover-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct RecoverOk;

    impl Arguments for RecoverOk {
        const ID: MethodId = MethodId { class: 60, method: 111 };
        const NAME: &'static str = "basic.recover-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(RecoverOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `basic.nack`.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Nack {
        /// `delivery-tag`.
        pub delivery_tag: u64,
        /// `multiple`.
        pub multiple: bool,
        /// `requeue`.
        pub requeue: bool,
    }

    impl Default for Nack {
        fn default() -> Self {
            Nack {
                delivery_tag: Default::default(),
                multiple: Default::default(),
                requeue: true,
            }
        }
    }

    impl Arguments for Nack {
        const ID: MethodId = MethodId { class: 60, method: 120 };
        const NAME: &'static str = "basic.nack";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let delivery_tag = from.u64()?;
            let multiple_bits = from.u8()?;
            let multiple = multiple_bits & 0x01 != 0;
            let requeue = multiple_bits & 0x02 != 0;
            Ok(Nack { delivery_tag, multiple, requeue })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u64(self.delivery_tag);
            to.put_u8(u8::from(self.multiple) | u8::from(self.requeue) << 1);
        }
    }
}

/// Class 85, `confirm`.
pub mod confirm {
    use super::*;

    /// `confirm.select`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Select {
        /// `nowait`.
        pub nowait: bool,
    }

    impl Arguments for Select {
        const ID: MethodId = MethodId { class: 85, method: 10 };
        const NAME: &'static str = "confirm.select";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        #[inline]
        fn decode(from: &mut Cursor<'_>) -> Result<Self, WireError> {
            let nowait_bits = from.u8()?;
            let nowait = nowait_bits & 0x01 != 0;
            Ok(Select { nowait })
        }

        #[inline]
        fn encode(&self, to: &mut BytesMut) {
            to.put_u8(u8::from(self.nowait));
        }
    }

    /// `confirm.select-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct SelectOk;

    impl Arguments for SelectOk {
        const ID: MethodId = MethodId { class: 85, method: 11 };
        const NAME: &'static str = "confirm.select-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(SelectOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}

/// Class 90, `tx`.
pub mod tx {
    use super::*;

    /// `tx.select`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Select;

    impl Arguments for Select {
        const ID: MethodId = MethodId { class: 90, method: 10 };
        const NAME: &'static str = "tx.select";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(Select)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `tx.select-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct SelectOk;

    impl Arguments for SelectOk {
        const ID: MethodId = MethodId { class: 90, method: 11 };
        const NAME: &'static str = "tx.select-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(SelectOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `tx.commit`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Commit;

    impl Arguments for Commit {
        const ID: MethodId = MethodId { class: 90, method: 20 };
        const NAME: &'static str = "tx.commit";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(Commit)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `tx.commit-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct CommitOk;

    impl Arguments for CommitOk {
        const ID: MethodId = MethodId { class: 90, method: 21 };
        const NAME: &'static str = "tx.commit-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(CommitOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `tx.rollback`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct Rollback;

    impl Arguments for Rollback {
        const ID: MethodId = MethodId { class: 90, method: 30 };
        const NAME: &'static str = "tx.rollback";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = true;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(Rollback)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }

    /// `tx.rollback-ok`.
    #[derive(Clone, Debug, PartialEq, Eq, Default)]
    pub struct RollbackOk;

    impl Arguments for RollbackOk {
        const ID: MethodId = MethodId { class: 90, method: 31 };
        const NAME: &'static str = "tx.rollback-ok";
        const CONTENT: bool = false;
        const SYNCHRONOUS: bool = false;

        fn decode(_: &mut Cursor<'_>) -> Result<Self, WireError> {
            Ok(RollbackOk)
        }

        fn encode(&self, _: &mut BytesMut) {}
    }
}
