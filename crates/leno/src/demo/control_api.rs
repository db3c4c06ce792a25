//! The few calls the demo makes to the control plane's API.

use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use super::report::ProxyState;

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

    pub(crate) async fn proxies(&self) -> anyhow::Result<Vec<ProxyState>> {
        let status: Value = self.client.get("/status").await.context("asking for the state of the proxies")?;
        let proxies = status["proxies"].as_array().context("the status holds no proxies")?;
        Ok(proxies
            .iter()
            .map(|proxy| ProxyState {
                name: proxy["name"].as_str().unwrap_or_default().to_owned(),
                in_sync: proxy["inSync"].as_bool().unwrap_or(false),
            })
            .collect())
    }
}
