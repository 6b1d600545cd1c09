//! What is written is what is read, for every method, table, property list and
//! message, wherever the reads happen to cut it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use warren_amqp::{
    ContentHeader, Delivery, FieldTable, Frame, FrameReader, Method, OutBuffer, Payload, Properties, ShortStr, Value,
    basic,
};

fn drain(mut out: OutBuffer) -> Vec<u8> {
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn read_all(octets: &[u8], frame_max: u32, cut: usize) -> Vec<Frame> {
    let mut reader = FrameReader::new(frame_max);
    let mut frames = Vec::new();
    for part in octets.chunks(cut) {
        reader.buffer().put_slice(part);
        while let Some(frame) = reader.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames
}

#[test]
fn every_method_of_the_definition_is_read_and_written() {
    for shape in support::shapes() {
        let id = (shape.class, shape.method);
        support::runner()
            .run(&support::payload_of(shape), |payload| {
                let method = Method::decode(&payload).unwrap();
                prop_assert_eq!((method.id().class, method.id().method), id);
                let mut again = BytesMut::new();
                method.encode(&mut again);
                prop_assert_eq!(again.freeze(), payload);
                Ok(())
            })
            .unwrap();
    }
}

#[test]
fn defaults_are_those_of_the_definition() {
    assert_eq!(warren_amqp::connection::StartOk::default().mechanism, "PLAIN");
    assert_eq!(warren_amqp::connection::Start::default().version_minor, 9);
    assert!(basic::Nack::default().requeue);
    assert!(!basic::Publish::default().mandatory);
}

#[test]
fn strings_are_slices_of_the_read_buffer() {
    let mut out = OutBuffer::new();
    let publish = basic::Publish { routing_key: ShortStr::from_static("orders"), ..Default::default() };
    out.publish(1, &publish, &Bytes::from_static(&[0, 0]), &Bytes::from_static(b"a body"), 0);
    let mut reader = FrameReader::new(0);
    reader.buffer().put_slice(&drain(out));
    let begin = reader.buffer().as_ptr() as usize;
    let end = begin + reader.buffer().len();
    let mut shared = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        let slice = match frame.payload {
            Payload::Method(Method::BasicPublish(publish)) => publish.routing_key.into_bytes(),
            Payload::Header(header) => header.properties,
            Payload::Body(body) => body,
            other => panic!("{other:?}"),
        };
        assert!((begin..end).contains(&(slice.as_ptr() as usize)));
        shared += 1;
    }
    assert_eq!(shared, 3);
}

proptest! {
    #[test]
    fn tables_are_read_as_written(fields in vec((support::short_text(), support::value(3)), 0..6)) {
        let table: FieldTable = fields.iter().cloned().collect();
        let read = FieldTable::from_bytes(table.as_bytes().clone()).unwrap();
        let expected: Vec<(Bytes, Value)> = fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        prop_assert_eq!(read.iter().collect::<Vec<_>>(), expected);
        prop_assert_eq!(read.iter().collect::<FieldTable>(), table);
    }

    #[test]
    fn properties_are_read_as_written(properties in support::properties()) {
        let wire = properties.encode();
        let read = Properties::parse(&wire).unwrap();
        prop_assert_eq!(read.to_builder(), properties);
        prop_assert_eq!(read.to_builder().encode(), wire);
    }

    #[test]
    fn frames_survive_any_cut(
        payloads in vec(support::method_payload(), 1..6),
        bodies in vec(vec(any::<u8>(), 0..3000), 0..4),
        cut in 1..5000_usize,
    ) {
        let frame_max = 4096;
        let mut out = OutBuffer::new();
        let mut expected = Vec::new();
        for payload in &payloads {
            let method = Method::decode(payload).unwrap();
            out.method(7, &method);
            expected.push(Frame { channel: 7, payload: Payload::Method(method) });
            out.heartbeat();
            expected.push(Frame { channel: 0, payload: Payload::Heartbeat });
        }
        for body in bodies {
            let body = Bytes::from(body);
            let (ack, properties) = (basic::GetOk { delivery_tag: 3, ..Default::default() }, Bytes::from_static(&[0x10, 0, 2]));
            out.content(9, &ack, &properties, &body, frame_max);
            expected.push(Frame { channel: 9, payload: Payload::Method(ack.into()) });
            let header = ContentHeader { class: 60, body_size: body.len() as u64, properties };
            expected.push(Frame { channel: 9, payload: Payload::Header(header) });
            if !body.is_empty() {
                expected.push(Frame { channel: 9, payload: Payload::Body(body) });
            }
        }
        // Long tables may exceed any frame-max; only bodies are split.
        prop_assert_eq!(read_all(&drain(out), 0, cut), expected);
    }

    #[test]
    fn bodies_are_split_at_frame_max_and_written_as_chunks(
        size in 0..200_000_usize,
        frame_max in prop_oneof![Just(0_u32), 9..64_u32, 4096..131_072_u32],
        step in 1..70_000_usize,
    ) {
        let size = if (1..64).contains(&frame_max) { size % 2000 } else { size };
        let body: Bytes = (0..size).map(|i| (i % 251) as u8).collect();
        let delivery = Delivery {
            consumer_tag: &ShortStr::from_static("ctag"),
            delivery_tag: 77,
            redelivered: true,
            exchange: &ShortStr::from_static("ex"),
            routing_key: &ShortStr::from_static("key"),
        };
        let mut out = OutBuffer::new();
        out.ack(3, 5, true);
        out.deliver(3, &delivery, &Bytes::from_static(&[0, 0]), &body, frame_max);
        out.nack(3, 6, false, true);

        // As a socket takes it: vectored, a part at a time.
        let mut wire = Vec::new();
        while out.has_remaining() {
            let mut slices = [std::io::IoSlice::new(&[]); 3];
            let count = out.chunks_vectored(&mut slices);
            prop_assert!(count > 0 && !out.chunk().is_empty());
            let mut taken = 0;
            for slice in &slices[..count] {
                let part = slice.len().min(step - taken);
                wire.extend_from_slice(&slice[..part]);
                taken += part;
            }
            out.advance(taken);
            prop_assert_eq!(out.is_empty(), !out.has_remaining());
        }

        let frames = read_all(&wire, 0, 65_536);
        let mut read = frames.into_iter().map(|frame| frame.payload);
        prop_assert_eq!(read.next(), Some(Payload::Method(basic::Ack { delivery_tag: 5, multiple: true }.into())));
        let deliver = basic::Deliver {
            consumer_tag: delivery.consumer_tag.clone(),
            delivery_tag: 77,
            redelivered: true,
            exchange: delivery.exchange.clone(),
            routing_key: delivery.routing_key.clone(),
        };
        prop_assert_eq!(read.next(), Some(Payload::Method(deliver.into())));
        let header = ContentHeader { class: 60, body_size: size as u64, properties: Bytes::from_static(&[0, 0]) };
        prop_assert_eq!(read.next(), Some(Payload::Header(header)));
        let mut seen = Vec::new();
        let mut last = None;
        for payload in read {
            match payload {
                Payload::Body(part) => {
                    prop_assert!(frame_max == 0 || part.len() + 8 <= frame_max as usize);
                    seen.extend_from_slice(&part);
                }
                other => last = Some(other),
            }
        }
        prop_assert_eq!(seen, body);
        prop_assert_eq!(last, Some(Payload::Method(basic::Nack { delivery_tag: 6, multiple: false, requeue: true }.into())));
    }
}
