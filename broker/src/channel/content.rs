//! From frames to whole commands: a publish is a method, a header and as many
//! body frames as its size needs.

use bytes::{Bytes, BytesMut};
use warren_amqp::{Arguments as _, BASIC, ContentHeader, Method, Payload, basic};

use crate::connection::fault::Fault;

/// What a client asks of a channel.
#[derive(Debug)]
pub enum Command {
    /// A method without content.
    Method(Method),
    /// A publish, whole.
    Publish(Publish),
}

impl Command {
    /// About how many octets it keeps alive.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Method(_) => 0,
                Self::Publish(publish) => publish.properties.len() + publish.body.len(),
            }
    }
}

/// `basic.publish` with its content.
#[derive(Debug)]
pub struct Publish {
    /// Where to.
    pub method: basic::Publish,
    /// Property flags and list as received.
    pub properties: Bytes,
    /// The body, put together.
    pub body: Bytes,
}

/// As RabbitMQ says it, also of a body that is longer than its header says.
const WANTS_BODY: &str = "expected content body, got non content body frame instead";

/// What has come of the next command.
#[derive(Debug, Default)]
pub enum Incoming {
    /// Nothing: a method must come.
    #[default]
    Method,
    /// A publish: its header must come.
    Header(Box<basic::Publish>),
    /// Header too: the rest of the body must come.
    Body(Box<Partial>),
}

/// A publish whose body is on its way. Parts are kept as they were read: a
/// header's word for the size allocates nothing.
#[derive(Debug)]
pub struct Partial {
    method: basic::Publish,
    properties: Bytes,
    parts: Vec<Bytes>,
    missing: u64,
}

impl Incoming {
    /// Takes a frame; a command, if it is now whole.
    ///
    /// # Errors
    /// A frame out of turn closes the connection, a message above `max_size`
    /// the channel.
    pub fn on_frame(&mut self, payload: Payload, max_size: u64) -> Result<Option<Command>, Fault> {
        match (std::mem::take(self), payload) {
            (Self::Method, Payload::Method(Method::BasicPublish(method))) => {
                *self = Self::Header(Box::new(method));
                Ok(None)
            }
            (Self::Method, Payload::Method(method)) => Ok(Some(Command::Method(method))),
            (Self::Header(method), Payload::Header(header)) => self.on_header(*method, header, max_size),
            (Self::Body(partial), Payload::Body(part)) => self.on_body(partial, part),
            (_, Payload::Heartbeat) => Err(Fault::unexpected_frame("heartbeat frame on a channel")),
            (Self::Method, _) => Err(Fault::unexpected_frame("expected method frame, got non method frame instead")),
            (Self::Header(_), _) => Err(Fault::unexpected_frame(format_args!(
                "expected content header for class {BASIC}, got non content header frame instead"
            ))
            .in_method(basic::Publish::ID)),
            (Self::Body(_), _) => Err(Fault::unexpected_frame(WANTS_BODY).in_method(basic::Publish::ID)),
        }
    }

    fn on_header(
        &mut self,
        method: basic::Publish,
        header: ContentHeader,
        max_size: u64,
    ) -> Result<Option<Command>, Fault> {
        let ContentHeader { class, body_size, properties } = header;
        if class != BASIC {
            return Err(Fault::unexpected_frame(format_args!(
                "expected content header for class {BASIC}, got one for class {class} instead"
            ))
            .in_method(basic::Publish::ID));
        }
        if body_size > max_size {
            return Err(Fault::precondition_failed(format_args!(
                "message size {body_size} is larger than configured max size {max_size}"
            ))
            .in_method(basic::Publish::ID));
        }
        if body_size == 0 {
            return Ok(Some(Command::Publish(Publish { method, properties, body: Bytes::new() })));
        }
        *self = Self::Body(Box::new(Partial { method, properties, parts: Vec::new(), missing: body_size }));
        Ok(None)
    }

    fn on_body(&mut self, mut partial: Box<Partial>, part: Bytes) -> Result<Option<Command>, Fault> {
        let Some(missing) = partial.missing.checked_sub(part.len() as u64) else {
            return Err(Fault::unexpected_frame(WANTS_BODY).in_method(basic::Publish::ID));
        };
        partial.missing = missing;
        if missing > 0 {
            if !part.is_empty() {
                partial.parts.push(part);
            }
            *self = Self::Body(partial);
            return Ok(None);
        }
        let Partial { method, properties, mut parts, .. } = *partial;
        let body = if parts.is_empty() {
            part
        } else {
            parts.push(part);
            let mut body = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| body.extend_from_slice(part));
            body.freeze()
        };
        Ok(Some(Command::Publish(Publish { method, properties, body })))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use proptest::prelude::*;
    use warren_amqp::{ReplyCode, channel};

    use super::*;

    fn header(body_size: u64) -> Payload {
        Payload::Header(ContentHeader { class: BASIC, body_size, properties: Bytes::from_static(&[0, 0]) })
    }

    fn publish() -> Payload {
        Payload::Method(Method::BasicPublish(basic::Publish::default()))
    }

    fn body(octets: &[u8]) -> Payload {
        Payload::Body(Bytes::copy_from_slice(octets))
    }

    #[test]
    fn frames_out_of_turn_are_refused() {
        let other_class =
            Payload::Header(ContentHeader { class: 10, body_size: 1, properties: Bytes::from_static(&[0, 0]) });
        for frames in [
            vec![body(b"x")],
            vec![header(1)],
            vec![publish(), publish()],
            vec![publish(), body(b"x")],
            vec![publish(), other_class],
            vec![publish(), header(1), header(1)],
            vec![publish(), header(1), Payload::Method(Method::ChannelFlow(channel::Flow { active: true }))],
            vec![Payload::Heartbeat],
        ] {
            let mut incoming = Incoming::default();
            let mut last = Ok(None);
            for frame in frames {
                last = incoming.on_frame(frame, 100);
            }
            assert_eq!(last.unwrap_err().code, ReplyCode::UnexpectedFrame);
        }
    }

    #[test]
    fn too_much_body_closes_the_connection_and_too_large_a_message_the_channel() {
        let mut incoming = Incoming::default();
        incoming.on_frame(publish(), 100).unwrap();
        incoming.on_frame(header(2), 100).unwrap();
        assert_eq!(incoming.on_frame(body(b"abc"), 100).unwrap_err().code, ReplyCode::UnexpectedFrame);
        incoming.on_frame(publish(), 100).unwrap();
        let fault = incoming.on_frame(header(101), 100).unwrap_err();
        assert_eq!(fault.text, "PRECONDITION_FAILED - message size 101 is larger than configured max size 100");
    }

    proptest! {
        #[test]
        fn bodies_are_put_together_as_sent(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9)) {
            let whole = parts.concat();
            let mut incoming = Incoming::default();
            prop_assert!(incoming.on_frame(publish(), 100).unwrap().is_none());
            let mut done = incoming.on_frame(header(whole.len() as u64), 100).unwrap();
            for part in parts {
                if done.is_none() {
                    done = incoming.on_frame(body(&part), 100).unwrap();
                }
            }
            let Some(Command::Publish(publish)) = done else { panic!("not whole") };
            prop_assert_eq!(publish.body, whole);
        }
    }
}
