//! What a drill is: a TOML file that says what goes wrong, when, and under what
//! load. `deploy/drills` has the catalogue, which is built into the program.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DrillError;
use crate::config::Period;

/// One drill.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Plan {
    /// Its name.
    pub name: String,
    /// What it is about, in a sentence.
    pub about: String,
    /// Whether each node needs an address of its own, to be cut off by.
    #[serde(default)]
    pub network: bool,
    /// The size of the disk that each node gets of its own, if it does.
    #[serde(default)]
    pub disk: Option<crate::config::Size>,
    /// Settings of a cluster that is made for it, as in `warren cluster up --set`.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// The load.
    #[serde(default)]
    pub load: Load,
    /// What happens, one after the other.
    pub step: Vec<Step>,
}

/// Under what load.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Load {
    /// Messages a second of each of two publishers; 0 = as many as the window lets through.
    pub rate: u32,
    /// Unconfirmed messages of a publisher at most.
    pub window: usize,
    /// Octets of a message's body.
    pub size: usize,
    /// Unacknowledged messages of the consumer at most.
    pub prefetch: u16,
    /// Load before the first step.
    pub before: Period,
    /// Load after the last one.
    pub after: Period,
    /// When messages are consumed.
    pub consume: Consume,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            rate: 2000,
            window: 1000,
            size: 1024,
            prefetch: 1000,
            before: Period::millis(2000),
            after: Period::millis(1000),
            consume: Consume::Always,
        }
    }
}

/// When messages are consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consume {
    /// From the first on.
    Always,
    /// When all is over: until then the queue grows.
    AtTheEnd,
}

/// Which nodes, by the part that they have when the drill begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// The queue's leader.
    Leader,
    /// Its first mirror: who leads next.
    Mirror,
    /// Its second mirror.
    SecondMirror,
    /// All mirrors.
    Mirrors,
    /// The leader and its first mirror.
    LeaderAndMirror,
    /// Who leads the catalog.
    RaftLeader,
    /// Everybody.
    All,
}

/// One thing that is done: a step of a drill, by its `do`.
#[allow(missing_docs, reason = "the fields are what the variants say it is done to")]
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// `kill -9`.
    Kill { nodes: Who },
    /// SIGTERM, and waits for the end.
    Stop { nodes: Who },
    /// Starts them again.
    Start { nodes: Who },
    /// SIGSTOP: neither dead nor alive.
    Freeze { nodes: Who },
    /// SIGCONT.
    Thaw { nodes: Who },
    /// Removes what a node that is down has stored: a replaced disk.
    Wipe { nodes: Who },
    /// Cuts the end off the log of a node that is down: a torn last write.
    Tear { nodes: Who },
    /// Fills the disk.
    Fill { nodes: Who },
    /// Frees it.
    Free { nodes: Who },
    /// No packet gets from one to the other, nor back unless `one-way`.
    Cut {
        from: Who,
        to: Who,
        #[serde(default)]
        one_way: bool,
    },
    /// All packets arrive again.
    Heal {},
    /// Cuts and heals, so often.
    Flap { from: Who, to: Who, times: u32, every: Period },
    /// Delays and loses packets of these.
    Slow {
        nodes: Who,
        delay: Period,
        #[serde(default)]
        loss_percent: u32,
    },
    /// Loses packets of these.
    Lose { nodes: Who, percent: u32 },
    /// Gives what they lead to others, and nothing new to them.
    Drain { nodes: Who },
    /// They may lead again.
    Undrain { nodes: Who },
    /// Spreads leaders evenly.
    Rebalance {},
    /// Puts the wall clock so far ahead of the true time, or behind it.
    Jump { nodes: Who, seconds: i64 },
    /// Stops, starts and awaits one node after the other.
    Roll {},
    /// Publishes so many messages, as fast as it goes.
    Publish { messages: u64 },
    /// Lets time pass.
    Wait { time: Period },
    /// Waits until all replicas are in sync.
    InSync {},
}

/// The catalogue.
const CATALOGUE: [&str; 22] = [
    include_str!("../../../deploy/drills/kill-leader.toml"),
    include_str!("../../../deploy/drills/kill-mirror.toml"),
    include_str!("../../../deploy/drills/kill-raft-leader.toml"),
    include_str!("../../../deploy/drills/kill-two.toml"),
    include_str!("../../../deploy/drills/kill-all.toml"),
    include_str!("../../../deploy/drills/freeze-leader.toml"),
    include_str!("../../../deploy/drills/freeze-mirror.toml"),
    include_str!("../../../deploy/drills/stop-leader.toml"),
    include_str!("../../../deploy/drills/rolling-restart.toml"),
    include_str!("../../../deploy/drills/drain.toml"),
    include_str!("../../../deploy/drills/catch-up.toml"),
    include_str!("../../../deploy/drills/replace-disk.toml"),
    include_str!("../../../deploy/drills/torn-write.toml"),
    include_str!("../../../deploy/drills/full-disk.toml"),
    include_str!("../../../deploy/drills/partition-leader.toml"),
    include_str!("../../../deploy/drills/partition-one-way.toml"),
    include_str!("../../../deploy/drills/partition-partial.toml"),
    include_str!("../../../deploy/drills/partition-flapping.toml"),
    include_str!("../../../deploy/drills/lossy-network.toml"),
    include_str!("../../../deploy/drills/slow-network.toml"),
    include_str!("../../../deploy/drills/slow-mirror.toml"),
    include_str!("../../../deploy/drills/clock-jump.toml"),
];

impl Plan {
    /// Reads a drill.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn parse(text: &str) -> Result<Self, DrillError> {
        let plan: Self = toml::from_str(text).map_err(|error| DrillError::Plan(error.to_string()))?;
        if plan.step.is_empty() {
            return Err(DrillError::Plan(format!("{}: nothing happens in it", plan.name)));
        }
        Ok(plan)
    }

    /// All drills that are built in.
    ///
    /// # Errors
    /// One of them is wrong, which a test rules out.
    pub fn catalogue() -> Result<Vec<Self>, DrillError> {
        CATALOGUE.iter().map(|text| Self::parse(text)).collect()
    }

    /// What it does, a line a step.
    #[must_use]
    pub fn story(&self, roles: &Roles) -> Vec<String> {
        self.step.iter().map(|step| step.say(roles)).collect()
    }
}

/// Who is what when the drill begins.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Roles {
    /// Who leads the queue.
    pub leader: String,
    /// Who mirrors it, the next leader first.
    pub mirrors: Vec<String>,
    /// Who leads the catalog.
    pub raft_leader: String,
}

impl Roles {
    /// As they are called before a cluster is there.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            leader: "the leader".to_owned(),
            mirrors: vec!["the first mirror".to_owned(), "the second mirror".to_owned()],
            raft_leader: "the catalog's leader".to_owned(),
        }
    }

    /// The nodes that have this part.
    #[must_use]
    pub fn of(&self, who: Who) -> Vec<String> {
        let mirror = |nth: usize| self.mirrors.get(nth).cloned();
        let leader = std::iter::once(self.leader.clone());
        match who {
            Who::Leader => leader.collect(),
            Who::Mirror => mirror(0).into_iter().collect(),
            Who::SecondMirror => mirror(1).into_iter().collect(),
            Who::Mirrors => self.mirrors.clone(),
            Who::LeaderAndMirror => leader.chain(mirror(0)).collect(),
            Who::RaftLeader => vec![self.raft_leader.clone()],
            Who::All => leader.chain(self.mirrors.iter().cloned()).collect(),
        }
    }

    /// The nodes whose own clients notice something of these steps: all that
    /// something is done to, and those that cannot reach the leader.
    #[must_use]
    pub fn hurt(&self, steps: &[Step]) -> BTreeSet<String> {
        steps.iter().flat_map(Step::hurts).flat_map(|who| self.of(*who)).collect()
    }
}

impl Step {
    fn hurts(&self) -> Vec<&Who> {
        match self {
            // Those that are cut off from everybody else, or both of a pair.
            Self::Cut { from, to, .. } | Self::Flap { from, to, .. } => match to {
                Who::Mirrors | Who::All => vec![from],
                _ => vec![from, to],
            },
            Self::Kill { nodes }
            | Self::Stop { nodes }
            | Self::Freeze { nodes }
            | Self::Wipe { nodes }
            | Self::Tear { nodes }
            | Self::Fill { nodes } => vec![nodes],
            Self::Roll {} => vec![&Who::All],
            // Clients of a drained node stay where they are, and no client minds its
            // node's clock.
            Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Rebalance {}
            | Self::Start { .. }
            | Self::Thaw { .. }
            | Self::Free { .. }
            | Self::Heal {}
            | Self::Slow { .. }
            | Self::Lose { .. }
            | Self::Jump { .. }
            | Self::Publish { .. }
            | Self::Wait { .. }
            | Self::InSync {} => Vec::new(),
        }
    }

    /// In words, with the nodes' names.
    #[must_use]
    pub fn say(&self, roles: &Roles) -> String {
        let names = |who: &Who| roles.of(*who).join(" and ");
        let time = |period: &Period| seconds(period.get());
        match self {
            Self::Kill { nodes } => format!("kill -9 {}", names(nodes)),
            Self::Stop { nodes } => format!("stop {}", names(nodes)),
            Self::Start { nodes } => format!("start {}", names(nodes)),
            Self::Freeze { nodes } => format!("freeze {} (SIGSTOP)", names(nodes)),
            Self::Thaw { nodes } => format!("thaw {} (SIGCONT)", names(nodes)),
            Self::Wipe { nodes } => format!("give {} an empty disk", names(nodes)),
            Self::Tear { nodes } => format!("cut the end off the write-ahead log of {}", names(nodes)),
            Self::Fill { nodes } => format!("fill the disk of {}", names(nodes)),
            Self::Free { nodes } => format!("free the disk of {}", names(nodes)),
            Self::Cut { from, to, one_way: true } => format!("no packet from {} to {}", names(from), names(to)),
            Self::Cut { from, to, .. } => format!("no packet between {} and {}", names(from), names(to)),
            Self::Heal {} => "all packets arrive again".to_owned(),
            Self::Flap { from, to, times, every } => {
                format!(
                    "{times} times: cut {} from {} for {} and heal for as long",
                    names(from),
                    names(to),
                    time(every)
                )
            }
            Self::Slow { nodes, delay, loss_percent } => {
                format!("delay packets of {} by {}, lose {loss_percent} %", names(nodes), time(delay))
            }
            Self::Lose { nodes, percent } => format!("lose {percent} % of the packets of {}", names(nodes)),
            Self::Jump { nodes, seconds } => format!("set the clock of {} to {seconds:+} s", names(nodes)),
            Self::Drain { nodes } => format!("drain {}", names(nodes)),
            Self::Undrain { nodes } => format!("undrain {}", names(nodes)),
            Self::Rebalance {} => "spread leaders evenly".to_owned(),
            Self::Roll {} => "restart one node after the other".to_owned(),
            Self::Publish { messages } => format!("publish {messages} messages"),
            Self::Wait { time: period } => format!("wait {}", time(period)),
            Self::InSync {} => "wait until all replicas are in sync".to_owned(),
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_can_be_read_and_no_name_is_given_twice() {
        let plans = Plan::catalogue().unwrap();
        let names: BTreeSet<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names.len(), plans.len());
        for plan in &plans {
            assert_eq!(plan.story(&Roles::unknown()).len(), plan.step.len(), "{}", plan.name);
        }
    }

    #[test]
    fn a_misspelt_step_or_role_is_refused() {
        let plan = |step: &str| Plan::parse(&format!("name = \"x\"\nabout = \"y\"\n[[step]]\n{step}"));
        assert!(plan("do = \"kill\"\nnodes = \"leader\"").is_ok());
        assert!(plan("do = \"kil\"\nnodes = \"leader\"").is_err());
        assert!(plan("do = \"kill\"\nnodes = \"boss\"").is_err());
        assert!(plan("do = \"kill\"\nnodes = \"leader\"\nmore = 1").is_err());
    }

    #[test]
    fn clients_are_steady_on_nodes_that_nothing_is_done_to() {
        let roles = Roles { leader: "a".into(), mirrors: vec!["b".into(), "c".into()], raft_leader: "b".into() };
        let hurt = |text: &str| {
            let plan = Plan::parse(&format!("name = \"x\"\nabout = \"y\"\n{text}")).unwrap();
            roles.hurt(&plan.step).into_iter().collect::<Vec<_>>().join("")
        };
        assert_eq!(hurt("[[step]]\ndo = \"kill\"\nnodes = \"leader\""), "a");
        assert_eq!(hurt("[[step]]\ndo = \"kill\"\nnodes = \"raft-leader\""), "b");
        assert_eq!(hurt("[[step]]\ndo = \"cut\"\nfrom = \"leader\"\nto = \"mirrors\""), "a");
        assert_eq!(hurt("[[step]]\ndo = \"cut\"\nfrom = \"leader\"\nto = \"mirror\""), "ab");
        assert_eq!(hurt("[[step]]\ndo = \"roll\""), "abc");
    }
}
