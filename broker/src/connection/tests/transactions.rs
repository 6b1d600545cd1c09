//! Class `tx`.

use warren_amqp::{Method, basic, channel, confirm, queue, tx};
use warren_replication::message::SettleReason;
use warren_shard::step::Local;

use super::super::Settings;
use super::super::testing::{Client, Node, short};
use super::NO_PROPERTIES;

impl Client {
    async fn select(&mut self) {
        self.send(1, tx::Select).await;
        self.ok(|method| matches!(method, Method::TxSelectOk(_)).then_some(())).await;
    }

    async fn commit(&mut self) {
        self.send(1, tx::Commit).await;
        self.ok(|method| matches!(method, Method::TxCommitOk(_)).then_some(())).await;
    }

    async fn roll_back(&mut self) {
        self.send(1, tx::Rollback).await;
        self.ok(|method| matches!(method, Method::TxRollbackOk(_)).then_some(())).await;
    }

    /// An answer to something harmless: nothing else was on its way.
    async fn expect_nothing(&mut self) {
        self.send(1, basic::Qos::default()).await;
        self.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    }
}

#[tokio::test]
async fn publishes_go_out_with_the_commit_and_unroutable_ones_come_back_then() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.select().await;
    client.publish_to(1, "q", b"one").await;
    let nowhere = basic::Publish { routing_key: short("none"), mandatory: true, ..Default::default() };
    client.publish(1, nowhere, &NO_PROPERTIES, b"back").await;
    client.expect_nothing().await;
    assert_eq!(node.broker.counts("q"), (0, 0));
    client.send(1, tx::Commit).await;
    client.ok(|method| matches!(method, Method::BasicReturn(_)).then_some(())).await;
    assert_eq!(client.content().await.1, "back");
    client.ok(|method| matches!(method, Method::TxCommitOk(_)).then_some(())).await;
    assert_eq!(node.broker.counts("q"), (1, 0));
    client.publish_to(1, "q", b"two").await;
    client.roll_back().await;
    client.commit().await;
    assert_eq!(node.broker.counts("q"), (1, 0), "what was rolled back is not sent by the next commit");
    client.publish_to(1, "q", b"three").await;
    client.send(1, channel::Close::default()).await;
    client.ok(|method| matches!(method, Method::ChannelCloseOk(_)).then_some(())).await;
    assert_eq!(node.broker.counts("q"), (1, 0), "a channel that closes rolls back");
}

#[tokio::test]
async fn a_commit_is_answered_when_all_queues_have_confirmed() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.open_channel(2).await;
    client.declare(1, "q").await;
    client.select().await;
    client.publish_to(1, "q", b"x").await;
    node.broker.stall(true);
    client.send(1, tx::Commit).await;
    client.send(1, basic::Qos::default()).await;
    client.send(2, basic::Qos::default()).await;
    assert_eq!(client.method().await.0, 2, "the commit and what follows it on its channel wait");
    node.broker.stall(false);
    client.ok(|method| matches!(method, Method::TxCommitOk(_)).then_some(())).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    node.broker.refuse("q");
    client.publish_to(1, "q", b"y").await;
    client.send(1, tx::Commit).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - partial tx completion").await;
}

#[tokio::test]
async fn acknowledgements_count_from_the_commit_and_a_rollback_takes_them_back() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    for n in 0..3u8 {
        client.publish_to(1, "q", &[n]).await;
    }
    client.select().await;
    client.send(1, basic::Qos { prefetch_count: 2, global: true, ..Default::default() }).await;
    client.ok(|method| matches!(method, Method::BasicQosOk(_)).then_some(())).await;
    client.consume("q", "c", false).await;
    assert_eq!((client.delivery().await.0, client.delivery().await.0), (1, 2));
    client.ack(2, true).await;
    client.roll_back().await;
    client.ack(1, false).await;
    client.send(1, basic::Reject { delivery_tag: 2, requeue: false }).await;
    client.send(1, tx::Commit).await;
    client.ok(|method| matches!(method, Method::TxCommitOk(_)).then_some(())).await;
    assert_eq!(client.delivery().await.0, 3, "the commit makes room");
    node.broker.until("two are settled", |broker| broker.counts("q") == (0, 1)).await;
    let reasons: Vec<SettleReason> = node
        .broker
        .words()
        .into_iter()
        .filter_map(|(_, word)| if let Local::Settle(_, reason) = word { Some(reason) } else { None })
        .collect();
    assert_eq!(reasons, [SettleReason::Acked, SettleReason::Rejected]);
    client.ack(1, false).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1").await;
}

#[tokio::test]
async fn an_acknowledgement_may_be_said_only_once_in_a_transaction() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.publish_to(1, "q", b"x").await;
    client.select().await;
    client.consume("q", "c", false).await;
    client.delivery().await;
    client.ack(1, false).await;
    client.ack(1, false).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1").await;
    node.broker.until("it is back", |broker| broker.counts("q") == (1, 0)).await;
}

#[tokio::test]
async fn transactions_and_confirms_exclude_each_other() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, tx::Commit).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - channel is not transactional").await;
    client.open_channel(1).await;
    client.send(1, tx::Rollback).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - channel is not transactional").await;
    client.open_channel(1).await;
    client.select().await;
    client.select().await;
    client.send(1, confirm::Select { nowait: false }).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode").await;
    client.open_channel(1).await;
    client.select_confirms().await;
    client.send(1, tx::Select).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode").await;
}

#[tokio::test]
async fn a_transaction_gathers_no_more_than_its_budget() {
    let node = Node::with(Settings { transaction_budget: 10_000, ..Settings::default() });
    let mut client = node.channel().await;
    client.declare(1, "q").await;
    client.select().await;
    client.publish_to(1, "q", &[7; 5000]).await;
    client.publish_to(1, "q", &[7; 5000]).await;
    client.expect_channel_close(1, 406, "PRECONDITION_FAILED - transaction is larger than 10000 bytes").await;
}

#[tokio::test]
async fn an_answer_that_came_late_names_its_method() {
    let node = Node::new();
    let mut client = node.channel().await;
    client.send(1, queue::Declare { queue: short("amq.x"), ..Default::default() }).await;
    let (_, Method::ChannelClose(close)) = client.method().await else { panic!("not closed") };
    assert_eq!((close.reply_code, close.class_id, close.method_id), (403, 50, 10));
}
