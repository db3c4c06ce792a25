//! `docs/reference.md` names what there is: every metric and every path of the admin interface.

use std::path::Path;

use leno_e2e::{one_echo, request};

#[test]
fn the_reference_names_every_metric_and_admin_path() -> anyhow::Result<()> {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference.md");
    let reference = std::fs::read_to_string(reference)?;
    let (mesh, _echo, client) = one_echo()?;
    let control = request(mesh.address("metrics"), "GET", "/metrics", &[], b"")?.text();
    let metrics = control + &client.admin("/metrics");
    let named = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let pages = client.admin("/help");
    let paths = pages.lines().filter_map(|line| line.strip_prefix("  /").filter(|line| !line.starts_with(' ')));
    let paths = paths.filter_map(|line| line.split([':', ' ']).next()).map(|path| format!("/{path}"));
    let missing: Vec<_> =
        named.map(str::to_owned).chain(paths).filter(|name| !reference.contains(&format!("`{name}"))).collect();
    assert!(missing.is_empty(), "docs/reference.md does not name {missing:?}");
    assert!(metrics.contains("# TYPE leno_proxy_retries") && pages.contains("/ready"), "{metrics}{pages}");
    Ok(())
}
