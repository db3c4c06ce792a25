
#[test]
fn faults_and_cors_of_a_virtual_service_take_effect() -> anyhow::Result<()> {
    let rules = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: echo }
spec:
  hosts: [echo]
  http:
    - match: [{ uri: { prefix: /broken } }]
      fault: { abort: { httpStatus: 418, percentage: { value: 100 } } }
      route: [{ destination: { host: echo } }]
    - match: [{ uri: { prefix: /slow } }]
      fault: { delay: { fixedDelay: 300ms, percentage: { value: 100 } } }
      route: [{ destination: { host: echo } }]
    - corsPolicy: { allowOrigins: [{ exact: 'https://a.test' }], allowMethods: [PUT], maxAge: 1h }
      route: [{ destination: { host: echo } }]
";
    let mesh = Mesh::start(ECHO)?;
    let token = mesh.token(&["echo", "client"], 2)?;
    let _echo = mesh.echo("echo", "v1", &token)?;
    let client = mesh.client("client", &token)?;
    client.wait_for("echo:8080");
    assert_eq!(client.get("echo:8080", "/broken")?.status, 200, "there is no rule yet");
    mesh.write_resources("mesh.yaml", &format!("{ECHO}{rules}"))?;
    let broken = eventually("the fault arrives", LIMIT, || {
        client.get("echo:8080", "/broken").ok().filter(|response| response.status == 418)
    });
    assert_eq!(broken.header("x-app"), None, "the application is not asked: {broken:?}");
    // Through the service's own address as well as through the forward proxy.
    let mut session = Session::connect(&client.ready.upstreams["echo"])?;
    assert_eq!(session.request("GET", "/broken", &[("host", "echo:8080")], b"")?.status, 418);
    let begun = Instant::now();
    assert_eq!(client.get("echo:8080", "/slow")?.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let preflight = |origin: &str| {
        let headers = [("origin", origin), ("access-control-request-method", "PUT")];
        client.request("OPTIONS", "echo:8080", "/", &headers, b"")
    };
    let allowed = preflight("https://a.test")?;
    assert_eq!((allowed.status, allowed.header("access-control-allow-origin")), (200, Some("https://a.test")));
    assert_eq!((allowed.header("access-control-max-age"), allowed.header("x-app")), (Some("3600"), None));
    // Somebody else's goes to the application, which allows nothing.
    let other = preflight("https://b.test")?;
    assert_eq!((other.header("access-control-allow-origin"), other.header("x-app")), (None, Some("echo-v1")));
    eventually("the flag is in the access log", LIMIT, || {
        mesh.read_log("client.access").contains(" 418 FI ").then_some(())
    });
    Ok(())
}
