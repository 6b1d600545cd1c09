//! RabbitMQ's policies, as a policy file for Warren to be read, changed and
//! applied by whoever migrates: a policy file is the whole set, and which nodes
//! are to hold what is not the old cluster's to say.

use serde_json::Value;

use super::Problems;
use super::definitions::{Definitions, Policy};

/// The text of a policy file for what the definitions' policies say of mirrors.
/// Everything else that they say is a problem each.
#[must_use]
pub fn policy_file(definitions: &Definitions, problems: &mut Problems) -> String {
    let mut text = String::new();
    for policy in &definitions.policies {
        match mirror(policy) {
            Some(mirror) => text.push_str(&format!(
                "[[policy]]\nname = {:?}\nvhost = {:?}\npattern = {:?}\npriority = {}\nmode = \"mirror\"\nmirror = {mirror}\n\n",
                policy.name, policy.vhost, policy.pattern, policy.priority,
            )),
            None if policy.definition.keys().any(|key| key.starts_with("ha-")) => problems.add(format!(
                "policy {:?} of vhost {:?}: its ha-mode or ha-params are not understood",
                policy.name, policy.vhost
            )),
            None => {}
        }
        let understood = ["ha-mode", "ha-params", "ha-sync-mode", "ha-sync-batch-size", "queue-mode"];
        for key in policy.definition.keys().filter(|key| !understood.contains(&key.as_str())) {
            problems.add(format!("policy {:?} of vhost {:?}: `{key}` is not taken over", policy.name, policy.vhost));
        }
    }
    text
}

/// `mirror = …` of a classic mirrored queue's policy.
fn mirror(policy: &Policy) -> Option<String> {
    match policy.definition.get("ha-mode")?.as_str()? {
        "all" => Some("{ replicas = \"all\" }".to_owned()),
        "exactly" => {
            let count = policy.definition.get("ha-params")?.as_u64().filter(|count| *count > 0)?;
            Some(format!("{{ replicas = {count} }}"))
        }
        "nodes" => {
            // `rabbit@host` is most likely the node `host` here.
            let nodes = policy.definition.get("ha-params")?.as_array()?;
            let name = |node: &Value| {
                node.as_str().map(|node| format!("{:?}", node.rsplit_once('@').map_or(node, |(_, host)| host)))
            };
            let names: Option<Vec<String>> = nodes.iter().map(name).collect();
            Some(format!("{{ replicas = [{}] }}", names?.join(", ")))
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn mirrored_queues_stay_mirrored_and_the_rest_is_told() {
        let policy = |name: &str, definition: Value| {
            json!({"vhost": "/", "name": name, "pattern": "^a\\.", "apply-to": "queues", "priority": 3,
                "definition": definition})
        };
        let definitions = serde_json::from_value(json!({"policies": [
            policy("all", json!({"ha-mode": "all", "ha-sync-mode": "automatic"})),
            policy("two", json!({"ha-mode": "exactly", "ha-params": 2, "message-ttl": 5})),
            policy("named", json!({"ha-mode": "nodes", "ha-params": ["rabbit@a", "rabbit@b"]})),
            policy("odd", json!({"ha-mode": "exactly"})),
        ]}));
        let mut problems = Problems::default();
        let text = policy_file(&definitions.unwrap(), &mut problems);
        let policies = crate::policy::parse(Path::new("p"), text).unwrap();
        assert_eq!(policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["all", "two", "named"]);
        assert_eq!(policies[2].mode_settings(), "the nodes a, b");
        assert_eq!(problems.all().len(), 2, "{problems:?}");
    }

    trait Shown {
        fn mode_settings(&self) -> String;
    }

    impl Shown for warren_replication::plan::Policy {
        fn mode_settings(&self) -> String {
            let plan = self.plan();
            match plan.placement {
                warren_replication::plan::Placement::Mirrored(replicas) => replicas.to_string(),
                warren_replication::plan::Placement::Local => "local".to_owned(),
            }
        }
    }
}
