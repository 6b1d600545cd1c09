//! From a client's first octets to its open vhost, one step after the other.

use std::io;
use std::net::IpAddr;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tracing::{debug, info, warn};
use warren_amqp::{Arguments, FieldTable, Frame, Method, OutBuffer, PROTOCOL_HEADER, Payload, Value, connection};

use super::access::{Access, Visitor};
use super::fault::Fault;
use super::registry::Seat;
use super::{Front, Wire, closing};
use crate::auth::{self, Credentials, Proof};
use crate::remote::{self, LINK_PRODUCT};

/// The smallest frame-max that may be agreed on.
const FRAME_MIN: u32 = 4096;
/// RabbitMQ lets frames exceed frame-max by the size of an empty frame, since
/// clients are known to.
const FRAME_GRACE: u32 = 8;

/// What was agreed on.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) access: Access,
    pub(super) seat: Seat,
    pub(super) capabilities: Capabilities,
    pub(super) channel_max: u16,
    pub(super) frame_max: u32,
    /// Seconds; 0 = none.
    pub(super) heartbeat: u16,
}

/// What a client says it understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// `basic.cancel` from the broker.
    pub consumer_cancel_notify: bool,
    /// `connection.blocked`.
    pub connection_blocked: bool,
    /// `connection.close` when the login is refused.
    pub authentication_failure_close: bool,
}

impl Capabilities {
    fn of(client: &FieldTable) -> Self {
        let Some(Value::Table(table)) = client.get("capabilities") else { return Self::default() };
        let says = |name| table.get(name).and_then(|value| value.as_bool()) == Some(true);
        Self {
            consumer_cancel_notify: says("consumer_cancel_notify"),
            connection_blocked: says("connection.blocked"),
            authentication_failure_close: says("authentication_failure_close"),
        }
    }
}

/// Why a client does not get in.
#[derive(Debug)]
pub(super) enum Refused {
    /// It went away, or asked to close.
    Gone,
    /// It asked to close.
    Closed,
    /// It speaks something else.
    Header,
    /// Tell it why.
    Fault(Fault),
    /// The login was wrong and the client would not understand a close.
    Silent,
}

impl From<io::Error> for Refused {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// From where.
    pub address: IpAddr,
    /// The user that its TLS certificate stands for, if it has one that is good.
    pub certified: Option<String>,
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self { address, certified: None }
    }
}

/// Whom a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// From outside; it has to log in.
    Client(Caller),
    /// From one of the node's own links, over a socket pair that nobody else has
    /// an end of: it is what it says it is.
    Link,
}

pub(super) async fn handshake<R, W>(
    front: &Front,
    wire: &mut Wire<R, W>,
    number: u64,
    peer: Peer,
) -> Result<Opened, Refused>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    while wire.frames.protocol_header().map_err(|_| Refused::Header)?.is_none() {
        wire.read().await?;
    }
    let certified = matches!(&peer, Peer::Client(Caller { certified: Some(_), .. }));
    let (start, drained) = start(front, certified);
    wire.send(&start).await?;
    let start_ok = match wire.next_method().await? {
        Method::ConnectionStartOk(start_ok) => start_ok,
        other => return Err(unexpected(&other, "starting")),
    };
    let capabilities = Capabilities::of(&start_ok.client_properties);
    let user = match peer {
        Peer::Client(caller) => Some(authenticate(front, &start_ok, capabilities, caller).await?),
        Peer::Link => None,
    };

    let settings = &front.settings;
    let tune = connection::Tune {
        channel_max: settings.channel_max,
        frame_max: settings.frame_max,
        heartbeat: settings.heartbeat,
    };
    wire.send(&tune).await?;
    let tuned = match wire.next_method().await? {
        Method::ConnectionTuneOk(tuned) => tuned,
        other => return Err(unexpected(&other, "tuning")),
    };
    negotiated("frame_max", FRAME_MIN, settings.frame_max, tuned.frame_max)?;
    negotiated("channel_max", 1, u32::from(settings.channel_max), u32::from(tuned.channel_max))?;
    wire.frames.set_frame_max(tuned.frame_max.saturating_add(FRAME_GRACE));

    let open = match wire.next_method().await? {
        Method::ConnectionOpen(open) => open,
        other => return Err(unexpected(&other, "opening")),
    };
    let visitor = is_link(&start_ok.client_properties).then_some(Visitor { drained });
    let user = user.map(|user| (user, visitor));
    let (access, seat) = enter(front, number, user, open.virtual_host.as_str())
        .map_err(|fault| fault.in_method(connection::Open::ID))?;
    wire.send(&connection::OpenOk::default()).await?;
    info!(user = access.user, vhost = access.vhost, client = name(&start_ok.client_properties), "open");
    Ok(Opened {
        access,
        seat,
        capabilities,
        channel_max: tuned.channel_max,
        frame_max: tuned.frame_max,
        heartbeat: tuned.heartbeat,
    })
}

/// Says why, as far as the client understands it, and lets the client close.
pub(super) async fn refuse<R, W>(front: &Front, wire: &mut Wire<R, W>, refused: Refused)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut out = OutBuffer::new();
    match refused {
        Refused::Gone => return,
        Refused::Closed => out.arguments(0, &connection::CloseOk),
        Refused::Header => {
            debug!("not a protocol header of AMQP 0-9-1");
            out.raw(&PROTOCOL_HEADER);
        }
        Refused::Fault(fault) => {
            debug!(text = fault.text, "refused");
            out.arguments(0, &closing::close(&fault));
            closing::say_farewell(wire, &mut out, true, front.settings.close_timeout).await;
            return;
        }
        Refused::Silent => {}
    }
    closing::say_farewell(wire, &mut out, false, front.settings.close_timeout).await;
}

impl<R, W> Wire<R, W>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    async fn read(&mut self) -> Result<(), Refused> {
        match self.reader.read_buf(self.frames.buffer()).await? {
            0 => Err(Refused::Gone),
            _ => Ok(()),
        }
    }

    async fn send<M: Arguments>(&mut self, method: &M) -> Result<(), Refused> {
        let mut out = OutBuffer::new();
        out.arguments(0, method);
        Ok(self.writer.write_all_buf(&mut out).await?)
    }

    /// The next method of channel 0; heartbeats are passed over.
    async fn next_method(&mut self) -> Result<Method, Refused> {
        loop {
            match self.frames.next_frame().map_err(Fault::from)? {
                None => self.read().await?,
                Some(Frame { channel: 0, payload: Payload::Heartbeat }) => {}
                Some(Frame { channel: 0, payload: Payload::Method(Method::ConnectionClose(_)) }) => {
                    return Err(Refused::Closed);
                }
                Some(Frame { channel: 0, payload: Payload::Method(method) }) => return Ok(method),
                Some(frame) => {
                    let text = format_args!("frame on channel {} before connection.open", frame.channel);
                    return Err(Fault::unexpected_frame(text).into());
                }
            }
        }
    }
}

fn unexpected(method: &Method, state: &str) -> Refused {
    Fault::channel_error(format_args!("unexpected method in connection state {state}")).in_method(method.id()).into()
}

/// The first word, and whether it says that this site is drained.
fn start(front: &Front, certified: bool) -> (connection::Start, bool) {
    let drained = !remote::drained(&front.broker.catalog()).is_empty();
    let capabilities = FieldTable::from([
        ("publisher_confirms", Value::from(true)),
        ("exchange_exchange_bindings", Value::from(true)),
        ("basic.nack", Value::from(true)),
        ("consumer_cancel_notify", Value::from(true)),
        ("connection.blocked", Value::from(true)),
        ("consumer_priorities", Value::from(true)),
        ("authentication_failure_close", Value::from(true)),
        ("per_consumer_qos", Value::from(true)),
        ("direct_reply_to", Value::from(true)),
    ]);
    let server_properties = FieldTable::from([
        ("capabilities", Value::from(capabilities)),
        ("product", Value::from("Warren")),
        ("version", Value::text(front.settings.version.clone())),
        ("cluster_name", Value::text(front.settings.cluster_name.clone())),
        ("platform", Value::text(format!("Rust on {}", std::env::consts::OS))),
        ("information", Value::from("Licensed under the Apache License 2.0")),
        (remote::DRAINED, Value::from(drained)),
    ]);
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties,
        mechanisms: Bytes::from_static(auth::mechanisms(certified).as_bytes()),
        locales: Bytes::from_static(b"en_US"),
    };
    (start, drained)
}

/// How a client names itself, for the log.
fn name(client: &FieldTable) -> String {
    let said = |key| client.get(key).and_then(|value| value.as_str().map(str::to_owned));
    said("connection_name").or_else(|| said("product")).unwrap_or_default()
}

/// Whether a client says that it is a link of another cluster, Warren's or
/// RabbitMQ's: a drained site lets it in, with its user's rights.
fn is_link(client: &FieldTable) -> bool {
    let is =
        |key, fits: &dyn Fn(&str) -> bool| client.get(key).and_then(|value| value.as_str().map(fits)) == Some(true);
    is("product", &|product| product == LINK_PRODUCT)
        || is("connection_name", &|name| name.starts_with("Federation link"))
}

async fn authenticate(
    front: &Front,
    start_ok: &connection::StartOk,
    capabilities: Capabilities,
    caller: Caller,
) -> Result<String, Refused> {
    let mechanism = start_ok.mechanism.as_str();
    let why = match auth::credentials(mechanism, &start_ok.response, caller.certified) {
        Err(unknown @ auth::SaslError::Mechanism(_)) => {
            return Err(Fault::command_invalid(unknown).in_method(connection::StartOk::ID).into());
        }
        Err(malformed) => malformed.to_string(),
        Ok(Credentials { user, proof }) => {
            let hash = front.broker.catalog().user(&user).map(|user| user.password_hash.clone());
            let proven = match (hash, proof) {
                (None, _) => false,
                (Some(hash), Proof::Password(password)) => front.broker.passwords().verify(&hash, &password).await,
                (Some(_), Proof::Certificate) => true,
            };
            if !proven {
                format!("user '{user}' - invalid credentials")
            } else if auth::is_allowed_from(&front.settings.loopback_users, &user, caller.address) {
                return Ok(user);
            } else {
                format!("user '{user}' can only connect via localhost")
            }
        }
    };
    warn!("{mechanism} login refused: {why}");
    if !capabilities.authentication_failure_close {
        return Err(Refused::Silent);
    }
    Err(Fault::access_refused(format_args!(
        "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
    ))
    .into())
}

fn negotiated(field: &str, min: u32, max: u32, told: u32) -> Result<(), Fault> {
    let detail = if told == 0 { " (no limit)" } else { "" };
    if told != 0 && told < min {
        return Err(Fault::not_allowed(format_args!(
            "negotiated {field} = {told}{detail} is lower than the minimum allowed value ({min})"
        ))
        .in_method(connection::Tune::ID));
    }
    if max != 0 && (told == 0 || told > max) {
        return Err(Fault::not_allowed(format_args!(
            "negotiated {field} = {told}{detail} is higher than the maximum allowed value ({max})"
        ))
        .in_method(connection::Tune::ID));
    }
    Ok(())
}

/// As RabbitMQ: limits are looked at before permissions.
fn enter(
    front: &Front,
    number: u64,
    user: Option<(String, Option<Visitor>)>,
    vhost: &str,
) -> Result<(Access, Seat), Fault> {
    let access = match user {
        Some((user, visitor)) => Access { user, vhost: vhost.to_owned(), internal: false, visitor },
        None => Access::link(vhost),
    };
    let seat = front.registry.enter(&*front.broker, front.settings.max_connections, number, &access)?;
    let catalog = front.broker.catalog();
    if !access.internal {
        let user = &access.user;
        if !catalog.may_enter(user, vhost) {
            return Err(Fault::not_allowed(format_args!("access to vhost '{vhost}' refused for user '{user}'")));
        }
        if let Some(whither) = access.turned_away(&catalog, front.broker.process().node) {
            return Err(Fault::new(warren_amqp::ReplyCode::ConnectionForced, whither));
        }
    }
    drop(catalog);
    Ok((access, seat))
}
