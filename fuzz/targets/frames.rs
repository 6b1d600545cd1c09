//! A stream of frames in pieces, as a socket brings them: whatever they say, what
//! is read does not depend on where they were cut, and memory stays bounded by
//! what was sent.

#![no_main]

use bytes::BufMut;
use cap::Cap;
use libfuzzer_sys::fuzz_target;
use std::alloc::System;
use warren_amqp::{Frame, FrameError, FrameReader, Payload, Properties};

/// More than any input may make the reader hold.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 256 << 20);

const FRAME_MAX: u32 = 4096;

fn read(octets: &[u8], piece: usize) -> (Vec<Frame>, Option<FrameError>) {
    let mut reader = FrameReader::new(FRAME_MAX);
    let mut frames = Vec::new();
    for piece in octets.chunks(piece.max(1)) {
        reader.buffer().put_slice(piece);
        loop {
            match reader.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fuzz_target!(|octets: &[u8]| {
    let Some((&cut, octets)) = octets.split_first() else { return };
    let whole = read(octets, octets.len());
    assert_eq!(whole, read(octets, cut.into()));
    for frame in whole.0 {
        if let Payload::Header(header) = frame.payload
            && let Ok(properties) = Properties::parse(&header.properties)
        {
            drop(properties.to_builder());
        }
    }
});
