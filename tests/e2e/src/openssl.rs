//! What only a stranger's TLS shows: certificates made by OpenSSL, and its client.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use crate::{Response, Session};

/// A certificate that vouches for itself, and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pem {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Pem {
    /// For names such as `DNS:*.example`; the files are called `file.pem` and `file.key`.
    ///
    /// # Errors
    /// When there is no OpenSSL, or it refuses.
    pub fn make(directory: &Path, file: &str, names: &str) -> anyhow::Result<Self> {
        let (certificate, key) = (directory.join(format!("{file}.pem")), directory.join(format!("{file}.key")));
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
        command.args(["-subj", "/CN=test", "-addext", &format!("subjectAltName={names}")]);
        command.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        ensure!(status.success(), "openssl does not make a certificate for {names}");
        Ok(Self { certificate, key })
    }

    /// A Secret of type `kubernetes.io/tls`, to stand behind other objects in one file; `roots` are whom it trusts.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn secret(&self, namespace: &str, name: &str, roots: Option<&Self>) -> anyhow::Result<String> {
        let part = |key: &str, path: &Path| {
            let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
            let lines: Vec<_> = text.lines().map(|line| format!("    {line}\n")).collect();
            anyhow::Ok(format!("  {key}: |\n{}", lines.concat()))
        };
        let mut text = format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{ name: {name}, namespace: {namespace} }}\n\
             stringData:\n{}{}",
            part("tls.crt", &self.certificate)?,
            part("tls.key", &self.key)?
        );
        if let Some(roots) = roots {
            text += &part("ca.crt", &roots.certificate)?;
        }
        Ok(text)
    }
}

/// A request by `openssl s_client`, which believes every certificate and may show one.
///
/// # Errors
/// When the handshake is refused or the answer is not HTTP.
pub fn over_tls(
    address: &str,
    name: &str,
    shown: Option<&Pem>,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> anyhow::Result<Response> {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-quiet", "-ign_eof", "-connect", address, "-servername", name]);
    if let Some(shown) = shown {
        command.arg("-cert").arg(&shown.certificate).arg("-key").arg(&shown.key);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !headers.iter().any(|(name, _)| *name == "host") {
        head += &format!("host: {name}\r\n");
    }
    head += "\r\n";
    // A refused handshake ends it before it reads.
    let _ = child.stdin.take().context("a pipe")?.write_all(head.as_bytes());
    let output = child.wait_with_output()?;
    if output.stdout.is_empty() {
        bail!("the handshake was refused");
    }
    Session::of_bytes(output.stdout).receive(method == "HEAD")
}
