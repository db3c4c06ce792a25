//! A real kubectl against a real control plane: what people type and GitOps tools send.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use leno_e2e::{LIMIT, Mesh, REVIEWS as SERVICE, REVIEWS_ROUTE as ROUTE, eventually, need, said};
use serde_json::Value;

/// Longer than anything takes; an end to a command that hangs.
const PATIENCE: &str = "--request-timeout=60s";

struct Kubectl {
    program: PathBuf,
    mesh: Mesh,
}

impl Kubectl {
    /// `None` when there is no kubectl.
    fn start(resources: &str) -> anyhow::Result<Option<Self>> {
        let Some(program) = need("LENO_KUBECTL") else { return Ok(None) };
        Ok(Some(Self { program, mesh: Mesh::start(resources)? }))
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", self.mesh.data().join("kubeconfig")).env("HOME", self.mesh.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(arguments).arg(PATIENCE).output()?)
    }

    /// Standard output of a command that must succeed.
    fn ok(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        anyhow::ensure!(
            output.status.success(),
            "kubectl {arguments:?} ended with {}:\n{}",
            output.status,
            said(&output)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.ok(&[arguments, &["-o", "json"]].concat())?)?)
    }

    /// What a command that must fail says.
    fn refused(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(arguments)?;
        anyhow::ensure!(!output.status.success(), "kubectl {arguments:?} succeeded:\n{}", said(&output));
        Ok(said(&output))
    }

    fn both(&self) -> String {
        self.mesh.file("both.yaml", &format!("{SERVICE}---\n{ROUTE}"))
    }

    /// A command that goes on.
    fn spawn(&self, arguments: &[&str]) -> anyhow::Result<Running> {
        let mut child = self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Ok(Running { child, lines })
    }
}

struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// The next line that holds `text`.
    fn until(&mut self, text: &str) -> anyhow::Result<String> {
        loop {
            let mut line = String::new();
            anyhow::ensure!(self.lines.read_line(&mut line)? > 0, "the command ended before it said {text}");
            if line.contains(text) {
                return Ok(line);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It is ours; an error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn kinds_and_fields_are_explained() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    assert!(kubectl.ok(&["version"])?.contains("leno"));
    let versions = kubectl.ok(&["api-versions"])?;
    for version in ["v1\n", "networking.istio.io/v1alpha3", "gateway.networking.k8s.io/v1"] {
        assert!(versions.contains(version), "{versions}");
    }
    let resources = kubectl.ok(&["api-resources", "--namespaced=true"])?;
    assert!(resources.contains("virtualservices") && resources.contains("vs "), "{resources}");
    assert!(!resources.contains("namespaces "), "{resources}");
    let explained = kubectl.ok(&["explain", "virtualservices.spec.http.timeout"])?;
    assert!(explained.contains("timeout"), "{explained}");
    let explained = kubectl.ok(&["explain", "gateways.gateway.networking.k8s.io.spec.listeners", "--recursive"])?;
    assert!(explained.contains("allowedRoutes"), "{explained}");
    let explained = kubectl.ok(&["explain", "retrypolicies.spec.attempts"])?;
    assert!(explained.contains("Tries after the first"), "{explained}");
    let unknown = kubectl.refused(&["explain", "virtualservices.spec.nothing"])?;
    assert!(unknown.contains("nothing"), "{unknown}");
    Ok(())
}

#[test]
fn objects_are_applied_shown_and_deleted() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    let both = kubectl.both();
    let dry = kubectl.ok(&["apply", "-f", &both, "--dry-run=server"])?;
    assert!(dry.contains("virtualservice.networking.istio.io/reviews created (server dry run)"), "{dry}");
    assert_eq!(kubectl.ok(&["get", "vs,svc", "-o", "name"])?, "");
    let applied = kubectl.ok(&["apply", "-f", &both])?;
    assert_eq!(applied, "service/reviews created\nvirtualservice.networking.istio.io/reviews created\n");
    let again = kubectl.ok(&["apply", "-f", &both])?;
    assert_eq!(again, "service/reviews unchanged\nvirtualservice.networking.istio.io/reviews unchanged\n");
    assert_eq!(kubectl.ok(&["diff", "-f", &both])?, "");

    let slower = kubectl.mesh.file("slower.yaml", &ROUTE.replace("2s", "3s"));
    let diff = kubectl.run(&["diff", "-f", &slower])?;
    assert!(diff.status.code() == Some(1) && said(&diff).contains("timeout: 3s"), "{}", said(&diff));
    assert_eq!(kubectl.ok(&["apply", "-f", &slower])?, "virtualservice.networking.istio.io/reviews configured\n");
    let shown = kubectl.json(&["get", "vs", "reviews"])?;
    assert_eq!((&shown["spec"]["http"][0]["timeout"], &shown["metadata"]["generation"]), (&"3s".into(), &2.into()));

    let table = kubectl.ok(&["get", "virtualservices"])?;
    assert!(table.starts_with("NAME ") && table.contains("HOSTS") && table.contains("[\"reviews\"]"), "{table}");
    assert!(kubectl.ok(&["get", "vs", "-o", "wide"])?.contains("team=red"));
    assert!(kubectl.ok(&["get", "vs", "-A"])?.contains("default"));
    assert!(kubectl.ok(&["get", "vs", "-o", "yaml"])?.contains("kind: List"));
    assert_eq!(
        kubectl.ok(&["get", "vs", "-l", "team in (red, blue)", "-o", "name"])?,
        "virtualservice.networking.istio.io/reviews\n"
    );
    assert_eq!(kubectl.ok(&["get", "vs", "-l", "team!=red", "-o", "name"])?, "");
    assert_eq!(
        kubectl.ok(&["get", "svc", "--field-selector", "metadata.name=reviews", "-o", "name"])?,
        "service/reviews\n"
    );
    assert_eq!(
        kubectl.ok(&["get", "leno", "-o", "name"])?,
        "service/reviews\nvirtualservice.networking.istio.io/reviews\n"
    );

    kubectl.ok(&["wait", "--for=condition=Accepted", "vs/reviews", "--timeout=20s"])?;
    kubectl.ok(&["replace", "-f", &both])?;
    assert!(kubectl.refused(&["create", "-f", &both])?.contains("AlreadyExists"));
    assert!(kubectl.refused(&["get", "vs", "nothing"])?.contains("NotFound"));
    let gone = kubectl.ok(&["delete", "-f", &both, "--cascade=foreground"])?;
    assert!(gone.contains("service \"reviews\" deleted"), "{gone}");
    assert!(kubectl.refused(&["delete", "-f", &both])?.contains("NotFound"));
    kubectl.ok(&["create", "-f", &both])?;
    kubectl.ok(&["delete", "vs", "--all"])?;
    assert_eq!(kubectl.ok(&["get", "vs", "-o", "name"])?, "");
    Ok(())
}

#[test]
fn objects_are_changed_in_place() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    kubectl.ok(&["apply", "-f", &kubectl.both()])?;
    kubectl.ok(&["label", "vs", "reviews", "tier=web"])?;
    kubectl.ok(&["annotate", "vs", "reviews", "note=a b"])?;
    kubectl.ok(&["label", "vs", "reviews", "team-"])?;
    let metadata = kubectl.json(&["get", "vs", "reviews"])?["metadata"].take();
    assert_eq!(
        (&metadata["labels"], &metadata["annotations"]["note"]),
        (&serde_json::json!({"tier": "web"}), &"a b".into())
    );

    kubectl.ok(&["patch", "svc", "reviews", "-p", r#"{"spec":{"ports":[{"port":81,"name":"more"}]}}"#])?;
    let ports = kubectl.ok(&["get", "svc", "reviews", "-o", "jsonpath={.spec.ports[*].port}"])?;
    assert_eq!(ports, "9080 81");
    let patch = r#"[{"op":"replace","path":"/spec/http/0/timeout","value":"9s"}]"#;
    kubectl.ok(&["patch", "vs", "reviews", "--type=json", "-p", patch])?;
    let warned = kubectl.run(&["patch", "vs", "reviews", "--type=merge", "-p", r#"{"spec":{"hosts":["a.b"]}}"#])?;
    assert!(warned.status.success() && said(&warned).contains("Warning: spec.hosts[0]"), "{}", said(&warned));
    let spec = kubectl.json(&["get", "vs", "reviews"])?["spec"].take();
    assert_eq!((&spec["http"][0]["timeout"], &spec["hosts"][0]), (&"9s".into(), &"a.b".into()));

    let wrong = kubectl.refused(&["patch", "vs", "reviews", "--type=merge", "-p", r#"{"spec":{"hotss":["a"]}}"#])?;
    assert!(wrong.contains("is invalid") && wrong.contains("spec.hotss"), "{wrong}");
    let strategic = kubectl.refused(&["patch", "vs", "reviews", "-p", r#"{"spec":{"hosts":["a"]}}"#])?;
    assert!(strategic.contains("strategic-merge-patch"), "{strategic}");
    let status = r#"{"status":{"conditions":[{"type":"Theirs","status":"True"}]}}"#;
    kubectl.ok(&["patch", "vs", "reviews", "--subresource=status", "--type=merge", "-p", status])?;
    kubectl.ok(&["wait", "--for=condition=Theirs", "vs/reviews", "--timeout=20s"])?;

    let editor = kubectl.mesh.file("editor.sh", "#!/bin/sh\nsed -i 's/9s/7s/' \"$1\"\n");
    let edited = kubectl.command(&["edit", "vs", "reviews"]).env("KUBE_EDITOR", format!("sh {editor}")).output()?;
    assert!(edited.status.success(), "{}", said(&edited));
    assert_eq!(kubectl.ok(&["get", "vs", "reviews", "-o", "jsonpath={.spec.http[0].timeout}"])?, "7s");
    Ok(())
}

/// kubectl works out itself what of a list is gone, and says so.
#[test]
fn ports_come_and_go_with_what_is_applied() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    let two = SERVICE.replace("port: 9080 }", "port: 9080 }, { name: tcp, port: 9081, protocol: TCP }");
    let ports = ["get", "svc", "reviews", "-o", "jsonpath={.spec.ports[*].port}"];
    for way in ["--server-side=false", "--server-side=true"] {
        for (text, wanted) in [(&*two, "9080 9081"), (SERVICE, "9080"), (&two.replace("9081", "9082"), "9080 9082")] {
            kubectl.ok(&["apply", way, "-f", &kubectl.mesh.file("service.yaml", text)])?;
            assert_eq!(kubectl.ok(&ports)?, wanted, "{way}");
        }
        kubectl.ok(&["delete", "svc", "reviews"])?;
    }
    Ok(())
}

/// In Kubernetes' protobuf, which these commands speak.
#[test]
fn core_kinds_are_made_by_their_own_commands() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    assert_eq!(kubectl.ok(&["auth", "can-i", "delete", "virtualservices"])?, "yes\n");
    assert!(kubectl.ok(&["auth", "whoami"])?.contains("leno:admin"));
    assert!(kubectl.ok(&["auth", "can-i", "--list"])?.contains("[*]"));
    kubectl.ok(&["create", "namespace", "shop"])?;
    assert!(kubectl.json(&["get", "ns", "shop"])?["metadata"]["creationTimestamp"].is_string());
    kubectl.ok(&["create", "configmap", "roots", "--from-literal=ca.crt=pem", "-n", "shop"])?;
    assert_eq!(kubectl.json(&["get", "cm", "roots", "-n", "shop"])?["data"]["ca.crt"], "pem");
    kubectl.ok(&["create", "secret", "generic", "key", "--from-literal=a=b", "-n", "shop"])?;
    assert_eq!(kubectl.json(&["get", "secret", "key", "-n", "shop"])?["data"]["a"], "Yg==");
    kubectl.ok(&["create", "service", "clusterip", "web", "--tcp=80:8080", "-n", "shop"])?;
    let ports = kubectl.json(&["get", "svc", "web", "-n", "shop"])?["spec"]["ports"].take();
    assert_eq!((&ports[0]["port"], &ports[0]["targetPort"]), (&80.into(), &8080.into()));
    Ok(())
}

#[test]
fn fields_have_owners() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    let route = kubectl.mesh.file("route.yaml", ROUTE);
    let slower = kubectl.mesh.file("slower.yaml", &ROUTE.replace("2s", "3s"));
    // What was applied by the client is taken over.
    kubectl.ok(&["apply", "-f", &route])?;
    kubectl.ok(&["apply", "--server-side", "-f", &route])?;
    let refused = kubectl.refused(&["apply", "--server-side", "--field-manager=other", "-f", &slower])?;
    assert!(refused.contains("conflict with \"kubectl\"") && refused.contains(".spec.http"), "{refused}");
    kubectl.ok(&["apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", &slower])?;
    let managers =
        ["get", "vs", "reviews", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"];
    assert!(kubectl.ok(&managers)?.contains("other"));
    // Both own the label; when the one goes on without it, it stays.
    kubectl.ok(&[
        "apply",
        "--server-side",
        "-f",
        &kubectl.mesh.file("bare.yaml", &ROUTE.replace(", labels: { team: red }", "").replace("2s", "3s")),
    ])?;
    assert_eq!(kubectl.ok(&["get", "vs", "reviews", "-o", "jsonpath={.metadata.labels.team}"])?, "red");
    let bare = [
        "apply",
        "--server-side",
        "--field-manager=other",
        "-f",
        &kubectl.mesh.file("bare.yaml", &ROUTE.replace(", labels: { team: red }", "").replace("2s", "3s")),
    ];
    kubectl.ok(&bare)?;
    assert_eq!(kubectl.ok(&["get", "vs", "reviews", "-o", "jsonpath={.metadata.labels.team}"])?, "");
    assert_eq!(kubectl.ok(&["diff", "--server-side", "-f", &slower.replace("slower", "bare")])?, "");
    Ok(())
}

#[test]
fn what_has_a_finalizer_waits_for_it() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    let held = SERVICE.replace("{ name: reviews }", "{ name: reviews, finalizers: [leno.dev/held] }");
    kubectl.ok(&["apply", "-f", &kubectl.mesh.file("held.yaml", &held)])?;
    kubectl.ok(&["delete", "svc", "reviews", "--wait=false"])?;
    assert!(kubectl.json(&["get", "svc", "reviews"])?["metadata"]["deletionTimestamp"].is_string());
    assert!(kubectl.refused(&["wait", "--for=delete", "svc/reviews", "--timeout=1s"])?.contains("timed out"));
    kubectl.ok(&["patch", "svc", "reviews", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#])?;
    kubectl.ok(&["wait", "--for=delete", "svc/reviews", "--timeout=60s"])?;
    assert!(kubectl.refused(&["get", "svc", "reviews"])?.contains("NotFound"));
    Ok(())
}

#[test]
fn a_watch_goes_on_over_a_restart_and_nothing_is_lost() -> anyhow::Result<()> {
    let Some(mut kubectl) = Kubectl::start("")? else { return Ok(()) };
    kubectl.ok(&["apply", "-f", &kubectl.both()])?;
    let mut watch = kubectl.spawn(&["get", "vs", "-w", "--output-watch-events"])?;
    watch.until("ADDED")?;
    kubectl.ok(&["label", "vs", "reviews", "a=b"])?;
    watch.until("MODIFIED")?;
    let before = kubectl.json(&["get", "vs,svc"])?;
    let version = |list: &Value| list["items"][0]["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    kubectl.mesh.kill_control();
    kubectl.mesh.start_control()?;
    let after = kubectl.json(&["get", "vs,svc"])?;
    assert_eq!(after["items"][0]["metadata"]["uid"], before["items"][0]["metadata"]["uid"]);
    assert_eq!(after["items"][0]["spec"], before["items"][0]["spec"]);
    // What was read before the restart may be written after it.
    let mut saved = before["items"][0].clone();
    saved["metadata"]["labels"]["c"] = "d".into();
    kubectl.ok(&["replace", "-f", &kubectl.mesh.file("saved.json", &saved.to_string())])?;
    let last = kubectl.json(&["get", "vs,svc"])?;
    let number = |list: &Value| version(list).and_then(|version| version.parse::<u64>().ok());
    assert!(
        number(&last) > number(&before),
        "versions grow over a restart: {:?} {:?}",
        version(&last),
        version(&before)
    );
    let mut watch = kubectl.spawn(&["get", "vs", "-w", "--output-watch-events"])?;
    watch.until("ADDED")?;
    kubectl.ok(&["delete", "vs", "reviews"])?;
    watch.until("DELETED")?;
    Ok(())
}

#[test]
fn long_lists_come_in_pieces() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    let many: Vec<_> = (0..25).map(|index| SERVICE.replace("name: reviews", &format!("name: s{index:02}"))).collect();
    kubectl.mesh.cli_ok(&["apply", "-f", &kubectl.mesh.file("many.yaml", &many.join("---\n"))])?;
    for size in ["0", "1", "7", "25", "500"] {
        let names = kubectl.ok(&["get", "svc", "--chunk-size", size, "-o", "name"])?;
        assert_eq!(names.lines().count(), 25, "{size}: {names}");
    }
    Ok(())
}

#[test]
fn files_are_shown_and_not_written() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start(&format!("{SERVICE}---\n{ROUTE}"))? else { return Ok(()) };
    assert!(kubectl.ok(&["get", "vs"])?.contains("reviews"));
    for arguments in [
        &["label", "vs", "reviews", "a=b"][..],
        &["delete", "vs", "reviews"],
        &["apply", "--server-side", "-f", &kubectl.mesh.file("route.yaml", ROUTE)],
    ] {
        let refused = kubectl.refused(arguments)?;
        assert!(refused.contains("mesh.yaml:8 defines"), "{arguments:?}: {refused}");
    }
    // What changes in a file is seen.
    let mut watch = kubectl.spawn(&["get", "vs", "-w", "-o", "jsonpath={.spec.http[0].timeout}{\"\\n\"}"])?;
    watch.until("2s")?;
    kubectl.mesh.write_resources("mesh.yaml", &format!("{SERVICE}---\n{}", ROUTE.replace("2s", "4s")))?;
    watch.until("4s")?;
    Ok(())
}

#[test]
fn namespaces_are_there_when_they_are_used() -> anyhow::Result<()> {
    let Some(kubectl) = Kubectl::start("")? else { return Ok(()) };
    assert!(kubectl.ok(&["get", "ns"])?.contains("default"));
    kubectl.ok(&["apply", "-n", "shop", "-f", &kubectl.mesh.file("route.yaml", ROUTE)])?;
    let shop = eventually("the namespace is there", LIMIT, || kubectl.json(&["get", "ns", "shop"]).ok());
    assert_eq!(shop["status"]["phase"], "Active");
    kubectl.ok(&["label", "ns", "shop", "team=red"])?;
    assert_eq!(kubectl.ok(&["get", "ns", "-l", "team=red", "-o", "name"])?, "namespace/shop\n");
    assert!(kubectl.refused(&["delete", "ns", "shop"])?.contains("in use"));
    kubectl.ok(&["delete", "vs", "-n", "shop", "--all"])?;
    kubectl.ok(&["delete", "ns", "shop"])?;
    assert!(kubectl.refused(&["get", "ns", "shop"])?.contains("NotFound"));
    Ok(())
}
