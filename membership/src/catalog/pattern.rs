//! Regular expressions of permissions and policies, kept as their source and
//! compiled when first asked.

use std::sync::OnceLock;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// The most memory that one compiled pattern may take.
const COMPILED_BYTES: usize = 1 << 20;

/// A regular expression, matched anywhere in a name as RabbitMQ does. One that
/// does not compile matches nothing; proposers refuse it by [`Pattern::check`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Pattern {
    source: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// From its source.
    #[must_use]
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), compiled: OnceLock::new() }
    }

    /// As written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it matches somewhere in the name.
    #[must_use]
    pub fn is_match(&self, name: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| compile(&self.source).ok());
        compiled.as_ref().is_some_and(|regex| regex.is_match(name))
    }

    /// Whether it lets this name through, as an expression of permissions: an
    /// empty one is `^$` to RabbitMQ.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        if self.source.is_empty() { name.is_empty() } else { self.is_match(name) }
    }

    /// Why it does not compile, if it does not.
    pub fn check(source: &str) -> Result<(), String> {
        compile(source).map(drop).map_err(|error| error.to_string())
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source).size_limit(COMPILED_BYTES).build()
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl From<String> for Pattern {
    fn from(source: String) -> Self {
        Self::new(source)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.source
    }
}
