//! Consumers, gets, acknowledgements.

use std::time::Duration;

use warren_amqp::{FieldTable, Method, PropertiesBuilder, Value, basic, queue};
use warren_shard::step::Local;

use super::super::Settings;
use super::super::testing::{FakeBroker, Node, short};

#[tokio::test]
async fn messages_are_delivered_whole_in_order_and_settled() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    let properties = PropertiesBuilder {
        content_type: Some("text/plain".into()),
        headers: Some(FieldTable::from([("n", Value::from(1))])),
        ..Default::default()
    }
    .encode();
    let big: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    for body in [b"first".as_slice(), b"", &big] {
        client.publish(1, basic::Publish { routing_key: short("q"), ..Default::default() }, &properties, body).await;
    }
    client.consume("q", "c", false).await;
    for (tag, body) in [(1, b"first".as_slice()), (2, b""), (3, &big)] {
        let (_, Method::BasicDeliver(deliver)) = client.method().await else { panic!("no delivery") };
        assert_eq!((deliver.consumer_tag.as_str(), deliver.delivery_tag, deliver.redelivered), ("c", tag, false));
        assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("", "q"));
        let (told, content) = client.content().await;
        assert_eq!(told, properties);
        assert_eq!(content, body);
    }
    client.ack(2, true).await;
    node.broker.until("two are settled", |broker| broker.counts("q") == (0, 1)).await;
    client.send(1, basic::Nack { delivery_tag: 3, multiple: false, requeue: true }).await;
    assert!(client.delivery().await.1);
    client.send(1, basic::Reject { delivery_tag: 4, requeue: false }).await;
    node.broker.until("all are gone", |broker| broker.counts("q") == (0, 0)).await;
    client.ack(4, false).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - unknown delivery tag 4").await;
}

#[tokio::test]
async fn written_deliveries_are_told_once_each() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.consume("q", "c", true).await;
    for _ in 0..50 {
        client.publish_to(1, "q", b"x").await;
    }
    for tag in 1..=50 {
        assert_eq!(client.delivery().await.0, tag);
    }
    let told = |broker: &FakeBroker| -> u32 {
        broker.words().iter().map(|(_, word)| if let Local::Written(_, messages) = word { *messages } else { 0 }).sum()
    };
    node.broker.until("all are told", |broker| told(broker) >= 50).await;
    assert_eq!(told(&node.broker), 50);
    assert_eq!(node.broker.counts("q"), (0, 0));
    client.ack(1, false).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1").await;
}

#[tokio::test]
async fn prefetch_holds_per_consumer_and_per_channel() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.send(1, basic::Qos { prefetch_count: 2, global: true, ..Default::default() }).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    for n in 0..6u8 {
        client.publish_to(1, "q", &[n]).await;
    }
    client.consume("q", "a", false).await;
    let bodies = [client.delivery().await.2, client.delivery().await.2];
    assert_eq!(bodies.concat(), [0, 1]);
    client.send(1, basic::Get { queue: short("none"), ..Default::default() }).await;
    // Nothing came before the answer to the get: the rest is held back.
    client.expect_channel_close(1, 404, "NOT_FOUND - no queue 'none' in vhost '/'").await;
    node.broker.until("all went back", |broker| broker.counts("q") == (6, 0)).await;

    client.open_channel(1).await;
    client.send(1, basic::Qos { prefetch_count: 1, global: true, ..Default::default() }).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    client.consume("q", "a", false).await;
    for n in 0..6u8 {
        let (tag, _, body) = client.delivery().await;
        assert_eq!((tag, body.as_ref()), (u64::from(n) + 1, [n].as_slice()));
        client.ack(tag, false).await;
    }
    client.send(1, basic::Qos { prefetch_size: 1, ..Default::default() }).await;
    client.expect_close(540, "NOT_IMPLEMENTED - prefetch_size!=0 (1)").await;
}

#[tokio::test]
async fn consumers_are_refused_and_cancelled_as_in_rabbitmq() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.consume("q", "c", false).await;
    let mut other = node.channel().await;
    other.send(1, basic::Consume { queue: short("q"), exclusive: true, ..Default::default() }).await;
    other.expect_channel_close(1, 403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use").await;

    client.send(1, basic::Cancel { consumer_tag: short("c"), nowait: false }).await;
    client.ok(|method| matches!(method, Method::BasicCancelOk(_)).then_some(())).await;
    client.send(1, basic::Consume { queue: short("q"), ..Default::default() }).await;
    let named =
        client.ok(|method| if let Method::BasicConsumeOk(ok) = method { Some(ok.consumer_tag) } else { None }).await;
    assert!(named.as_str().starts_with("amq.ctag-"));

    other.open_channel(1).await;
    other.send(1, queue::Delete { queue: short("q"), if_unused: true, ..Default::default() }).await;
    other.expect_channel_close(1, 406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use").await;
    other.open_channel(1).await;
    other.send(1, queue::Delete { queue: short("q"), ..Default::default() }).await;
    other.ok(|method| matches!(method, Method::QueueDeleteOk(_)).then_some(())).await;
    let cancel = client.ok(|method| if let Method::BasicCancel(cancel) = method { Some(cancel) } else { None }).await;
    assert_eq!((cancel.consumer_tag, cancel.nowait), (named, true));

    client.declare(1, "q").await;
    client.consume("q", "c", false).await;
    client.send(1, basic::Consume { queue: short("q"), consumer_tag: short("c"), ..Default::default() }).await;
    client.expect_close(530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'").await;
}

#[tokio::test]
async fn gets_take_one_message_and_recover_gives_all_back() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    let get = |no_ack| basic::Get { queue: short("q"), no_ack, ..Default::default() };
    client.send(1, get(false)).await;
    client.ok(|method| matches!(method, Method::BasicGetEmpty(_)).then_some(())).await;
    for n in 0..3u8 {
        client.publish_to(1, "q", &[n]).await;
    }
    for (n, no_ack) in [(0u8, true), (1, false)] {
        client.send(1, get(no_ack)).await;
        let ok = client.ok(|method| if let Method::BasicGetOk(ok) = method { Some(ok) } else { None }).await;
        assert_eq!((ok.delivery_tag, ok.message_count), (u64::from(n) + 1, 2 - u32::from(n)));
        assert_eq!(client.content().await.1, [n].as_slice());
    }
    client.send(1, basic::Recover { requeue: true }).await;
    client.ok(|method| matches!(method, Method::BasicRecoverOk(_)).then_some(())).await;
    node.broker.until("it is back", |broker| broker.counts("q") == (2, 0)).await;
    client.send(1, queue::Purge { queue: short("q"), ..Default::default() }).await;
    let purged =
        client.ok(|method| if let Method::QueuePurgeOk(ok) = method { Some(ok.message_count) } else { None }).await;
    assert_eq!(purged, 2);
    client.send(1, basic::Recover { requeue: false }).await;
    client.expect_close(540, "NOT_IMPLEMENTED - requeue=false").await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_held_for_too_long_closes_its_channel() {
    let node = Node::with(Settings { consumer_timeout: Duration::from_secs(60), ..Settings::default() });
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.publish_to(1, "q", b"x").await;
    client.consume("q", "c", false).await;
    let begin = tokio::time::Instant::now();
    client.delivery().await;
    let text = "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 60000 ms. \
                This timeout value can be configured, see consumers doc guide to learn more";
    let (_, method) = client.method_within(Duration::from_secs(120)).await;
    let Method::ChannelClose(close) = method else { panic!("{method:?}") };
    assert_eq!((close.reply_code, close.reply_text.as_str()), (406, text));
    let elapsed = begin.elapsed();
    assert!(elapsed >= Duration::from_secs(60) && elapsed <= Duration::from_secs(91), "{elapsed:?}");
}
