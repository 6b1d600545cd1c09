//! Which policy wins for a queue, why, and what that comes to.

use warren_membership::catalog::Pattern;
use warren_membership::catalog::policies::Policies;
use warren_replication::plan::Policy;

use crate::management::model::Explanation;

/// Explains what policies mean for a durable queue of this name.
#[must_use]
pub fn explain(policies: &Policies, vhost: &str, queue: &str) -> Explanation {
    let winner = policies.matching(vhost, queue).next();
    let mut because = Vec::new();
    for policy in policies.iter() {
        because.push(verdict(policy, winner, vhost, queue));
    }
    if policies.iter().next().is_none() {
        because.push("there are no policies".to_owned());
    }
    Explanation {
        queue: queue.to_owned(),
        vhost: vhost.to_owned(),
        policy: winner.map(|policy| policy.name.clone()),
        because,
        plan: explained(policies, vhost, queue),
        now: None,
    }
}

/// The plan, and the links of a queue and of an exchange of that name.
fn explained(policies: &Policies, vhost: &str, name: &str) -> String {
    let mut plan = policies.plan(vhost, name, true).explain();
    if let Some(link) = policies.queue_link(vhost, name) {
        plan.push_str(&format!(" The queue is {}.", link.explain()));
    }
    if let Some(link) = policies.exchange_link(vhost, name) {
        plan.push_str(&format!(" An exchange of that name is {}.", link.explain()));
    }
    plan
}

fn verdict(policy: &Policy, winner: Option<&Policy>, vhost: &str, queue: &str) -> String {
    let name = &policy.name;
    if policy.vhost != vhost {
        return format!("{name}: is for vhost {:?}", policy.vhost);
    }
    if !Pattern::new(policy.pattern.as_str()).is_match(queue) {
        return format!("{name}: its pattern {:?} does not match", policy.pattern);
    }
    match winner {
        Some(winner) if winner.name == *name => {
            format!("{name}: matches by {:?} and wins with priority {}", policy.pattern, policy.priority)
        }
        Some(winner) if winner.priority > policy.priority => {
            format!("{name}: matches, but priority {} is below {}'s {}", policy.priority, winner.name, winner.priority)
        }
        Some(winner) => format!("{name}: matches with the same priority, but {} comes first by name", winner.name),
        None => format!("{name}: matches"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_winner_and_the_losers_have_reasons() {
        let policy = |name: &str, vhost: &str, pattern: &str, priority: i32| {
            format!(
                "[[policy]]\nname = {name:?}\nvhost = {vhost:?}\npattern = {pattern:?}\npriority = {priority}\nmode = \"mirror\"\n"
            )
        };
        let text = [
            policy("low", "/", "", 1),
            policy("b", "/", "^orders", 5),
            policy("a", "/", "^orders", 5),
            policy("other", "/", "^bills", 9),
            policy("elsewhere", "v", "", 9),
        ]
        .concat();
        let policies = Policies::new(1, crate::policy::parse(Path::new("p"), text).unwrap());
        let explanation = explain(&policies, "/", "orders.1");
        assert_eq!(explanation.policy.as_deref(), Some("a"));
        let because = explanation.because.join("\n");
        for expected in [
            "a: matches by \"^orders\" and wins with priority 5",
            "b: matches with the same priority, but a comes first by name",
            "low: matches, but priority 1 is below a's 5",
            "other: its pattern \"^bills\" does not match",
            "elsewhere: is for vhost \"v\"",
        ] {
            assert!(because.contains(expected), "{because}");
        }
        assert!(explanation.plan.contains("Policy 'a' is in force"), "{}", explanation.plan);
    }

    #[test]
    fn without_a_policy_the_default_is_explained() {
        let explanation = explain(&Policies::default(), "/", "q");
        assert_eq!(explanation.policy, None);
        assert_eq!(explanation.because, ["there are no policies"]);
        assert!(explanation.plan.contains("the default is in force"), "{}", explanation.plan);
    }
}
