//! Putting the layers together, and telling which layer is to blame.

use std::path::Path;

use figment::error::Kind;
use figment::providers::{Format, Serialized, Toml};
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::error::Origin;
use super::{Config, ConfigError, Problem, SourceFile};

/// Environment variables of this prefix with `__` between section and option
/// are configuration: `WARREN_AMQP__LISTEN` is `amqp.listen`.
const PREFIX: &str = "WARREN_";

/// Reads a node's configuration.
///
/// `overrides` are command-line settings as `(key, value)` with the key's
/// dotted name; `environment` is the process's environment.
///
/// # Errors
/// Says of every mistake where it was made, of which key, and what was expected.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    overrides: &[(String, String)],
) -> Result<Config, ConfigError> {
    let file = file.map(SourceFile::read).transpose()?;
    let environment = Environment::new(environment)?;
    let mut command_line = Layer::default();
    for (key, value) in overrides {
        command_line.set(key, value);
    }
    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    if let Some(file) = &file {
        figment = figment.merge(Toml::string(file.text()));
    }
    figment = figment.merge(&environment.layer).merge(&command_line);
    let config = figment.extract::<Config>().map_err(|errors| {
        errors.into_iter().map(|error| Problem { path: error.path.clone(), reason: reason(&error.kind) }).collect()
    });
    let config = config.and_then(|mut config: Config| {
        if let Some(file) = &file {
            let here = |key: &str| {
                let path: Vec<String> = key.split('.').map(str::to_owned).collect();
                file.sets(&path) && !environment.layer.sets(&path) && !command_line.sets(&path)
            };
            beside(file.path(), &mut config, here);
        }
        let problems = config.problems();
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    });
    config.map_err(|problems: Vec<Problem>| {
        let blame = |problem: Problem| {
            let origin = if command_line.sets(&problem.path) {
                Origin::CommandLine
            } else if environment.layer.sets(&problem.path) {
                Origin::Environment(Environment::variable(&problem.path))
            } else {
                file.as_ref().map_or(Origin::Default, |file| Origin::File(file.locate(&problem.path)))
            };
            (origin, problem)
        };
        ConfigError::Invalid(problems.into_iter().map(blame).collect())
    })
}

/// Paths that a file says are seen from the file's own folder, others from the
/// working directory.
fn beside(file: &Path, config: &mut Config, said_here: impl Fn(&str) -> bool) {
    let folder = file.parent().unwrap_or(Path::new(""));
    if said_here("node.data") {
        config.node.data = folder.join(&config.node.data);
    }
    for (key, path) in [
        ("node.pid-file", &mut config.node.pid_file),
        ("policy.file", &mut config.policy.file),
        ("tls.certificate", &mut config.tls.certificate),
        ("tls.key", &mut config.tls.key),
        ("tls.authorities", &mut config.tls.authorities),
    ] {
        if let Some(path) = path.as_mut().filter(|_| said_here(key)) {
            *path = folder.join(&*path);
        }
    }
}

/// The dotted names of all options with their defaults, in order; absent by
/// default is `None`.
#[must_use]
pub fn options() -> Vec<(String, Option<Value>)> {
    let mut options = Vec::new();
    for (section, value) in defaults() {
        for (key, value) in value.into_dict().unwrap_or_default() {
            let value = (!matches!(value, Value::Empty(..))).then_some(value);
            options.push((format!("{section}.{key}"), value));
        }
    }
    options
}

/// What serde and figment found, as a sentence.
pub(crate) fn reason(kind: &Kind) -> String {
    match kind {
        Kind::UnknownField(_, expected) if !expected.is_empty() => {
            let mut names = expected.to_vec();
            names.sort_unstable();
            format!("unknown key, expected one of {}", names.join(", "))
        }
        Kind::UnknownField(..) => "unknown key".to_owned(),
        Kind::UnknownVariant(found, expected) => {
            format!("invalid value {found:?}, expected one of {}", expected.join(", "))
        }
        Kind::InvalidType(found, expected) => format!("invalid type: found {found}, expected {expected}"),
        Kind::InvalidValue(found, expected) => format!("invalid value {found}, expected {expected}"),
        other => other.to_string(),
    }
}

fn defaults() -> Dict {
    Serialized::defaults(Config::default())
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default))
        .unwrap_or_default()
}

/// Settings from somewhere other than a file.
#[derive(Default)]
struct Layer {
    settings: Figment,
}

impl Layer {
    /// Sets a dotted key. Where the default is a text the value is one too, so
    /// that a password of digits needs no quotes.
    fn set(&mut self, key: &str, value: &str) {
        let text = defaults_at(key).is_some_and(|default| matches!(default, Value::String(..)));
        let value = if text { Value::from(value) } else { value.parse().unwrap_or_else(|_| Value::from(value)) };
        let nested = nest(key, value).into_dict().unwrap_or_default();
        self.settings = std::mem::take(&mut self.settings).merge(Serialized::defaults(nested));
    }

    fn sets(&self, path: &[String]) -> bool {
        (1..=path.len()).rev().any(|length| length > 1 && self.settings.find_value(&path[..length].join(".")).is_ok())
    }
}

impl Provider for &Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named("settings")
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        self.settings.data()
    }
}

fn defaults_at(key: &str) -> Option<Value> {
    options().into_iter().find(|(name, _)| name == key).and_then(|(_, value)| value)
}

/// The environment's part of the configuration.
struct Environment {
    layer: Layer,
}

impl Environment {
    fn new(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let mut layer = Layer::default();
        let mut wrong = Vec::new();
        let known = options();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(PREFIX) else { continue };
            if name.contains("__") {
                layer.set(&Self::key(name), &value);
            } else if let Some((option, _)) =
                // Other variables of the prefix are let be: Kubernetes sets some
                // for every service of that name. A near miss is no accident.
                known
                    .iter()
                    .find(|(option, _)| option.replace(['.', '-'], "_").eq_ignore_ascii_case(name))
            {
                let path: Vec<String> = option.split('.').map(str::to_owned).collect();
                let reason = format!("not a setting, expected {}", Self::variable(&path));
                wrong.push((Origin::Environment(variable.clone()), Problem { path, reason }));
            }
        }
        if wrong.is_empty() { Ok(Self { layer }) } else { Err(ConfigError::Invalid(wrong)) }
    }

    fn key(name: &str) -> String {
        name.to_ascii_lowercase().replace("__", ".").replace('_', "-")
    }

    fn variable(path: &[String]) -> String {
        let path = if path.len() > 2 { &path[..2] } else { path };
        format!("{PREFIX}{}", path.join("__").replace('-', "_").to_ascii_uppercase())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::config::{Level, Period};

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn complaint(text: &str, environment: &[(&str, &str)], overrides: &[(&str, &str)]) -> String {
        let file = file(text);
        let error = load(Some(file.path()), pairs(environment), &pairs(overrides)).unwrap_err().to_string();
        error.replace(&file.path().display().to_string(), "FILE")
    }

    #[test]
    fn later_layers_override_earlier_ones() {
        let file = file("[amqp]\nheartbeat = \"5s\"\nchannel-max = 7\nmax-connections = 3\n");
        let config = load(
            Some(file.path()),
            pairs(&[("WARREN_AMQP__CHANNEL_MAX", "8"), ("WARREN_AMQP__MAX_CONNECTIONS", "9"), ("HOME", "/")]),
            &pairs(&[("amqp.max-connections", "10")]),
        )
        .unwrap();
        assert_eq!(config.amqp.heartbeat, Period::secs(5));
        assert_eq!(config.amqp.channel_max, 8);
        assert_eq!(config.amqp.max_connections, 10);
        assert_eq!(config.amqp.frame_max, Config::default().amqp.frame_max);
    }

    #[test]
    fn a_files_paths_are_seen_from_its_folder() {
        let file = file("[node]\ndata = \"d\"\npid-file = \"p\"\n");
        let folder = file.path().parent().unwrap();
        let config = load(Some(file.path()), pairs(&[("WARREN_POLICY__FILE", "q")]), &pairs(&[("node.pid-file", "x")]));
        let config = config.unwrap();
        assert_eq!(config.node.data, folder.join("d"));
        assert_eq!(config.node.pid_file.unwrap(), Path::new("x"));
        assert_eq!(config.policy.file.unwrap(), Path::new("q"));
    }

    #[test]
    fn a_texts_digits_stay_a_text_and_lists_are_read() {
        let environment =
            pairs(&[("WARREN_USERS__DEFAULT_PASSWORD", "0123"), ("WARREN_CLUSTER__SEEDS", r#"["a:7200", "b:7200"]"#)]);
        let config = load(None, environment, &[]).unwrap();
        assert_eq!(config.users.default_password, "0123");
        assert_eq!(config.cluster.seeds, ["a:7200", "b:7200"]);
        assert_eq!(config.cluster.size(), 2);
    }

    #[test]
    fn module_levels_are_added_to_the_quiet_ones() {
        let file = file("[log.modules]\n\"warren::peer\" = \"debug\"\n");
        let config = load(Some(file.path()), pairs(&[]), &[]).unwrap();
        assert_eq!(config.log.modules["warren::peer"], Level::Debug);
        assert_eq!(config.log.modules["openraft"], Level::Off);
    }

    #[test]
    fn mistakes_name_file_line_column_key_and_what_was_expected() {
        for (text, expected) in [
            (
                "[amqp]\n\nheartbeat = \"6x\"\n",
                r#"FILE:3:1: amqp.heartbeat: invalid value string "6x", expected a time such as "600ms", "5s", "2m", "1h" or "1d""#,
            ),
            (
                "[node]\nnmae = \"x\"\n",
                "FILE:2:1: node.nmae: unknown key, expected one of data, name, pid-file, shards, stop-wait, zone",
            ),
            ("\n[amqq]\nx = 1\n", "FILE:2:2: amqq: unknown key, expected one of alarms, amqp, cluster,"),
            ("[amqp]\nlisten = 5672\n", "FILE:2:1: amqp.listen: invalid type: found"),
            ("[log]\nlevel = \"loud\"\n", r#"FILE:2:1: log.level: invalid value "loud", expected one of off, error,"#),
            ("[cluster]\nseeds = [\n  \"a:1\",\n  \"b\",\n]\n", "FILE:4:3: cluster.seeds[1]: expected host:port"),
            ("[amqp]\nframe-max = 12\n", "FILE:2:1: amqp.frame-max: expected at least 4096 bytes"),
            ("[amqp\n", "FILE:1:6: not valid TOML"),
        ] {
            let found = complaint(text, &[], &[]);
            assert!(found.starts_with(expected), "{text:?}: {found}");
        }
    }

    #[test]
    fn mistakes_outside_the_file_name_their_variable_or_the_command_line() {
        let found = complaint("", &[("WARREN_AMQP__HEARTBEAT", "soon")], &[]);
        assert!(found.starts_with("environment variable WARREN_AMQP__HEARTBEAT: amqp.heartbeat: invalid"), "{found}");
        let found = complaint("[amqp]\nheartbeat = \"5s\"\n", &[], &[("amqp.heartbeat", "soon")]);
        assert!(found.starts_with("command line: amqp.heartbeat: invalid value"), "{found}");
        let found = complaint("", &[("WARREN_AMQP_HEARTBEAT", "5s")], &[]);
        assert!(found.ends_with("expected WARREN_AMQP__HEARTBEAT"), "{found}");
        let found = complaint("", &[("WARREN_AMQP__LISTN", "x")], &[]);
        assert!(found.starts_with("environment variable WARREN_AMQP__LISTN: amqp.listn: unknown key"), "{found}");
    }

    /// The sample documents every option with its default: uncommented, it is
    /// the default configuration.
    #[test]
    fn the_sample_file_holds_every_option_with_its_default() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/warren.toml");
        load(Some(&sample), pairs(&[]), &[]).unwrap();
        let text = std::fs::read_to_string(&sample).unwrap();
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase() || c == '"') => option,
                _ => line,
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let whole = file(&uncommented);
        let source = SourceFile::read(whole.path()).unwrap();
        let config = load(Some(whole.path()), pairs(&[]), &[]).unwrap();
        let said = Figment::from(Serialized::defaults(&config));
        for (option, default) in options() {
            let path: Vec<String> = option.split('.').map(str::to_owned).collect();
            assert!(source.sets(&path), "{option} is not in the sample");
            if let Some(default) = default {
                if option == "node.data" {
                    assert_eq!(config.node.data, whole.path().parent().unwrap().join("data"));
                    continue;
                }
                let value = said.find_value(&option).unwrap();
                assert_eq!(plain(&value), plain(&default), "{option} in the sample is not the default");
            }
        }
    }

    fn plain(value: &Value) -> serde_json::Value {
        serde_json::to_value(value).unwrap()
    }
}
