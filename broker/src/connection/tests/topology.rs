//! Exchanges, queues, bindings, permissions.

use warren_amqp::{FieldTable, Method, Value, basic, exchange, queue};
use warren_membership::catalog::{Command, Pattern, Permissions};

use super::super::testing::{Node, short};
use super::NO_PROPERTIES;

#[tokio::test]
async fn declarations_are_answered_with_counts_and_an_empty_name_means_the_last() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, queue::Declare { durable: true, ..Default::default() }).await;
    let ok = client.ok(|method| if let Method::QueueDeclareOk(ok) = method { Some(ok) } else { None }).await;
    assert!(ok.queue.as_str().starts_with("amq.gen-") && ok.queue.len() == 30, "{}", ok.queue);
    client.publish_to(1, ok.queue.as_str(), b"x").await;
    client.send(1, queue::Bind { exchange: short("amq.direct"), ..Default::default() }).await;
    client.ok(|method| matches!(method, Method::QueueBindOk(_)).then_some(())).await;
    let bound = basic::Publish { exchange: short("amq.direct"), routing_key: ok.queue.clone(), ..Default::default() };
    client.publish(1, bound, &NO_PROPERTIES, b"y").await;
    client.send(1, queue::Declare { queue: ok.queue.clone(), passive: true, ..Default::default() }).await;
    let again = client.ok(|method| if let Method::QueueDeclareOk(ok) = method { Some(ok) } else { None }).await;
    assert_eq!((again.message_count, again.consumer_count), (2, 0));
    client.send(1, queue::Delete { if_empty: true, ..Default::default() }).await;
    let text = format!("PRECONDITION_FAILED - queue '{}' in vhost '/' not empty", ok.queue);
    client.expect_channel_close(1, 406, &text).await;
}

#[tokio::test]
async fn what_follows_a_declaration_waits_for_it_and_other_channels_do_not() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.open_channel(2).await;
    client.send(1, queue::Declare { queue: short("q"), durable: true, ..Default::default() }).await;
    client.publish_to(1, "q", b"x").await;
    client.send(1, basic::Qos::default()).await;
    client.send(2, basic::Qos::default()).await;
    let order: Vec<u16> = [client.method().await.0, client.method().await.0, client.method().await.0].to_vec();
    assert_eq!(order, [2, 1, 1]);
    assert_eq!(node.broker.counts("q"), (1, 0));
}

#[tokio::test]
async fn topology_errors_have_rabbitmqs_codes_and_words() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.send(1, queue::Declare { queue: short("q"), ..Default::default() }).await;
    let text = "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'";
    client.expect_channel_close(1, 406, text).await;
    client.open_channel(1).await;
    client.send(1, queue::Declare { queue: short("none"), passive: true, ..Default::default() }).await;
    client.expect_channel_close(1, 404, "NOT_FOUND - no queue 'none' in vhost '/'").await;
    client.open_channel(1).await;
    client.send(1, queue::Declare { queue: short("amq.mine"), ..Default::default() }).await;
    let text = "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'";
    client.expect_channel_close(1, 403, text).await;
    client.open_channel(1).await;
    client.send(1, queue::Purge::default()).await;
    client.expect_channel_close(1, 404, "NOT_FOUND - no previously declared queue").await;
    client.open_channel(1).await;
    client.send(1, exchange::Declare { exchange: short("none"), passive: true, ..Default::default() }).await;
    client.expect_channel_close(1, 404, "NOT_FOUND - no exchange 'none' in vhost '/'").await;
    client.open_channel(1).await;
    client.send(1, exchange::Delete { exchange: short("amq.topic"), ..Default::default() }).await;
    let text = "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed";
    client.expect_channel_close(1, 403, text).await;
    client.open_channel(1).await;
    client.send(1, queue::Bind { queue: short("q"), routing_key: short("k"), ..Default::default() }).await;
    client.expect_channel_close(1, 403, "ACCESS_REFUSED - operation not permitted on the default exchange").await;
    client.open_channel(1).await;
    let arguments = FieldTable::from([("x-priority", Value::from("high"))]);
    client.send(1, basic::Consume { queue: short("q"), arguments, ..Default::default() }).await;
    let text =
        "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"";
    client.expect_channel_close(1, 406, text).await;
    client.open_channel(1).await;
    // Unbinding what is not there succeeds.
    for (queue, exchange) in [("q", "amq.direct"), ("q", "none"), ("none", "amq.direct")] {
        client.send(1, queue::Unbind { queue: short(queue), exchange: short(exchange), ..Default::default() }).await;
        client.ok(|method| matches!(method, Method::QueueUnbindOk(_)).then_some(())).await;
    }
    client.send(1, exchange::Declare { exchange: short("e"), kind: short("odd"), ..Default::default() }).await;
    client.expect_close(503, "COMMAND_INVALID - unknown exchange type 'odd'").await;
}

#[tokio::test]
async fn users_do_only_what_they_may() {
    let node = Node::new();
    let permissions =
        Permissions { configure: Pattern::new("^mine"), write: Pattern::new("^mine"), read: Pattern::new("") };
    node.broker.agree(Command::SetPermissions { user: "poor".to_owned(), vhost: "/".to_owned(), permissions });
    let mut client = node.raw();
    client.open("poor", "/").await;
    client.open_channel(1).await;
    client.declare(1, "mine").await;
    client.send(1, queue::Declare { queue: short("yours"), ..Default::default() }).await;
    let text = "ACCESS_REFUSED - access to queue 'yours' in vhost '/' refused for user 'poor'";
    client.expect_channel_close(1, 403, text).await;
    client.open_channel(1).await;
    client.publish_to(1, "mine", b"x").await;
    let text = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'poor'";
    client.expect_channel_close(1, 403, text).await;
    client.open_channel(1).await;
    client.send(1, basic::Get { queue: short("mine"), ..Default::default() }).await;
    let text = "ACCESS_REFUSED - access to queue 'mine' in vhost '/' refused for user 'poor'";
    client.expect_channel_close(1, 403, text).await;
}
