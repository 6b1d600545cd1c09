//! Exchanges, queues and bindings, declared over AMQP as any client would.

use serde_json::{Map, Value};
use warren_amqp::{Arguments, FieldTable, Method, ShortStr, exchange, queue};

use super::definitions::Definitions;
use super::{MigrateError, Problems};
use crate::client::{CHANNEL, Client, ClientError, Manner, Uri};
use crate::remote::json_table;

/// How a migration presents itself.
pub(super) const MANNER: Manner = Manner { product: "warren migrate", name: None, heartbeat: 0 };

/// Declares everything; `done` is called for each thing.
///
/// # Errors
/// The connection, but not what the broker refuses: that is a problem each.
pub async fn declare(
    to: &Uri,
    definitions: &Definitions,
    problems: &mut Problems,
    done: impl Fn(),
) -> Result<(), MigrateError> {
    for vhost in &definitions.vhosts {
        let mut session = Session { uri: Uri { vhost: vhost.name.clone(), ..to.clone() }, client: None };
        let here = |name: &str| name == vhost.name;
        for exchange in definitions.exchanges.iter().filter(|exchange| here(&exchange.vhost)) {
            let what = format!("exchange '{}' of vhost '{}'", exchange.name, vhost.name);
            let Some(arguments) = table(&what, &exchange.arguments, problems) else { continue };
            let declare = exchange::Declare {
                exchange: ShortStr::truncated(&exchange.name),
                kind: ShortStr::truncated(&exchange.kind),
                durable: exchange.durable,
                auto_delete: exchange.auto_delete,
                internal: exchange.internal,
                arguments,
                ..Default::default()
            };
            session.call(&what, &declare, problems).await?;
            done();
        }
        for queue in definitions.queues.iter().filter(|queue| here(&queue.vhost)) {
            let what = format!("queue '{}' of vhost '{}'", queue.name, vhost.name);
            let Some(arguments) = table(&what, &queue.arguments, problems) else { continue };
            let declare = queue::Declare {
                queue: ShortStr::truncated(&queue.name),
                durable: queue.durable,
                auto_delete: queue.auto_delete,
                arguments,
                ..Default::default()
            };
            session.call(&what, &declare, problems).await?;
            done();
        }
        for binding in definitions.bindings.iter().filter(|binding| here(&binding.vhost)) {
            let what = format!(
                "binding '{}' of exchange '{}' to {} '{}' of vhost '{}'",
                binding.routing_key, binding.source, binding.destination_type, binding.destination, vhost.name
            );
            let Some(arguments) = table(&what, &binding.arguments, problems) else { continue };
            let (source, destination) =
                (ShortStr::truncated(&binding.source), ShortStr::truncated(&binding.destination));
            let routing_key = ShortStr::truncated(&binding.routing_key);
            if binding.destination_type == "exchange" {
                let bind = exchange::Bind { destination, source, routing_key, arguments, ..Default::default() };
                session.call(&what, &bind, problems).await?;
            } else {
                let queue = destination;
                let bind = queue::Bind { queue, exchange: source, routing_key, arguments, ..Default::default() };
                session.call(&what, &bind, problems).await?;
            }
            done();
        }
        session.close().await;
    }
    Ok(())
}

fn table(what: &str, arguments: &Map<String, Value>, problems: &mut Problems) -> Option<FieldTable> {
    json_table(arguments).map_err(|error| problems.add(format!("{what}: {error}"))).ok()
}

/// A connection that is made again after a refusal, which costs the channel.
struct Session {
    uri: Uri,
    client: Option<Client>,
}

impl Session {
    async fn call(
        &mut self,
        what: &str,
        method: &impl Arguments,
        problems: &mut Problems,
    ) -> Result<Option<Method>, MigrateError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.uri, &MANNER).await?,
        };
        match client.call(CHANNEL, method).await {
            Ok(answer) => {
                self.client = Some(client);
                Ok(Some(answer))
            }
            Err(ClientError::Closed { code, text, .. }) => {
                problems.add(format!("{what}: {code} {text}"));
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn close(self) {
        if let Some(client) = self.client {
            // Everything was answered.
            let _ = client.close().await;
        }
    }
}
