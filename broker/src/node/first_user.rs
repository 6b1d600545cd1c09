//! The first administrator and the default vhost of a new cluster, as RabbitMQ
//! makes them. Every node makes sure of them when it starts and finds no user at
//! all; doing it twice changes nothing.

use std::collections::BTreeSet;

use warren_membership::Membership;
use warren_membership::catalog::{Command, Permissions};

use super::NodeError;
use crate::auth;
use crate::config::UserConfig;

const VHOST: &str = "/";

/// Makes them unless the catalog has a user.
pub(super) async fn ensure(membership: &Membership, users: &UserConfig) -> Result<(), NodeError> {
    if membership.state().users().len() > 0 {
        return Ok(());
    }
    let user = users.default_user.clone();
    let password_hash =
        auth::hash(users.default_password.clone()).await.map_err(|error| NodeError::FirstUser(error.to_string()))?;
    let tags = BTreeSet::from(["administrator".to_owned()]);
    let permissions = Permissions::all();
    for command in [
        Command::PutVhost { name: VHOST.to_owned() },
        Command::PutUser { name: user.clone(), password_hash, tags },
        Command::SetPermissions { user, vhost: VHOST.to_owned(), permissions },
    ] {
        membership.propose(command).await.map_err(|error| NodeError::FirstUser(error.to_string()))?;
    }
    Ok(())
}
