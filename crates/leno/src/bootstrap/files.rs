use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use leno_identity::Svid;
use serde_json::{Value, json};

/// The files that a guest reads its certificate from. Each takes the place of its predecessor at once, as watchers expect.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

/// In whose words.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// Secrets as Envoy reads them (SDS by file).
    Envoy,
    Pem,
}

impl Files {
    pub(super) fn create(directory: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let directory = directory.canonicalize().with_context(|| format!("resolving {}", directory.display()))?;
        Ok(Self { directory })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn write_svid(&self, svid: &Svid, format: Format) -> anyhow::Result<()> {
        match format {
            Format::Envoy => {
                self.write(IDENTITY_FILE, &secrets(IDENTITY, "tls_certificate", &certificate(svid))?)?;
                self.write(ROOTS_FILE, &secrets(ROOTS, "validation_context", &roots(svid))?)
            }
            Format::Pem => {
                self.write("certificate.pem", &svid.chain_pem())?;
                self.write("key.pem", &svid.key_pem())?;
                self.write("roots.pem", &svid.roots_pem())
            }
        }
    }

    /// Readable for its owner only.
    pub(super) fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let (path, new) = (self.path(name), self.path(&format!("{name}.new")));
        let write = || {
            // One that was left behind may be readable for others.
            let _ = std::fs::remove_file(&new);
            let mut file = std::fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&new)?;
            std::io::Write::write_all(&mut file, content.as_bytes())?;
            std::fs::rename(&new, &path)
        };
        write().with_context(|| format!("writing {}", path.display()))
    }

    /// Where Envoy finds these secrets.
    pub(super) fn references(&self) -> (Value, Value) {
        let secret = |name: &str, file: &str| {
            json!({"name": name, "sds_config": {
                "resource_api_version": "V3",
                "path_config_source": {"path": self.path(file)},
            }})
        };
        (secret(IDENTITY, IDENTITY_FILE), secret(ROOTS, ROOTS_FILE))
    }
}

const IDENTITY: &str = "identity";
const ROOTS: &str = "roots";
const IDENTITY_FILE: &str = "identity.yaml";
const ROOTS_FILE: &str = "roots.yaml";

/// Envoy's `TlsCertificate`.
pub(super) fn certificate(svid: &Svid) -> Value {
    json!({
        "certificate_chain": {"inline_string": svid.chain_pem()},
        "private_key": {"inline_string": svid.key_pem()},
    })
}

/// The part of Envoy's `CertificateValidationContext` that rotates.
pub(super) fn roots(svid: &Svid) -> Value {
    json!({"trusted_ca": {"inline_string": svid.roots_pem()}})
}

fn secrets(name: &str, kind: &str, value: &Value) -> anyhow::Result<String> {
    let mut secret = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": name,
    });
    secret[kind] = value.clone();
    serde_saphyr::to_string(&json!({"resources": [secret]})).context("writing a secret")
}
