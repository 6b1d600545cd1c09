//! When this node stands for leader of the catalog: Raft's own clock calls no
//! elections. Who stands too early costs the cluster a leader that was only
//! busy; who waits too long holds up all queues of a dead one. So it goes by
//! what is known: a leader that is gone is followed as soon as those who vote
//! may do so again, a live one is given long, and who was not elected waits
//! longer each time, until the slowest disk can write the votes in between.
//!
//! It is safe whatever this says: Raft alone decides who is elected.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use warren_replication::types::NodeId;

use crate::config::Timing;
use crate::core::Core;

/// How much later each further voter stands, so that they do not split the votes.
const STAGGER: Duration = Duration::from_millis(60);
/// How much later than here another voter may have heard the last of the leader:
/// it votes for nobody before its own Raft lease is over.
const MARGIN: Duration = Duration::from_millis(10);
/// How long an election may take before another is called: the first, doubled by
/// each that comes to nothing, up to the last.
const FIRST: Duration = Duration::from_millis(250);
const LAST: Duration = Duration::from_secs(3);
/// How often it is looked at without a reason.
const GLANCE: Duration = Duration::from_millis(100);

/// What is known of the catalog's leader.
struct Sight {
    now: Instant,
    me: NodeId,
    voters: BTreeSet<NodeId>,
    live: BTreeSet<NodeId>,
    leader: Option<NodeId>,
    /// The last vote that was given here: its term, and for whom.
    vote: (u64, NodeId),
    /// When the leader was last heard.
    heard: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Stand,
    /// Nothing to do before this moment, if nothing changes.
    LookAt(Instant),
}

/// What this node remembers between two looks.
struct Standing {
    lease: Duration,
    silence: Duration,
    /// Since when this process has been awake: since its start, or since it was
    /// last suspended for longer than a leader may be silent.
    awake: Instant,
    looked: Instant,
    /// Nodes that were seen alive since then: a node that has just started, or
    /// slept, has not heard of anybody yet, and takes nobody for gone.
    seen: BTreeSet<NodeId>,
    /// Since when there is a reason for an election.
    since: Option<Instant>,
    vote: (u64, NodeId),
    /// When that vote was seen first.
    voted: Instant,
    /// This node stood after that vote; Raft has not come round to it yet.
    stood: Option<Instant>,
    /// Elections since the last leader.
    elections: u32,
}

impl Standing {
    fn new(now: Instant, timing: &Timing) -> Self {
        Self {
            lease: timing.raft_lease,
            silence: timing.silence,
            awake: now,
            looked: now,
            seen: BTreeSet::new(),
            since: None,
            vote: (0, NodeId(0)),
            voted: now,
            stood: None,
            elections: 0,
        }
    }

    fn look(&mut self, sight: &Sight) -> Next {
        let now = sight.now;
        // It was this node that was not there, not the leader.
        if now > self.looked + self.silence {
            self.awake = now;
            self.seen.clear();
            self.since = None;
        }
        self.looked = now;
        self.seen.extend(&sight.live);
        if sight.vote != self.vote {
            self.vote = sight.vote;
            self.voted = now;
            self.stood = None;
            self.elections += 1;
        }
        // Raft is busy, with its disk most likely; it stands when it gets to it.
        if let Some(until) = self.stood.map(|stood| stood + LAST).filter(|until| now < *until) {
            return Next::LookAt(until);
        }
        let free = match sight.leader {
            Some(leader) => {
                let gone = self.seen.contains(&leader) && !sight.live.contains(&leader);
                let silent_at = sight.heard.max(self.awake) + self.silence;
                if leader == sight.me || !(gone || now >= silent_at) {
                    self.since = None;
                    self.elections = 0;
                    return Next::LookAt(if leader == sight.me { now + GLANCE } else { silent_at });
                }
                sight.heard + self.lease + MARGIN
            }
            // Somebody stood. The vote of an earlier start says nothing of now.
            None => (self.voted + self.patience()).max(self.awake + self.silence),
        };
        let Some(rank) = self.rank(sight) else { return Next::LookAt(now + GLANCE) };
        let since = *self.since.get_or_insert(now);
        // Where the first did not go through, the votes take longer.
        let stagger = if self.elections == 0 { STAGGER } else { self.patience() / 3 };
        let due = free.max(since) + stagger * rank;
        if now < due {
            return Next::LookAt(due);
        }
        self.stood = Some(now);
        Next::Stand
    }

    fn patience(&self) -> Duration {
        (FIRST * 2_u32.pow(self.elections.saturating_sub(1).min(8))).min(LAST)
    }

    /// How many live voters stand before this node; none: it does not vote.
    fn rank(&self, sight: &Sight) -> Option<u32> {
        if !sight.voters.contains(&sight.me) {
            return None;
        }
        let before = sight.voters.range(..sight.me).filter(|voter| sight.live.contains(voter)).count();
        u32::try_from(before).ok()
    }
}

/// Stands for election when it is time, as long as membership runs.
pub(crate) async fn run(core: Arc<Core>) {
    let Some(raft) = core.raft() else { return };
    let mut metrics = raft.server_metrics();
    let mut live = core.liveness.live();
    let mut standing = Standing::new(Instant::now(), &core.config.timing);
    loop {
        let sight = {
            let metrics = metrics.borrow_and_update();
            Sight {
                now: Instant::now(),
                me: core.node(),
                voters: metrics.membership_config.voter_ids().map(NodeId).collect(),
                live: live.borrow_and_update().iter().map(|process| process.node).collect(),
                leader: metrics.current_leader.map(NodeId),
                vote: (metrics.vote.leader_id.term, NodeId(metrics.vote.leader_id.node_id)),
                heard: core.liveness.last_heard(),
            }
        };
        if core.is_stopping() {
            return;
        }
        let until = match standing.look(&sight) {
            Next::Stand => {
                match sight.leader {
                    Some(leader) => {
                        tracing::info!(node = %leader, "the catalog's leader is gone: standing for election")
                    }
                    None => tracing::info!("the catalog has no leader: standing for election"),
                }
                // Raft that has stopped needs no election.
                let _ = raft.trigger().elect().await;
                continue;
            }
            Next::LookAt(until) => until.min(sight.now + GLANCE),
        };
        tokio::select! {
            changed = metrics.changed() => if changed.is_err() { return },
            changed = live.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(until) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ME: NodeId = NodeId(2);
    const LEADER: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(3);

    struct World {
        began: Instant,
        standing: Standing,
        timing: Timing,
        leader: Option<NodeId>,
        live: Vec<NodeId>,
        term: u64,
        heard: u64,
    }

    impl World {
        /// A node that has seen three nodes and a leader for ten seconds.
        fn new() -> Self {
            let began = Instant::now();
            let timing = Timing::default();
            let standing = Standing::new(began, &timing);
            let live = vec![ME, LEADER, OTHER];
            let mut world = Self { began, standing, timing, leader: Some(LEADER), live, term: 1, heard: 0 };
            for time in (0..=10_000).step_by(75) {
                world.heard = time;
                assert_ne!(world.look(time), Next::Stand);
            }
            world
        }

        fn look(&mut self, time: u64) -> Next {
            let at = |time| self.began + Duration::from_millis(time);
            let sight = Sight {
                now: at(time),
                me: ME,
                voters: [LEADER, ME, OTHER].into(),
                live: self.live.iter().copied().collect(),
                leader: self.leader,
                vote: (self.term, self.leader.unwrap_or(ME)),
                heard: at(self.heard),
            };
            self.standing.look(&sight)
        }

        /// Looks every millisecond; when it stands.
        fn stands(&mut self, from: u64, to: u64) -> Option<u64> {
            (from..to).find(|time| self.look(*time) == Next::Stand)
        }
    }

    fn millis(span: Duration) -> u64 {
        u64::try_from(span.as_millis()).unwrap()
    }

    #[test]
    fn a_dead_leader_is_followed_when_its_raft_lease_is_over() {
        let mut world = World::new();
        world.live = vec![ME, OTHER];
        let free = world.heard + millis(world.timing.raft_lease + MARGIN);
        assert_eq!(world.stands(world.heard + 5, 60_000), Some(free));
    }

    #[test]
    fn a_live_leader_is_left_alone_until_it_is_silent_for_long() {
        let mut world = World::new();
        let silent = world.heard + millis(world.timing.silence);
        // One live voter stands before this node.
        assert_eq!(world.stands(world.heard, 60_000), Some(silent + millis(STAGGER)));
    }

    #[test]
    fn a_node_that_slept_listens_before_it_stands() {
        let mut world = World::new();
        // Suspended for five seconds; to gossip everybody else has been silent.
        let woken = world.heard + 5_000;
        world.live = vec![ME];
        let silence = millis(world.timing.silence);
        assert_eq!(world.stands(woken, woken + silence), None);
        world.live = vec![ME, LEADER, OTHER];
        world.heard = woken + silence;
        assert_eq!(world.stands(woken + silence, woken + 2 * silence), None);
        // If it hears nothing after all, the leader is silent from when it woke.
        let mut world = World::new();
        world.live = vec![ME];
        assert_eq!(world.stands(woken, 60_000), Some(woken + silence));
    }

    #[test]
    fn a_leader_that_is_heard_is_not_gone_whatever_gossip_says() {
        let mut world = World::new();
        world.live = vec![ME, OTHER];
        for time in world.heard..world.heard + 5_000 {
            world.heard = time - time % 75;
            assert_ne!(world.look(time), Next::Stand);
        }
    }

    #[test]
    fn elections_go_on_until_there_is_a_leader_and_become_rarer() {
        let mut world = World::new();
        world.live = vec![ME, OTHER];
        let mut stood = Vec::new();
        let mut time = world.heard;
        for _ in 0..8 {
            time = world.stands(time, time + 60_000).unwrap();
            stood.push(time);
            // Raft got to it, and nobody was elected.
            world.leader = None;
            world.term += 1;
            time += 1;
        }
        let waits: Vec<u64> = stood.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.is_sorted() && waits[0] < 400, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait < 4_000) && waits[6] > 1_000, "{waits:?}");
        // Another's election is waited for as well.
        world.term += 1;
        let seen = time + 100;
        assert!(world.stands(seen, seen + 60_000).unwrap() >= seen + 1_000);
        // The next leader's death is followed quickly again.
        (world.leader, world.term, world.heard) = (Some(OTHER), world.term + 1, 100_000);
        world.live = vec![ME, OTHER];
        world.look(100_000);
        world.live = vec![ME];
        assert!(world.stands(100_010, 160_000).unwrap() < 100_200);
    }

    #[test]
    fn raft_that_has_not_got_to_it_is_not_asked_again() {
        let mut world = World::new();
        world.live = vec![ME, OTHER];
        let stood = world.stands(world.heard, 60_000).unwrap();
        assert_eq!(world.stands(stood + 1, stood + millis(LAST)), None);
    }

    #[test]
    fn a_node_that_has_just_started_takes_nobody_for_gone() {
        let began = Instant::now();
        let timing = Timing::default();
        for leader in [Some(LEADER), None] {
            let standing = Standing::new(began, &timing);
            let mut world = World { began, standing, timing, leader, live: vec![ME], term: 7, heard: 0 };
            let stands = world.stands(0, 60_000).unwrap();
            assert!(stands >= millis(timing.silence), "{leader:?}: {stands}");
        }
    }
}
