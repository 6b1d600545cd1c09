//! A connection against a broker in memory, by a client of our own codec.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use warren_amqp::{
    ContentHeader, FieldTable, Frame, Method, PROTOCOL_HEADER, Payload, PropertiesBuilder, Value, basic, channel,
    confirm, connection, exchange, queue, tx,
};
use warren_membership::catalog::{Command, Pattern, Permissions};
use warren_shard::step::Local;

use super::Settings;
use super::testing::{Client, Node, short};

const NO_PROPERTIES: Bytes = Bytes::from_static(&[0, 0]);

// Handshake.

#[tokio::test]
async fn a_wrong_protocol_header_is_answered_with_the_right_one() {
    for wrong in [b"AMQP\x00\x01\x00\x00".as_slice(), b"GET / HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01"] {
        let node = Node::new();
        let mut client = node.raw();
        client.send_raw(wrong).await;
        client.expect_header_and_end().await;
    }
}

impl Client {
    async fn expect_header_and_end(mut self) {
        let mut octets = [0; 8];
        self.read_exact(&mut octets).await;
        assert_eq!(octets, PROTOCOL_HEADER);
        self.expect_end().await;
    }

    async fn ok<T>(&mut self, pick: impl FnOnce(Method) -> Option<T>) -> T {
        let (_, method) = self.method().await;
        let shown = format!("{method:?}");
        pick(method).unwrap_or_else(|| panic!("not {shown}"))
    }

    async fn select_confirms(&mut self) {
        self.send(1, confirm::Select { nowait: false }).await;
        assert!(matches!(self.method().await, (1, Method::ConfirmSelectOk(_))));
    }

    async fn consume(&mut self, queue: &str, tag: &str, no_ack: bool) {
        let consume = basic::Consume { queue: short(queue), consumer_tag: short(tag), no_ack, ..Default::default() };
        self.send(1, consume).await;
        let (_, method) = self.method().await;
        assert!(matches!(&method, Method::BasicConsumeOk(ok) if ok.consumer_tag == tag), "{method:?}");
    }

    async fn ack(&mut self, delivery_tag: u64, multiple: bool) {
        self.send(1, basic::Ack { delivery_tag, multiple }).await;
    }
}

#[tokio::test]
async fn the_broker_introduces_itself_as_clients_expect() {
    let node = Node::new();
    let mut client = node.raw();
    client.send_raw(&PROTOCOL_HEADER).await;
    let (_, Method::ConnectionStart(start)) = client.method().await else { panic!("no start") };
    assert_eq!((start.version_major, start.version_minor), (0, 9));
    assert_eq!(start.mechanisms, "PLAIN AMQPLAIN");
    let properties = start.server_properties;
    assert_eq!(
        properties.get("product").and_then(|value| value.as_str().map(str::to_owned)),
        Some("Warren".to_owned())
    );
    let Some(Value::Table(capabilities)) = properties.get("capabilities") else { panic!("no capabilities") };
    assert_eq!(capabilities.get("publisher_confirms"), Some(Value::Bool(true)));
    assert_eq!(capabilities.get("direct_reply_to"), None);
}

#[tokio::test]
async fn a_wrong_password_is_refused_as_the_client_understands_it() {
    let node = Node::new();
    let text =
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.";
    let mut client = node.raw();
    client.login("guest", "wrong", true).await;
    client.expect_close(403, text).await;
    let mut client = node.raw();
    client.login("guest", "wrong", false).await;
    client.expect_end().await;
    let mut client = node.raw();
    client.login("nobody", "nobody", true).await;
    client.expect_close(403, text).await;
    let mut client = node.raw_from(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9)));
    client.login("guest", "guest", true).await;
    client.expect_close(403, text).await;
}

#[tokio::test]
async fn what_cannot_be_agreed_on_is_not_allowed() {
    let node = Node::new();
    for (tuned, text) in [
        (
            connection::TuneOk { channel_max: 10, frame_max: 131_073, heartbeat: 0 },
            "NOT_ALLOWED - negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            connection::TuneOk { channel_max: 10, frame_max: 100, heartbeat: 0 },
            "NOT_ALLOWED - negotiated frame_max = 100 is lower than the minimum allowed value (4096)",
        ),
        (
            connection::TuneOk { channel_max: 0, frame_max: 4096, heartbeat: 0 },
            "NOT_ALLOWED - negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ] {
        let mut client = node.raw();
        client.login("guest", "guest", true).await;
        client.tune(tuned).await;
        client.expect_close(530, text).await;
    }
}

#[tokio::test]
async fn a_vhost_must_exist_and_be_open_to_the_user() {
    let node = Node::new();
    for (user, vhost, text) in [
        ("guest", "else", "NOT_ALLOWED - vhost else not found"),
        ("poor", "/", "NOT_ALLOWED - access to vhost '/' refused for user 'poor'"),
    ] {
        let mut client = node.raw();
        client.login(user, user, true).await;
        client.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 }).await;
        client.send(0, connection::Open { virtual_host: short(vhost), ..Default::default() }).await;
        client.expect_close(530, text).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_dropped() {
    let node = Node::new();
    node.raw().expect_end().await;
    let mut client = node.raw();
    client.send_raw(&PROTOCOL_HEADER).await;
    assert!(matches!(client.method().await, (0, Method::ConnectionStart(_))));
    client.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_are_sent_and_a_silent_client_is_dropped() {
    let node = Node::new();
    let mut client = node.raw();
    client.login("guest", "guest", true).await;
    client.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 2 }).await;
    client.send(0, connection::Open { virtual_host: short("/"), ..Default::default() }).await;
    assert!(matches!(client.method().await, (0, Method::ConnectionOpenOk(_))));
    let mut beats = 0;
    let begin = tokio::time::Instant::now();
    while let Some(frame) = client.frame().await {
        assert_eq!(frame, Frame { channel: 0, payload: Payload::Heartbeat });
        beats += 1;
        if begin.elapsed() < Duration::from_secs(20) {
            client.send_raw(&[8, 0, 0, 0, 0, 0, 0, 206]).await;
        }
    }
    let silent = begin.elapsed() - Duration::from_secs(20);
    assert!(silent >= Duration::from_secs(3) && silent < Duration::from_secs(7), "{silent:?}");
    assert!(beats >= 10, "{beats}");
}

// Malformed input.

#[tokio::test]
async fn malformed_frames_close_the_connection_with_their_code() {
    let node = Node::new();
    let cases: [(&[u8], u16, &str); 8] = [
        (&[1, 0, 1, 0, 0, 0, 4, 0, 20, 0, 10, 0], 501, "FRAME_ERROR"),
        (&[7, 0, 0, 0, 0, 0, 0, 206], 501, "FRAME_ERROR"),
        (&[1, 0, 1, 0, 0, 0, 4, 0, 99, 0, 99, 206], 503, "COMMAND_INVALID"),
        (&[1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 40, 206], 501, "FRAME_ERROR"),
        (&[1, 0, 1, 0xff, 0, 0, 0], 501, "FRAME_ERROR"),
        (&[2, 0, 0, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 206], 505, "UNEXPECTED_FRAME"),
        (&[3, 0, 1, 0, 0, 0, 1, 7, 206], 505, "UNEXPECTED_FRAME"),
        (&[8, 0, 1, 0, 0, 0, 0, 206], 505, "UNEXPECTED_FRAME"),
    ];
    for (octets, code, name) in cases {
        let mut client = node.channel().await;
        client.send_raw(octets).await;
        let (channel, method) = client.method().await;
        let Method::ConnectionClose(close) = method else { panic!("{octets:?}: {method:?}") };
        assert_eq!((channel, close.reply_code), (0, code), "{octets:?}: {}", close.reply_text);
        assert!(close.reply_text.as_str().starts_with(name), "{}", close.reply_text);
        client.send(0, connection::CloseOk).await;
        client.expect_end().await;
    }
}

#[tokio::test]
async fn methods_out_of_place_close_the_connection() {
    let node = Node::new();
    let mut client = node.connect().await;
    client.send(1, basic::Qos::default()).await;
    client.expect_close(504, "CHANNEL_ERROR - expected 'channel.open'").await;
    let mut client = node.channel().await;
    client.send(1, channel::Open::default()).await;
    client.expect_close(504, "CHANNEL_ERROR - second 'channel.open' seen").await;
    let mut client = node.channel().await;
    client.publish_to(0, "q", b"x").await;
    client.expect_close(504, "CHANNEL_ERROR - unexpected method in connection state running").await;
    let mut client = node.channel().await;
    client.send(1, basic::Publish::default()).await;
    client.send(1, basic::Qos::default()).await;
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead";
    client.expect_close(505, text).await;
    let mut client = node.channel().await;
    client.send(1, tx::Select).await;
    client.expect_close(540, "NOT_IMPLEMENTED - transactions are not supported").await;
    let mut client = node.channel().await;
    client.publish(1, basic::Publish { immediate: true, ..Default::default() }, &NO_PROPERTIES, b"").await;
    client.expect_close(540, "NOT_IMPLEMENTED - immediate=true").await;
}

#[tokio::test]
async fn no_more_channels_are_opened_than_agreed() {
    let node = Node::new();
    let mut client = node.connect().await;
    for number in 1..=10 {
        client.open_channel(number).await;
    }
    client.send(11, channel::Open::default()).await;
    let text = "NOT_ALLOWED - number of channels opened (10) has reached the negotiated channel_max (10)";
    client.expect_close(530, text).await;
}

#[tokio::test]
async fn a_message_above_the_limit_closes_its_channel_only() {
    let node = Node::with(Settings { max_message_size: 1000, ..Settings::default() });
    let mut client = node.channel().await;
    client.open_channel(2).await;
    client.declare(1, "q").await;
    client.publish_to(1, "q", &[7; 1001]).await;
    let text = "PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000";
    client.expect_channel_close(1, 406, text).await;
    client.publish_to(2, "q", &[7; 1000]).await;
    node.broker.until("one message is there", |broker| broker.counts("q") == (1, 0)).await;
    client.open_channel(1).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever comes, the connection's task ends without a panic.
    #[test]
    fn no_input_is_too_strange(chunks in proptest::collection::vec(strange(), 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = Node::new();
            let mut client = node.channel().await;
            client.declare(1, "q").await;
            for chunk in &chunks {
                if !client.try_send_raw(chunk).await {
                    break;
                }
            }
            client.hang_up().await;
        });
    }
}

/// Frames, good and broken, of known and unknown kinds.
fn strange() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        (0u16..100, 0u16..130, proptest::collection::vec(any::<u8>(), 0..30)).prop_map(|(class, method, rest)| {
            [class.to_be_bytes().as_slice(), method.to_be_bytes().as_slice(), &rest].concat()
        }),
        (prop_oneof![Just(20u16), Just(40), Just(50), Just(60), Just(85), Just(90)], 1u16..12).prop_map(
            |(class, method)| {
                [class.to_be_bytes().as_slice(), (method * 10).to_be_bytes().as_slice(), &[0, 0, 0, 0, 0, 0, 0, 0, 0]]
                    .concat()
            }
        ),
    ];
    (prop_oneof![Just(1u8), Just(2), Just(3), Just(8), any::<u8>()], 0u16..3, payload, proptest::bool::weighted(0.95))
        .prop_map(|(kind, channel, payload, whole)| {
            let mut frame = vec![kind];
            frame.extend_from_slice(&channel.to_be_bytes());
            frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
            frame.extend_from_slice(&payload);
            frame.push(if whole { 206 } else { 205 });
            frame
        })
}

// Closing.

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

// Publishing.

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
    client.send(1, basic::Qos::default()).await;
    node.broker.alarm(None);
    client.ok(|method| matches!(method, Method::ConnectionUnblocked(_)).then_some(())).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
}

// Consuming.

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
    let told = |broker: &super::testing::FakeBroker| -> u32 {
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

// Topology.

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

#[tokio::test]
async fn content_headers_of_other_classes_are_refused() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, basic::Publish::default()).await;
    let mut header = bytes::BytesMut::new();
    ContentHeader { class: 50, body_size: 1, properties: NO_PROPERTIES }.encode(&mut header);
    let mut frame = vec![2, 0, 1];
    frame.extend_from_slice(&(header.len() as u32).to_be_bytes());
    frame.extend_from_slice(&header);
    frame.push(206);
    client.send_raw(&frame).await;
    let text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead";
    client.expect_close(505, text).await;
}
