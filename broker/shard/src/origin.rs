//! Where a message of another site comes from, as it travels between sites: in a
//! header that the site which has it writes for links that ask for it, and that
//! the leader of a queue here takes off again before the message is kept (§4.8).

use bytes::Bytes;
use warren_amqp::{FieldTable, Properties, Value};
use warren_replication::message::Message;
use warren_replication::step::Origin;
use warren_replication::types::{Offset, QueueId, Session};

/// The header, and the argument of a consumer that asks for it.
pub const HEADER: &str = "x-warren-origin";

/// The queue that a message waits in, as other sites know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Home {
    /// Its cluster.
    pub cluster: u64,
    /// Its vhost and name, as a number that is the same in every version.
    pub name: u64,
    /// Its id.
    pub queue: QueueId,
}

impl Home {
    /// Of a queue of that name.
    #[must_use]
    pub fn new(cluster: u64, vhost: &str, name: &str, queue: QueueId) -> Self {
        // FNV-1a: it is kept in logs, so it must never change. No vhost holds a zero octet.
        let octets = vhost.bytes().chain([0]).chain(name.bytes());
        let name = octets
            .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3));
        Self { cluster, name, queue }
    }

    /// The properties of its message at `offset`, with the header; nothing below
    /// `floor` will be handed out any more. What cannot be read stays as it is.
    #[must_use]
    pub fn mark(&self, properties: &Bytes, offset: Offset, floor: Offset) -> Bytes {
        let Ok(parsed) = Properties::parse(properties) else { return properties.clone() };
        let Self { cluster, name, queue } = self;
        let said = format!("{cluster:x}-{name:x}-{:x}-{:x}-{:x}", queue.0, offset.0, floor.0);
        let mut builder = parsed.to_builder();
        let others = builder.headers.unwrap_or_default();
        let others = others.iter().filter(|(key, _)| key != HEADER.as_bytes());
        let own = (Bytes::from_static(HEADER.as_bytes()), Value::text(said));
        builder.headers = Some(others.chain([own]).collect());
        builder.encode()
    }
}

/// What the header of a message says; `None` if it has none that makes sense.
#[must_use]
pub fn read(headers: &FieldTable) -> Option<Origin> {
    let said = headers.get(HEADER)?;
    let mut numbers = said.as_str()?.split('-').map(|number| u64::from_str_radix(number, 16).ok());
    let mut next = || numbers.next().flatten();
    let (cluster, name, queue, offset, floor) = (next()?, next()?, next()?, next()?, next()?);
    // Sequences count from 1.
    let sequence = offset.checked_add(1)?;
    Some(Origin { session: Session::of_origin(cluster, name, QueueId(queue)), sequence, floor: floor.min(offset) + 1 })
}

/// Takes the header off each of these messages, and says what it said.
pub(crate) fn take(messages: &mut [(u64, Message)]) -> Vec<Option<Origin>> {
    messages
        .iter_mut()
        .map(|(_, message)| {
            let parsed = Properties::parse(&message.properties).ok()?;
            let headers = parsed.headers()?;
            headers.get(HEADER)?;
            let mut builder = parsed.to_builder();
            let others: FieldTable = headers.iter().filter(|(key, _)| key != HEADER.as_bytes()).collect();
            builder.headers = (!others.as_bytes().is_empty()).then_some(others);
            message.properties = builder.encode();
            read(&headers)
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use warren_amqp::PropertiesBuilder;

    use super::*;

    #[test]
    fn a_mark_is_read_and_taken_off_and_the_rest_stays() {
        let headers = FieldTable::from([("k", Value::from("v"))]);
        let bare = PropertiesBuilder { headers: Some(headers), priority: Some(3), ..Default::default() }.encode();
        let home = Home::new(u64::MAX, "/", "federation: x -> b", QueueId(7));
        // A later mark stands for an earlier one.
        let marked = home.mark(&home.mark(&bare, Offset(1), Offset(0)), Offset(41), Offset(40));
        let mut messages = vec![(1, Message { properties: marked, ..Message::default() })];
        let origins = take(&mut messages);
        let session = Session::of_origin(u64::MAX, home.name, QueueId(7));
        assert_eq!(origins, [Some(Origin { session, sequence: 42, floor: 41 })]);
        assert_eq!(messages[0].1.properties, bare);
        assert_eq!(take(&mut messages), [None]);
        assert_ne!(home.name, Home::new(1, "/", "other", QueueId(7)).name);
    }

    #[test]
    fn what_makes_no_sense_is_no_origin() {
        for said in ["", "1-2-3-4", "1-2-3-x-5", "1-2-3-ffffffffffffffff-0"] {
            assert_eq!(read(&FieldTable::from([(HEADER, Value::from(said))])), None, "{said}");
        }
        assert_eq!(read(&FieldTable::from([(HEADER, Value::from(7))])), None);
        // A floor above the message itself would cut it off.
        let read = read(&FieldTable::from([(HEADER, Value::from("1-2-3-4-9"))])).unwrap();
        assert_eq!((read.sequence, read.floor), (5, 5));
    }
}
