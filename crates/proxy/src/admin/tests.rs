use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt;
use leno_ir::{Cluster, Discovery};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn admin(hooks: AdminHooks) -> (Admin, Readiness) {
    let readiness = Readiness::default();
    let config = Box::new(|| {
        let cluster = Cluster::new("outbound|80||a", Discovery::Eds { service_name: "a".to_owned() });
        let mut config = Config::default();
        config.clusters.insert(cluster.name.clone(), Arc::new(cluster));
        Arc::new(config)
    });
    (Admin::new(Registry::new(), readiness.clone(), config).with_hooks(hooks), readiness)
}

async fn get(admin: &Admin, method: Method, path: &str, query: &str) -> (u16, String) {
    let (head, body) = admin.page(&method, path, query).await.into_parts();
    let body = body.collect().await.expect("no error").to_bytes();
    (head.status.as_u16(), String::from_utf8(body.to_vec()).expect("text"))
}

#[tokio::test]
async fn readiness_names_the_parts_that_are_missing() {
    let (admin, readiness) = admin(AdminHooks::default());
    let guard = readiness.guard("configuration");
    let (status, body) = get(&admin, Method::GET, "/ready", "").await;
    assert!(status == 503 && body.contains("configuration"), "{status} {body}");
    guard.release();
    assert_eq!(get(&admin, Method::GET, "/ready", "").await, (200, "LIVE\n".to_owned()));
}

#[tokio::test]
async fn the_dump_is_json_with_the_clusters() {
    let (admin, _) = admin(AdminHooks::default());
    let (status, body) = get(&admin, Method::GET, "/config_dump", "").await;
    let dump: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(dump["config"]["clusters"]["outbound|80||a"]["name"], "outbound|80||a");
}

#[tokio::test]
async fn clusters_are_listed_as_envoy_does() {
    let endpoint = EndpointStatus {
        address: ([10, 0, 0, 1], 80).into(),
        health: EndpointHealth::Unhealthy,
        is_ejected: true,
        active_requests: 3,
        latency: Duration::from_micros(1500),
        weight: 1,
    };
    let status = ClusterStatus { name: "a".to_owned(), endpoints: vec![endpoint] };
    let clusters =
        move || -> BoxFuture<'static, Vec<ClusterStatus>> { Box::pin(std::future::ready(vec![status.clone()])) };
    let (admin, _) = admin(AdminHooks { clusters: Some(Box::new(clusters)), ..AdminHooks::default() });
    let (_, body) = get(&admin, Method::GET, "/clusters", "").await;
    assert!(body.contains("a::10.0.0.1:80::health_flags::/failed_outlier_check/failed_eds_health\n"), "{body}");
    assert!(body.contains("a::10.0.0.1:80::ewma_ms::1.500\n"), "{body}");
}

#[tokio::test]
async fn changes_need_a_post_and_a_hook() {
    let drained = Arc::new(AtomicU64::new(0));
    let count = drained.clone();
    let drain: Box<dyn Fn() + Send + Sync> = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (admin, _) = admin(AdminHooks { drain: Some(drain), ..AdminHooks::default() });
    assert_eq!(get(&admin, Method::GET, "/drain_listeners", "").await.0, 405);
    assert_eq!(get(&admin, Method::POST, "/drain_listeners", "").await.0, 200);
    assert_eq!(get(&admin, Method::POST, "/quitquitquit", "").await.0, 404);
    assert_eq!(get(&admin, Method::GET, "/nowhere", "").await.0, 404);
    assert_eq!(drained.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn metrics_are_served_over_a_connection() {
    let (admin, _) = admin(AdminHooks::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let client = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let request = b"GET /stats/prometheus HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    };
    let answer = tokio::select! {
        () = admin.serve(listener) => unreachable!("serves until cancelled"),
        answer = client => answer,
    };
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("# EOF\n"), "{answer}");
}

#[test]
fn it_can_be_served_by_any_thread() {
    fn is_send(_: impl Future<Output = ()> + Send + 'static) {}
    let (serving, _) = admin(AdminHooks::default());
    is_send(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        serving.serve(listener).await;
    });
}
