//! What this connection's user may do in its vhost.

use warren_amqp::ReplyCode;
use warren_membership::catalog::{Refusal, Resource, State, Verb};
use warren_replication::types::NodeId;

use super::fault::Fault;

/// Who is connected, and where.
#[derive(Clone, Debug)]
pub struct Access {
    /// The user.
    pub user: String,
    /// The vhost.
    pub vhost: String,
}

impl Access {
    /// Whether the user may do that.
    ///
    /// # Errors
    /// 403 with RabbitMQ's text.
    pub fn check(&self, catalog: &State, verb: Verb, resource: &Resource) -> Result<(), Fault> {
        if catalog.may(&self.user, &self.vhost, verb, resource.name()) {
            return Ok(());
        }
        let shown = match resource {
            Resource::Exchange { vhost, name } if name.is_empty() => Resource::exchange(vhost, "amq.default"),
            other => other.clone(),
        };
        Err(Fault::access_refused(format_args!("access to {shown} refused for user '{}'", self.user)))
    }

    /// Whether this node serves clients of the vhost: a backup does not.
    ///
    /// # Errors
    /// 320, naming the primary.
    pub fn check_served(&self, catalog: &State, node: NodeId) -> Result<(), Fault> {
        let Some((group, primary)) = catalog.turns_away(&self.vhost, node) else { return Ok(()) };
        let (vhost, policy) = (&self.vhost, &group.policy);
        let whither = match primary {
            Some(primary) => format!("connect to its primary '{}' at {}", primary.name, primary.addresses.amqp),
            None => "it has no primary now".to_owned(),
        };
        let text = format_args!("this node is a backup of policy '{policy}' in vhost '{vhost}'; {whither}");
        Err(Fault::new(ReplyCode::ConnectionForced, text))
    }

    /// A queue of this vhost.
    #[must_use]
    pub fn queue(&self, name: &str) -> Resource {
        Resource::queue(&self.vhost, name)
    }

    /// An exchange of this vhost.
    #[must_use]
    pub fn exchange(&self, name: &str) -> Resource {
        Resource::exchange(&self.vhost, name)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let code = ReplyCode::from_code(refusal.code().0).unwrap_or(ReplyCode::InternalError);
        Self::new(code, refusal)
    }
}
