//! From octets to frames. [`FrameReader`] owns a connection's read buffer;
//! frames are slices of it.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::{ErrorKind, FrameError};
use crate::generated::{FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_HEARTBEAT, FRAME_METHOD, Method};
use crate::properties::ContentHeader;
use crate::wire::Cursor;

/// Type, channel and length before a payload, [`FRAME_END`] behind it.
pub const FRAME_OVERHEAD: usize = FRAME_HEAD + 1;
const FRAME_HEAD: usize = 7;

/// What a client says first, and what a broker answers to anything else.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// The header of AMQP 0-9, which clients of the same protocol send too.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// What some clients of AMQP 0-9-1 made of it.
const PROTOCOL_HEADER_1_1: [u8; 8] = *b"AMQP\x01\x01\x09\x01";

/// The peer does not speak AMQP 0-9-1: answer [`PROTOCOL_HEADER`] and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a protocol header of AMQP 0-9-1")]
pub struct BadProtocolHeader;

/// Takes the protocol header off `input`; `None` if more of it must come.
///
/// # Errors
/// As soon as it can be no header of ours, even if incomplete.
pub fn decode_protocol_header(input: &mut BytesMut) -> Result<Option<()>, BadProtocolHeader> {
    let seen = input.get(..PROTOCOL_HEADER.len()).unwrap_or(input);
    let known = [PROTOCOL_HEADER, PROTOCOL_HEADER_0_9, PROTOCOL_HEADER_1_1];
    if !known.iter().any(|header| header.starts_with(seen)) {
        return Err(BadProtocolHeader);
    }
    if seen.len() < PROTOCOL_HEADER.len() {
        return Ok(None);
    }
    input.advance(PROTOCOL_HEADER.len());
    Ok(Some(()))
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// 0 is the connection's.
    pub channel: u16,
    /// What is in it.
    pub payload: Payload,
}

/// What is in a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A method.
    Method(Method),
    /// A content header.
    Header(ContentHeader),
    /// A part of a body.
    Body(Bytes),
    /// Nothing: the peer lives.
    Heartbeat,
}

/// Takes the first frame off `input`; `None` if more of it must come.
///
/// # Errors
/// See [`FrameError`]; the size is refused before its octets are awaited.
pub fn decode_frame(input: &mut BytesMut, frame_max: u32) -> Result<Option<Frame>, FrameError> {
    let Some(size) = complete(input, frame_max)? else {
        return Ok(None);
    };
    let frame = input.split_to(size).freeze();
    decode(&frame, 0..size).map(Some)
}

/// Size of the first frame in `input`, if all of it is there.
fn complete(input: &[u8], frame_max: u32) -> Result<Option<usize>, FrameError> {
    if let Some(&kind) = input.first()
        && !is_frame_type(kind)
    {
        // Told at once, and of no channel: what follows may never be a frame.
        return Err(FrameError { channel: 0, kind: ErrorKind::UnknownType(kind) });
    }
    let Some(&[_, channel_high, channel_low, a, b, c, d]) = input.first_chunk::<FRAME_HEAD>() else {
        return Ok(None);
    };
    let channel = u16::from_be_bytes([channel_high, channel_low]);
    let size = u64::from(u32::from_be_bytes([a, b, c, d])) + FRAME_OVERHEAD as u64;
    if size > u64::from(frame_max) {
        return Err(FrameError { channel, kind: ErrorKind::TooLarge { size, max: frame_max } });
    }
    let Ok(size) = usize::try_from(size) else {
        return Ok(None);
    };
    match input.get(size - 1) {
        None => Ok(None),
        Some(&FRAME_END) => Ok(Some(size)),
        Some(&end) => Err(FrameError { channel, kind: ErrorKind::End(end) }),
    }
}

fn is_frame_type(kind: u8) -> bool {
    matches!(kind, FRAME_METHOD | FRAME_HEADER | FRAME_BODY | FRAME_HEARTBEAT)
}

/// The whole frame at `part` of `source`, its size and end checked by [`complete`].
#[inline]
fn decode(source: &Bytes, part: Range<usize>) -> Result<Frame, FrameError> {
    let mut from = Cursor::within(source, part.start..part.end.saturating_sub(1));
    let (Ok(kind), Ok(channel), Ok(_size)) = (from.u8(), from.u16(), from.u32()) else {
        return Err(FrameError { channel: 0, kind: ErrorKind::UnknownType(0) });
    };
    let payload = match kind {
        FRAME_METHOD => Method::read(&mut from).map(Payload::Method),
        FRAME_HEADER => ContentHeader::read(&mut from).map(Payload::Header).map_err(ErrorKind::Header),
        FRAME_BODY => Ok(Payload::Body(from.rest())),
        FRAME_HEARTBEAT if from.remaining() == 0 => Ok(Payload::Heartbeat),
        FRAME_HEARTBEAT => Err(ErrorKind::Heartbeat),
        _ => Err(ErrorKind::UnknownType(kind)),
    };
    match payload {
        Ok(payload) => Ok(Frame { channel, payload }),
        Err(kind) => Err(FrameError { channel, kind }),
    }
}

/// A connection's read buffer and the frames in it.
///
/// Read into [`FrameReader::buffer`], then take frames until there are none:
/// all whole frames of a read become one shared buffer, whose slices the frames are.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    /// Whole frames, given up to `at`.
    whole: Bytes,
    at: usize,
    frame_max: u32,
}

/// Size of a read buffer.
const READ_SIZE: usize = 64 * 1024;
/// With less room than this, a new one is begun.
const READ_LEAST: usize = 16 * 1024;

impl FrameReader {
    /// Refuses frames of more than `frame_max` octets (overhead included); 0 is no limit.
    pub fn new(frame_max: u32) -> Self {
        FrameReader { buffer: BytesMut::new(), whole: Bytes::new(), at: 0, frame_max: limit(frame_max) }
    }

    /// From the next frame on; 0 is no limit.
    pub fn set_frame_max(&mut self, frame_max: u32) {
        self.frame_max = limit(frame_max);
    }

    /// Where to read to, with room for a read. What is read is bounded: a frame
    /// that is not yet whole has at most frame-max octets.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.capacity() - self.buffer.len() < READ_LEAST {
            self.buffer.reserve(READ_SIZE);
        }
        &mut self.buffer
    }

    /// Takes the protocol header off what was read; see [`decode_protocol_header`].
    ///
    /// # Errors
    /// It is none.
    pub fn protocol_header(&mut self) -> Result<Option<()>, BadProtocolHeader> {
        decode_protocol_header(&mut self.buffer)
    }

    /// The next frame of what was read; `None` if more must come.
    ///
    /// # Errors
    /// See [`FrameError`]. The frames before it have been given.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.at == self.whole.len() {
            // Let go first, so that the buffer can be used again.
            self.whole = Bytes::new();
            self.at = 0;
            let size = self.whole_frames()?;
            if size == 0 {
                return Ok(None);
            }
            self.whole = self.buffer.split_to(size).freeze();
        }
        // The limit may have been lowered since: checked again.
        let rest = self.whole.get(self.at..).unwrap_or_default();
        let Some(size) = complete(rest, self.frame_max)? else {
            return Ok(None);
        };
        let begin = self.at;
        self.at += size;
        decode(&self.whole, begin..self.at).map(Some)
    }

    /// How many octets of the buffer are whole frames. What is wrong behind the
    /// first of them is told when its turn comes.
    fn whole_frames(&self) -> Result<usize, FrameError> {
        let mut end = 0;
        loop {
            let rest = self.buffer.get(end..).unwrap_or_default();
            match complete(rest, self.frame_max) {
                Ok(Some(size)) => end += size,
                Ok(None) => return Ok(end),
                Err(error) if end == 0 => return Err(error),
                Err(_) => return Ok(end),
            }
        }
    }
}

fn limit(frame_max: u32) -> u32 {
    if frame_max == 0 { u32::MAX } else { frame_max }
}
