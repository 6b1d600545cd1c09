//! How connections end.

use warren_amqp::{Method, connection, queue};

use super::super::testing::{Node, short};

#[tokio::test]
async fn a_node_that_stops_says_so_to_its_clients() {
    let node = Node::new();
    let client = node.channel().await;
    node.stop.cancel();
    client.expect_close(320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'").await;
    assert_eq!(node.front.open_sockets(), 0);
}

#[tokio::test]
async fn closing_gives_back_what_was_held_and_deletes_what_was_exclusive() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    let exclusive = queue::Declare { queue: short("mine"), exclusive: true, ..Default::default() };
    client.send(1, exclusive.clone()).await;
    client.ok(|method| matches!(method, Method::QueueDeclareOk(_)).then_some(())).await;
    client.publish_to(1, "q", b"held").await;
    client.consume("q", "c", false).await;
    client.delivery().await;
    assert_eq!(node.broker.counts("q"), (0, 1));

    let mut other = node.channel().await;
    other.send(1, exclusive).await;
    let text = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be \
                originally declared on another connection or the exclusive property value does not match that of the \
                original declaration.";
    other.expect_channel_close(1, 405, text).await;

    client.send(0, connection::Close::default()).await;
    client.ok(|method| matches!(method, Method::ConnectionCloseOk(_)).then_some(())).await;
    assert!(!node.broker.has_queue("mine"), "gone before the close is answered");
    assert_eq!(node.broker.counts("q"), (1, 0));
    client.expect_end().await;
}

#[tokio::test]
async fn exclusive_queues_go_with_a_connection_that_is_lost() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, queue::Declare { queue: short("mine"), exclusive: true, nowait: true, ..Default::default() }).await;
    node.broker.until("it is declared", |broker| broker.has_queue("mine")).await;
    client.hang_up().await;
    node.broker.until("it is deleted", |broker| !broker.has_queue("mine")).await;
}

#[tokio::test]
async fn what_was_asked_before_a_close_is_done() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, queue::Declare { queue: short("q"), durable: true, nowait: true, ..Default::default() }).await;
    client.publish_to(1, "q", b"x").await;
    client.send(0, connection::Close::default()).await;
    client.ok(|method| matches!(method, Method::ConnectionCloseOk(_)).then_some(())).await;
    assert_eq!(node.broker.counts("q"), (1, 0));
}
