//! Input that is no AMQP, or not now.

use proptest::prelude::*;
use warren_amqp::{ContentHeader, Method, basic, channel, connection};

use super::super::Settings;
use super::super::testing::Node;
use super::NO_PROPERTIES;

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
