//! Certificates for the peers, like the ones Leno's own CA gives: ECDSA P-256, a SPIFFE ID as URI name.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::command::output;

#[derive(Debug)]
pub(crate) struct Pki {
    directory: PathBuf,
}

impl Pki {
    pub(crate) fn make(directory: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
        let pki = Self { directory };
        openssl(&pki.directory, "ecparam -name prime256v1 -genkey -noout -out root.key")?;
        openssl(&pki.directory, "req -x509 -new -key root.key -subj /O=bench -days 30 -out root.pem")?;
        for name in ["client", "server"] {
            openssl(&pki.directory, &format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"))?;
            openssl(&pki.directory, &format!("req -new -key {name}.key -subj /O=bench -out {name}.csr"))?;
            let extensions = format!("subjectAltName=URI:{}\nextendedKeyUsage=serverAuth,clientAuth\n", Self::id(name));
            std::fs::write(pki.directory.join("extensions"), extensions).context("writing certificate extensions")?;
            openssl(
                &pki.directory,
                &format!(
                    "x509 -req -in {name}.csr -CA root.pem -CAkey root.key -CAcreateserial -days 30 -extfile extensions -out {name}.pem"
                ),
            )?;
        }
        Ok(pki)
    }

    pub(crate) fn id(name: &str) -> String {
        format!("spiffe://cluster.local/ns/default/sa/{name}")
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.directory.join(file).display().to_string()
    }
}

fn openssl(directory: &Path, arguments: &str) -> anyhow::Result<()> {
    output(Command::new("openssl").args(arguments.split(' ')).current_dir(directory)).map(|_| ())
}
