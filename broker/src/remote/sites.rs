//! Multi-active: the links by which this cluster takes from every other site what
//! was published there, and what drains it or gives another up for lost.
//!
//! A site's link queue at another site holds what the one has not taken yet. Each
//! of its messages is known by its place in it (`warren_shard::origin`), so that
//! it arrives once whatever fails in between (§4.8). What came over such a link is
//! not put into the link queues here: every site takes from every other itself.
//!
//! Where queues are shared, a link takes from the queue of the same name at another
//! site, while consumers wait here, what that consigns to this site (§4.9).

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use warren_amqp::{FieldTable, Value};
use warren_membership::catalog::{ParameterKey, Queue, State};
use warren_replication::plan::{Credentials, Link, Scope, Site, Sites};
use warren_shard::origin;

use super::connector::Connector;
use super::error::LinkError;
use super::federation::{self, Here};
use super::json::{self, OneOrMany};
use super::mark::{Hops, Marks, RECEIVED_FROM, WARREN};
use super::plan::{AckMode, Extent, From, Kind, LinkKey, LinkPlan, Origin, QueuePlan, SourcePlan, TargetPlan, To};
use crate::client::Uri;

/// The argument that names a site: of a link queue, the one for which it waits; of a
/// consumer, the one whose link it is.
pub const FOR_SITE: &str = "x-warren-site";
/// The component of the parameter that drains this site, in each of its vhosts.
const DRAIN: &str = "site-drain";
/// The component of the parameters that give sites up for lost, by their names.
const LOST: &str = "site-lost";
/// In the server's properties: whether its clients are turned away.
pub const DRAINED: &str = "site_drained";

/// The site that has to be at the far end of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FarEnd {
    /// Its cluster's name.
    name: String,
    credentials: Option<Credentials>,
}

/// The link that takes from a site what its exchange of the same name routes.
pub(super) fn exchange_link(
    here: Here<'_>,
    catalog: &State,
    exchange: &str,
    sites: &Sites,
    site: &Site,
) -> Result<LinkPlan, String> {
    let uris = json::uris("uri", &OneOrMany::Many(site.uris.clone()), here.vhost)?;
    if uris.iter().any(Uri::is_local) {
        return Err(format!("site '{}': a URI without a host is this cluster itself", site.name));
    }
    let found = catalog.exchange(here.vhost, exchange).map_err(|refusal| refusal.to_string())?;
    let arguments = FieldTable::from([
        ("x-internal-purpose", Value::from("federation")),
        (FOR_SITE, Value::text(here.cluster.to_owned())),
    ]);
    let queue = QueuePlan { name: federation::queue_name(exchange, here, exchange), arguments: Some(arguments) };
    // Bindings that other sites' links made are theirs to make there.
    let bindings = federation::bindings(here, catalog, exchange, 1);
    let shown = uris.first().map(|uri| Uri { username: String::new(), password: String::new(), ..uri.clone() });
    let passed = FieldTable::from([
        ("uri", Value::text(shown.map(|uri| uri.to_string()).unwrap_or_default())),
        ("exchange", Value::text(exchange.to_owned())),
        ("vhost", Value::text(uris.first().map(|uri| uri.vhost.clone()).unwrap_or_default())),
    ]);
    let others = sites.sites.iter().map(|other| &other.name).filter(|other| **other != site.name);
    let marks = Marks {
        passed: Some((RECEIVED_FROM, passed)),
        hops: Some(Hops {
            max: usize::MAX,
            here: (here.cluster.to_owned(), here.vhost.to_owned()),
            // They are linked with themselves.
            direct: others.cloned().collect(),
        }),
        ..Marks::default()
    };
    Ok(LinkPlan {
        key: LinkKey {
            kind: Kind::Site,
            vhost: here.vhost.to_owned(),
            name: exchange.to_owned(),
            upstream: site.name.clone(),
        },
        origin: Origin::Policy,
        source: SourcePlan {
            uris,
            from: From::Federated {
                exchange: exchange.to_owned(),
                kind: found.kind.name().to_owned(),
                queue,
                bindings,
            },
            prefetch: sites.prefetch,
            consumer: FieldTable::from([(origin::HEADER, Value::from(true))]),
            site: Some(FarEnd { name: site.name.clone(), credentials: site.credentials.clone() }),
        },
        target: TargetPlan {
            uris: vec![Uri::local(here.vhost)],
            to: To::Exchange { name: Some(exchange.to_owned()), key: None },
        },
        ack: AckMode::OnConfirm,
        extent: Extent::Forever,
        marks,
        reconnect: Some(std::time::Duration::from_secs(sites.reconnect_delay.into())),
    })
}

/// The link that moves what waits in another site's queue of this name to here.
pub(super) fn queue_link(here: Here<'_>, queue: &str, sites: &Sites, site: &Site) -> Result<LinkPlan, String> {
    let uris = json::uris("uri", &OneOrMany::Many(site.uris.clone()), here.vhost)?;
    if uris.iter().any(Uri::is_local) {
        return Err(format!("site '{}': a URI without a host is this cluster itself", site.name));
    }
    let there = || QueuePlan { name: queue.to_owned(), arguments: None };
    Ok(LinkPlan {
        key: LinkKey {
            kind: Kind::SiteQueue,
            vhost: here.vhost.to_owned(),
            name: queue.to_owned(),
            upstream: site.name.clone(),
        },
        origin: Origin::Policy,
        source: SourcePlan {
            uris,
            from: From::Queue(there()),
            prefetch: sites.prefetch,
            consumer: FieldTable::from([(FOR_SITE, Value::text(here.cluster.to_owned()))]),
            site: Some(FarEnd { name: site.name.clone(), credentials: site.credentials.clone() }),
        },
        target: TargetPlan { uris: vec![Uri::local(here.vhost)], to: To::Queue(there()) },
        ack: AckMode::OnConfirm,
        extent: Extent::Forever,
        marks: Marks::default(),
        reconnect: Some(std::time::Duration::from_secs(sites.reconnect_delay.into())),
    })
}

/// Whether a site says of itself that it is drained: everything is to be fetched.
pub(super) fn is_drained(server: &FieldTable) -> bool {
    server.get(DRAINED).is_some_and(|drained| drained.as_bool() == Some(true))
}

impl FarEnd {
    /// The URI with what this node knows to log in with.
    pub(super) fn complete(&self, uri: &Uri) -> Result<Uri, LinkError> {
        let failed = |what: String| LinkError::Credentials { site: self.name.clone(), what };
        let text = match &self.credentials {
            None => return Ok(uri.clone()),
            Some(Credentials::File(path)) => {
                std::fs::read_to_string(path).map_err(|error| failed(format!("{path}: {error}")))?
            }
            Some(Credentials::Env(name)) => std::env::var(name).map_err(|error| failed(format!("{name}: {error}")))?,
        };
        let (username, password) =
            text.trim().split_once(':').ok_or_else(|| failed("expected user:password".to_owned()))?;
        Ok(Uri { username: username.to_owned(), password: password.to_owned(), ..uri.clone() })
    }

    /// Makes sure that it is this site that answers there, before anything is made.
    pub(super) async fn check(&self, connector: &Connector, uri: &Uri, plan: &LinkPlan) -> Result<(), LinkError> {
        let client = connector.connect(uri, &plan.key.to_string()).await.map_err(LinkError::source)?;
        let product = client.server_properties().get("product");
        let product = product.as_ref().and_then(Value::as_str).map(str::to_owned);
        let said = client.server_properties().get("cluster_name");
        let said = said.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        client.close().await.map_err(LinkError::source)?;
        match product.as_deref() {
            _ if said != self.name => Err(LinkError::Stranger { expected: self.name.clone(), said }),
            Some(WARREN) => Ok(()),
            // It consigns nothing.
            _ if plan.key.kind == Kind::SiteQueue => Err(LinkError::NoWarren(said)),
            _ => Ok(()),
        }
    }
}

/// The site that a queue's messages wait for, if it is a link's.
#[must_use]
pub fn site_of(queue: &Queue) -> Option<&str> {
    queue.arguments.get(FOR_SITE)?.as_str()
}

/// The multi-active policies of a vhost, or of all, and whom each names.
pub fn policies<'a>(catalog: &'a State, vhost: Option<&'a str>) -> impl Iterator<Item = (&'a str, &'a Sites)> {
    let wanted = move |of: &str| vhost.is_none_or(|vhost| vhost == of);
    catalog.policies().iter().filter(move |policy| wanted(&policy.vhost)).filter_map(|policy| match &policy.link {
        Some(Link::Sites(sites)) => Some((policy.vhost.as_str(), sites)),
        _ => None,
    })
}

/// Whether a policy shares a queue with this site, and it is not given up for lost.
#[must_use]
pub fn shares_queue(catalog: &State, vhost: &str, queue: &str, site: &str) -> bool {
    let Some(Link::Sites(sites)) = catalog.policies().queue_link(vhost, queue) else { return false };
    sites.scope == Scope::Queue && sites.sites.iter().any(|other| other.name == site) && !lost(catalog).contains(site)
}

/// The sites that are given up for lost.
#[must_use]
pub fn lost(catalog: &State) -> BTreeSet<String> {
    catalog.parameters().of(LOST).map(|(key, _)| key.name.clone()).collect()
}

/// The parameter that gives a site up, with what it says; `None`: there is no vhost.
#[must_use]
pub fn gives_up(catalog: &State, site: &str) -> Option<(ParameterKey, String)> {
    // One that no policy names any more may have something yet.
    let mut named = policies(catalog, None).filter(|(_, sites)| sites.sites.iter().any(|other| other.name == site));
    let vhost = named.next().map(|(vhost, _)| vhost).or_else(|| catalog.vhosts().next().map(|(vhost, _)| vhost))?;
    let key = ParameterKey { component: LOST.to_owned(), vhost: vhost.to_owned(), name: site.to_owned() };
    Some((key, serde_json::json!({ "since": now() }).to_string()))
}

/// The parameters by which a site is given up.
#[must_use]
pub fn admits(catalog: &State, site: &str) -> Vec<ParameterKey> {
    catalog.parameters().of(LOST).map(|(key, _)| key.clone()).filter(|key| key.name == site).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn drain_key(vhost: &str) -> ParameterKey {
    ParameterKey { component: DRAIN.to_owned(), vhost: vhost.to_owned(), name: DRAIN.to_owned() }
}

/// The parameters that drain this site: one in each vhost with a multi-active policy.
#[must_use]
pub fn drains(catalog: &State) -> Vec<(ParameterKey, String)> {
    let now = now();
    let mut vhosts: Vec<&str> = policies(catalog, None).map(|(vhost, _)| vhost).collect();
    vhosts.sort_unstable();
    vhosts.dedup();
    vhosts.into_iter().map(|vhost| (drain_key(vhost), serde_json::json!({ "since": now }).to_string())).collect()
}

/// The parameters by which it is drained now.
#[must_use]
pub fn drained(catalog: &State) -> Vec<ParameterKey> {
    catalog.parameters().of(DRAIN).map(|(key, _)| key.clone()).collect()
}

/// Where clients of a vhost have to go while this site is drained.
#[must_use]
pub fn turned_away(catalog: &State, vhost: &str) -> Option<String> {
    catalog.parameters().get(&drain_key(vhost))?;
    let mut others = Vec::new();
    for site in policies(catalog, Some(vhost)).flat_map(|(_, sites)| &sites.sites) {
        let hosts: Vec<String> =
            site.uris.iter().filter_map(|uri| uri.parse().ok()).map(|uri: Uri| uri.authority).collect();
        let other = format!("site '{}' at {}", site.name, hosts.join(", "));
        if !others.contains(&other) {
            others.push(other);
        }
    }
    let others = if others.is_empty() { "another site".to_owned() } else { others.join(" or ") };
    Some(format!("this site is drained; connect to {others}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::io::Write;

    use warren_membership::catalog::Command;

    use super::*;

    fn sites() -> Sites {
        let site = |name: &str| Site { name: name.into(), uris: vec![format!("amqp://{name}:1")], credentials: None };
        Sites { scope: Scope::Exchange, sites: vec![site("b"), site("c")], prefetch: 7, reconnect_delay: 1 }
    }

    fn catalog() -> State {
        let mut state = State::default();
        state.apply(&Command::PutVhost { name: "/".into() }).0.unwrap();
        state
    }

    #[test]
    fn a_sites_link_asks_where_messages_are_from_and_takes_none_that_come_otherwise() {
        let (catalog, sites, here) = (catalog(), sites(), Here { cluster: "a", vhost: "/" });
        let plan = exchange_link(here, &catalog, "amq.topic", &sites, &sites.sites[0]).unwrap();
        assert_eq!(plan.source.consumer.get(origin::HEADER), Some(Value::from(true)));
        let From::Federated { queue, .. } = &plan.source.from else { panic!("not federated") };
        assert_eq!(queue.name, "federation: amq.topic -> a");
        assert_eq!(queue.arguments.as_ref().unwrap().get(FOR_SITE), Some(Value::from("a")));
        let hops = plan.marks.hops.unwrap();
        assert_eq!((hops.max, hops.direct), (usize::MAX, vec!["c".to_owned()]));
        let local = Site { uris: vec!["amqp://".into()], ..sites.sites[0].clone() };
        assert!(exchange_link(here, &catalog, "amq.topic", &sites, &local).is_err());
    }

    #[test]
    fn credentials_are_read_where_the_link_runs() {
        let uri: Uri = "amqp://h:1/v".parse().unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "me:se:cret").unwrap();
        let path = file.path().display().to_string();
        let end = |credentials| FarEnd { name: "b".into(), credentials };
        let complete = end(Some(Credentials::File(path))).complete(&uri).unwrap();
        assert_eq!((complete.username.as_str(), complete.password.as_str()), ("me", "se:cret"));
        assert_eq!(complete.vhost, "v");
        assert_eq!(end(None).complete(&uri).unwrap(), uri);
        let missing = end(Some(Credentials::Env("WARREN_NO_SUCH".into()))).complete(&uri).unwrap_err();
        assert!(missing.to_string().contains("WARREN_NO_SUCH"), "{missing}");
    }
}
