use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use leno_api::{Kind, ResourceKey};
use leno_runtime::{Drain, Tasks};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{ApiError, ApiProblem, ApplyResult, MeshApi, Outcome, TokenCreated, TokenRequest, serve, serve_metrics};

const TOKEN: &str = "secret-of-the-admin";
const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec: {ports: [{port: 80}]}\n";

struct FakeMesh {
    objects: Mutex<BTreeMap<ResourceKey, Value>>,
    revision: watch::Sender<u64>,
}

impl MeshApi for FakeMesh {
    fn apply(&self, source: &str, text: &str, dry_run: bool) -> Vec<ApplyResult> {
        let parsed = leno_api::parse(source, text);
        let taken = parsed.resources.into_iter().map(|located| {
            let key = located.value.key();
            let mut outcome = Outcome::Created;
            if !dry_run {
                let before = self.objects.lock().unwrap().insert(key.clone(), located.value.to_json());
                outcome = if before.is_some() { Outcome::Configured } else { Outcome::Created };
                self.revision.send_modify(|revision| *revision += 1);
            }
            ApplyResult {
                kind: key.kind.to_string(),
                namespace: key.namespace,
                name: key.name,
                outcome,
                problems: Vec::new(),
            }
        });
        let refused = parsed.problems.into_iter().map(|problem| ApplyResult {
            kind: String::new(),
            namespace: String::new(),
            name: String::new(),
            outcome: Outcome::Rejected,
            problems: vec![ApiProblem {
                source: problem.source,
                line: problem.line,
                column: problem.column,
                object: problem.object,
                field: problem.field,
                message: problem.message,
                severity: "error".to_owned(),
            }],
        });
        taken.chain(refused).collect()
    }

    fn list(&self, kind: Kind, namespace: Option<&str>) -> Vec<Value> {
        let objects = self.objects.lock().unwrap();
        let wanted = |key: &ResourceKey| key.kind == kind && namespace.is_none_or(|name| name == key.namespace);
        objects.iter().filter(|(key, _)| wanted(key)).map(|(_, object)| object.clone()).collect()
    }

    fn read(&self, key: &ResourceKey) -> Option<Value> {
        self.objects.lock().unwrap().get(key).cloned()
    }

    fn delete(&self, key: &ResourceKey) -> Result<bool, ApiError> {
        let deleted = self.objects.lock().unwrap().remove(key).is_some();
        self.revision.send_modify(|revision| *revision += 1);
        Ok(deleted)
    }

    fn status(&self) -> Value {
        json!({ "revision": *self.revision.borrow(), "proxies": [] })
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
        self.revision.subscribe()
    }
}

struct Rig {
    address: SocketAddr,
    drain: Drain,
    tasks: Tasks,
}

async fn rig() -> Rig {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (drain, watch) = Drain::new();
    let mesh = FakeMesh { objects: Mutex::default(), revision: watch::Sender::new(1) };
    let tasks = Tasks::new();
    tasks.spawn("api", async move { serve(listener, Arc::new(mesh), TOKEN.to_owned(), watch).await.unwrap() });
    Rig { address, drain, tasks }
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
async fn objects_are_written_read_listed_and_deleted() {
    let rig = rig().await;
    let path = "/api/v1/namespaces/default/services/reviews";
    let (code, answer) = call(&rig, "POST /apply?source=a.yaml&dryRun=true", SERVICE).await;
    assert_eq!((code, &answer["results"][0]["outcome"]), (200, &json!("created")));
    assert_eq!(call(&rig, &format!("GET {path}"), "").await.0, 404);
    assert_eq!(call(&rig, &format!("PUT {path}"), SERVICE).await.0, 201);
    assert_eq!(call(&rig, &format!("PUT {path}"), SERVICE).await.0, 200);
    let (code, object) = call(&rig, &format!("GET {path}"), "").await;
    assert_eq!((code, &object["metadata"]["name"]), (200, &json!("reviews")));
    let (_, list) = call(&rig, "GET /api/v1/services", "").await;
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("ServiceList"), 1));
    let (_, list) = call(&rig, "GET /apis/networking.istio.io/v1/namespaces/default/virtualservices", "").await;
    assert_eq!(list["items"], json!([]));
    assert_eq!(call(&rig, &format!("DELETE {path}"), "").await.0, 200);
    assert_eq!(call(&rig, &format!("DELETE {path}"), "").await.0, 404);
}

#[tokio::test]
async fn what_is_wrong_is_said_as_json() {
    let rig = rig().await;
    let put = "PUT /api/v1/namespaces/default/services/ratings";
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: ratings}\nspec: {prots: []}\n";
    for (head, body, code, reason) in [
        ("GET /apis/wrong.group/v1/virtualservices", "", 404, "NotFound"),
        ("GET /api/v1/toasters", "", 404, "NotFound"),
        ("GET /nothing", "", 404, "NotFound"),
        ("PATCH /status", "", 405, "MethodNotAllowed"),
        ("GET /api/v1/services?watch=perhaps", "", 400, "BadRequest"),
        (put, SERVICE, 400, "BadRequest"),
        (put, bad, 422, "Invalid"),
        ("POST /tokens", "{\"serviceAccounts\":[]}", 422, "Invalid"),
        ("POST /tokens", "{\"nonsense\":1}", 400, "BadRequest"),
        ("DELETE /tokens/zzz", "", 404, "NotFound"),
    ] {
        let (found, answer) = call(&rig, head, body).await;
        assert_eq!((found, answer["code"].as_u64(), &answer["reason"]), (code, Some(u64::from(code)), &json!(reason)));
        assert!(answer["message"].is_string() && answer.get("details").is_some(), "{head}: {answer}");
    }
    let (_, answer) = call(&rig, put, bad).await;
    assert_eq!(answer["details"]["problems"][0]["line"], json!(4));
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
async fn a_watch_tells_what_is_what_comes_and_what_goes_until_the_drain() {
    let rig = rig().await;
    let path = "/api/v1/namespaces/default/services/reviews";
    call(&rig, &format!("PUT {path}"), SERVICE).await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let head =
        format!("GET /api/v1/services?watch=true HTTP/1.1\r\nhost: leno\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut event = async || loop {
        let line = lines.next_line().await.unwrap()?;
        if line.starts_with('{') {
            return Some(serde_json::from_str::<Value>(&line).unwrap());
        }
    };
    assert_eq!(event().await.unwrap()["type"], "ADDED");
    call(&rig, &format!("PUT {path}"), &SERVICE.replace("80", "81")).await;
    let modified = event().await.unwrap();
    assert_eq!((&modified["type"], &modified["object"]["spec"]["ports"][0]["port"]), (&json!("MODIFIED"), &json!(81)));
    call(&rig, &format!("DELETE {path}"), "").await;
    assert_eq!(event().await.unwrap()["type"], "DELETED");
    rig.drain.start();
    assert_eq!(event().await, None);
    rig.tasks.join().await;
    assert_eq!(rig.tasks.panics(), 0);
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
