//! `amqp://user:password@host:port/vhost`, as RabbitMQ's clients read it.

use std::fmt;
use std::str::FromStr;

/// Where to connect, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    /// Name or address, and port.
    pub authority: String,
    /// Who.
    pub username: String,
    /// And how to prove it.
    pub password: String,
    /// The virtual host.
    pub vhost: String,
}

/// A text that is no URI of AMQP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid AMQP URI, expected amqp://user:password@host:port/vhost")]
pub struct UriError;

impl Uri {
    /// A guest's, in the default virtual host.
    #[must_use]
    pub fn guest(authority: &str) -> Self {
        let guest = || "guest".to_owned();
        Self { authority: authority.to_owned(), username: guest(), password: guest(), vhost: "/".to_owned() }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = text.strip_prefix("amqp://").ok_or(UriError)?;
        let rest = rest.split(['?', '#']).next().unwrap_or_default();
        let (rest, vhost) = match rest.split_once('/') {
            // A slash alone names the virtual host of the empty name to strict
            // readers; nobody means that.
            Some((rest, "")) => (rest, "/".to_owned()),
            Some((rest, vhost)) => (rest, decode(vhost)?),
            None => (rest, "/".to_owned()),
        };
        let (user, authority) = rest.rsplit_once('@').unwrap_or(("guest:guest", rest));
        let (username, password) = user.split_once(':').unwrap_or((user, ""));
        let host = authority.rsplit_once(']').map_or(authority, |(_, port)| port);
        let authority = if host.contains(':') { authority.to_owned() } else { format!("{authority}:5672") };
        if authority.starts_with(':') || authority.ends_with(':') {
            return Err(UriError);
        }
        Ok(Self { authority, username: decode(username)?, password: decode(password)?, vhost })
    }
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
        write!(f, "amqp://{}@{}/{}", self.username, self.authority, self.vhost.trim_start_matches('/'))
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
        let uri: Uri = "amqp://me:s%40fe@host:5673/a%2Fb".parse().unwrap();
        assert_eq!((uri.authority.as_str(), uri.username.as_str(), uri.password.as_str()), ("host:5673", "me", "s@fe"));
        assert_eq!(uri.vhost, "a/b");
        assert_eq!("amqp://host".parse::<Uri>().unwrap(), Uri::guest("host:5672"));
        assert_eq!("amqp://host:1/".parse::<Uri>().unwrap(), Uri::guest("host:1"));
        assert_eq!("amqp://[::1]/%2F".parse::<Uri>().unwrap(), Uri::guest("[::1]:5672"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "http://host", "amqp://a%zz@host", "amqp://:5672", "amqp://host:"] {
            assert_eq!(text.parse::<Uri>(), Err(UriError), "{text}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let uri: Uri = "amqp://me:secret@host/v".parse().unwrap();
        assert_eq!(format!("{uri} {uri:?}"), "amqp://me@host:5672/v amqp://me@host:5672/v");
    }
}
