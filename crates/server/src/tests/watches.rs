use super::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const REVIEWS: &str = "/api/v1/namespaces/default/services/reviews";

struct Events(tokio::io::Lines<BufReader<TcpStream>>);

impl Events {
    async fn open(rig: &Rig, query: &str) -> Self {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        let head = format!(
            "GET /api/v1/services?watch=true&{query} HTTP/1.1\r\nhost: leno\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            let line = self.0.next_line().await.unwrap()?;
            if line.starts_with('{') {
                return Some(serde_json::from_str(&line).unwrap());
            }
        }
    }

    /// Type and name.
    async fn next_words(&mut self) -> (String, String) {
        let event = self.next().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&event["type"]), text(&event["object"]["metadata"]["name"]))
    }
}

fn words(event: &str, name: &str) -> (String, String) {
    (event.to_owned(), name.to_owned())
}

fn service(name: &str, app: &str) -> String {
    json!({ "metadata": { "name": name, "labels": { "app": app } }, "spec": { "ports": [{ "port": 80 }] } }).to_string()
}

async fn version(rig: &Rig) -> u64 {
    let (_, list) = call(rig, "GET /api/v1/services", "").await;
    list["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_watch_tells_what_is_what_comes_and_what_goes_until_the_drain() {
    let rig = rig().await;
    call(&rig, &format!("POST {SERVICES}"), &service("reviews", "a")).await;
    let mut events = Events::open(&rig, "").await;
    assert_eq!(events.next_words().await, words("ADDED", "reviews"));
    call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", "b")).await;
    assert_eq!(events.next_words().await, words("MODIFIED", "reviews"));
    // What the control plane says of an object changes without anybody writing.
    rig.mesh.say(json!({ "conditions": [{ "type": "Accepted", "status": "True" }] }));
    let said = events.next().await.unwrap();
    assert_eq!(said["object"]["status"]["conditions"][0]["type"], "Accepted");
    call(&rig, &format!("DELETE {REVIEWS}"), "").await;
    assert_eq!(events.next_words().await, words("DELETED", "reviews"));
    rig.drain.start();
    assert_eq!(events.next().await, None);
    rig.tasks.join().await;
    assert_eq!(rig.tasks.panics(), 0);
}

#[tokio::test]
async fn a_watch_goes_on_where_a_list_ended() {
    let rig = rig().await;
    call(&rig, &format!("POST {SERVICES}"), &service("a", "x")).await;
    let from = version(&rig).await;
    call(&rig, &format!("POST {SERVICES}"), &service("b", "x")).await;
    call(&rig, &format!("DELETE {SERVICES}/a"), "").await;
    let mut events = Events::open(&rig, &format!("resourceVersion={from}")).await;
    assert_eq!(events.next_words().await, words("ADDED", "b"));
    let gone = events.next().await.unwrap();
    assert_eq!((&gone["type"], &gone["object"]["metadata"]["name"]), (&json!("DELETED"), &json!("a")));
    let last = gone["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let mut later = Events::open(&rig, &format!("resourceVersion={last}")).await;
    call(&rig, &format!("POST {SERVICES}"), &service("c", "x")).await;
    assert_eq!(later.next_words().await, words("ADDED", "c"));
    assert_eq!(events.next_words().await, words("ADDED", "c"));
}

#[tokio::test]
async fn a_version_that_is_not_known_is_gone() {
    let rig = rig().await;
    // Before anybody looked.
    for port in ["80", "81"] {
        let written = leno_api::parse("", &SERVICE.replace("80", port)).resources.remove(0).value;
        rig.mesh.store.put(written, SystemTime::now()).unwrap();
    }
    for unknown in ["1", "999999999"] {
        let mut events = Events::open(&rig, &format!("resourceVersion={unknown}")).await;
        let event = events.next().await.unwrap();
        assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "{event}");
    }
}

#[tokio::test]
async fn who_selects_sees_objects_come_and_go_by_their_labels() {
    let rig = rig().await;
    call(&rig, &format!("POST {SERVICES}"), &service("reviews", "a")).await;
    call(&rig, &format!("POST {SERVICES}"), &service("other", "b")).await;
    let mut events = Events::open(&rig, "labelSelector=app%3Da").await;
    assert_eq!(events.next_words().await, words("ADDED", "reviews"));
    call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", "b")).await;
    assert_eq!(events.next_words().await, words("DELETED", "reviews"));
    call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", "a")).await;
    assert_eq!(events.next_words().await, words("ADDED", "reviews"));
}

#[tokio::test]
async fn a_list_can_be_streamed_and_ends_with_a_bookmark() {
    let rig = rig().await;
    call(&rig, &format!("POST {SERVICES}"), &service("a", "x")).await;
    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1";
    let mut events = Events::open(&rig, query).await;
    assert_eq!(events.next_words().await, words("ADDED", "a"));
    let bookmark = events.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
    // The last word before the end of the time says how far it got.
    assert_eq!(events.next().await.unwrap()["type"], "BOOKMARK");
    assert_eq!(events.next().await, None);
}
