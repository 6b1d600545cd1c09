//! `amqp://user:password@host:port/vhost?heartbeat=10`, as RabbitMQ's clients
//! read it; `amqps://` is the same over TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to connect, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// Name or address, and port; empty: this broker itself, which only its own
    /// links can mean.
    pub authority: String,
    /// Who; empty in the URI of a link to this broker without a user.
    pub username: String,
    /// And how to prove it.
    pub password: String,
    /// The virtual host.
    pub vhost: String,
    /// Over TLS, and how.
    pub tls: Option<TlsOptions>,
    /// Seconds between heartbeats, if the URI says; 0: none.
    pub heartbeat: Option<u16>,
}

/// What the query of an `amqps://` URI asks for, by RabbitMQ's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// `cacertfile`: whom to trust; without it, whom the system trusts.
    pub authorities: Option<PathBuf>,
    /// `certfile` and `keyfile`: how to prove who we are.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `verify=verify_none` takes any certificate. Unlike RabbitMQ's client, we
    /// check it unless told not to.
    pub verify: bool,
    /// `server_name_indication`: the name that the certificate must be for, if
    /// it is not the host's.
    pub server_name: Option<String>,
}

/// Port of `amqp://`.
const PORT: u16 = 5672;
/// Port of `amqps://`.
const TLS_PORT: u16 = 5671;

/// A text that is no URI of AMQP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid AMQP URI, expected amqp://user:password@host:port/vhost")]
pub struct UriError;

impl Uri {
    /// A guest's, in the default virtual host.
    #[must_use]
    pub fn guest(authority: &str) -> Self {
        let guest = || "guest".to_owned();
        Self {
            authority: authority.to_owned(),
            username: guest(),
            password: guest(),
            vhost: "/".to_owned(),
            tls: None,
            heartbeat: None,
        }
    }

    /// A virtual host of this broker, for its own links.
    #[must_use]
    pub fn local(vhost: &str) -> Self {
        let nobody = String::new;
        Self {
            authority: nobody(),
            username: nobody(),
            password: nobody(),
            vhost: vhost.to_owned(),
            tls: None,
            heartbeat: None,
        }
    }

    /// Whether it names no host: the broker that reads it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.authority.is_empty()
    }

    /// The host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (rest, is_tls) = match text.split_once("://") {
            Some(("amqp", rest)) => (rest, false),
            Some(("amqps", rest)) => (rest, true),
            _ => return Err(UriError),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (rest, query) = (before_fragment(rest), before_fragment(query));
        let (rest, vhost) = match rest.split_once('/') {
            // A slash alone names the virtual host of the empty name to strict
            // readers; nobody means that.
            Some((rest, "")) => (rest, "/".to_owned()),
            Some((rest, vhost)) => (rest, decode(vhost)?),
            None => (rest, "/".to_owned()),
        };
        let unnamed = if rest.is_empty() { ":" } else { "guest:guest" };
        let (user, authority) = rest.rsplit_once('@').unwrap_or((unnamed, rest));
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let host = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
        let authority = match (authority.is_empty(), host.contains(':'), is_tls) {
            (true, _, _) | (_, true, _) => authority.to_owned(),
            (_, _, true) => format!("{authority}:{TLS_PORT}"),
            (_, _, false) => format!("{authority}:{PORT}"),
        };
        if authority.starts_with(':') || authority.ends_with(':') || (authority.is_empty() && is_tls) {
            return Err(UriError);
        }
        let options = Options::read(query)?;
        Ok(Self {
            authority,
            username: decode(username)?,
            password: decode(password)?,
            vhost,
            tls: is_tls.then(|| options.tls()).transpose()?,
            heartbeat: options.heartbeat,
        })
    }
}

/// What a query says. Parameters that we have no use for are passed over, as
/// URIs are shared with other clients.
#[derive(Default)]
struct Options {
    heartbeat: Option<u16>,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    verify_none: bool,
    server_name: Option<String>,
}

impl Options {
    fn read(query: &str) -> Result<Self, UriError> {
        let mut options = Self::default();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or(UriError)?;
            let value = decode(value)?;
            match name {
                "heartbeat" => options.heartbeat = Some(value.parse().map_err(|_| UriError)?),
                "cacertfile" => options.authorities = Some(value.into()),
                "certfile" => options.certificate = Some(value.into()),
                "keyfile" => options.key = Some(value.into()),
                "verify" => options.verify_none = value == "verify_none",
                "server_name_indication" => options.server_name = Some(value),
                _ => {}
            }
        }
        Ok(options)
    }

    fn tls(&self) -> Result<TlsOptions, UriError> {
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            _ => return Err(UriError),
        };
        Ok(TlsOptions {
            authorities: self.authorities.clone(),
            identity,
            verify: !self.verify_none,
            server_name: self.server_name.clone(),
        })
    }
}

fn before_fragment(text: &str) -> &str {
    text.split('#').next().unwrap_or_default()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> Result<String, UriError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or(UriError);
        let value = digit()? * 16 + digit()?;
        octets.push(u8::try_from(value).map_err(|_| UriError)?);
    }
    String::from_utf8(octets).map_err(|_| UriError)
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "amqps" } else { "amqp" };
        let at = if self.username.is_empty() { "" } else { "@" };
        write!(f, "{scheme}://{}{at}{}/{}", self.username, self.authority, self.vhost.trim_start_matches('/'))
    }
}

impl fmt::Debug for Uri {
    // Without the password, which must not get into logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn uris_are_read_with_their_defaults() {
        let uri: Uri = "amqp://me:s%40fe@host:5673/a%2Fb?heartbeat=7&x=y".parse().unwrap();
        assert_eq!((uri.authority.as_str(), uri.username.as_str(), uri.password.as_str()), ("host:5673", "me", "s@fe"));
        assert_eq!((uri.vhost.as_str(), uri.heartbeat), ("a/b", Some(7)));
        assert_eq!("amqp://host".parse::<Uri>().unwrap(), Uri::guest("host:5672"));
        assert_eq!("amqp://host:1/".parse::<Uri>().unwrap(), Uri::guest("host:1"));
        assert_eq!("amqp://[::1]/%2F".parse::<Uri>().unwrap(), Uri::guest("[::1]:5672"));
        assert_eq!("amqp://[::1]".parse::<Uri>().unwrap().host(), "::1");
    }

    #[test]
    fn without_a_host_it_is_this_broker() {
        let uri: Uri = "amqp://".parse().unwrap();
        assert!(uri.is_local() && uri.username.is_empty() && uri.vhost == "/");
        let uri: Uri = "amqp:///shop".parse().unwrap();
        assert!(uri.is_local());
        assert_eq!((uri.vhost.as_str(), uri.to_string().as_str()), ("shop", "amqp:///shop"));
        assert!(!"amqp://host".parse::<Uri>().unwrap().is_local());
    }

    #[test]
    fn tls_checks_certificates_unless_told_not_to() {
        let uri: Uri = "amqps://host".parse().unwrap();
        assert_eq!(uri.authority, "host:5671");
        assert!(uri.tls.unwrap().verify);
        let text = "amqps://host/v?cacertfile=%2Fca.pem&certfile=/c.pem&keyfile=/k.pem&verify=verify_none";
        let tls = text.parse::<Uri>().unwrap().tls.unwrap();
        assert_eq!(tls.authorities, Some("/ca.pem".into()));
        assert_eq!(tls.identity, Some(("/c.pem".into(), "/k.pem".into())));
        assert!(!tls.verify);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "http://host", "amqp://a%zz@host", "amqp://:5672", "amqp://host:", "amqps://"] {
            assert_eq!(text.parse::<Uri>(), Err(UriError), "{text}");
        }
        for text in ["amqp://host?heartbeat=x", "amqps://host?certfile=/c.pem"] {
            assert_eq!(text.parse::<Uri>(), Err(UriError), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let uri: Uri = "amqp://me:secret@host/v".parse().unwrap();
        assert_eq!(format!("{uri} {uri:?}"), "amqp://me@host:5672/v amqp://me@host:5672/v");
    }
}
