//! Field tables and properties, the only things in AMQP that nest: they end
//! somewhere, and what can be read can be written and read again.

#![no_main]

use bytes::Bytes;
use cap::Cap;
use libfuzzer_sys::fuzz_target;
use std::alloc::System;
use warren_amqp::{FieldTable, Properties, ShortStr, Value};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, 256 << 20);

fn walk(value: &Value) -> usize {
    match value {
        Value::Table(table) => table.iter().map(|(_, value)| walk(&value)).sum::<usize>() + 1,
        Value::Array(array) => array.iter().map(|value| walk(&value)).sum::<usize>() + 1,
        _ => 1,
    }
}

fuzz_target!(|octets: &[u8]| {
    let octets = Bytes::copy_from_slice(octets);
    if let Ok(table) = FieldTable::from_bytes(octets.clone()) {
        let values = table.iter().map(|(_, value)| walk(&value)).sum::<usize>();
        assert!(values <= octets.len());
        let again: FieldTable =
            table.iter().filter_map(|(name, value)| Some((ShortStr::try_from(name).ok()?, value))).collect();
        assert!(FieldTable::from_bytes(again.as_bytes().clone()).is_ok());
    }
    if let Ok(properties) = Properties::parse(&octets) {
        let again = properties.to_builder().encode();
        let again = Properties::parse(&again).expect("what was encoded can be parsed");
        assert_eq!(again.to_builder().encode(), properties.to_builder().encode());
    }
});
