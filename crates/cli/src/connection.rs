use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::ApiClient;

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

/// Where `leno control` keeps its files unless told otherwise.
fn data_directory() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(directory) = variable("LENO_DATA") {
        return directory;
    }
    if is_root() {
        return PathBuf::from("/var/lib/leno");
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map_or_else(|| PathBuf::from("/var/lib/leno"), |state| state.join("leno"))
}

/// The owner of a process's directory in `/proc` is its effective user.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|metadata| metadata.uid() == 0)
}
