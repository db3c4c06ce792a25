use std::borrow::Cow;
use std::path::{Path, PathBuf};

use leno_ir::{
    CertificateSource, DataSource, PeerValidation, PemCertificate, PemRoots, RootsSource, Secret, SecretFile,
};

use super::contexts::{Problems, ReadSecret};

/// What a context is made of, with the secrets that are in files of their own put where they are named.
pub(super) struct Material<'t> {
    pub(super) certificates: Cow<'t, [PemCertificate]>,
    pub(super) validation: Option<Cow<'t, PeerValidation>>,
    /// Something in one of these changes when there is something new to read.
    pub(super) directories: Vec<PathBuf>,
}

impl<'t> Material<'t> {
    /// # Errors
    /// Secrets that cannot be read, or are not what they should be.
    pub(super) fn of(
        certificate: Option<&'t CertificateSource>,
        validation: Option<&'t PeerValidation>,
        read: Option<ReadSecret>,
    ) -> Result<Self, Problems> {
        let mut directories = Vec::new();
        let certificates = match certificate {
            None | Some(CertificateSource::Secret(_)) => Cow::Borrowed(&[][..]),
            Some(CertificateSource::Pem(certificates)) => {
                directories.extend(certificates.iter().filter_map(|one| one.watched_directory.clone()));
                Cow::Borrowed(certificates.as_slice())
            }
            Some(CertificateSource::File(file)) => {
                let problem = |reason| problem("tls_certificate_sds_secret_configs[0]", file, reason);
                let Secret::Certificate(certificate) = read_secret(file, read).map_err(problem)? else {
                    return Err(problem("has no certificate but a validation context".to_owned()));
                };
                let sources = [&certificate.chain, &certificate.private_key];
                watch(file, certificate.watched_directory.as_ref(), &sources, &mut directories);
                Cow::Owned(vec![certificate])
            }
        };
        let validation = match validation {
            None => None,
            Some(validation) => match &validation.roots {
                RootsSource::File(file) => {
                    let problem = |reason| problem("validation_context_sds_secret_config", file, reason);
                    let Secret::Validation(secret) = read_secret(file, read).map_err(problem)? else {
                        return Err(problem("has no validation context but a certificate".to_owned()));
                    };
                    match &secret.roots {
                        RootsSource::Pem(PemRoots { certificates, watched_directory }) => {
                            watch(file, watched_directory.as_ref(), &[certificates], &mut directories);
                        }
                        _ => watch(file, None, &[], &mut directories),
                    }
                    Some(Cow::Owned(validation.clone().with_secret(&secret)))
                }
                RootsSource::Pem(roots) => {
                    directories.extend(roots.watched_directory.clone());
                    Some(Cow::Borrowed(validation))
                }
                RootsSource::None | RootsSource::Secret(_) => Some(Cow::Borrowed(validation)),
            },
        };
        Ok(Self { certificates, validation, directories })
    }
}

fn read_secret(file: &SecretFile, read: Option<ReadSecret>) -> Result<Secret, String> {
    read.ok_or_else(|| "cannot be read here: secrets come by SDS".to_owned())?(file)
}

/// As Envoy: the files that a secret names are watched with it, where it says nothing else.
fn watch(file: &SecretFile, watched: Option<&PathBuf>, sources: &[&DataSource], directories: &mut Vec<PathBuf>) {
    directories.push(file.watched_directory.clone().unwrap_or_else(|| parent(&file.path)));
    match watched {
        Some(watched) => directories.push(watched.clone()),
        None => directories.extend(sources.iter().filter_map(|source| match source {
            DataSource::File(path) => Some(parent(path)),
            DataSource::Environment(_) | DataSource::Inline(_) => None,
        })),
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn problem(field: &str, file: &SecretFile, reason: String) -> Problems {
    vec![(format!("common_tls_context.{field}"), format!("{} {reason}", file.path.display()))]
}
