use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leno_identity::PeerChain;
use leno_telemetry::access_log::{NameKind, Program, Shown, Side, TlsField};
use rustls::{CipherSuite, CommonState, NamedGroup, ProtocolVersion};

/// Whether anything in this process shows the TLS of a side: a log, a header, the body of a local reply. Once set it stays, and
/// connections made before have nothing to show.
static IS_SHOWN: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

/// Notes what a format shows.
pub(crate) fn noted(program: Program) -> Program {
    for side in [Side::Downstream, Side::Upstream] {
        if program.wants_tls(side) {
            note(side);
        }
    }
    program
}

pub(crate) fn note(side: Side) {
    flag(side).store(true, Ordering::Relaxed);
}

fn flag(side: Side) -> &'static AtomicBool {
    let [downstream, upstream] = &IS_SHOWN;
    match side {
        Side::Downstream => downstream,
        Side::Upstream => upstream,
    }
}

/// What a handshake agreed on, and the certificates that were shown in it.
#[derive(Debug, Default)]
pub(crate) struct TlsSession {
    version: Option<ProtocolVersion>,
    cipher: Option<CipherSuite>,
    group: Option<NamedGroup>,
    /// The name that the client asked for.
    pub(crate) server_name: Option<String>,
    pub(crate) peer: PeerChain,
    pub(crate) local: PeerChain,
}

impl TlsSession {
    /// `None` where nobody shows it.
    pub(crate) fn of(
        side: Side,
        state: &CommonState,
        rest: impl FnOnce() -> (Option<String>, PeerChain, PeerChain),
    ) -> Option<Rc<Self>> {
        if !flag(side).load(Ordering::Relaxed) {
            return None;
        }
        let (server_name, peer, local) = rest();
        Some(Rc::new(Self {
            version: state.protocol_version(),
            cipher: state.negotiated_cipher_suite().map(|suite| suite.suite()),
            group: state.negotiated_key_exchange_group().map(|group| group.name()),
            server_name,
            peer,
            local,
        }))
    }

    pub(crate) fn validity(&self) -> Option<(Duration, Duration)> {
        self.peer.validity()
    }

    /// Envoy's number of the version, in its access log service; 0: another one.
    pub(crate) fn version_number(&self) -> i32 {
        match self.version {
            Some(ProtocolVersion::TLSv1_2) => 3,
            Some(ProtocolVersion::TLSv1_3) => 4,
            _ => 0,
        }
    }

    /// IANA's number.
    pub(crate) fn cipher_number(&self) -> Option<u16> {
        self.cipher.map(u16::from)
    }

    /// Certificates are read when they are shown: logs of them are rare.
    pub(crate) fn text(&self, field: TlsField) -> String {
        let Self { peer, local, .. } = self;
        match field {
            TlsField::Cipher => self.cipher.map(cipher_name).unwrap_or_default().to_owned(),
            TlsField::ChainFingerprints1 => peer.all_sha1().join(","),
            TlsField::ChainFingerprints256 => peer.all_sha256().join(","),
            TlsField::ChainSerials => peer.all_serials().join(","),
            TlsField::Fingerprint1 => peer.sha1(),
            TlsField::Fingerprint256 => peer.sha256(),
            TlsField::Group => self.group.map(group_name).unwrap_or_default().to_owned(),
            TlsField::Issuer => peer.issuer(),
            TlsField::IssuerFingerprint256 => peer.issuers().sha256(),
            TlsField::IssuerSerial => peer.issuers().serial(),
            TlsField::Names(Shown::Local, kind) => names(local, kind),
            TlsField::Names(Shown::Peer, kind) => names(peer, kind),
            TlsField::PeerCertificate => crate::connection::escape_pem(&peer.certificate_pem()),
            TlsField::Serial => peer.serial(),
            TlsField::ServerName => self.server_name.clone().unwrap_or_default(),
            TlsField::SessionId => String::new(),
            TlsField::Subject(Shown::Local) => local.subject(),
            TlsField::Subject(Shown::Peer) => peer.subject(),
            TlsField::Version => match self.version {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
                _ => String::new(),
            },
        }
    }
}

fn names(chain: &PeerChain, kind: NameKind) -> String {
    match kind {
        NameKind::Dns => chain.dns_names().join(","),
        NameKind::Email => chain.emails().join(","),
        NameKind::Ip => chain.ips().join(","),
        NameKind::Other => String::new(),
        NameKind::Uri => chain.uris().join(","),
    }
}

/// OpenSSL's names of those that we speak.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
        other => other.as_str().unwrap_or_default(),
    }
}

/// BoringSSL's names.
fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::secp256r1 => "P-256",
        NamedGroup::secp384r1 => "P-384",
        NamedGroup::secp521r1 => "P-521",
        NamedGroup::X25519 => "X25519",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        other => other.as_str().unwrap_or_default(),
    }
}
