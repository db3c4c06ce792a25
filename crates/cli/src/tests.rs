use std::time::{Duration, SystemTime};

use clap::Parser;
use leno_api::Kind;
use leno_runtime::Tasks;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::files::Input;
use crate::table::Table;
use crate::{ApiClient, Command, config, describe, kinds, rows, run, status, token, validate};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn command(line: &str) -> Result<Command, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace()).map(|arguments| arguments.command)
}

/// Answers one connection with `answer` and gives the request.
async fn answering(answer: String) -> (String, tokio::sync::oneshot::Receiver<String>, Tasks) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, request) = tokio::sync::oneshot::channel();
    let tasks = Tasks::new();
    tasks.spawn("server", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"\r\n\r\n") && !request.ends_with(b"END") {
            let count = stream.read(&mut buffer).await.unwrap();
            request.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _ = sender.send(String::from_utf8(request).unwrap());
    });
    (url, request, tasks)
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn every_command_is_well_formed_and_has_an_example() {
    use clap::CommandFactory;
    let commands = Arguments::command();
    commands.clone().debug_assert();
    for command in commands.get_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("leno "), "{}", command.get_name());
        assert!(command.get_arguments().all(|argument| !["log", "log_format"].contains(&argument.get_id().as_str())));
    }
}

#[test]
fn command_lines_are_read() {
    for line in [
        "leno apply -f a.yaml --dry-run",
        "leno apply -f a.yaml --dry-run=server",
        "leno diff --from a -f b -o xds",
        "leno explain --from a/b --to http://c:80/ -X POST",
        "leno get vs reviews -n shop -o yaml",
        "leno get Services -A -o wide",
        "leno delete dr reviews",
        "leno delete -f a.yaml",
        "leno token create --service reviews --service-account ratings --ttl 10m --uses 2 -o json",
        "leno config clusters --admin 127.0.0.1:15000",
        "leno status -o json --server http://127.0.0.1:1",
    ] {
        command(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    for line in ["leno get toasters", "leno delete vs", "leno apply", "leno token create", "leno get vs x -A"] {
        assert_eq!(command(line).unwrap_err().exit_code(), 2, "{line}");
    }
}

#[test]
fn paths_name_group_version_namespace_and_name() {
    assert_eq!(
        kinds::path(Kind::VirtualService, Some("shop"), Some("reviews")).unwrap(),
        "/apis/networking.istio.io/v1/namespaces/shop/virtualservices/reviews"
    );
    assert_eq!(kinds::path(Kind::Service, None, None).unwrap(), "/api/v1/services");
    for name in ["a/b", "", "..", "a?b"] {
        assert!(kinds::path(Kind::Service, Some("shop"), Some(name)).is_err(), "{name}");
    }
}

#[test]
fn tables_are_aligned_and_show_gaps() {
    let mut table = Table::new(["NAME", "STATE"]);
    assert!(table.is_empty());
    table.row(["reviews-1", "in sync"]);
    table.row(["a", ""]);
    assert_eq!(table.render(), "NAME       STATE\nreviews-1  in sync\na          -\n");
}

#[test]
fn objects_are_rows_with_their_conditions() {
    let object = json!({
        "metadata": {"name": "reviews", "namespace": "shop", "labels": {"app": "reviews"}},
        "spec": {"hosts": ["reviews", "reviews.shop"]},
        "status": {"conditions": [
            {"type": "Accepted", "status": "True", "reason": "Accepted"},
            {"type": "Programmed", "status": "False", "reason": "Pending", "message": "2 resources wait"},
        ]},
    });
    let table = rows::objects(Kind::VirtualService, std::slice::from_ref(&object), true, true).render();
    assert_eq!(
        table,
        "NAMESPACE  NAME     HOSTS                 ACCEPTED  PROGRAMMED  LABELS       MESSAGE\n\
         shop       reviews  reviews,reviews.shop  True      False       app=reviews  2 resources wait\n"
    );
    let text = describe::describe(Kind::VirtualService, &object).unwrap();
    assert!(text.starts_with("VirtualService shop/reviews\n") && text.contains("Pending   2 resources wait"), "{text}");
}

#[test]
fn status_tells_who_is_behind_and_why() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(165);
    let status = json!({"revision": 4, "proxies": [
        {"name": "a-1", "namespace": "default", "flavor": "Leno", "address": "127.0.0.1", "connectedSince": 100,
         "inSync": true, "taken": {"cluster": 3, "listener": 2}, "pending": 0, "rejected": []},
        {"name": "b-1", "namespace": "default", "flavor": "Leno", "address": null, "connectedSince": 160,
         "inSync": false, "taken": {}, "pending": 0,
         "rejected": [{"type": "cluster", "name": "outbound|80||x", "reason": "no"}]},
    ], "problems": [{"object": {"kind": "Service", "namespace": "default", "name": "x"}, "field": "spec.ports",
        "severity": "error", "message": "bad"}]});
    assert!(!status::in_sync(&status) && status::in_sync(&json!({"proxies": []})));
    assert!(status::has_errors(&status) && !status::has_errors(&json!({"problems": [{"severity": "warning"}]})));
    let text = status::render(&status, now).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "revision 4");
    assert!(lines[2].contains("in sync") && lines[2].ends_with("1m 5s"), "{text}");
    assert!(lines[3].contains("1 rejected"), "{text}");
    assert_eq!(lines[4], "b-1 rejects cluster outbound|80||x: no");
    assert_eq!(lines[5], "error: Service default/x: spec.ports: bad");
}

#[test]
fn a_kind_that_is_nearly_right_is_recognised() {
    for (word, meant) in [("serv", "service"), ("virtalservices", "virtualservice"), ("HTTPRoutess", "httproute")] {
        let error = kinds::parse_kind(word).unwrap_err();
        assert!(error.starts_with(&format!("did you mean {meant}?")), "{error}");
    }
    assert!(kinds::parse_kind("pods").unwrap_err().starts_with("there are authorizationpolicy"));
}

#[test]
fn tokens_and_configuration_are_tables() {
    let tokens =
        json!([{"id": "1a", "namespace": "default", "serviceAccounts": ["x", "y"], "usesLeft": 1, "expires": 0}]);
    assert!(token::render(&tokens).contains("1a  default    x,y               1          1970-01-01T00:00:00Z"));
    let dump = json!({"config": {"endpoints": {"outbound|80||x": {"localities": [
        {"priority": 0, "endpoints": [{"address": "127.0.0.1:1", "health": "healthy", "weight": 1,
         "workload": {"workload": "x-1"}}]}]}}}});
    let table = config::render("endpoints", config::config_of(&dump));
    assert!(table.ends_with("outbound|80||x  127.0.0.1:1  healthy  1       0         x-1\n"), "{table}");
    assert_eq!(config::render("listeners", config::config_of(&dump)), "no listeners\n");
}

#[test]
fn validate_names_file_line_and_field() {
    let text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: reviews\nspec:\n  prots: []\n---\n\
                apiVersion: v1\nkind: Service\nmetadata: {name: ratings}\nspec: {ports: [{port: 80}]}\n---\n\
                apiVersion: v1\nkind: Service\nmetadata: {name: ratings}\nspec: {ports: [{port: 80}]}\n";
    let inputs = [Input { source: "bad.yaml".to_owned(), text: text.to_owned() }];
    let (count, problems) = validate::check(&inputs, &"cluster.local".parse().unwrap());
    assert_eq!(count, 1);
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(lines[0].starts_with("bad.yaml:6:") && lines[0].contains("prots"), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("bad.yaml:15:18: error: Service default/ratings")), "{lines:?}");
}

#[test]
fn validate_exits_by_what_it_finds() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let validate = || run(command(&format!("leno validate -f {}", directory.path().display())).unwrap()).unwrap();
    assert_eq!(validate(), 2);
    write("good.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\nspec: {ports: [{port: 80}]}\n");
    assert_eq!(validate(), 0);
    write("bad.yml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: [{port: eighty}]}\n");
    assert_eq!(validate(), 1);
}

#[test]
fn analyze_exits_by_what_it_finds_and_what_is_suppressed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("route.yaml");
    let text = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\nspec: { hosts: [a], http: \
                [{ route: [{ destination: { host: gone } }] }] }\n";
    std::fs::write(&file, text).unwrap();
    let analyze = |more: &str| {
        let line = format!("leno analyze {} {more}", file.display());
        let mut words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        words.iter_mut().for_each(|word| *word = word.replace('+', " "));
        run(Arguments::try_parse_from(words).unwrap().command).unwrap()
    };
    assert_eq!(analyze(""), 1);
    assert_eq!(analyze("-o sarif"), 1);
    assert_eq!(analyze("-S IST0101=VirtualService+*"), 0);
    assert_eq!(analyze("-n other"), 1, "objects that name no namespace are in it");
    assert_eq!(analyze("--analyzer gateway.SecretAnalyzer"), 0);
    assert_eq!(analyze("--analyzer nothing"), 2);
    std::fs::write(&file, text.replace("{ name: a }", "{ name: a, namespace: shop }")).unwrap();
    assert_eq!((analyze("-n shop"), analyze("-n other")), (1, 0));
    let annotated = "{ name: a, annotations: { galley.istio.io/analyze-suppress: \"IST0101\" } }";
    std::fs::write(&file, text.replace("{ name: a }", annotated)).unwrap();
    assert_eq!(analyze(""), 0);
}

#[tokio::test]
async fn calls_carry_the_token_and_the_body() {
    let (url, request, _tasks) = answering(response("200 OK", "{\"results\":[]}")).await;
    let client = ApiClient::new(&url, "t0ken").unwrap();
    assert_eq!(client.post_text("/apply?dryRun=true", "textEND").await.unwrap(), json!({"results": []}));
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /apply?dryRun=true HTTP/1.1\r\n") && request.ends_with("\r\n\r\ntextEND"));
    assert!(request.contains("authorization: Bearer t0ken\r\n"), "{request}");
    assert!(!format!("{client:?}").contains("t0ken"));
}

#[tokio::test]
async fn a_refusal_says_what_the_server_says() {
    let body = "{\"code\":404,\"reason\":\"NotFound\",\"message\":\"no Service default/x\",\"details\":null}";
    let (url, _request, _tasks) = answering(response("404 Not Found", body)).await;
    let error = ApiClient::new(&url, "").unwrap().get("/x").await.unwrap_err();
    assert_eq!(error.to_string(), "no Service default/x (404 Not Found)");
}

#[tokio::test]
async fn a_watch_gives_every_line_until_the_end() {
    let body = "{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"DELETED\",\"object\":{}}\n";
    let (url, _request, _tasks) = answering(response("200 OK", body)).await;
    let mut seen = Vec::new();
    let client = ApiClient::new(&url, "").unwrap();
    let take = |event: serde_json::Value| {
        seen.push(event["type"].as_str().unwrap().to_owned());
        Ok(())
    };
    client.watch("/x?watch=true", take).await.unwrap();
    assert_eq!(seen, ["ADDED", "DELETED"]);
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = ApiClient::new(&address.to_string(), "").unwrap().get("/status").await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot reach http://{address}")), "{error:#}");
    assert!(ApiClient::new("https://127.0.0.1", "").is_err());
}

#[test]
fn calls_can_be_made_from_any_task() {
    fn is_send<T: Send>(_: T) {}
    let client = ApiClient::new("http://127.0.0.1:1", "").unwrap();
    is_send(client.get("/status"));
    is_send(client.post("/tokens", &json!({})));
}
