//! Valid input of every kind, made from the protocol's definition itself and
//! not from the code under test.

#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value as Json;
use warren_amqp::{FieldArray, FieldTable, PropertiesBuilder, ShortStr, Value};

/// For one run: a runner counts its cases over all its runs.
pub(crate) fn runner() -> TestRunner {
    let config = Config { failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// A method of the definition: numbers and the types of its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) class: u16,
    pub(crate) method: u16,
    pub(crate) fields: Vec<String>,
}

/// All methods of the definition.
pub(crate) fn shapes() -> Vec<Shape> {
    let spec: Json = serde_json::from_str(include_str!("../../spec/amqp-0-9-1.json")).unwrap();
    let domain = |name: &str| {
        let pairs = spec["domains"].as_array().unwrap();
        let pair = pairs.iter().find(|pair| pair[0] == name).unwrap();
        pair[1].as_str().unwrap().to_owned()
    };
    let mut shapes = Vec::new();
    for class in spec["classes"].as_array().unwrap() {
        for method in class["methods"].as_array().unwrap() {
            let fields = method["arguments"].as_array().unwrap().iter();
            shapes.push(Shape {
                class: u16::try_from(class["id"].as_u64().unwrap()).unwrap(),
                method: u16::try_from(method["id"].as_u64().unwrap()).unwrap(),
                fields: fields
                    .map(|field| match field["type"].as_str() {
                        Some(kind) => kind.to_owned(),
                        None => domain(field["domain"].as_str().unwrap()),
                    })
                    .collect(),
            });
        }
    }
    shapes
}

/// Payloads of method frames, of every method.
pub(crate) fn method_payload() -> impl Strategy<Value = Bytes> {
    proptest::sample::select(shapes()).prop_flat_map(payload_of)
}

/// Payloads of this method's frames.
pub(crate) fn payload_of(shape: Shape) -> impl Strategy<Value = Bytes> {
    let fields: Vec<BoxedStrategy<Field>> = shape
        .fields
        .iter()
        .map(|kind| match kind.as_str() {
            "bit" => any::<bool>().prop_map(Field::Bit).boxed(),
            "octet" => vec(any::<u8>(), 1).prop_map(Field::Octets).boxed(),
            "short" => vec(any::<u8>(), 2).prop_map(Field::Octets).boxed(),
            "long" => vec(any::<u8>(), 4).prop_map(Field::Octets).boxed(),
            "longlong" | "timestamp" => vec(any::<u8>(), 8).prop_map(Field::Octets).boxed(),
            "shortstr" => short_text().prop_map(|text| Field::Short(text.into_bytes().to_vec())).boxed(),
            "longstr" => vec(any::<u8>(), 0..300).prop_map(Field::Long).boxed(),
            "table" => table(3).prop_map(|table| Field::Long(table.as_bytes().to_vec())).boxed(),
            other => panic!("type {other}"),
        })
        .collect();
    fields.prop_map(move |fields| {
        let mut to = BytesMut::new();
        to.put_u16(shape.class);
        to.put_u16(shape.method);
        let mut bits: Option<(u8, u8)> = None;
        for field in fields {
            if let (Field::Bit(set), Some((octet, count))) = (&field, bits) {
                bits = Some((octet | u8::from(*set) << count, count + 1));
                continue;
            }
            if let Some((octet, _)) = bits.take() {
                to.put_u8(octet);
            }
            match field {
                Field::Bit(set) => bits = Some((u8::from(set), 1)),
                Field::Octets(octets) => to.put_slice(&octets),
                Field::Short(octets) => {
                    to.put_u8(u8::try_from(octets.len()).unwrap());
                    to.put_slice(&octets);
                }
                Field::Long(octets) => {
                    to.put_u32(u32::try_from(octets.len()).unwrap());
                    to.put_slice(&octets);
                }
            }
        }
        if let Some((octet, _)) = bits {
            to.put_u8(octet);
        }
        to.freeze()
    })
}

#[derive(Clone, Debug)]
enum Field {
    Bit(bool),
    Octets(Vec<u8>),
    Short(Vec<u8>),
    Long(Vec<u8>),
}

/// Short strings, up to the longest.
pub(crate) fn short_text() -> impl Strategy<Value = ShortStr> {
    prop_oneof![4 => "[a-zäß/.*#-]{0,12}", 1 => "[a-z]{255}"].prop_map(|text| ShortStr::try_from(text).unwrap())
}

/// Field values, `depth` deep.
pub(crate) fn value(depth: u32) -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        any::<f32>().prop_filter("NaN is not itself", |n| !n.is_nan()).prop_map(Value::F32),
        any::<f64>().prop_filter("NaN is not itself", |n| !n.is_nan()).prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(scale, value)| Value::Decimal { scale, value }),
        vec(any::<u8>(), 0..40).prop_map(|octets| Value::LongStr(octets.into())),
        vec(any::<u8>(), 0..40).prop_map(|octets| Value::Octets(octets.into())),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    if depth == 0 {
        return leaf.boxed();
    }
    prop_oneof![
        6 => leaf,
        1 => table(depth - 1).prop_map(Value::Table),
        1 => vec(value(depth - 1), 0..4).prop_map(|values| Value::Array(values.into_iter().collect::<FieldArray>())),
    ]
    .boxed()
}

/// Field tables, `depth` deep.
pub(crate) fn table(depth: u32) -> BoxedStrategy<FieldTable> {
    vec((short_text(), value(depth)), 0..5).prop_map(|fields| fields.into_iter().collect()).boxed()
}

/// Properties, each present or not.
pub(crate) fn properties() -> impl Strategy<Value = PropertiesBuilder> {
    let text = || proptest::option::of("[a-zß0-9/]{0,20}".prop_map(Bytes::from));
    (
        (text(), text(), proptest::option::of(table(2)), any::<Option<u8>>(), any::<Option<u8>>(), text(), text()),
        (text(), text(), any::<Option<u64>>(), text(), text(), text(), text()),
    )
        .prop_map(|(first, second)| PropertiesBuilder {
            content_type: first.0,
            content_encoding: first.1,
            headers: first.2,
            delivery_mode: first.3,
            priority: first.4,
            correlation_id: first.5,
            reply_to: first.6,
            expiration: second.0,
            message_id: second.1,
            timestamp: second.2,
            kind: second.3,
            user_id: second.4,
            app_id: second.5,
            cluster_id: second.6,
        })
}

/// A whole frame around a payload.
pub(crate) fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
    frame.extend(payload);
    frame.push(206);
    frame
}
