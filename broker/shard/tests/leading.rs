//! A queue with one replica, led by the only node: what its clients may rely on
//! from one word to the next, while nothing goes wrong and nothing is committed
//! before the test says so.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use bytes::Bytes;
use warren_replication::message::{Closing, ConsumerSpec, Message, QueueWord, SettleReason, ToLeader};
use warren_replication::step::Write;
use warren_replication::types::{
    Assignment, Boot, Clock, ConsumerKey, Epoch, Incarnation, Moment, NodeId, Offset, Process, QueueId, Session,
    Version,
};
use warren_shard::step::{Effects, Input, Local, QueueInfo, QueueStatus, ReadRequest, ToChannel, Wish};
use warren_shard::{Settings, Shard};

const QUEUE: QueueId = QueueId(1);
const ME: Process = Process { node: NodeId(1), incarnation: Incarnation(1), boot: Boot(1) };
const PEER: Process = Process { node: NodeId(2), incarnation: Incarnation(2), boot: Boot(1) };
const CHANNEL: (u64, u16) = (1, 1);

fn key(number: u64) -> ConsumerKey {
    ConsumerKey { process: ME, connection: CHANNEL.0, channel: CHANNEL.1, number }
}

fn count(request: u64) -> Local {
    Local::Count { connection: CHANNEL.0, channel: CHANNEL.1, request }
}

fn counted(request: u64, ready: u64) -> ToChannel {
    ToChannel::Counted { request, ready, consumers: 0 }
}

/// The node: its shard, and a disk that syncs when it is told to.
struct Node {
    shard: Shard,
    now: Moment,
    log: Vec<Bytes>,
    ticket: u64,
    reads: Vec<ReadRequest>,
    wishes: Vec<Wish>,
    published: u64,
}

impl Node {
    fn new() -> Self {
        let shard = Shard::new(ME, Settings::default());
        let now = Moment(1_000_000);
        let mut node =
            Self { shard, now, log: Vec::new(), ticket: 0, reads: Vec::new(), wishes: Vec::new(), published: 0 };
        let lease = Input::Lease(now.plus_micros(3_600_000_000));
        node.turn([lease, Input::Registered(ME.node, ME.boot), Input::Live([ME].into()), reign(1)]);
        node.sync();
        node
    }

    fn clock(&self) -> Clock {
        Clock { now: self.now, wall: self.now.0 / 1_000 }
    }

    fn turn(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<ToChannel> {
        self.now = self.now.plus_micros(1_000);
        let mut effects = Effects::default();
        let clock = self.clock();
        self.shard.turn(clock, inputs, &mut effects);
        self.ticket = self.ticket.max(effects.ticket);
        for (_, write) in effects.writes {
            if let Some(Write::Append { entries, .. }) = write {
                self.log.extend(entries);
            }
        }
        self.reads.append(&mut effects.reads);
        self.wishes.extend(effects.wishes.drain(..).map(|(_, wish)| wish));
        effects.replies.into_iter().map(|(_, _, reply)| reply).collect()
    }

    fn say(&mut self, locals: impl IntoIterator<Item = Local>) -> Vec<ToChannel> {
        self.turn(locals.into_iter().map(|local| Input::Local(QUEUE, local)).collect::<Vec<_>>())
    }

    /// Everything written is on disk, and everything asked for is read, until
    /// nothing more happens; what the clients hear of it.
    fn sync(&mut self) -> Vec<ToChannel> {
        let mut heard = Vec::new();
        let mut synced = 0;
        while synced < self.ticket || !self.reads.is_empty() {
            synced = self.ticket;
            let mut inputs = vec![Input::Persisted(synced)];
            for ReadRequest { request, first, .. } in self.reads.split_off(0) {
                let entries = self.log[first.0 as usize - 1..].to_vec();
                inputs.push(Input::Read { request, entries });
            }
            heard.append(&mut self.turn(inputs));
        }
        heard
    }

    fn publish(&mut self, bodies: &[&'static [u8]]) {
        let word = self.publishing(bodies);
        self.say([word]);
        self.sync();
    }

    fn publishing(&mut self, bodies: &[&'static [u8]]) -> Local {
        let session = Session { process: ME, connection: CHANNEL.0, channel: CHANNEL.1, opened: 0 };
        let messages = bodies.iter().map(|body| {
            self.published += 1;
            (self.published, Message { body: Bytes::from_static(body), ..Message::default() })
        });
        Local::Publish { session, messages: messages.collect() }
    }

    fn consume(&mut self, number: u64) -> Vec<ToChannel> {
        let (key, tag) = (key(number), Bytes::new());
        let spec = ConsumerSpec {
            key,
            tag,
            prefetch: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: None,
            site: None,
        };
        self.say([Local::Consume { spec, cancel_on_failover: false }])
    }

    /// `queue.delete` as far as the leader has to do with it.
    fn close(&mut self, if_unused: bool, if_empty: bool) -> Option<Closing> {
        let (connection, channel) = CHANNEL;
        let mut heard = self.say([Local::Close { connection, channel, request: 0, if_unused, if_empty }]);
        heard.append(&mut self.sync());
        heard.iter().find_map(|event| if let ToChannel::Closed { closing, .. } = event { Some(*closing) } else { None })
    }

    /// Gets a message, which has to be there.
    fn get(&mut self, number: u64) -> Offset {
        let mut heard = self.say([Local::Get(key(number))]);
        heard.append(&mut self.sync());
        found(&heard).unwrap_or_else(|| panic!("nothing was found: {heard:?}")).0
    }

    /// Ticks for so long, syncing.
    fn wait(&mut self, micros: u64) {
        let until = self.now.plus_micros(micros);
        while self.now < until {
            self.now = self.now.plus_micros(100_000);
            self.turn([Input::Tick]);
            self.sync();
        }
    }

    /// A consumer of the other node, which has just come within reach.
    fn peer_consumes(&mut self) {
        self.turn([Input::Live([ME, PEER].into()), Input::LinkUp(PEER)]);
        self.peer_claims(1);
        assert_eq!(self.status().consumers, 1);
    }

    fn peer_claims(&mut self, epoch: u64) {
        let key = ConsumerKey { process: PEER, ..key(1) };
        let spec = ConsumerSpec {
            key,
            tag: Bytes::new(),
            prefetch: 0,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: None,
            site: None,
        };
        let claim = ToLeader::Claim { node: PEER.node, consumers: vec![spec], held: Vec::new() };
        let words = vec![(QUEUE, QueueWord::ToLeader(Epoch(epoch), claim))];
        self.turn([Input::Peer { from: PEER, words }]);
    }

    fn peer_vanishes(&mut self) {
        self.turn([Input::LinkDown(PEER.node), Input::Live([ME].into())]);
        assert_eq!(self.status().consumers, 0);
    }

    fn status(&mut self) -> QueueStatus {
        let mut effects = Effects::default();
        let clock = self.clock();
        self.shard.turn(clock, [Input::Status { request: 0, only: None }], &mut effects);
        effects.statuses[0].1[0].clone()
    }
}

/// The catalog: this node leads in this epoch.
fn reign(epoch: u64) -> Input {
    entry(epoch, epoch)
}

fn entry(epoch: u64, version: u64) -> Input {
    let assignment = Arc::new(Assignment {
        epoch: Epoch(epoch),
        version: Version(version),
        leader: Some(ME),
        replicas: vec![ME.node],
        isr: [ME.member()].into(),
        min_in_sync: 1,
        predecessor: (epoch > 1).then_some(ME),
        ..Assignment::default()
    });
    Input::Queue(QueueInfo { queue: QUEUE, assignment, handover: None, auto_delete: true, rules: Arc::default() })
}

/// What a get found, if it was answered with something.
fn found(heard: &[ToChannel]) -> Option<(Offset, bool, Bytes)> {
    heard.iter().find_map(|event| match event {
        ToChannel::Got { found: Some((offset, redelivered, message, _)), .. } => {
            Some((*offset, *redelivered, message.body.clone()))
        }
        _ => None,
    })
}

#[test]
fn a_get_after_a_return_finds_the_message_at_its_place() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b"]);
    let a = node.get(1);
    // In one turn, as from one read of the socket; and so again, now that the
    // first return is committed.
    for number in 2..4 {
        let heard = node.say([Local::Return(vec![a]), Local::Get(key(number))]);
        assert_eq!(heard, [], "the return is not committed yet");
        assert_eq!(found(&node.sync()), Some((a, true, Bytes::from_static(b"a"))));
    }
    // And a turn later.
    assert_eq!(node.say([Local::Return(vec![a])]), []);
    assert_eq!(node.say([Local::Get(key(4))]), []);
    assert_eq!(found(&node.sync()), Some((a, true, Bytes::from_static(b"a"))));
}

#[test]
fn a_count_and_a_purge_after_a_return_know_of_it() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b"]);
    let a = node.get(1);
    assert_eq!(node.say([count(2)]), [counted(2, 1)]);
    assert_eq!(node.say([Local::Return(vec![a]), count(3)]), []);
    assert_eq!(node.sync(), [counted(3, 2)]);
    let a = node.get(4);
    let purge = Local::Purge { connection: CHANNEL.0, channel: CHANNEL.1, request: 5 };
    node.say([Local::Return(vec![a]), purge]);
    assert_eq!(node.sync(), [ToChannel::Purged { request: 5, messages: 2 }]);
}

#[test]
fn an_answer_is_unsaid_when_the_lease_was_lost_on_its_way_out() {
    let empty = |reply: &ToChannel| matches!(reply, ToChannel::Got { get: 2, found: None, .. });
    for (question, answer) in [(Local::Get(key(2)), 0), (count(3), 1)] {
        let mut node = Node::new();
        let mut effects = Effects::default();
        let clock = node.clock();
        node.shard.turn(clock, [Input::Local(QUEUE, question)], &mut effects);
        assert!(effects.leased && effects.replies.len() == 1, "{:?}", effects.replies);
        // Nothing else of the client is under way, and the queue is an idle one.
        node.shard.lease_lost(node.now, &mut effects);
        assert_eq!(effects.replies.len(), 0, "{:?}", effects.replies);
        let mut heard = node.turn([Input::Lease(node.now.plus_micros(3_600_000_000))]);
        heard.append(&mut node.turn([Input::Tick]));
        let answers = [heard.iter().any(empty), heard.contains(&counted(3, 0))];
        assert!(answers[answer], "{heard:?}");
    }
}

#[test]
fn a_late_word_of_the_mover_does_not_bring_a_deleted_queue_back() {
    let mut node = Node::new();
    node.turn([Input::Deleted(QUEUE), Input::Transferred(QUEUE, Epoch(1), vec![Offset(0)])]);
    assert_eq!(
        node.say([Local::Get(key(2)), count(3)]),
        [ToChannel::Gone { request: 2 }, ToChannel::Gone { request: 3 }]
    );
    assert_eq!(node.shard.queues(), []);
}

#[test]
fn a_question_does_not_wait_for_a_publish_that_was_there_already() {
    let mut node = Node::new();
    node.publish(&[b"a"]);
    // Said again, as after a change of leader: it goes into no entry.
    node.published = 0;
    let session = Session { process: ME, connection: CHANNEL.0, channel: CHANNEL.1, opened: 0 };
    let message = Message { body: Bytes::from_static(b"a"), ..Message::default() };
    let again = Local::Publish { session, messages: [(1, message)].into_iter().collect() };
    let mut heard = node.say([again, count(2)]);
    heard.append(&mut node.turn([Input::Tick]));
    heard.append(&mut node.sync());
    assert!(heard.contains(&counted(2, 1)), "{heard:?}");
}

#[test]
fn a_question_waits_for_the_returns_before_it_only() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b", b"c"]);
    let (a, b) = (node.get(1), node.get(2));
    assert_eq!(node.say([Local::Return(vec![a]), count(3)]), []);
    let first = node.ticket;
    assert_eq!(node.say([Local::Return(vec![b])]), []);
    assert!(node.ticket > first, "the second return is another entry");
    assert_eq!(node.turn([Input::Persisted(first)]), [counted(3, 2)], "of the second nothing is known yet");
}

#[test]
fn a_new_leader_knows_about_how_many_bytes_it_inherits() {
    let mut node = Node::new();
    node.publish(&[b"four", b"four", b"four"]);
    let first = node.get(1);
    assert_eq!(node.status().bytes, 12, "as it has seen them");
    node.turn([reign(2)]);
    node.sync();
    let status = node.status();
    assert_eq!((status.ready, status.unacked, status.bytes), (2, 1, 12), "as a sample says");
    // What comes later counts as it is.
    node.publish(&[b"forty-two"]);
    assert_eq!(node.status().bytes, 21);
    node.say([Local::Settle(vec![first], SettleReason::Acked)]);
    // Acknowledgements alone wait for company.
    node.wait(10_000);
    assert_eq!(node.status().bytes, 17);
    for number in 2..5 {
        let offset = node.get(number);
        node.say([Local::Settle(vec![offset], SettleReason::Acked)]);
        node.wait(10_000);
    }
    assert_eq!(node.status().bytes, 0);
}

#[test]
fn a_get_after_an_ack_waits_for_nothing() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b"]);
    let a = node.get(1);
    let heard = node.say([Local::Settle(vec![a], SettleReason::Acked), Local::Get(key(2))]);
    assert_eq!(found(&heard).map(|(_, _, body)| body), Some(Bytes::from_static(b"b")));
}

#[test]
fn a_queue_whose_last_consumer_died_with_its_node_deletes_itself() {
    let mut node = Node::new();
    node.peer_consumes();
    node.peer_vanishes();
    assert_eq!(node.wishes, [], "it may be a mistake");
    node.wait(2 * Settings::default().lease_wait());
    assert!(matches!(node.wishes.as_slice(), [Wish::DeleteUnused(_), ..]), "{:?}", node.wishes);
}

#[test]
fn a_later_boot_of_the_consumers_node_deletes_the_queue_at_once() {
    let mut node = Node::new();
    node.peer_consumes();
    node.turn([Input::Registered(PEER.node, Boot(2))]);
    assert!(matches!(node.wishes.as_slice(), [Wish::DeleteUnused(_)]), "{:?}", node.wishes);
}

/// Boots are counted on a node's disk.
#[test]
fn a_node_with_another_disk_is_heard_from_its_first_boot_on() {
    let mut node = Node::new();
    node.turn([Input::Registered(PEER.node, Boot(7))]);
    node.turn([Input::Registered(PEER.node, PEER.boot)]);
    node.peer_consumes();
    assert_eq!(node.status().consumers, 1);
}

#[test]
fn a_consumer_that_comes_back_in_time_keeps_its_queue() {
    let mut node = Node::new();
    node.peer_consumes();
    node.peer_vanishes();
    node.wait(Settings::default().lease_wait() / 2);
    node.peer_consumes();
    node.wait(2 * Settings::default().lease_wait());
    assert_eq!(node.wishes, []);
}

/// §6.8: it says who holds what, but whoever claimed over a link that broke will
/// claim again, and would not know of what was handed to it before that.
#[test]
fn nothing_is_delivered_on_a_claim_that_waited_while_its_link_broke() {
    let mut node = Node::new();
    node.publish(&[b"a"]);
    node.turn([reign(2), Input::Live([ME, PEER].into()), Input::LinkUp(PEER)]);
    node.peer_claims(2);
    node.turn([Input::LinkDown(PEER.node), Input::LinkUp(PEER)]);
    // Now only what it took over is committed.
    node.sync();
    node.wait(2 * Settings::default().reattach_grace);
    assert_eq!((node.status().ready, node.status().unacked), (1, 0));
    node.peer_claims(2);
    node.sync();
    assert_eq!((node.status().ready, node.status().unacked), (0, 1));
}

#[test]
fn a_new_reign_alone_deletes_no_queue() {
    let mut node = Node::new();
    node.peer_consumes();
    node.turn([Input::LinkDown(PEER.node), reign(2), Input::Live([ME].into())]);
    node.wait(2 * Settings::default().reattach_grace);
    assert_eq!(node.wishes, []);
}

fn closed(version: u64, messages: u64) -> Option<Closing> {
    Some(Closing::Closed { at: (Epoch(1), Version(version)), messages })
}

#[test]
fn a_queue_is_closed_only_as_it_was_asked_for() {
    let mut node = Node::new();
    node.publish(&[b"a"]);
    assert_eq!(node.close(false, true), Some(Closing::NotEmpty));
    let a = node.get(1);
    node.consume(2);
    assert_eq!(node.close(true, true), Some(Closing::InUse));
    assert_eq!(node.close(false, true), closed(1, 0), "what is held is not counted, as in RabbitMQ");
    node.turn([entry(1, 2)]);
    node.say([Local::Return(vec![a]), Local::Cancel(key(2))]);
    node.sync();
    assert_eq!(node.close(true, false), closed(2, 1));
}

/// What is not committed yet will be in the queue.
#[test]
fn a_queue_is_not_empty_while_something_is_on_its_way_into_the_log() {
    let mut node = Node::new();
    let publish = node.publishing(&[b"a"]);
    let publish = match publish {
        // Of another channel: nothing makes the question wait.
        Local::Publish { session, messages } => {
            let key = ConsumerKey { process: PEER, ..key(1) };
            let session = Session { process: PEER, ..session };
            node.turn([Input::Live([ME, PEER].into()), Input::LinkUp(PEER)]);
            let word = ToLeader::Publish { session, floor: 1, prev: 0, messages };
            let cancel = ToLeader::Cancel { consumer: key };
            [word, cancel].map(|word| (QUEUE, QueueWord::ToLeader(Epoch(1), word)))
        }
        other => panic!("{other:?}"),
    };
    node.turn([Input::Peer { from: PEER, words: publish.into() }]);
    let (connection, channel) = CHANNEL;
    let heard = node.say([Local::Close { connection, channel, request: 0, if_unused: false, if_empty: true }]);
    assert_eq!(heard, [ToChannel::Closed { request: 0, closing: Closing::NotEmpty }]);
}

#[test]
fn nothing_comes_into_a_closed_queue_until_its_entry_changes() {
    let mut node = Node::new();
    assert_eq!(node.close(true, true), closed(1, 0));
    let publish = node.publishing(&[b"a"]);
    assert_eq!(node.say([publish]), []);
    assert_eq!(node.sync(), []);
    assert_eq!(node.consume(1), []);
    assert_eq!(node.log.len(), 1, "only the epoch's start is in the log");
    assert_eq!(node.close(true, true), closed(1, 0), "asked again it is the same");
    // The deletion came to nothing: the publish is said again, the consumer served.
    let heard = node.turn([entry(1, 2)]);
    assert_eq!(heard, [ToChannel::Consuming { consumer: 1, attached: true }]);
    node.wait(2 * Settings::default().resend_after);
    assert_eq!(node.close(false, true), closed(2, 0), "it was delivered");
    assert_eq!(node.status().totals, (1, 1, 0));
}

#[test]
fn a_queue_that_stays_closed_asks_for_another_entry() {
    let mut node = Node::new();
    assert_eq!(node.close(true, true), closed(1, 0));
    node.wait(9_000_000);
    assert_eq!(node.wishes, []);
    node.wait(2_000_000);
    assert!(matches!(node.wishes.as_slice(), [Wish::Isr { from, isr, .. }] if from.isr == *isr), "{:?}", node.wishes);
}

#[test]
fn a_deleted_queue_nacks_what_came_while_it_was_closed() {
    let mut node = Node::new();
    assert_eq!(node.close(true, true), closed(1, 0));
    let publish = node.publishing(&[b"a"]);
    node.say([publish]);
    node.consume(5);
    let heard = node.turn([Input::Deleted(QUEUE)]);
    assert_eq!(heard, [ToChannel::Refused(QUEUE, vec![(1, 1)]), ToChannel::Gone { request: 5 }]);
}

/// A connection of another site's link.
const LINK: u64 = 9;

impl Node {
    /// A link of a site wants so many messages of the queue.
    fn link(&mut self, number: u64, site: &'static str, prefetch: u32) -> Vec<ToChannel> {
        let spec = ConsumerSpec {
            key: ConsumerKey { connection: LINK, ..key(number) },
            tag: Bytes::new(),
            prefetch,
            no_ack: false,
            exclusive: false,
            priority: 0,
            reading: None,
            site: Some(Bytes::from_static(site.as_bytes())),
        };
        self.say([Local::Consume { spec, cancel_on_failover: false }])
    }

    fn link_breaks(&mut self) -> Vec<ToChannel> {
        let session = Session { process: ME, connection: LINK, channel: CHANNEL.1, opened: 0 };
        let mut heard = self.say([Local::ChannelClosed { session }]);
        heard.append(&mut self.sync());
        heard
    }

    fn consigned(&mut self) -> Vec<(String, u64, bool)> {
        let sites = self.status().sites;
        sites.into_iter().map(|status| (status.site, status.consigned, status.linked)).collect()
    }
}

/// What consumers were given: whom, which, and under which number if it is consigned.
fn given(heard: &[ToChannel]) -> Vec<(u64, u64, Option<u64>)> {
    let delivered = heard.iter().filter_map(|event| match event {
        ToChannel::Deliver { consumer, offset, consignment, .. } => {
            Some((*consumer, offset.0, consignment.map(|to| to.number)))
        }
        _ => None,
    });
    delivered.collect()
}

const EPOCH: u64 = 1 << 40;

/// §4.9: from before a site's link is given a message until the site has settled it,
/// nobody else is.
#[test]
fn a_consigned_message_is_its_sites_whatever_fails() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b", b"c"]);
    assert_eq!(given(&node.link(1, "paris", 2)), [], "nothing is committed yet");
    assert_eq!(given(&node.sync()), [(1, 0, Some(EPOCH)), (1, 1, Some(EPOCH + 1))]);
    let status = node.status();
    assert_eq!((status.ready, status.unacked, status.consumers), (1, 2, 0), "a link is no consumer");
    assert_eq!(given(&node.link_breaks()), []);
    assert_eq!(node.consigned(), [("paris".to_owned(), 2, false)]);
    let mut heard = node.consume(2);
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(2, 2, None)]);
    // Another site gets nothing of it, nor does anybody in the next reign, or after a purge.
    let purge = Local::Purge { connection: CHANNEL.0, channel: CHANNEL.1, request: 5 };
    heard = node.say([purge]);
    heard.append(&mut node.link(3, "rome", 9));
    heard.append(&mut node.turn([reign(2)]));
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), []);
    heard = node.link(4, "paris", 9);
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(4, 0, Some(EPOCH)), (4, 1, Some(EPOCH + 1))], "under their numbers");
    node.say([Local::Settle(vec![Offset(0), Offset(1)], SettleReason::Acked)]);
    node.sync();
    node.wait(100_000);
    assert_eq!(node.status().unacked, 1);
    node.publish(&[b"d"]);
    assert_eq!(node.status().unacked, 2, "the consumer here comes first");
}

#[test]
fn what_a_link_gives_back_unused_is_anybodys_again() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b"]);
    node.link(1, "paris", 2);
    node.sync();
    let mut heard =
        node.say([Local::Cancel(ConsumerKey { connection: LINK, ..key(1) }), Local::Return(vec![Offset(1)])]);
    heard.append(&mut node.consume(2));
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(2, 1, None)]);
    assert_eq!(given(&node.link_breaks()), []);
    assert_eq!(node.consigned(), [("paris".to_owned(), 1, false)]);
    // The next link cannot say what the first one has made of the other.
    heard = node.link(3, "paris", 2);
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(3, 0, Some(EPOCH))]);
    node.say([Local::Cancel(ConsumerKey { connection: LINK, ..key(3) }), Local::Return(vec![Offset(0)])]);
    assert_eq!(given(&node.sync()), []);
    assert_eq!(node.consigned(), [("paris".to_owned(), 1, false)]);
}

#[test]
fn what_no_link_was_given_yet_is_taken_back_when_the_last_one_goes() {
    let mut node = Node::new();
    node.publish(&[b"a", b"b"]);
    node.link(1, "paris", 1);
    node.link_breaks();
    assert_eq!(node.consigned(), []);
    let mut heard = node.consume(2);
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(2, 0, None), (2, 1, None)]);
}

#[test]
fn what_a_lost_site_had_is_anybodys_again() {
    let mut node = Node::new();
    node.publish(&[b"a"]);
    node.link(1, "paris", 1);
    node.sync();
    let lost = || Input::LostSites([Bytes::from_static(b"paris")].into());
    node.turn([lost()]);
    assert_eq!(node.consigned(), [("paris".to_owned(), 1, true)], "not while its link is there");
    node.link_breaks();
    assert_eq!(node.consigned(), []);
    let mut heard = node.consume(2);
    heard.append(&mut node.sync());
    assert_eq!(given(&heard), [(2, 0, None)]);
}
