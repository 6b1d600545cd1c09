//! From the file's text to checked policies, all or none. Every mistake is
//! reported, with its place.

use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml};
use figment::value::Value;
use serde::Deserialize;
use warren_membership::catalog::Pattern;
use warren_replication::plan::{Link, Mode, Policy, PolicySource, Replicas};

use crate::client::Uri;
use crate::config::{Place, Problem, SourceError, SourceFile, reason};

/// Why a policy file was not taken; nothing of it is in force.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// It could not be read or is not TOML.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Keys or values that do not fit.
    #[error("{}", list(.0))]
    Invalid(Vec<(Place, Problem)>),
}

fn list(problems: &[(Place, Problem)]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|(place, problem)| format!("{place}: {}: {}", problem.key(), problem.reason)).collect();
    lines.join("\n")
}

/// Reads and checks a policy file.
///
/// # Errors
/// All mistakes in it, each with file, line, column, key and what was expected.
pub fn read(path: &Path) -> Result<Vec<Policy>, PolicyFileError> {
    check(&SourceFile::read(path)?)
}

/// Checks what was read from a policy file of this name.
///
/// # Errors
/// All mistakes in it, each with file, line, column, key and what was expected.
pub fn parse(path: &Path, text: String) -> Result<Vec<Policy>, PolicyFileError> {
    check(&SourceFile::parse(path, text)?)
}

fn check(source: &SourceFile) -> Result<Vec<Policy>, PolicyFileError> {
    let mut problems = Vec::new();
    let mut policies: Vec<Policy> = Vec::new();
    for (index, value) in tables(source, &mut problems).iter().enumerate() {
        let at = |rest: &[&str]| {
            let mut path = vec!["policy".to_owned(), index.to_string()];
            path.extend(rest.iter().map(ToString::to_string));
            path
        };
        let policy = match PolicySource::deserialize(value) {
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| {
                    let mut path = at(&[]);
                    path.extend(error.path.iter().cloned());
                    Problem { path, reason: reason(&error.kind) }
                }));
                continue;
            }
            Ok(policy) => policy,
        };
        match Policy::try_from(policy) {
            Err(error) => {
                let path = at(&error.key().split('.').collect::<Vec<_>>());
                problems.push(Problem { path, reason: error.to_string() });
            }
            Ok(policy) => {
                if let Err(error) = Pattern::check(&policy.pattern) {
                    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
                    let reason = format!("not a regular expression: {error}");
                    problems.push(Problem { path: at(&["pattern"]), reason });
                }
                for (nth, key, reason) in uris(&policy) {
                    problems.push(Problem { path: at(&["multi-active", "sites", &nth.to_string(), key]), reason });
                }
                let twin = policies.iter().any(|other| (&other.name, &other.vhost) == (&policy.name, &policy.vhost));
                if twin {
                    let reason = format!("vhost {:?} has another policy {:?} above", policy.vhost, policy.name);
                    problems.push(Problem { path: at(&["name"]), reason });
                }
                policies.push(policy);
            }
        }
    }
    if problems.is_empty() {
        return Ok(policies);
    }
    let places = problems.into_iter().map(|problem| (source.locate(&problem.path), problem));
    Err(PolicyFileError::Invalid(places.collect()))
}

/// What is wrong with the URIs of a policy's sites: which site, key and reason.
fn uris(policy: &Policy) -> Vec<(usize, &'static str, String)> {
    let Some(Link::Sites(sites)) = &policy.link else { return Vec::new() };
    let wrong = |uri: &String| match uri.parse::<Uri>() {
        Err(error) => Some(error.to_string()),
        Ok(uri) if uri.is_local() => Some("a URI without a host is this cluster itself".to_owned()),
        Ok(_) => None,
    };
    let sites = sites.sites.iter().enumerate();
    sites.filter_map(|(nth, site)| Some((nth, "uri", site.uris.iter().find_map(wrong)?))).collect()
}

/// The `[[policy]]` tables; anything else at the top is a mistake.
fn tables(source: &SourceFile, problems: &mut Vec<Problem>) -> Vec<Value> {
    let figment = Figment::from(Toml::string(source.text()));
    let top = match figment.extract::<figment::value::Dict>() {
        Ok(top) => top,
        Err(error) => {
            problems.push(Problem { path: error.path, reason: reason(&error.kind) });
            return Vec::new();
        }
    };
    let mut tables = Vec::new();
    for (key, value) in top {
        match value {
            Value::Array(_, policies) if key == "policy" => tables = policies,
            _ if key == "policy" => problems.push(Problem::new("policy", "expected [[policy]] tables")),
            _ => {
                let reason = "unknown key, expected [[policy]] tables";
                problems.push(Problem { path: vec![key], reason: reason.to_owned() });
            }
        }
    }
    tables
}

/// What an operator should know of policies that are well formed.
#[must_use]
pub fn warnings(policies: &[Policy]) -> Vec<String> {
    let mut warnings = Vec::new();
    for policy in policies {
        warnings.extend(open_passwords(policy));
        let (replicas, minimum) = match &policy.mode {
            Some(Mode::Mirror(mirror)) => match &mirror.replicas {
                Replicas::Nodes(names) => (names.len(), mirror.min_in_sync),
                Replicas::Count(count) => (*count as usize, mirror.min_in_sync),
                Replicas::All => continue,
            },
            Some(Mode::PrimaryBackup(settings)) => (settings.nodes.len(), settings.min_in_sync),
            None => continue,
        };
        let name = &policy.name;
        match (replicas, minimum.of(replicas)) {
            (1, _) => warnings.push(format!(
                "policy {name:?}: one replica, so its queues are not available while that node is down, \
                 and are lost with its disk"
            )),
            (2, minimum) => {
                // §6.9: which nodes keep the catalog is the cluster's business;
                // the file can only say what two of them mean.
                warnings.push(format!(
                    "policy {name:?}: two replicas. If the cluster has two nodes only, it cannot lose either: \
                     the other alone is no majority of the catalog, elects nobody, and the queues stop until both \
                     are back. A third node, which needs to hold no queues, decides which one leads"
                ));
                if minimum == 2 {
                    warnings.push(format!(
                        "policy {name:?}: min-in-sync is 2 of 2 replicas, so nothing is confirmed while one is \
                         down; min-in-sync = 1 goes on, on one disk"
                    ));
                }
            }
            (_, minimum) if minimum as usize == replicas => warnings.push(format!(
                "policy {name:?}: min-in-sync is all {replicas} replicas, so nothing is confirmed while one is down"
            )),
            _ => {}
        }
    }
    warnings
}

/// Passwords of sites that the file holds, and with it the catalog.
fn open_passwords(policy: &Policy) -> Vec<String> {
    let Some(Link::Sites(sites)) = &policy.link else { return Vec::new() };
    let own = |uri: &String| uri.parse::<Uri>().is_ok_and(|uri| uri.password != "guest");
    let open = sites.sites.iter().filter(|site| site.credentials.is_none() && site.uris.iter().any(own));
    open.map(|site| {
        format!(
            "policy {:?}: the URI of site {:?} holds a password; `credentials-file` or `credentials-env` keeps it \
             out of the policy",
            policy.name, site.name
        )
    })
    .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[policy]]
name = "orders"
pattern = "^orders\\."
priority = 10
mode = "mirror"
mirror = { replicas = 3, min-in-sync = 2, leaders = "balanced" }

[[policy]]
name = "named"
vhost = "shop"
pattern = ".*"
apply-to = "queues"
mode = "mirror"
mirror = { replicas = ["a", "b"], min-in-sync = 1, leaders = "first" }
"#;

    fn complaint(text: &str) -> String {
        parse(Path::new("p.toml"), text.to_owned()).unwrap_err().to_string()
    }

    #[test]
    fn a_good_file_gives_its_policies_in_order() {
        let policies = parse(Path::new("p.toml"), GOOD.to_owned()).unwrap();
        assert_eq!(policies.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["orders", "named"]);
        assert_eq!(policies[0].priority, 10);
        assert_eq!(policies[1].vhost, "shop");
        assert!(parse(Path::new("p.toml"), String::new()).unwrap().is_empty());
    }

    #[test]
    fn the_sample_files_are_good_and_give_no_warning() {
        for sample in ["policy.toml", "sites.toml"] {
            let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(sample);
            let policies = read(&sample).unwrap();
            assert!(!policies.is_empty());
            assert_eq!(warnings(&policies), Vec::<String>::new());
        }
    }

    #[test]
    fn mistakes_name_line_and_key() {
        for (text, expected) in [
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\napply-to = \"exchanges\"\nmode = \"multi-active\"\nmulti-active = { scope = \"all\", sites = [] }\n",
                "p.toml:6:18: policy[0].multi-active.scope: `multi-active.scope`: is \"all\", expected",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\napply-to = \"exchanges\"\nmode = \"multi-active\"\nmulti-active = { scope = \"exchange\", sites = [\n  { name = \"b\", uri = \"http://b\" },\n] }\n",
                "p.toml:7:17: policy[0].multi-active.sites[0].uri: invalid AMQP URI",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nmode = \"multi-active\"\n",
                "p.toml:1:1: policy[0].multi-active: `multi-active`: is missing",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nmode = \"miror\"\n",
                "p.toml:4:1: policy[0].mode: unknown mode \"miror\"",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nlimits = { message-ttl = \"1 year\" }\n",
                "p.toml:4:12: policy[0].limits.message-ttl: ",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\ndefinition = { ha-mode = \"some\" }\n",
                "p.toml:4:1: policy[0].definition: `ha-mode` must be",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nmode = \"primary-backup\"\nprimary-backup = { nodes = [\"a\", \"a\"] }\n",
                "p.toml:5:20: policy[0].primary-backup.nodes: `primary-backup.nodes`: names 'a' twice",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"(\"\nmode = \"mirror\"\n",
                "p.toml:3:1: policy[0].pattern: not a regular expression",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nmode = \"mirror\"\nmirror = { replicas = 2, min-in-sync = 3 }\n",
                "p.toml:5:26: policy[0].mirror.min-in-sync: `mirror.min-in-sync`: 3 is more than the 2 replicas",
            ),
            (
                "[[policy]]\nname = \"a\"\npattern = \"x\"\nmode = \"mirror\"\nmirror = { replicaz = 2 }\n",
                "p.toml:5:12: policy[0].mirror.replicaz: unknown key, expected one of leaders, min-in-sync, promote-on-shutdown, replicas",
            ),
            ("[[policy]]\nname = \"a\"\nmode = \"mirror\"\n", "p.toml:1:1: policy[0]: missing field"),
            ("\n[policies]\n", "p.toml:2:2: policies: unknown key"),
            ("policy = 3\n", "p.toml:1:1: policy: expected [[policy]] tables"),
        ] {
            let found = complaint(text);
            assert!(found.starts_with(expected), "{text}\n{found}");
        }
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let found = complaint(&format!("{GOOD}{GOOD}").replace("leaders = \"balanced\"", "leaders = \"loud\""));
        assert_eq!(found.lines().count(), 3, "{found}");
        assert!(found.contains("has another policy \"named\" above"), "{found}");
    }

    #[test]
    fn two_voters_are_warned_of() {
        let policies = parse(Path::new("p.toml"), GOOD.to_owned()).unwrap();
        let warnings = warnings(&policies);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("no majority of the catalog"), "{warnings:?}");
    }
}
