//! What both ends of a link do before the first message: connect, and make sure
//! that the queues and bindings that the link needs are there.

use warren_amqp::{FieldTable, Method, ShortStr, confirm, exchange, queue};

use super::connector::Connector;
use super::plan::{From, QueuePlan, To};
use crate::client::{CHANNEL, Client, ClientError, Uri};

const NOT_FOUND: u16 = 404;

/// Connects to where messages come from.
pub(super) async fn open_source(
    connector: &Connector,
    uri: &Uri,
    name: &str,
    from: &From,
) -> Result<(Client, queue::DeclareOk), ClientError> {
    match from {
        From::Queue(plan) => ensure(connector, uri, name, plan).await,
        From::Exchange { name: exchange, key } => {
            let mut client = connector.connect(uri, name).await?;
            let own = queue::Declare { exclusive: true, auto_delete: true, ..Default::default() };
            let declared = declare(&mut client, &own).await?;
            bind(&mut client, &declared.queue, exchange, key, FieldTable::default()).await?;
            Ok((client, declared))
        }
        From::Federated { exchange, kind, queue, bindings } => {
            let theirs = exchange::Declare {
                exchange: ShortStr::truncated(exchange),
                kind: ShortStr::truncated(kind),
                durable: true,
                ..Default::default()
            };
            if !is_there(connector, uri, name, exchange).await? {
                connector.connect(uri, name).await?.call(CHANNEL, &theirs).await?;
            }
            let [first, second] = between(queue);
            // What was bound before may have changed meanwhile, by another node:
            // all is bound anew, to the other of two exchanges, before the one in
            // use goes. The queue misses nothing, and gets nothing twice.
            let (fresh, stale) =
                if is_there(connector, uri, name, &first).await? { (second, first) } else { (first, second) };
            let (mut client, declared) = ensure(connector, uri, name, queue).await?;
            delete_exchange(&mut client, &fresh).await?;
            let fanout = exchange::Declare {
                exchange: ShortStr::truncated(&fresh),
                kind: ShortStr::truncated("fanout"),
                durable: true,
                internal: true,
                ..Default::default()
            };
            client.call(CHANNEL, &fanout).await?;
            for (key, arguments) in bindings {
                let bind = exchange::Bind {
                    destination: ShortStr::truncated(&fresh),
                    source: ShortStr::truncated(exchange),
                    routing_key: ShortStr::truncated(key),
                    arguments: arguments.clone(),
                    ..Default::default()
                };
                client.call(CHANNEL, &bind).await?;
            }
            bind(&mut client, &declared.queue, &fresh, "", FieldTable::default()).await?;
            delete_exchange(&mut client, &stale).await?;
            Ok((client, declared))
        }
    }
}

/// The exchanges between an upstream's exchange and a link's queue there, of
/// which one is in use.
fn between(queue: &QueuePlan) -> [String; 2] {
    ["A", "B"].map(|which| format!("{} {which}", queue.name))
}

/// Takes what a federated exchange's link has made at its upstream away; its
/// queue only if it is empty, if a site's messages are not to be given up.
pub(super) async fn retire(
    connector: &Connector,
    uri: &Uri,
    name: &str,
    queue: &QueuePlan,
    if_empty: bool,
) -> Result<(), ClientError> {
    let mut client = connector.connect(uri, name).await?;
    for exchange in between(queue) {
        delete_exchange(&mut client, &exchange).await?;
    }
    let delete = queue::Delete { queue: ShortStr::truncated(&queue.name), if_empty, ..Default::default() };
    client.call(CHANNEL, &delete).await?;
    client.close().await
}

async fn delete_exchange(client: &mut Client, name: &str) -> Result<(), ClientError> {
    let delete = exchange::Delete { exchange: ShortStr::truncated(name), ..Default::default() };
    client.call(CHANNEL, &delete).await.map(drop)
}

/// Whether an exchange is there. A connection of its own, since a no costs the channel.
async fn is_there(connector: &Connector, uri: &Uri, name: &str, exchange: &str) -> Result<bool, ClientError> {
    let mut client = connector.connect(uri, name).await?;
    let passive = exchange::Declare { exchange: ShortStr::truncated(exchange), passive: true, ..Default::default() };
    match client.call(CHANNEL, &passive).await {
        Ok(_) => Ok(true),
        Err(ClientError::Closed { code: NOT_FOUND, .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Connects to where messages go, with confirms.
pub(super) async fn open_target(
    connector: &Connector,
    uri: &Uri,
    name: &str,
    to: &To,
    confirms: bool,
) -> Result<Client, ClientError> {
    let mut client = match to {
        To::Queue(plan) => ensure(connector, uri, name, plan).await?.0,
        To::Exchange { .. } => connector.connect(uri, name).await?,
    };
    if confirms {
        let Method::ConfirmSelectOk(_) = client.call(CHANNEL, &confirm::Select::default()).await? else {
            return Err(client.unexpected("answer to confirm.select"));
        };
    }
    Ok(client)
}

/// Makes a queue unless it is there, whatever it is there with.
async fn ensure(
    connector: &Connector,
    uri: &Uri,
    name: &str,
    plan: &QueuePlan,
) -> Result<(Client, queue::DeclareOk), ClientError> {
    let mut client = connector.connect(uri, name).await?;
    let queue = ShortStr::truncated(&plan.name);
    let passive = queue::Declare { queue: queue.clone(), passive: true, ..Default::default() };
    match (declare(&mut client, &passive).await, &plan.arguments) {
        (Err(ClientError::Closed { code: NOT_FOUND, .. }), Some(arguments)) => {
            // The refusal cost the channel, and a client has one only.
            let mut client = connector.connect(uri, name).await?;
            let active = queue::Declare { queue, durable: true, arguments: arguments.clone(), ..Default::default() };
            let declared = declare(&mut client, &active).await?;
            Ok((client, declared))
        }
        (declared, _) => declared.map(|declared| (client, declared)),
    }
}

async fn declare(client: &mut Client, declare: &queue::Declare) -> Result<queue::DeclareOk, ClientError> {
    match client.call(CHANNEL, declare).await? {
        Method::QueueDeclareOk(declared) => Ok(declared),
        _ => Err(client.unexpected("answer to queue.declare")),
    }
}

async fn bind(
    client: &mut Client,
    queue: &ShortStr,
    exchange: &str,
    key: &str,
    arguments: FieldTable,
) -> Result<(), ClientError> {
    let bind = queue::Bind {
        queue: queue.clone(),
        exchange: ShortStr::truncated(exchange),
        routing_key: ShortStr::truncated(key),
        arguments,
        ..Default::default()
    };
    match client.call(CHANNEL, &bind).await? {
        Method::QueueBindOk(_) => Ok(()),
        _ => Err(client.unexpected("answer to queue.bind")),
    }
}
