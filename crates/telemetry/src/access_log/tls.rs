//! Operators that show what TLS is like on one side of the proxy.

/// Of the proxy.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    Downstream,
    Upstream,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TlsField {
    /// OpenSSL's name.
    Cipher,
    /// Of every certificate shown.
    ChainFingerprints1,
    ChainFingerprints256,
    ChainSerials,
    Fingerprint1,
    Fingerprint256,
    /// What the keys are agreed on with.
    Group,
    Issuer,
    IssuerFingerprint256,
    IssuerSerial,
    /// Names of one kind in a certificate.
    Names(Shown, NameKind),
    /// PEM, escaped as in a URL.
    PeerCertificate,
    Serial,
    /// The name asked for.
    ServerName,
    /// Sessions have no identifier that both sides could see in TLS 1.3, and are not taken up again between proxies.
    SessionId,
    Subject(Shown),
    Version,
}

/// Whose certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Shown {
    Local,
    Peer,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NameKind {
    Dns,
    Email,
    Ip,
    /// None of them is read.
    Other,
    Uri,
}

/// The field of an operator's name, `DOWNSTREAM_…` or `UPSTREAM_…`.
pub(super) fn field(operator: &str) -> Option<(Side, TlsField)> {
    let (side, name) = match operator.strip_prefix("DOWNSTREAM_") {
        Some(name) => (Side::Downstream, name),
        None => (Side::Upstream, operator.strip_prefix("UPSTREAM_")?),
    };
    let field = match name {
        "LOCAL_DNS_SAN" => TlsField::Names(Shown::Local, NameKind::Dns),
        "LOCAL_IP_SAN" => TlsField::Names(Shown::Local, NameKind::Ip),
        "LOCAL_URI_SAN" => TlsField::Names(Shown::Local, NameKind::Uri),
        "PEER_CERT" => TlsField::PeerCertificate,
        "PEER_DNS_SAN" => TlsField::Names(Shown::Peer, NameKind::Dns),
        "PEER_IP_SAN" => TlsField::Names(Shown::Peer, NameKind::Ip),
        "PEER_ISSUER" => TlsField::Issuer,
        "PEER_SUBJECT" => TlsField::Subject(Shown::Peer),
        "PEER_URI_SAN" => TlsField::Names(Shown::Peer, NameKind::Uri),
        "TLS_CIPHER" => TlsField::Cipher,
        "TLS_GROUP" => TlsField::Group,
        "TLS_SESSION_ID" => TlsField::SessionId,
        "TLS_VERSION" => TlsField::Version,
        _ => match side {
            Side::Downstream => of_downstream(name)?,
            Side::Upstream if name == "SERVER_NAME" => TlsField::ServerName,
            Side::Upstream => return None,
        },
    };
    Some((side, field))
}

fn of_downstream(name: &str) -> Option<TlsField> {
    Some(match name {
        "LOCAL_EMAIL_SAN" => TlsField::Names(Shown::Local, NameKind::Email),
        "LOCAL_OTHERNAME_SAN" => TlsField::Names(Shown::Local, NameKind::Other),
        "LOCAL_SUBJECT" => TlsField::Subject(Shown::Local),
        "PEER_CHAIN_FINGERPRINTS_1" => TlsField::ChainFingerprints1,
        "PEER_CHAIN_FINGERPRINTS_256" => TlsField::ChainFingerprints256,
        "PEER_CHAIN_SERIALS" => TlsField::ChainSerials,
        "PEER_EMAIL_SAN" => TlsField::Names(Shown::Peer, NameKind::Email),
        "PEER_FINGERPRINT_1" => TlsField::Fingerprint1,
        "PEER_FINGERPRINT_256" => TlsField::Fingerprint256,
        "PEER_ISSUER_FINGERPRINT_256" => TlsField::IssuerFingerprint256,
        "PEER_ISSUER_SERIAL" => TlsField::IssuerSerial,
        "PEER_OTHERNAME_SAN" => TlsField::Names(Shown::Peer, NameKind::Other),
        "PEER_SERIAL" => TlsField::Serial,
        _ => return None,
    })
}

/// Of `…_PEER_CERT_V_START` and `…_V_END`: the side, and whether it is the end.
pub(super) fn certificate_time(operator: &str) -> Option<(Side, bool)> {
    Some(match operator {
        "DOWNSTREAM_PEER_CERT_V_START" => (Side::Downstream, false),
        "DOWNSTREAM_PEER_CERT_V_END" => (Side::Downstream, true),
        "UPSTREAM_PEER_CERT_V_START" => (Side::Upstream, false),
        "UPSTREAM_PEER_CERT_V_END" => (Side::Upstream, true),
        _ => return None,
    })
}
