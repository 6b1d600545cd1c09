//! What this connection's user may do in its vhost.

use warren_membership::catalog::{Refusal, Resource, State, Verb};

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
        let code = warren_amqp::ReplyCode::from_code(refusal.code().0).unwrap_or(warren_amqp::ReplyCode::InternalError);
        Self::new(code, refusal)
    }
}
