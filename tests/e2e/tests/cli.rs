//! The commands against a running control plane, as people and scripts use them.

use std::io::Read;
use std::process::{Command, Stdio};

use leno_e2e::{LIMIT, Mesh, REVIEWS as SERVICE, REVIEWS_ROUTE as ROUTE, WorkloadOptions, app, eventually, leno, said};
use serde_json::Value;

#[test]
fn an_object_is_applied_shown_and_deleted() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let path = mesh.file("all.yaml", &format!("{SERVICE}---\n{ROUTE}"));
    let dry = mesh.cli_ok(&["apply", "-f", &path, "--dry-run"])?;
    assert!(dry.contains("service default/reviews created (dry run)"), "{dry}");
    assert_eq!(mesh.cli_ok(&["get", "services", "-o", "name"])?, "");

    let applied = mesh.cli_ok(&["apply", "-f", &path])?;
    assert_eq!(applied, "service default/reviews created\nvirtualservice default/reviews created\n");
    assert!(mesh.cli_ok(&["apply", "-f", &path])?.contains("virtualservice default/reviews unchanged"));
    let changed = mesh.file("changed.yaml", &ROUTE.replace("2s", "3s"));
    assert_eq!(mesh.cli_ok(&["apply", "-f", &changed])?, "virtualservice default/reviews configured\n");

    let shown: Value = serde_json::from_str(&mesh.cli_ok(&["get", "vs", "reviews", "-o", "json"])?)?;
    assert_eq!(shown["spec"]["http"][0]["timeout"], "3s");
    assert_eq!(shown["metadata"]["labels"]["team"], "red");
    assert!(mesh.cli_ok(&["get", "virtualservices", "-A"])?.contains("reviews"));
    let described = mesh.cli_ok(&["describe", "virtualservice", "reviews"])?;
    assert!(described.contains("team: red") && described.contains("Accepted"), "{described}");

    assert_eq!(mesh.cli_ok(&["delete", "virtualservice", "reviews"])?, "virtualservice default/reviews deleted\n");
    assert_eq!(mesh.cli_ok(&["get", "virtualservices", "-o", "name"])?, "");
    for missing in
        [&["delete", "virtualservice", "reviews"][..], &["describe", "vs", "reviews"], &["get", "vs", "reviews"]]
    {
        let output = mesh.cli(missing)?;
        assert!(!output.status.success() && said(&output).contains("reviews"), "{missing:?}: {}", said(&output));
    }
    mesh.cli_ok(&["delete", "-f", &mesh.file("service.yaml", SERVICE)])?;
    assert_eq!(mesh.cli_ok(&["get", "services", "-o", "name"])?, "");
    Ok(())
}

#[test]
fn changes_requests_and_mistakes_are_told_of_a_running_mesh() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    mesh.cli_ok(&["apply", "-f", &mesh.file("service.yaml", SERVICE)])?;
    let path = mesh.file("route.yaml", ROUTE);
    let diff = mesh.cli(&["diff", "-f", &path])?;
    let expected = "by VirtualService default/reviews (added, ";
    assert_eq!(diff.status.code(), Some(1), "{}", said(&diff));
    assert!(
        said(&diff).contains("~ routes outbound|9080||reviews") && said(&diff).contains(expected),
        "{}",
        said(&diff)
    );
    let dry = mesh.cli_ok(&["apply", "-f", &path, "--dry-run=server"])?;
    assert!(dry.contains("created (dry run)") && dry.contains(expected), "{dry}");

    mesh.cli_ok(&["apply", "-f", &path])?;
    let same = mesh.cli_ok(&["diff", "-f", &path])?;
    assert_eq!(same, "nothing changes for any proxy\n");
    let told = mesh.cli(&["explain", "--from", "default/x", "--to", "http://reviews:9080/"])?;
    assert_eq!(told.status.code(), Some(1), "nobody serves it: {}", said(&told));
    assert!(
        said(&told).contains("2s for the whole exchange") && said(&told).contains("none: 503 (UH)"),
        "{}",
        said(&told)
    );

    mesh.cli_ok(&["analyze"])?;
    mesh.cli_ok(&["apply", "-f", &mesh.file("wrong.yaml", &ROUTE.replace("host: reviews", "host: gone"))])?;
    let found = mesh.cli(&["analyze", "-o", "json"])?;
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(said(&found).contains("IST0101"), "{}", said(&found));
    Ok(())
}

#[test]
fn a_slip_is_named_with_its_place_and_nothing_is_applied() -> anyhow::Result<()> {
    let mesh = Mesh::start(SERVICE)?;
    let path = mesh.file("slip.yaml", &ROUTE.replace("timeout", "timeuot"));
    for arguments in [&["apply", "-f", &path][..], &["apply", "--dry-run", "-f", &path], &["validate", "-f", &path]] {
        let output = mesh.cli(arguments)?;
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        let place = format!("{path}:7:");
        assert!(said.contains(&place) && said.contains("timeuot") && said.contains("timeout"), "{arguments:?}: {said}");
    }
    assert_eq!(mesh.cli_ok(&["get", "virtualservices", "-o", "name"])?, "");

    let broken = mesh.file("broken.yaml", "kind: [");
    assert_eq!(mesh.cli(&["apply", "-f", &broken])?.status.code(), Some(1));
    let missing = mesh.cli(&["apply", "-f", "/no/such/file.yaml"])?;
    assert!(!missing.status.success() && said(&missing).contains("/no/such/file.yaml"), "{}", said(&missing));
    let kind = mesh.cli(&["get", "virtalservices"])?;
    assert!(kind.status.code() == Some(2) && said(&kind).contains("virtualservice"), "{}", said(&kind));
    Ok(())
}

#[test]
fn validate_needs_no_mesh() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let good = mesh.file("good.yaml", &format!("{SERVICE}---\n{ROUTE}"));
    let bad = mesh.file("bad.yaml", &ROUTE.replace("2s", "soon"));
    let dangling =
        mesh.file("dangling.yaml", &format!("{SERVICE}---\n{}", ROUTE.replace("host: reviews", "host: nobody")));
    let validate = |path: &str| {
        Command::new(leno()).args(["validate", "-f", path]).env("LENO_SERVER", "http://127.0.0.1:1").output()
    };
    let output = validate(&good)?;
    assert!(output.status.success() && said(&output).contains("2 objects, 0 errors"), "{}", said(&output));
    for path in [bad, dangling] {
        let output = validate(&path)?;
        assert!(output.status.code() == Some(1) && said(&output).contains(&path), "{}", said(&output));
    }
    Ok(())
}

#[test]
fn what_was_applied_and_who_may_join_survives_a_restart() -> anyhow::Result<()> {
    let mut mesh = Mesh::start("")?;
    mesh.cli_ok(&["apply", "-f", &mesh.file("all.yaml", &format!("{SERVICE}---\n{ROUTE}"))])?;
    let token = mesh.token(&["reviews", "client"], 2)?;
    let client = mesh.client("client", &token)?;
    let roots = |workload: &leno_e2e::Workload| -> anyhow::Result<Value> {
        let mut shown: Value = serde_json::from_str(&workload.admin("/certs"))?;
        Ok(shown["certificates"][0]["ca_cert"].take())
    };
    let (before, admin) = (roots(&client)?, std::fs::read(mesh.data().join("admin-token"))?);
    let listed = mesh.cli_ok(&["get", "virtualservice", "reviews", "-o", "json"])?;

    mesh.kill_control();
    mesh.start_control()?;
    let spec = |text: &str| -> anyhow::Result<Value> { Ok(serde_json::from_str::<Value>(text)?["spec"].take()) };
    assert_eq!(spec(&mesh.cli_ok(&["get", "vs", "reviews", "-o", "json"])?)?, spec(&listed)?);
    assert_eq!(std::fs::read(mesh.data().join("admin-token"))?, admin);
    // The second use of the token, with the same authority.
    let reviews = mesh.echo("reviews", "v1", &token)?;
    assert_eq!(roots(&reviews)?, before);
    let used_up = mesh.cli_ok(&["token", "list"])?;
    assert_eq!(used_up, "no tokens\n");
    Ok(())
}

#[test]
fn a_revoked_token_is_worth_nothing() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    let token = mesh.token(&["job"], 10)?;
    let listed: Value = serde_json::from_str(&mesh.cli_ok(&["token", "list", "-o", "json"])?)?;
    let listed = listed.as_array().or_else(|| listed["tokens"].as_array()).expect("a list").clone();
    assert_eq!((listed.len(), &listed[0]["usesLeft"]), (1, &Value::from(10)));
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    assert!(!listed[0].to_string().contains(&token), "a list of tokens shows no token");

    let options = WorkloadOptions::new("job", "job", &token);
    let exit = [app().into_os_string(), "exit".into(), "0".into()];
    assert!(mesh.run_to_end(&options, &exit)?.status.success());
    mesh.cli_ok(&["token", "revoke", &id])?;
    assert_eq!(mesh.cli_ok(&["token", "list"])?, "no tokens\n");
    let again = WorkloadOptions { name: "job-2", ..options.clone() };
    let refused = mesh.run_to_end(&again, &exit)?;
    assert!(refused.status.code() == Some(125) && said(&refused).contains("token"), "{}", said(&refused));
    // Who is in stays in: the certificate counts from now on.
    assert!(mesh.run_to_end(&options, &exit)?.status.success());
    let unknown = mesh.cli(&["token", "revoke", &id])?;
    assert!(!unknown.status.success(), "{}", said(&unknown));
    Ok(())
}

#[test]
fn what_get_prints_can_be_applied() -> anyhow::Result<()> {
    let mesh = Mesh::start("")?;
    mesh.cli_ok(&["apply", "-f", &mesh.file("all.yaml", &format!("{SERVICE}---\n{ROUTE}"))])?;
    for format in ["yaml", "json"] {
        for arguments in
            [&["get", "vs", "-o", format][..], &["get", "vs", "reviews", "-o", format], &["get", "svc", "-o", format]]
        {
            let path = mesh.file(&format!("again.{format}"), &mesh.cli_ok(arguments)?);
            let applied = mesh.cli_ok(&["apply", "-f", &path])?;
            assert!(applied.contains("default/reviews unchanged"), "{arguments:?}: {applied}");
        }
    }
    let saved = mesh.cli_ok(&["get", "vs", "-o", "yaml"])?;
    mesh.cli_ok(&["delete", "vs", "reviews"])?;
    let applied = mesh.cli_ok(&["apply", "-f", &mesh.file("saved.yaml", &saved)])?;
    assert_eq!(applied, "virtualservice default/reviews created\n");
    Ok(())
}

#[test]
fn a_reader_that_goes_away_is_no_error() -> anyhow::Result<()> {
    let mesh = Mesh::start(SERVICE)?;
    for arguments in
        [&["get", "services"][..], &["get", "services", "-o", "yaml"], &["status"], &["completion", "bash"]]
    {
        let mut child = Command::new(leno())
            .args(arguments)
            .env("LENO_SERVER", format!("http://{}", mesh.address("api")))
            .env("LENO_ADMIN_TOKEN_FILE", mesh.data().join("admin-token"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        drop(child.stdout.take());
        let mut error = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut error)?;
        child.wait()?;
        assert_eq!(error, "", "{arguments:?}");
    }
    Ok(())
}

#[test]
fn files_that_cannot_be_read_are_reported_and_keep_what_they_said() -> anyhow::Result<()> {
    let mesh = Mesh::start(SERVICE)?;
    let resources = mesh.path().join("resources");
    std::os::unix::fs::symlink("/no/such/file", resources.join("dangling.yaml"))?;
    // No UTF-8: cannot be read as text, whoever asks.
    std::fs::write(resources.join("binary.yaml"), [0xff, 0xfe, 0x00])?;
    for name in ["dangling.yaml", "binary.yaml"] {
        eventually(&format!("the status tells of {name}"), LIMIT, || {
            let output = mesh.cli(&["status"]).ok()?;
            (output.status.code() == Some(1) && said(&output).contains(name)).then_some(())
        });
        assert!(mesh.read_log("control").contains(name), "the log does not tell of {name}");
        std::fs::remove_file(resources.join(name))?;
    }
    eventually("all is well again", LIMIT, || mesh.cli(&["status"]).ok()?.status.success().then_some(()));

    let moved = mesh.path().join("moved");
    std::fs::rename(&resources, &moved)?;
    eventually("the status tells of the directory", LIMIT, || {
        let output = mesh.cli(&["status"]).ok()?;
        let resources = resources.display().to_string();
        (output.status.code() == Some(1) && said(&output).contains(&resources)).then_some(())
    });
    assert!(mesh.cli_ok(&["get", "services"])?.contains("reviews"), "what it last said stays");
    std::fs::rename(&moved, &resources)?;
    eventually("the directory is back", LIMIT, || mesh.cli(&["status"]).ok()?.status.success().then_some(()));
    Ok(())
}
