//! Secrets that a bootstrap has itself, put where they are named.

use std::collections::BTreeMap;

use leno_ir::{CertificateSource, Cluster, Listener, PeerValidation, RootsSource, Secret};

use crate::codec::DecodeError;

type Secrets = BTreeMap<String, Secret>;

/// What is named and not there.
pub(super) fn resolve_listener(listener: &mut Listener, secrets: &Secrets) -> Vec<DecodeError> {
    let chains = listener.filter_chains.iter_mut().enumerate();
    let chains = chains.map(|(index, chain)| (format!("filter_chains[{index}]"), chain));
    let default = listener.default_filter_chain.iter_mut().map(|chain| ("default_filter_chain".to_owned(), chain));
    let mut missing = Vec::new();
    for (path, chain) in chains.chain(default) {
        let Some(tls) = &mut chain.tls else { continue };
        let path = format!("{path}.transport_socket.typed_config.common_tls_context");
        resolve_certificate(&mut tls.certificate, secrets, &path, &mut missing);
        resolve_roots(tls.validation.as_mut(), secrets, &path, &mut missing);
    }
    missing
}

pub(super) fn resolve_cluster(cluster: &mut Cluster, secrets: &Secrets) -> Vec<DecodeError> {
    let mut missing = Vec::new();
    let own = (String::new(), &mut cluster.tls, cluster.proxy_protocol.is_some());
    let matches = cluster.socket_matches.iter_mut().enumerate().map(|(index, one)| {
        (format!("transport_socket_matches[{index}]."), &mut one.tls, one.proxy_protocol.is_some())
    });
    for (place, tls, is_inside) in std::iter::once(own).chain(matches) {
        let Some(tls) = tls else { continue };
        let inner = if is_inside { "transport_socket.typed_config." } else { "" };
        let path = format!("{place}transport_socket.typed_config.{inner}common_tls_context");
        if let Some(certificate) = &mut tls.certificate {
            resolve_certificate(certificate, secrets, &path, &mut missing);
        }
        resolve_roots(tls.validation.as_mut(), secrets, &path, &mut missing);
    }
    missing
}

fn resolve_certificate(source: &mut CertificateSource, secrets: &Secrets, path: &str, missing: &mut Vec<DecodeError>) {
    let CertificateSource::Secret(name) = &*source else { return };
    match secrets.get(name) {
        Some(Secret::Certificate(certificate)) => *source = CertificateSource::Pem(vec![certificate.clone()]),
        other => {
            missing.push(problem(&format!("{path}.tls_certificate_sds_secret_configs[0]"), name, other, "certificate"))
        }
    }
}

fn resolve_roots(
    validation: Option<&mut PeerValidation>,
    secrets: &Secrets,
    path: &str,
    missing: &mut Vec<DecodeError>,
) {
    let Some(validation) = validation else { return };
    let RootsSource::Secret(name) = &validation.roots else { return };
    match secrets.get(name) {
        Some(Secret::Validation(secret)) => *validation = validation.clone().with_secret(secret),
        other => missing.push(problem(
            &format!("{path}.validation_context_sds_secret_config"),
            name,
            other,
            "validation context",
        )),
    }
}

fn problem(field: &str, name: &str, found: Option<&Secret>, wanted: &str) -> DecodeError {
    let reason = match found {
        None => format!("there is no secret {name}"),
        Some(_) => format!("the secret {name} is no {wanted}"),
    };
    DecodeError { field: field.to_owned(), reason }
}
