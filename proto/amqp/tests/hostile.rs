//! Input that is wrong: refused with the right code, never a panic, and never
//! memory in proportion to what a length field claims.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use warren_amqp::table::MAX_DEPTH;
use warren_amqp::wire::WireError;
use warren_amqp::{
    ErrorKind, FieldTable, FrameError, FrameReader, Method, PROTOCOL_HEADER, Payload, Properties, ReplyCode,
    decode_frame, decode_protocol_header,
};

/// Everything that a broker does with input; what it allocates is bounded by
/// the frame limit.
fn read(octets: &[u8], frame_max: u32) -> Option<FrameError> {
    let mut reader = FrameReader::new(frame_max);
    reader.buffer().put_slice(octets);
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => match frame.payload {
                Payload::Header(header) => {
                    if let Ok(properties) = Properties::parse(&header.properties) {
                        drop((properties.to_builder(), format!("{properties:?}")));
                    }
                }
                other => drop(format!("{other:?}")),
            },
            Ok(None) => return None,
            Err(error) => return Some(error),
        }
    }
}

fn code(octets: &[u8]) -> ReplyCode {
    read(octets, 131_072).unwrap().reply_code()
}

#[test]
fn every_mistake_has_its_reply_code() {
    assert_eq!(code(&support::frame(4, 0, b"")), ReplyCode::FrameError);
    assert_eq!(code(b"GET / HTTP/1.1\r\n"), ReplyCode::FrameError);
    assert_eq!(code(&support::frame(8, 0, b"x")), ReplyCode::FrameError);
    assert_eq!(code(&support::frame(2, 1, b"short")), ReplyCode::FrameError);
    let mut wrong_end = support::frame(3, 1, b"body");
    *wrong_end.last_mut().unwrap() = 0;
    assert_eq!(code(&wrong_end), ReplyCode::FrameError);
    assert_eq!(code(&[3, 0, 1, 0xff, 0xff, 0xff, 0xff]), ReplyCode::FrameError);
    assert_eq!(code(&support::frame(1, 1, &[0, 60, 0, 99])), ReplyCode::CommandInvalid);
    assert_eq!(code(&support::frame(1, 1, &[0, 60])), ReplyCode::FrameError);
    // basic.ack, a field short and an octet long.
    assert_eq!(code(&support::frame(1, 1, &[0, 60, 0, 80, 0, 0])), ReplyCode::FrameError);
    assert_eq!(code(&support::frame(1, 1, &[0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 1, 0, 9])), ReplyCode::FrameError);
    // basic.cancel of a consumer tag that is not UTF-8.
    assert_eq!(code(&support::frame(1, 1, &[0, 60, 0, 30, 1, 0xff, 0])), ReplyCode::FrameError);
    // queue.unbind with a field of type `z`.
    assert_eq!(
        code(&support::frame(1, 1, &[0, 50, 0, 50, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, b'k', b'z'])),
        ReplyCode::SyntaxError
    );
}

#[test]
fn a_mistake_names_channel_and_method() {
    let error = read(&support::frame(1, 5, &[0, 60, 0, 80, 0, 0]), 4096).unwrap();
    assert_eq!((error.channel, error.method().class, error.method().method), (5, 60, 80));
    assert_eq!(error.to_string(), "channel 5: cannot decode method {60,80}: truncated field");
}

#[test]
fn names_of_messages_may_be_any_octets_as_with_rabbitmq() {
    let payload = Bytes::from_static(&[0, 60, 0, 40, 0, 0, 1, 0xff, 2, b'k', 0xfe, 0]);
    let Method::BasicPublish(publish) = Method::decode(&payload).unwrap() else { panic!("not a publish") };
    assert_eq!((publish.exchange.as_bytes(), publish.exchange.as_str()), (&[0xff][..], ""));
    assert_eq!((publish.routing_key.as_bytes(), publish.routing_key.as_str()), (&[b'k', 0xfe][..], "k"));
}

#[test]
fn frames_before_a_mistake_are_given() {
    let mut octets = support::frame(8, 0, b"");
    octets.extend(support::frame(3, 2, b"body"));
    octets.push(99);
    let mut reader = FrameReader::new(0);
    reader.buffer().put_slice(&octets);
    assert_eq!(reader.next_frame().unwrap().unwrap().payload, Payload::Heartbeat);
    assert_eq!(reader.next_frame().unwrap().unwrap().payload, Payload::Body(Bytes::from_static(b"body")));
    assert_eq!(reader.next_frame(), Err(FrameError { channel: 0, kind: ErrorKind::UnknownType(99) }));
}

#[test]
fn what_is_wrong_does_not_depend_on_where_the_stream_was_cut() {
    for octets in [&[16, 1, 0][..], &[16, 1, 0, 0, 0, 0, 1, 7, 206]] {
        let error = FrameError { channel: 0, kind: ErrorKind::UnknownType(16) };
        assert_eq!(read(octets, 4096), Some(error));
    }
}

#[test]
fn a_frame_too_large_is_refused_before_it_is_there() {
    let mut reader = FrameReader::new(4096);
    reader.buffer().put_slice(&[3, 0, 9, 0, 0, 0x0f, 0xf9]);
    let error = FrameError { channel: 9, kind: ErrorKind::TooLarge { size: 4097, max: 4096 } };
    assert_eq!(reader.next_frame(), Err(error));
    let mut fits = BytesMut::from(&[3, 0, 9, 0, 0, 0x0f, 0xf8][..]);
    assert_eq!(decode_frame(&mut fits, 4096), Ok(None));
}

#[test]
fn a_claimed_length_reserves_nothing() {
    let mut reader = FrameReader::new(0);
    reader.buffer().put_slice(&[3, 0, 1, 0x7f, 0xff, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(reader.next_frame(), Ok(None));
    assert!(reader.buffer().capacity() <= 256 * 1024);
}

#[test]
fn tables_within_tables_end_somewhere() {
    let nested = |depth: usize| {
        let mut inside = FieldTable::default();
        for _ in 0..depth {
            inside = FieldTable::from([("t", inside.into())]);
        }
        FieldTable::from_bytes(inside.as_bytes().clone())
    };
    assert!(nested(MAX_DEPTH).is_ok());
    assert_eq!(nested(MAX_DEPTH + 1), Err(WireError::TooDeep));
    assert_eq!(nested(10_000), Err(WireError::TooDeep));
}

#[test]
fn protocol_headers() {
    let answer = |octets: &[u8]| decode_protocol_header(&mut BytesMut::from(octets));
    assert_eq!(answer(&PROTOCOL_HEADER), Ok(Some(())));
    assert_eq!(answer(b"AMQP\x01\x01\x00\x09"), Ok(Some(())));
    assert_eq!(answer(b"AMQP\x00"), Ok(None));
    assert_eq!(answer(b""), Ok(None));
    assert!(answer(b"AMQP\x00\x01\x00\x00").is_err());
    assert!(answer(b"GET ").is_err());
    let mut more = BytesMut::from(&b"AMQP\x00\x00\x09\x01\x01"[..]);
    assert_eq!(decode_protocol_header(&mut more), Ok(Some(())));
    assert_eq!(&more[..], &[1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_octets_do_no_harm(octets in vec(any::<u8>(), 0..600)) {
        read(&octets, 4096);
        let octets = Bytes::from(octets);
        drop(Method::decode(&octets));
        drop(Properties::parse(&octets));
        if let Ok(table) = FieldTable::from_bytes(octets) {
            prop_assert_eq!(table.iter().collect::<FieldTable>().iter().count(), table.iter().count());
        }
    }

    #[test]
    fn arbitrary_payloads_in_good_frames_do_no_harm(kind in 1..4_u8, payload in vec(any::<u8>(), 0..300)) {
        read(&support::frame(kind, 1, &payload), 4096);
    }

    #[test]
    fn a_method_cut_anywhere_is_refused(payload in support::method_payload(), at in any::<prop::sample::Index>()) {
        let cut = at.index(payload.len());
        prop_assert!(Method::decode(&payload.slice(..cut)).is_err());
        let mut longer = payload.to_vec();
        longer.push(0);
        prop_assert!(Method::decode(&longer.into()).is_err());
    }

    #[test]
    fn a_changed_octet_does_no_harm(
        payload in support::method_payload(),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let mut frame = support::frame(1, 1, &payload);
        let at = at.index(frame.len());
        frame[at] = octet;
        read(&frame, 131_072);
    }

    #[test]
    fn properties_cut_or_changed_do_no_harm(
        properties in support::properties(),
        at in any::<prop::sample::Index>(),
        octet in any::<u8>(),
    ) {
        let wire = properties.encode();
        let at = at.index(wire.len());
        prop_assert!(Properties::parse(&wire.slice(..at)).is_err());
        let mut changed = wire.to_vec();
        changed[at] = octet;
        if let Ok(properties) = Properties::parse(&changed.into()) {
            drop(properties.to_builder().encode());
        }
    }
}
