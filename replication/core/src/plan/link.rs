//! The links that a policy gives to what it is for: `mode = "remote"` and
//! `mode = "multi-active"` of the policy file, and RabbitMQ's `federation-upstream` and `federation-upstream-set`.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::PolicyError;
use super::definition::{Definition, Setting};
use super::sites::Sites;

/// What a queue or an exchange is linked with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Link {
    /// One upstream, by its name.
    Upstream(String),
    /// The upstreams of a set, by its name.
    UpstreamSet(String),
    /// A shovel from each queue: the keys of RabbitMQ's shovels in JSON, without
    /// those of the source.
    Shovel(String),
    /// Every other site, and they with this one.
    Sites(Sites),
}

impl Link {
    /// In words.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Upstream(name) => format!("federated with upstream '{name}'"),
            Self::UpstreamSet(name) => format!("federated with the upstreams of set '{name}'"),
            Self::Shovel(_) => "shovelled to another place".to_owned(),
            Self::Sites(sites) => sites.explain(),
        }
    }
}

/// `remote = { … }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RemoteSource {
    /// One upstream.
    #[serde(default)]
    pub federation_upstream: Option<String>,
    /// A set of upstreams.
    #[serde(default)]
    pub federation_upstream_set: Option<String>,
    /// A shovel, by RabbitMQ's keys.
    #[serde(default)]
    pub shovel: Option<Definition>,
}

impl TryFrom<RemoteSource> for Link {
    type Error = PolicyError;

    fn try_from(source: RemoteSource) -> Result<Self, PolicyError> {
        let invalid = |problem: &str| PolicyError::Invalid { key: "remote", problem: problem.to_owned() };
        match (source.federation_upstream, source.federation_upstream_set, source.shovel) {
            (Some(name), None, None) => Ok(Self::Upstream(name)),
            (None, Some(name), None) => Ok(Self::UpstreamSet(name)),
            (None, None, Some(shovel)) => match shovel.keys().find(|key| key.starts_with("src-q")) {
                Some(_) => Err(invalid("`shovel` has the queues of the policy as its sources: no `src-queue`")),
                None => Ok(Self::Shovel(json(&shovel))),
            },
            _ => Err(invalid("must have one of `federation-upstream`, `federation-upstream-set`, `shovel`")),
        }
    }
}

/// A definition as JSON.
fn json(definition: &Definition) -> String {
    let fields: Vec<String> =
        definition.iter().map(|(key, value)| format!("{}:{}", quoted(key), field(value))).collect();
    format!("{{{}}}", fields.join(","))
}

fn field(value: &Setting) -> String {
    match value {
        Setting::Flag(flag) => flag.to_string(),
        Setting::Number(number) => number.to_string(),
        Setting::Text(text) => quoted(text),
        Setting::List(items) => format!("[{}]", items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(",")),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_shovel_is_kept_as_rabbitmqs_json() {
        let shovel = Definition::from([
            ("dest-uri".into(), Setting::List(vec!["amqp://a".into(), "b\"\\\n".into()])),
            ("prefetch-count".into(), Setting::Number(5)),
            ("add-forward-headers".into(), Setting::Flag(true)),
        ]);
        let source = RemoteSource { federation_upstream: None, federation_upstream_set: None, shovel: Some(shovel) };
        let expected = r#"{"add-forward-headers":true,"dest-uri":["amqp://a","b\"\\\u000a"],"prefetch-count":5}"#;
        assert_eq!(Link::try_from(source).unwrap(), Link::Shovel(expected.into()));
    }

    #[test]
    fn a_link_is_one_thing() {
        let none = || RemoteSource { federation_upstream: None, federation_upstream_set: None, shovel: None };
        assert!(Link::try_from(none()).is_err());
        let both = RemoteSource { federation_upstream: Some("a".into()), shovel: Some(Definition::new()), ..none() };
        assert!(Link::try_from(both).is_err());
        let set = RemoteSource { federation_upstream_set: Some("all".into()), ..none() };
        assert_eq!(Link::try_from(set).unwrap(), Link::UpstreamSet("all".into()));
    }
}
