//! A method's payload: what is understood is said again in the same octets, but
//! for the bits that are reserved.

#![no_main]

use bytes::{Buf, Bytes};
use cap::Cap;
use libfuzzer_sys::fuzz_target;
use std::alloc::System;
use warren_amqp::{FrameReader, Method, OutBuffer, Payload};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 256 << 20);

fuzz_target!(|octets: &[u8]| {
    let Ok(method) = Method::decode(&Bytes::copy_from_slice(octets)) else { return };
    let mut out = OutBuffer::new();
    out.method(1, &method);
    let mut reader = FrameReader::new(0);
    while out.has_remaining() {
        let chunk = out.chunk().len();
        let bytes = out.copy_to_bytes(chunk);
        reader.buffer().extend_from_slice(&bytes);
    }
    match reader.next_frame() {
        Ok(Some(frame)) => assert_eq!(frame.payload, Payload::Method(method)),
        other => panic!("{method:?} is read back as {other:?}"),
    }
});
