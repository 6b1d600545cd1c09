//! Runtime parameters: settings of parts of the broker that are made and changed
//! while it runs, by component, vhost and name, as RabbitMQ's `set_parameter`
//! knows them. The catalog keeps a value as the JSON text that it was given;
//! whether it means something is for the component to check before it is
//! proposed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::State;
use super::command::{Change, Outcome};
use super::refusal::Refusal;

/// Which parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ParameterKey {
    /// Whose: `shovel`, `federation-upstream`, …
    pub component: String,
    /// Where.
    pub vhost: String,
    /// Its name.
    pub name: String,
}

/// All of them. A revision tells observers whether to look again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    revision: u64,
    values: BTreeMap<ParameterKey, String>,
}

impl Parameters {
    /// Another one whenever a parameter was set or cleared.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The JSON text of one.
    #[must_use]
    pub fn get(&self, key: &ParameterKey) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All, by component, vhost and name.
    pub fn iter(&self) -> impl Iterator<Item = (&ParameterKey, &str)> {
        self.values.iter().map(|(key, value)| (key, value.as_str()))
    }

    /// Those of one component.
    pub fn of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = (&'a ParameterKey, &'a str)> {
        self.iter().filter(move |(key, _)| key.component == component)
    }

    fn changed(&mut self, changes: &mut Vec<Change>) {
        self.revision += 1;
        changes.push(Change::Parameters);
    }
}

impl State {
    /// The runtime parameters.
    #[must_use]
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    pub(super) fn set_parameter(
        &mut self,
        key: &ParameterKey,
        value: &str,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        self.vhost(&key.vhost)?;
        if self.parameters.get(key) != Some(value) {
            self.parameters.values.insert(key.clone(), value.to_owned());
            self.parameters.changed(changes);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn clear_parameter(
        &mut self,
        key: &ParameterKey,
        changes: &mut Vec<Change>,
    ) -> Result<Outcome, Refusal> {
        if self.parameters.values.remove(key).is_none() {
            return Err(Refusal::UnknownParameter(Box::new(key.clone())));
        }
        self.parameters.changed(changes);
        Ok(Outcome::Done)
    }

    /// A vhost goes, and what was set for it.
    pub(super) fn clear_parameters_of(&mut self, vhost: &str, changes: &mut Vec<Change>) {
        let before = self.parameters.values.len();
        self.parameters.values.retain(|key, _| key.vhost != vhost);
        if self.parameters.values.len() < before {
            self.parameters.changed(changes);
        }
    }
}
