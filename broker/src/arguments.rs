//! Field tables of the wire as the catalog keeps them.

use warren_amqp::{FieldTable, Value as Wire};
use warren_membership::catalog::{Arguments, Value};

/// All fields of a table; of two with one name the first counts.
#[must_use]
pub fn from_wire(table: &FieldTable) -> Arguments {
    let mut arguments = Arguments::new();
    for (name, value) in table.iter() {
        arguments.entry(String::from_utf8_lossy(&name).into_owned()).or_insert_with(|| value_from_wire(value));
    }
    arguments
}

/// One value; octets are copied, so that no read buffer is kept alive.
#[must_use]
pub fn value_from_wire(value: Wire) -> Value {
    let detached = |octets: bytes::Bytes| bytes::Bytes::copy_from_slice(&octets);
    match value {
        Wire::Void => Value::Void,
        Wire::Bool(truth) => Value::Bool(truth),
        Wire::I8(n) => Value::I8(n),
        Wire::U8(n) => Value::U8(n),
        Wire::I16(n) => Value::I16(n),
        Wire::U16(n) => Value::U16(n),
        Wire::I32(n) => Value::I32(n),
        Wire::U32(n) => Value::U32(n),
        Wire::I64(n) => Value::I64(n),
        Wire::F32(n) => Value::F32(n.to_bits()),
        Wire::F64(n) => Value::F64(n.to_bits()),
        Wire::Decimal { scale, value } => Value::Decimal(scale, value),
        Wire::LongStr(octets) => Value::Text(detached(octets)),
        Wire::Octets(octets) => Value::Binary(detached(octets)),
        Wire::Timestamp(seconds) => Value::Timestamp(seconds),
        Wire::Array(values) => Value::Array(values.iter().map(value_from_wire).collect()),
        Wire::Table(table) => Value::Table(from_wire(&table)),
    }
}

/// The other way: a table of the wire, from what the catalog keeps.
#[must_use]
pub fn to_wire(arguments: &Arguments) -> FieldTable {
    let field =
        |(name, value): (&String, &Value)| (bytes::Bytes::copy_from_slice(name.as_bytes()), value_to_wire(value));
    arguments.iter().map(field).collect()
}

fn value_to_wire(value: &Value) -> Wire {
    match value {
        Value::Void => Wire::Void,
        Value::Bool(truth) => Wire::Bool(*truth),
        Value::I8(n) => Wire::I8(*n),
        Value::U8(n) => Wire::U8(*n),
        Value::I16(n) => Wire::I16(*n),
        Value::U16(n) => Wire::U16(*n),
        Value::I32(n) => Wire::I32(*n),
        Value::U32(n) => Wire::U32(*n),
        Value::I64(n) => Wire::I64(*n),
        Value::F32(bits) => Wire::F32(f32::from_bits(*bits)),
        Value::F64(bits) => Wire::F64(f64::from_bits(*bits)),
        Value::Decimal(scale, value) => Wire::Decimal { scale: *scale, value: *value },
        Value::Text(octets) => Wire::LongStr(octets.clone()),
        Value::Binary(octets) => Wire::Octets(octets.clone()),
        Value::Timestamp(seconds) => Wire::Timestamp(*seconds),
        Value::Array(values) => Wire::Array(values.iter().map(value_to_wire).collect()),
        Value::Table(table) => Wire::Table(to_wire(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_keep_names_types_and_nesting() {
        let inner = FieldTable::from([("a", Wire::from(true))]);
        let table = FieldTable::from([
            ("x-max-length", Wire::from(5)),
            ("t", Wire::from(inner)),
            ("x-max-length", Wire::from(6)),
        ]);
        let arguments = from_wire(&table);
        assert_eq!(arguments.get("x-max-length"), Some(&Value::I32(5)));
        assert_eq!(from_wire(&to_wire(&arguments)), arguments);
        assert_eq!(arguments.get("t"), Some(&Value::Table(Arguments::from([("a".to_owned(), Value::Bool(true))]))));
    }
}
