//! Virtual hosts, users, permissions and parameters, over Warren's management API.

use super::definitions::Definitions;
use super::{MigrateError, Problems};
use crate::cli::client::{Client, ClientError, encode};
use crate::management::model::{ParameterValue, PermissionsView, PutUser, UserRow};

/// Makes what is missing, as one administrator.
#[derive(Debug)]
pub struct Settings<'a> {
    /// The cluster's management API.
    pub client: &'a Client,
    /// As whom: this user is let into every virtual host, to fill it.
    pub administrator: &'a str,
}

/// The only hash that RabbitMQ makes since 3.6, and that Warren checks too.
const HASH: &str = "rabbit_password_hashing_sha256";

impl Settings<'_> {
    /// Makes all of it. What is there already stays as it is.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn make(&self, definitions: &Definitions, problems: &mut Problems) -> Result<(), MigrateError> {
        for vhost in &definitions.vhosts {
            self.put(&format!("/api/vhosts/{}", encode(&vhost.name)), &(), problems)?;
        }
        let known: Vec<UserRow> = self.client.get("/api/users", &[]).map_err(http)?;
        for user in &definitions.users {
            if known.iter().any(|known| known.name == user.name) {
                // Not least who is asking now.
                continue;
            }
            match user.hashing_algorithm.as_deref() {
                Some(HASH) if !user.password_hash.is_empty() => {}
                other => {
                    problems.add(format!("user '{}': no password hash that can be taken over ({other:?})", user.name));
                    continue;
                }
            }
            let body = PutUser {
                password: None,
                password_hash: Some(user.password_hash.clone()),
                tags: Some(user.tags()),
                create: true,
            };
            self.put(&format!("/api/users/{}", encode(&user.name)), &body, problems)?;
        }
        for permission in &definitions.permissions {
            self.permit(
                &permission.user,
                &permission.vhost,
                &[&permission.configure, &permission.write, &permission.read],
                problems,
            )?;
        }
        for vhost in &definitions.vhosts {
            self.permit(self.administrator, &vhost.name, &[".*", ".*", ".*"], problems)?;
        }
        for parameter in &definitions.parameters {
            let path = format!(
                "/api/parameters/{}/{}/{}",
                encode(&parameter.component),
                encode(&parameter.vhost),
                encode(&parameter.name)
            );
            self.put(&path, &ParameterValue { value: parameter.value.clone() }, problems)?;
        }
        if !definitions.topic_permissions.is_empty() {
            problems.add(format!("{} topic permissions are not taken over", definitions.topic_permissions.len()));
        }
        Ok(())
    }

    fn permit(&self, user: &str, vhost: &str, may: &[&str; 3], problems: &mut Problems) -> Result<(), MigrateError> {
        let [configure, write, read] = may.map(str::to_owned);
        let body = PermissionsView { configure, write, read };
        self.put(&format!("/api/permissions/{}/{}", encode(vhost), encode(user)), &body, problems)
    }

    /// What is refused is a problem; no answer is an error.
    fn put(&self, path: &str, body: &impl serde::Serialize, problems: &mut Problems) -> Result<(), MigrateError> {
        match self.client.put::<()>(path, body) {
            Ok(()) => Ok(()),
            Err(ClientError::Refused { reason, .. }) => {
                problems.add(format!("{path}: {reason}"));
                Ok(())
            }
            Err(error) => Err(http(error)),
        }
    }
}

fn http(error: ClientError) -> MigrateError {
    MigrateError::Http(error.to_string())
}
