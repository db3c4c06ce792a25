//! How `kubectl`, and what speaks like it, reaches the API: address, root certificate and token in one file.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

/// Only the owner may read it: it holds the admin token.
pub(super) fn write(path: &Path, api: SocketAddr, roots_pem: &str, token: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    let text = serde_saphyr::to_string(&content(api, roots_pem, token)).map_err(io::Error::other)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&draft, path)
}

fn content(api: SocketAddr, roots_pem: &str, token: &str) -> Value {
    // From this host: others take the name of the host instead.
    let ip = if api.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { api.ip() };
    let server = format!("https://{}", SocketAddr::new(ip, api.port()));
    let roots = base64(roots_pem.as_bytes());
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "leno", "cluster": { "server": server, "certificate-authority-data": roots } }],
        "users": [{ "name": "leno-admin", "user": { "token": token } }],
        "contexts": [{ "name": "leno", "context": { "cluster": "leno", "user": "leno-admin", "namespace": "default" } }],
        "current-context": "leno",
    })
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_all_interfaces_is_this_host() {
        let config = content(SocketAddr::from(([0, 0, 0, 0], 15010)), "roots", "secret");
        assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:15010");
        assert_eq!(config["users"][0]["user"]["token"], "secret");
    }
}
