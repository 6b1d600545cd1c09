//! The open connections of a node: who, where, with how many channels. They are
//! counted against limits here, and found here by whoever else closes them.
//!
//! The limits of vhosts and users are of the whole cluster: what clients use on
//! the other nodes is known from gossip, and so up to a second old. Clients that
//! connect to several nodes at the same moment can exceed a limit by as many.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use warren_membership::Usage;

use super::access::Access;
use super::fault::Fault;
use super::ports::Broker;

/// All connections whose vhost is open.
#[derive(Debug, Default)]
pub struct Registry {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: FxHashMap<u64, Entry>,
    /// Connections by vhost; none that is 0.
    vhosts: FxHashMap<String, u64>,
    /// Connections and channels by user; none without a connection.
    users: FxHashMap<String, (u64, u64)>,
    channels: u64,
}

#[derive(Debug)]
struct Entry {
    access: Access,
    close: Option<oneshot::Sender<String>>,
}

impl Registry {
    /// Takes a connection in if its node, vhost and user have room for it.
    ///
    /// # Errors
    /// Which limit is reached, in RabbitMQ's words.
    pub fn enter(
        self: &Arc<Self>,
        broker: &dyn Broker,
        max_connections: usize,
        number: u64,
        access: &Access,
    ) -> Result<Seat, Fault> {
        let Access { user, vhost, internal, .. } = access;
        let (of_vhost, of_user) = {
            let catalog = broker.catalog();
            let of_vhost = catalog.vhost(vhost)?.limits.max_connections;
            // Limits are for clients; the node's own links don't count.
            let limited = !internal;
            let of_user = catalog.user(user).and_then(|user| user.limits.max_connections);
            (of_vhost.filter(|_| limited), of_user.filter(|_| limited))
        };
        let elsewhere = if of_vhost.or(of_user).is_some() { broker.usage_elsewhere() } else { Usage::default() };
        let mut open = self.open.lock();
        if !internal && open.connections.len() >= max_connections {
            return Err(Fault::not_allowed(format_args!(
                "connection refused: node connection limit ({max_connections}) is reached"
            )));
        }
        let there = |known: Option<&u64>| known.copied().unwrap_or_default();
        let in_vhost = there(open.vhosts.get(vhost)) + there(elsewhere.vhosts.get(vhost));
        if let Some(limit) = of_vhost.filter(|limit| in_vhost >= *limit) {
            return Err(Fault::not_allowed(format_args!(
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
            )));
        }
        let by_user =
            open.users.get(user).map_or(0, |known| known.0) + elsewhere.users.get(user).map_or(0, |known| known.0);
        if let Some(limit) = of_user.filter(|limit| by_user >= *limit) {
            return Err(Fault::not_allowed(format_args!(
                "connection refused for user '{user}': user connection limit ({limit}) is reached"
            )));
        }
        *open.vhosts.entry(vhost.clone()).or_default() += 1;
        open.users.entry(user.clone()).or_default().0 += 1;
        let (close, closed) = oneshot::channel();
        open.connections.insert(number, Entry { access: access.clone(), close: Some(close) });
        Ok(Seat { registry: Arc::clone(self), number, access: access.clone(), channels: 0, closed })
    }

    /// Open connections.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.open.lock().connections.len()
    }

    /// Open channels.
    #[must_use]
    pub fn channels(&self) -> u64 {
        self.open.lock().channels
    }

    /// What this node's clients use of what is limited.
    #[must_use]
    pub fn usage(&self, broker: &dyn Broker) -> Usage {
        let catalog = broker.catalog();
        let open = self.open.lock();
        let is_limited = |vhost: &str| catalog.vhost(vhost).is_ok_and(|vhost| vhost.limits.max_connections.is_some());
        let vhosts = open.vhosts.iter().filter(|(vhost, _)| is_limited(vhost));
        let is_bound = |user: &str| catalog.user(user).is_some_and(|user| user.limits != Default::default());
        let users = open.users.iter().filter(|(user, _)| is_bound(user));
        Usage {
            vhosts: vhosts.map(|(vhost, count)| (vhost.clone(), *count)).collect(),
            users: users.map(|(user, counts)| (user.clone(), *counts)).collect(),
        }
    }

    /// Closes (320) the connections for which there is a reason.
    pub fn close(&self, reason: impl Fn(&Access) -> Option<String>) {
        for entry in self.open.lock().connections.values_mut() {
            let reason = reason(&entry.access);
            if let Some((close, reason)) = reason.and_then(|reason| Some((entry.close.take()?, reason))) {
                // One that is closing anyway does not listen.
                let _ = close.send(reason);
            }
        }
    }
}

/// An open connection's place in the registry; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Arc<Registry>,
    number: u64,
    access: Access,
    channels: u64,
    closed: oneshot::Receiver<String>,
}

impl Seat {
    /// Counts a channel that opens, if the user may have another one.
    ///
    /// # Errors
    /// The limit is reached.
    pub fn open_channel(&mut self, broker: &dyn Broker) -> Result<(), Fault> {
        let user = &self.access.user;
        let limit = broker.catalog().user(user).and_then(|user| user.limits.max_channels);
        let elsewhere = limit.and_then(|_| broker.usage_elsewhere().users.get(user).copied()).unwrap_or_default();
        let mut open = self.registry.open.lock();
        if let Some(known) = open.users.get_mut(user) {
            if let Some(limit) = limit.filter(|limit| known.1 + elsewhere.1 >= *limit) {
                return Err(Fault::not_allowed(format_args!(
                    "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
                )));
            }
            known.1 += 1;
        }
        open.channels += 1;
        self.channels += 1;
        Ok(())
    }

    /// A channel is closed.
    pub fn close_channel(&mut self) {
        self.channels -= 1;
        self.registry.open.lock().close_channels(&self.access.user, 1);
    }

    /// Why somebody else than its client closes the connection, once that is so.
    pub async fn closed(&mut self) -> String {
        match (&mut self.closed).await {
            Ok(reason) => reason,
            // Its entry goes with this seat.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Open {
    fn close_channels(&mut self, user: &str, channels: u64) {
        self.channels -= channels;
        if let Some(known) = self.users.get_mut(user) {
            known.1 -= channels;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Access { user, vhost, .. } = &self.access;
        let mut open = self.registry.open.lock();
        open.close_channels(user, self.channels);
        open.connections.remove(&self.number);
        if let Some(count) = open.vhosts.get_mut(vhost) {
            *count -= 1;
            if *count == 0 {
                open.vhosts.remove(vhost);
            }
        }
        if let Some(known) = open.users.get_mut(user) {
            known.0 -= 1;
            if known.0 == 0 {
                open.users.remove(user);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use warren_amqp::{channel, connection};
    use warren_membership::catalog::{Command, UserLimits, VhostLimits};

    use super::*;
    use crate::connection::Settings;
    use crate::connection::testing::{Client, Node, short};

    fn limit_vhost(node: &Node, max_connections: Option<u64>) {
        let limits = VhostLimits { max_connections, ..VhostLimits::default() };
        node.broker.agree(Command::LimitVhost { name: "/".into(), limits });
    }

    fn limit_user(node: &Node, max_connections: Option<u64>, max_channels: Option<u64>) {
        let limits = UserLimits { max_connections, max_channels };
        node.broker.agree(Command::LimitUser { name: "guest".into(), limits });
    }

    async fn expect_no_room(node: &Node, text: &str) {
        let mut client = node.raw();
        client.login("guest", "guest", true).await;
        client.tune(connection::TuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 }).await;
        client.send(0, connection::Open { virtual_host: short("/"), ..Default::default() }).await;
        client.expect_close(530, text).await;
    }

    #[tokio::test]
    async fn connections_beyond_a_limit_are_refused_with_rabbitmqs_words() {
        let node = Node::with(Settings { max_connections: 3, ..Settings::default() });
        let first = node.connect().await;
        limit_vhost(&node, Some(1));
        let full = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is reached";
        expect_no_room(&node, full).await;
        limit_vhost(&node, None);
        limit_user(&node, Some(1), None);
        let full = "NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is reached";
        expect_no_room(&node, full).await;
        limit_user(&node, None, None);
        let others = (node.connect().await, node.connect().await);
        expect_no_room(&node, "NOT_ALLOWED - connection refused: node connection limit (3) is reached").await;
        first.hang_up().await;
        drop((node.connect().await, others));
    }

    #[tokio::test]
    async fn what_clients_of_other_nodes_use_counts_as_well() {
        let node = Node::new();
        limit_vhost(&node, Some(3));
        let one = node.connect().await;
        let vhosts = [("/".to_owned(), 2)].into();
        node.broker.use_elsewhere(Usage { vhosts, ..Usage::default() });
        let full = "NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (3) is reached";
        expect_no_room(&node, full).await;
        assert_eq!(node.front.registry.usage(&*node.broker).vhosts, [("/".to_owned(), 1)].into());
        one.hang_up().await;
        assert_eq!(node.front.registry.usage(&*node.broker), Usage::default());
        node.connect().await;
    }

    #[tokio::test]
    async fn a_users_channels_are_counted_over_all_its_connections() {
        let node = Node::new();
        limit_user(&node, None, Some(2));
        let full = "NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed user limit of (2)";
        let mut one = node.channel().await;
        let mut two = node.channel().await;
        two.send(2, channel::Open::default()).await;
        two.expect_close(530, full).await;
        one.open_channel(2).await;
        one.send(2, channel::Close::default()).await;
        assert!(matches!(one.method().await, (2, warren_amqp::Method::ChannelCloseOk(_))));
        one.open_channel(3).await;
        assert_eq!(node.front.registry.channels(), 2);
        one.hang_up().await;
        assert_eq!((node.front.registry.channels(), node.front.registry.connections()), (0, 0));
    }

    #[tokio::test]
    async fn connections_of_whoever_is_gone_are_closed() {
        let node = Node::new();
        let (mine, mut others): (Client, Client) = (node.channel().await, node.connect().await);
        node.front.registry.close(|_| None);
        others.open_channel(1).await;
        node.front.registry.close(|access| (access.user == "guest").then(|| "user 'guest' is deleted".to_owned()));
        mine.expect_close(320, "CONNECTION_FORCED - user 'guest' is deleted").await;
    }
}
