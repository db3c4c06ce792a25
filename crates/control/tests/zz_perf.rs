#[path = "support/mesh.rs"]
mod mesh;
use mesh::{Mesh, node};
use std::time::Instant;
#[tokio::test]
async fn perf() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = Mesh::start(directory.path());
    let mut all = leno_store::DirectoryContent::default();
    for n in 0..500 {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{ name: s{n} }}\nspec: {{ selector: {{ app: s{n} }}, ports: [{{ port: 80, targetPort: 80, appProtocol: http }}] }}\n");
        let p = leno_api::parse("a.yaml", &text).resources.remove(0);
        all.resources.insert(p.value.key(), leno_api::Located { source: p.source, line: p.line, value: std::sync::Arc::new(p.value) });
        for w in 0..3 {
            let text = format!("apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{ name: s{n}-{w} }}\nspec: {{ address: 10.0.0.1, serviceAccount: s{n}, labels: {{ app: s{n} }} }}\n");
            let p = leno_api::parse("a.yaml", &text).resources.remove(0);
            all.resources.insert(p.value.key(), leno_api::Located { source: p.source, line: p.line, value: std::sync::Arc::new(p.value) });
        }
    }
    mesh.files.send_replace(std::sync::Arc::new(all));
    mesh.until("x", |c| c.resources().len() >= 2000).await;
    let mut w: Vec<_> = (0..50).map(|i| mesh.connect(node(&format!("w-{i}"), "s1")).unwrap()).collect();
    mesh.until("x", |c| mesh::workloads(c).len() >= 1550).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    for s in &mut w { s.config.borrow_and_update(); }
    for i in 0..5 {
        let t = Instant::now();
        let e = mesh.connect(node(&format!("s7-x{i}"), "s7")).unwrap();
        let c = t.elapsed();
        for s in &mut w { s.config.changed().await.unwrap(); }
        println!("connect {c:?} pushed {:?}", t.elapsed());
        std::mem::forget(e);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        for s in &mut w { s.config.borrow_and_update(); }
    }
}
