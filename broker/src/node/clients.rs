//! What the other nodes are told of this one's clients, for placement and for
//! limits that are of the whole cluster; and who of these clients has to go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use warren_membership::catalog::State;
use warren_membership::{Load, Usage};

use super::handle::Node;
use crate::connection::Front;
use crate::connection::access::Access;

/// How often the load is told.
const LOAD: Duration = Duration::from_secs(2);
/// How often it is looked at what clients use of what is limited.
const USAGE: Duration = Duration::from_millis(250);

/// Tells the other nodes how much there is to do here, for placement and show.
pub(super) async fn report_load(node: Arc<Node>, front: Arc<Front>) {
    let mut ticks = tokio::time::interval(LOAD);
    loop {
        ticks.tick().await;
        let queues_led = node.membership.state().led_by(node.membership.process().node) as u64;
        node.membership.set_load(Load { queues_led, connections: front.registry.connections() as u64 });
    }
}

/// Tells the other nodes what clients use here of what is limited.
pub(super) async fn report_usage(node: Arc<Node>, front: Arc<Front>) {
    let mut ticks = tokio::time::interval(USAGE);
    let mut told = Usage::default();
    loop {
        ticks.tick().await;
        let usage = front.registry.usage(&*front.broker);
        if usage != told {
            node.membership.set_usage(usage.clone());
            told = usage;
        }
    }
}

/// Closes the connections of users and vhosts that are no more, as RabbitMQ does,
/// and those of vhosts whose primary another node is now.
pub(super) async fn evict(node: Arc<Node>, front: Arc<Front>, mut changed: watch::Receiver<()>) {
    while changed.changed().await.is_ok() {
        let catalog = node.membership.state();
        let here = node.membership.process().node;
        front.registry.close(|access| gone(&catalog, access).or_else(|| access.turned_away(&catalog, here)));
    }
}

/// Why a connection is nobody's any more, if it is not.
fn gone(catalog: &State, access: &Access) -> Option<String> {
    // A link is nobody in particular.
    if !access.internal && catalog.user(&access.user).is_none() {
        return Some(format!("user '{}' is deleted", access.user));
    }
    catalog.vhost(&access.vhost).is_err().then(|| format!("vhost '{}' is deleted", access.vhost))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use warren_membership::catalog::Command;

    use super::*;

    #[test]
    fn links_stay_when_users_change_and_go_with_their_vhost() {
        let mut catalog = State::default();
        catalog.apply(&Command::PutVhost { name: "/".into() }).0.unwrap();
        let client = Access { user: "gone".into(), vhost: "/".into(), internal: false, visitor: None };
        assert_eq!(gone(&catalog, &client).as_deref(), Some("user 'gone' is deleted"));
        assert_eq!(gone(&catalog, &Access::link("/")), None);
        assert_eq!(gone(&catalog, &Access::link("v")).as_deref(), Some("vhost 'v' is deleted"));
    }
}
