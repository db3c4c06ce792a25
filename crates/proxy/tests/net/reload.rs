//! Certificates in files, exchanged while the proxy runs.

use std::fs;
use std::path::{Path, PathBuf};

use leno_ir::{
    CertificateSource, DataSource, DownstreamSessions, DownstreamTls, Listener, PeerChecks, PeerValidation,
    PemCertificate, PemRoots, RootsSource, TlsParameters, UpstreamTls,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Harness, Upstream, cluster, config, tcp_listener, timely};

/// A directory of its own, empty at first.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// As whoever renews certificates does it: nobody reads half of a file.
    fn replace(&self, name: &str, text: &str) {
        let fresh = self.path(&format!("{name}.fresh"));
        fs::write(&fresh, text).expect("written");
        fs::rename(&fresh, self.path(name)).expect("renamed");
    }
}

struct Root {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Root {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a root").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Certificate and key of `a.test`.
    fn issue(&self, into: &Directory) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["a.test".to_owned()]).expect("a name");
        // The key first, so that the pair that is read last fits.
        into.replace("server.key", &key.serialize_pem());
        into.replace("server.crt", &params.signed_by(&key, &self.issuer).expect("signed").pem());
    }
}

fn with_files(listener: Listener, directory: &Directory) -> Listener {
    let certificate = PemCertificate {
        chain: DataSource::File(directory.path("server.crt")),
        private_key: DataSource::File(directory.path("server.key")),
        watched_directory: Some(directory.0.clone()),
    };
    let tls = DownstreamTls {
        certificate: CertificateSource::Pem(vec![certificate]),
        validation: None,
        require_client_certificate: false,
        alpn: Vec::new(),
        parameters: TlsParameters::default(),
        sessions: DownstreamSessions::default(),
    };
    let mut listener = listener;
    listener.filter_chains[0].tls = Some(tls);
    listener
}

fn trusting(directory: &Directory) -> UpstreamTls {
    let roots = PemRoots {
        certificates: DataSource::File(directory.path("ca.crt")),
        watched_directory: Some(directory.0.clone()),
    };
    UpstreamTls {
        certificate: None,
        validation: Some(PeerValidation {
            roots: RootsSource::Pem(roots),
            subject_alt_names: Vec::new(),
            checks: PeerChecks::default(),
        }),
        sni: Some("a.test".to_owned()),
        alpn: Vec::new(),
        parameters: TlsParameters::default(),
        max_session_keys: 0,
        auto_sni_san_validation: false,
    }
}

/// Whether bytes come back through both listeners.
async fn is_served(harness: &Harness) -> bool {
    let mut client = harness.connect("front").await;
    let mut back = [0; 5];
    client.write_all(b"hello").await.is_ok() && timely(client.read_exact(&mut back)).await.is_ok()
}

async fn until_served(harness: &Harness, wanted: bool) {
    timely(async { while is_served(harness).await != wanted {} }).await;
}

#[tokio::test]
async fn certificates_and_roots_are_read_again_when_their_directory_changes() {
    let (served, trusted) = (Directory::new("reload-served"), Directory::new("reload-trusted"));
    let (old, new) = (Root::new(), Root::new());
    old.issue(&served);
    trusted.replace("ca.crt", &old.pem);
    let (harness, echo) = (Harness::single(), Upstream::echo().await);
    let back = with_files(tcp_listener("back", "echo"), &served);
    harness.apply(config([back.clone()], [cluster("echo", [echo.address])])).await;
    let mut middle = cluster("middle", [harness.address("back").await]);
    middle.tls = Some(trusting(&trusted));
    let clusters = [cluster("echo", [echo.address]), middle];
    harness.apply(config([back, tcp_listener("front", "middle")], clusters)).await;
    assert!(is_served(&harness).await, "the old root vouches for the old certificate");
    let mut under_way = harness.connect("front").await;
    let mut back = [0; 5];
    under_way.write_all(b"hello").await.expect("sent");
    timely(under_way.read_exact(&mut back)).await.expect("echoed");

    new.issue(&served);
    until_served(&harness, false).await;
    trusted.replace("ca.crt", &new.pem);
    until_served(&harness, true).await;

    under_way.write_all(b"hello").await.expect("sent");
    timely(under_way.read_exact(&mut back)).await.expect("a connection keeps what it was made with");

    trusted.replace("ca.crt", "no certificate");
    served.replace("unrelated", "and so the directory has changed, too");
    let admitted = is_served(&harness).await && is_served(&harness).await;
    assert!(admitted, "what cannot be read leaves what was");
    harness.shutdown().await;
}
