//! Who may connect: SASL responses, and passwords against the catalog's argon2
//! hashes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use argon2::password_hash::SaltString;
use argon2::password_hash::rand_core::OsRng;
use argon2::{Argon2, PasswordHash, PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use warren_amqp::FieldTable;

/// The mechanisms offered, best first. EXTERNAL only to those who have shown a
/// certificate, as RabbitMQ does.
#[must_use]
pub fn mechanisms(certified: bool) -> &'static str {
    if certified { "EXTERNAL PLAIN AMQPLAIN" } else { "PLAIN AMQPLAIN" }
}

/// How long a password that was right is taken for right without hashing again.
const CACHE_FOR: Duration = Duration::from_secs(60);
/// The most such passwords.
const CACHE_SIZE: usize = 4096;
/// Hashes at a time: each takes a core and some 20 MB.
const HASHES_AT_ONCE: usize = 2;

/// What a client says of itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// How it shows that.
    pub proof: Proof,
}

/// Why to believe a name; not printable on purpose.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// The user's password.
    Password(Bytes),
    /// TLS has verified a certificate that stands for the user.
    Certificate,
}

/// Why a SASL response is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// A mechanism that was not offered.
    #[error("unknown authentication mechanism '{0}'")]
    Mechanism(String),
    /// The mechanism's response makes no sense.
    #[error("malformed {0} response")]
    Response(&'static str),
}

/// Reads the response of a `start-ok`. `certified` is the user that the client's
/// TLS certificate stands for.
///
/// # Errors
/// The mechanism was not offered or the response is malformed.
pub fn credentials(mechanism: &str, response: &Bytes, certified: Option<String>) -> Result<Credentials, SaslError> {
    match (mechanism, certified) {
        // RFC 4422, appendix A; whom to act as is not asked, as in RabbitMQ.
        ("EXTERNAL", Some(user)) => Ok(Credentials { user, proof: Proof::Certificate }),
        ("PLAIN", _) => plain(response).ok_or(SaslError::Response("PLAIN")),
        ("AMQPLAIN", _) => amqplain(response).ok_or(SaslError::Response("AMQPLAIN")),
        (other, _) => Err(SaslError::Mechanism(other.to_owned())),
    }
}

/// RFC 4616: authorization identity (not used), user, password, zeros between.
fn plain(response: &Bytes) -> Option<Credentials> {
    let mut parts = response.splitn(3, |&octet| octet == 0);
    let (_, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let proof = Proof::Password(Bytes::copy_from_slice(password));
    Some(Credentials { user: std::str::from_utf8(user).ok()?.to_owned(), proof })
}

/// A field table without its length, with `LOGIN` and `PASSWORD`.
fn amqplain(response: &Bytes) -> Option<Credentials> {
    let table = FieldTable::from_bytes(response.clone()).ok()?;
    let user = table.get("LOGIN")?.as_str()?.to_owned();
    let password = Bytes::copy_from_slice(table.get("PASSWORD")?.as_str()?.as_bytes());
    Some(Credentials { user, proof: Proof::Password(password) })
}

/// Whether this user may connect from there: those listed only from this machine.
#[must_use]
pub fn is_allowed_from(loopback_users: &[String], user: &str, address: IpAddr) -> bool {
    address.to_canonical().is_loopback() || !loopback_users.iter().any(|name| name == user)
}

/// Checks passwords; remembers for a while those that were right, by a keyed
/// fingerprint of hash and password.
#[derive(Debug)]
pub struct Passwords {
    keys: [RandomState; 2],
    right: Mutex<FxHashMap<u128, Instant>>,
    hashing: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            keys: [RandomState::new(), RandomState::new()],
            right: Mutex::default(),
            hashing: Semaphore::new(HASHES_AT_ONCE),
        }
    }
}

impl Passwords {
    /// Whether the password is the one that this PHC string was made from.
    pub async fn verify(&self, hash: &str, password: &Bytes) -> bool {
        let fingerprint = self.fingerprint(hash, password);
        if self.right.lock().get(&fingerprint).is_some_and(|at| at.elapsed() < CACHE_FOR) {
            return true;
        }
        let Ok(_turn) = self.hashing.acquire().await else { return false };
        let (hash, password) = (hash.to_owned(), password.clone());
        let verified = tokio::task::spawn_blocking(move || matches_hash(&hash, &password)).await.unwrap_or(false);
        if verified {
            let mut right = self.right.lock();
            if right.len() >= CACHE_SIZE {
                right.retain(|_, at| at.elapsed() < CACHE_FOR);
            }
            if right.len() < CACHE_SIZE {
                right.insert(fingerprint, Instant::now());
            }
        }
        verified
    }

    fn fingerprint(&self, hash: &str, password: &Bytes) -> u128 {
        let mut text = BytesMut::with_capacity(hash.len() + password.len() + 8);
        text.put_u64(hash.len() as u64);
        text.put_slice(hash.as_bytes());
        text.put_slice(password);
        self.keys.iter().fold(0, |sum, key| {
            let mut hasher = key.build_hasher();
            hasher.write(&text);
            sum << 64 | u128::from(hasher.finish())
        })
    }
}

/// Why a password was not hashed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot hash the password: {0}")]
pub struct HashError(String);

/// The PHC string (argon2id, a new salt) that the catalog keeps of a password.
/// Hashing is made to be slow, so it happens on a thread that serves nobody else.
///
/// # Errors
/// If the system gives no randomness or is stopping.
pub async fn hash(password: String) -> Result<String, HashError> {
    let hashed = tokio::task::spawn_blocking(move || {
        let salt = SaltString::generate(&mut OsRng);
        Argon2::default().hash_password(password.as_bytes(), &salt).map(|hash| hash.to_string())
    });
    let failed = |error: &dyn std::fmt::Display| HashError(error.to_string());
    hashed.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// How hashes that were made by RabbitMQ begin in the catalog; the rest is theirs.
const RABBITMQ_SHA256: &str = "$rabbit_password_hashing_sha256$";
/// The octets of salt before RabbitMQ's hash.
const RABBITMQ_SALT: usize = 4;

/// What the catalog keeps of a password that RabbitMQ has hashed: base64 of four
/// octets of salt and the SHA-256 of salt and password. Weaker than our own, but
/// users keep their passwords; the next change makes it ours.
///
/// # Errors
/// It is no such hash.
pub fn from_rabbitmq(hash: &str) -> Result<String, HashError> {
    match STANDARD.decode(hash) {
        Ok(octets) if octets.len() == RABBITMQ_SALT + Sha256::output_size() => Ok(format!("{RABBITMQ_SHA256}{hash}")),
        _ => Err(HashError("not a salted SHA-256 of RabbitMQ's".to_owned())),
    }
}

fn matches_rabbitmq(hash: &str, password: &[u8]) -> bool {
    let Ok(octets) = STANDARD.decode(hash) else { return false };
    let Some((salt, expected)) = octets.split_at_checked(RABBITMQ_SALT) else { return false };
    let found = Sha256::new().chain_update(salt).chain_update(password).finalize();
    // Without a hint by its time about how much of it was right.
    found.len() == expected.len() && found.iter().zip(expected).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

fn matches_hash(hash: &str, password: &[u8]) -> bool {
    if let Some(hash) = hash.strip_prefix(RABBITMQ_SHA256) {
        return matches_rabbitmq(hash, password);
    }
    PasswordHash::new(hash).is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use argon2::password_hash::SaltString;
    use warren_amqp::Value;

    use super::*;

    fn read(mechanism: &str, response: &[u8]) -> Result<Credentials, SaslError> {
        credentials(mechanism, &Bytes::copy_from_slice(response), None)
    }

    fn guest_with(password: &'static [u8]) -> Credentials {
        Credentials { user: "guest".to_owned(), proof: Proof::Password(Bytes::from_static(password)) }
    }

    #[test]
    fn plain_takes_user_and_password_and_ignores_the_identity() {
        let told = read("PLAIN", b"me\0guest\0se\0cret").unwrap();
        assert!(told == guest_with(b"se\0cret"));
        for malformed in [b"".as_slice(), b"guest", b"\0guest", b"\0\xff\0x"] {
            assert!(read("PLAIN", malformed).is_err());
        }
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let table = FieldTable::from([("LOGIN", Value::from("guest")), ("PASSWORD", Value::from("secret"))]);
        assert!(read("AMQPLAIN", table.as_bytes()).unwrap() == guest_with(b"secret"));
        assert!(read("AMQPLAIN", b"\x05LOGIN").is_err());
        assert_eq!(read("GSSAPI", b"").err(), Some(SaslError::Mechanism("GSSAPI".to_owned())));
    }

    #[test]
    fn external_is_who_the_certificate_says_and_nobody_without_one() {
        let told = credentials("EXTERNAL", &Bytes::from_static(b"somebody else"), Some("shop".to_owned())).unwrap();
        assert!(told == Credentials { user: "shop".to_owned(), proof: Proof::Certificate });
        assert_eq!(read("EXTERNAL", b"").err(), Some(SaslError::Mechanism("EXTERNAL".to_owned())));
        assert!(mechanisms(true).contains("EXTERNAL") && !mechanisms(false).contains("EXTERNAL"));
    }

    #[test]
    fn listed_users_come_from_this_machine_only() {
        let listed = ["guest".to_owned()];
        let far = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert!(is_allowed_from(&listed, "guest", IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(is_allowed_from(&listed, "guest", IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert!(is_allowed_from(&listed, "guest", IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped())));
        assert!(!is_allowed_from(&listed, "guest", far));
        assert!(is_allowed_from(&listed, "other", far));
    }

    #[tokio::test]
    async fn passwords_that_rabbitmq_hashed_are_right_here_too() {
        // RabbitMQ's documentation has this one, of "test12".
        let hash = from_rabbitmq("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR").unwrap();
        let passwords = Passwords::default();
        assert!(passwords.verify(&hash, &Bytes::from_static(b"test12")).await);
        assert!(!passwords.verify(&hash, &Bytes::from_static(b"test13")).await);
        assert!(from_rabbitmq("c2hvcnQ=").is_err() && from_rabbitmq("?").is_err());
    }

    #[tokio::test]
    async fn only_the_right_password_of_the_present_hash_is_right() {
        let salt = SaltString::encode_b64(b"a salt of some length").unwrap();
        let make = |password: &str| Argon2::default().hash_password(password.as_bytes(), &salt).unwrap().to_string();
        let (old, new) = (make("old"), make("new"));
        let passwords = Passwords::default();
        let (is_old, is_new) = (Bytes::from_static(b"old"), Bytes::from_static(b"new"));
        for _ in 0..2 {
            assert!(passwords.verify(&old, &is_old).await);
            assert!(!passwords.verify(&old, &is_new).await);
            assert!(!passwords.verify(&new, &is_old).await);
            assert!(!passwords.verify("not a hash", &is_old).await);
        }
    }
}
