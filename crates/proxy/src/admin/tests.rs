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
    let (status, body) = get(&admin, Method::GET, "/config", "").await;
    let dump: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(status, 200);
    assert_eq!(dump["config"]["clusters"]["outbound|80||a"]["name"], "outbound|80||a");
}

#[tokio::test]
async fn clusters_are_listed_as_envoy_does() {
    let endpoint = EndpointStatus {
        checked: None,
        hostname: String::new(),
        locality: leno_names::Locality::default(),
        priority: 0,
        counts: EndpointCounts::default(),
        address: ([10, 0, 0, 1], 80).into(),
        health: EndpointHealth::Unhealthy,
        is_ejected: true,
        active_requests: 3,
        latency: Duration::from_micros(1500),
        weight: 1,
    };
    let config = Arc::new(Cluster::new("a", Discovery::Eds { service_name: "a".to_owned() }));
    let status = ClusterStatus { config, breakers: [[false; 4]; 2], is_dynamic: true, endpoints: vec![endpoint] };
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
    let drain: Ask<()> = Box::new(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    });
    let (admin, _) = admin(AdminHooks { drain: Some(drain), ..AdminHooks::default() });
    assert_eq!(get(&admin, Method::GET, "/drain_listeners", "").await.0, 405);
    assert_eq!(get(&admin, Method::POST, "/drain_listeners", "").await.0, 200);
    assert_eq!(get(&admin, Method::POST, "/quitquitquit", "").await.0, 404);
    assert_eq!(get(&admin, Method::GET, "/nowhere", "").await.0, 404);
    assert_eq!(drained.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_log_is_shown_and_changed_as_envoy_does() {
    let filter = Arc::new(std::sync::Mutex::new("info".to_owned()));
    let (shown, set) = (filter.clone(), filter);
    let hooks = AdminHooks {
        log_filter: Some(Box::new(move || shown.lock().expect("no panic").clone())),
        set_log_filter: Some(Box::new(move |filter| {
            filter.clone_into(&mut set.lock().expect("no panic"));
            Ok(())
        })),
        ..AdminHooks::default()
    };
    let (admin, _) = admin(hooks);
    assert_eq!(get(&admin, Method::POST, "/logging", "").await, (200, "active loggers:\n  default: info\n".to_owned()));
    assert_eq!(get(&admin, Method::GET, "/logging", "level=debug").await.0, 405);
    let changed = get(&admin, Method::POST, "/logging", "level=debug").await;
    assert_eq!(changed, (200, "active loggers:\n  default: debug\n".to_owned()));
    assert_eq!(get(&admin, Method::POST, "/logging", "level=loud").await.0, 400);
    assert_eq!(get(&admin, Method::POST, "/logging", "").await, changed);
}

#[tokio::test]
async fn certificates_are_shown_as_envoy_does() {
    let summary = CertificateSummary {
        serial_number: "8f0a".to_owned(),
        uris: vec!["spiffe://cluster.local/ns/default/sa/a".to_owned()],
        not_before: SystemTime::UNIX_EPOCH,
        not_after: SystemTime::now() + Duration::from_secs(2 * 24 * 3600 + 60),
    };
    let certificates = move || CertificatesInUse { chain: vec![summary.clone()], roots: Vec::new() };
    let (admin, _) = admin(AdminHooks { certificates: Some(Box::new(certificates)), ..AdminHooks::default() });
    let (_, body) = get(&admin, Method::GET, "/certs", "").await;
    let shown: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let leaf = &shown["certificates"][0]["cert_chain"][0];
    assert_eq!(leaf["serial_number"], "8f0a");
    assert_eq!(leaf["subject_alt_names"][0]["uri"], "spiffe://cluster.local/ns/default/sa/a");
    assert_eq!((&leaf["days_until_expiration"], &leaf["valid_from"]), (&"2".into(), &"1970-01-01T00:00:00Z".into()));
}

#[tokio::test]
async fn metrics_are_served_over_a_connection() {
    let (admin, _) = admin(AdminHooks::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("bound");
    let client = async {
        let mut stream = tokio::net::TcpStream::connect(address).await.expect("connected");
        let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
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
