//! Which components runtime parameters may be set for, and whether a value fits.

use serde_json::Value as Json;
use warren_membership::catalog::ParameterKey;

use super::plan::Origin;
use super::{federation, shovel};

/// Checks a parameter before it is proposed, as RabbitMQ does.
///
/// # Errors
/// What is wrong with it, in RabbitMQ's words where it has some.
pub fn check(cluster: &str, key: &ParameterKey, value: &Json) -> Result<(), String> {
    if key.name.is_empty() {
        return Err("a parameter needs a name".to_owned());
    }
    let failed = |error: String| format!("Validation failed\n\n{error}");
    match key.component.as_str() {
        shovel::COMPONENT => {
            let definition = serde_json::from_value(value.clone()).map_err(|error| failed(error.to_string()))?;
            shovel::plan(cluster, &key.vhost, &key.name, Origin::Parameter, definition).map(drop).map_err(failed)
        }
        federation::UPSTREAM => federation::Upstream::read(value, &key.vhost).map(drop).map_err(failed),
        federation::UPSTREAM_SET => federation::check_set(value).map_err(failed),
        other => Err(failed(format!("component {other} not found"))),
    }
}
