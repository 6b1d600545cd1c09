//! The queues of a run: declared, emptied, deleted.

use warren_amqp::{FieldTable, Method, ShortStr, Value, queue};

use super::{LoadError, connect};
use crate::client::{CHANNEL, Uri};

/// What queues a run uses.
#[derive(Clone, Debug)]
pub struct Topology {
    /// Their names are this and a number.
    pub prefix: String,
    /// How many.
    pub queues: usize,
    /// Whether they outlive a restart.
    pub durable: bool,
    /// Their arguments, as in `x-queue-type`.
    pub arguments: Vec<(String, Value)>,
}

impl Topology {
    /// The name of a publisher's or consumer's queue: they are dealt out in turn.
    #[must_use]
    pub fn queue_of(&self, number: usize) -> ShortStr {
        self.name(number % self.queues.max(1))
    }

    fn name(&self, number: usize) -> ShortStr {
        ShortStr::truncated(&format!("{}-{number}", self.prefix))
    }

    /// Declares the queues and empties them.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn declare(&self, uri: &Uri) -> Result<(), LoadError> {
        let mut client = connect(uri).await?;
        let arguments: FieldTable =
            self.arguments.iter().map(|(name, value)| (ShortStr::truncated(name), value.clone())).collect();
        for number in 0..self.queues {
            let queue = self.name(number);
            let declare = queue::Declare {
                queue: queue.clone(),
                durable: self.durable,
                arguments: arguments.clone(),
                ..Default::default()
            };
            let Method::QueueDeclareOk(_) = client.call(CHANNEL, &declare).await? else {
                return Err(client.unexpected("answer to queue.declare").into());
            };
            let purge = queue::Purge { queue, ..Default::default() };
            let Method::QueuePurgeOk(_) = client.call(CHANNEL, &purge).await? else {
                return Err(client.unexpected("answer to queue.purge").into());
            };
        }
        Ok(client.close().await?)
    }

    /// Deletes the queues.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub async fn delete(&self, uri: &Uri) -> Result<(), LoadError> {
        let mut client = connect(uri).await?;
        for number in 0..self.queues {
            let delete = queue::Delete { queue: self.name(number), ..Default::default() };
            let Method::QueueDeleteOk(_) = client.call(CHANNEL, &delete).await? else {
                return Err(client.unexpected("answer to queue.delete").into());
            };
        }
        Ok(client.close().await?)
    }
}
