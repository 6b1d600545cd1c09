//! The policies in force, which of them a queue has, and what a new set of them
//! means for the queues that are there (§6.6).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use warren_replication::plan::{ApplyTo, Group, Leaders, Link, MinInSync, Placement, Plan, Policy, PrimaryBackup};
use warren_replication::types::{NodeId, Process, QueueId};

use super::State;
use super::arguments;
use super::command::{Change, Outcome};
use super::pattern::Pattern;
use super::queues::Queue;
use super::refusal::Refusal;
use super::replication::set_min_in_sync;
use super::streams;
use super::value::Arguments;
use crate::placement::{self, Candidate};

/// The whole set in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    revision: u64,
    /// Best first: the first that matches wins.
    ranked: Vec<Ranked>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Ranked {
    policy: Policy,
    pattern: Pattern,
}

impl Policies {
    /// A set, as a file or a command gives it.
    #[must_use]
    pub fn new(revision: u64, policies: Vec<Policy>) -> Self {
        let mut ranked: Vec<Ranked> = policies
            .into_iter()
            .map(|policy| Ranked { pattern: Pattern::new(policy.pattern.clone()), policy })
            .collect();
        ranked
            .sort_by(|a, b| b.policy.priority.cmp(&a.policy.priority).then_with(|| a.policy.name.cmp(&b.policy.name)));
        Self { revision, ranked }
    }

    /// Which edition is in force; 0 = none was ever applied.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// All, best first.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.ranked.iter().map(|ranked| &ranked.policy)
    }

    /// Those that match a queue's name, best first: the first one is in force.
    pub fn matching(&self, vhost: &str, queue: &str) -> impl Iterator<Item = &Policy> {
        self.ranked
            .iter()
            .filter(move |ranked| ranked.policy.vhost == vhost && ranked.pattern.is_match(queue))
            .map(|ranked| &ranked.policy)
            .filter(|policy| !policy.operator && policy.apply_to != ApplyTo::Exchanges)
    }

    /// The link that policies give an exchange: that of the best one that matches.
    #[must_use]
    pub fn exchange_link(&self, vhost: &str, exchange: &str) -> Option<&Link> {
        let for_exchanges = |policy: &Policy| !policy.operator && policy.apply_to != ApplyTo::Queues;
        let ranked = self.ranked.iter().filter(|ranked| ranked.policy.vhost == vhost && for_exchanges(&ranked.policy));
        let best = ranked.into_iter().find(|ranked| ranked.pattern.is_match(exchange))?;
        best.policy.link.as_ref()
    }

    /// The link that policies give a queue.
    #[must_use]
    pub fn queue_link(&self, vhost: &str, queue: &str) -> Option<&Link> {
        self.matching(vhost, queue).next()?.link.as_ref()
    }

    /// Whether any policy links anything.
    #[must_use]
    pub fn link_anything(&self) -> bool {
        self.iter().any(|policy| policy.link.is_some())
    }

    /// The operator's policy for a queue's name, if there is one.
    #[must_use]
    pub fn operators(&self, vhost: &str, queue: &str) -> Option<&Policy> {
        let policies = self.ranked.iter().filter(|ranked| ranked.policy.operator && ranked.policy.vhost == vhost);
        let mut matching = policies.filter(|ranked| ranked.pattern.is_match(queue));
        matching.next().map(|ranked| &ranked.policy)
    }

    /// The plan that policies give a queue; `lasting` as in [`Plan::unnamed`].
    #[must_use]
    pub fn plan(&self, vhost: &str, queue: &str, lasting: bool) -> Plan {
        let policy = self.matching(vhost, queue).next();
        let mut plan = policy.map_or_else(|| Plan::unnamed(lasting), |policy| policy.plan(lasting));
        if let Some(operator) = self.operators(vhost, queue) {
            plan.limits = plan.limits.under(&operator.limits);
        }
        plan
    }

    /// The groups that primary-backup policies make.
    pub fn groups(&self) -> impl Iterator<Item = (Group, &PrimaryBackup)> {
        self.iter().filter_map(|policy| Some((policy.group(), policy.primary_backup()?)))
    }

    /// The settings of a group.
    #[must_use]
    pub fn group(&self, group: &Group) -> Option<&PrimaryBackup> {
        let mut policies = self.iter().filter(|policy| policy.name == group.policy && policy.vhost == group.vhost);
        policies.next().and_then(Policy::primary_backup)
    }
}

impl State {
    /// The plan of a queue: by the policy in force for it, else the default.
    pub(super) fn plan_of(
        &self,
        vhost: &str,
        name: &str,
        durable: bool,
        exclusive: bool,
        arguments: &Arguments,
    ) -> Arc<Plan> {
        Arc::new(plan(&self.policies, vhost, name, durable, exclusive, arguments))
    }

    /// The plan that a queue would have under other policies.
    #[must_use]
    pub fn plan_under(policies: &Policies, queue: &Queue) -> Plan {
        plan(policies, &queue.vhost, &queue.name, queue.durable, queue.exclusive.is_some(), &queue.arguments)
    }

    pub(super) fn apply_policies(
        &mut self,
        revision: u64,
        policies: &[Policy],
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        if revision <= self.policies.revision {
            return Err(Refusal::Policy(format!(
                "revision {revision} of the policies is not newer than the one in force, {}",
                self.policies.revision
            )));
        }
        self.policies = Policies::new(revision, policies.to_vec());
        changes.push(Change::Policies);
        self.regroup(changes);
        self.replan_all(changes);
        Ok(Outcome::Done)
    }

    /// Plans every queue anew.
    pub(super) fn replan_all(&mut self, changes: &mut Vec<Change>) {
        let ids: Vec<QueueId> = self.queues.keys().copied().collect();
        for id in ids {
            self.replan(id, changes);
        }
    }

    /// Plans one queue anew. What that changes becomes the target; the nodes
    /// that are no longer wanted follow it as leaving ones (§6.6).
    pub(super) fn replan(&mut self, id: QueueId, changes: &mut Vec<Change>) {
        let Some(queue) = self.queues.get(&id) else { return };
        let plan = self.plan_of(&queue.vhost, &queue.name, queue.durable, queue.exclusive.is_some(), &queue.arguments);
        // Who is live is not asked here: a node that is away for a while gets
        // its copy when it comes back.
        let mut candidates = self.candidates(&[]);
        // A drained node keeps the copies that it has.
        candidates.retain(|c| !self.is_drained(c.node) || queue.target.contains(&c.node));
        let target = retarget(queue, &plan, &candidates);
        let local = self.home(queue, &plan);
        let same = plan == queue.plan && target == queue.target && local == queue.local;
        if same && queue.assignment.min_in_sync == queue.planned_min() {
            return;
        }
        self.amend(id, changes, |queue, assignment| {
            queue.plan = plan;
            queue.target = target;
            queue.local = local;
            let leaving = assignment.replicas.iter().filter(|node| !queue.target.contains(node));
            assignment.replicas = queue.target.iter().chain(leaving).copied().collect();
            set_min_in_sync(assignment, queue.planned_min());
        });
    }

    /// The process that a queue of that plan goes with: the one it was declared
    /// for, or, when a policy that mirrored it is gone, its leader node's latest.
    fn home(&self, queue: &Queue, plan: &Plan) -> Option<Process> {
        if plan.placement != Placement::Local {
            return None;
        }
        let leader = queue.assignment.leader.map(|leader| leader.member());
        let member = leader.or_else(|| queue.assignment.isr.first().copied());
        let node = member.and_then(|member| self.nodes.get(&member.node));
        queue.local.or(node.map(|node| node.process))
    }
}

/// What policies give a queue; what clients may ask for with arguments comes on
/// top.
fn plan(policies: &Policies, vhost: &str, name: &str, durable: bool, exclusive: bool, arguments: &Arguments) -> Plan {
    let mut plan = policies.plan(vhost, name, durable && !exclusive);
    if exclusive {
        // It stays where its connection is; limits hold for it too.
        plan = Plan { limits: plan.limits, ..Plan::unnamed(false) };
    }
    if arguments::is_quorum(arguments) || streams::is_stream(arguments) {
        plan.min_in_sync = MinInSync::Majority;
    }
    match arguments::client_local(arguments) {
        Some(true) if !matches!(plan.leaders, Leaders::First | Leaders::Primary) => {
            plan.leaders = Leaders::ClientLocal;
        }
        Some(false) if plan.leaders == Leaders::ClientLocal && plan.placement != Placement::Local => {
            plan.leaders = Leaders::Balanced;
        }
        _ => {}
    }
    plan
}

/// Where a queue should be under a plan, seen from where it is: its leader and
/// its in-sync members stay rather than others.
fn retarget(queue: &Queue, plan: &Plan, candidates: &[Candidate<'_>]) -> Vec<NodeId> {
    let assignment = &queue.assignment;
    let rank = |node: &NodeId| {
        let leads = assignment.leader.is_some_and(|leader| leader.node == *node);
        let in_sync = assignment.isr.iter().any(|member| member.node == *node);
        (!leads, !in_sync)
    };
    let mut current = assignment.replicas.clone();
    let wanted = placement::replace(plan, candidates, &current);
    if current.iter().all(|node| wanted.contains(node)) {
        // Nobody has to go: keep the order that was.
        return wanted;
    }
    current.sort_by_key(rank);
    placement::replace(plan, candidates, &current)
}
