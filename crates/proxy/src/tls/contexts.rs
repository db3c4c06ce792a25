//! TLS contexts that bring their own certificates: made when a configuration is checked, shared by all workers.
//!
//! Invariants  equal settings are one context; a context lives as long as a listener or cluster of some worker has it
//! Cost        one lock per listener, cluster and change; none per connection

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use leno_identity::{
    ClientContext, ClientSettings, ContextError, ContextParameters, ContextPart, ContextVersion, KeyPairSource,
    NameRule, PeerRules, PemSource, ServerContext, ServerSettings, SubjectName, SubjectNameKind, fits_dns_name,
};
use leno_ir::{
    CertificateSource, DataSource, DownstreamTls, PeerValidation, PemCertificate, RootsSource, Secret, SecretFile,
    StringMatch, SubjectAltNameKind, TlsParameters, TlsVersion, UpstreamTls,
};
use rustc_hash::FxHashMap;

use super::material::Material;

/// What is wrong with a context: the field below its `typed_config`, and why.
pub(crate) type Problems = Vec<(String, String)>;

/// Reads a secret from the file that has it; the error says why that is not possible.
pub type ReadSecret = fn(&SecretFile) -> Result<Secret, String>;

#[derive(Clone, Debug, Default)]
pub(crate) struct TlsContexts {
    known: Arc<Mutex<Known>>,
    /// `None`: nobody can read files with secrets.
    read_secret: Option<ReadSecret>,
}

#[derive(Debug, Default)]
struct Known {
    servers: FxHashMap<DownstreamTls, Arc<ServerContext>>,
    clients: FxHashMap<UpstreamTls, Arc<ClientContext>>,
    /// Directories to watch, and when something in them changed.
    watched: FxHashMap<PathBuf, Option<SystemTime>>,
}

impl TlsContexts {
    pub(crate) fn new(read_secret: Option<ReadSecret>) -> Self {
        Self { known: Arc::default(), read_secret }
    }

    /// `None`: the mesh's own.
    ///
    /// # Errors
    /// What cannot be read, does not fit together, or is not supported.
    pub(crate) fn server(&self, tls: &DownstreamTls) -> Result<Option<Arc<ServerContext>>, Problems> {
        if let CertificateSource::Secret(_) = &tls.certificate {
            return only_of_mesh(tls.validation.as_ref()).map(|()| None);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = known.servers.get(tls) {
            return Ok(Some(context.clone()));
        }
        let material = Material::of(Some(&tls.certificate), tls.validation.as_ref(), self.read_secret)?;
        let context = Arc::new(ServerContext::new(server_settings(tls, &material)?).map_err(problems)?);
        known.watch(&material.directories);
        known.servers.insert(tls.clone(), context.clone());
        Ok(Some(context))
    }

    /// `None`: the mesh's own.
    ///
    /// # Errors
    /// As [`TlsContexts::server`].
    pub(crate) fn client(&self, tls: &UpstreamTls) -> Result<Option<Arc<ClientContext>>, Problems> {
        let is_of_mesh = match (&tls.certificate, &tls.validation) {
            (Some(CertificateSource::Secret(_)), _) => true,
            (None, Some(validation)) => matches!(validation.roots, RootsSource::Secret(_)),
            _ => false,
        };
        if is_of_mesh {
            return match &tls.validation {
                None => Err(vec![("common_tls_context.validation_context".to_owned(), "is missing".to_owned())]),
                validation => only_of_mesh(validation.as_ref()).map(|()| None),
            };
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(context) = known.clients.get(tls) {
            return Ok(Some(context.clone()));
        }
        let material = Material::of(tls.certificate.as_ref(), tls.validation.as_ref(), self.read_secret)?;
        let context = Arc::new(ClientContext::new(client_settings(tls, &material)?).map_err(problems)?);
        known.watch(&material.directories);
        known.clients.insert(tls.clone(), context.clone());
        Ok(Some(context))
    }

    /// Forgets what no worker has any more.
    pub(crate) fn sweep(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.servers.retain(|_, context| Arc::strong_count(context) > 1);
        known.clients.retain(|_, context| Arc::strong_count(context) > 1);
    }

    /// Reads every file again. What cannot be read stays as it was, and is logged.
    pub(crate) fn reload(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = Vec::new();
        for (tls, context) in &known.servers {
            let again = Material::of(Some(&tls.certificate), tls.validation.as_ref(), self.read_secret);
            let again = again.and_then(|material| {
                context.reload_from(&server_settings(tls, &material)?).map_err(problems).map(|()| material.directories)
            });
            read.push(again);
        }
        for (tls, context) in &known.clients {
            let again = Material::of(tls.certificate.as_ref(), tls.validation.as_ref(), self.read_secret);
            let again = again.and_then(|material| {
                context.reload_from(&client_settings(tls, &material)?).map_err(problems).map(|()| material.directories)
            });
            read.push(again);
        }
        for again in read {
            match again {
                Ok(directories) => known.watch(&directories),
                Err(problems) => problems.iter().for_each(|(field, reason)| {
                    tracing::error!(
                        field,
                        reason,
                        "a certificate cannot be read again; what was read before stays in use"
                    );
                }),
            }
        }
    }

    /// Whether something has changed in a watched directory since the last call.
    pub(crate) fn look_at_directories(&self) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut has_changed = false;
        for (directory, seen) in &mut known.watched {
            let now = modified(directory);
            has_changed |= now != *seen;
            *seen = now;
        }
        has_changed
    }
}

impl Known {
    fn watch(&mut self, directories: &[PathBuf]) {
        for directory in directories {
            self.watched.entry(directory.clone()).or_insert_with(|| modified(directory));
        }
    }
}

fn server_settings(tls: &DownstreamTls, material: &Material<'_>) -> Result<ServerSettings, Problems> {
    Ok(ServerSettings {
        certificates: material.certificates.iter().map(key_pair).collect(),
        alpn: names(&tls.alpn),
        peers: material.validation.as_deref().map(peer_rules).transpose()?,
        require_client_certificate: tls.require_client_certificate,
        parameters: parameters(&tls.parameters),
        stateless_resumption: tls.sessions.stateless,
        stateful_resumption: tls.sessions.stateful,
    })
}

fn client_settings(tls: &UpstreamTls, material: &Material<'_>) -> Result<ClientSettings, Problems> {
    Ok(ClientSettings {
        certificate: material.certificates.first().map(key_pair),
        alpn: names(&tls.alpn),
        peers: material.validation.as_deref().map(peer_rules).transpose()?,
        checks_server_name: tls.auto_sni_san_validation,
        sends_server_name: tls.sni.is_some(),
        parameters: parameters(&tls.parameters),
        max_sessions: usize::try_from(tls.max_session_keys).unwrap_or(usize::MAX),
    })
}

fn modified(directory: &Path) -> Option<SystemTime> {
    std::fs::metadata(directory).and_then(|metadata| metadata.modified()).ok()
}

/// What goes with the node's own identity: the mesh's roots, SPIFFE IDs, and nothing else.
fn only_of_mesh(validation: Option<&PeerValidation>) -> Result<(), Problems> {
    let Some(validation) = validation else { return Ok(()) };
    let wrong = |field: &str, reason: &str| {
        Err(vec![(format!("common_tls_context.validation_context.{field}"), reason.to_owned())])
    };
    if !matches!(validation.roots, RootsSource::Secret(_)) {
        return wrong("trusted_ca", "must come by SDS where the certificate does");
    }
    if validation.checks != leno_ir::PeerChecks::default() {
        return wrong("verify_certificate_hash", "goes only with a certificate that is in the configuration");
    }
    Ok(())
}

fn key_pair(certificate: &PemCertificate) -> KeyPairSource {
    KeyPairSource { chain: source(&certificate.chain), key: source(&certificate.private_key) }
}

fn source(source: &DataSource) -> PemSource {
    match source {
        DataSource::Environment(name) => PemSource::Environment(name.clone()),
        DataSource::File(path) => PemSource::File(path.clone()),
        DataSource::Inline(bytes) => PemSource::Inline(bytes.bytes().to_vec()),
    }
}

fn names(names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn parameters(parameters: &TlsParameters) -> ContextParameters {
    let version = |version| match version {
        TlsVersion::Tls12 => ContextVersion::Tls12,
        TlsVersion::Tls13 => ContextVersion::Tls13,
    };
    ContextParameters {
        minimum: version(parameters.minimum),
        maximum: version(parameters.maximum),
        cipher_suites: parameters.cipher_suites.iter().map(|suite| suite.name()).collect(),
        curves: parameters.curves.iter().map(|curve| curve.name()).collect(),
    }
}

fn peer_rules(validation: &PeerValidation) -> Result<PeerRules, Problems> {
    let roots = match &validation.roots {
        RootsSource::None => None,
        RootsSource::Pem(roots) => Some(source(&roots.certificates)),
        RootsSource::File(SecretFile { name, .. }) | RootsSource::Secret(name) => {
            let reason = format!("the secret {name} does not come by SDS where the certificate does not");
            return Err(vec![("common_tls_context.validation_context_sds_secret_config".to_owned(), reason)]);
        }
    };
    let wanted = validation.subject_alt_names.clone();
    let rule = NameRule::new(move |found: SubjectName<'_>| {
        wanted.iter().any(|wanted| is_of_kind(wanted.kind, found.kind) && fits(&wanted.name, found))
    });
    Ok(PeerRules {
        roots,
        names: (!validation.subject_alt_names.is_empty()).then_some(rule),
        certificate_hashes: validation.checks.certificate_hashes.clone(),
        key_hashes: validation.checks.key_hashes.clone(),
        allow_expired: validation.checks.allow_expired,
        accept_untrusted: validation.checks.accept_untrusted,
    })
}

/// As in Envoy, a name that is asked for in full may be covered by a wildcard of the certificate.
fn fits(wanted: &StringMatch, found: SubjectName<'_>) -> bool {
    match wanted {
        StringMatch::Exact { text, .. } if found.kind == SubjectNameKind::Dns => fits_dns_name(found.text, text),
        _ => wanted.is_match(found.text),
    }
}

fn is_of_kind(wanted: SubjectAltNameKind, found: SubjectNameKind) -> bool {
    match wanted {
        SubjectAltNameKind::Any => true,
        SubjectAltNameKind::Dns => found == SubjectNameKind::Dns,
        SubjectAltNameKind::Email => found == SubjectNameKind::Email,
        SubjectAltNameKind::IpAddress => found == SubjectNameKind::IpAddress,
        SubjectAltNameKind::Uri => found == SubjectNameKind::Uri,
    }
}

fn problems(errors: Vec<ContextError>) -> Problems {
    let field = |part| match part {
        ContextPart::CertificateChain { index } => format!("tls_certificates[{index}].certificate_chain"),
        ContextPart::KeyPair { index } => format!("tls_certificates[{index}]"),
        ContextPart::Parameters => "tls_params".to_owned(),
        ContextPart::PrivateKey { index } => format!("tls_certificates[{index}].private_key"),
        ContextPart::SubjectAltNames => "validation_context.match_typed_subject_alt_names".to_owned(),
        ContextPart::TrustedCa => "validation_context.trusted_ca".to_owned(),
    };
    errors.into_iter().map(|error| (format!("common_tls_context.{}", field(error.part)), error.reason)).collect()
}
