//! `leno run`: what the application is given, whose exit code comes out, and what a signal or a dead sidecar does.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use leno_e2e::{ECHO, LIMIT, Mesh, Response, Workload, WorkloadOptions, app, eventually, one_echo};
use nix::sys::signal::Signal;

fn job<'a>(name: &'a str, token: &'a str) -> WorkloadOptions<'a> {
    WorkloadOptions::new(name, name, token)
}

fn shell(script: &str) -> Vec<OsString> {
    ["sh", "-c", script].map(OsString::from).to_vec()
}

/// A server that finishes what it has begun when it gets SIGTERM.
fn graceful(mesh: &Mesh, token: &str) -> anyhow::Result<Workload> {
    mesh.run(&WorkloadOptions {
        port: Some("8080:http"),
        app: &["graceful", "--name", "echo-v1"],
        ..WorkloadOptions::new("echo", "echo-v1", token)
    })
}

/// The number of the request as the application counts: it starts over when the application does.
fn number(response: &Response) -> u64 {
    response.json().ok().and_then(|seen| seen["number"].as_u64()).expect("the application counts")
}

fn entries(mesh: &Mesh) -> String {
    mesh.cli_ok(&["get", "workloadentries", "-o", "name"]).expect("the control plane runs")
}

#[test]
fn the_exit_code_of_the_application_is_passed_on() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["job"], 10)?;
    let exit = [app().into_os_string(), "exit".into(), "42".into()];
    assert_eq!(mesh.run_to_end(&job("job", &token), &exit)?.status.code(), Some(42));
    assert_eq!(mesh.run_to_end(&job("job", &token), &shell("exit 0"))?.status.code(), Some(0));
    let killed = mesh.run_to_end(&job("job", &token), &shell("kill -KILL $$"))?;
    assert_eq!(killed.status.code(), Some(128 + 9));
    let missing = mesh.run_to_end(&job("job", &token), &["/no/such/program".into()])?;
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/no/such/program"));
    let denied = mesh.run_to_end(&job("job", &token), &["/".into()])?;
    assert_eq!(denied.status.code(), Some(126));
    assert_eq!(entries(&mesh), "", "a job that has ended is no workload any more");
    Ok(())
}

#[test]
fn a_workload_that_may_not_join_says_so_and_starts_nothing() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["other"], 1)?;
    let marker = mesh.path().join("started");
    let touch = shell(&format!("touch {}", marker.display()));
    let refused = mesh.run_to_end(&job("job", &token), &touch)?;
    assert_eq!(refused.status.code(), Some(125), "{}", String::from_utf8_lossy(&refused.stderr));
    let refused = mesh.run_to_end(&job("job", ""), &touch)?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(125) && said.contains("token"), "{said}");
    assert!(!marker.exists(), "the application was started without a sidecar");
    Ok(())
}

#[test]
fn the_application_finds_the_mesh_in_its_environment() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["job"], 10)?;
    let options = WorkloadOptions { port: Some("8080:http"), ..job("job", &token) };
    let output = mesh.run_to_end(&options, &[app().into_os_string(), "environment".into()])?;
    let text = String::from_utf8(output.stdout)?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    let proxy = value("HTTP_PROXY").expect("the forward proxy");
    assert!(proxy.starts_with("http://127.") && value("http_proxy") == Some(proxy), "{proxy}");
    assert_eq!(value("NO_PROXY"), Some("localhost,127.0.0.1,api.example"));
    assert_eq!(value("NO_PROXY"), value("no_proxy"));
    assert_eq!((value("PORT"), value("LENO_SERVICE")), (Some("8080"), Some("job")));
    let address = value("LENO_ADDRESS").expect("where to listen");
    assert!(proxy.starts_with(&format!("http://{address}:")), "{proxy} {address}");
    assert!(value("ECHO_SERVICE_HOST").is_some_and(|host| host.starts_with("127.")), "{text}");
    assert_eq!(value("ECHO_SERVICE_PORT"), Some("8080"));
    assert!(!text.contains(&token) && !text.contains("operators-only"), "tokens are nobody else's business");
    Ok(())
}

#[test]
fn sigterm_reaches_the_application_and_its_endpoint_goes() -> anyhow::Result<()> {
    let (mesh, mut echo, client) = one_echo()?;
    assert!(entries(&mesh).contains("echo-v1"));

    echo.signal(Signal::SIGTERM);
    // The application does not handle it: it is ended by it.
    let status = echo.wait();
    assert_eq!((status.code(), status.signal()), (Some(128 + 15), None));
    eventually("the workload is deregistered", LIMIT, || (!entries(&mesh).contains("echo-v1")).then_some(()));
    let begun = Instant::now();
    eventually("the caller hears that nobody is left", LIMIT, || {
        (client.get("echo:8080", "/").ok()?.status == 503).then_some(())
    });
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_request_under_way_at_sigterm_is_finished() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 10)?;
    let mut echo = graceful(&mesh, &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");

    let response = std::thread::scope(|scope| -> anyhow::Result<Response> {
        let slow = scope.spawn(|| client.get("echo:8080", "/hold/a"));
        held(&echo);
        echo.signal(Signal::SIGTERM);
        eventually("the endpoint goes", LIMIT, || (client.get("echo:8080", "/").ok()?.status == 503).then_some(()));
        assert!(!slow.is_finished());
        echo.app_get("/release/a")?;
        slow.join().expect("no panic")
    })?;
    assert_eq!((response.status, response.header("x-app")), (200, Some("echo-v1")));
    assert_eq!(echo.wait().code(), Some(0));
    Ok(())
}

/// Waits until one request hangs in the application.
fn held(workload: &Workload) {
    eventually("the request is with the application", LIMIT, || {
        (workload.app_get("/").ok()?.json().ok()?["held"] == 1).then_some(())
    });
}

#[test]
fn a_sidecar_that_is_told_to_end_finishes_and_comes_back() -> anyhow::Result<()> {
    let (_mesh, echo, client) = one_echo()?;
    let end: [(&str, &dyn Fn() -> anyhow::Result<()>); 2] = [
        ("signal", &|| {
            echo.signal_proxy(Signal::SIGTERM);
            Ok(())
        }),
        ("quit", &|| {
            anyhow::ensure!(echo.admin_post("/quitquitquit")?.status == 200);
            Ok(())
        }),
    ];
    for (key, end) in end {
        let response = std::thread::scope(|scope| -> anyhow::Result<Response> {
            let slow = scope.spawn(|| client.get("echo:8080", &format!("/hold/{key}")));
            held(&echo);
            end()?;
            eventually("the endpoint goes", LIMIT, || (client.get("echo:8080", "/").ok()?.status == 503).then_some(()));
            assert!(!slow.is_finished());
            echo.app_get(&format!("/release/{key}"))?;
            slow.join().expect("no panic")
        })?;
        assert_eq!(response.status, 200, "{key}");
        let after = client.wait_for("echo:8080");
        assert!(number(&after) > number(&response), "the application was started anew");
    }
    Ok(())
}

#[test]
fn a_killed_sidecar_comes_back_and_the_application_stays() -> anyhow::Result<()> {
    let (_mesh, mut echo, client) = one_echo()?;
    let before = number(&client.wait_for("echo:8080"));
    for killed in [&echo, &client] {
        killed.signal_proxy(Signal::SIGKILL);
    }
    let after = number(&client.wait_for("echo:8080"));
    assert!(after > before, "the application was started anew");
    // The supervisor still passes signals on.
    echo.signal(Signal::SIGTERM);
    assert_eq!(echo.wait().code(), Some(128 + 15));
    Ok(())
}

#[test]
fn signals_are_heard_while_the_sidecar_does_not_come_back() -> anyhow::Result<()> {
    let mut mesh = Mesh::start("")?;
    let token = mesh.token(&["job"], 10)?;
    let mut workload = mesh.client("job", &token)?;
    mesh.kill_control();
    // Neither control plane nor state: each start of the sidecar fails from now on.
    std::fs::remove_dir_all(mesh.path().join("state").join("job"))?;
    workload.signal_proxy(Signal::SIGKILL);
    eventually("a start has failed", LIMIT, || mesh.read_log("job").contains("getting an identity").then_some(()));
    let begun = Instant::now();
    workload.signal(Signal::SIGTERM);
    assert_eq!(workload.wait().code(), Some(128 + 15));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    Ok(())
}

#[test]
fn a_restart_needs_neither_token_nor_control_plane() -> anyhow::Result<()> {
    let mut mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    drop(client);
    let client = mesh.client("client", "")?;
    client.wait_for("echo:8080");
    drop(client);

    mesh.kill_control();
    let client = mesh.client("client", "")?;
    assert_eq!(client.get("echo:8080", "/")?.status, 200, "it was ready before it could serve");
    drop(echo);
    let _echo = mesh.echo("echo", "v1", "")?;
    client.wait_for("echo:8080");

    mesh.start_control()?;
    eventually("both are back", LIMIT, || {
        let found = entries(&mesh);
        (found.contains("echo-v1") && client.metric("leno_xds_client_connected", &[]) > 0.0).then_some(())
    });
    client.wait_for("echo:8080");
    Ok(())
}

#[test]
fn the_admin_interface_shows_certificates_and_changes_the_log() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["client"], 10)?;
    let client = mesh.client("client", &token)?;
    let shown: serde_json::Value = serde_json::from_str(&client.admin("/certs"))?;
    let leaf = &shown["certificates"][0]["cert_chain"][0];
    assert_eq!(leaf["subject_alt_names"][0]["uri"], "spiffe://cluster.local/ns/default/sa/client");
    assert_eq!(leaf["days_until_expiration"], "0", "{shown}");
    assert!(leaf["serial_number"].as_str().is_some_and(|serial| serial.len() > 20), "{shown}");
    assert!(shown["certificates"][0]["ca_cert"][0]["expiration_time"].is_string(), "{shown}");

    assert_eq!(client.admin_post("/logging")?.text(), "active loggers:\n  default: info\n");
    assert_eq!(client.admin_post("/logging?level=loud")?.status, 400);
    let answer = client.admin_post("/logging?level=warning&paths=leno_proxy:debug")?.text();
    assert!(answer.contains("leno_proxy: debug") && answer.contains("default: warn"), "{answer}");
    Ok(())
}

#[test]
fn access_logs_are_opened_anew_at_sighup() -> anyhow::Result<()> {
    let (mesh, _echo, client) = one_echo()?;
    let (log, moved) = (mesh.log("client.access"), mesh.log("client.access.1"));
    eventually("the first line", LIMIT, || std::fs::metadata(&log).ok().filter(|file| file.len() > 0));
    let reopen: [&dyn Fn() -> anyhow::Result<()>; 2] = [
        &|| {
            client.signal_proxy(Signal::SIGHUP);
            Ok(())
        },
        &|| {
            anyhow::ensure!(client.admin_post("/reopen_logs")?.status == 200);
            Ok(())
        },
    ];
    for reopen in reopen {
        std::fs::rename(&log, &moved)?;
        reopen()?;
        eventually("the new file", LIMIT, || log.exists().then_some(()));
        assert_eq!(client.get("echo:8080", "/after")?.status, 200);
        eventually("a line in it", LIMIT, || std::fs::read_to_string(&log).ok()?.contains("/after").then_some(()));
    }
    Ok(())
}

#[test]
fn no_request_is_lost_when_one_of_two_servers_goes() -> anyhow::Result<()> {
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 10)?;
    let options = WorkloadOptions {
        port: Some("8080:http"),
        app: &["graceful", "--name", "echo-v1"],
        ..WorkloadOptions::new("echo", "echo-v1", &token)
    };
    let mut first = mesh.run(&options)?;
    let client = mesh.client("client", &token)?;
    let _second = mesh.run(&WorkloadOptions {
        version: "v2",
        name: "echo-v2",
        app: &["graceful", "--name", "echo-v2"],
        ..options
    })?;
    eventually("both answer", LIMIT, || {
        (client.get("echo:8080", "/").ok()?.header("x-app")? == "echo-v2").then_some(())
    });

    let gone = std::sync::atomic::AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let calls = scope.spawn(|| {
            let mut answers = Vec::new();
            while !gone.load(std::sync::atomic::Ordering::Relaxed) {
                answers.push(client.get("echo:8080", "/"));
            }
            answers
        });
        first.signal(Signal::SIGTERM);
        first.wait();
        gone.store(true, std::sync::atomic::Ordering::Relaxed);
        calls.join().expect("no panic")
    });
    for answer in &answers {
        let answer = answer.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert!(answers.len() > 10, "{}", answers.len());
    Ok(())
}
