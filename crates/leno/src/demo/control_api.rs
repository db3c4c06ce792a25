//! The few calls the demo makes to the control plane's API.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::report::{MeshStatus, ProxyState};

pub(crate) struct ControlApi {
    client: leno_cli::ApiClient,
}

impl ControlApi {
    pub(crate) fn new(address: String, admin_token: &Path) -> anyhow::Result<Self> {
        let token =
            std::fs::read_to_string(admin_token).with_context(|| format!("reading {}", admin_token.display()))?;
        Ok(Self { client: leno_cli::ApiClient::new(&format!("http://{address}"), token.trim())? })
    }

    pub(crate) async fn create_token(&self, accounts: &[&str], uses: usize) -> anyhow::Result<String> {
        let body = serde_json::json!({"namespace": "default", "serviceAccounts": accounts, "uses": uses});
        let answer: Value = self.client.post("/tokens", &body).await.context("asking for a join token")?;
        Ok(answer["token"].as_str().context("the answer holds no token")?.to_owned())
    }

    pub(crate) async fn status(&self) -> anyhow::Result<MeshStatus> {
        let status: Value = self.client.get("/status").await.context("asking for the state of the proxies")?;
        let proxies = status["proxies"].as_array().context("the status holds no proxies")?;
        let proxies = proxies
            .iter()
            .map(|proxy| ProxyState {
                name: proxy["name"].as_str().unwrap_or_default().to_owned(),
                in_sync: proxy["inSync"].as_bool().unwrap_or(false),
            })
            .collect();
        let problems = status["problems"].as_array().into_iter().flatten();
        let errors = problems.filter(|problem| problem["severity"] == "error").map(describe).collect();
        Ok(MeshStatus { proxies, errors })
    }
}

/// `reviews.yaml:18: VirtualService default/reviews: spec.http[0].timeout: ...`
fn describe(problem: &Value) -> String {
    let line = problem["line"].as_u64().map(|line| line.to_string());
    let texts = [problem["object"].as_str(), problem["field"].as_str(), problem["message"].as_str()];
    let words = texts.into_iter().flatten().filter(|text| !text.is_empty()).map(str::to_owned);
    let place = [problem["source"].as_str().map(str::to_owned), line].into_iter().flatten().collect::<Vec<_>>();
    std::iter::once(place.join(":")).chain(words).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_file_is_named_with_line_and_field() {
        let problem = serde_json::json!({
            "source": "a.yaml", "line": 7, "object": "VirtualService default/a", "field": "spec.hosts", "message": "no"
        });
        assert_eq!(describe(&problem), "a.yaml:7: VirtualService default/a: spec.hosts: no");
        assert_eq!(describe(&serde_json::json!({"source": "b.yaml", "message": "no"})), "b.yaml: no");
    }
}
