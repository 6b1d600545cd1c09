//! Sender-selected distribution: further routing keys that a message's headers
//! name. `CC` is for everybody to see; `BCC` for nobody, but it goes on counting:
//! as in RabbitMQ, a message that is dead-lettered with the keys it had is routed
//! by all of them again.
//!
//! So `BCC` stays in the message as it is kept, and a bit of the property flags
//! that stands for no property says that it does: whoever shows a message to a
//! client looks at that bit, and at nothing else.

use bytes::{Bytes, BytesMut};
use warren_amqp::{FieldTable, Properties, PropertiesBuilder, Value};

use crate::arguments::value_from_wire;

const CC: &str = "CC";
const BCC: &str = "BCC";
/// The bit, in the second octet of the flags.
const HIDDEN: u8 = 2;

/// A `CC` or `BCC` that is not an array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid message: {{unacceptable_type_in_header,\"{header}\",{kind}}}")]
pub struct UnacceptableHeader {
    header: &'static str,
    kind: &'static str,
}

/// Whether these properties ask for copies, or look as if they hid something.
#[must_use]
pub fn are_asked_for(properties: &Properties) -> bool {
    is_hidden(properties.as_bytes())
        || properties.headers().is_some_and(|headers| headers.iter().any(|(name, _)| name == CC || name == BCC))
}

/// All routing keys that headers add: of arrays `CC` and `BCC`, what is text.
///
/// # Errors
/// One of them is something else.
pub fn keys(headers: &FieldTable) -> Result<Vec<Bytes>, UnacceptableHeader> {
    let mut keys = visible_keys(headers)?;
    keys.append(&mut keys_of(headers, BCC)?);
    Ok(keys)
}

/// Those that everybody may see.
///
/// # Errors
/// As [`keys`].
pub fn visible_keys(headers: &FieldTable) -> Result<Vec<Bytes>, UnacceptableHeader> {
    keys_of(headers, CC)
}

fn keys_of(headers: &FieldTable, header: &'static str) -> Result<Vec<Bytes>, UnacceptableHeader> {
    match headers.get(header) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            let text = |value| if let Value::LongStr(key) = value { Some(key) } else { None };
            Ok(values.iter().filter_map(text).collect())
        }
        Some(other) => Err(UnacceptableHeader { header, kind: value_from_wire(other).kind() }),
    }
}

/// Whether headers of this name are such keys.
#[must_use]
pub fn is_one(header: &[u8]) -> bool {
    header == CC.as_bytes() || header == BCC.as_bytes()
}

/// Properties that a client has published, as they are kept. The bit is ours:
/// what a client puts there goes.
#[must_use]
pub fn kept(properties: &Properties) -> Bytes {
    let hides = properties.headers().is_some_and(|headers| headers.get(BCC).is_some());
    match (hides, is_hidden(properties.as_bytes())) {
        (true, _) => hidden(properties.as_bytes()),
        (false, true) => properties.to_builder().encode(),
        (false, false) => properties.as_bytes().clone(),
    }
}

/// Properties with other headers, which hide what `before` hid, if it is still there.
#[must_use]
pub fn with_headers(before: &Bytes, properties: PropertiesBuilder) -> Bytes {
    let hides = is_hidden(before) && properties.headers.as_ref().is_some_and(|headers| headers.get(BCC).is_some());
    let encoded = properties.encode();
    if hides { hidden(&encoded) } else { encoded }
}

/// The properties as clients may see them, if that is not what they are.
#[must_use]
pub fn shown(properties: &Bytes) -> Option<Bytes> {
    if !is_hidden(properties) {
        return None;
    }
    let parsed = Properties::parse(properties).ok()?;
    let headers = parsed.headers().map(|headers| headers.iter().filter(|(name, _)| name != BCC).collect());
    Some(PropertiesBuilder { headers, ..parsed.to_builder() }.encode())
}

fn is_hidden(properties: &Bytes) -> bool {
    properties.get(1).is_some_and(|flags| flags & HIDDEN != 0)
}

fn hidden(properties: &Bytes) -> Bytes {
    let mut hidden = BytesMut::from(&properties[..]);
    if let Some(flags) = hidden.get_mut(1) {
        *flags |= HIDDEN;
    }
    hidden.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::FieldArray;

    use super::*;

    fn properties(headers: &FieldTable) -> Properties {
        let headers = Some(headers.clone());
        let builder = PropertiesBuilder { headers, priority: Some(3), ..PropertiesBuilder::default() };
        Properties::parse(&builder.encode()).unwrap()
    }

    fn array(values: &[Value]) -> Value {
        Value::Array(values.iter().cloned().collect::<FieldArray>())
    }

    #[test]
    fn senders_select_further_keys() {
        let headers = FieldTable::from([
            ("BCC", array(&[Value::from("d")])),
            ("CC", array(&[Value::from("b"), Value::from(5), Value::from("c")])),
        ]);
        assert_eq!(keys(&headers).unwrap(), ["b", "c", "d"]);
        assert_eq!(visible_keys(&headers).unwrap(), ["b", "c"]);
        assert_eq!(keys(&FieldTable::default()), Ok(vec![]));
        let text = keys(&FieldTable::from([("CC", Value::from("b"))])).unwrap_err().to_string();
        assert_eq!(text, "invalid message: {unacceptable_type_in_header,\"CC\",longstr}");
    }

    #[test]
    fn blind_copies_are_kept_and_not_shown() {
        let both = FieldTable::from([("BCC", array(&[Value::from("d")])), ("CC", array(&[Value::from("b")]))]);
        let published = properties(&both);
        assert!(are_asked_for(&published));
        let kept = kept(&published);
        assert_eq!(Properties::parse(&kept).unwrap().headers(), Some(both.clone()));
        let shown = Properties::parse(&shown(&kept).unwrap()).unwrap();
        assert_eq!(shown.headers(), Some(FieldTable::from([("CC", array(&[Value::from("b")]))])));
        assert_eq!((shown.priority(), super::shown(shown.as_bytes())), (Some(3), None));
        // Other headers hide it as well, as long as it is among them.
        let other = |headers: &FieldTable| with_headers(&kept, properties(headers).to_builder());
        assert!(super::shown(&other(&both)).is_some());
        assert_eq!(super::shown(&other(&FieldTable::from([("x", Value::from(1))]))), None);
    }

    #[test]
    fn a_client_cannot_make_the_broker_hide_or_rewrite_anything() {
        let plain = properties(&FieldTable::from([("x", Value::from(1))]));
        assert!(!are_asked_for(&plain));
        let odd = Properties::parse(&hidden(plain.as_bytes())).unwrap();
        assert!(are_asked_for(&odd));
        assert_eq!(kept(&odd), *plain.as_bytes());
    }
}
