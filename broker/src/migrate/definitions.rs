//! What RabbitMQ's management API exports as definitions.

use serde::Deserialize;
use serde_json::{Map, Value};

/// All definitions of a RabbitMQ cluster. Keys that we have no use for are passed over.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Definitions {
    /// Which RabbitMQ said so.
    pub rabbit_version: Option<String>,
    /// Virtual hosts.
    pub vhosts: Vec<Vhost>,
    /// Users.
    pub users: Vec<User>,
    /// What they may do.
    pub permissions: Vec<Permission>,
    /// Runtime parameters.
    pub parameters: Vec<Parameter>,
    /// Policies.
    pub policies: Vec<Policy>,
    /// Exchanges.
    pub exchanges: Vec<Exchange>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Bindings.
    pub bindings: Vec<Binding>,
    /// What users may publish to topics; Warren has nothing like it yet.
    pub topic_permissions: Vec<Value>,
}

/// A virtual host.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Vhost {
    pub name: String,
}

/// A user.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub password_hash: String,
    #[serde(default)]
    pub hashing_algorithm: Option<String>,
    #[serde(default)]
    tags: Tags,
}

/// A list since RabbitMQ 3.9, a text with commas before.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Tags {
    List(Vec<String>),
    Text(String),
}

impl Default for Tags {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl User {
    /// The user's tags.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        match &self.tags {
            Tags::List(tags) => tags.clone(),
            Tags::Text(text) => {
                text.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect()
            }
        }
    }
}

/// What a user may do in a virtual host.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Permission {
    pub user: String,
    pub vhost: String,
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// A runtime parameter.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Parameter {
    pub component: String,
    pub vhost: String,
    pub name: String,
    pub value: Value,
}

/// A policy.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Policy {
    pub vhost: String,
    pub name: String,
    pub pattern: String,
    #[serde(rename = "apply-to", default)]
    pub apply_to: String,
    #[serde(default)]
    pub priority: i64,
    pub definition: Map<String, Value>,
}

/// An exchange.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Exchange {
    pub vhost: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub durable: bool,
    pub auto_delete: bool,
    #[serde(default)]
    pub internal: bool,
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// A queue.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Queue {
    pub vhost: String,
    pub name: String,
    pub durable: bool,
    pub auto_delete: bool,
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

/// A binding.
#[derive(Clone, Debug, Deserialize)]
#[allow(missing_docs, reason = "RabbitMQ's names")]
pub struct Binding {
    pub vhost: String,
    pub source: String,
    pub destination: String,
    pub destination_type: String,
    pub routing_key: String,
    #[serde(default)]
    pub arguments: Map<String, Value>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_export_is_read_and_unknown_keys_are_passed_over() {
        let text = r#"{"rabbit_version":"3.10.8","users":[{"name":"a","password_hash":"x","hashing_algorithm":
            "rabbit_password_hashing_sha256","tags":["administrator"],"limits":{}},{"name":"b","tags":"monitoring, policymaker"}],
            "vhosts":[{"name":"/"}],"global_parameters":[{"name":"cluster_name","value":"r"}],
            "queues":[{"name":"q","vhost":"/","durable":true,"auto_delete":false,"arguments":{"x-max-length":5}}],
            "policies":[{"vhost":"/","name":"ha","pattern":".*","apply-to":"queues","definition":{"ha-mode":"all"},"priority":0}]}"#;
        let definitions: Definitions = serde_json::from_str(text).unwrap();
        assert_eq!(definitions.users[0].tags(), ["administrator"]);
        assert_eq!(definitions.users[1].tags(), ["monitoring", "policymaker"]);
        assert_eq!(definitions.queues[0].arguments["x-max-length"], 5);
        assert!(definitions.bindings.is_empty());
    }
}
