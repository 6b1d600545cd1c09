//! Publishes, confirms, returns.

use warren_amqp::{FieldTable, Method, Properties, PropertiesBuilder, Value, basic, channel, exchange};

use super::super::Settings;
use super::super::testing::{Node, short};
use super::NO_PROPERTIES;

#[tokio::test]
async fn confirms_come_once_each_and_after_returns() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.select_confirms().await;
    for _ in 0..3 {
        client.publish_to(1, "q", b"x").await;
    }
    let mut acked = 0;
    while acked < 3 {
        let ack = client.ok(|method| if let Method::BasicAck(ack) = method { Some(ack) } else { None }).await;
        assert!(ack.delivery_tag > acked && (ack.multiple || ack.delivery_tag == acked + 1));
        acked = ack.delivery_tag;
    }
    let nowhere = basic::Publish { routing_key: short("none"), mandatory: true, ..Default::default() };
    client.publish(1, nowhere, &NO_PROPERTIES, b"back").await;
    let returned =
        client.ok(|method| if let Method::BasicReturn(returned) = method { Some(returned) } else { None }).await;
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!(client.content().await.1, "back");
    client.ok(|method| matches!(method, Method::BasicAck(basic::Ack { delivery_tag: 4, .. })).then_some(())).await;
    node.broker.refuse("q");
    client.publish_to(1, "q", b"x").await;
    client.ok(|method| matches!(method, Method::BasicNack(basic::Nack { delivery_tag: 5, .. })).then_some(())).await;
}

#[tokio::test]
async fn late_answers_to_an_earlier_use_of_a_channel_number_confirm_nothing() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.select_confirms().await;
    node.broker.stall(true);
    client.publish_to(1, "q", b"old").await;
    client.send(1, channel::Close::default()).await;
    client.ok(|method| matches!(method, Method::ChannelCloseOk(_)).then_some(())).await;
    client.open_channel(1).await;
    client.select_confirms().await;
    node.broker.stall(false);
    node.broker.refuse("q");
    client.publish_to(1, "q", b"new").await;
    client.ok(|method| matches!(method, Method::BasicNack(basic::Nack { delivery_tag: 1, .. })).then_some(())).await;
}

#[tokio::test]
async fn a_publish_that_cannot_be_closes_the_channel_with_rabbitmqs_words() {
    let node = Node::new();
    let mut client = node.channel().await;
    let internal =
        exchange::Declare { exchange: short("inside"), kind: short("fanout"), internal: true, ..Default::default() };
    client.send(1, internal).await;
    client.ok(|method| matches!(method, Method::ExchangeDeclareOk(_)).then_some(())).await;
    let expired = PropertiesBuilder { expiration: Some("soon".into()), ..Default::default() }.encode();
    for (exchange, properties, code, text) in [
        ("none", NO_PROPERTIES, 404, "NOT_FOUND - no exchange 'none' in vhost '/'"),
        ("inside", NO_PROPERTIES, 403, "ACCESS_REFUSED - cannot publish to internal exchange 'inside' in vhost '/'"),
        ("", expired, 406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
    ] {
        client.publish(1, basic::Publish { exchange: short(exchange), ..Default::default() }, &properties, b"x").await;
        // Still on its way when the channel closes: passed over.
        client.publish_to(1, "q", b"x").await;
        client.expect_channel_close(1, code, text).await;
        client.open_channel(1).await;
    }
}

#[tokio::test]
async fn publishes_without_answers_stop_the_reading_until_they_are_answered() {
    let node = Node::with(Settings { publish_budget: 100_000, ..Settings::default() });
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    node.broker.stall(true);
    let mut sent = 0;
    while client.try_publish_to(1, "q", &[7; 10_000]).await {
        sent += 1;
        assert!(sent < 100, "all of it was taken");
    }
    assert!(sent >= 10, "{sent}");
    node.broker.stall(false);
    node.broker.until("all is taken", |broker| broker.counts("q").0 == sent).await;
}

#[tokio::test]
async fn an_alarm_holds_back_publishers_only() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    node.broker.alarm(Some("low on disk"));
    client.send(1, basic::Qos::default()).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    client.publish_to(1, "q", b"x").await;
    let blocked =
        client.ok(|method| if let Method::ConnectionBlocked(blocked) = method { Some(blocked) } else { None }).await;
    assert_eq!(blocked.reason, "low on disk");
    assert_eq!(node.broker.counts("q"), (0, 0), "the first publish is held back, too");
    client.send(1, basic::Qos::default()).await;
    node.broker.alarm(None);
    client.ok(|method| matches!(method, Method::ConnectionUnblocked(_)).then_some(())).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    node.broker.until("what was held back came", |broker| broker.counts("q") == (1, 0)).await;
}

#[tokio::test]
async fn further_routing_keys_in_headers_reach_their_queues_and_bcc_is_not_passed_on() {
    let node = Node::new();
    let mut client = node.channel().await;
    for queue in ["a", "b", "c"] {
        client.declare(1, queue).await;
    }
    let keys = |keys: &[&'static str]| Value::Array(keys.iter().map(|key| Value::from(*key)).collect());
    let headers = FieldTable::from([("CC", keys(&["b", "a"])), ("BCC", keys(&["c"])), ("n", Value::from(1))]);
    let properties = PropertiesBuilder { headers: Some(headers), ..Default::default() }.encode();
    client.publish(1, basic::Publish { routing_key: short("a"), ..Default::default() }, &properties, b"x").await;
    node.broker
        .until("each has one", |broker| ["a", "b", "c"].iter().all(|queue| broker.counts(queue) == (1, 0)))
        .await;
    client.send(1, basic::Get { queue: short("c"), ..Default::default() }).await;
    client.ok(|method| matches!(method, Method::BasicGetOk(_)).then_some(())).await;
    let shown = Properties::parse(&client.content().await.0).unwrap().headers().unwrap();
    assert!(shown.get("BCC").is_none() && shown.get("CC").is_some() && shown.get("n").is_some());
    let headers = FieldTable::from([("CC", Value::from("b"))]);
    let properties = PropertiesBuilder { headers: Some(headers), ..Default::default() }.encode();
    client.publish(1, basic::Publish { routing_key: short("a"), ..Default::default() }, &properties, b"x").await;
    let text = "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}";
    client.expect_channel_close(1, 406, text).await;
}
