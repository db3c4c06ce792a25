use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::{ApiClient, data_directory};

/// How the control plane is reached.
#[derive(Debug, Args)]
pub(crate) struct ConnectionArgs {
    /// The control plane's API.
    #[arg(long, env = "LENO_SERVER", default_value = "http://127.0.0.1:15010", value_name = "URL")]
    pub(crate) server: String,
    /// File with the admin token; LENO_ADMIN_TOKEN holds the token itself. Default: admin-token in the data directory (LENO_DATA).
    #[arg(long, env = "LENO_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
}

impl ConnectionArgs {
    pub(crate) fn client(&self) -> anyhow::Result<ApiClient> {
        ApiClient::new(&self.server, &self.token()?)
    }

    fn token(&self) -> anyhow::Result<String> {
        if let Some(token) = std::env::var("LENO_ADMIN_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
            return Ok(token.trim().to_owned());
        }
        let path = self.admin_token_file.clone().unwrap_or_else(|| data_directory().join("admin-token"));
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("reading the admin token from {}; set LENO_ADMIN_TOKEN or --admin-token-file", path.display())
        })?;
        Ok(text.trim().to_owned())
    }
}
