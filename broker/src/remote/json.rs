//! What parameters say in JSON, as AMQP knows it.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use warren_amqp::{FieldArray, FieldTable, Value};

use crate::client::Uri;

/// One text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// The URIs of a key. One that means this broker and names no vhost means `vhost`.
pub(super) fn uris(key: &str, given: &OneOrMany, vhost: &str) -> Result<Vec<Uri>, String> {
    let texts = match given {
        OneOrMany::One(text) => std::slice::from_ref(text),
        OneOrMany::Many(texts) => texts,
    };
    if texts.is_empty() {
        return Err(format!("{key}: expected at least one URI"));
    }
    let read = |text: &String| {
        let mut uri: Uri = text.parse().map_err(|error| format!("{key}: {error}"))?;
        if uri.is_local() && text.trim_end_matches('/') == "amqp:" {
            vhost.clone_into(&mut uri.vhost);
        }
        Ok(uri)
    };
    texts.iter().map(read).collect()
}

/// A JSON object as a field table.
///
/// # Errors
/// What in it has no form in AMQP.
pub fn table(object: &Map<String, Json>) -> Result<FieldTable, String> {
    let fields: Result<Vec<(Bytes, Value)>, String> = object
        .iter()
        .map(|(name, json)| {
            if name.len() > 255 {
                return Err(format!("{name:?} is too long for a name"));
            }
            Ok((Bytes::copy_from_slice(name.as_bytes()), value(json)?))
        })
        .collect();
    Ok(fields?.into_iter().collect())
}

fn value(json: &Json) -> Result<Value, String> {
    Ok(match json {
        Json::Null => Value::Void,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::I64(number),
            (None, Some(number)) => Value::F64(number),
            (None, None) => return Err(format!("{number} is no number of AMQP")),
        },
        Json::String(text) => Value::text(text.as_str()),
        Json::Array(values) => {
            Value::Array(values.iter().map(value).collect::<Result<Vec<_>, _>>()?.into_iter().collect::<FieldArray>())
        }
        Json::Object(object) => Value::Table(table(object)?),
    })
}
