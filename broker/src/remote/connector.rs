//! How links reach brokers: over the network, or, by a URI without a host, the
//! broker that they run in.

use std::io;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, ClientError, Manner, Transport, Uri};
use crate::connection::Front;

/// Seconds between heartbeats: a link is to notice a silent end soon.
const HEARTBEAT: u16 = 10;

/// How links present themselves.
pub const LINK_PRODUCT: &str = "warren link";

/// Connects links.
#[derive(Clone)]
pub struct Connector {
    local: Option<(Arc<Front>, CancellationToken)>,
    origins: bool,
}

impl Connector {
    /// For links that run beside this broker; its ends of their connections
    /// close at `stop`.
    #[must_use]
    pub fn of(front: Arc<Front>, stop: CancellationToken) -> Self {
        Self { local: Some((front, stop)), origins: false }
    }

    /// For links that run beside no broker.
    #[must_use]
    pub const fn remote() -> Self {
        Self { local: None, origins: false }
    }

    /// For the end of a link that publishes here what another site has, and says
    /// of each message where it was. Nobody but such a link is believed that.
    #[must_use]
    pub fn bringing_origins(&self) -> Self {
        Self { origins: true, ..self.clone() }
    }

    /// Connects one end of the link of that name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn connect(&self, uri: &Uri, name: &str) -> Result<Client, ClientError> {
        let manner = Manner { product: LINK_PRODUCT, name: Some(name.to_owned()), heartbeat: HEARTBEAT };
        let Some((front, stop)) = self.local.as_ref().filter(|_| uri.is_local()) else {
            return Client::connect(uri, &manner).await;
        };
        let failed = |error: io::Error| ClientError::Io { uri: uri.clone().into(), error };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        tokio::spawn(Arc::clone(front).serve_link(theirs, self.origins, stop.clone()));
        // No network, no silence: the other end is this process.
        let manner = Manner { heartbeat: 0, ..manner };
        Client::over(Transport::Local(ours), uri, &manner).await
    }
}
