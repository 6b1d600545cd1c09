//! AMQP 0-9-1 as octets: frames, methods, tables, properties. No sockets, no
//! state of a connection or channel; both directions, so that brokers and clients
//! use it alike.
//!
//! - Reading: [`FrameReader`] gives [`Frame`]s whose strings, tables and bodies
//!   are slices of the read buffer. It never panics, allocates nothing in
//!   proportion to what a length field claims, and refuses with a [`FrameError`]
//!   that knows its reply code.
//! - Writing: [`OutBuffer`] gathers frames for vectored writes; large bodies are
//!   not copied.
//! - [`Method`] and its structs, constants and reply codes are generated from the
//!   protocol's definition (`spec/`, see `examples/generate`).

mod error;
mod frame;
#[rustfmt::skip]
mod generated;
mod method;
mod out;
mod properties;
mod short_str;
pub mod table;
pub mod wire;

pub use error::{ErrorKind, FrameError};
pub use frame::{
    BadProtocolHeader, FRAME_OVERHEAD, Frame, FrameReader, PROTOCOL_HEADER, Payload, decode_frame,
    decode_protocol_header,
};
pub use generated::{
    FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, FRAME_MIN_SIZE, Method, ReplyCode, access,
    basic, channel, confirm, connection, exchange, queue, tx,
};
pub use method::{Arguments, MethodId};
pub use out::{Delivery, OutBuffer};
pub use properties::{BASIC, ContentHeader, Properties, PropertiesBuilder, with_long_header};
pub use short_str::{ShortStr, TooLong};
pub use table::{FieldArray, FieldTable, Value};
