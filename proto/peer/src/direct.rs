//! Words of direct reply-to: replies on their way to the channel of a requester,
//! past all queues, and whether that channel is still there.

use bytes::Bytes;
use warren_replication::message::Message;

use crate::link::{self as wire, direct::Word};
use crate::words::WordError;

/// A word about the requester that knows the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectWord {
    /// Whose address it is.
    pub secret: u128,
    /// What is said.
    pub say: Say,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// A reply, published to the default exchange.
    Reply(Message),
    /// Is somebody there? The number comes back.
    Ask(u64),
    /// Yes.
    Present(u64),
    /// No.
    Absent(u64),
}

/// About how many bytes a word takes on the wire.
#[must_use]
pub fn weight(word: &DirectWord) -> usize {
    const WORD: usize = 48;
    match &word.say {
        Say::Reply(message) => WORD + message.weight(),
        _ => WORD,
    }
}

/// A word for the wire.
#[must_use]
pub fn encode(word: DirectWord) -> wire::Direct {
    let say = match word.say {
        Say::Reply(Message { routing_key, properties, body, .. }) => {
            Word::Reply(wire::Reply { routing_key, properties, body })
        }
        Say::Ask(request) => Word::Ask(request),
        Say::Present(request) => Word::Present(request),
        Say::Absent(request) => Word::Absent(request),
    };
    wire::Direct { secret: Bytes::copy_from_slice(&word.secret.to_be_bytes()), word: Some(say) }
}

/// A word from the wire.
///
/// # Errors
/// [`WordError`] if it is not one that [`encode`] makes.
pub fn decode(word: wire::Direct) -> Result<DirectWord, WordError> {
    let secret = <[u8; 16]>::try_from(word.secret.as_ref()).map_err(|_| WordError("no secret of an address"))?;
    let say = match word.word.ok_or(WordError("a direct word of unknown kind"))? {
        Word::Reply(wire::Reply { routing_key, properties, body }) => {
            Say::Reply(Message { exchange: Bytes::new(), routing_key, properties, body })
        }
        Word::Ask(request) => Say::Ask(request),
        Word::Present(request) => Say::Present(request),
        Word::Absent(request) => Say::Absent(request),
    };
    Ok(DirectWord { secret: u128::from_be_bytes(secret), say })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back_as_they_were_and_garbage_is_refused() {
        let message = Message {
            exchange: Bytes::new(),
            routing_key: Bytes::from_static(b"k"),
            properties: Bytes::from_static(&[0, 0]),
            body: Bytes::from_static(b"body"),
        };
        for say in [Say::Reply(message), Say::Ask(7), Say::Present(8), Say::Absent(0)] {
            let word = DirectWord { secret: 1 << 100 | 5, say };
            assert_eq!(decode(encode(word.clone())), Ok(word));
        }
        assert!(decode(wire::Direct::default()).is_err());
        assert!(decode(wire::Direct { secret: Bytes::from_static(b"short"), word: Some(Word::Ask(1)) }).is_err());
        assert!(decode(wire::Direct { secret: Bytes::from_static(&[0; 16]), word: None }).is_err());
    }
}
