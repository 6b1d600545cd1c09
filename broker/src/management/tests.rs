//! The API over real HTTP, in front of a cluster in memory.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use warren_membership::catalog::{Command, DeclareQueue, Outcome, Owner, Permissions};
use warren_replication::types::QueueId;

use super::fake::{self, FakeCluster};
use crate::cli::client::{Client, ClientError, Target};

struct Served {
    cluster: Arc<FakeCluster>,
    address: SocketAddr,
}

impl Served {
    async fn new() -> Self {
        let cluster = Arc::new(FakeCluster::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(super::serve(Arc::clone(&cluster) as Arc<dyn super::Cluster>, listener));
        let served = Self { cluster, address };
        served.user("boss", "administrator");
        served.user("watcher", "monitoring");
        served.user("nobody", "");
        served
    }

    fn user(&self, name: &str, tag: &str) {
        use argon2::{Argon2, PasswordHasher, password_hash::SaltString};
        let salt = SaltString::encode_b64(b"a salt for tests").unwrap();
        let password_hash = Argon2::default().hash_password(b"secret", &salt).unwrap().to_string();
        let tags: BTreeSet<String> = Some(tag.to_owned()).into_iter().filter(|tag| !tag.is_empty()).collect();
        self.cluster.agree(&Command::PutUser { name: name.to_owned(), password_hash, tags });
    }

    fn queue(&self, name: &str) -> QueueId {
        let owner = Owner { process: fake::process(), connection: 1 };
        let declare = DeclareQueue {
            vhost: "/".to_owned(),
            name: name.to_owned(),
            server_named: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: Default::default(),
            owner,
            live: vec![fake::process()],
        };
        match self.cluster.agree(&Command::DeclareQueue(declare)) {
            Outcome::Queue { queue, .. } => queue,
            other => panic!("{other:?}"),
        }
    }

    /// Asks as a user, off the test's own thread.
    async fn ask<T: Send + 'static>(
        &self,
        user: &str,
        how: impl FnOnce(Client) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T, ClientError> {
        let target = Target {
            node: format!("http://{}", self.address),
            username: user.to_owned(),
            password: "secret".to_owned(),
        };
        tokio::task::spawn_blocking(move || how(Client::new(&target))).await.unwrap()
    }

    async fn get(&self, user: &str, path: &'static str) -> Result<Value, ClientError> {
        self.ask(user, move |client| client.get(path, &[])).await
    }

    async fn text(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.address);
        let get = move || ureq::get(url).call().unwrap().body_mut().read_to_string().unwrap();
        tokio::task::spawn_blocking(get).await.unwrap()
    }
}

fn status_of<T: std::fmt::Debug>(result: Result<T, ClientError>) -> u16 {
    result.unwrap_err().status().unwrap()
}

#[tokio::test]
async fn health_says_whether_the_node_serves_and_why_not() {
    let served = Served::new().await;
    assert_eq!(
        served.get("", "/health").await.unwrap(),
        json!({"status": "ok", "node": "here", "alarms": ["here: disk"]})
    );
    served.cluster.set_health(false);
    let error = served.get("", "/health").await.unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (Some(503), "waits for the cluster"));
}

#[tokio::test]
async fn looking_takes_a_tag_and_changing_takes_an_administrator() {
    let served = Served::new().await;
    assert_eq!(status_of(served.get("stranger", "/api/nodes").await), 401);
    assert_eq!(status_of(served.get("nobody", "/api/nodes").await), 403);
    assert_eq!(served.get("watcher", "/api/nodes").await.unwrap()["raft_leader"], "here");
    let add = |client: Client| client.put::<()>("/api/vhosts/new%2Fone", &());
    assert_eq!(status_of(served.ask("watcher", add).await), 403);
    served.ask("boss", add).await.unwrap();
    let limit = |client: Client| {
        client.put::<()>("/api/vhost-limits/new%2Fone", &json!({"max-queues": 5, "max-connections": 7}))
    };
    served.ask("boss", limit).await.unwrap();
    let lift = |client: Client| client.put::<()>("/api/vhost-limits/new%2Fone", &json!({"max-connections": -1}));
    served.ask("boss", lift).await.unwrap();
    let unknown = |client: Client| client.put::<()>("/api/user-limits/boss", &json!({"max-queues": 5}));
    let error = served.ask("boss", unknown).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no limit 'max-queues', expected max-connections or max-channels");
    let vhosts = json!([{"name": "/", "limits": {}}, {"name": "new/one", "limits": {"max-queues": 5}}]);
    assert_eq!(served.get("boss", "/api/vhosts").await.unwrap(), vhosts);
    assert_eq!(status_of(served.get("boss", "/api/nothing").await), 404);
    assert_eq!(status_of(served.ask("boss", |client| client.put::<()>("/api/queues", &())).await), 405);
}

#[tokio::test]
async fn users_are_made_changed_and_removed() {
    let served = Served::new().await;
    let put = |body: Value| move |client: Client| client.put::<()>("/api/users/new", &body);
    let new = json!({"password": "p", "tags": ["monitoring"], "create": true});
    served.ask("boss", put(new.clone())).await.unwrap();
    assert_eq!(status_of(served.ask("boss", put(new)).await), 409);
    let permissions = json!({"configure": "^a", "write": ".*", "read": ""});
    let path = "/api/permissions/%2F/new";
    served.ask("boss", move |client| client.put::<()>(path, &permissions)).await.unwrap();
    served.ask("boss", put(json!({"password": "other", "tags": null, "create": false}))).await.unwrap();
    let users = served.get("boss", "/api/users").await.unwrap();
    let user = users.as_array().unwrap().iter().find(|user| user["name"] == "new").unwrap();
    assert_eq!(user["tags"], json!(["monitoring"]));
    assert_eq!(user["permissions"]["/"]["configure"], "^a");
    assert!(!users.to_string().contains("argon2"), "hashes stay inside");
    let wrong = json!({"configure": "(", "write": "", "read": ""});
    assert_eq!(status_of(served.ask("boss", move |client| client.put::<()>(path, &wrong)).await), 400);
    served.ask("boss", |client| client.delete::<()>("/api/users/new", &[])).await.unwrap();
    assert_eq!(status_of(served.ask("boss", put(json!({"password": "p", "tags": null, "create": false}))).await), 404);
}

#[tokio::test]
async fn queues_are_told_with_what_their_leader_knows() {
    let served = Served::new().await;
    let queue = served.queue("orders");
    served.queue("other");
    let status = super::QueueStatus { ready: 5, unacked: 2, bytes: 700, consumers: 1, ..fake::status(queue) };
    served.cluster.set_statuses(vec![status]);
    let told = served.ask("watcher", |client| client.get::<Value>("/api/queues", &[("name", "orders")])).await.unwrap();
    let expected = json!([{
        "name": "orders", "vhost": "/", "id": queue.0, "mode": "mirror", "leader": "here", "mirrors": [],
        "in_sync": ["here"], "epoch": 1, "state": "running", "why": "", "ready": 5, "unacked": 2,
        "consumers": 1, "bytes": 700, "rates": {"publish": 0.0, "deliver": 0.0, "settle": 0.0},
    }]);
    assert_eq!(told, expected);
    let all = served.get("watcher", "/api/queues").await.unwrap();
    assert_eq!(all[1]["why"], "its leader here does not lead it yet");
}

#[tokio::test]
async fn policies_are_applied_whole_or_not_at_all() {
    let served = Served::new().await;
    let post = |text: &str| {
        let body = json!({"file": "p.toml", "text": text});
        move |client: Client| client.post::<Value>("/api/policies", &body)
    };
    let good = "[[policy]]\nname = \"a\"\npattern = \"^o\"\nmode = \"mirror\"\n";
    let applied = served.ask("boss", post(good)).await.unwrap();
    assert_eq!(applied, json!({"revision": 1, "policies": 1, "changed": true}));
    assert_eq!(served.ask("boss", post(good)).await.unwrap()["changed"], false);
    let error = served.ask("boss", post("[[policy]]\nname = 3\n")).await.unwrap_err();
    assert_eq!(error.status(), Some(400));
    assert!(error.to_string().starts_with("p.toml:2:1: policy[0].name:"), "{error}");
    assert_eq!(status_of(served.ask("watcher", post(good)).await), 403);
    let policies = served.get("watcher", "/api/policies").await.unwrap();
    assert_eq!(policies["policies"][0]["name"], "a");
    let explained = served.get("watcher", "/api/policies/explain?vhost=%2F&queue=orders").await.unwrap();
    assert_eq!(explained["policy"], "a");
}

#[tokio::test]
async fn a_node_that_is_not_there_cannot_be_forgotten() {
    let served = Served::new().await;
    let forget = |client: Client| client.delete::<()>("/api/nodes/gone", &[("force", "false")]);
    let error = served.ask("boss", forget).await.unwrap_err();
    assert_eq!((error.status(), error.to_string().as_str()), (Some(404), "no node 'gone' in the cluster"));
    served.cluster.answer(false);
    assert_eq!(status_of(served.ask("boss", |client| client.put::<()>("/api/vhosts/v", &())).await), 503);
}

#[tokio::test]
async fn metrics_are_open_and_tell_of_queues() {
    let served = Served::new().await;
    let queue = served.queue("orders");
    let permissions = Permissions::all();
    served.cluster.agree(&Command::SetPermissions { user: "boss".to_owned(), vhost: "/".to_owned(), permissions });
    served.cluster.set_statuses(vec![super::QueueStatus { ready: 5, totals: (9, 4, 4), ..fake::status(queue) }]);
    let text = served.text("/metrics").await;
    for line in [
        "warren_serving 1",
        "warren_connections 3",
        "warren_lease_left_seconds 0.5",
        "warren_node_alarm{node=\"here\",alarm=\"disk\"} 1",
        "warren_queue_messages_ready{vhost=\"/\",queue=\"orders\"} 5",
        "warren_messages_ready 5",
        "warren_messages_published_total 9",
        "warren_commit_seconds_bucket{le=\"0.001\"} 4",
        "warren_commit_seconds_bucket{le=\"1.0\"} 4",
        "warren_commit_seconds_bucket{le=\"+Inf\"} 5",
        "warren_commit_seconds_sum 0.5",
        "warren_commit_seconds_count 5",
        "warren_client_messages_published_total 7",
        "warren_channels 4",
        "warren_disk_free_limit_bytes 4",
        "warren_queue_messages_published_total{vhost=\"/\",queue=\"orders\"} 9",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "no {line:?} in\n{text}");
    }
}
