//! Root and intermediate: made at the first start, kept in files, renewed when the root key is at hand.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use leno_names::TrustDomain;
use leno_telemetry::metric::{Counter, Gauge};
use leno_telemetry::{Chain, Registry};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::files;
use crate::tokens::Tokens;

const ROOT_CERTIFICATE: &str = "root-cert.pem";
const ROOT_KEY: &str = "root-key.pem";
/// The root's certificate while its key is not on disk yet: what is left of a first start that was cut short.
const ROOT_CERTIFICATE_DRAFT: &str = "root-cert.pem.draft";
/// Certificate and key in one file, so that no crash leaves one without the other.
const INTERMEDIATE: &str = "intermediate.pem";

/// Certificates are valid from a little before they are made, for clocks that run late.
pub(crate) const BACKDATE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub struct CaConfig {
    pub trust_domain: TrustDomain,
    /// Default 10 years.
    pub root_ttl: Duration,
    /// Default 1 year; renewed at half life when the root key is there.
    pub intermediate_ttl: Duration,
    /// Default 24 h, also the longest that may be asked for.
    pub svid_ttl: Duration,
}

impl CaConfig {
    pub fn new(trust_domain: TrustDomain) -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { trust_domain, root_ttl: day * 3650, intermediate_ttl: day * 365, svid_ttl: day }
    }
}

/// The authority of one trust domain.
pub struct Ca {
    pub(crate) config: CaConfig,
    directory: PathBuf,
    root_pem: String,
    pub(crate) root: CertificateDer<'static>,
    pub(crate) intermediate: Mutex<Intermediate>,
    pub(crate) tokens: Mutex<Tokens>,
    pub(crate) metrics: Metrics,
}

/// What signs SVIDs.
pub(crate) struct Intermediate {
    pub(crate) pem: String,
    pub(crate) not_after: SystemTime,
    not_before: SystemTime,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) requests: Counter,
    pub(crate) issued: Counter,
    pub(crate) refused: Counter,
    root_expiry: Gauge,
    intermediate_expiry: Gauge,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("trust_domain", &self.config.trust_domain).finish_non_exhaustive()
    }
}

impl Ca {
    /// Opens the authority kept in `directory`, or makes one there if the directory holds none.
    ///
    /// # Errors
    /// When files are missing, damaged, or do not belong together; nothing is overwritten then.
    pub fn open(directory: &Path, config: CaConfig, now: SystemTime) -> Result<Self, CaError> {
        let path = |name: &str| directory.join(name);
        files::private_directory(directory).map_err(|source| CaError::Write { path: directory.to_owned(), source })?;
        finish_first_start(directory)?;
        let root_pem = match load(&path(ROOT_CERTIFICATE))? {
            Some(pem) => pem,
            None => make_root(directory, &config, now)?,
        };
        let root = certificate(&root_pem, &path(ROOT_CERTIFICATE))?;
        check_trust_domain(&root, &config.trust_domain, &path(ROOT_CERTIFICATE))?;
        let intermediate = match load(&path(INTERMEDIATE))? {
            Some(pem) => Intermediate::parse(&pem, &path(INTERMEDIATE))?,
            None => make_intermediate(directory, &path(ROOT_KEY), &root_pem, &config, now)?,
        };
        let ca = Self {
            config,
            directory: directory.to_owned(),
            root_pem,
            root,
            intermediate: Mutex::new(intermediate),
            tokens: Mutex::new(Tokens::open(path("tokens.json"))?),
            metrics: Metrics::default(),
        };
        ca.renew_if_due(now);
        ca.check_chain(now)?;
        Ok(ca)
    }

    /// What this authority issues must lead to its root: an intermediate of another root would cut off every workload.
    fn check_chain(&self, now: SystemTime) -> Result<(), CaError> {
        let probe = leno_names::SpiffeId::new(self.config.trust_domain.clone(), "leno-system", "probe");
        let other_root = || CaError::Mismatch {
            certificate: self.directory.join(ROOT_CERTIFICATE),
            key: self.directory.join(INTERMEDIATE),
        };
        match self.issue(&probe, now) {
            Ok(svid) => svid.verify(now).map_err(|_| other_root()),
            // Expired: said when somebody asks for a certificate; everything else goes on.
            Err(CaError::Refused { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub fn trust_domain(&self) -> &TrustDomain {
        &self.config.trust_domain
    }

    /// The trust bundle as PEM.
    pub fn bundle_pem(&self) -> &str {
        &self.root_pem
    }

    /// Puts the authority's metrics into `registry`.
    pub fn register_metrics(&self, registry: &Registry) {
        let metrics = &self.metrics;
        registry.register("citadel_server_csr_count", "CSRs received", metrics.requests.clone());
        registry.register("citadel_server_success_cert_issuance_count", "Certificates issued", metrics.issued.clone());
        registry.register("leno_ca_csr_refused", "CSRs refused", metrics.refused.clone());
        registry.register(
            "citadel_server_root_cert_expiry_timestamp",
            "When the root expires, in seconds since 1970",
            metrics.root_expiry.clone(),
        );
        registry.register(
            "citadel_server_cert_chain_expiry_timestamp",
            "When the intermediate expires, in seconds since 1970",
            metrics.intermediate_expiry.clone(),
        );
        if let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&self.root) {
            metrics.root_expiry.set(parsed.validity().not_after.timestamp());
        }
        metrics.intermediate_expiry.set(seconds(self.lock_intermediate().not_after));
    }

    /// Renews the intermediate when half of its life is over and the root key is there. Call about once an hour.
    pub fn renew_if_due(&self, now: SystemTime) {
        let (half, not_after) = {
            let current = self.lock_intermediate();
            (
                current.not_before + current.not_after.duration_since(current.not_before).unwrap_or_default() / 2,
                current.not_after,
            )
        };
        if now < half {
            return;
        }
        let key = self.directory.join(ROOT_KEY);
        match self.renew_intermediate(&key, now) {
            Ok(()) => tracing::info!("intermediate certificate renewed"),
            Err(error) => {
                let left_days = not_after.duration_since(now).unwrap_or_default().as_secs() / 86_400;
                tracing::warn!(error = %Chain(&error), left_days, "the intermediate certificate is not renewed");
            }
        }
    }

    /// Makes a new intermediate with the root key at `root_key`.
    ///
    /// # Errors
    /// When the key is not there, is another root's, or the files cannot be written; the old intermediate stays.
    pub fn renew_intermediate(&self, root_key: &Path, now: SystemTime) -> Result<(), CaError> {
        let renewed = make_intermediate(&self.directory, root_key, &self.root_pem, &self.config, now)?;
        self.metrics.intermediate_expiry.set(seconds(renewed.not_after));
        *self.lock_intermediate() = renewed;
        Ok(())
    }

    pub(crate) fn lock_intermediate(&self) -> std::sync::MutexGuard<'_, Intermediate> {
        self.intermediate.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Intermediate {
    fn parse(text: &str, path: &Path) -> Result<Self, CaError> {
        let damaged = || CaError::Damaged { path: path.to_owned() };
        // The certificate comes first, the key after it.
        let end = text.find(CERTIFICATE_END).map(|at| at + CERTIFICATE_END.len()).ok_or_else(damaged)?;
        let (certificate_text, key_text) = text.split_at(end);
        let key = key_pair(key_text, path)?;
        let der = certificate(certificate_text, path)?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| damaged())?;
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(CaError::Mismatch { certificate: path.to_owned(), key: path.to_owned() });
        }
        let not_after = time(parsed.validity().not_after.timestamp());
        let not_before = time(parsed.validity().not_before.timestamp());
        let pem = format!("{certificate_text}\n");
        let issuer =
            Issuer::from_ca_cert_pem(&pem, key).map_err(|source| CaError::Sign { what: "intermediate", source })?;
        Ok(Self { pem, not_after, not_before, issuer })
    }
}

const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";

/// A first start that was cut short has left a draft of the certificate; with its key it is finished, without it begun anew.
fn finish_first_start(directory: &Path) -> Result<(), CaError> {
    let (draft, key) = (directory.join(ROOT_CERTIFICATE_DRAFT), directory.join(ROOT_KEY));
    if load(&directory.join(ROOT_CERTIFICATE))?.is_some() {
        return Ok(());
    }
    let (Some(pem), Some(key_pem)) = (load(&draft)?, load(&key)?) else { return Ok(()) };
    check_root_key(&certificate(&pem, &draft)?, &key_pair(&key_pem, &key)?, &draft, &key)?;
    place(&draft, &directory.join(ROOT_CERTIFICATE))
}

fn make_root(directory: &Path, config: &CaConfig, now: SystemTime) -> Result<String, CaError> {
    let key_path = directory.join(ROOT_KEY);
    if key_path.exists() {
        // A key without its certificate: somebody removed the certificate; a new root would cut off every workload.
        return Err(CaError::Missing { path: directory.join(ROOT_CERTIFICATE) });
    }
    let sign = |source| CaError::Sign { what: "root", source };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign)?;
    let params = authority_params(config, "root", BasicConstraints::Unconstrained, now + config.root_ttl, now)?;
    let pem = params.self_signed(&key).map_err(sign)?.pem();
    // In this order each crash leaves something that the next start can finish.
    let draft = directory.join(ROOT_CERTIFICATE_DRAFT);
    write(&draft, pem.as_bytes())?;
    write(&key_path, key.serialize_pem().as_bytes())?;
    place(&draft, &directory.join(ROOT_CERTIFICATE))?;
    Ok(pem)
}

fn make_intermediate(
    directory: &Path,
    root_key: &Path,
    root_pem: &str,
    config: &CaConfig,
    now: SystemTime,
) -> Result<Intermediate, CaError> {
    let sign = |source| CaError::Sign { what: "intermediate", source };
    let text = load(root_key)?.ok_or_else(|| CaError::RootKeyOffline { path: root_key.to_owned() })?;
    let root_key_pair = key_pair(&text, root_key)?;
    let root_path = directory.join(ROOT_CERTIFICATE);
    let root = certificate(root_pem, &root_path)?;
    let root_not_after = check_root_key(&root, &root_key_pair, &root_path, root_key)?;
    let issuer = Issuer::from_ca_cert_pem(root_pem, root_key_pair).map_err(sign)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(sign)?;
    // Never longer than what vouches for it.
    let not_after = (now + config.intermediate_ttl).min(root_not_after);
    let mut params = authority_params(config, "intermediate", BasicConstraints::Constrained(0), not_after, now)?;
    params.use_authority_key_identifier_extension = true;
    let pem = params.signed_by(&key, &issuer).map_err(sign)?.pem();
    let path = directory.join(INTERMEDIATE);
    let text = format!("{pem}{}", key.serialize_pem());
    let intermediate = Intermediate::parse(&text, &path)?;
    write(&path, text.as_bytes())?;
    Ok(intermediate)
}

/// That the key is the root's; the value is when the root expires.
fn check_root_key(
    root: &CertificateDer<'_>,
    key: &KeyPair,
    certificate: &Path,
    key_path: &Path,
) -> Result<SystemTime, CaError> {
    let (_, parsed) =
        x509_parser::parse_x509_certificate(root).map_err(|_| CaError::Damaged { path: certificate.to_owned() })?;
    if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
        return Err(CaError::Mismatch { certificate: certificate.to_owned(), key: key_path.to_owned() });
    }
    Ok(time(parsed.validity().not_after.timestamp()))
}

/// A signing certificate as X509-SVID §4 wants it: CA, key usage certSign and crlSign, the trust domain as URI name.
fn authority_params(
    config: &CaConfig,
    what: &'static str,
    constraints: BasicConstraints,
    not_after: SystemTime,
    now: SystemTime,
) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, config.trust_domain.as_str());
    name.push(DnType::CommonName, format!("Leno {what}"));
    params.distinguished_name = name;
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let uri =
        format!("spiffe://{}", config.trust_domain).try_into().map_err(|source| CaError::Sign { what, source })?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.not_before = (now - BACKDATE).into();
    params.not_after = not_after.into();
    Ok(params)
}

fn check_trust_domain(root: &CertificateDer<'_>, wanted: &TrustDomain, path: &Path) -> Result<(), CaError> {
    let damaged = || CaError::Damaged { path: path.to_owned() };
    let (_, parsed) = x509_parser::parse_x509_certificate(root).map_err(|_| damaged())?;
    let names = parsed.subject_alternative_name().map_err(|_| damaged())?;
    let found = names.iter().flat_map(|extension| &extension.value.general_names).find_map(|name| match name {
        x509_parser::extensions::GeneralName::URI(uri) => uri.strip_prefix("spiffe://"),
        _ => None,
    });
    match found {
        // A root of the user's own making need not name a trust domain.
        None => Ok(()),
        Some(found) if found == wanted.as_str() => Ok(()),
        Some(found) => Err(CaError::OtherTrustDomain {
            path: path.to_owned(),
            found: found.to_owned(),
            wanted: wanted.to_string(),
        }),
    }
}

fn load(path: &Path) -> Result<Option<String>, CaError> {
    files::read(path).map_err(|source| CaError::Read { path: path.to_owned(), source })
}

fn write(path: &Path, content: &[u8]) -> Result<(), CaError> {
    files::write_private(path, content).map_err(|source| CaError::Write { path: path.to_owned(), source })
}

fn place(draft: &Path, path: &Path) -> Result<(), CaError> {
    files::rename(draft, path).map_err(|source| CaError::Write { path: path.to_owned(), source })
}

fn key_pair(pem: &str, path: &Path) -> Result<KeyPair, CaError> {
    KeyPair::from_pem(pem).map_err(|_| CaError::Damaged { path: path.to_owned() })
}

fn certificate(pem: &str, path: &Path) -> Result<CertificateDer<'static>, CaError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CaError::Damaged { path: path.to_owned() })
}

fn time(seconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[derive(Debug, thiserror::Error)]
pub enum CaError {
    #[error("{path} is damaged; restore it from a backup (it is not replaced, workloads trust what it held)")]
    Damaged { path: PathBuf },
    #[error("{key} does not belong to {certificate}; restore both from one backup")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{path} is missing although its counterpart is there; restore it from a backup")]
    Missing { path: PathBuf },
    #[error("{path} is the root of trust domain {found}, not of {wanted}")]
    OtherTrustDomain { path: PathBuf, found: String, wanted: String },
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: io::Error },
    /// The caller's fault.
    #[error("{reason}")]
    Refused { reason: String },
    #[error("the root key is not at {path}; a new intermediate certificate needs it")]
    RootKeyOffline { path: PathBuf },
    #[error("the {what} certificate cannot be signed")]
    Sign { what: &'static str, source: rcgen::Error },
    #[error("{path} cannot be written")]
    Write { path: PathBuf, source: io::Error },
}
