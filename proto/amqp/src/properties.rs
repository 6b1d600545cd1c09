//! A message's content header and its properties. The header keeps them as
//! received; who wants one of them asks [`Properties`], which finds them all in
//! one pass and copies nothing.

use bytes::{BufMut, Bytes, BytesMut};

use crate::table::FieldTable;
use crate::wire::{self, Cursor, WireError};

/// Class `basic`, the only one with content.
pub const BASIC: u16 = 60;

/// A content header frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHeader {
    /// [`BASIC`].
    pub class: u16,
    /// Octets of the body that follows.
    pub body_size: u64,
    /// Flags and property list as on the wire: what a broker keeps and passes on.
    pub properties: Bytes,
}

impl ContentHeader {
    /// A header frame's payload. The properties are not looked into.
    ///
    /// # Errors
    /// It is too short.
    #[inline]
    pub fn decode(payload: &Bytes) -> Result<Self, WireError> {
        ContentHeader::read(&mut Cursor::new(payload))
    }

    #[inline]
    pub(crate) fn read(from: &mut Cursor<'_>) -> Result<Self, WireError> {
        // The weight is not used by anybody, nor looked at by RabbitMQ.
        let (class, _weight, body_size) = (from.u16()?, from.u16()?, from.u64()?);
        if from.remaining() < 2 {
            return Err(WireError::Truncated);
        }
        Ok(ContentHeader { class, body_size, properties: from.rest() })
    }

    /// The payload of a header frame.
    pub fn encode(&self, to: &mut BytesMut) {
        to.put_u16(self.class);
        to.put_u16(0);
        to.put_u64(self.body_size);
        to.put_slice(&self.properties);
    }
}

/// Which property, by its place in the list (the first flag is bit 15).
#[derive(Clone, Copy)]
#[repr(u8)]
enum Slot {
    ContentType,
    ContentEncoding,
    Headers,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Timestamp,
    Kind,
    UserId,
    AppId,
    ClusterId,
}

const SLOTS: usize = 14;

impl Slot {
    const ALL: [Slot; SLOTS] = [
        Slot::ContentType,
        Slot::ContentEncoding,
        Slot::Headers,
        Slot::DeliveryMode,
        Slot::Priority,
        Slot::CorrelationId,
        Slot::ReplyTo,
        Slot::Expiration,
        Slot::MessageId,
        Slot::Timestamp,
        Slot::Kind,
        Slot::UserId,
        Slot::AppId,
        Slot::ClusterId,
    ];

    const fn flag(self) -> u16 {
        0x8000 >> self as u8
    }
}

/// Properties in wire form, checked, with the place of each known. Strings are
/// octets: RabbitMQ does not ask for UTF-8 here, so neither is anybody refused.
#[derive(Clone, Debug)]
pub struct Properties {
    wire: Bytes,
    flags: u16,
    at: [u32; SLOTS],
}

impl Properties {
    /// Finds the properties in `wire` (as in [`ContentHeader::properties`]) and
    /// checks them through, the headers' table too. Flags without a property
    /// are passed over, as by RabbitMQ.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(wire: &Bytes) -> Result<Self, WireError> {
        let mut from = Cursor::new(wire);
        let flags = from.u16()?;
        let mut at = [0; SLOTS];
        for (slot, place) in Slot::ALL.into_iter().zip(&mut at) {
            if flags & slot.flag() == 0 {
                continue;
            }
            *place = u32::try_from(from.position()).map_err(|_| WireError::Truncated)?;
            match slot {
                Slot::Headers => drop(from.table()?),
                Slot::DeliveryMode | Slot::Priority => from.skip(1)?,
                Slot::Timestamp => from.skip(8)?,
                _ => {
                    let length = from.u8()?;
                    from.skip(usize::from(length))?;
                }
            }
        }
        from.finish()?;
        Ok(Properties { wire: wire.clone(), flags, at })
    }

    /// Wire form.
    pub fn as_bytes(&self) -> &Bytes {
        &self.wire
    }

    fn cursor(&self, slot: Slot) -> Option<Cursor<'_>> {
        if self.flags & slot.flag() == 0 {
            return None;
        }
        let mut from = Cursor::new(&self.wire);
        from.skip(usize::try_from(*self.at.get(slot as usize)?).ok()?).ok()?;
        Some(from)
    }

    fn string(&self, slot: Slot) -> Option<Bytes> {
        let mut from = self.cursor(slot)?;
        let length = from.u8().ok()?;
        from.take(usize::from(length)).ok()
    }

    /// MIME type of the body.
    pub fn content_type(&self) -> Option<Bytes> {
        self.string(Slot::ContentType)
    }

    /// MIME encoding of the body.
    pub fn content_encoding(&self) -> Option<Bytes> {
        self.string(Slot::ContentEncoding)
    }

    /// Headers of the application.
    pub fn headers(&self) -> Option<FieldTable> {
        self.cursor(Slot::Headers)?.table().ok()
    }

    /// 2 is persistent, anything else is not.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.cursor(Slot::DeliveryMode)?.u8().ok()
    }

    /// Whether the message is persistent.
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode() == Some(2)
    }

    /// 0 to 255; the higher, the sooner.
    pub fn priority(&self) -> Option<u8> {
        self.cursor(Slot::Priority)?.u8().ok()
    }

    /// Application's.
    pub fn correlation_id(&self) -> Option<Bytes> {
        self.string(Slot::CorrelationId)
    }

    /// Where answers go.
    pub fn reply_to(&self) -> Option<Bytes> {
        self.string(Slot::ReplyTo)
    }

    /// Milliseconds to live, in decimal digits.
    pub fn expiration(&self) -> Option<Bytes> {
        self.string(Slot::Expiration)
    }

    /// Application's.
    pub fn message_id(&self) -> Option<Bytes> {
        self.string(Slot::MessageId)
    }

    /// Seconds since 1970.
    pub fn timestamp(&self) -> Option<u64> {
        self.cursor(Slot::Timestamp)?.u64().ok()
    }

    /// `type`: application's.
    pub fn kind(&self) -> Option<Bytes> {
        self.string(Slot::Kind)
    }

    /// Must be the connection's user if present.
    pub fn user_id(&self) -> Option<Bytes> {
        self.string(Slot::UserId)
    }

    /// Application's.
    pub fn app_id(&self) -> Option<Bytes> {
        self.string(Slot::AppId)
    }

    /// Unused.
    pub fn cluster_id(&self) -> Option<Bytes> {
        self.string(Slot::ClusterId)
    }

    /// All of them, to change some and encode anew.
    pub fn to_builder(&self) -> PropertiesBuilder {
        PropertiesBuilder {
            content_type: self.content_type(),
            content_encoding: self.content_encoding(),
            headers: self.headers(),
            delivery_mode: self.delivery_mode(),
            priority: self.priority(),
            correlation_id: self.correlation_id(),
            reply_to: self.reply_to(),
            expiration: self.expiration(),
            message_id: self.message_id(),
            timestamp: self.timestamp(),
            kind: self.kind(),
            user_id: self.user_id(),
            app_id: self.app_id(),
            cluster_id: self.cluster_id(),
        }
    }
}

/// Properties in wire form (as in [`ContentHeader::properties`]) with one more
/// header, a long, in place of any of the same name. What is there is copied as it
/// is; `scratch` is where to, so that many messages share an allocation.
///
/// # Errors
/// What is wrong with the properties, as far as they are looked at.
pub fn with_long_header(wire: &Bytes, name: &str, number: i64, scratch: &mut BytesMut) -> Result<Bytes, WireError> {
    let mut from = Cursor::new(wire);
    let flags = from.u16()?;
    for slot in [Slot::ContentType, Slot::ContentEncoding] {
        if flags & slot.flag() != 0 {
            let length = from.u8()?;
            from.skip(usize::from(length))?;
        }
    }
    let begin = from.position();
    let mut headers = if flags & Slot::Headers.flag() == 0 { FieldTable::default() } else { from.table()? };
    if headers.get(name).is_some() {
        headers = headers.iter().filter(|(key, _)| key != name.as_bytes()).collect();
    }
    let rest = from.rest();
    let known = headers.as_bytes();
    let added = 1 + name.len().min(255) + 1 + 8;
    scratch.reserve(begin + 4 + known.len() + added + rest.len());
    scratch.put_u16(flags | Slot::Headers.flag());
    scratch.put_slice(wire.get(2..begin).unwrap_or_default());
    scratch.put_u32(u32::try_from(known.len() + added).map_err(|_| WireError::Truncated)?);
    scratch.put_slice(known);
    wire::put_short_bytes(scratch, name.as_bytes());
    scratch.put_u8(b'l');
    scratch.put_i64(number);
    scratch.put_slice(&rest);
    Ok(scratch.split().freeze())
}

/// Properties to be encoded. Strings are cut at 255 octets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as in Properties")]
pub struct PropertiesBuilder {
    pub content_type: Option<Bytes>,
    pub content_encoding: Option<Bytes>,
    pub headers: Option<FieldTable>,
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<Bytes>,
    pub reply_to: Option<Bytes>,
    pub expiration: Option<Bytes>,
    pub message_id: Option<Bytes>,
    pub timestamp: Option<u64>,
    pub kind: Option<Bytes>,
    pub user_id: Option<Bytes>,
    pub app_id: Option<Bytes>,
    pub cluster_id: Option<Bytes>,
}

impl PropertiesBuilder {
    /// Wire form: flags and list.
    pub fn encode(&self) -> Bytes {
        let mut to = BytesMut::with_capacity(64);
        to.put_u16(0);
        let mut flags = 0;
        for slot in Slot::ALL {
            let string = match slot {
                Slot::ContentType => &self.content_type,
                Slot::ContentEncoding => &self.content_encoding,
                Slot::CorrelationId => &self.correlation_id,
                Slot::ReplyTo => &self.reply_to,
                Slot::Expiration => &self.expiration,
                Slot::MessageId => &self.message_id,
                Slot::Kind => &self.kind,
                Slot::UserId => &self.user_id,
                Slot::AppId => &self.app_id,
                Slot::ClusterId => &self.cluster_id,
                Slot::Headers => {
                    if let Some(headers) = &self.headers {
                        flags |= slot.flag();
                        wire::put_long_str(&mut to, headers.as_bytes());
                    }
                    continue;
                }
                Slot::DeliveryMode | Slot::Priority => {
                    let octet = if matches!(slot, Slot::Priority) { self.priority } else { self.delivery_mode };
                    if let Some(octet) = octet {
                        flags |= slot.flag();
                        to.put_u8(octet);
                    }
                    continue;
                }
                Slot::Timestamp => {
                    if let Some(seconds) = self.timestamp {
                        flags |= slot.flag();
                        to.put_u64(seconds);
                    }
                    continue;
                }
            };
            if let Some(string) = string {
                flags |= slot.flag();
                wire::put_short_bytes(&mut to, string);
            }
        }
        if let Some(head) = to.first_chunk_mut::<2>() {
            *head = flags.to_be_bytes();
        }
        to.freeze()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::table::Value;

    #[test]
    fn a_long_header_is_put_beside_everything_that_is_there() {
        let mut scratch = BytesMut::new();
        let name = "x-stream-offset";
        let all = PropertiesBuilder {
            content_type: Some("text/plain".into()),
            content_encoding: Some("gzip".into()),
            delivery_mode: Some(2),
            timestamp: Some(7),
            app_id: Some("warren".into()),
            ..PropertiesBuilder::default()
        };
        let tables = [
            None,
            Some(FieldTable::default()),
            Some(FieldTable::from([("a", Value::from(1))])),
            Some(FieldTable::from([("a", Value::from(1)), (name, Value::from("mine")), ("b", Value::from(true))])),
        ];
        for headers in tables {
            for builder in [PropertiesBuilder::default(), all.clone()] {
                let builder = PropertiesBuilder { headers: headers.clone(), ..builder };
                let found = with_long_header(&builder.encode(), name, 5_000_000_000, &mut scratch).unwrap();
                let kept = headers.iter().flat_map(|table| table.iter().collect::<Vec<_>>());
                let expected = kept
                    .filter(|(key, _)| key != name)
                    .chain([(Bytes::from(name), Value::from(5_000_000_000i64))])
                    .collect();
                assert_eq!(
                    Properties::parse(&found).unwrap().to_builder(),
                    PropertiesBuilder { headers: Some(expected), ..builder }
                );
            }
        }
        assert!(with_long_header(&Bytes::from_static(&[0x80]), name, 1, &mut scratch).is_err());
    }
}
