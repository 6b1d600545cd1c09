//! Asking a node over its management API.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Request, Response};

use crate::management::model::ErrorBody;

/// Which node to ask, and as whom.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The HTTP address of any node of the cluster.
    #[arg(long, global = true, env = "WARREN_NODE", default_value = "http://127.0.0.1:15672", value_name = "URL")]
    pub node: String,
    /// The user to ask as.
    #[arg(long, global = true, env = "WARREN_USERNAME", default_value = "guest", value_name = "NAME")]
    pub username: String,
    /// The user's password; better given by the environment.
    #[arg(
        long,
        global = true,
        env = "WARREN_PASSWORD",
        default_value = "guest",
        value_name = "PASSWORD",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub password: String,
}

/// What to do, and whom to ask for it: the shape of every command that manages
/// something.
#[derive(Clone, Debug, clap::Args)]
pub struct Ask<A: clap::Subcommand> {
    #[command(subcommand)]
    pub(super) action: A,
    #[command(flatten)]
    target: Target,
}

impl<A: clap::Subcommand> Ask<A> {
    /// The node to ask.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.target)
    }
}

/// Why a node did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No answer.
    #[error("no answer from {url}: {reason}. Is the node running, and is this its HTTP address?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The node said no.
    #[error("{reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The node's reason.
        reason: String,
    },
    /// Something answered, but not in this API's words.
    #[error("{url} answers, but not as a Warren node does: {reason}")]
    Strange {
        /// What was asked.
        url: String,
        /// What is strange about it.
        reason: String,
    },
}

impl ClientError {
    /// The HTTP status of a refusal.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A connection to one node's management API.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    authorization: String,
}

impl Client {
    /// Asks this node; nothing is sent yet.
    #[must_use]
    pub fn new(target: &Target) -> Self {
        Self::impatient(target, Duration::from_secs(60))
    }

    /// The same, and waits for no answer longer than this.
    #[must_use]
    pub fn impatient(target: &Target, patience: Duration) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(patience.min(Duration::from_secs(5))))
            .timeout_global(Some(patience))
            .build()
            .new_agent();
        let base = target.node.trim_end_matches('/');
        let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
        let secret = STANDARD.encode(format!("{}:{}", target.username, target.password));
        Self { agent, base, authorization: format!("Basic {secret}") }
    }

    /// `GET` a path with query parameters.
    ///
    /// # Errors
    /// If the node is silent, refuses or talks something else.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.call("GET", path, query, None::<&()>)
    }

    /// `PUT` a body to a path.
    ///
    /// # Errors
    /// If the node is silent, refuses or talks something else.
    pub fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.call("PUT", path, &[], Some(body))
    }

    /// `POST` a body to a path.
    ///
    /// # Errors
    /// If the node is silent, refuses or talks something else.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        self.call("POST", path, &[], Some(body))
    }

    /// `DELETE` a path.
    ///
    /// # Errors
    /// If the node is silent, refuses or talks something else.
    pub fn delete<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, ClientError> {
        self.call("DELETE", path, query, None::<&()>)
    }

    fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let mut url = format!("{}{path}", self.base);
        for (index, (key, value)) in query.iter().enumerate() {
            url = format!("{url}{}{key}={}", if index == 0 { '?' } else { '&' }, encode(value));
        }
        let unreachable = |reason: String| ClientError::Unreachable { url: url.clone(), reason };
        let strange = |reason: String| ClientError::Strange { url: url.clone(), reason };
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|error| strange(error.to_string()))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(&url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(bytes)
            .map_err(|error| unreachable(error.to_string()))?;
        let mut response: Response<ureq::Body> =
            self.agent.run(request).map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        let text = response.body_mut().read_to_string().map_err(|error| unreachable(error.to_string()))?;
        if status.is_success() {
            let text = if text.is_empty() { "null" } else { &text };
            return serde_json::from_str(text).map_err(|error| strange(error.to_string()));
        }
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(ClientError::Refused { status: status.as_u16(), reason: body.reason }),
            Err(_) => Err(strange(format!("status {status}"))),
        }
    }
}

/// A text as part of an URL.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_survive_urls() {
        assert_eq!(super::encode("/"), "%2F");
        assert_eq!(super::encode("a b+ü"), "a%20b%2B%C3%BC");
    }
}
