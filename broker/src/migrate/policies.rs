//! RabbitMQ's policies, as a policy file for Warren to be read, changed and
//! applied by whoever migrates: a policy file is the whole set, and replaces
//! what is in force. RabbitMQ's keys are understood there as they are.

use std::path::Path;

use serde_json::Value;

use super::Problems;
use super::definitions::{Definitions, Policy};

/// The text of a policy file for the definitions' policies. One that is not
/// understood is in it as a comment, and a problem.
#[must_use]
pub fn policy_file(definitions: &Definitions, problems: &mut Problems) -> String {
    let mut text = String::new();
    for policy in &definitions.policies {
        let table = table(policy);
        match crate::policy::parse(Path::new("policy"), table.clone()) {
            Ok(_) => text.push_str(&table),
            Err(error) => {
                problems.add(format!("policy {:?} of vhost {:?}: {error}", policy.name, policy.vhost));
                table.lines().for_each(|line| text.push_str(&format!("# {line}\n")));
            }
        }
        text.push('\n');
    }
    text
}

fn table(policy: &Policy) -> String {
    let apply_to = match policy.apply_to.as_str() {
        known @ ("queues" | "exchanges") => known,
        _ => "all",
    };
    let definition: Vec<String> =
        policy.definition.iter().map(|(key, value)| format!("{} = {}", quoted(key), setting(value))).collect();
    format!(
        "[[policy]]\nname = {}\nvhost = {}\npattern = {}\npriority = {}\napply-to = \"{apply_to}\"\ndefinition = {{ {} }}\n",
        quoted(&policy.name),
        quoted(&policy.vhost),
        quoted(&policy.pattern),
        policy.priority,
        definition.join(", "),
    )
}

/// A JSON value as TOML has it: alike, but for what neither has here.
fn setting(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(setting).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn policies_are_taken_as_they_are_and_what_is_not_understood_is_told() {
        let policy = |name: &str, definition: Value| {
            json!({"vhost": "/", "name": name, "pattern": "^a\\.\"", "apply-to": "queues", "priority": 3,
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
        assert_eq!(policies[0].pattern, "^a\\.\"");
        assert_eq!(problems.all().len(), 1, "{problems:?}");
    }
}
