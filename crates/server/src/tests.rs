use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use leno_api::{Kind, Resource, ResourceKey};
use leno_runtime::{Drain, Tasks};
use leno_store::{EmbeddedStore, Mode, StoreError, Update};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{
    ApiError, ApiObject, ChangeObject, Content, MeshApi, ObjectProblem, TokenCreated, TokenRequest, serve,
    serve_metrics,
};

mod objects;
mod watches;

const TOKEN: &str = "secret-of-the-admin";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec: {ports: [{port: 80}]}\n";

/// A store, and a control plane that says of each object whatever it is told to.
struct FakeMesh {
    store: EmbeddedStore,
    _directory: TempDir,
    status: watch::Sender<(u64, Value)>,
}

impl FakeMesh {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&directory.path().join("store")).unwrap();
        Self { store, _directory: directory, status: watch::Sender::new((0, Value::Null)) }
    }

    /// Lets the status of all objects be another.
    fn say(&self, status: Value) {
        self.status.send_modify(|said| *said = (said.0 + 1, status));
    }

    fn shown(&self, stored: Arc<leno_store::Stored>) -> ApiObject {
        let status = self.status.borrow().1.clone();
        ApiObject { key: stored.resource.key(), content: Content::Stored(stored), status }
    }
}

enum Refused {
    Asked(ApiError),
    Stored(StoreError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Stored(error)
    }
}

impl MeshApi for FakeMesh {
    fn objects(&self, kind: Kind) -> Vec<ApiObject> {
        self.store.stored_of(kind).into_iter().map(|stored| self.shown(stored)).collect()
    }

    fn object(&self, key: &ResourceKey) -> Option<ApiObject> {
        Some(self.shown(self.store.stored(key)?))
    }

    fn namespaces(&self) -> Vec<String> {
        Vec::new()
    }

    fn version(&self) -> (u64, u64) {
        (self.store.revision(), self.status.borrow().0)
    }

    fn drawn(&self) -> u64 {
        self.store.drawn()
    }

    fn draw(&self, count: u64) -> u64 {
        self.store.draw(count)
    }

    fn change(&self, key: &ResourceKey, mode: Mode, change: &mut ChangeObject<'_>) -> Result<Update, ApiError> {
        let asked = |stored: Option<&Value>| change(stored).map_err(Refused::Asked);
        self.store.update(key, SystemTime::now(), mode, asked).map_err(|refused| match refused {
            Refused::Asked(error) => error,
            Refused::Stored(StoreError::Invalid { problems }) => crate::invalid_object(key, &problems),
            Refused::Stored(error) => ApiError::internal(error.to_string()),
        })
    }

    fn check(&self, _objects: &[Resource]) -> Vec<ObjectProblem> {
        Vec::new()
    }

    fn problems(&self, key: &ResourceKey) -> Vec<ObjectProblem> {
        let odd = key.name == "odd";
        let problem = |key: &ResourceKey| ObjectProblem {
            key: key.clone(),
            field: "spec.ports".to_owned(),
            message: "this is \"odd\"".to_owned(),
            is_error: false,
        };
        odd.then(|| problem(key)).into_iter().collect()
    }

    fn settle(&self) {
        self.status.send_modify(|said| said.0 += 1);
    }

    fn proxies(&self, _key: &ResourceKey) -> Value {
        json!([])
    }

    fn status(&self) -> Value {
        json!({ "revision": 1, "proxies": [] })
    }

    fn create_token(&self, request: TokenRequest) -> Result<TokenCreated, ApiError> {
        assert_eq!((request.namespace.as_str(), request.uses, request.ttl_seconds), ("default", 1, 3600));
        Ok(TokenCreated { token: "leno1.a.b.c".to_owned(), id: "a".to_owned(), expires: 7 })
    }

    fn tokens(&self) -> Value {
        json!([{ "id": "a" }])
    }

    fn revoke_token(&self, id: &str) -> Result<bool, ApiError> {
        Ok(id == "a")
    }

    fn changes(&self) -> watch::Receiver<u64> {
        let (sender, receiver) = watch::channel(0);
        let mut status = self.status.subscribe();
        #[allow(clippy::disallowed_methods, reason = "a test's helper, gone with its runtime")]
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                sender.send_modify(|changes| *changes += 1);
            }
        });
        receiver
    }
}

struct Rig {
    address: SocketAddr,
    mesh: Arc<FakeMesh>,
    drain: Drain,
    tasks: Tasks,
}

async fn rig() -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, watch) = Drain::new();
    let mesh = Arc::new(FakeMesh::new());
    let tasks = Tasks::new();
    let api = mesh.clone();
    tasks.spawn("api", async move { serve(listener, None, api, TOKEN.to_owned(), watch).await.unwrap() });
    Rig { address, mesh, drain, tasks }
}

async fn exchange(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: leno\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn call(rig: &Rig, head: &str, body: &str) -> (u16, Value) {
    let (code, text) = exchange(rig.address, head, body).await;
    (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_from_its_length() {
    let rig = rig().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head = format!(
        "POST /apply HTTP/1.1\r\nhost: leno\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 8388609\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    assert!(line.starts_with("HTTP/1.1 413"), "{line}");
}

#[tokio::test]
async fn only_health_is_open_to_all() {
    let rig = rig().await;
    let without = |path: &'static str, authorization: &'static str| async move {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: leno\r\nconnection: close\r\n{authorization}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer[9..12].to_owned()
    };
    assert_eq!(without("/healthz", "").await, "200");
    assert_eq!(without("/readyz", "").await, "200");
    for path in ["/status", "/tokens", "/api/v1/services", "/nothing"] {
        assert_eq!(without(path, "").await, "401");
        assert_eq!(without(path, "authorization: Bearer secret\r\n").await, "401");
        assert_eq!(without(path, "authorization: Basic secret-of-the-admin\r\n").await, "401");
    }
    assert_eq!(without("/status", "authorization: bearer secret-of-the-admin\r\n").await, "200");
}

#[tokio::test]
async fn tokens_have_defaults_and_go_again() {
    let rig = rig().await;
    let (code, answer) = call(&rig, "POST /tokens", "{\"serviceAccounts\":[\"reviews\"]}").await;
    assert_eq!((code, answer), (201, json!({"token": "leno1.a.b.c", "id": "a", "expires": 7})));
    assert_eq!(call(&rig, "GET /tokens", "").await.1, json!([{ "id": "a" }]));
    assert_eq!(call(&rig, "DELETE /tokens/a", "").await.0, 200);
}

#[tokio::test]
async fn metrics_are_served_in_the_format_of_prometheus() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let registry = leno_telemetry::Registry::new();
    let counter = leno_telemetry::metric::Counter::<u64>::default();
    registry.register("leno_tests", "Tests.", counter.clone());
    counter.inc();
    let (_drain, watch) = Drain::new();
    let tasks = Tasks::new();
    tasks.spawn("metrics", async move { serve_metrics(listener, registry, watch).await.unwrap() });
    let (code, text) = exchange(address, "GET /metrics", "").await;
    assert!(code == 200 && text.contains("leno_tests_total 1"), "{text}");
    assert_eq!(exchange(address, "GET /healthz", "").await.0, 200);
}
