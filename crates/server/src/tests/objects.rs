use super::*;

const SERVICES: &str = "/api/v1/namespaces/default/services";
const REVIEWS: &str = "/api/v1/namespaces/default/services/reviews";

fn service(name: &str, port: u16) -> String {
    json!({ "metadata": { "name": name }, "spec": { "ports": [{ "port": port }] } }).to_string()
}

/// With a content type.
async fn patch(rig: &Rig, path: &str, kind: &str, body: &Value) -> (u16, Value) {
    call(rig, &format!("PATCH {path} HTTP/1.1\r\ncontent-type: application/{kind}\r\nx-rest:"), &body.to_string()).await
}

#[tokio::test]
async fn objects_are_made_read_changed_and_deleted() {
    let rig = rig().await;
    assert_eq!(call(&rig, &format!("GET {REVIEWS}"), "").await.0, 404);
    let (code, made) = call(&rig, &format!("POST {SERVICES}?dryRun=All"), &service("reviews", 80)).await;
    assert_eq!((code, made["metadata"].get("resourceVersion")), (201, None));
    assert_eq!(call(&rig, &format!("GET {REVIEWS}"), "").await.0, 404);
    let (code, made) = call(&rig, &format!("POST {SERVICES}"), &service("reviews", 80)).await;
    assert_eq!((code, &made["metadata"]["generation"], &made["kind"]), (201, &json!(1), &json!("Service")));
    assert!(made["metadata"]["uid"].is_string() && made["metadata"]["creationTimestamp"].is_string());
    let (code, again) = call(&rig, &format!("POST {SERVICES}"), &service("reviews", 80)).await;
    assert_eq!((code, &again["reason"], &again["details"]["name"]), (409, &json!("AlreadyExists"), &json!("reviews")));

    let (code, changed) = call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", 81)).await;
    assert_eq!((code, &changed["metadata"]["generation"]), (200, &json!(2)));
    let labelled = json!({ "metadata": { "labels": { "a": "b" } } });
    let (code, labelled) = patch(&rig, REVIEWS, "merge-patch+json", &labelled).await;
    assert_eq!(
        (code, &labelled["metadata"]["generation"], &labelled["metadata"]["uid"]),
        (200, &json!(2), &made["metadata"]["uid"])
    );
    assert_ne!(labelled["metadata"]["resourceVersion"], changed["metadata"]["resourceVersion"]);

    let (_, list) = call(&rig, "GET /api/v1/services?labelSelector=a%3Db", "").await;
    assert_eq!((&list["kind"], list["items"].as_array().unwrap().len()), (&json!("ServiceList"), 1));
    let (_, list) = call(&rig, "GET /api/v1/services?labelSelector=a%3Dc", "").await;
    assert_eq!(list["items"], json!([]));
    let (code, gone) = call(&rig, &format!("DELETE {REVIEWS}?propagationPolicy=Foreground"), "").await;
    assert_eq!((code, &gone["status"], &gone["details"]["uid"]), (200, &json!("Success"), &made["metadata"]["uid"]));
    assert_eq!(call(&rig, &format!("DELETE {REVIEWS}"), "").await.0, 404);
    assert_eq!(call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", 81)).await.0, 404);
}

#[tokio::test]
async fn who_has_read_an_old_version_may_not_write() {
    let rig = rig().await;
    let (_, first) = call(&rig, &format!("POST {SERVICES}"), &service("reviews", 80)).await;
    let (_, second) = call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", 81)).await;
    let mut stale = first.clone();
    stale["spec"]["ports"][0]["port"] = json!(82);
    let (code, answer) = call(&rig, &format!("PUT {REVIEWS}"), &stale.to_string()).await;
    assert_eq!((code, &answer["reason"]), (409, &json!("Conflict")));
    let mut other = second.clone();
    other["metadata"]["uid"] = json!("another");
    assert_eq!(call(&rig, &format!("PUT {REVIEWS}"), &other.to_string()).await.0, 409);
    // What the control plane says of it meanwhile is no change of a writer's.
    rig.mesh.say(json!({ "conditions": [{ "type": "Accepted", "status": "True" }] }));
    let (_, third) = call(&rig, &format!("GET {REVIEWS}"), "").await;
    assert_ne!(third["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    assert_eq!(third["status"]["conditions"][0]["type"], "Accepted");
    let mut fresh = second.clone();
    fresh["spec"]["ports"][0]["port"] = json!(83);
    assert_eq!(call(&rig, &format!("PUT {REVIEWS}"), &fresh.to_string()).await.0, 200);
    let stale = json!({ "preconditions": { "resourceVersion": second["metadata"]["resourceVersion"] } });
    assert_eq!(call(&rig, &format!("DELETE {REVIEWS}"), &stale.to_string()).await.0, 409);
}

#[tokio::test]
async fn status_is_written_at_its_own_path_only() {
    let rig = rig().await;
    let mut object: Value = serde_json::from_str(&service("reviews", 80)).unwrap();
    object["status"] = json!({ "loadBalancer": {} });
    let (_, made) = call(&rig, &format!("POST {SERVICES}"), &object.to_string()).await;
    assert_eq!(made.get("status"), None);
    let status =
        json!({ "status": { "conditions": [{ "type": "Theirs", "status": "True" }] }, "spec": { "ports": [] } });
    let (code, answer) = patch(&rig, &format!("{REVIEWS}/status"), "merge-patch+json", &status).await;
    assert_eq!(
        (code, &answer["spec"]["ports"][0]["port"], &answer["metadata"]["generation"]),
        (200, &json!(80), &json!(1))
    );
    assert_eq!(answer["metadata"]["managedFields"][1]["subresource"], "status");
    // Ours stand beside theirs.
    rig.mesh.say(json!({ "conditions": [{ "type": "Accepted", "status": "True" }] }));
    let (_, changed) = call(&rig, &format!("PUT {REVIEWS}"), &service("reviews", 81)).await;
    let types: Vec<_> =
        changed["status"]["conditions"].as_array().unwrap().iter().map(|known| &known["type"]).collect();
    assert_eq!(types, ["Theirs", "Accepted"]);
    assert_eq!(changed["status"]["conditions"][1]["observedGeneration"], 2);
}

#[tokio::test]
async fn what_has_finalizers_waits_for_them() {
    let rig = rig().await;
    let object =
        json!({ "metadata": { "name": "reviews", "finalizers": ["a/b"] }, "spec": { "ports": [{ "port": 80 }] } });
    call(&rig, &format!("POST {SERVICES}"), &object.to_string()).await;
    let (code, ending) = call(&rig, &format!("DELETE {REVIEWS}"), "").await;
    assert_eq!((code, ending["metadata"]["deletionTimestamp"].is_string()), (200, true));
    let (_, still) = call(&rig, &format!("DELETE {REVIEWS}"), "").await;
    assert_eq!(still["metadata"]["deletionTimestamp"], ending["metadata"]["deletionTimestamp"]);
    let (code, _) = patch(&rig, REVIEWS, "merge-patch+json", &json!({ "metadata": { "finalizers": null } })).await;
    assert_eq!(code, 200);
    assert_eq!(call(&rig, &format!("GET {REVIEWS}"), "").await.0, 404);
}

#[tokio::test]
async fn a_list_goes_on_where_it_stopped() {
    let rig = rig().await;
    for name in ["a", "b", "c", "d", "e"] {
        call(&rig, &format!("POST {SERVICES}"), &service(name, 80)).await;
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    let mut versions = std::collections::BTreeSet::new();
    loop {
        let (code, page) = call(&rig, &format!("GET /api/v1/services?limit=2&continue={next}"), "").await;
        assert_eq!(code, 200, "{page}");
        let names =
            page["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned());
        seen.extend(names);
        versions.insert(page["metadata"]["resourceVersion"].to_string());
        match page["metadata"]["continue"].as_str() {
            Some(token) => next = token.to_owned(),
            None => break,
        }
    }
    assert_eq!((seen.concat().as_str(), versions.len()), ("abcde", 1));
    assert_eq!(call(&rig, "GET /api/v1/services?limit=2&continue=nonsense", "").await.0, 400);
    let (_, gone) = call(&rig, &format!("DELETE {SERVICES}?fieldSelector=metadata.name%21%3Dc"), "").await;
    assert_eq!(gone["items"].as_array().unwrap().len(), 4);
    assert_eq!(call(&rig, "GET /api/v1/services", "").await.1["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn kinds_are_read_in_every_version() {
    let rig = rig().await;
    let route = json!({ "metadata": { "name": "a" }, "spec": { "hosts": ["a"], "http": [{ "route": [{ "destination": { "host": "a" } }] }] } });
    let path = |version: &str| format!("/apis/networking.istio.io/{version}/namespaces/default/virtualservices");
    let (code, made) = call(&rig, &format!("POST {}", path("v1beta1")), &route.to_string()).await;
    assert_eq!((code, &made["apiVersion"]), (201, &json!("networking.istio.io/v1beta1")));
    let (_, read) = call(&rig, &format!("GET {}/a", path("v1")), "").await;
    assert_eq!((&read["apiVersion"], &read["spec"]), (&json!("networking.istio.io/v1"), &made["spec"]));
    // Nothing changes by being written in another version.
    let (_, same) = call(&rig, &format!("PUT {}/a", path("v1")), &read.to_string()).await;
    assert_eq!(same["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn a_text_is_applied_as_a_whole() {
    let rig = rig().await;
    let (code, answer) = call(&rig, "POST /apply?source=a.yaml&dryRun=true", SERVICE).await;
    assert_eq!((code, &answer["results"][0]["outcome"]), (200, &json!("created")));
    assert_eq!(call(&rig, &format!("GET {REVIEWS}"), "").await.0, 404);
    for outcome in ["created", "unchanged"] {
        assert_eq!(call(&rig, "POST /apply", SERVICE).await.1["results"][0]["outcome"], outcome);
    }
    let bad = "apiVersion: v1\nkind: Service\nmetadata: {name: ratings}\nspec: {prots: []}\n";
    let (_, answer) =
        call(&rig, "POST /apply?source=a.yaml", &format!("{bad}---\n{}", SERVICE.replace("80", "81"))).await;
    let outcomes: Vec<_> = answer["results"].as_array().unwrap().iter().map(|result| &result["outcome"]).collect();
    assert_eq!(
        (outcomes, &answer["results"][0]["problems"][0]["line"]),
        (vec![&json!("rejected"), &json!("configured")], &json!(4))
    );
}

#[tokio::test]
async fn what_is_wrong_is_said_as_a_status() {
    let rig = rig().await;
    call(&rig, &format!("POST {SERVICES}"), &service("reviews", 80)).await;
    let virtual_services = "/apis/networking.istio.io/v1/namespaces/default/virtualservices";
    for (head, body, code, reason) in [
        ("GET /apis/wrong.group/v1/virtualservices", "", 404, "NotFound"),
        ("GET /api/v1/toasters", "", 404, "NotFound"),
        ("GET /nothing", "", 404, "NotFound"),
        ("PATCH /status", "", 405, "MethodNotAllowed"),
        ("POST /api", "", 405, "MethodNotAllowed"),
        ("PUT /api/v1/namespaces/default/services", "", 405, "MethodNotAllowed"),
        ("GET /api/v1/services?watch=perhaps", "", 400, "BadRequest"),
        ("GET /api/v1/services?labelSelector=a%20b", "", 400, "BadRequest"),
        ("GET /api/v1/services?fieldSelector=spec.type%3Da", "", 400, "BadRequest"),
        ("GET /api/v1/services?resourceVersion=99999999", "", 504, "Timeout"),
        (&format!("PUT {REVIEWS}"), "{\"metadata\":{\"name\":\"ratings\"}}", 400, "BadRequest"),
        (&format!("PUT {REVIEWS}"), "{\"kind\":\"Pod\"}", 400, "BadRequest"),
        (&format!("PUT {REVIEWS}"), "{", 400, "BadRequest"),
        (&format!("PUT {REVIEWS}"), "{\"spec\":{\"prots\":[]}}", 422, "Invalid"),
        (&format!("POST {SERVICES}?dryRun=Some"), "{}", 400, "BadRequest"),
        (&format!("POST {SERVICES}"), "{\"spec\":{}}", 422, "Invalid"),
        (
            &format!("POST {virtual_services} HTTP/1.1\r\ncontent-type: application/x\r\nx-rest:"),
            "{}",
            415,
            "UnsupportedMediaType",
        ),
        (&format!("PATCH {REVIEWS}"), "{}", 415, "UnsupportedMediaType"),
        (&format!("GET {REVIEWS} HTTP/1.1\r\naccept: text/html\r\nx-rest:"), "", 406, "NotAcceptable"),
        ("POST /tokens", "{\"serviceAccounts\":[]}", 422, "Invalid"),
        ("POST /tokens", "{\"nonsense\":1}", 400, "BadRequest"),
        ("DELETE /tokens/zzz", "", 404, "NotFound"),
    ] {
        let (found, answer) = call(&rig, head, body).await;
        let wanted = (code, json!(code), json!(reason), json!("Status"));
        assert_eq!(
            (found, answer["code"].clone(), answer["reason"].clone(), answer["kind"].clone()),
            wanted,
            "{head}: {answer}"
        );
        assert!(answer["message"].is_string(), "{head}: {answer}");
    }
    let (_, answer) = call(&rig, &format!("PUT {REVIEWS}"), "{\"spec\":{\"prots\":[]}}").await;
    assert_eq!(answer["details"]["causes"][0]["field"], "spec.prots");
}

#[tokio::test]
async fn what_is_odd_is_a_warning() {
    let rig = rig().await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let body = service("odd", 80);
    let head = format!(
        "POST {SERVICES} HTTP/1.1\r\nhost: leno\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("warning: 299 - \"spec.ports: this is \\\"odd\\\"\""), "{answer}");
}

#[tokio::test]
async fn server_side_apply_makes_shares_and_refuses() {
    let rig = rig().await;
    let apply = async |manager: &str, force: bool, port: u16, name: &str| {
        let config = json!({ "spec": { "ports": [{ "port": port, "name": name }] } });
        patch(&rig, &format!("{REVIEWS}?fieldManager={manager}&force={force}"), "apply-patch+yaml", &config).await
    };
    assert_eq!(apply("a", false, 80, "http").await.0, 201);
    assert_eq!(apply("b", false, 80, "http").await.0, 200);
    let (code, answer) = apply("b", false, 80, "web").await;
    assert_eq!((code, &answer["details"]["causes"][0]["reason"]), (409, &json!("FieldManagerConflict")));
    assert_eq!(apply("b", true, 80, "web").await.1["spec"]["ports"][0]["name"], "web");
    let config = json!({ "spec": {} });
    assert_eq!(patch(&rig, REVIEWS, "apply-patch+yaml", &config).await.0, 400);
}
