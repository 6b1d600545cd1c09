//! An independent codec, amq-protocol, reads what we write and writes what we
//! read, with the same meaning.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use amq_protocol::protocol::AMQPClass;
use amq_protocol::protocol::basic::AMQPMethod as Basic;
use amq_protocol::protocol::connection::AMQPMethod as Connection;
use amq_protocol::protocol::exchange::AMQPMethod as Exchange;
use amq_protocol::protocol::queue::AMQPMethod as Queue;
use amq_protocol::types::{AMQPValue, FieldTable as TheirTable};
use bytes::{Buf, Bytes, BytesMut};
use proptest::prelude::*;
use warren_amqp::{ContentHeader, FieldTable, Method, OutBuffer, Payload, Properties, Value, decode_frame};

fn write(frame: &AMQPFrame) -> Vec<u8> {
    gen_frame(frame)(WriteContext::from(Vec::new())).unwrap().into_inner().0
}

fn ours(method: &Method) -> Vec<u8> {
    let mut out = OutBuffer::new();
    out.method(1, method);
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn theirs(octets: &[u8]) -> AMQPFrame {
    let (rest, frame) = parse_frame(octets).unwrap();
    assert!(rest.is_empty());
    frame
}

/// They keep the last field of a name, in the order of names.
fn same_table(our: &FieldTable, their: &TheirTable) -> bool {
    let our: BTreeMap<Bytes, Value> = our.iter().collect();
    let their: BTreeMap<Bytes, AMQPValue> = their
        .inner()
        .iter()
        .map(|(name, value)| (Bytes::copy_from_slice(name.as_str().as_bytes()), value.clone()))
        .collect();
    our.len() == their.len()
        && our
            .iter()
            .zip(&their)
            .all(|((name, value), (their_name, their_value))| name == their_name && same(value, their_value))
}

fn same(our: &Value, their: &AMQPValue) -> bool {
    match (our, their) {
        (Value::Bool(a), AMQPValue::Boolean(b)) => a == b,
        (Value::I8(a), AMQPValue::ShortShortInt(b)) => a == b,
        (Value::U8(a), AMQPValue::ShortShortUInt(b)) => a == b,
        (Value::I16(a), AMQPValue::ShortInt(b)) => a == b,
        (Value::U16(a), AMQPValue::ShortUInt(b)) => a == b,
        (Value::I32(a), AMQPValue::LongInt(b)) => a == b,
        (Value::U32(a), AMQPValue::LongUInt(b)) => a == b,
        (Value::I64(a), AMQPValue::LongLongInt(b)) => a == b,
        (Value::F32(a), AMQPValue::Float(b)) => a == b,
        (Value::F64(a), AMQPValue::Double(b)) => a == b,
        (Value::Decimal { scale, value }, AMQPValue::DecimalValue(b)) => (*scale, *value) == (b.scale, b.value),
        (Value::LongStr(a), AMQPValue::LongString(b)) => a == b.as_bytes(),
        (Value::Octets(a), AMQPValue::ByteArray(b)) => a == b.as_slice(),
        (Value::Timestamp(a), AMQPValue::Timestamp(b)) => a == b,
        (Value::Void, AMQPValue::Void) => true,
        (Value::Table(a), AMQPValue::FieldTable(b)) => same_table(a, b),
        (Value::Array(a), AMQPValue::FieldArray(b)) => {
            a.iter().count() == b.as_slice().len() && a.iter().zip(b.as_slice()).all(|(a, b)| same(&a, b))
        }
        _ => false,
    }
}

/// Field by field, in those methods that carry most of the meaning.
fn same_method(our: &Method, their: &AMQPClass) {
    macro_rules! same_fields {
        ($a:ident, $b:ident: $($field:ident)* $(; $table:ident)?) => {{
            $(assert_eq!($a.$field.to_string(), $b.$field.to_string(), stringify!($field));)*
            $(assert!(same_table(&$a.$table, &$b.$table), stringify!($table));)?
        }};
    }
    match (our, their) {
        (Method::BasicPublish(a), AMQPClass::Basic(Basic::Publish(b))) => {
            same_fields!(a, b: exchange routing_key mandatory immediate)
        }
        (Method::BasicDeliver(a), AMQPClass::Basic(Basic::Deliver(b))) => {
            same_fields!(a, b: consumer_tag delivery_tag redelivered exchange routing_key)
        }
        (Method::BasicConsume(a), AMQPClass::Basic(Basic::Consume(b))) => {
            same_fields!(a, b: queue consumer_tag no_local no_ack exclusive nowait; arguments)
        }
        (Method::BasicNack(a), AMQPClass::Basic(Basic::Nack(b))) => {
            same_fields!(a, b: delivery_tag multiple requeue)
        }
        (Method::BasicQos(a), AMQPClass::Basic(Basic::Qos(b))) => {
            same_fields!(a, b: prefetch_count global)
        }
        (Method::BasicReturn(a), AMQPClass::Basic(Basic::Return(b))) => {
            same_fields!(a, b: reply_code reply_text exchange routing_key)
        }
        (Method::QueueDeclare(a), AMQPClass::Queue(Queue::Declare(b))) => {
            same_fields!(a, b: queue passive durable exclusive auto_delete nowait; arguments)
        }
        (Method::QueueDelete(a), AMQPClass::Queue(Queue::Delete(b))) => {
            same_fields!(a, b: queue if_unused if_empty nowait)
        }
        (Method::QueueUnbind(a), AMQPClass::Queue(Queue::Unbind(b))) => {
            same_fields!(a, b: queue exchange routing_key; arguments)
        }
        (Method::ExchangeDeclare(a), AMQPClass::Exchange(Exchange::Declare(b))) => {
            same_fields!(a, b: exchange kind passive durable auto_delete internal nowait; arguments)
        }
        (Method::ExchangeBind(a), AMQPClass::Exchange(Exchange::Bind(b))) => {
            same_fields!(a, b: destination source routing_key nowait; arguments)
        }
        (Method::ConnectionTune(a), AMQPClass::Connection(Connection::Tune(b))) => {
            same_fields!(a, b: channel_max frame_max heartbeat)
        }
        (Method::ConnectionClose(a), AMQPClass::Connection(Connection::Close(b))) => {
            same_fields!(a, b: reply_code reply_text class_id method_id)
        }
        (Method::ConnectionStart(a), AMQPClass::Connection(Connection::Start(b))) => {
            same_fields!(a, b: version_major version_minor; server_properties);
            assert_eq!((&a.mechanisms[..], &a.locales[..]), (b.mechanisms.as_bytes(), b.locales.as_bytes()));
        }
        _ => {}
    }
}

#[test]
fn every_method_means_the_same_to_both() {
    for shape in support::shapes() {
        support::runner()
            .run(&support::payload_of(shape), |payload| {
                let method = Method::decode(&payload).unwrap();
                let frame = theirs(&ours(&method));
                let AMQPFrame::Method(1, class) = &frame else { panic!("{frame:?}") };
                same_method(&method, class);
                // Theirs drop what is reserved, and the order of fields: from
                // then on both agree on every octet.
                let settled = write(&frame);
                let again = decode_frame(&mut BytesMut::from(&settled[..]), 0x7fff_ffff).unwrap().unwrap();
                let Payload::Method(again) = again.payload else { panic!("{again:?}") };
                prop_assert_eq!(again.id(), method.id());
                same_method(&again, class);
                prop_assert_eq!(ours(&again), settled);
                Ok(())
            })
            .unwrap();
    }
}

proptest! {
    #[test]
    fn properties_mean_the_same_to_both(properties in support::properties(), size in any::<u64>()) {
        let mut payload = BytesMut::new();
        ContentHeader { class: 60, body_size: size, properties: properties.encode() }.encode(&mut payload);
        let frame = theirs(&support::frame(2, 1, &payload));
        let AMQPFrame::Header(1, header) = &frame else { panic!("{frame:?}") };
        let their = &header.properties;
        prop_assert_eq!((header.class_id, header.body_size), (60, size));
        for (name, our, their) in [
            ("content-type", &properties.content_type, their.content_type()),
            ("content-encoding", &properties.content_encoding, their.content_encoding()),
            ("correlation-id", &properties.correlation_id, their.correlation_id()),
            ("reply-to", &properties.reply_to, their.reply_to()),
            ("expiration", &properties.expiration, their.expiration()),
            ("message-id", &properties.message_id, their.message_id()),
            ("type", &properties.kind, their.kind()),
            ("user-id", &properties.user_id, their.user_id()),
            ("app-id", &properties.app_id, their.app_id()),
            ("cluster-id", &properties.cluster_id, their.cluster_id()),
        ] {
            prop_assert_eq!(our.as_deref(), their.as_ref().map(|text| text.as_str().as_bytes()), "{}", name);
        }
        prop_assert_eq!(properties.delivery_mode, *their.delivery_mode());
        prop_assert_eq!(properties.priority, *their.priority());
        prop_assert_eq!(properties.timestamp, *their.timestamp());
        match (&properties.headers, their.headers()) {
            (Some(our), Some(their)) => prop_assert!(same_table(our, their)),
            (our, their) => prop_assert!(our.is_none() && their.is_none()),
        }
        // And back.
        let settled = write(&frame);
        let again = decode_frame(&mut BytesMut::from(&settled[..]), 0x7fff_ffff).unwrap().unwrap();
        let Payload::Header(again) = again.payload else { panic!("{again:?}") };
        let again = Properties::parse(&again.properties).unwrap();
        prop_assert_eq!(again.message_id(), properties.message_id);
        prop_assert_eq!(again.to_builder().encode(), again.as_bytes().clone());
    }
}
