//! Direct reply-to.

use bytes::Bytes;
use warren_amqp::{FieldTable, Method, Properties, PropertiesBuilder, Value, basic, queue};

use super::super::testing::{Client, Node, short};
use super::NO_PROPERTIES;

const PSEUDO: &str = "amq.rabbitmq.reply-to";

fn request() -> Bytes {
    PropertiesBuilder { reply_to: Some(PSEUDO.into()), correlation_id: Some("7".into()), ..Default::default() }.encode()
}

fn to_queue(queue: &str) -> basic::Publish {
    basic::Publish { routing_key: short(queue), ..Default::default() }
}

impl Client {
    /// What a requester's address is, seen by the one who gets its request.
    async fn address_of(&mut self, requester: &mut Client) -> String {
        requester.publish(1, to_queue("rpc"), &request(), b"ask").await;
        let (properties, _) = loop {
            self.send(1, basic::Get { queue: short("rpc"), no_ack: true, ..Default::default() }).await;
            match self.method().await.1 {
                Method::BasicGetOk(_) => break self.content().await,
                Method::BasicGetEmpty(_) => {}
                other => panic!("{other:?}"),
            }
        };
        let properties = Properties::parse(&properties).unwrap();
        assert_eq!(properties.correlation_id().unwrap(), "7");
        String::from_utf8(properties.reply_to().unwrap().to_vec()).unwrap()
    }

    async fn expect_declared(&mut self, name: &str) {
        self.send(1, queue::Declare { queue: short(name), passive: true, ..Default::default() }).await;
        let ok = self.ok(|method| if let Method::QueueDeclareOk(ok) = method { Some(ok) } else { None }).await;
        assert_eq!((ok.queue.as_str(), ok.message_count, ok.consumer_count), (name, 0, 1));
    }
}

#[tokio::test]
async fn a_reply_goes_to_the_channel_that_asked_for_as_long_as_it_is_there() {
    let node = Node::new();
    let (mut requester, mut replier) = (node.channel().await, node.channel().await);
    requester.declare(1, "rpc").await;
    requester.consume(PSEUDO, "r", true).await;
    let address = replier.address_of(&mut requester).await;
    assert!(address.starts_with("amq.rabbitmq.reply-to."));
    replier.expect_declared(&address).await;
    replier.expect_declared(PSEUDO).await;

    replier.select_confirms().await;
    let mandatory = basic::Publish { mandatory: true, ..to_queue(&address) };
    replier.publish(1, mandatory, &NO_PROPERTIES, b"answer").await;
    // As in RabbitMQ a requester is no queue: routed nowhere, and still delivered.
    replier.ok(|method| matches!(method, Method::BasicReturn(_)).then_some(())).await;
    replier.content().await;
    replier.ok(|method| matches!(method, Method::BasicAck(_)).then_some(())).await;
    let (_, Method::BasicDeliver(deliver)) = requester.method().await else { panic!("no reply") };
    assert_eq!((deliver.consumer_tag.as_str(), deliver.delivery_tag, deliver.redelivered), ("r", 1, false));
    assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("", address.as_str()));
    assert_eq!(requester.content().await.1, "answer");

    // A stranger's address, or the requester's through another exchange, reach nobody.
    let mut wrong = address.clone();
    wrong.replace_range(wrong.len() - 1.., if address.ends_with('0') { "1" } else { "0" });
    replier.publish(1, to_queue(&wrong), &NO_PROPERTIES, b"wrong").await;
    let elsewhere = basic::Publish { exchange: short("amq.direct"), ..to_queue(&address) };
    replier.publish(1, elsewhere, &NO_PROPERTIES, b"wrong").await;
    let copied = PropertiesBuilder {
        headers: Some(FieldTable::from([("CC", Value::Array([Value::text(address.clone())].into_iter().collect()))])),
        ..Default::default()
    };
    replier.publish(1, to_queue("rpc"), &copied.encode(), b"copy").await;
    requester.method().await;
    assert_eq!(requester.content().await.1, "copy");

    requester.send(1, basic::Cancel { consumer_tag: short("r"), nowait: false }).await;
    requester.ok(|method| matches!(method, Method::BasicCancelOk(_)).then_some(())).await;
    let mut other = node.channel().await;
    other.send(1, queue::Declare { queue: short(&address), passive: true, ..Default::default() }).await;
    other.expect_channel_close(1, 404, &format!("NOT_FOUND - no queue '{address}' in vhost '/'")).await;
}

#[tokio::test]
async fn direct_replies_are_refused_in_rabbitmqs_words() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.publish(1, to_queue("rpc"), &request(), b"ask").await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - fast reply consumer does not exist").await;
    client.open_channel(1).await;
    client.send(1, basic::Consume { queue: short(PSEUDO), ..Default::default() }).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge").await;
    client.open_channel(1).await;
    client.consume(PSEUDO, "r", true).await;
    client.send(1, basic::Consume { queue: short(PSEUDO), no_ack: true, ..Default::default() }).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - reply consumer already set").await;
    client.open_channel(1).await;
    client.send(1, queue::Declare { queue: short("amq.rabbitmq.reply-to.x"), ..Default::default() }).await;
    client.expect_channel_close(1, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to.x' in vhost '/'").await;
    client.open_channel(1).await;
    client.send(1, basic::Get { queue: short(PSEUDO), ..Default::default() }).await;
    client.expect_channel_close(1, 404, "NOT_FOUND - no queue 'amq.rabbitmq.reply-to' in vhost '/'").await;
}
