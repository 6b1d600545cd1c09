//! What this connection's user may do in its vhost.

use warren_amqp::ReplyCode;
use warren_membership::catalog::{Arguments, Refusal, Resource, State, Value, Verb};
use warren_replication::types::NodeId;

use super::fault::Fault;
use crate::remote;

/// Who is connected, and where.
#[derive(Clone, Debug)]
pub struct Access {
    /// The user.
    pub user: String,
    /// The vhost.
    pub vhost: String,
    /// One of the node's own links rather than a client: it may do everything,
    /// since whoever set it up was asked then.
    pub internal: bool,
    /// A link of another site, which comes to fetch what waits for it.
    pub visitor: Option<Visitor>,
}

/// What a link of another site was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// That this site is drained, or that it is not.
    pub drained: bool,
}

impl Access {
    /// One of the node's own links.
    #[must_use]
    pub fn link(vhost: &str) -> Self {
        Self { user: String::new(), vhost: vhost.to_owned(), internal: true, visitor: None }
    }

    /// Whether the user may do that.
    ///
    /// # Errors
    /// 403 with RabbitMQ's text.
    pub fn check(&self, catalog: &State, verb: Verb, resource: &Resource) -> Result<(), Fault> {
        if self.internal || catalog.may(&self.user, &self.vhost, verb, resource.name()) {
            return Ok(());
        }
        let shown = match resource {
            Resource::Exchange { vhost, name } if name.is_empty() => Resource::exchange(vhost, "amq.default"),
            other => other.clone(),
        };
        Err(Fault::access_refused(format_args!("access to {shown} refused for user '{}'", self.user)))
    }

    /// Whether the user may publish in another's name (`user-id`): tagged
    /// `impersonator`, or a link, which hands on what somebody else said of himself
    /// elsewhere.
    #[must_use]
    pub fn may_impersonate(&self, catalog: &State) -> bool {
        self.internal || catalog.user(&self.user).is_some_and(|user| user.tags.contains("impersonator"))
    }

    /// Where a client of the vhost has to go instead, if that node does not serve
    /// it: a backup does not, nor does any node of a drained site. Neither turns
    /// away the cluster's own links, nor a drained site those of the others.
    #[must_use]
    pub fn turned_away(&self, catalog: &State, node: NodeId) -> Option<String> {
        let drained = remote::turned_away(catalog, &self.vhost);
        match self.visitor {
            None if !self.internal && drained.is_some() => return drained,
            // It fetches more, or less, once it knows.
            Some(told) if told.drained == drained.is_none() => {
                return Some("whether this site is drained has changed: connect again".to_owned());
            }
            _ => {}
        }
        let (group, primary) = catalog.turns_away(&self.vhost, node).filter(|_| !self.internal)?;
        let (vhost, policy) = (&self.vhost, &group.policy);
        let whither = match primary {
            Some(primary) => format!("connect to its primary '{}' at {}", primary.name, primary.addresses.amqp),
            None => "it has no primary now".to_owned(),
        };
        Some(format!("this node is a backup of policy '{policy}' in vhost '{vhost}'; {whither}"))
    }

    /// Whether the user may declare a queue or exchange that passes messages on to
    /// the exchange that this argument names: it takes from the one and gives to
    /// the other in the user's name.
    ///
    /// # Errors
    /// 403 with RabbitMQ's text.
    pub fn check_passing_on(
        &self,
        catalog: &State,
        from: &Resource,
        arguments: &Arguments,
        argument: &str,
    ) -> Result<(), Fault> {
        let Some(to) = arguments.get(argument).and_then(Value::as_str) else { return Ok(()) };
        self.check(catalog, Verb::Read, from)?;
        self.check(catalog, Verb::Write, &self.exchange(to))
    }

    /// Whether the user may use that routing key with the topic exchange.
    ///
    /// # Errors
    /// 403 with RabbitMQ's text.
    pub fn check_topic(&self, catalog: &State, verb: Verb, exchange: &str, routing_key: &str) -> Result<(), Fault> {
        let topics = catalog.topic_permissions(&self.user, &self.vhost, exchange);
        if topics.is_none_or(|topics| topics.allow(verb, routing_key)) {
            return Ok(());
        }
        let (shown, user) = (Resource::exchange(&self.vhost, exchange), &self.user);
        Err(Fault::access_refused(format_args!("access to topic '{routing_key}' in {shown} refused for user '{user}'")))
    }

    /// A queue of this vhost.
    #[must_use]
    pub fn queue(&self, name: &str) -> Resource {
        Resource::queue(&self.vhost, name)
    }

    /// An exchange of this vhost.
    #[must_use]
    pub fn exchange(&self, name: &str) -> Resource {
        Resource::exchange(&self.vhost, name)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let code = ReplyCode::from_code(refusal.code().0).unwrap_or(ReplyCode::InternalError);
        Self::new(code, refusal)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::{Method, exchange, queue};
    use warren_membership::catalog::{Command, Pattern, Permissions, TopicPermissions};

    use crate::connection::testing::{Client, Node, short};

    /// A node with a user `poor` who may do only so much.
    fn node([configure, write, read]: [&str; 3]) -> Node {
        let node = Node::new();
        let [configure, write, read] = [configure, write, read].map(Pattern::new);
        let permissions = Permissions { configure, write, read };
        node.broker.agree(Command::SetPermissions { user: "poor".into(), vhost: "/".into(), permissions });
        node
    }

    async fn poor(node: &Node) -> Client {
        let mut client = node.raw();
        client.open("poor", "/").await;
        client.open_channel(1).await;
        client
    }

    async fn refused(client: &mut Client, what: &str) {
        let text = format!("ACCESS_REFUSED - access to {what} in vhost '/' refused for user 'poor'");
        client.expect_channel_close(1, 403, &text).await;
        client.open_channel(1).await;
    }

    fn bind(queue: &str, exchange: &str, routing_key: &str) -> queue::Bind {
        queue::Bind {
            queue: short(queue),
            exchange: short(exchange),
            routing_key: short(routing_key),
            ..Default::default()
        }
    }

    #[tokio::test]
    async fn binding_writes_to_the_queue_and_reads_the_exchange_in_this_order() {
        let node = node(["", "^w", r"^amq\.topic$"]);
        let mut owner = node.channel().await;
        owner.declare(1, "w").await;
        owner.declare(1, "x").await;
        let mut client = poor(&node).await;
        client.send(1, bind("x", "amq.direct", "k")).await;
        refused(&mut client, "queue 'x'").await;
        client.send(1, bind("w", "amq.direct", "k")).await;
        refused(&mut client, "exchange 'amq.direct'").await;
        let to_default = exchange::Bind { source: short("amq.topic"), ..Default::default() };
        client.send(1, to_default).await;
        refused(&mut client, "exchange 'amq.default'").await;
        client.send(1, bind("w", "amq.topic", "k")).await;
        assert!(matches!(client.method().await, (1, Method::QueueBindOk(_))));
    }

    #[tokio::test]
    async fn what_passes_messages_on_takes_reading_it_and_writing_to_where_they_go() {
        for (permissions, what) in [([".*", ".*", "^x$"], "queue 'q'"), ([".*", "^x$", ".*"], "exchange 'dead'")] {
            let node = node(permissions);
            let mut client = poor(&node).await;
            let arguments =
                warren_amqp::FieldTable::from([("x-dead-letter-exchange", warren_amqp::Value::from("dead"))]);
            client.send(1, queue::Declare { queue: short("q"), arguments, ..Default::default() }).await;
            refused(&mut client, what).await;
        }
    }

    #[tokio::test]
    async fn routing_keys_of_topic_exchanges_may_be_limited_and_a_change_counts_at_once() {
        let node = node([".*", ".*", ".*"]);
        let mut client = poor(&node).await;
        client.declare(1, "q").await;
        let publish = |key: &str| warren_amqp::basic::Publish {
            exchange: short("amq.topic"),
            routing_key: short(key),
            mandatory: true,
            ..Default::default()
        };
        let none = bytes::Bytes::from_static(&[0, 0]);
        client.publish(1, publish("x.y"), &none, b"").await;
        assert!(matches!(client.method().await, (1, Method::BasicReturn(_))));
        client.content().await;
        let permissions = TopicPermissions::new("poor", "/", r"^{username}\.", r"^{vhost}").unwrap();
        let (user, vhost, exchange) = ("poor".into(), "/".into(), "amq.topic".into());
        node.broker.agree(Command::SetTopicPermissions { user, vhost, exchange, permissions });
        client.publish(1, publish("x.y"), &none, b"").await;
        refused(&mut client, "topic 'x.y' in exchange 'amq.topic'").await;
        client.publish(1, publish("poor.y"), &none, b"").await;
        assert!(matches!(client.method().await, (1, Method::BasicReturn(_))));
        client.content().await;
        client.send(1, bind("q", "amq.topic", "#")).await;
        refused(&mut client, "topic '#' in exchange 'amq.topic'").await;
        client.send(1, bind("q", "amq.topic", "/.x")).await;
        assert!(matches!(client.method().await, (1, Method::QueueBindOk(_))));
        client.send(1, bind("q", "amq.direct", "#")).await;
        assert!(matches!(client.method().await, (1, Method::QueueBindOk(_))));
    }
}
