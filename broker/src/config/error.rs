//! What can be wrong with a configuration, each with where it was said.

use std::fmt;

use super::source::{Place, SourceError};

/// A value that does not fit, by its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key's path; indices into arrays as decimal numbers.
    pub path: Vec<String>,
    /// What is wrong and what was expected.
    pub reason: String,
}

impl Problem {
    /// A problem of a key given with dots.
    #[must_use]
    pub fn new(key: &str, reason: impl Into<String>) -> Self {
        Self { path: key.split('.').map(str::to_owned).collect(), reason: reason.into() }
    }

    /// The key as it is said to people: `policy[2].mirror.replicas`.
    #[must_use]
    pub fn key(&self) -> String {
        let mut key = String::new();
        for element in &self.path {
            if element.bytes().all(|byte| byte.is_ascii_digit()) {
                key = format!("{key}[{element}]");
            } else {
                if !key.is_empty() {
                    key.push('.');
                }
                key.push_str(element);
            }
        }
        key
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(Place),
    /// An environment variable.
    Environment(String),
    /// A command-line setting.
    CommandLine,
    /// Nobody said it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(place) => place.fmt(f),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Why a configuration was not taken. Every variant is the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read or is not TOML.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Keys or values that do not fit.
    #[error("{}", list(.0))]
    Invalid(Vec<(Origin, Problem)>),
}

fn list(problems: &[(Origin, Problem)]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|(origin, problem)| format!("{origin}: {}: {}", problem.key(), problem.reason)).collect();
    lines.join("\n")
}
