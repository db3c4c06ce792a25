use leno_ir::{CipherSuite, Curve, TlsParameters, TlsVersion};
use leno_proto::envoy::extensions::transport_sockets::tls::v3::{TlsParameters as Proto, tls_parameters::TlsProtocol};

use crate::codec::error::{DecodeError, Result, refuse};

pub(super) fn encode(parameters: &TlsParameters) -> Proto {
    let version = |version| match version {
        TlsVersion::Tls12 => TlsProtocol::TlSv12,
        TlsVersion::Tls13 => TlsProtocol::TlSv13,
    };
    Proto {
        tls_minimum_protocol_version: version(parameters.minimum).into(),
        tls_maximum_protocol_version: version(parameters.maximum).into(),
        cipher_suites: parameters.cipher_suites.iter().map(|suite| suite.name().to_owned()).collect(),
        ecdh_curves: parameters.curves.iter().map(|curve| curve.name().to_owned()).collect(),
        ..Proto::default()
    }
}

/// `default_maximum` differs between clients and servers.
pub(super) fn read(proto: Option<&Proto>, default_maximum: TlsVersion) -> Result<TlsParameters> {
    let Some(proto) = proto else { return Ok(TlsParameters::between(TlsVersion::Tls12, default_maximum)) };
    refuse!(proto, signature_algorithms, compliance_policies);
    let version = |field: &str, version: TlsProtocol, default| match version {
        TlsProtocol::TlsAuto => Ok(default),
        TlsProtocol::TlSv12 => Ok(TlsVersion::Tls12),
        TlsProtocol::TlSv13 => Ok(TlsVersion::Tls13),
        TlsProtocol::TlSv10 | TlsProtocol::TlSv11 => {
            Err(DecodeError::new(field, "TLS 1.0 and 1.1 are not spoken (RFC 8996)"))
        }
    };
    let minimum = version("tls_minimum_protocol_version", proto.tls_minimum_protocol_version(), TlsVersion::Tls12)?;
    let maximum = version("tls_maximum_protocol_version", proto.tls_maximum_protocol_version(), default_maximum)?;
    if minimum > maximum {
        return Err(DecodeError::new("tls_minimum_protocol_version", "is above the maximum"));
    }
    // `[A|B]` are suites of equal rank; rustls takes the client's order or ours, nothing in between.
    let names = proto.cipher_suites.iter().flat_map(|names| names.trim_matches(['[', ']']).split('|'));
    let suite = |name: &str| {
        CipherSuite::from_name(name)
            .ok_or_else(|| DecodeError::new("cipher_suites", format!("{name} is not supported")))
    };
    let curve = |name: &String| {
        Curve::from_name(name).ok_or_else(|| DecodeError::new("ecdh_curves", format!("{name} is not supported")))
    };
    Ok(TlsParameters {
        minimum,
        maximum,
        cipher_suites: names.map(suite).collect::<Result<_>>()?,
        curves: proto.ecdh_curves.iter().map(curve).collect::<Result<_>>()?,
    })
}
